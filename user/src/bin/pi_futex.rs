// SPDX-License-Identifier: GPL-2.0-only
//! Locks with priority inheritance: passed on by the kernel, also when their owner dies; circles,
//! strangers' words and time-outs are refused; condition variables move their waiters to one.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::ptr::{addr_of, from_ref};
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering::SeqCst};
use linux_raw_sys::general as abi;
use linux_raw_sys::general::{FUTEX_OWNER_DIED, FUTEX_TID_MASK, FUTEX_WAITERS};
use user::memory::{PAGE, map_shared};
use user::prelude::*;
use user::process::{exit_thread, spawn_thread};
use user::signal::SIGUSR1;
use user::syscall::Result;
use user::time::{Timespec, now, sleep_ms, timespec};
use user::{file, syscall};

expect! { end: exit(0) }
program!(run);

const PRIVATE: u32 = abi::FUTEX_PRIVATE_FLAG;
static WORDS: [AtomicU32; 4] = [const { AtomicU32::new(0) }; 4];

fn futex(at: usize, op: u32, val: u32, val2: usize, at2: usize, val3: u32) -> Result {
    // SAFETY: the kernel reads and writes words that this program has, or refuses.
    unsafe { syscall!(__NR_futex, at, op, val, val2, at2, val3) }
}

fn at(i: usize) -> usize {
    WORDS[i].as_ptr() as usize
}

fn word(i: usize) -> u32 {
    WORDS[i].load(SeqCst)
}

fn lock(addr: usize) -> Result {
    futex(addr, abi::FUTEX_LOCK_PI | PRIVATE, 0, 0, 0, 0)
}

fn unlock(addr: usize) -> Result {
    futex(addr, abi::FUTEX_UNLOCK_PI | PRIVATE, 0, 0, 0, 0)
}

fn trylock(addr: usize) -> Result {
    futex(addr, abi::FUTEX_TRYLOCK_PI | PRIVATE, 0, 0, 0, 0)
}

fn tid() -> u32 {
    gettid() as u32
}

fn e(n: u32) -> Result {
    Err(Errno(n))
}

/// What another thread is to do, its step, and what came of its last call.
static JOB: AtomicUsize = AtomicUsize::new(0);
static STEP: AtomicU32 = AtomicU32::new(0);
static GOT: AtomicUsize = AtomicUsize::new(0);
static DONE: AtomicU32 = AtomicU32::new(0);

fn code(r: Result) -> usize {
    match r {
        Ok(n) => n,
        Err(Errno(n)) => 0usize.wrapping_sub(n as usize),
    }
}

extern "C" fn worker() -> ! {
    let job: fn() = match JOB.load(SeqCst) {
        0 => take_first,
        1 => hold_second_take_first,
        2 => die_with_first,
        3 => die_robust,
        4 => wait_plain,
        5 => wait_moved,
        _ => try_first,
    };
    STEP.fetch_add(1, SeqCst);
    job();
    DONE.fetch_add(1, SeqCst);
    exit_thread(0)
}

/// How urgent this process's first thread is: what is behind the name in its `stat`.
fn urgency() -> i32 {
    let mut buf = [0; 512];
    let Ok(fd) = file::open(c"/proc/self/stat", file::O_RDONLY, 0) else { return 0 };
    let n = file::read(fd, &mut buf).unwrap_or(0);
    let _ = file::close(fd);
    let text = core::str::from_utf8(&buf[..n]).unwrap_or("");
    let fields = text.rsplit(')').next().unwrap_or("");
    fields.split_ascii_whitespace().nth(15).and_then(|f| f.parse().ok()).unwrap_or(0)
}

/// What a waiter becomes while it waits reaches the owner.
fn waiter_changes() {
    check_eq!(lock(at(0)), Ok(0), "the lock");
    let waiter = start(0);
    check_eq!(urgency(), 20, "at first");
    let set = |policy: u32, priority: i32| {
        // SAFETY: the kernel reads the number.
        let r = unsafe { syscall!(__NR_sched_setscheduler, waiter, policy, from_ref(&priority)) };
        check_eq!(r, Ok(0), "sched_setscheduler");
    };
    set(abi::SCHED_FIFO, 30);
    check_eq!(urgency(), -31, "it is waited for by somebody urgent");
    set(abi::SCHED_RR, 10);
    check_eq!(urgency(), -11, "and less so");
    set(abi::SCHED_NORMAL, 0);
    check_eq!(urgency(), 20, "by nobody who is");
    check_eq!(unlock(at(0)), Ok(0), "giving it up");
    finish(1);
}

