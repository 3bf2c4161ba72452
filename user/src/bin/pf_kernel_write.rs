// SPDX-License-Identifier: GPL-2.0-only
//! A store into the kernel.
#![cfg_attr(target_os = "none", no_std, no_main)]

use user::prelude::*;

expect! {
    signal: SIGSEGV, code: SEGV_MAPERR, addr: 0xffff888000000000,
    trapno: 14, err: 7, cr2: 0xffff888000000000, rip: ip,
    end: killed(SIGSEGV),
    log: [segfault_log!("ffff888000000000", "7"), code_log!()],
}

probe!("mov rcx, 0xffff888000000000"; "mov [rcx], eax");
program!(run);

fn run() {
    probe();
}
