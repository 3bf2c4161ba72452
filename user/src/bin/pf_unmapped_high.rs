// SPDX-License-Identifier: GPL-2.0-only
//! A load from an unmapped address high up.
#![cfg_attr(target_os = "none", no_std, no_main)]

use user::prelude::*;

expect! {
    signal: SIGSEGV, code: SEGV_MAPERR, addr: 0x7f0000000000,
    trapno: 14, err: 4, cr2: 0x7f0000000000, rip: ip,
    end: killed(SIGSEGV),
    log: [segfault_log!("7f0000000000", "4"), code_log!()],
}

probe!("mov rcx, 0x7f0000000000"; "mov al, [rcx]");
program!(run);

fn run() {
    probe();
}
