// SPDX-License-Identifier: GPL-2.0-only
//! `int 0x21`: no gate there, so #GP whose error code tells the vector: times 8 plus 2 on a
//! processor, times 16 plus 2 under QEMU 7.2 TCG.
#![cfg_attr(target_os = "none", no_std, no_main)]

use user::prelude::*;

expect! {
    signal: SIGSEGV, code: SI_KERNEL, addr: none,
    trapno: 13, err: 0x10a | 0x212, cr2: 0, rip: ip,
    end: killed(SIGSEGV),
    log: [gp_log!("{err}")],
}

probe!(; ".byte 0xcd, 0x21");
program!(run);

fn run() {
    probe();
}
