// SPDX-License-Identifier: GPL-2.0-only
//! When a blocked signal stays pending, and what takes it away.
#![cfg_attr(target_os = "none", no_std, no_main)]

use user::prelude::*;
use user::signal::{SIGCHLD, SIGCONT, SIGTSTP, SIGUSR1, sigpending};

expect! { end: exit(0) }
program!(run);

fn run() {
    let me = getpid();
    let send = |sig| check_eq!(kill(me, sig), Ok(0), "kill({sig})");
    sigprocmask_set(bit(SIGUSR1) | bit(SIGCONT) | bit(SIGTSTP) | bit(SIGCHLD));
    send(SIGUSR1);
    check_eq!(sigpending(), bit(SIGUSR1), "after kill");
    let _ = sigaction(SIGUSR1, Action::Ignore, 0, 0);
    check_eq!(sigpending(), 0, "ignoring it takes it away");
    send(SIGUSR1);
    check_eq!(sigpending(), bit(SIGUSR1), "blocked and ignored: kept, for the action may change");
    let _ = sigaction(SIGUSR1, Action::Default, 0, 0);
    let _ = sigaction(SIGUSR1, Action::Ignore, 0, 0);
    send(SIGCHLD);
    check_eq!(sigpending(), bit(SIGCHLD), "ignored by default: kept while blocked");
    send(SIGTSTP);
    check_eq!(sigpending(), bit(SIGCHLD) | bit(SIGTSTP), "a stop signal");
    send(SIGCONT);
    check_eq!(sigpending(), bit(SIGCHLD) | bit(SIGCONT), "SIGCONT takes stop signals away");
    send(SIGTSTP);
    check_eq!(sigpending(), bit(SIGCHLD) | bit(SIGTSTP), "and the other way round");
    let _ = sigaction(SIGCHLD, Action::Default, 0, 0);
    check_eq!(sigpending(), bit(SIGTSTP), "setting the default of an ignored one takes it away");
    send(SIGCONT);
    sigprocmask_set(0);
    check_eq!(sigpending(), 0, "unblocked: delivered, and nothing came of it");
}
