// SPDX-License-Identifier: GPL-2.0-only
//! What fork keeps of the signal state: mask, actions, alternate stack; pending signals and timers stay behind.
#![cfg_attr(target_os = "none", no_std, no_main)]

use user::memory::{PROT_READ, PROT_WRITE, map};
use user::prelude::*;
use user::seen;
use user::signal::{AltStack, SIGHUP, SIGUSR1, sigaction_raw, sigaltstack, sigmask, sigpending};
use user::time::{alarm, sleep_ms};

expect! { end: exit(0) }
program!(run);

fn run() {
    let sp = map(0x10000, PROT_READ | PROT_WRITE).unwrap_or(0) as u64;
    let stack = AltStack { sp, flags: 0, size: 0x10000 };
    check!(sigaltstack(Some(stack)).is_ok(), "sigaltstack");
    seen::install(SIGUSR1, SA_ONSTACK, bit(SIGHUP));
    sigprocmask_set(bit(SIGHUP));
    check_eq!(kill(getpid(), SIGHUP), Ok(0), "kill");
    check_eq!(alarm(100), Ok(0), "alarm");
    let before = sigaction_raw(SIGUSR1, None);
    let pid = child(|| {
        check_eq!(sigpending(), 0, "child: nothing pending");
        check_eq!(sigmask(), bit(SIGHUP), "child: mask");
        check_eq!(sigaction_raw(SIGUSR1, None), before, "child: action");
        check_eq!(sigaltstack(None), Ok(stack), "child: alternate stack");
        check_eq!(alarm(0), Ok(0), "child: no alarm");
        let _ = sigaction(SIGUSR1, Action::Ignore, 0, 0);
        check_eq!(kill(getpid(), SIGUSR1), Ok(0), "child: kill");
        user::start::finish()
    });
    check_eq!(wait(pid), Ok(WaitStatus::exited(0)), "child");
    sleep_ms(1);
    check_eq!(sigpending(), bit(SIGHUP), "parent: still pending");
    check_eq!(alarm(0), Ok(100), "parent: alarm");
    check_eq!(sigaction_raw(SIGUSR1, None), before, "parent: action");
    check_eq!(seen::count(), 0, "parent: the child's signal was the child's");
}
