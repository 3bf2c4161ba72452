// SPDX-License-Identifier: GPL-2.0-only
//! Two-byte `int 3`: like int3, one byte longer.
#![cfg_attr(target_os = "none", no_std, no_main)]

use user::prelude::*;

expect! {
    signal: SIGTRAP, code: SI_KERNEL, addr: none,
    trapno: 3, err: 0, cr2: 0, rip: ip + 2,
    end: killed(SIGTRAP),
    log: [trap_log!("int3", "0")],
}

probe!(; ".byte 0xcd, 0x03");
program!(run);

fn run() {
    probe();
}
