// SPDX-License-Identifier: GPL-2.0-only
//! A jump into the kernel.
#![cfg_attr(target_os = "none", no_std, no_main)]

use user::prelude::*;

expect! {
    signal: SIGSEGV, code: SEGV_MAPERR, addr: 0xffff888000000000,
    trapno: 14, err: 0x15, cr2: 0xffff888000000000, rip: 0xffff888000000000,
    end: killed(SIGSEGV),
    log: [segfault_log!("ffff888000000000", "15", nowhere), code_log!("ffff887fffffffd6")],
}

probe!("mov rcx, 0xffff888000000000"; "jmp rcx");
program!(run);

fn run() {
    probe();
}
