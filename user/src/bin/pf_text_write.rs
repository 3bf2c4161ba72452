// SPDX-License-Identifier: GPL-2.0-only
//! A store into the program text.
#![cfg_attr(target_os = "none", no_std, no_main)]

use user::prelude::*;

expect! {
    signal: SIGSEGV, code: SEGV_ACCERR, addr: 0x401000,
    trapno: 14, err: 7, cr2: 0x401000, rip: ip,
    end: killed(SIGSEGV),
    log: [segfault_log!("401000", "7"), code_log!()],
}

probe!("mov ecx, 0x401000"; "mov [rcx], al");
program!(run);

fn run() {
    probe();
}
