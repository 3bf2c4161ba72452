// SPDX-License-Identifier: GPL-2.0-only
//! A blocked SIGSEGV with a handler: the exception kills all the same, and silently.
#![cfg_attr(target_os = "none", no_std, no_main)]

use user::prelude::*;
use user::signal::SIGSEGV;

expect! { end: killed(SIGSEGV), log: [] }

probe!(; "mov al, [rcx]");
program!(run);

extern "C" fn unreached(_: i32, _: &mut SigInfo, _: &mut UContext) {
    user::process::exit_group(1);
}

fn run() {
    let _ = sigaction(SIGSEGV, Action::Handle(unreached), 0, 0);
    sigprocmask_set(bit(SIGSEGV));
    probe();
}
