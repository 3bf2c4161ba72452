// SPDX-License-Identifier: GPL-2.0-only
//! A load from an unmapped address.
#![cfg_attr(target_os = "none", no_std, no_main)]

use user::prelude::*;

expect! {
    signal: SIGSEGV, code: SEGV_MAPERR, addr: 0x10001008,
    trapno: 14, err: 4, cr2: 0x10001008, rip: ip,
    end: killed(SIGSEGV),
    log: [segfault_log!("10001008", "4"), code_log!()],
}

probe!("mov ecx, 0x10001008"; "mov eax, [rcx]");
program!(run);

fn run() {
    probe();
}
