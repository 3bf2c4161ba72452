// SPDX-License-Identifier: GPL-2.0-only
//! A fault of the same kind inside its handler: the signal is blocked there, so it kills.
#![cfg_attr(target_os = "none", no_std, no_main)]

use user::prelude::*;
use user::signal::SIGSEGV;

expect! { end: killed(SIGSEGV), log: [] }

probe!(; "mov al, [rcx]");
program!(run);

extern "C" fn again(_: i32, _: &mut SigInfo, _: &mut UContext) {
    probe();
    user::process::exit_group(1);
}

fn run() {
    let _ = sigaction(SIGSEGV, Action::Handle(again), 0, 0);
    probe();
}
