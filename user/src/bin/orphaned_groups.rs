// SPDX-License-Identifier: GPL-2.0-only
//! A stopped process group that loses its last parent gets SIGHUP and SIGCONT; its processes
//! go to the nearest ancestor that wants them.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::sync::atomic::{AtomicI32, AtomicU64, Ordering::SeqCst};
use linux_raw_sys::prctl as pr;
use user::memory::map_shared;
use user::prelude::*;
use user::process::{WSTOPPED, exit_thread, getppid, setpgid, spawn_thread, wait4};
use user::pty::setsid;
use user::signal::{SIGCONT, SIGHUP, SIGKILL, SIGSTOP};
use user::syscall;
use user::time::sleep_ms;

expect! { end: exit(0) }
program!(run);

/// What the processes tell each other.
struct Shared {
    /// The signals that the stopped process got.
    got: AtomicU64,
    /// Its parent afterwards.
    parent: AtomicI32,
    stopped: AtomicI32,
}

fn shared() -> &'static Shared {
    static PAGE: AtomicU64 = AtomicU64::new(0);
    if PAGE.load(SeqCst) == 0 {
        PAGE.store(map_shared(4096).unwrap_or(0) as u64, SeqCst);
    }
    // SAFETY: a zeroed page that only this program and its children use.
    unsafe { &*core::ptr::with_exposed_provenance(PAGE.load(SeqCst) as usize) }
}

extern "C" fn note(sig: i32, _: &mut SigInfo, _: &mut UContext) {
    shared().got.fetch_or(bit(sig as u32), SeqCst);
}

fn subreaper(on: usize) {
    // SAFETY: no memory is involved.
    let r = unsafe { syscall!(__NR_prctl, pr::PR_SET_CHILD_SUBREAPER, on, 0, 0, 0) };
    check_eq!(r, Ok(0), "PR_SET_CHILD_SUBREAPER");
    let mut is = -1i32;
    // SAFETY: the kernel writes the number.
    let r =
        unsafe { syscall!(__NR_prctl, pr::PR_GET_CHILD_SUBREAPER, core::ptr::from_mut(&mut is), 0, 0, 0) };
    check_eq!((r, is), (Ok(0), on as i32), "PR_GET_CHILD_SUBREAPER");
}

/// Stops in a process group of its own.
fn stopper() -> i32 {
    let _ = setpgid(0, 0);
    let _ = sigaction(SIGHUP, Action::Handle(note), 0, 0);
    let _ = sigaction(SIGCONT, Action::Handle(note), 0, 0);
    let _ = kill(getpid(), SIGSTOP);
    shared().parent.store(getppid(), SeqCst);
    7
}

extern "C" fn late() -> ! {
    sleep_ms(20);
    exit_thread(0)
}

/// Makes the process that stops, and ends once it has: by `exit_group`, or by its second thread.
fn parent(by_thread: bool) -> i32 {
    let pid = child(stopper);
    let _ = setpgid(pid, pid);
    check!(matches!(wait4(pid, WSTOPPED), Ok(Some((p, _))) if p == pid), "it stopped");
    shared().stopped.store(pid, SeqCst);
    if by_thread {
        check!(spawn_thread(late).is_ok(), "a thread");
        exit_thread(0);
    }
    0
}

fn run() {
    subreaper(1);
    // Parent and child are in a session with its own leader, in two process groups.
    for by_thread in [false, true] {
        let s = shared();
        s.got.store(0, SeqCst);
        let leader = child(|| {
            setsid();
            let p = child(|| parent(by_thread));
            check_eq!(wait(p), Ok(WaitStatus::exited(0)), "the parent's end");
            // The orphan is not ours: it went past us.
            check_eq!(wait4(-1, 0), Err(Errno(ECHILD)), "whose is the orphan");
            0
        });
        check_eq!(wait(leader), Ok(WaitStatus::exited(0)), "the leader's end");
        orphan_ends(s, bit(SIGHUP) | bit(SIGCONT), "its parent ended");
    }
    the_last_parent_goes_elsewhere();
    subreaper(0);
}

/// The orphan is our child now; it must have gone on by itself.
fn orphan_ends(s: &Shared, signals: u64, why: &str) {
    let pid = s.stopped.load(SeqCst);
    for _ in 0..500 {
        if s.parent.load(SeqCst) != 0 {
            break;
        }
        sleep_ms(2);
    }
    let went_on = s.parent.swap(0, SeqCst);
    check_eq!((went_on, s.got.load(SeqCst)), (getpid(), signals), "{why}: new parent, signals");
    let _ = kill(pid, SIGCONT);
    check_eq!(wait(pid), Ok(WaitStatus::exited(7)), "{why}: its end");
}

/// A group whose parent is in another session is orphaned from the start: nobody is told
/// when that parent ends, and a stopped member stays stopped.
fn the_last_parent_goes_elsewhere() {
    let s = shared();
    s.got.store(0, SeqCst);
    let p = child(|| {
        let pid = child(|| {
            setsid();
            stopper()
        });
        check!(matches!(wait4(pid, WSTOPPED), Ok(Some((p, _))) if p == pid), "it stopped");
        s.stopped.store(pid, SeqCst);
        0
    });
    check_eq!(wait(p), Ok(WaitStatus::exited(0)), "the parent's end");
    sleep_ms(20);
    check_eq!((s.parent.load(SeqCst), s.got.load(SeqCst)), (0, 0), "a session of its own");
    let pid = s.stopped.load(SeqCst);
    check_eq!(kill(pid, SIGKILL), Ok(0), "kill");
    check_eq!(wait(pid), Ok(WaitStatus::killed(9)), "its end");
}
