// SPDX-License-Identifier: GPL-2.0-only
//! POSIX timers.

use crate::{Result, syscall, time::Timespec};
use core::ptr::{from_mut, from_ref, null};

pub use linux_raw_sys::general::{
    CLOCK_BOOTTIME, CLOCK_MONOTONIC, CLOCK_PROCESS_CPUTIME_ID, CLOCK_REALTIME, CLOCK_TAI,
    CLOCK_THREAD_CPUTIME_ID, SIGEV_NONE, SIGEV_SIGNAL, SIGEV_THREAD, SIGEV_THREAD_ID,
};

/// `struct sigevent`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Sigevent {
    value: u64,
    signo: u32,
    notify: u32,
    tid: i32,
    pad: [u32; 11],
}

const _: () = assert!(size_of::<Sigevent>() == size_of::<linux_raw_sys::general::sigevent>());

impl Sigevent {
    /// What is to happen: `SIGEV_*`, the signal, and its value.
    pub const fn new(notify: u32, signo: u32, value: u64) -> Self {
        Self { value, signo, notify, tid: 0, pad: [0; 11] }
    }
    /// A signal for one thread.
    pub const fn thread(tid: i32, signo: u32, value: u64) -> Self {
        Self { tid, ..Self::new(SIGEV_SIGNAL | SIGEV_THREAD_ID, signo, value) }
    }
}

/// `struct itimerspec`: interval, and what is left.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Itimerspec {
    interval: Timespec,
    value: Timespec,
}

impl Itimerspec {
    /// Nanoseconds: first, and from then on (0: never again).
    pub const fn new(value: i64, interval: i64) -> Self {
        const fn ts(ns: i64) -> Timespec {
            crate::time::timespec(ns / 1_000_000_000, ns % 1_000_000_000)
        }
        Self { interval: ts(interval), value: ts(value) }
    }
    /// Nanoseconds left, and the interval.
    pub fn get(&self) -> (i64, i64) {
        (crate::time::nanoseconds(&self.value), crate::time::nanoseconds(&self.interval))
    }
}

/// `timer_create(2)`: the id.
pub fn timer_create(clock: i32, event: Option<&Sigevent>) -> Result<i32> {
    let mut id = -1i32;
    let event = event.map_or(null(), from_ref);
    // SAFETY: the kernel reads one structure and writes the id.
    unsafe { syscall!(__NR_timer_create, clock, event, from_mut(&mut id)) }?;
    Ok(id)
}

/// `timer_settime(2)`: the old setting.
pub fn timer_settime(id: i32, flags: u32, new: Itimerspec) -> Result<(i64, i64)> {
    let mut old = Itimerspec::new(-1, -1);
    // SAFETY: the kernel reads one structure and writes the other.
    unsafe { syscall!(__NR_timer_settime, id, flags, from_ref(&new), from_mut(&mut old)) }?;
    Ok(old.get())
}

/// `timer_gettime(2)`.
pub fn timer_gettime(id: i32) -> Result<(i64, i64)> {
    let mut now = Itimerspec::new(-1, -1);
    // SAFETY: the kernel writes the structure.
    unsafe { syscall!(__NR_timer_gettime, id, from_mut(&mut now)) }?;
    Ok(now.get())
}

/// `timer_getoverrun(2)`.
pub fn timer_getoverrun(id: i32) -> Result {
    // SAFETY: no memory is involved.
    unsafe { syscall!(__NR_timer_getoverrun, id) }
}

/// `timer_delete(2)`.
pub fn timer_delete(id: i32) -> Result {
    // SAFETY: no memory is involved.
    unsafe { syscall!(__NR_timer_delete, id) }
}
