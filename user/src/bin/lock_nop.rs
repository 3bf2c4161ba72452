// SPDX-License-Identifier: GPL-2.0-only
//! A LOCK prefix where none may be: #UD.
#![cfg_attr(target_os = "none", no_std, no_main)]

use user::prelude::*;

expect! {
    signal: SIGILL, code: ILL_ILLOPN, addr: ip,
    trapno: 6, err: 0, cr2: 0, rip: ip,
    end: killed(SIGILL),
    log: [trap_log!("invalid opcode", "0")],
}

probe!(; ".byte 0xf0, 0x90");
program!(run);

fn run() {
    probe();
}
