// SPDX-License-Identifier: GPL-2.0-only
//! Children are a thread's: `/proc/PID/task/TID/children` and `__WNOTHREAD` tell whose, and when the
//! thread ends another one of its process has them. Many are waited for in any order.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::ffi::CStr;
use core::fmt::Write;
use core::sync::atomic::{AtomicI32, Ordering::SeqCst};
use linux_raw_sys::general as abi;
use user::file;
use user::prelude::*;
use user::process::{WNOHANG, exit_thread, sched_yield, spawn_thread, wait4};
use user::signal::{SIGKILL, pause};
use user::text::Text;

expect! { end: exit(0) }
program!(run);

/// The child of the other thread; then what that one is to do.
static OTHERS: AtomicI32 = AtomicI32::new(0);
static LEAVE: AtomicI32 = AtomicI32::new(0);
/// What the other thread's waiting for the first one's child gave: an error, or -1.
static ITS_WAIT: AtomicI32 = AtomicI32::new(-2);

fn run() {
    by_thread();
    in_any_order();
}

fn sleeper() -> i32 {
    child(|| {
        loop {
            let _ = pause();
        }
    })
}

type Line = Text<64>;

fn line(pids: &[i32]) -> Line {
    let mut l = Line::new();
    for pid in pids {
        let _ = write!(l, "{pid} ");
    }
    l
}

/// The children of a thread, as `/proc` tells them.
fn children(tid: i32) -> Line {
    let mut path = Line::new();
    let _ = write!(path, "/proc/self/task/{tid}/children\0");
    let path = CStr::from_bytes_until_nul(path.as_str().as_bytes()).unwrap_or(c"");
    let (mut buf, mut l) = ([0; 64], Line::new());
    match file::load(path, &mut buf) {
        Ok(t) => l.push_bytes(t),
        Err(e) => drop(write!(l, "{e}")),
    }
    l
}

extern "C" fn other() -> ! {
    OTHERS.store(sleeper(), SeqCst);
    let first = wait_until(&LEAVE, |v| v != 0);
    let r = wait4(first, WNOHANG | abi::__WNOTHREAD);
    ITS_WAIT.store(r.map_or_else(|e| e.0 as i32, |_| -1), SeqCst);
    wait_until(&LEAVE, |v| v == -1);
    exit_thread(0)
}

fn wait_until(v: &AtomicI32, is: impl Fn(i32) -> bool) -> i32 {
    while !is(v.load(SeqCst)) {
        sched_yield();
    }
    v.load(SeqCst)
}

fn by_thread() {
    let own = sleeper();
    let Ok(tid) = spawn_thread(other) else { return check!(false, "a thread") };
    let its = wait_until(&OTHERS, |v| v != 0);
    let me = gettid();
    check_eq!(children(me).as_str(), line(&[own]).as_str(), "the first thread's");
    check_eq!(children(tid).as_str(), line(&[its]).as_str(), "the other's");
    LEAVE.store(own, SeqCst);
    check_eq!(wait_until(&ITS_WAIT, |v| v != -2), ECHILD as i32, "the other has not this one");
    check_eq!(wait4(its, WNOHANG | abi::__WNOTHREAD), Err(Errno(ECHILD)), "nor this one the other's");
    check_eq!(wait4(its, WNOHANG), Ok(None), "but all of the process wait for it");
    LEAVE.store(-1, SeqCst);
    // Its place in /proc goes after it has left its child.
    while kill_thread(tid, 0).is_ok() {
        sched_yield();
    }
    check_eq!(children(me).as_str(), line(&[own, its]).as_str(), "the one that goes on has both");
    check_eq!(wait4(its, WNOHANG | abi::__WNOTHREAD), Ok(None), "and waits for both");
    for pid in [own, its] {
        let _ = kill(pid, SIGKILL);
        check_eq!(wait(pid), Ok(WaitStatus::killed(9)), "the child");
    }
    check_eq!(children(me).as_str(), "", "none is left");
}

fn kill_thread(tid: i32, sig: u32) -> Result<usize, Errno> {
    tgkill(getpid(), tid, sig)
}

const MANY: usize = 120;

/// All but the first and last end at once, in no order; then those two.
fn in_any_order() {
    let mut pids = [0; MANY];
    for pid in &mut pids {
        *pid = sleeper();
    }
    for i in 1..MANY - 1 {
        // 7 has no divisor in common with their number.
        let pid = pids[1 + i * 7 % (MANY - 2)];
        let _ = kill(pid, SIGKILL);
        check_eq!(wait(pid), Ok(WaitStatus::killed(9)), "one of many");
    }
    let (first, last) = (pids[0], pids[MANY - 1]);
    check_eq!(children(gettid()).as_str(), line(&[first, last]).as_str(), "the first and the last");
    let later = sleeper();
    check_eq!(
        children(gettid()).as_str(),
        line(&[first, last, later]).as_str(),
        "a later one is behind them"
    );
    for pid in [last, first, later] {
        let _ = kill(pid, SIGKILL);
        check_eq!(wait4(-1, 0).map(|w| w.map(|(who, _)| who)), Ok(Some(pid)), "who has ended");
    }
    check_eq!(wait4(-1, 0), Err(Errno(ECHILD)), "no more");
}
