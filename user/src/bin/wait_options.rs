// SPDX-License-Identifier: GPL-2.0-only
//! For whom a wait is: without WEXITED a zombie is nobody to wait for; with __WNOTHREAD the
//! children of other threads are somebody else's; own children come before those of others, and
//! before tracees.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::sync::atomic::{AtomicBool, AtomicI32, Ordering::SeqCst};
use linux_raw_sys::general::__WNOTHREAD;
use linux_raw_sys::prctl::PR_SET_CHILD_SUBREAPER;
use user::prelude::*;
use user::process::{
    __WALL, WCONTINUED, WEXITED, WNOHANG, WNOWAIT, WSTOPPED, exit_thread, spawn_thread, wait4, waitid,
};
use user::ptrace::{PTRACE_SEIZE, tell};
use user::syscall;
use user::time::sleep_ms;

expect! { end: exit(0) }
program!(run);

fn run() {
    zombies();
    threads();
    orphans();
    tracees();
}

fn zombies() {
    let pid = child(|| 3);
    check!(waitid(pid, WEXITED | WNOWAIT).is_ok(), "it ended");
    let nobody = Some(Errno(ECHILD));
    check_eq!(waitid(pid, WSTOPPED | WNOHANG).err(), nobody, "stopped, at once");
    check_eq!(waitid(pid, WCONTINUED | WNOHANG).err(), nobody, "continued, at once");
    check_eq!(waitid(pid, WSTOPPED).err(), nobody, "stopped");
    check_eq!(waitid(pid, WCONTINUED | WSTOPPED).err(), nobody, "stopped or continued");
    check_eq!(wait(pid), Ok(WaitStatus::exited(3)), "ended");
}

/// Who was found, at once.
fn next(pid: i32, options: u32) -> Result<i32, Errno> {
    Ok(wait4(pid, options | WNOHANG)?.map_or(0, |(who, _)| who))
}

/// A child that has ended, and is not waited for yet.
fn zombie() -> i32 {
    let pid = child(|| 0);
    check!(waitid(pid, WEXITED | WNOWAIT).is_ok(), "it ended");
    pid
}

static LEADERS: AtomicI32 = AtomicI32::new(0);
static LEFT: AtomicI32 = AtomicI32::new(0);
static DONE: AtomicBool = AtomicBool::new(false);

extern "C" fn thread() -> ! {
    let leaders = LEADERS.load(SeqCst);
    check_eq!(next(leaders, __WNOTHREAD), Err(Errno(ECHILD)), "another thread's child");
    check_eq!(next(-1, __WNOTHREAD), Err(Errno(ECHILD)), "no child of its own");
    let own = zombie();
    check_eq!(next(-1, __WNOTHREAD | WNOWAIT), Err(Errno(EINVAL)), "not an option of wait4");
    check_eq!(next(-1, 0), Ok(own), "the own one first");
    check_eq!(next(-1, 0), Ok(leaders), "then others'");
    LEFT.store(zombie(), SeqCst);
    DONE.store(true, SeqCst);
    exit_thread(0)
}

fn threads() {
    LEADERS.store(zombie(), SeqCst);
    check!(spawn_thread(thread).is_ok(), "a thread");
    while !DONE.load(SeqCst) {
        sleep_ms(1);
    }
    sleep_ms(20);
    // A thread that ends leaves its children to another.
    check_eq!(next(-1, __WNOTHREAD), Ok(LEFT.load(SeqCst)), "what the thread has left");
    check_eq!(next(-1, 0), Err(Errno(ECHILD)), "nobody is left");
}

/// Who takes orphans has them as its own children.
fn orphans() {
    // SAFETY: no memory is involved.
    let _ = unsafe { syscall!(__NR_prctl, PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) };
    let parent = child(|| {
        child(|| {
            sleep_ms(20);
            0
        });
        0
    });
    check_eq!(wait(parent), Ok(WaitStatus::exited(0)), "the parent");
    check!(wait4(-1, __WNOTHREAD).is_ok_and(|w| w.is_some()), "the orphan");
}

fn tracees() {
    let (from, to) = user::file::pipe(0).unwrap_or((-1, -1));
    let parent = child(|| {
        let pid = child(|| {
            sleep_ms(50);
            0
        });
        let _ = user::file::write(to, &pid.to_le_bytes());
        sleep_ms(150);
        i32::from(wait(pid) != Ok(WaitStatus::exited(0)))
    });
    let mut bytes = [0; 4];
    check_eq!(user::file::read(from, &mut bytes), Ok(4), "a grandchild");
    let grandchild = i32::from_le_bytes(bytes);
    check_eq!(tell(PTRACE_SEIZE, grandchild, 0, 0), Ok(0), "seize");
    sleep_ms(100);
    let own = zombie();
    check_eq!(next(-1, __WALL), Ok(own), "a child comes first");
    check_eq!(next(-1, __WALL), Ok(grandchild), "then a tracee");
    check_eq!(wait(parent), Ok(WaitStatus::exited(0)), "its parent waits for it as well");
}
