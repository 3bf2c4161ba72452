// SPDX-License-Identifier: GPL-2.0-only
//! Clocks, sleeps and interval timers.

use crate::{Result, syscall};

pub use linux_raw_sys::general::{__kernel_timespec as Timespec, itimerval, timeval};

/// A point in or a span of time.
pub const fn timespec(sec: i64, nsec: i64) -> Timespec {
    Timespec { tv_sec: sec, tv_nsec: nsec }
}

/// Nanoseconds of a [`Timespec`].
pub fn nanoseconds(t: &Timespec) -> i64 {
    t.tv_sec * 1_000_000_000 + t.tv_nsec
}

/// `nanosleep(2)`, with the time that remained if it was interrupted.
pub fn nanosleep(time: &Timespec, remaining: Option<&mut Timespec>) -> Result {
    let rem = remaining.map_or(core::ptr::null_mut(), core::ptr::from_mut);
    // SAFETY: the kernel reads one structure and writes the other, if any.
    unsafe { syscall!(__NR_nanosleep, core::ptr::from_ref(time), rem) }
}

/// Sleeps for some milliseconds, through interruptions.
pub fn sleep_ms(ms: i64) {
    let mut left = timespec(ms / 1000, ms % 1000 * 1_000_000);
    let mut wanted = left;
    while nanosleep(&wanted, Some(&mut left)).is_err() {
        wanted = left;
    }
}

/// Nanoseconds since boot, on the monotonic clock.
pub fn now() -> i64 {
    let mut t = timespec(0, 0);
    // SAFETY: the kernel writes one structure; clock 1 is CLOCK_MONOTONIC.
    let _ = unsafe { syscall!(__NR_clock_gettime, 1, core::ptr::from_mut(&mut t)) };
    nanoseconds(&t)
}

/// `alarm(2)`.
pub fn alarm(seconds: u32) -> Result {
    // SAFETY: no memory is involved.
    unsafe { syscall!(__NR_alarm, seconds) }
}

/// Arms ITIMER_REAL: the first SIGALRM after `first_ms`, then every `every_ms` (0: once; both 0: disarm).
pub fn set_real_timer(first_ms: i64, every_ms: i64) -> Result {
    let tv = |ms: i64| timeval { tv_sec: ms / 1000, tv_usec: ms % 1000 * 1000 };
    let it = itimerval { it_value: tv(first_ms), it_interval: tv(every_ms) };
    // SAFETY: the kernel reads the structure; 0 is ITIMER_REAL.
    unsafe { syscall!(__NR_setitimer, 0, core::ptr::from_ref(&it), 0) }
}
