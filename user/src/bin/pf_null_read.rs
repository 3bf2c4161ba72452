// SPDX-License-Identifier: GPL-2.0-only
//! A load through a null pointer.
#![cfg_attr(target_os = "none", no_std, no_main)]

use user::prelude::*;

expect! {
    signal: SIGSEGV, code: SEGV_MAPERR, addr: 0,
    trapno: 14, err: 4, cr2: 0, rip: ip,
    end: killed(SIGSEGV),
    log: [segfault_log!("0", "4"), code_log!()],
}

probe!(; "mov al, [rcx]");
program!(run);

fn run() {
    probe();
}
