// SPDX-License-Identifier: GPL-2.0-only
//! What the signal system calls refuse.
#![cfg_attr(target_os = "none", no_std, no_main)]

use user::prelude::*;
use user::signal::{SIGKILL, SIGSTOP, SIGUSR1, sigaction_raw, sigprocmask};
use user::syscall;

expect! { end: exit(0) }
program!(run);

fn run() {
    let ignore = |sig| sigaction(sig, Action::Ignore, 0, 0).map(|_| ());
    for sig in [SIGKILL, SIGSTOP, 0, 65] {
        check_eq!(ignore(sig), Err(Errno(EINVAL)), "sigaction({sig})");
    }
    check_eq!(ignore(64), Ok(()), "sigaction(64)");
    for sig in [SIGKILL, SIGSTOP] {
        check_eq!(sigaction_raw(sig, None).map(|a| a.handler), Ok(0), "reading {sig}");
    }
    check_eq!(sigprocmask(9, 0), Err(Errno(EINVAL)), "an unknown how");
    // SAFETY: bad pointers and sizes are the test: the kernel refuses them.
    let refused = unsafe {
        [
            (syscall!(__NR_rt_sigaction, SIGUSR1, 0, 0, 16), EINVAL),
            (syscall!(__NR_rt_sigaction, SIGUSR1, 1, 0, 8), EFAULT),
            (syscall!(__NR_rt_sigaction, SIGUSR1, 0, 1, 8), EFAULT),
            (syscall!(__NR_rt_sigprocmask, 0, 0, 0, 4), EINVAL),
            (syscall!(__NR_rt_sigprocmask, 0, 1, 0, 8), EFAULT),
            (syscall!(__NR_rt_sigpending, 0, 9), EINVAL),
            (syscall!(__NR_rt_sigpending, 1, 8), EFAULT),
            (syscall!(__NR_rt_sigsuspend, 1, 8), EFAULT),
            (syscall!(__NR_rt_sigsuspend, 0, 4), EINVAL),
            (syscall!(__NR_rt_sigtimedwait, 1, 0, 0, 8), EFAULT),
            (syscall!(__NR_rt_sigtimedwait, 0, 0, 0, 4), EINVAL),
            (syscall!(__NR_rt_sigqueueinfo, getpid(), SIGUSR1, 1), EFAULT),
        ]
    };
    for (i, (got, want)) in refused.into_iter().enumerate() {
        check_eq!(got, Err(Errno(want)), "call {i}");
    }
}
