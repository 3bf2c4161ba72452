// SPDX-License-Identifier: GPL-2.0-only
//! `RLIMIT_RTTIME`: how long a real-time task may run without sleeping. Needs root.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::ptr::from_ref;
use core::sync::atomic::{AtomicI64, AtomicUsize, Ordering::SeqCst};
use linux_raw_sys::general as abi;
use user::memory::{PAGE, map_shared};
use user::prelude::*;
use user::signal::SIGKILL;
use user::syscall;
use user::time::{now, sleep_ms};

expect! { end: exit(0) }
program!(run);

const MS: i64 = 1_000_000;

/// What a child tells its parent: how often it was warned, and when at first and last.
struct Told {
    times: AtomicI64,
    first: AtomicI64,
    last: AtomicI64,
}

static SHARED: AtomicUsize = AtomicUsize::new(0);

fn told() -> &'static Told {
    // SAFETY: a page of zeroes of ours, which stays.
    unsafe { &*core::ptr::with_exposed_provenance(SHARED.load(SeqCst)) }
}

extern "C" fn warned(_: i32, _: &mut SigInfo, _: &mut UContext) {
    let t = told();
    if t.times.fetch_add(1, SeqCst) == 0 {
        t.first.store(now(), SeqCst);
    }
    t.last.store(now(), SeqCst);
}

/// The limits in milliseconds, and a real-time policy.
fn limited(soft: u64, hard: u64) {
    let limits = [soft * 1000, hard * 1000];
    let priority = 1i32;
    let _ = sigaction(abi::SIGXCPU, Action::Handle(warned), 0, 0);
    // SAFETY: the kernel reads the limits and the priority.
    let set = unsafe {
        syscall!(__NR_setrlimit, abi::RLIMIT_RTTIME, limits.as_ptr())
            .and_then(|_| syscall!(__NR_sched_setscheduler, 0, abi::SCHED_FIFO, from_ref(&priority)))
    };
    check_eq!(set, Ok(0), "limits and policy");
}

fn work(ns: i64) {
    let until = now() + ns;
    while now() < until {
        core::hint::spin_loop();
    }
}

fn run() {
    SHARED.store(map_shared(PAGE).unwrap_or(0), SeqCst);
    let t = told();
    // Warned at 100 ms, and a second later; the end 200 ms after that.
    let began = now();
    let pid = child(|| {
        limited(100, 1300);
        work(10_000 * MS);
        1
    });
    check_eq!(wait(pid), Ok(WaitStatus::killed(SIGKILL as i32)), "the hard limit");
    check_eq!(t.times.load(SeqCst), 2, "warnings");
    let (first, last) = (t.first.load(SeqCst), t.last.load(SeqCst));
    let (first, between, all) = (first - began, last - first, now() - began);
    check!(first >= 90 * MS, "the first one after {first} ns");
    check!(between >= 900 * MS, "the second one {between} ns later");
    check!(all >= 1200 * MS, "the end after {all} ns");
    // Who sleeps now and then begins anew.
    t.times.store(0, SeqCst);
    let pid = child(|| {
        limited(100, 200);
        for _ in 0..10 {
            work(30 * MS);
            sleep_ms(2);
        }
        user::check::failures() as i32
    });
    check_eq!((wait(pid), t.times.load(SeqCst)), (Ok(WaitStatus::exited(0)), 0), "who sleeps");
    // Others are not meant.
    let pid = child(|| {
        let limits = [1000u64, 2000];
        // SAFETY: the kernel reads the limits.
        let _ = unsafe { syscall!(__NR_setrlimit, abi::RLIMIT_RTTIME, limits.as_ptr()) };
        work(50 * MS);
        0
    });
    check_eq!(wait(pid), Ok(WaitStatus::exited(0)), "who is not a real-time task");
}
