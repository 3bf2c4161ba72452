// SPDX-License-Identifier: GPL-2.0-only
//! One-byte `int3`: #BP is a trap, so rip is behind it; the siginfo names no address.
#![cfg_attr(target_os = "none", no_std, no_main)]

use user::prelude::*;

expect! {
    signal: SIGTRAP, code: SI_KERNEL, addr: none,
    trapno: 3, err: 0, cr2: 0, rip: ip + 1,
    end: killed(SIGTRAP),
    log: [trap_log!("int3", "0")],
}

probe!(; "int3");
program!(run);

fn run() {
    probe();
}
