// SPDX-License-Identifier: GPL-2.0-only
//! `adjtimex` and `clock_adjtime`: how fast the clocks go, what is slewed in, what atomic time is; who may
//! change it. Needs root.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::ptr::from_mut;
use user::prelude::*;
use user::process::{become_user, child, wait};
use user::syscall;
use user::time::{nanoseconds, sleep_ms, timespec};

expect! { end: exit(0) }
program!(run);

/// `struct timex`, in words.
type Timex = [i64; 26];
const OFFSET: usize = 1;
const FREQ: usize = 2;
const MAXERROR: usize = 3;
const ESTERROR: usize = 4;
const STATUS: usize = 5;
const CONSTANT: usize = 6;
const TOLERANCE: usize = 8;
const SEC: usize = 9;
const USEC: usize = 10;
const TICK: usize = 11;
const TAI: usize = 20;

const ADJ_OFFSET: i64 = 0x1;
const ADJ_FREQUENCY: i64 = 0x2;
const ADJ_MAXERROR: i64 = 0x4;
const ADJ_ESTERROR: i64 = 0x8;
const ADJ_STATUS: i64 = 0x10;
const ADJ_TAI: i64 = 0x80;
const ADJ_SETOFFSET: i64 = 0x100;
const ADJ_MICRO: i64 = 0x1000;
const ADJ_NANO: i64 = 0x2000;
const ADJ_TICK: i64 = 0x4000;
const SINGLESHOT: i64 = 0x8001;
const SS_READ: i64 = 0xa001;
const PLL: i64 = 0x1;
const UNSYNC: i64 = 0x40;
const NANO: i64 = 0x2000;

fn adjtimex(t: &mut Timex) -> Result<usize, Errno> {
    // SAFETY: the kernel reads and writes the structure.
    unsafe { syscall!(__NR_adjtimex, from_mut(t)) }
}
fn clock_adjtime(clock: i32, t: &mut Timex) -> Result<usize, Errno> {
    // SAFETY: as above.
    unsafe { syscall!(__NR_clock_adjtime, clock, from_mut(t)) }
}
/// Asks for `modes` with one field set: the call's result and what it tells.
fn set(modes: i64, field: usize, value: i64) -> (Result<usize, Errno>, Timex) {
    let mut t = [0; 26];
    t[0] = modes;
    t[field] = value;
    (adjtimex(&mut t), t)
}
fn clock(id: i32) -> i64 {
    let mut t = timespec(0, 0);
    // SAFETY: the kernel writes one structure.
    let _ = unsafe { syscall!(__NR_clock_gettime, id, from_mut(&mut t)) };
    nanoseconds(&t)
}
const REALTIME: i32 = 0;
const MONOTONIC: i32 = 1;
const MONOTONIC_RAW: i32 = 4;
const CLOCK_TAI: i32 = 11;

fn rights() {
    let mut t = [0; 26];
    check_eq!(clock_adjtime(REALTIME, &mut t).is_ok(), true, "the wall clock");
    check_eq!(clock_adjtime(MONOTONIC, &mut t), Err(Errno(EOPNOTSUPP)), "not another one");
    check_eq!(clock_adjtime(99, &mut t), Err(Errno(EINVAL)), "no clock");
    check_eq!([-1, -2, -8].map(|id| clock_adjtime(id, &mut t)), [Err(Errno(EOPNOTSUPP)); 3], "CPU clocks");
    check_eq!(clock_adjtime(-5, &mut t), Err(Errno(EINVAL)), "no file's clock");
    let other = child(|| {
        let _ = become_user(1000);
        check_eq!(set(0, 0, 0).0.is_ok(), true, "everybody may look");
        check_eq!(set(SS_READ, 0, SS_READ).0.is_ok(), true, "and see what is left");
        check_eq!(set(ADJ_TICK, TICK, 10000).0, Err(Errno(EPERM)), "but not change");
        for extreme in [i64::MIN, i64::MAX, -1] {
            let mut t = [extreme; 26];
            t[0] = 0;
            check_eq!(adjtimex(&mut t).is_ok(), true, "what is not asked for is not looked at");
        }
        check_eq!(set(SINGLESHOT, OFFSET, 1).0, Err(Errno(EPERM)), "anything");
        user::check::failures() as i32
    });
    check_eq!(wait(other).map(|s| s.0), Ok(0), "the other one's findings");
}

/// The monotonic clock, and what the counter said at the same time, as far as one can tell: nothing
/// came in between.
fn both() -> (i64, i64) {
    const CLOSE: i64 = 50_000;
    let mut best = (i64::MAX, (0, 0));
    for _ in 0..1000 {
        let (before, mono, after) = (clock(MONOTONIC_RAW), clock(MONOTONIC), clock(MONOTONIC_RAW));
        best = best.min((after - before, (mono, before)));
        if best.0 < CLOSE {
            break;
        }
    }
    best.1
}

