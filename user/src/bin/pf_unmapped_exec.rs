// SPDX-License-Identifier: GPL-2.0-only
//! A jump to an unmapped address.
#![cfg_attr(target_os = "none", no_std, no_main)]

use user::prelude::*;

expect! {
    signal: SIGSEGV, code: SEGV_MAPERR, addr: 0x10001008,
    trapno: 14, err: 0x14, cr2: 0x10001008, rip: 0x10001008,
    end: killed(SIGSEGV),
    log: [segfault_log!("10001008", "14", nowhere), code_log!("10000fde")],
}

probe!("mov ecx, 0x10001008"; "jmp rcx");
program!(run);

fn run() {
    probe();
}
