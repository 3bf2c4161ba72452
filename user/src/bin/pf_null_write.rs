// SPDX-License-Identifier: GPL-2.0-only
//! A store through a null pointer.
#![cfg_attr(target_os = "none", no_std, no_main)]

use user::prelude::*;

expect! {
    signal: SIGSEGV, code: SEGV_MAPERR, addr: 0,
    trapno: 14, err: 6, cr2: 0, rip: ip,
    end: killed(SIGSEGV),
    log: [segfault_log!("0", "6"), code_log!()],
}

probe!(; "mov [rcx], al");
program!(run);

fn run() {
    probe();
}
