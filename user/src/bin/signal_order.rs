// SPDX-License-Identifier: GPL-2.0-only
//! Which of several pending signals comes first.
#![cfg_attr(target_os = "none", no_std, no_main)]

use user::prelude::*;
use user::seen;
use user::signal::{SIGCHLD, SIGHUP, SIGILL, SIGSEGV, SIGTERM, SIGUSR1, SIGUSR2};

expect! { end: exit(0) }
program!(run);

const SENT: [u32; 9] = [SIGUSR2, 35, 34, SIGTERM, SIGSEGV, SIGUSR1, SIGHUP, SIGCHLD, SIGILL];

fn run() {
    // Nothing blocked while handlers run: all frames are pushed before the first handler
    // starts, so the last delivered runs first.
    check_eq!(send_all(0), [35, 34, 17, 15, 12, 10, 1, 11, 4], "handlers ran");
    // Everything blocked: the order of delivery, synchronous signals first.
    check_eq!(send_all(u64::MAX), [4, 11, 1, 10, 12, 15, 17, 34, 35], "delivered");
    sigprocmask_set(u64::MAX);
    seen::clear();
    let me = getpid();
    check_eq!(kill(me, SIGHUP), Ok(0), "kill");
    check_eq!(tgkill(me, me, SIGUSR2), Ok(0), "tgkill");
    sigprocmask_set(0);
    check_eq!(seen::numbers(), [12, 1], "the thread's own signal before the process's");
}

fn send_all(mask: u64) -> [i32; 9] {
    for sig in SENT {
        seen::install(sig, 0, mask);
    }
    seen::clear();
    sigprocmask_set(u64::MAX);
    for sig in SENT {
        check_eq!(kill(getpid(), sig), Ok(0), "kill({sig})");
    }
    sigprocmask_set(0);
    check_eq!(seen::count(), 9, "how many came");
    seen::numbers()
}
