// SPDX-License-Identifier: GPL-2.0-only
//! A jump to null. Linux 6.1 names the first mapping above it in the log.
#![cfg_attr(target_os = "none", no_std, no_main)]

use user::prelude::*;

expect! {
    signal: SIGSEGV, code: SEGV_MAPERR, addr: 0,
    trapno: 14, err: 0x14, cr2: 0, rip: 0,
    end: killed(SIGSEGV),
    log: [segfault_log!("0", "14", below), code_log!("ffffffffffffffd6")],
}

probe!(; "jmp rcx");
program!(run);

fn run() {
    probe();
}
