// SPDX-License-Identifier: GPL-2.0-only
//! Who sets the wall clock and the time zone sets the vDSO's (and puts them back as they were).
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::ptr::{from_mut, from_ref};
use user::prelude::*;
use user::syscall;
use user::time::{Timespec, nanoseconds, now, timespec, timeval};
use user::vdso::Vdso;

expect! { end: exit(0) }
program!(run);

type ClockCall = extern "C" fn(i32, *mut Timespec) -> i32;
type GetTimeOfDay = extern "C" fn(*mut timeval, *mut [i32; 2]) -> i32;

const REAL: i32 = 0;
const MONOTONIC: i32 = 1;
const REAL_COARSE: i32 = 5;
/// By how much the clock is moved: more than any delay.
const DAY: i64 = 86_400;
const NS: i64 = 1_000_000_000;

fn read(f: ClockCall, clock: i32) -> i64 {
    let mut t = timespec(0, 0);
    let _ = f(clock, &raw mut t);
    nanoseconds(&t)
}

fn set(ns: i64) {
    let t = timespec(ns / NS, ns % NS);
    // SAFETY: the kernel reads one structure.
    let r = unsafe { syscall!(__NR_clock_settime, REAL, from_ref(&t)) };
    check_eq!(r, Ok(0), "clock_settime");
}

fn run() {
    let Some(v) = Vdso::of_process() else {
        return check!(false, "AT_SYSINFO_EHDR is missing");
    };
    // SAFETY: the types are those of the functions.
    let found =
        unsafe { (v.function::<ClockCall>(c"__vdso_clock_gettime"), v.function(c"__vdso_gettimeofday")) };
    let (Some(gettime), Some(gettimeofday)) = found else {
        return check!(false, "not all functions are there");
    };
    let (real, mono) = (read(gettime, REAL), read(gettime, MONOTONIC));
    for moved in [DAY, -DAY, 0] {
        set(real + (now() - mono) + moved * NS);
        // Coarse clocks notice at the next tick.
        user::time::sleep_ms(20);
        for clock in [REAL, REAL_COARSE] {
            let by = read(gettime, clock) - real - (read(gettime, MONOTONIC) - mono);
            check!(by.abs_diff(moved * NS) < 5 * NS as u64, "clock {clock} moved by {moved}: {by}");
        }
        check!(read(gettime, MONOTONIC) - mono < 60 * NS, "the other clock stays");
    }
    zones(gettimeofday);
}

/// With a time, so that the kernel takes the clock to have shown UTC all the time.
fn zones(gettimeofday: GetTimeOfDay) {
    for zone in [[-60, 1], [15 * 60, 0], [0, 0]] {
        let (mut tv, mut seen, mut kernel) = (timeval { tv_sec: 0, tv_usec: 0 }, [7; 2], [8; 2]);
        let _ = gettimeofday(&raw mut tv, core::ptr::null_mut());
        // SAFETY: the kernel reads two structures.
        let r = unsafe { syscall!(__NR_settimeofday, from_ref(&tv), from_ref(&zone)) };
        check_eq!(r, Ok(0), "settimeofday");
        let _ = gettimeofday(core::ptr::null_mut(), &raw mut seen);
        // SAFETY: the kernel writes one structure.
        let _ = unsafe { syscall!(__NR_gettimeofday, 0, from_mut(&mut kernel)) };
        check_eq!([seen, kernel], [zone; 2], "the zone");
    }
    for (tv, zone, errno) in [
        (timeval { tv_sec: 1, tv_usec: 1_000_000 }, [0, 0], EINVAL),
        (timeval { tv_sec: 1, tv_usec: -1 }, [0, 0], EINVAL),
        (timeval { tv_sec: -1, tv_usec: 0 }, [0, 0], EINVAL),
        (timeval { tv_sec: 1_700_000_000, tv_usec: 0 }, [15 * 60 + 1, 0], EINVAL),
    ] {
        // SAFETY: the kernel reads two structures.
        let r = unsafe { syscall!(__NR_settimeofday, from_ref(&tv), from_ref(&zone)) };
        check_eq!(r, Err(Errno(errno)), "settimeofday of {}.{} {zone:?}", tv.tv_sec, tv.tv_usec);
    }
}