/// Starts a thread, and lets it come to where it waits.
fn start(job: usize) -> i32 {
    JOB.store(job, SeqCst);
    let before = STEP.load(SeqCst);
    let tid = spawn_thread(worker).unwrap_or(-1);
    while STEP.load(SeqCst) == before {
        sleep_ms(1);
    }
    sleep_ms(20);
    tid
}

fn finish(n: u32) {
    let limit = now() + 5_000_000_000;
    while DONE.load(SeqCst) != n && now() < limit {
        sleep_ms(1);
    }
    check_eq!(DONE.swap(0, SeqCst), n, "threads that are through");
}

/// Takes the first lock, looks at it, and gives it up.
fn take_first() {
    let r = lock(at(0));
    GOT.store(code(r), SeqCst);
    check_eq!(word(0) & FUTEX_TID_MASK, tid(), "the owner's word");
    check_eq!(unlock(at(0)), Ok(0), "giving it up");
}

fn try_first() {
    GOT.store(code(trylock(at(0))), SeqCst);
}

fn hold_second_take_first() {
    check_eq!(lock(at(1)), Ok(0), "the second lock");
    GOT.store(code(lock(at(0))), SeqCst);
    check_eq!((unlock(at(0)), unlock(at(1))), (Ok(0), Ok(0)), "giving both up");
}

/// Whether the owner is to live on, however slow the machine is.
static LIVE: AtomicU32 = AtomicU32::new(0);

fn die_with_first() {
    check_eq!(lock(at(0)), Ok(0), "the lock");
    sleep_ms(60);
    while LIVE.load(SeqCst) != 0 {
        sleep_ms(1);
    }
}

static mut HEAD: [usize; 3] = [0; 3];
static mut ENTRY: usize = 0;

/// The entry's address has its lowest bit set: the lock has priority inheritance.
fn die_robust() {
    let (head, entry) = (addr_of!(HEAD) as usize, addr_of!(ENTRY) as usize);
    // SAFETY: nobody else uses them.
    unsafe {
        ENTRY = head;
        HEAD = [entry | 1, at(0).wrapping_sub(entry), 0];
        let _ = syscall!(__NR_set_robust_list, head, 24);
    }
    check_eq!(lock(at(0)), Ok(0), "the lock");
    sleep_ms(60);
}

fn wait_plain() {
    let soon = timespec(5, 0);
    let r = futex(at(0), abi::FUTEX_WAIT | PRIVATE, word(0), from_ref(&soon) as usize, 0, 0);
    GOT.store(code(r), SeqCst);
}

/// What waiters for the condition got: they own the lock then.
fn wait_moved() {
    let r = futex(at(2), abi::FUTEX_WAIT_REQUEUE_PI | PRIVATE, 0, 0, at(0), 0);
    check_eq!(r, Ok(0), "waiting for the condition");
    check_eq!(word(0) & FUTEX_TID_MASK, tid(), "it owns the lock");
    GOT.fetch_add(1, SeqCst);
    check_eq!(unlock(at(0)), Ok(0), "giving it up");
}

fn alone() {
    check_eq!((lock(at(0)), word(0)), (Ok(0), tid()), "a free lock");
    check_eq!((lock(at(0)), trylock(at(0))), (e(EDEADLK), e(EDEADLK)), "one's own");
    start(9);
    check_eq!(GOT.load(SeqCst), code(e(EAGAIN)), "another's attempt");
    check_eq!(word(0), tid() | FUTEX_WAITERS, "which leaves its mark");
    finish(1);
    check_eq!((unlock(at(0)), word(0)), (Ok(0), 0), "giving it up");
    check_eq!(unlock(at(0)), e(EPERM), "nobody's");
    check_eq!((trylock(at(0)), word(0)), (Ok(0), tid()), "trying");
    WORDS[0].store(1, SeqCst);
    check_eq!(unlock(at(0)), e(EPERM), "somebody else's");
    WORDS[0].store(0x3fff_fffe, SeqCst);
    check_eq!(lock(at(0)), e(ESRCH), "a thread that is none");
    check_eq!(word(0), 0x3fff_fffe | FUTEX_WAITERS, "which leaves its mark, too");
    WORDS[0].store(FUTEX_OWNER_DIED, SeqCst);
    check_eq!((lock(at(0)), word(0)), (Ok(0), tid() | FUTEX_OWNER_DIED), "a dead thread's");
    WORDS[0].store(FUTEX_WAITERS, SeqCst);
    check_eq!((lock(at(0)), word(0)), (Ok(0), tid()), "marked for nothing");
    check_eq!(lock(at(0) + 1), e(EINVAL), "not aligned");
    check_eq!((lock(8), unlock(8)), (e(EFAULT), e(EFAULT)), "no memory");
    WORDS[0].store(0, SeqCst);
}

