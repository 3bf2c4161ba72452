// SPDX-License-Identifier: GPL-2.0-only
//! SIGSEGV sent by kill: killed like by a fault, but the kernel logs nothing.
#![cfg_attr(target_os = "none", no_std, no_main)]

use user::prelude::*;
use user::signal::SIGSEGV;

expect! { end: killed(SIGSEGV), log: [] }
program!(run);

fn run() {
    let _ = kill(getpid(), SIGSEGV);
}