/// How fast the monotonic clock goes, in millionths of what the counter says.
fn speed() -> i64 {
    let (mono, raw) = both();
    sleep_ms(150);
    let (mono_now, raw_now) = both();
    (mono_now - mono) * 1_000_000 / (raw_now - raw)
}

fn speeds() {
    for bad in [8999, 11001] {
        check_eq!(set(ADJ_TICK, TICK, bad).0, Err(Errno(EINVAL)), "a tick of {bad}");
    }
    for tick in [10900, 9200] {
        let (r, t) = set(ADJ_TICK, TICK, tick);
        check!(r.is_ok() && t[TICK] == tick, "a tick of {tick}");
        let now = speed();
        check!((now - tick * 100).abs() < 5000, "{tick}: {now} millionths");
    }
    let _ = set(ADJ_TICK, TICK, 10000);
    let (_, t) = set(ADJ_FREQUENCY, FREQ, 400 << 16);
    check_eq!((t[FREQ], t[TOLERANCE]), (400 << 16, 500 << 16), "a frequency");
    let now = speed();
    check!((now - 1_000_400).abs() < 300, "{now} millionths");
    let (_, t) = set(ADJ_FREQUENCY, FREQ, -(900 << 16));
    check_eq!(t[FREQ], -(500 << 16), "no more than that");
    check_eq!(set(ADJ_FREQUENCY, FREQ, i64::MAX).0, Err(Errno(EINVAL)), "nor what overflows");
    let (_, t) = set(ADJ_FREQUENCY, FREQ, 0);
    check_eq!(t[FREQ], 0, "as it was");
}

fn phases() {
    let (_, t) = set(SINGLESHOT, OFFSET, 5000);
    check_eq!(t[OFFSET], 0, "nothing was left");
    let (_, t) = set(SS_READ, OFFSET, 0);
    check!((3000..=5000).contains(&t[OFFSET]), "slewed by and by: {}", t[OFFSET]);
    let (_, t) = set(SINGLESHOT, OFFSET, 0);
    check!(t[OFFSET] > 0, "what is given up");
    check_eq!(set(0x8000, OFFSET, 0).0, Err(Errno(EINVAL)), "adjtime of nothing");
    let (_, t) = set(ADJ_OFFSET, OFFSET, 1000);
    check_eq!(t[OFFSET], 0, "a phase, without the loop");
    let (_, t) = set(ADJ_STATUS | ADJ_NANO, STATUS, PLL);
    check_eq!(
        (t[STATUS], (0..1_000_000_000).contains(&t[USEC])),
        (PLL | NANO, true),
        "the loop, in nanoseconds"
    );
    let (r, t) = set(ADJ_OFFSET, OFFSET, 2_000_000);
    check!((1_999_000..=2_000_000).contains(&t[OFFSET]), "a phase: {}", t[OFFSET]);
    check_eq!(r, Ok(0), "it is synchronized");
    let (_, t) = set(ADJ_MAXERROR | ADJ_ESTERROR, MAXERROR, 1000);
    check!((1000..=2000).contains(&t[MAXERROR]) && t[ESTERROR] == 0, "errors");
    let (r, t) = set(ADJ_STATUS | ADJ_MICRO, STATUS, UNSYNC);
    check_eq!((r, t[STATUS]), (Ok(5), UNSYNC), "not synchronized");
}

fn others() {
    let (_, t) = set(ADJ_TAI, CONSTANT, 37);
    check_eq!(t[TAI] as i32, 37, "atomic time");
    let ahead = clock(CLOCK_TAI) - clock(REALTIME);
    check!((36_990_000_000..=37_010_000_000).contains(&ahead), "is ahead by {ahead}");
    let (_, t) = set(ADJ_TAI, CONSTANT, -1);
    check_eq!(t[TAI] as i32, 37, "not negative");
    let (_, t) = set(ADJ_TAI, CONSTANT, 0);
    check_eq!(t[TAI] as i32, 0, "as it was");
    for (seconds, micros, bad) in
        [(0, -1, true), (0, 1_000_000, true), (7, 500_000, false), (-8, 500_000, false)]
    {
        let before = clock(REALTIME) - clock(MONOTONIC);
        let mut t = [0; 26];
        (t[0], t[SEC], t[USEC]) = (ADJ_SETOFFSET, seconds, micros);
        let r = adjtimex(&mut t);
        check_eq!(r.is_err(), bad, "{seconds} s and {micros}");
        let moved = clock(REALTIME) - clock(MONOTONIC) - before;
        let want = if bad { 0 } else { seconds * 1_000_000_000 + micros * 1000 };
        check!((moved - want).abs() < 10_000_000, "moved by {moved}");
    }
}

fn run() {
    rights();
    speeds();
    phases();
    others();
}
