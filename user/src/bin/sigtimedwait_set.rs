// SPDX-License-Identifier: GPL-2.0-only
//! sigtimedwait: takes a pending signal, waits for one, times out, is interrupted.
#![cfg_attr(target_os = "none", no_std, no_main)]

use user::prelude::*;
use user::process::{getppid, getuid};
use user::seen;
use user::signal::{SIGALRM, SIGTERM, SIGUSR1, SIGUSR2, sigpending, sigqueueinfo, sigtimedwait};
use user::time::{now, set_real_timer, sleep_ms, timespec};

expect! { end: exit(0) }
program!(run);

fn run() {
    let (me, uid) = (getpid(), getuid());
    let set = bit(SIGUSR1) | bit(40);
    sigprocmask_set(set | bit(SIGTERM));
    let none = timespec(0, 0);
    check_eq!(sigtimedwait(set, Some(&none)), Err(Errno(EAGAIN)), "none, no time");
    let queued = SigInfo::queue(40, -1, me, uid, 77);
    check_eq!(sigqueueinfo(me, 40, &queued), Ok(0), "sigqueue");
    check_eq!(kill(me, SIGUSR1), Ok(0), "kill");
    check_eq!(kill(me, SIGTERM), Ok(0), "kill");
    let user = SigInfo::user(SIGUSR1, 0, me, uid);
    check_eq!(sigtimedwait(set, Some(&none)), Ok(user), "the lower number first");
    check_eq!(sigtimedwait(set, Some(&none)), Ok(queued), "then the queued one");
    check_eq!(sigpending(), bit(SIGTERM), "what was not asked for stays pending");
    check_eq!(sigtimedwait(bit(SIGTERM), None).map(|i| i.signo), Ok(15), "SIGTERM");
    waiting(set, uid);
}

fn waiting(set: u64, uid: u32) {
    let pid = child(|| {
        sleep_ms(20);
        kill(getppid(), SIGUSR1).map_or(1, |_| 0)
    });
    let got = sigtimedwait(set, Some(&timespec(5, 0)));
    check_eq!(got, Ok(SigInfo::user(SIGUSR1, 0, pid, uid)), "sent while waiting");
    check_eq!(wait(pid), Ok(WaitStatus::exited(0)), "child");
    let start = now();
    check_eq!(sigtimedwait(set, Some(&timespec(0, 30_000_000))), Err(Errno(EAGAIN)), "time out");
    check!(now() - start >= 30_000_000, "it waited 30 ms");
    for flags in [0, SA_RESTART] {
        seen::install(SIGALRM, flags, 0);
        let _ = set_real_timer(20, 0);
        let got = sigtimedwait(bit(SIGUSR2), Some(&timespec(5, 0)));
        check_eq!(got, Err(Errno(EINTR)), "interrupted by a handler");
    }
    check_eq!(seen::count(), 2, "handlers");
    let bad = timespec(0, -1);
    check_eq!(sigtimedwait(set, Some(&bad)), Err(Errno(EINVAL)), "bad time");
}
