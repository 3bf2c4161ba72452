// SPDX-License-Identifier: GPL-2.0-only
//! SIGALRM without a handler ends a program that pauses.
#![cfg_attr(target_os = "none", no_std, no_main)]

use user::prelude::*;
use user::signal::pause;
use user::time::set_real_timer;

expect! { end: killed(SIGALRM), log: [] }
program!(run);

fn run() {
    let _ = set_real_timer(20, 0);
    let _ = pause();
}
