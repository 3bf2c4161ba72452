// SPDX-License-Identifier: GPL-2.0-only
//! alarm: SIGALRM from the kernel, and how much of an earlier alarm was left.
#![cfg_attr(target_os = "none", no_std, no_main)]

use user::prelude::*;
use user::seen;
use user::signal::{SIGALRM, pause};
use user::time::{alarm, now, set_real_timer};

expect! { end: exit(0) }
program!(run);

fn run() {
    seen::install(SIGALRM, 0, 0);
    check_eq!(alarm(100), Ok(0), "the first alarm");
    check_eq!(alarm(1), Ok(100), "what was left of it, rounded");
    let start = now();
    check_eq!(pause(), Err(Errno(EINTR)), "pause");
    let waited = now() - start;
    check!((900_000_000..5_000_000_000).contains(&waited), "after 1 s: {waited} ns");
    check_eq!(seen::get(0), SigInfo::user(SIGALRM, 128, 0, 0), "siginfo");
    check_eq!(alarm(0), Ok(0), "nothing is left");
    check_eq!(seen::count(), 1, "it comes once");
    seen::clear();
    let _ = set_real_timer(10, 10);
    while seen::count() < 5 {
        check_eq!(pause(), Err(Errno(EINTR)), "pause");
    }
    let _ = set_real_timer(0, 0);
}
