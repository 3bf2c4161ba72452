// SPDX-License-Identifier: GPL-2.0-only
//! SIGCHLD's siginfo, as sigtimedwait and waitid report it, for each way to end.
#![cfg_attr(target_os = "none", no_std, no_main)]

use user::prelude::*;
use user::process::{WEXITED, WNOWAIT, getuid, waitid};
use user::signal::{SIGCHLD, SIGKILL, SIGSEGV, SIGTERM, sigtimedwait};
use user::time::timespec;

expect! { end: exit(0) }
program!(run);

const CLD_EXITED: u32 = 1;
const CLD_KILLED: u32 = 2;

fn run() {
    // Ignored by default, but kept while blocked.
    sigprocmask_set(bit(SIGCHLD));
    one("exit(42)", CLD_EXITED, 42, || 42);
    for sig in [SIGTERM, SIGKILL, SIGSEGV, 40] {
        one("killed", CLD_KILLED, sig as i32, || {
            let _ = kill(getpid(), sig);
            0
        });
    }
}

fn one(what: &str, code: u32, status: i32, body: impl FnOnce() -> i32) {
    let pid = child(body);
    let want = SigInfo::child(code, pid, getuid(), status);
    let early = waitid(pid, WEXITED | WNOWAIT).map(SigInfo::without_times);
    // waitid has no errno or time to tell, and the rest is the same.
    check_eq!(early, Ok(want), "{what}: waitid(WNOWAIT)");
    let info = sigtimedwait(bit(SIGCHLD), Some(&timespec(5, 0))).map(SigInfo::without_times);
    check_eq!(info, Ok(want), "{what}: SIGCHLD");
    let last = waitid(pid, WEXITED).map(SigInfo::without_times);
    check_eq!(last, Ok(want), "{what}: waitid");
    check_eq!(waitid(pid, WEXITED), Err(Errno(ECHILD)), "{what}: waitid again");
}
