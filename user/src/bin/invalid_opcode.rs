// SPDX-License-Identifier: GPL-2.0-only
//! `ud2`: #UD becomes SIGILL.
#![cfg_attr(target_os = "none", no_std, no_main)]

use user::prelude::*;

expect! {
    signal: SIGILL, code: ILL_ILLOPN, addr: ip,
    trapno: 6, err: 0, cr2: 0, rip: ip,
    end: killed(SIGILL),
    log: [trap_log!("invalid opcode", "0")],
}

probe!(; "ud2");
program!(run);

fn run() {
    probe();
}
