// SPDX-License-Identifier: GPL-2.0-only
//! futex_waitv: which of several words was woken; what is refused. A wait with a time limit goes
//! on after a stop, to the same moment.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::ptr::from_ref;
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering::SeqCst};
use linux_raw_sys::general as abi;
use user::check::at_best;
use user::prelude::*;
use user::process::{exit_thread, spawn_thread};
use user::signal::{SIGCONT, SIGSTOP};
use user::syscall;
use user::syscall::Result;
use user::time::{Timespec, now, sleep_ms, timespec};

expect! { end: exit(0) }
program!(run);

const FLAGS: u64 = (abi::FUTEX_32 | abi::FUTEX_PRIVATE_FLAG) as u64;
static WORDS: [AtomicU32; 4] = [const { AtomicU32::new(0) }; 4];

/// `struct futex_waitv`.
type Waitv = [u64; 3];

fn entry(i: usize, val: u32) -> Waitv {
    [val.into(), WORDS[i].as_ptr() as u64, FLAGS]
}

fn waitv(words: &[Waitv], flags: u32, time: Option<&Timespec>, clock: u32) -> Result {
    let time = time.map_or(core::ptr::null(), from_ref);
    // SAFETY: the kernel reads the arguments.
    unsafe { syscall!(__NR_futex_waitv, words.as_ptr(), words.len(), flags, time, clock) }
}

fn wake(i: usize, max: u32) -> Result {
    // SAFETY: no memory is touched.
    unsafe { syscall!(__NR_futex, WORDS[i].as_ptr(), abi::FUTEX_WAKE | abi::FUTEX_PRIVATE_FLAG, max) }
}

static GOT: AtomicUsize = AtomicUsize::new(0);
const NOTHING: usize = 1000;

extern "C" fn waiter() -> ! {
    let words = [entry(0, 0), entry(1, 0), entry(2, 0), entry(1, 0)];
    let r = waitv(&words, 0, None, 1);
    GOT.store(r.unwrap_or(NOTHING + 1), SeqCst);
    exit_thread(0)
}

fn start() {
    GOT.store(NOTHING, SeqCst);
    check!(spawn_thread(waiter).is_ok(), "a thread");
    sleep_ms(20);
}

fn got() -> usize {
    sleep_ms(20);
    GOT.load(SeqCst)
}

fn refused() {
    let e = |n| Err(Errno(n));
    let one = [entry(0, 0)];
    let past = timespec(0, 1);
    check_eq!(waitv(&one, 1, None, 1), e(EINVAL), "flags");
    check_eq!(waitv(&[], 0, None, 1), e(EINVAL), "no words");
    check_eq!(waitv(&[entry(0, 0); 129], 0, None, 1), e(EINVAL), "too many");
    check_eq!(waitv(&[entry(0, 0); 128], 0, Some(&past), 1), e(ETIMEDOUT), "as many as can be");
    check_eq!(waitv(&one, 0, Some(&past), 2), e(EINVAL), "no such clock");
    check_eq!(waitv(&one, 0, Some(&past), 0), e(ETIMEDOUT), "the wall clock");
    check_eq!(waitv(&one, 0, Some(&timespec(0, -1)), 1), e(EINVAL), "no time");
    let at = WORDS[0].as_ptr() as u64;
    for flags in [0, abi::FUTEX_PRIVATE_FLAG, abi::FUTEX_32 | 8] {
        check_eq!(waitv(&[[0, at, flags.into()]], 0, Some(&past), 1), e(EINVAL), "flags {flags:x}");
    }
    check_eq!(waitv(&[[0, at, FLAGS | 1 << 32]], 0, Some(&past), 1), e(EINVAL), "something reserved");
    check_eq!(waitv(&[[0, at + 2, FLAGS]], 0, Some(&past), 1), e(EINVAL), "not aligned");
    check_eq!(waitv(&[entry(0, 0), [0, 8, FLAGS]], 0, Some(&past), 1), e(EFAULT), "no memory");
    check_eq!(waitv(&[entry(0, 0), entry(1, 7)], 0, None, 1), e(EAGAIN), "another value");
    // SAFETY: the kernel reads what is there, which is nothing.
    let r = unsafe { syscall!(__NR_futex_waitv, 8, 1, 0, 0, 1) };
    check_eq!(r, e(EFAULT), "no array");
    // SAFETY: as above.
    let r = unsafe { syscall!(__NR_futex_waitv, 0, 1, 0, 0, 1) };
    check_eq!(r, e(EINVAL), "a null array");
    check_eq!(wake(0, 9), Ok(0), "nobody is left behind");
}

/// The wait was longer than the limit: that of a call begun anew, or a host that stopped the machine.
const LONGER: i32 = 2;

/// A child waits with a limit, is stopped and continued: the limit stays where it was.
fn stopped() -> WaitStatus {
    let pid = child(|| {
        let (t0, limit) = (now(), timespec(0, 200_000_000));
        let (at, op) = (WORDS[3].as_ptr(), abi::FUTEX_WAIT | abi::FUTEX_PRIVATE_FLAG);
        // SAFETY: the kernel reads a word and a time.
        let r = unsafe { syscall!(__NR_futex, at, op, 0, from_ref(&limit)) };
        check_eq!(r, Err(Errno(ETIMEDOUT)), "nobody wakes");
        let passed = (now() - t0) / 1_000_000;
        check!(passed >= 200, "after {passed} ms");
        if user::check::failures() != 0 {
            return 1;
        }
        // Begun anew when it is continued, it would end 320 ms after it began.
        if passed < 300 { 0 } else { LONGER }
    });
    sleep_ms(60);
    let _ = kill(pid, SIGSTOP);
    sleep_ms(60);
    let _ = kill(pid, SIGCONT);
    wait(pid).unwrap_or(WaitStatus(-1))
}

fn run() {
    refused();
    start();
    check_eq!((wake(2, 1), got()), (Ok(1), 2), "the third");
    start();
    check_eq!((wake(0, 1), got()), (Ok(1), 0), "the first");
    start();
    // It waits for the word twice: both entries go, and the last one is told.
    check_eq!((wake(1, 9), got()), (Ok(2), 3), "one that is there twice");
    check_eq!([wake(0, 9), wake(1, 9), wake(2, 9)], [Ok(0); 3], "nobody is left behind");
    let ended = at_best(stopped, |ended| *ended != WaitStatus::exited(LONGER));
    check_eq!(ended, WaitStatus::exited(0), "the child");
}
