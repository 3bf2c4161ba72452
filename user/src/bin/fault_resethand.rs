// SPDX-License-Identifier: GPL-2.0-only
//! A fault inside a handler that was reset to default: killed, and logged.
#![cfg_attr(target_os = "none", no_std, no_main)]

use user::prelude::*;
use user::signal::SIGSEGV;

expect! {
    end: killed(SIGSEGV),
    log: [segfault_log!("0", "4"), code_log!()],
}

probe!(; "mov al, [rcx]");
program!(run);

extern "C" fn again(_: i32, _: &mut SigInfo, _: &mut UContext) {
    probe();
    user::process::exit_group(1);
}

fn run() {
    let _ = sigaction(SIGSEGV, Action::Handle(again), SA_NODEFER | SA_RESETHAND, 0);
    probe();
}
