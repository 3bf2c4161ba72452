// SPDX-License-Identifier: GPL-2.0-only
//! `nanosleep` and `clock_nanosleep` (Linux 6.1, `kernel/time/hrtimer.c`,
//! `hrtimer_nanosleep`; `kernel/time/posix-timers.c`).

use super::clock::{Clock, Sleep};
use super::hrtimer::ClockBase;
use super::timekeeping::ktime_get;
use super::{TimeAbi, Timespec};
use crate::arch::x86::kernel::apic::TICK_NSEC;
use crate::errno::{EINVAL, EOPNOTSUPP, ERESTARTNOHAND, Result};
use crate::kernel::sched::set_current_state;
use crate::kernel::signal::restart_block::set_restart_fn;
use crate::kernel::signal::signal_pending;
use crate::kernel::task::{TASK_INTERRUPTIBLE, current};
use crate::kernel::wait::schedule_hrtimeout_on;
use linux_raw_sys::general::{CLOCK_MONOTONIC, TIMER_ABSTIME};

/// Sleeps until the clock shows `expires`; false if a signal came first.
fn sleep_until(base: ClockBase, expires: u64) -> bool {
    loop {
        set_current_state(TASK_INTERRUPTIBLE);
        if schedule_hrtimeout_on(base, expires) {
            return true;
        }
        if signal_pending(&current()) {
            return false;
        }
    }
}

/// Where a program wants to read what is left of an interrupted sleep, if anywhere.
#[derive(Clone, Copy)]
struct Rest {
    at: usize,
    abi: TimeAbi,
}

impl Rest {
    /// As words of a restart block.
    fn words(self) -> [u64; 2] {
        [self.at as u64, u64::from(self.abi == TimeAbi::Time32)]
    }
    fn from_words(at: u64, time32: u64) -> Self {
        Self { at: at as usize, abi: if time32 == 0 { TimeAbi::Time64 } else { TimeAbi::Time32 } }
    }
    fn tell(self, left: u64) -> Result {
        if self.at == 0 { Ok(()) } else { Timespec::from_ns(left).put(self.at, self.abi) }
    }
}

/// Sleeps to a point of monotonic time. An interrupted sleep tells what is left, and goes on
/// later unless a handler runs.
fn sleep_monotonic(expires: u64, rest: Rest) -> Result<usize> {
    if sleep_until(ClockBase::Monotonic, expires) {
        return Ok(0);
    }
    if rest.at != 0 {
        let left = expires.saturating_sub(ktime_get());
        if left == 0 {
            return Ok(0);
        }
        rest.tell(left)?;
    }
    let [at, abi] = rest.words();
    Err(set_restart_fn(&current(), nanosleep_restart, [expires, at, abi, 0, 0]))
}

fn nanosleep_restart([expires, at, abi, ..]: [u64; 5]) -> Result<usize> {
    sleep_monotonic(expires, Rest::from_words(at, abi))
}

/// Sleeps until a process has used CPU time up to `expires`, looking once a tick
/// (`posix_cpu_nsleep`).
fn sleep_cpu(clock: i32, expires: u64, rest: Rest, absolute: bool) -> Result<usize> {
    let c = Clock::find(clock)?;
    loop {
        let now = c.read()?;
        if now >= expires {
            return Ok(0);
        }
        let due = ktime_get().saturating_add((expires - now).max(TICK_NSEC));
        if sleep_until(ClockBase::Monotonic, due) {
            continue;
        }
        if absolute {
            return Err(ERESTARTNOHAND);
        }
        rest.tell(expires.saturating_sub(c.read()?))?;
        let [at, abi] = rest.words();
        return Err(set_restart_fn(&current(), cpu_restart, [expires, at, abi, clock as u64, 0]));
    }
}

fn cpu_restart([expires, at, abi, clock, _]: [u64; 5]) -> Result<usize> {
    sleep_cpu(clock as i32, expires, Rest::from_words(at, abi), false)
}

/// `nanosleep(2)`.
pub fn sys_nanosleep(rqtp: usize, rmtp: usize) -> Result<usize> {
    sys_clock_nanosleep(CLOCK_MONOTONIC as i32, 0, rqtp, rmtp)
}

/// `clock_nanosleep(2)`.
pub fn sys_clock_nanosleep(which: i32, flags: u32, rqtp: usize, rmtp: usize) -> Result<usize> {
    clock_nanosleep(which, flags, rqtp, rmtp, TimeAbi::Time64)
}

/// [`sys_clock_nanosleep`] with times of either width.
pub fn clock_nanosleep(which: i32, flags: u32, rqtp: usize, rmtp: usize, abi: TimeAbi) -> Result<usize> {
    if which < 0 {
        // Which of the clocks of processes it is, is asked behind the time.
        Timespec::get(rqtp, abi)?.to_ns().ok_or(EINVAL)?;
    }
    let clock = Clock::find(which)?;
    let kind = clock.sleep().ok_or(EOPNOTSUPP)?;
    let time = Timespec::get(rqtp, abi)?.to_ns().ok_or(EINVAL)?;
    let absolute = flags & TIMER_ABSTIME != 0;
    let rest = Rest { at: if absolute { 0 } else { rmtp }, abi };
    let base = match kind {
        Sleep::CpuTime => {
            clock.check_cpu_sleep()?;
            let from = if absolute { 0 } else { clock.read()? };
            return sleep_cpu(which, from.saturating_add(time), rest, absolute);
        }
        // What is asked for as a span does not change when the clock is set.
        _ if !absolute => return sleep_monotonic(ktime_get().saturating_add(time), rest),
        Sleep::Monotonic => ClockBase::Monotonic,
        Sleep::Real => ClockBase::Real,
        Sleep::Tai => ClockBase::Tai,
    };
    if sleep_until(base, time) { Ok(0) } else { Err(ERESTARTNOHAND) }
}