fn passed_on() {
    check_eq!(lock(at(0)), Ok(0), "the lock");
    let first = start(0) as u32;
    check_eq!(word(0), tid() | FUTEX_WAITERS, "somebody waits");
    for op in [abi::FUTEX_WAKE, abi::FUTEX_WAKE_BITSET] {
        let r = futex(at(0), op | PRIVATE, 1, 0, 0, u32::MAX);
        check_eq!(r, e(EINVAL), "waking who waits for a lock: {op}");
    }
    let r = futex(at(0), abi::FUTEX_REQUEUE | PRIVATE, 1, 1, at(1), 0);
    check_eq!(r, e(EINVAL), "moving who waits for a lock");
    // The word of a lock that is waited for is not the program's to change.
    WORDS[0].store(first, SeqCst);
    check_eq!(lock(at(0)), e(EINVAL), "a word that names another owner");
    WORDS[0].store(tid() | FUTEX_WAITERS, SeqCst);
    GOT.store(77, SeqCst);
    check_eq!(unlock(at(0)), Ok(0), "giving it up");
    finish(1);
    check_eq!((GOT.load(SeqCst), word(0)), (0, 0), "it had it in between");
    // Two wait: the second gets it from the first.
    check_eq!(lock(at(0)), Ok(0), "the lock");
    start(0);
    start(0);
    check_eq!(unlock(at(0)), Ok(0), "giving it up");
    finish(2);
}

fn refused() {
    let soon = |clock: u32| {
        let mut t = timespec(0, 0);
        // SAFETY: the kernel writes one structure.
        let _ = unsafe { syscall!(__NR_clock_gettime, clock, core::ptr::from_mut(&mut t)) };
        timespec(t.tv_sec, (t.tv_nsec + 10_000_000).min(999_999_999))
    };
    let timed = |op: u32, t: &Timespec| futex(at(0), op | PRIVATE, 0, from_ref(t) as usize, 0, 0);
    LIVE.store(1, SeqCst);
    start(2);
    let t0 = now();
    check_eq!(timed(abi::FUTEX_LOCK_PI, &soon(0)), e(ETIMEDOUT), "the wall clock");
    check_eq!(timed(abi::FUTEX_LOCK_PI2, &soon(1)), e(ETIMEDOUT), "the monotonic clock");
    check!(now() - t0 < 1_000_000_000, "both are short");
    LIVE.store(0, SeqCst);
    finish(1);
    sleep_ms(5);
    let left = word(0) & FUTEX_WAITERS;
    check_eq!(left, FUTEX_WAITERS, "nobody took the mark away");
    check_eq!(lock(at(0)), e(ESRCH), "its owner died, and nobody waited");
    WORDS[0].store(0, SeqCst);
    start(4);
    check_eq!(futex(at(0), abi::FUTEX_LOCK_PI | PRIVATE, 0, 0, 0, 0), e(EINVAL), "somebody waits otherwise");
    WORDS[0].store(tid(), SeqCst);
    check_eq!(unlock(at(0)), e(EINVAL), "and for giving it up");
    check_eq!(futex(at(0), abi::FUTEX_WAKE | PRIVATE, 1, 0, 0, 0), Ok(1), "waking it");
    finish(1);
    WORDS[0].store(0, SeqCst);
}

fn circle() {
    check_eq!(lock(at(0)), Ok(0), "the first lock");
    start(1);
    check_eq!(lock(at(1)), e(EDEADLK), "whose owner waits for the first");
    check_eq!(unlock(at(0)), Ok(0), "giving it up");
    finish(1);
    check_eq!((word(0), word(1)), (0, 0), "both are free");
}

fn owner_dies() {
    for job in [2, 3] {
        start(job);
        check_eq!(lock(at(0)), Ok(0), "{job}: the dead thread's lock");
        check_eq!(word(0), tid() | FUTEX_WAITERS | FUTEX_OWNER_DIED, "{job}: its word");
        finish(1);
        check_eq!((unlock(at(0)), word(0)), (Ok(0), 0), "{job}: giving it up");
    }
    start(3);
    finish(1);
    sleep_ms(20);
    check_eq!(word(0), FUTEX_OWNER_DIED, "nobody waited");
    WORDS[0].store(0, SeqCst);
}

