// SPDX-License-Identifier: GPL-2.0-only
//! `int 4`: the #OF gate is open to user mode; Linux sends SIGSEGV.
#![cfg_attr(target_os = "none", no_std, no_main)]

use user::prelude::*;

expect! {
    signal: SIGSEGV, code: SI_KERNEL, addr: none,
    trapno: 4, err: 0, cr2: 0, rip: ip + 2,
    end: killed(SIGSEGV),
    log: [trap_log!("overflow", "0")],
}

probe!(; ".byte 0xcd, 0x04");
program!(run);

fn run() {
    probe();
}
