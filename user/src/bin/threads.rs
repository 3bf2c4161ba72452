// SPDX-License-Identifier: GPL-2.0-only
//! Threads: their own ids, pending signals and masks; shared memory and handlers; exit_group ends all.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::sync::atomic::{AtomicI32, AtomicU64, Ordering::SeqCst};
use user::prelude::*;
use user::process::{exit_thread, sched_yield, spawn_thread};
use user::signal::{SIGSEGV, SIGUSR1, SIGUSR2, pause, sigmask, sigpending};
use user::time::{now, sleep_ms};

expect! { end: exit(0) }
program!(run);

probe!(; "mov al, [rcx]");

static STARTED: AtomicI32 = AtomicI32::new(0);
static HANDLED_BY: AtomicI32 = AtomicI32::new(0);
static MASK: AtomicU64 = AtomicU64::new(0);
static DONE: AtomicI32 = AtomicI32::new(0);

extern "C" fn note(_: i32, _: &mut SigInfo, _: &mut UContext) {
    HANDLED_BY.store(gettid(), SeqCst);
}

extern "C" fn fault(_: i32, info: &mut SigInfo, uc: &mut UContext) {
    check_eq!(*info, SigInfo::fault(SIGSEGV, 1, 0), "siginfo of the thread's fault");
    HANDLED_BY.store(gettid(), SeqCst);
    uc.mcontext.ip += 2;
}

/// Waits up to 5 s for a condition.
fn until(what: &str, condition: impl Fn() -> bool) {
    let start = now();
    while !condition() {
        if now() - start > 5_000_000_000 {
            return check!(false, "{what}: not within 5 s");
        }
        sched_yield();
    }
}

extern "C" fn sleeper() -> ! {
    MASK.store(sigmask(), SeqCst);
    STARTED.store(gettid(), SeqCst);
    until("a signal for the thread", || HANDLED_BY.load(SeqCst) != 0);
    check_eq!(HANDLED_BY.swap(0, SeqCst), gettid(), "tgkill: who handled it");
    sigprocmask_set(0);
    probe();
    check_eq!(HANDLED_BY.swap(0, SeqCst), gettid(), "fault: who handled it");
    sigprocmask_set(bit(SIGUSR2));
    DONE.store(1, SeqCst);
    exit_thread(0)
}

fn run() {
    let _ = sigaction(SIGUSR1, Action::Handle(note), 0, 0);
    let _ = sigaction(SIGSEGV, Action::Handle(fault), 0, 0);
    sigprocmask_set(bit(SIGUSR2));
    let tid = spawn_thread(sleeper).unwrap_or(-1);
    check!(tid > 0 && tid != getpid(), "the thread's id: {tid}");
    until("the thread's start", || STARTED.load(SeqCst) != 0);
    check_eq!(STARTED.load(SeqCst), tid, "gettid in the thread");
    check_eq!(MASK.load(SeqCst), bit(SIGUSR2), "mask inherited");
    check_eq!(tgkill(getpid(), tid, SIGUSR1), Ok(0), "tgkill");
    until("the thread's end", || DONE.load(SeqCst) != 0);
    until("the thread is gone", || tgkill(getpid(), tid, 0) == Err(Errno(ESRCH)));
    check_eq!(sigpending(), 0, "nothing pending here");
    exit_group_ends_all();
    last_thread_out();
}

extern "C" fn busy() -> ! {
    loop {
        STARTED.fetch_add(1, SeqCst);
    }
}

extern "C" fn ender() -> ! {
    sleep_ms(5);
    user::process::exit_group(9)
}

fn exit_group_ends_all() {
    let pid = child(|| {
        STARTED.store(0, SeqCst);
        let _ = (spawn_thread(busy), spawn_thread(busy));
        until("a thread's start", || STARTED.load(SeqCst) > 0);
        7
    });
    check_eq!(wait(pid), Ok(WaitStatus::exited(7)), "exit_group by the first thread");
    let pid = child(|| {
        let _ = (spawn_thread(busy), spawn_thread(ender));
        loop {
            let _ = pause();
        }
    });
    check_eq!(wait(pid), Ok(WaitStatus::exited(9)), "exit_group by another thread");
    let pid = child(|| {
        let _ = (spawn_thread(busy), kill(getpid(), 9));
        0
    });
    check_eq!(wait(pid), Ok(WaitStatus::killed(9)), "SIGKILL");
}

extern "C" fn late() -> ! {
    sleep_ms(30);
    exit_thread(4)
}

/// The process lives until its last thread ends; its status is that thread's (since Linux 6.0).
fn last_thread_out() {
    let start = now();
    let pid = child(|| {
        let _ = spawn_thread(late);
        exit_thread(5)
    });
    check_eq!(wait(pid), Ok(WaitStatus::exited(4)), "the last thread's exit code");
    check!(now() - start >= 30_000_000, "but not before the last thread's end");
}
