// SPDX-License-Identifier: GPL-2.0-only
//! An action without SA_RESTORER: the frame cannot be built, and SIGSEGV kills silently.
#![cfg_attr(target_os = "none", no_std, no_main)]

use user::prelude::*;
use user::signal::{KernelSigaction, SIGUSR1, raise, sigaction_raw};

expect! { end: killed(SIGSEGV), log: [] }
program!(run);

extern "C" fn unreached(_: i32, _: &mut SigInfo, _: &mut UContext) {
    user::process::exit_group(1);
}

fn run() {
    let handler = unreached as *const () as u64;
    let action = KernelSigaction { handler, flags: SA_SIGINFO.into(), restorer: 0, mask: 0 };
    check!(sigaction_raw(SIGUSR1, Some(&action)).is_ok(), "sigaction");
    raise(SIGUSR1);
}
