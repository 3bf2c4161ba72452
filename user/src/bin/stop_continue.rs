// SPDX-License-Identifier: GPL-2.0-only
//! Stopping and continuing a child: what waitid, wait4 and SIGCHLD say each time.
#![cfg_attr(target_os = "none", no_std, no_main)]

use user::prelude::*;
use user::process::{WCONTINUED, WEXITED, WNOHANG, WSTOPPED, getuid, setpgid, wait4, waitid};
use user::signal::{SIGCHLD, SIGCONT, SIGKILL, SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU, pause, sigtimedwait};
use user::time::{sleep_ms, timespec};

expect! { end: exit(0) }
program!(run);

const CLD_KILLED: u32 = 2;
const CLD_STOPPED: u32 = 5;
const CLD_CONTINUED: u32 = 6;

/// A child in a process group of its own: in one that is not orphaned, so that SIGTSTP stops it.
fn sleeper() -> i32 {
    let pid = child(|| {
        sigprocmask_set(0);
        loop {
            let _ = pause();
        }
    });
    let _ = setpgid(pid, pid);
    pid
}

fn run() {
    sigprocmask_set(bit(SIGCHLD));
    let pid = sleeper();
    for sig in [SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU] {
        step(pid, sig, CLD_STOPPED, sig);
        check_eq!(kill(pid, sig), Ok(0), "stopping once more");
        let again = wait4(pid, WNOHANG | WSTOPPED);
        check_eq!(again, Ok(None), "a stopped child does not stop again");
        step(pid, SIGCONT, CLD_CONTINUED, SIGCONT);
    }
    step(pid, SIGSTOP, CLD_STOPPED, SIGSTOP);
    // A stopped child takes no signal but SIGKILL and SIGCONT.
    check_eq!(kill(pid, 15), Ok(0), "SIGTERM to a stopped child");
    sleep_ms(20);
    check_eq!(wait4(pid, WNOHANG), Ok(None), "it stays stopped");
    step(pid, SIGKILL, CLD_KILLED, SIGKILL);
    statuses();
    no_notice();
}

/// Sends a signal and compares waitid's and SIGCHLD's whole record.
fn step(pid: i32, sig: u32, code: u32, status: u32) {
    check_eq!(kill(pid, sig), Ok(0), "kill({sig})");
    let want = SigInfo::child(code, pid, getuid(), status as i32);
    let info = waitid(pid, WSTOPPED | WCONTINUED | WEXITED).map(SigInfo::without_times);
    check_eq!(info, Ok(want), "waitid after signal {sig}");
    let info = sigtimedwait(bit(SIGCHLD), Some(&timespec(5, 0))).map(SigInfo::without_times);
    check_eq!(info, Ok(want), "SIGCHLD after signal {sig}");
}

/// The same as wait4 sees it.
fn statuses() {
    let pid = sleeper();
    let status = |options| wait4(pid, options).map(|s| s.map(|s| s.1));
    check_eq!(kill(pid, SIGSTOP), Ok(0), "kill");
    check_eq!(status(WSTOPPED), Ok(Some(WaitStatus::stopped(19))), "WUNTRACED");
    check_eq!(status(WSTOPPED | WNOHANG), Ok(None), "a stop is told once");
    check_eq!(kill(pid, SIGCONT), Ok(0), "kill");
    check_eq!(status(WCONTINUED), Ok(Some(WaitStatus::CONTINUED)), "WCONTINUED");
    check_eq!(kill(pid, SIGKILL), Ok(0), "kill");
    check_eq!(status(0), Ok(Some(WaitStatus::killed(9))), "the end");
}

/// SA_NOCLDSTOP: a stop sends no SIGCHLD, an end does.
fn no_notice() {
    const SA_NOCLDSTOP: u32 = 1;
    user::seen::install(SIGCHLD, SA_NOCLDSTOP, 0);
    let left = sigtimedwait(bit(SIGCHLD), Some(&timespec(0, 0)));
    check!(left.is_ok(), "the last child's SIGCHLD was pending");
    let pid = sleeper();
    check_eq!(kill(pid, SIGSTOP), Ok(0), "kill");
    check_eq!(wait4(pid, WSTOPPED), Ok(Some((pid, WaitStatus::stopped(19)))), "it stopped");
    check_eq!(user::signal::sigpending(), 0, "no SIGCHLD for the stop");
    check_eq!(kill(pid, SIGKILL), Ok(0), "kill");
    check_eq!(wait(pid), Ok(WaitStatus::killed(9)), "the end");
    check_eq!(user::signal::sigpending(), bit(SIGCHLD), "SIGCHLD for the end");
}
