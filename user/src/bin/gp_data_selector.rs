// SPDX-License-Identifier: GPL-2.0-only
//! Loading a kernel selector into ds: #GP with the selector as error code.
#![cfg_attr(target_os = "none", no_std, no_main)]

use user::prelude::*;

expect! {
    signal: SIGSEGV, code: SI_KERNEL, addr: none,
    trapno: 13, err: 0x18, cr2: 0, rip: ip,
    end: killed(SIGSEGV),
    log: [gp_log!("18")],
}

probe!("mov eax, 0x18"; "mov ds, eax");
program!(run);

fn run() {
    probe();
}
