// SPDX-License-Identifier: GPL-2.0-only
//! Clocks without a system call (Linux 6.1, `lib/vdso/gettimeofday.c`).

use crate::vvar::{Timebase, VdsoData, rdtsc_ordered};

const CLOCK_REALTIME: u32 = 0;
const CLOCK_MONOTONIC: u32 = 1;
const CLOCK_MONOTONIC_RAW: u32 = 4;
const CLOCK_REALTIME_COARSE: u32 = 5;
const CLOCK_MONOTONIC_COARSE: u32 = 6;
const CLOCK_BOOTTIME: u32 = 7;
const CLOCK_TAI: u32 = 11;

const NSEC_PER_SEC: u64 = 1_000_000_000;
/// Nanoseconds between two ticks: what the coarse clocks are precise to.
pub const TICK_NSEC: u64 = NSEC_PER_SEC / 250;

const NR_GETTIMEOFDAY: i64 = 96;
const NR_TIME: i64 = 201;
const NR_CLOCK_GETTIME: i64 = 228;
const NR_CLOCK_GETRES: i64 = 229;

/// `struct timespec`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Timespec {
    pub sec: i64,
    pub nsec: i64,
}

/// `struct timeval`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Timeval {
    pub sec: i64,
    pub usec: i64,
}

/// `struct timezone`.
pub type Timezone = [i32; 2];

