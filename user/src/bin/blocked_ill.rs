// SPDX-License-Identifier: GPL-2.0-only
//! A blocked SIGILL with a handler and ud2: killed, silently.
#![cfg_attr(target_os = "none", no_std, no_main)]

use user::prelude::*;
use user::signal::SIGILL;

expect! { end: killed(SIGILL), log: [] }

probe!(; "ud2");
program!(run);

extern "C" fn unreached(_: i32, _: &mut SigInfo, _: &mut UContext) {
    user::process::exit_group(1);
}

fn run() {
    let _ = sigaction(SIGILL, Action::Handle(unreached), 0, 0);
    sigprocmask_set(bit(SIGILL));
    probe();
}
