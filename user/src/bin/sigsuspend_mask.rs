// SPDX-License-Identifier: GPL-2.0-only
//! sigsuspend: waits with another mask, and has the old one back after the handler.
#![cfg_attr(target_os = "none", no_std, no_main)]

use user::prelude::*;
use user::seen;
use user::signal::{SIGALRM, SIGHUP, SIGUSR1, sigmask, sigpending, sigsuspend};
use user::time::set_real_timer;

expect! { end: exit(0) }
program!(run);

extern "C" fn masks(_: i32, _: &mut SigInfo, uc: &mut UContext) {
    check_eq!(sigmask(), bit(SIGHUP) | bit(SIGUSR1), "in the handler: sigsuspend's mask and its own");
    check_eq!(uc.sigmask, bit(SIGUSR1) | bit(SIGALRM), "in the frame: the mask before sigsuspend");
}

fn run() {
    let blocked = bit(SIGUSR1) | bit(SIGALRM);
    let _ = sigaction(SIGUSR1, Action::Handle(masks), 0, 0);
    sigprocmask_set(blocked);
    check_eq!(kill(getpid(), SIGUSR1), Ok(0), "kill");
    check_eq!(sigpending(), bit(SIGUSR1), "pending");
    check_eq!(sigsuspend(bit(SIGHUP)), Err(Errno(EINTR)), "sigsuspend with one pending");
    check_eq!(sigmask(), blocked, "the old mask is back");
    check_eq!(sigpending(), 0, "it was delivered");
    seen::install(SIGALRM, SA_RESTART, 0);
    let _ = set_real_timer(20, 0);
    check_eq!(sigsuspend(0), Err(Errno(EINTR)), "sigsuspend, SA_RESTART or not");
    check_eq!(seen::count(), 1, "it waited for the signal");
    check_eq!(sigmask(), blocked, "the old mask is back again");
}
