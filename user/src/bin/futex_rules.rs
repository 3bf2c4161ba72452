// SPDX-License-Identifier: GPL-2.0-only
//! futex: who is woken where, also in memory that processes share; what is refused.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering::SeqCst};
use linux_raw_sys::general as abi;
use user::memory::{MAP_PRIVATE, MAP_SHARED, PAGE, PROT_READ, PROT_WRITE, map, map_shared};
use user::prelude::*;
use user::process::{ASLEEP, exit_thread, spawn_thread, until_state};
use user::syscall::Result;
use user::time::{Timespec, sleep_ms, timespec};
use user::{file, syscall};

expect! { end: exit(0) }
program!(run);

const PRIVATE: u32 = abi::FUTEX_PRIVATE_FLAG;
const REALTIME: u32 = abi::FUTEX_CLOCK_REALTIME;

fn futex(at: usize, op: u32, val: u32, val2: usize, at2: usize, val3: u32) -> Result {
    // SAFETY: the kernel reads and writes words that this program has, or refuses.
    unsafe { syscall!(__NR_futex, at, op, val, val2, at2, val3) }
}

fn wake(at: usize, op: u32, max: u32) -> Result {
    futex(at, op, max, 0, 0, u32::MAX)
}

fn wait(at: usize, op: u32, val: u32, time: &Timespec) -> Result {
    futex(at, op, val, core::ptr::from_ref(time) as usize, 0, u32::MAX)
}

static WORDS: [AtomicU32; 4] = [const { AtomicU32::new(0) }; 4];

fn word(i: usize) -> usize {
    WORDS[i].as_ptr() as usize
}

fn refused() {
    let e = |n| Err(Errno(n));
    let (at, kernel) = (word(0), 0xffff_8000_0000_0000);
    let soon = timespec(0, 1_000_000);
    for (what, private) in [("shared", 0), ("private", PRIVATE)] {
        check_eq!(wake(at + 1, abi::FUTEX_WAKE | private, 1), e(EINVAL), "{what}: not aligned");
        check_eq!(wake(kernel, abi::FUTEX_WAKE | private, 1), e(EFAULT), "{what}: the kernel's");
        check_eq!(wait(8, abi::FUTEX_WAIT | private, 0, &soon), e(EFAULT), "{what}: waiting at no memory");
        check_eq!(wait(at, abi::FUTEX_WAIT | private, 5, &soon), e(EAGAIN), "{what}: another value");
        check_eq!(wait(at, abi::FUTEX_WAIT | private, 0, &soon), e(ETIMEDOUT), "{what}: nobody wakes");
    }
    // A private futex is only a number; a shared one must be somewhere.
    check_eq!(wake(8, abi::FUTEX_WAKE, 1), e(EFAULT), "shared: no memory");
    check_eq!(wake(8, abi::FUTEX_WAKE | PRIVATE, 1), Ok(0), "private: no memory");
    let never_written = map(PAGE, PROT_READ).unwrap_or(0);
    check_eq!(wake(never_written, abi::FUTEX_WAKE, 1), e(EFAULT), "shared: memory that cannot change");
    check_eq!(wake(at, abi::FUTEX_WAKE | REALTIME, 1), e(ENOSYS), "a clock for waking");
    check_eq!(wait(at, abi::FUTEX_WAIT | REALTIME, 0, &soon), e(ENOSYS), "the wall clock for FUTEX_WAIT");
    for bad in [timespec(0, 2_000_000_000), timespec(-1, 0)] {
        check_eq!(wait(at, abi::FUTEX_WAIT | REALTIME, 0, &bad), e(EINVAL), "a time that is none, first");
    }
    check_eq!(futex(at, abi::FUTEX_WAIT, 0, 8, 0, 0), e(EFAULT), "a time that is nowhere");
    let past = timespec(1, 0);
    check_eq!(wait(at, abi::FUTEX_WAIT_BITSET | REALTIME, 0, &past), e(ETIMEDOUT), "long ago");
    check_eq!(futex(at, abi::FUTEX_WAKE_BITSET, 1, 0, 0, 0), e(EINVAL), "waking for nothing");
    check_eq!(futex(at, abi::FUTEX_WAIT_BITSET, 0, 0, 0, 0), e(EINVAL), "waiting for nothing");
    let requeue =
        |wakes: i32, moves: i32| futex(at, abi::FUTEX_REQUEUE, wakes as u32, moves as usize, word(1), 0);
    check_eq!([requeue(-1, 1), requeue(1, -1)], [e(EINVAL); 2], "fewer than none");
    check_eq!(futex(at, abi::FUTEX_CMP_REQUEUE, 1, 1, word(1), 7), e(EAGAIN), "not that value");
    check_eq!(futex(at, abi::FUTEX_CMP_REQUEUE, 1, 1, 8, 0), e(EFAULT), "moving to no memory");
    check_eq!(futex(at, 99, 0, 0, 0, 0), e(ENOSYS), "no such command");
}

