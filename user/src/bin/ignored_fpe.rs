// SPDX-License-Identifier: GPL-2.0-only
//! An ignored SIGFPE: an exception is not to be ignored; killed, and logged.
#![cfg_attr(target_os = "none", no_std, no_main)]

use user::prelude::*;
use user::signal::SIGFPE;

expect! {
    end: killed(SIGFPE),
    log: [trap_log!("divide error", "0")],
}

probe!("mov eax, 1"; "div ecx");
program!(run);

fn run() {
    let _ = sigaction(SIGFPE, Action::Ignore, 0, 0);
    probe();
}
