// SPDX-License-Identifier: GPL-2.0-only
//! An ignored SIGTRAP and int3: killed, and logged.
#![cfg_attr(target_os = "none", no_std, no_main)]

use user::prelude::*;
use user::signal::SIGTRAP;

expect! {
    end: killed(SIGTRAP),
    log: [trap_log!("int3", "0")],
}

probe!(; "int3");
program!(run);

fn run() {
    let _ = sigaction(SIGTRAP, Action::Ignore, 0, 0);
    probe();
}
