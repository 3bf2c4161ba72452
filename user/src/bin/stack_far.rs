// SPDX-License-Identifier: GPL-2.0-only
//! A store 16 MiB below the stack pointer, beyond RLIMIT_STACK.
#![cfg_attr(target_os = "none", no_std, no_main)]

use user::prelude::*;

expect! {
    signal: SIGSEGV, code: SEGV_MAPERR, addr: sp - 0x1000000,
    trapno: 14, err: 6, cr2: sp - 0x1000000, rip: ip,
    end: killed(SIGSEGV),
    log: [segfault_log!("{hex}", "6"), code_log!()],
}

probe!(; "mov byte ptr [rsp - 0x1000000], 1");
program!(run);

fn run() {
    probe();
}
