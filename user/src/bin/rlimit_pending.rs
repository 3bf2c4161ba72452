// SPDX-License-Identifier: GPL-2.0-only
//! RLIMIT_SIGPENDING: real-time signals beyond it are refused, standard ones still come.
#![cfg_attr(target_os = "none", no_std, no_main)]

use user::prelude::*;
use user::process::{RLIMIT_SIGPENDING, getrlimit, getuid, setrlimit};
use user::seen;
use user::signal::{SIGUSR1, sigqueueinfo};

expect! { end: exit(0) }
program!(run);

/// Queues signals until one is refused; returns how many were not.
fn fill() -> usize {
    let (me, uid) = (getpid(), getuid());
    for n in 0..1000 {
        match sigqueueinfo(me, 34, &SigInfo::queue(34, -1, me, uid, n)) {
            Ok(_) => {}
            Err(e) => {
                check_eq!(e, Errno(EAGAIN), "why it was refused");
                return n as usize;
            }
        }
    }
    1000
}

fn run() {
    sigprocmask_set(bit(34) | bit(SIGUSR1));
    seen::install(34, 0, 0);
    seen::install(SIGUSR1, 0, 0);
    check_eq!(setrlimit(RLIMIT_SIGPENDING, 10, Some(12)).is_ok(), true, "setrlimit");
    // The user may have signals pending elsewhere: at most ten.
    let first = fill();
    check!(first <= 10, "queued {first} at a limit of 10");
    check_eq!(setrlimit(RLIMIT_SIGPENDING, 12, Some(12)).is_ok(), true, "setrlimit");
    check_eq!(fill(), 2, "queued two more after the limit went from 10 to 12");
    let limit = getrlimit(RLIMIT_SIGPENDING).map(|l| (l.rlim_cur, l.rlim_max));
    check_eq!(limit, Ok((12, 12)), "getrlimit");
    check_eq!(kill(getpid(), 34), Ok(0), "kill of a real-time signal: sent without a record");
    check_eq!(kill(getpid(), SIGUSR1), Ok(0), "a standard signal");
    sigprocmask_set(0);
    check_eq!(seen::count(), first + 3, "came");
    check_eq!(fill(), 1000, "unlimited while nothing stays pending");
}