fn between_processes() {
    let addr = map_shared(PAGE).unwrap_or(0);
    // SAFETY: a word of a mapping that only this program and its child use.
    let shared: &AtomicU32 = unsafe { &*core::ptr::with_exposed_provenance(addr) };
    let pid = child(|| {
        let r = futex(addr, abi::FUTEX_LOCK_PI, 0, 0, 0, 0);
        sleep_ms(60);
        i32::from(r != Ok(0))
    });
    while shared.load(SeqCst) == 0 {
        sleep_ms(1);
    }
    check_eq!(shared.load(SeqCst), pid as u32, "the child's");
    check_eq!(futex(addr, abi::FUTEX_LOCK_PI, 0, 0, 0, 0), Ok(0), "a dead child's");
    check_eq!(shared.load(SeqCst), tid() | FUTEX_WAITERS | FUTEX_OWNER_DIED, "its word");
    check_eq!(wait(pid), Ok(WaitStatus::exited(0)), "the child");
}

static HANDLED: AtomicU32 = AtomicU32::new(0);

extern "C" fn handler(_: i32, _: &mut SigInfo, _: &mut UContext) {
    HANDLED.fetch_add(1, SeqCst);
}

/// A handler runs, and the thread waits on, without `SA_RESTART`.
fn interrupted() {
    let _ = sigaction(SIGUSR1, Action::Handle(handler), 0, 0);
    check_eq!(lock(at(0)), Ok(0), "the lock");
    let tid = start(0);
    let _ = tgkill(getpid(), tid, SIGUSR1);
    sleep_ms(20);
    check_eq!((HANDLED.load(SeqCst), DONE.load(SeqCst)), (1, 0), "handled, and waiting");
    check_eq!(unlock(at(0)), Ok(0), "giving it up");
    finish(1);
}

fn condition() {
    let move_to = |from: usize, to: usize, wakes: u32, moves: usize| {
        futex(from, abi::FUTEX_CMP_REQUEUE_PI | PRIVATE, wakes, moves, to, 0)
    };
    check_eq!(move_to(at(2), at(0), 1, 9), Ok(0), "nobody waits");
    check_eq!(move_to(at(2), at(0), 2, 9), e(EINVAL), "waking two");
    check_eq!(move_to(at(2), at(2), 1, 9), e(EINVAL), "to itself");
    let wait_for = |val: u32, lock: usize, t: &Timespec| {
        let t = from_ref(t) as usize;
        futex(at(2), abi::FUTEX_WAIT_REQUEUE_PI | PRIVATE, val, t, lock, 0)
    };
    let past = timespec(0, 1);
    check_eq!(wait_for(1, at(0), &past), e(EAGAIN), "another value");
    check_eq!(wait_for(0, at(2), &past), e(EINVAL), "the same word");
    check_eq!(wait_for(0, at(0), &past), e(ETIMEDOUT), "nobody moves it");
    GOT.store(0, SeqCst);
    // The lock is held: all wait for it, and get it one after the other.
    check_eq!(lock(at(0)), Ok(0), "the lock");
    for _ in 0..3 {
        start(5);
    }
    check_eq!(futex(at(2), abi::FUTEX_WAKE | PRIVATE, 1, 0, 0, 0), e(EINVAL), "waking them");
    check_eq!(futex(at(2), abi::FUTEX_REQUEUE | PRIVATE, 1, 1, at(1), 0), e(EINVAL), "moving them");
    check_eq!(move_to(at(2), at(1), 1, 9), e(EINVAL), "to another lock");
    check_eq!(move_to(at(2), at(0), 1, 1), Ok(2), "two of three");
    check_eq!(move_to(at(2), at(0), 1, 1), Ok(1), "the third");
    sleep_ms(20);
    check_eq!((GOT.load(SeqCst), word(0)), (0, tid() | FUTEX_WAITERS), "they wait for the lock");
    check_eq!(unlock(at(0)), Ok(0), "giving it up");
    finish(3);
    check_eq!((GOT.swap(0, SeqCst), word(0)), (3, 0), "each has had it");
    // The lock is free: the first gets it at once.
    for _ in 0..2 {
        start(5);
    }
    check_eq!(move_to(at(2), at(0), 1, 9), Ok(2), "one gets it, one is moved");
    finish(2);
    check_eq!((GOT.load(SeqCst), word(0)), (2, 0), "each has had it");
    start(5);
    check_eq!(move_to(at(2), at(0), 1, 0), Ok(1), "none but one");
    finish(1);
    check_eq!(word(0), 0, "it had it");
}

fn run() {
    alone();
    passed_on();
    refused();
    circle();
    owner_dies();
    between_processes();
    interrupted();
    condition();
    waiter_changes();
}
