// SPDX-License-Identifier: GPL-2.0-only
//! Real-time signals are queued, each with its value; standard ones are not.
#![cfg_attr(target_os = "none", no_std, no_main)]

use user::prelude::*;
use user::process::getuid;
use user::seen;
use user::signal::{SIGUSR1, sigpending, sigqueueinfo};

expect! { end: exit(0) }
program!(run);

fn run() {
    let (me, uid) = (getpid(), getuid());
    let all = bit(34) | bit(36) | bit(SIGUSR1);
    for sig in [34, 36, SIGUSR1] {
        // With everything blocked in the handler, the order of calls is that of delivery.
        seen::install(sig, 0, u64::MAX);
    }
    sigprocmask_set(all);
    let value = |sig, v| SigInfo::queue(sig, -1, me, uid, v);
    for (sig, v) in [(36, 1), (34, 2), (SIGUSR1, 3), (36, 4), (34, 5), (SIGUSR1, 6), (34, 7)] {
        check_eq!(sigqueueinfo(me, sig, &value(sig, v)), Ok(0), "sigqueue({sig}, {v})");
    }
    check_eq!(sigpending(), all, "pending");
    check_eq!(seen::count(), 0, "came while blocked");
    sigprocmask_set(0);
    check_eq!(seen::count(), 6, "how many came");
    for (i, (sig, v)) in [(SIGUSR1, 3), (34, 2), (34, 5), (34, 7), (36, 1), (36, 4)].into_iter().enumerate() {
        check_eq!(seen::get(i), value(sig, v), "the signal at place {i}");
    }
    check_eq!(sigpending(), 0, "still pending");
}
