// SPDX-License-Identifier: GPL-2.0-only
//! The clocks (Linux 6.1, `kernel/time/timekeeping.c`), read from the TSC.

use super::vsyscall::update_vsyscall;
use crate::errno::{EINVAL, Result};
use core::sync::atomic::{AtomicU64, Ordering};
use vdso::gettimeofday::last_tick;
use vdso::vvar::Timebase;

/// TSC at boot.
static TSC_BASE: AtomicU64 = AtomicU64::new(0);
/// Nanoseconds per TSC tick, times 2^32.
static TSC_MULT: AtomicU64 = AtomicU64::new(0);
/// Wall clock at boot, nanoseconds since 1970.
static REAL_BASE: AtomicU64 = AtomicU64::new(0);

/// Reads the time-stamp counter, when everything before it is done.
#[inline]
fn rdtsc_ordered() -> u64 {
    vdso::vvar::rdtsc_ordered()
}

/// Reads the time-stamp counter.
#[inline]
pub fn rdtsc() -> u64 {
    // SAFETY: every x86_64 CPU has it; it has no side effect.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// How the clocks follow from the counter; programs know it as well, and must get the same.
#[inline]
fn timebase() -> Timebase {
    Timebase {
        tsc_base: TSC_BASE.load(Ordering::Relaxed),
        mult: TSC_MULT.load(Ordering::Relaxed),
        real_base: REAL_BASE.load(Ordering::Relaxed),
    }
}

/// Starts the clocks: `khz` is the TSC's frequency, `wall` the time now.
pub fn timekeeping_init(khz: u64, wall_ns: u64) {
    TSC_MULT.store(((1_000_000u128 << 32) / u128::from(khz.max(1))) as u64, Ordering::Relaxed);
    REAL_BASE.store(wall_ns.wrapping_sub(ktime_get()), Ordering::Relaxed);
    update_vsyscall(&timebase());
}

/// Records the TSC that counts as time zero.
pub fn set_tsc_base(tsc: u64) {
    TSC_BASE.store(tsc, Ordering::Relaxed);
}

/// Nanoseconds since boot (`CLOCK_MONOTONIC`); 0 until the clock is calibrated.
#[inline]
pub fn ktime_get() -> u64 {
    timebase().monotonic(rdtsc_ordered())
}

/// Nanoseconds since 1970 (`CLOCK_REALTIME`).
pub fn ktime_get_real() -> u64 {
    ktime_get().wrapping_add(REAL_BASE.load(Ordering::Relaxed))
}

/// What the wall clock shows more than the monotonic one.
pub fn real_offset() -> u64 {
    REAL_BASE.load(Ordering::Relaxed)
}

/// Nanoseconds since boot as of the last tick (`CLOCK_MONOTONIC_COARSE`).
pub fn ktime_get_coarse() -> u64 {
    last_tick(ktime_get())
}

/// Nanoseconds since 1970 as of the last tick (`CLOCK_REALTIME_COARSE`).
pub fn ktime_get_coarse_real() -> u64 {
    ktime_get_coarse().wrapping_add(REAL_BASE.load(Ordering::Relaxed))
}

/// Sets the wall clock, and moves the timers on it (`do_settimeofday64`).
///
/// # Errors
/// `EINVAL` for a time at which the machine would not have been started yet.
pub fn set_real(ns: u64) -> Result {
    REAL_BASE.store(ns.checked_sub(ktime_get()).ok_or(EINVAL)?, Ordering::Relaxed);
    update_vsyscall(&timebase());
    crate::kernel::time::hrtimer::clock_was_set();
    crate::fs::timerfd::timerfd_clock_was_set();
    Ok(())
}

/// The TSC's frequency in kHz.
pub fn tsc_khz() -> u64 {
    let m = TSC_MULT.load(Ordering::Relaxed);
    if m == 0 { 0 } else { ((1_000_000u128 << 32) / u128::from(m)) as u64 }
}
