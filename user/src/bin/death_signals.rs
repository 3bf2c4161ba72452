// SPDX-License-Identifier: GPL-2.0-only
//! Whom a death is told: a child may ask for a signal when the thread that made it ends; a parent
//! that has become another program gets SIGCHLD, whatever the old one wanted.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::sync::atomic::{AtomicI32, Ordering::SeqCst};
use linux_raw_sys::general as abi;
use user::prelude::*;
use user::process::{execve, exit_thread, spawn_thread};
use user::signal::{SIGUSR1, sigtimedwait};
use user::time::{sleep_ms, timespec};
use user::{file, program, start, syscall};

expect! { end: exit(0) }
program!(run);

const SIGCHLD: u32 = abi::SIGCHLD;
const PR_SET_PDEATHSIG: u32 = 1;

/// The first of these signals within five seconds, or 0.
fn next_of(set: u64) -> i32 {
    sigtimedwait(set, Some(&timespec(5, 0))).map_or(0, |i| i.signo)
}

static CHILD: AtomicI32 = AtomicI32::new(0);

/// Makes a child that asks for SIGUSR1, waits until it has, and ends.
extern "C" fn maker() -> ! {
    let (read, write) = file::pipe(0).unwrap_or((-1, -1));
    let pid = child(|| {
        // SAFETY: no memory is involved.
        let _ = unsafe { syscall!(__NR_prctl, PR_SET_PDEATHSIG, SIGUSR1, 0, 0, 0) };
        let _ = file::write(write, b"x");
        i32::from(next_of(bit(SIGUSR1)) != SIGUSR1 as i32)
    });
    let _ = file::read(read, &mut [0]);
    CHILD.store(pid, SeqCst);
    exit_thread(0)
}

fn parent_thread() {
    sigprocmask_set(bit(SIGUSR1));
    let _ = spawn_thread(maker);
    while CHILD.load(SeqCst) == 0 {
        sleep_ms(1);
    }
    check_eq!(wait(CHILD.load(SeqCst)), Ok(WaitStatus::exited(0)), "a child of a thread that has ended");
    sigprocmask_set(0);
}

/// A child that ends soon, with SIGUSR1 for its parent.
fn child_with_signal() -> i32 {
    // SAFETY: the child has a copy of everything.
    match unsafe { syscall!(__NR_clone, SIGUSR1, 0, 0, 0, 0) } {
        Ok(0) => {
            sleep_ms(50);
            exit_group(0)
        }
        r => r.map_or(-1, |pid| pid as i32),
    }
}

/// Which signal came, as an exit code.
fn which() -> i32 {
    let sig = next_of(bit(SIGUSR1) | bit(SIGCHLD));
    let options = abi::__WALL;
    // SAFETY: nothing is written.
    let _ = unsafe { syscall!(__NR_wait4, -1, 0, options, 0) };
    sig
}

fn exit_signals() {
    let same = child(|| {
        sigprocmask_set(bit(SIGUSR1) | bit(SIGCHLD));
        child_with_signal();
        which()
    });
    check_eq!(wait(same), Ok(WaitStatus::exited(SIGUSR1 as i32)), "the same program");
    let other = child(|| {
        sigprocmask_set(bit(SIGUSR1) | bit(SIGCHLD));
        child_with_signal();
        let argv = [c"death_signals".as_ptr(), c"again".as_ptr(), core::ptr::null()];
        let _ = execve(c"/proc/self/exe", &argv, &[core::ptr::null()]);
        1
    });
    check_eq!(wait(other), Ok(WaitStatus::exited(SIGCHLD as i32)), "another program");
}

fn run() {
    if start::arg_str(1) == Some("again") {
        exit_group(which());
    }
    parent_thread();
    exit_signals();
}
