// SPDX-License-Identifier: GPL-2.0-only
//! A blocked SIGSEGV without a handler: killed, and logged.
#![cfg_attr(target_os = "none", no_std, no_main)]

use user::prelude::*;

expect! {
    end: killed(SIGSEGV),
    log: [segfault_log!("0", "4"), code_log!()],
}

probe!(; "mov al, [rcx]");
program!(run);

fn run() {
    sigprocmask_set(u64::MAX);
    probe();
}