/// `FUTEX_OP()`.
fn encode(op: u32, arg: u32, cmp: u32, cmp_arg: u32) -> u32 {
    op << 28 | cmp << 24 | (arg & 0xfff) << 12 | cmp_arg & 0xfff
}

/// `FUTEX_WAKE_OP` on words that nobody waits for: what becomes of the second.
fn wake_op() {
    let run = |before: u32, op| {
        WORDS[1].store(before, SeqCst);
        let r = futex(word(0), abi::FUTEX_WAKE_OP, 1, 1, word(1), op);
        (r, WORDS[1].load(SeqCst))
    };
    let minus_1 = u32::MAX;
    let rows = [
        (9, encode(abi::FUTEX_OP_SET, 7, 0, 0), 7),
        (9, encode(abi::FUTEX_OP_ADD, minus_1, 0, 0), 8),
        (9, encode(abi::FUTEX_OP_OR, 6, 0, 0), 15),
        (9, encode(abi::FUTEX_OP_ANDN, 8, 0, 0), 1),
        (9, encode(abi::FUTEX_OP_XOR, 3, 0, 0), 10),
        (9, encode(abi::FUTEX_OP_SET | abi::FUTEX_OP_OPARG_SHIFT, 31, 0, 0), 1 << 31),
    ];
    for (before, op, after) in rows {
        check_eq!(run(before, op), (Ok(0), after), "operation {op:x}");
    }
    check_eq!(run(9, encode(5, 0, 0, 0)), (Err(Errno(ENOSYS)), 9), "no such operation");
    check_eq!(run(9, encode(abi::FUTEX_OP_SET, 1, 6, 0)), (Err(Errno(ENOSYS)), 1), "no such comparison");
    let read_only = map(PAGE, PROT_READ).unwrap_or(0);
    let op = encode(abi::FUTEX_OP_SET, 1, 0, 0);
    for private in [0, PRIVATE] {
        let r = futex(word(0), abi::FUTEX_WAKE_OP | private, 1, 1, read_only, op);
        check_eq!(r, Err(Errno(EFAULT)), "a word that cannot be changed");
    }
}

/// Which word the next thread waits for, and how; how many were woken.
static WAIT_AT: AtomicUsize = AtomicUsize::new(0);
static WAIT_OP: AtomicU32 = AtomicU32::new(0);
static WOKEN: AtomicU32 = AtomicU32::new(0);

extern "C" fn waiter() -> ! {
    let (at, op) = (WAIT_AT.load(SeqCst), WAIT_OP.load(SeqCst));
    WAIT_AT.store(0, SeqCst);
    if wait(at, op, 0, &timespec(20, 0)) == Ok(0) {
        WOKEN.fetch_add(1, SeqCst);
    }
    exit_thread(0)
}

/// Starts threads that wait.
fn waiters(n: u32, at: usize, op: u32) {
    for _ in 0..n {
        WAIT_AT.store(at, SeqCst);
        WAIT_OP.store(op, SeqCst);
        check!(spawn_thread(waiter).is_ok(), "a thread");
        while WAIT_AT.load(SeqCst) != 0 {
            sleep_ms(1);
        }
    }
    sleep_ms(20);
}

fn woken() -> u32 {
    sleep_ms(20);
    WOKEN.swap(0, SeqCst)
}

