// SPDX-License-Identifier: GPL-2.0-only
//! What wait4 says about children, and whom it finds.
#![cfg_attr(target_os = "none", no_std, no_main)]

use user::prelude::*;
use user::process::{WNOHANG, wait4};
use user::signal::{SIGKILL, SIGTERM, pause};

expect! { end: exit(0) }
program!(run);

fn run() {
    check_eq!(wait4(-1, 0), Err(Errno(ECHILD)), "wait without children");
    for code in [0, 1, 42, 255, 256 + 7] {
        let pid = child(|| code);
        check_eq!(wait(pid), Ok(WaitStatus::exited(code)), "exit({code})");
    }
    for sig in [SIGTERM, SIGKILL, 6, 34, 64] {
        let pid = child(|| {
            let _ = kill(getpid(), sig);
            0
        });
        check_eq!(wait(pid), Ok(WaitStatus::killed(sig as i32)), "signal {sig}");
    }
    let waiting = child(|| pause().map_or(0, |_| 1));
    check_eq!(wait4(waiting, WNOHANG), Ok(None), "WNOHANG on a living child");
    check_eq!(wait4(getpid(), 0), Err(Errno(ECHILD)), "waiting for oneself");
    let quick = child(|| 5);
    let any = wait4(-1, 0);
    check_eq!(any, Ok(Some((quick, WaitStatus::exited(5)))), "any child");
    check_eq!(wait4(quick, 0), Err(Errno(ECHILD)), "a child already waited for");
    check_eq!(kill(waiting, SIGKILL), Ok(0), "kill");
    check_eq!(wait(waiting), Ok(WaitStatus::killed(9)), "killed child");
    check_eq!(kill(waiting, 0), Err(Errno(ESRCH)), "a child that is gone");
    check_eq!(wait4(-1, 0x10), Err(Errno(EINVAL)), "bad options");
}
