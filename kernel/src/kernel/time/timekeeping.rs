// SPDX-License-Identifier: GPL-2.0-only
//! The clocks (Linux 6.1, `kernel/time/timekeeping.c`), read from the TSC.

use super::vsyscall::update_vsyscall;
use crate::errno::{EINVAL, Result};
use crate::locking::{local_irq_restore, local_irq_save};
use core::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use vdso::gettimeofday::last_tick;
use vdso::vvar::Timebase;

/// TSC at boot.
static TSC_BASE: AtomicU64 = AtomicU64::new(0);
/// Nanoseconds per TSC tick, times 2^32, as measured.
static TSC_MULT: AtomicU64 = AtomicU64::new(0);
/// Wall clock at boot, nanoseconds since 1970.
static REAL_BASE: AtomicU64 = AtomicU64::new(0);
/// Seconds that atomic time is ahead of the wall clock.
static TAI_OFFSET: AtomicI64 = AtomicI64::new(0);

/// How the monotonic clock follows from the counter since its rate was last changed.
struct Rate {
    tsc: AtomicU64,
    mult: AtomicU64,
    mono: AtomicU64,
}

/// The rate, and the one before: who reads it is not disturbed by who changes it (Linux's
/// `tk_fast`), be it an NMI.
static RATES: [Rate; 2] =
    [const { Rate { tsc: AtomicU64::new(0), mult: AtomicU64::new(0), mono: AtomicU64::new(0) } }; 2];
/// Which of them it is.
static RATE: AtomicUsize = AtomicUsize::new(0);

#[inline(always)]
fn rate() -> &'static Rate {
    &RATES[RATE.load(Ordering::Acquire) & 1]
}

/// From this reading of the counter on it counts so many nanoseconds a tick.
fn set_rate(tsc: u64, mono: u64, mult: u64) {
    let next = RATE.load(Ordering::Relaxed).wrapping_add(1);
    let r = &RATES[next & 1];
    r.tsc.store(tsc, Ordering::Relaxed);
    r.mult.store(mult, Ordering::Relaxed);
    r.mono.store(mono, Ordering::Relaxed);
    RATE.store(next, Ordering::Release);
}

/// A second of the clocks that can be disciplined is so long from now on, in nanoseconds times 2^32 of
/// the counter's (`timekeeping_adjust`).
pub fn update_rate(second_length: i128) {
    const SECOND: i128 = 1_000_000_000 << 32;
    let raw = i128::from(TSC_MULT.load(Ordering::Relaxed));
    // Programs cannot ask for more than a tenth.
    let mult = (raw * (second_length >> 8) / (SECOND >> 8)).clamp(raw / 2, raw * 2) as u64;
    if mult == rate().mult.load(Ordering::Relaxed) {
        return;
    }
    let irqs = local_irq_save();
    let tsc = rdtsc_ordered();
    set_rate(tsc, timebase().monotonic(tsc), mult);
    update_vsyscall(&timebase());
    local_irq_restore(irqs);
    crate::kernel::time::hrtimer::clock_was_set();
}

/// Seconds that atomic time is ahead of the wall clock.
pub fn tai_offset() -> i64 {
    TAI_OFFSET.load(Ordering::Relaxed)
}

/// Sets that, and moves the timers on it (`__timekeeping_set_tai_offset`).
pub fn set_tai_offset(seconds: i64) {
    if TAI_OFFSET.swap(seconds, Ordering::Relaxed) != seconds {
        update_vsyscall(&timebase());
        crate::kernel::time::hrtimer::clock_was_set();
    }
}

/// What the TAI clock shows more than the monotonic one.
pub fn tai_base() -> u64 {
    real_offset().wrapping_add_signed(tai_offset() * 1_000_000_000)
}

/// Puts the wall clock forward or back: it is a leap second. Callable from interrupts.
pub fn step_real(ns: i64) {
    REAL_BASE.fetch_add(ns.cast_unsigned(), Ordering::Relaxed);
    update_vsyscall(&timebase());
    crate::kernel::time::hrtimer::clock_was_set();
}

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
    let r = rate();
    Timebase {
        tsc_base: r.tsc.load(Ordering::Relaxed),
        mult: r.mult.load(Ordering::Relaxed),
        mono_base: r.mono.load(Ordering::Relaxed),
        raw_tsc_base: TSC_BASE.load(Ordering::Relaxed),
        raw_mult: TSC_MULT.load(Ordering::Relaxed),
        real_base: REAL_BASE.load(Ordering::Relaxed),
        tai: (tai_offset() * 1_000_000_000).cast_unsigned(),
    }
}

/// Starts the clocks: `khz` is the TSC's frequency, `wall` the time now.
pub fn timekeeping_init(khz: u64, wall_ns: u64) {
    let mult = ((1_000_000u128 << 32) / u128::from(khz.max(1))) as u64;
    TSC_MULT.store(mult, Ordering::Relaxed);
    set_rate(TSC_BASE.load(Ordering::Relaxed), 0, mult);
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
    let r = rate();
    let (tsc_base, mult) = (r.tsc.load(Ordering::Relaxed), r.mult.load(Ordering::Relaxed));
    let t = Timebase { tsc_base, mult, mono_base: r.mono.load(Ordering::Relaxed), ..Timebase::default() };
    t.monotonic(rdtsc_ordered())
}

/// Nanoseconds since boot by the counter alone (`CLOCK_MONOTONIC_RAW`).
pub fn ktime_get_raw() -> u64 {
    timebase().monotonic_raw(rdtsc_ordered())
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
    crate::kernel::time::ntp::ntp_clear();
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