/// Asks the kernel.
///
/// # Safety
/// As the call is.
#[inline(always)]
unsafe fn syscall(nr: i64, a: usize, b: usize) -> i64 {
    let ret: i64;
    // SAFETY: by the caller.
    unsafe {
        core::arch::asm!(
            "syscall",
            inlateout("rax") nr => ret,
            in("rdi") a,
            in("rsi") b,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    ret
}

/// The last tick before a time since boot: ticks come at multiples of their length.
#[inline(always)]
pub fn last_tick(mono: u64) -> u64 {
    mono - mono % TICK_NSEC
}

/// What a clock shows when the counter shows `tsc`, in nanoseconds; `None` if it does not follow
/// from the counter. A coarse clock shows the last tick.
#[inline(always)]
pub fn clock_ns(t: &Timebase, tsc: u64, clock: u32) -> Option<u64> {
    let mono = t.monotonic(tsc);
    let tick = last_tick(mono);
    Some(match clock {
        CLOCK_REALTIME => mono.wrapping_add(t.real_base),
        CLOCK_TAI => mono.wrapping_add(t.real_base).wrapping_add(t.tai),
        // The machine never sleeps.
        CLOCK_MONOTONIC | CLOCK_BOOTTIME => mono,
        CLOCK_MONOTONIC_RAW => t.monotonic_raw(tsc),
        CLOCK_REALTIME_COARSE => tick.wrapping_add(t.real_base),
        CLOCK_MONOTONIC_COARSE => tick,
        _ => return None,
    })
}

/// Whether [`clock_ns`] has such a clock.
#[inline(always)]
fn is_known(clock: i32) -> bool {
    const KNOWN: u32 = 1 << CLOCK_REALTIME
        | 1 << CLOCK_MONOTONIC
        | 1 << CLOCK_MONOTONIC_RAW
        | 1 << CLOCK_REALTIME_COARSE
        | 1 << CLOCK_MONOTONIC_COARSE
        | 1 << CLOCK_BOOTTIME
        | 1 << CLOCK_TAI;
    (clock as u32) < 32 && KNOWN >> clock & 1 != 0
}

#[inline(always)]
fn read_ns(d: &VdsoData, clock: i32) -> Option<u64> {
    if !is_known(clock) {
        return None;
    }
    let (tsc, t) = d.read(rdtsc_ordered)?;
    clock_ns(&t, tsc, clock as u32)
}

/// See [`__vdso_clock_gettime`](crate::__vdso_clock_gettime).
///
/// # Safety
/// `ts` is to be written to.
#[inline(always)]
pub unsafe fn clock_gettime(d: &VdsoData, clock: i32, ts: *mut Timespec) -> i32 {
    let Some(ns) = read_ns(d, clock) else {
        // SAFETY: by the caller.
        return unsafe { syscall(NR_CLOCK_GETTIME, clock as usize, ts as usize) } as i32;
    };
    let now = Timespec { sec: (ns / NSEC_PER_SEC) as i64, nsec: (ns % NSEC_PER_SEC) as i64 };
    // SAFETY: by the caller.
    unsafe { ts.write(now) };
    0
}

/// See [`__vdso_gettimeofday`](crate::__vdso_gettimeofday).
///
/// # Safety
/// What is not null is to be written to.
#[inline(always)]
pub unsafe fn gettimeofday(d: &VdsoData, tv: *mut Timeval, tz: *mut Timezone) -> i32 {
    if !tv.is_null() {
        let Some(ns) = read_ns(d, CLOCK_REALTIME as i32) else {
            // SAFETY: by the caller.
            return unsafe { syscall(NR_GETTIMEOFDAY, tv as usize, tz as usize) } as i32;
        };
        let now = Timeval { sec: (ns / NSEC_PER_SEC) as i64, usec: (ns % NSEC_PER_SEC / 1000) as i64 };
        // SAFETY: by the caller.
        unsafe { tv.write(now) };
    }
    if !tz.is_null() {
        // SAFETY: by the caller.
        unsafe { tz.write(d.tz()) };
    }
    0
}

/// See [`__vdso_time`](crate::__vdso_time).
///
/// # Safety
/// `t`, if it is not null, is to be written to.
#[inline(always)]
pub unsafe fn time(d: &VdsoData, t: *mut i64) -> i64 {
    let Some(ns) = read_ns(d, CLOCK_REALTIME as i32) else {
        // SAFETY: by the caller.
        return unsafe { syscall(NR_TIME, t as usize, 0) };
    };
    let sec = (ns / NSEC_PER_SEC) as i64;
    if !t.is_null() {
        // SAFETY: by the caller.
        unsafe { t.write(sec) };
    }
    sec
}

/// See [`__vdso_clock_getres`](crate::__vdso_clock_getres).
///
/// # Safety
/// `res`, if it is not null, is to be written to.
#[inline(always)]
pub unsafe fn clock_getres(d: &VdsoData, clock: i32, res: *mut Timespec) -> i32 {
    if !is_known(clock) || d.read(|| 0).is_none() {
        // SAFETY: by the caller.
        return unsafe { syscall(NR_CLOCK_GETRES, clock as usize, res as usize) } as i32;
    }
    let coarse = clock as u32 == CLOCK_REALTIME_COARSE || clock as u32 == CLOCK_MONOTONIC_COARSE;
    let nsec = if coarse { TICK_NSEC } else { 1 };
    if !res.is_null() {
        // SAFETY: by the caller.
        unsafe { res.write(Timespec { sec: 0, nsec: nsec as i64 }) };
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_follow_from_the_counter() {
        let t = Timebase {
            tsc_base: 1000,
            mult: 1 << 32,
            raw_mult: 1 << 31,
            real_base: 5 * NSEC_PER_SEC,
            tai: 37 * NSEC_PER_SEC,
            ..Timebase::default()
        };
        let at = |clock| clock_ns(&t, 1000 + 10_000_123, clock);
        assert_eq!(at(CLOCK_MONOTONIC), Some(10_000_123));
        assert_eq!(at(CLOCK_BOOTTIME), at(CLOCK_MONOTONIC));
        assert_eq!(at(CLOCK_REALTIME), Some(5_010_000_123));
        assert_eq!(at(CLOCK_TAI), Some(42_010_000_123));
        assert_eq!(at(CLOCK_MONOTONIC_RAW), Some(5_000_561));
        assert_eq!(at(CLOCK_MONOTONIC_COARSE), Some(8_000_000));
        assert_eq!(at(CLOCK_REALTIME_COARSE), Some(5_008_000_000));
        for other in [2, 3, 8, 9, 10, 12, 31, u32::MAX] {
            assert_eq!(at(other), None);
            assert!(!is_known(other as i32));
        }
    }

    #[test]
    fn results_are_written_where_they_are_wanted() {
        let d = VdsoData::new();
        d.update(&Timebase { real_base: 7_123_456_789, ..Timebase::default() });
        d.update_tz([-60, 1]);
        let (mut ts, mut tv, mut tz, mut t) = (Timespec::default(), Timeval::default(), [0; 2], 0);
        // SAFETY: all point to variables, or nowhere.
        unsafe {
            assert_eq!(clock_gettime(&d, 0, &raw mut ts), 0);
            assert_eq!(gettimeofday(&d, &raw mut tv, &raw mut tz), 0);
            assert_eq!(gettimeofday(&d, core::ptr::null_mut(), core::ptr::null_mut()), 0);
            assert_eq!(time(&d, &raw mut t), 7);
            assert_eq!(time(&d, core::ptr::null_mut()), 7);
        }
        assert_eq!((ts, tv), (Timespec { sec: 7, nsec: 123_456_789 }, Timeval { sec: 7, usec: 123_456 }));
        assert_eq!((tz, t), ([-60, 1], 7));
        // SAFETY: as above.
        unsafe {
            assert_eq!(clock_getres(&d, 6, &raw mut ts), 0);
            assert_eq!(clock_getres(&d, 1, core::ptr::null_mut()), 0);
        }
        assert_eq!(ts, Timespec { sec: 0, nsec: 4_000_000 });
    }
}