fn who_is_woken() {
    for w in &WORDS {
        w.store(0, SeqCst);
    }
    let op = abi::FUTEX_WAIT | PRIVATE;
    waiters(6, word(0), op);
    // Linux wakes one at least.
    check_eq!((wake(word(0), abi::FUTEX_WAKE | PRIVATE, 0), woken()), (Ok(1), 1), "waking none");
    check_eq!((wake(word(0), abi::FUTEX_WAKE | PRIVATE, u32::MAX), woken()), (Ok(1), 1), "waking -1");
    check_eq!((wake(word(0), abi::FUTEX_WAKE, 9), woken()), (Ok(0), 0), "as a shared one");
    let moved = futex(word(0), abi::FUTEX_CMP_REQUEUE | PRIVATE, 1, 2, word(1), 0);
    check_eq!((moved, woken()), (Ok(3), 1), "one is woken, two are moved");
    check_eq!((wake(word(0), abi::FUTEX_WAKE | PRIVATE, 9), woken()), (Ok(1), 1), "one had stayed");
    WORDS[1].store(5, SeqCst);
    waiters(1, word(2), op);
    let op = encode(abi::FUTEX_OP_ADD, 1, abi::FUTEX_OP_CMP_EQ, 4);
    let r = futex(word(2), abi::FUTEX_WAKE_OP | PRIVATE, 1, 9, word(1), op);
    check_eq!((r, woken(), WORDS[1].load(SeqCst)), (Ok(1), 1, 6), "the comparison fails");
    let op = encode(abi::FUTEX_OP_ADD, 1, abi::FUTEX_OP_CMP_EQ, 6);
    let r = futex(word(2), abi::FUTEX_WAKE_OP | PRIVATE, 1, 9, word(1), op);
    check_eq!((r, woken(), WORDS[1].load(SeqCst)), (Ok(2), 2, 7), "the comparison holds");
}

/// A child waits for a word of `page`, which it reaches through `theirs`.
fn between(what: &str, ours: usize, theirs: impl FnOnce() -> usize, met: bool) {
    // SAFETY: a word of a mapping that only this program and its children use.
    let said: &AtomicU32 = unsafe { &*core::ptr::with_exposed_provenance(ours + 4) };
    said.store(0, SeqCst);
    let pid = child(|| {
        let at = theirs();
        said.store(1, SeqCst);
        let r = wait(at, abi::FUTEX_WAIT, 0, &if met { timespec(30, 0) } else { timespec(0, 150_000_000) });
        i32::from(r != if met { Ok(0) } else { Err(Errno(ETIMEDOUT)) })
    });
    while met && said.load(SeqCst) == 0 {
        sleep_ms(1);
    }
    if met {
        until_state(pid, ASLEEP);
    } else {
        sleep_ms(50);
    }
    check_eq!(wake(ours, abi::FUTEX_WAKE | PRIVATE, 1), Ok(0), "{what}: woken as a private one");
    check_eq!(wake(ours, abi::FUTEX_WAKE, 1), Ok(usize::from(met)), "{what}: woken");
    check_eq!(user::process::wait(pid), Ok(WaitStatus::exited(0)), "{what}: what the child saw");
}

fn shared_memory() {
    let page = map_shared(PAGE).unwrap_or(0);
    between("anonymous shared memory", page, || page, true);
    let own = map(PAGE, PROT_READ | PROT_WRITE).unwrap_or(0);
    between("private memory", own, || own, false);
    const FILE: &core::ffi::CStr = c"/tmp/futex_rules";
    check!(file::put(FILE, &[0; 2 * PAGE], 0o600).is_ok(), "a file");
    let mapped = |prot, kind, offset: usize| {
        let fd = file::open(FILE, file::O_RDWR, 0).unwrap_or(-1);
        // SAFETY: a new mapping overlaps nothing that exists.
        let at = unsafe { syscall!(__NR_mmap, 0, PAGE, prot, kind, fd, offset) };
        let _ = file::close(fd);
        at.unwrap_or(0)
    };
    let rw = PROT_READ | PROT_WRITE;
    let second = mapped(rw, MAP_SHARED, PAGE);
    between("another mapping of the file", second, || mapped(rw, MAP_SHARED, PAGE), true);
    between("one that is only read", second, || mapped(PROT_READ, MAP_SHARED, PAGE), true);
    between("a private one, only read", second, || mapped(PROT_READ, MAP_PRIVATE, PAGE), true);
    between("another page of the file", second, || mapped(rw, MAP_SHARED, 0), false);
    between("a private copy", second, || mapped(rw, MAP_PRIVATE, PAGE), false);
    let _ = file::unlink(FILE);
}

fn run() {
    refused();
    wake_op();
    who_is_woken();
    shared_memory();
}
