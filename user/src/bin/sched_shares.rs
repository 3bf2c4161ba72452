// SPDX-License-Identifier: GPL-2.0-only
//! Who gets the CPU: by nice values, real-time priorities, and what a lock's owner inherits from
//! those who wait for it.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::ptr::{from_mut, from_ref};
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};
use linux_raw_sys::general as abi;
use user::memory::{PAGE, map_shared};
use user::prelude::*;
use user::process::{exit_thread, sched_yield, spawn_thread};
use user::syscall;
use user::syscall::Result;
use user::time::{now, sleep_ms, timespec};

expect! { end: exit(0) }
program!(run);

const MS: i64 = 1_000_000;

fn set_policy(policy: u32, priority: i32) -> Result {
    // SAFETY: the kernel reads the priority.
    unsafe { syscall!(__NR_sched_setscheduler, 0, policy, from_ref(&priority)) }
}

fn set_nice(nice: i32) -> Result {
    // SAFETY: no memory is involved.
    unsafe { syscall!(__NR_setpriority, abi::PRIO_PROCESS, 0, nice) }
}

/// Words that parent and children share.
fn shared() -> &'static [AtomicU64; 8] {
    let page = map_shared(PAGE).unwrap_or(0);
    // SAFETY: a mapping of this program, which lasts as long as it does.
    unsafe { &*core::ptr::with_exposed_provenance(page) }
}

/// Two children turn for a while, each set up by one of the functions: how much each did.
fn race(ms: i64, setups: [&dyn Fn(); 2]) -> [u64; 2] {
    let words = shared();
    let until = now() + (ms + 100) * MS;
    let pids = [0, 1].map(|i| {
        child(|| {
            setups[i]();
            while now() < until {
                words[i].fetch_add(1, SeqCst);
            }
            0
        })
    });
    for pid in pids {
        check_eq!(wait(pid), Ok(WaitStatus::exited(0)), "a racer");
    }
    [words[0].load(SeqCst), words[1].load(SeqCst)]
}

fn shares() {
    let nothing = || {};
    let [a, b] = race(600, [&nothing, &nothing]);
    check!(a < b * 3 && b < a * 3, "alike: {a} and {b}");
    let nicer = || {
        let _ = set_nice(10);
    };
    // Nine to one by weight. The bounds are wide: the emulator may stand still for a while.
    let [a, b] = race(900, [&nothing, &nicer]);
    check!(a > b * 2 && a < b * 80, "nice 0 and 10: {a} and {b}");
    let idle = || {
        let _ = set_policy(abi::SCHED_IDLE, 0);
    };
    let [a, b] = race(600, [&nothing, &idle]);
    check!(a > b * 3, "normal and idle: {a} and {b}");
    let batch = || {
        let _ = set_policy(abi::SCHED_BATCH, 0);
    };
    let [a, b] = race(600, [&nothing, &batch]);
    check!(a < b * 4 && b < a * 4, "normal and batch: {a} and {b}");
}

/// A real-time thread runs as soon as it is woken; another one of its priority, when it sleeps,
/// or yields; one with turns (`SCHED_RR`), when its turn is over.
fn real_time() {
    let words = shared();
    let (from, to) = user::file::pipe(0).unwrap_or((-1, -1));
    let pid = child(|| {
        let r = set_policy(abi::SCHED_FIFO, 50);
        words[0].store(1, SeqCst);
        let mut byte = [0];
        let _ = user::file::read(from, &mut byte);
        words[0].store(2, SeqCst);
        i32::from(r != Ok(0))
    });
    while words[0].load(SeqCst) != 1 {
        sleep_ms(1);
    }
    sleep_ms(10);
    let _ = user::file::write(to, b"x");
    check_eq!(words[0].load(SeqCst), 2, "it has run before the call that woke it returned");
    check_eq!(wait(pid), Ok(WaitStatus::exited(0)), "the real-time one");
    for (policy, alternates) in [(abi::SCHED_FIFO, false), (abi::SCHED_RR, true)] {
        let words = shared();
        // The parent has to start both before either runs.
        check_eq!(set_policy(abi::SCHED_FIFO, 20), Ok(0), "the parent");
        let pids = [0u64, 1].map(|i| {
            child(|| {
                let _ = set_policy(policy, 10);
                let until = now() + if alternates { 6000 } else { 300 } * MS;
                while now() < until && words[1].load(SeqCst) <= 2 {
                    if words[0].swap(i + 1, SeqCst) != i + 1 {
                        words[1].fetch_add(1, SeqCst);
                    }
                }
                0
            })
        });
        for pid in pids {
            check_eq!(wait(pid), Ok(WaitStatus::exited(0)), "a real-time one");
        }
        check_eq!(set_policy(abi::SCHED_NORMAL, 0), Ok(0), "and back");
        let changes = words[1].load(SeqCst);
        check!(if alternates { changes > 2 } else { changes <= 2 }, "{policy}: {changes} changes");
    }
}

