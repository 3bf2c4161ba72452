// SPDX-License-Identifier: GPL-2.0-only
//! A load from the last byte of the address space.
#![cfg_attr(target_os = "none", no_std, no_main)]

use user::prelude::*;

expect! {
    signal: SIGSEGV, code: SEGV_MAPERR, addr: 0xffffffffffffffff,
    trapno: 14, err: 5, cr2: 0xffffffffffffffff, rip: ip,
    end: killed(SIGSEGV),
    log: [segfault_log!("ffffffffffffffff", "5"), code_log!()],
}

probe!("mov rcx, -1"; "mov al, [rcx]");
program!(run);

fn run() {
    probe();
}
