// SPDX-License-Identifier: GPL-2.0-only
//! What each of the 64 signals does to a program that does not care.
#![cfg_attr(target_os = "none", no_std, no_main)]

use user::prelude::*;
use user::process::{WSTOPPED, setpgid, wait4};
use user::signal::{SIGCHLD, SIGCONT, SIGKILL, SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU, SIGURG, SIGWINCH};

expect! { end: exit(0) }
program!(run);

fn run() {
    for sig in 1..=64u32 {
        let pid = child(|| {
            // A group of its own, which is not orphaned: SIGTSTP and its kin stop it.
            let _ = setpgid(0, 0);
            let _ = kill(getpid(), sig);
            0
        });
        let want = match sig {
            SIGCHLD | SIGCONT | SIGURG | SIGWINCH => WaitStatus::exited(0),
            SIGSTOP | SIGTSTP | SIGTTIN | SIGTTOU => WaitStatus::stopped(sig as i32),
            _ => WaitStatus::killed(sig as i32),
        };
        let got = wait4(pid, WSTOPPED).map(|s| s.map(|s| s.1.without_core()));
        check_eq!(got, Ok(Some(want)), "signal {sig}");
        if want == WaitStatus::stopped(sig as i32) {
            let _ = kill(pid, SIGKILL);
            check_eq!(wait(pid), Ok(WaitStatus::killed(9)), "SIGKILL after signal {sig}");
        }
    }
}