/// A hog leaves a twentieth of each second to the others.
fn throttled() {
    let words = shared();
    let until = now() + 3300 * MS;
    let hog = child(|| {
        let _ = set_policy(abi::SCHED_FIFO, 99);
        while now() < until {
            words[0].fetch_add(1, SeqCst);
        }
        0
    });
    let mut longest = 0;
    let mut last = now();
    while last < until {
        let t = now();
        longest = longest.max(t - last);
        last = t;
    }
    check!(longest > 300 * MS, "the hog has the CPU: {longest}");
    check!(longest < 3000 * MS, "but not for good: {longest}");
    check_eq!(wait(hog), Ok(WaitStatus::exited(0)), "the hog");
}

static LOCK: AtomicU32 = AtomicU32::new(0);
static STEP: AtomicU32 = AtomicU32::new(0);
static WAITED: AtomicU64 = AtomicU64::new(0);

fn lock(op: u32) -> Result {
    // SAFETY: a word of this program's.
    unsafe { syscall!(__NR_futex, LOCK.as_ptr(), op | abi::FUTEX_PRIVATE_FLAG, 0, 0, 0, 0) }
}

extern "C" fn low() -> ! {
    let _ = set_policy(abi::SCHED_NORMAL, 0);
    check_eq!(lock(abi::FUTEX_LOCK_PI), Ok(0), "the lock");
    STEP.store(1, SeqCst);
    while STEP.load(SeqCst) < 2 {
        sched_yield();
    }
    check_eq!(lock(abi::FUTEX_UNLOCK_PI), Ok(0), "giving it up");
    exit_thread(0)
}

extern "C" fn middle() -> ! {
    let _ = set_policy(abi::SCHED_FIFO, 10);
    let start = now();
    while STEP.load(SeqCst) < 3 && now() < start + 2000 * MS {}
    WAITED.store((now() - start) as u64, SeqCst);
    STEP.fetch_add(10, SeqCst);
    exit_thread(0)
}

extern "C" fn high() -> ! {
    let _ = set_policy(abi::SCHED_FIFO, 20);
    check_eq!(lock(abi::FUTEX_LOCK_PI), Ok(0), "waiting for the lock");
    STEP.store(3, SeqCst);
    check_eq!(lock(abi::FUTEX_UNLOCK_PI), Ok(0), "giving it up, too");
    exit_thread(0)
}

/// An ordinary thread has a lock; one with priority 20 wants it; one with priority 10 would keep
/// the first from giving it up for two seconds.
fn inheritance() {
    check_eq!(set_policy(abi::SCHED_FIFO, 30), Ok(0), "the first thread");
    check!(spawn_thread(low).is_ok(), "a thread");
    while STEP.load(SeqCst) != 1 {
        sleep_ms(2);
    }
    check!(spawn_thread(high).is_ok(), "a thread");
    sleep_ms(5);
    check!(spawn_thread(middle).is_ok(), "a thread");
    STEP.store(2, SeqCst);
    while STEP.load(SeqCst) < 10 {
        sleep_ms(5);
    }
    let waited = WAITED.load(SeqCst);
    check!(waited < 1200 * MS as u64, "it inherits the priority: {waited}");
    check_eq!(set_policy(abi::SCHED_NORMAL, 0), Ok(0), "and back");
}

fn rr_interval() {
    let mut t = timespec(9, 9);
    let mut get = |policy, priority| {
        check_eq!(set_policy(policy, priority), Ok(0), "policy {policy}");
        // SAFETY: the kernel writes the time.
        let r = unsafe { syscall!(__NR_sched_rr_get_interval, 0, from_mut(&mut t)) };
        (r, t.tv_sec, t.tv_nsec / 1_000_000)
    };
    check_eq!(get(abi::SCHED_RR, 1), (Ok(0), 0, 100), "a turn");
    check_eq!(get(abi::SCHED_FIFO, 1), (Ok(0), 0, 0), "without turns");
    check_eq!(get(abi::SCHED_NORMAL, 0), (Ok(0), 0, 4), "an ordinary one");
}

fn run() {
    shares();
    real_time();
    throttled();
    inheritance();
    rr_interval();
}
