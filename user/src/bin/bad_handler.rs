// SPDX-License-Identifier: GPL-2.0-only
//! A handler at an address where nothing is: a fault there, which kills.
#![cfg_attr(target_os = "none", no_std, no_main)]

use user::prelude::*;
use user::signal::{SIGUSR1, raise};

expect! {
    signal: SIGSEGV, code: SEGV_MAPERR, addr: 0x123456000,
    trapno: 14, err: 0x14, cr2: 0x123456000, rip: 0x123456000,
    mask: 0x200,
    end: killed(SIGSEGV),
    log: [segfault_log!("123456000", "14", nowhere), code_log!("123455fd6")],
}
program!(run);

fn run() {
    let _ = sigaction(SIGUSR1, Action::Address(0x1_2345_6000), 0, 0);
    raise(SIGUSR1);
}
