// SPDX-License-Identifier: GPL-2.0-only
//! Endless pushes: the stack grows to its limit, and then faults just below.
#![cfg_attr(target_os = "none", no_std, no_main)]

use user::prelude::*;

expect! {
    signal: SIGSEGV, code: SEGV_MAPERR, addr: sp - 8,
    trapno: 14, err: 6, cr2: sp - 8, rip: ip,
    end: killed(SIGSEGV),
    log: [segfault_log!("{hex}", "6"), code_log!()],
}

probe!(; "push rax"; "jmp trapline_ip");
program!(run);

fn run() {
    probe();
}
