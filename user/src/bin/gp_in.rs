// SPDX-License-Identifier: GPL-2.0-only
//! `in` from a port without I/O privilege: #GP.
#![cfg_attr(target_os = "none", no_std, no_main)]

use user::prelude::*;

expect! {
    signal: SIGSEGV, code: SI_KERNEL, addr: none,
    trapno: 13, err: 0, cr2: 0, rip: ip,
    end: killed(SIGSEGV),
    log: [gp_log!("0")],
}

probe!("mov edx, 0x60"; "in al, dx");
program!(run);

fn run() {
    probe();
}
