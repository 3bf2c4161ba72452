// SPDX-License-Identifier: GPL-2.0-only
//! What execve keeps of the signal state: mask, pending and ignored signals; handlers and stack go.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::ptr::null;
use user::memory::{PROT_READ, PROT_WRITE, map};
use user::prelude::*;
use user::process::execve;
use user::signal::{
    AltStack, KernelSigaction, SIGCHLD, SIGHUP, SIGTERM, SIGUSR1, SIGUSR2, sigaction_raw, sigaltstack,
    sigmask, sigpending,
};
use user::{seen, start};

expect! { end: exit(0) }
program!(run);

fn run() {
    if start::arg_str(1) == Some("second") {
        return second();
    }
    let sp = map(0x10000, PROT_READ | PROT_WRITE).unwrap_or(0) as u64;
    check!(sigaltstack(Some(AltStack { sp, flags: 0, size: 0x10000 })).is_ok(), "sigaltstack");
    seen::install(SIGUSR1, SA_ONSTACK, u64::MAX);
    let _ = sigaction(SIGUSR2, Action::Ignore, 0, 0);
    let _ = sigaction(SIGCHLD, Action::Ignore, 0, 0);
    sigprocmask_set(bit(SIGHUP) | bit(SIGTERM));
    check_eq!(kill(getpid(), SIGHUP), Ok(0), "kill");
    let Some(me) = start::arg(0) else {
        return check!(false, "no argv[0]");
    };
    let e = execve(me, &[me.as_ptr(), c"second".as_ptr(), null()], &[null()]);
    check!(false, "execve: {e}");
}

fn second() {
    let action = |sig| sigaction_raw(sig, None);
    let default = KernelSigaction { handler: 0, flags: 0, restorer: 0, mask: 0 };
    check_eq!(action(SIGUSR1), Ok(default), "a handler becomes the default");
    let ignored = [SIGUSR2, SIGCHLD].map(|sig| action(sig).map(|a| a.handler));
    check_eq!(ignored, [Ok(1), Ok(1)], "ignored stays ignored");
    check_eq!(sigmask(), bit(SIGHUP) | bit(SIGTERM), "mask");
    check_eq!(sigpending(), bit(SIGHUP), "pending");
    let stack = sigaltstack(None).map(|a| (a.sp, a.size));
    check_eq!(stack, Ok((0, 0)), "the alternate stack is gone");
}
