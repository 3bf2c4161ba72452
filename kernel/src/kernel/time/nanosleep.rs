// SPDX-License-Identifier: GPL-2.0-only
//! `nanosleep` and `clock_nanosleep` (Linux 6.1, `kernel/time/hrtimer.c`,
//! `hrtimer_nanosleep`; `kernel/time/posix-timers.c`).

use super::Timespec;
use super::clock::{Clock, Sleep};
use super::timekeeping::{ktime_get, ktime_get_real};
use crate::arch::x86::kernel::apic::TICK_NSEC;
use crate::arch::x86::lib::usercopy::{get_user, put_user};
use crate::errno::{EINVAL, EOPNOTSUPP, ERESTARTNOHAND, Result};
use crate::kernel::sched::set_current_state;
use crate::kernel::signal::restart_block::set_restart_fn;
use crate::kernel::signal::signal_pending;
use crate::kernel::task::{TASK_INTERRUPTIBLE, current};
use crate::kernel::wait::schedule_hrtimeout;
use linux_raw_sys::general::{CLOCK_MONOTONIC, TIMER_ABSTIME};

/// Sleeps until `expires` (nanoseconds since boot); false if a signal came first.
fn sleep_until(expires: u64) -> bool {
    loop {
        set_current_state(TASK_INTERRUPTIBLE);
        if schedule_hrtimeout(expires) {
            return true;
        }
        if signal_pending(&current()) {
            return false;
        }
    }
}

/// Sleeps to a point of monotonic time. An interrupted sleep tells `rmtp` (if not
/// null) what is left, and goes on later unless a handler runs.
fn sleep_monotonic(expires: u64, rmtp: usize) -> Result<usize> {
    if sleep_until(expires) {
        return Ok(0);
    }
    if rmtp != 0 {
        let left = expires.saturating_sub(ktime_get());
        if left == 0 {
            return Ok(0);
        }
        put_user(rmtp, &Timespec::from_ns(left))?;
    }
    Err(set_restart_fn(&current(), nanosleep_restart, [expires, rmtp as u64, 0, 0, 0]))
}

fn nanosleep_restart([expires, rmtp, ..]: [u64; 5]) -> Result<usize> {
    sleep_monotonic(expires, rmtp as usize)
}

/// Sleeps until a process has used CPU time up to `expires`, looking once a tick
/// (`posix_cpu_nsleep`).
fn sleep_cpu(clock: i32, expires: u64, rmtp: usize, absolute: bool) -> Result<usize> {
    let c = Clock::find(clock)?;
    loop {
        let now = c.read()?;
        if now >= expires {
            return Ok(0);
        }
        let due = ktime_get().saturating_add((expires - now).max(TICK_NSEC));
        if sleep_until(due) {
            continue;
        }
        if absolute {
            return Err(ERESTARTNOHAND);
        }
        if rmtp != 0 {
            put_user(rmtp, &Timespec::from_ns(expires.saturating_sub(c.read()?)))?;
        }
        return Err(set_restart_fn(&current(), cpu_restart, [expires, rmtp as u64, clock as u64, 0, 0]));
    }
}

fn cpu_restart([expires, rmtp, clock, ..]: [u64; 5]) -> Result<usize> {
    sleep_cpu(clock as i32, expires, rmtp as usize, false)
}

/// The monotonic time at which the wall clock shows `real`.
fn real_to_monotonic(real: u64) -> u64 {
    let boot = ktime_get_real().saturating_sub(ktime_get());
    real.saturating_sub(boot)
}

/// `nanosleep(2)`.
pub fn sys_nanosleep(rqtp: usize, rmtp: usize) -> Result<usize> {
    sys_clock_nanosleep(CLOCK_MONOTONIC as i32, 0, rqtp, rmtp)
}

/// `clock_nanosleep(2)`.
pub fn sys_clock_nanosleep(which: i32, flags: u32, rqtp: usize, rmtp: usize) -> Result<usize> {
    let clock = Clock::find(which)?;
    let kind = clock.sleep().ok_or(EOPNOTSUPP)?;
    let time = get_user::<Timespec>(rqtp)?.to_ns().ok_or(EINVAL)?;
    let absolute = flags & TIMER_ABSTIME != 0;
    let rmtp = if absolute { 0 } else { rmtp };
    let expires = match kind {
        Sleep::CpuTime => {
            clock.check_cpu_sleep()?;
            let from = if absolute { 0 } else { clock.read()? };
            return sleep_cpu(which, from.saturating_add(time), rmtp, absolute);
        }
        _ if !absolute => ktime_get().saturating_add(time),
        Sleep::Monotonic => time,
        Sleep::Real => real_to_monotonic(time),
    };
    if absolute {
        return if sleep_until(expires) { Ok(0) } else { Err(ERESTARTNOHAND) };
    }
    sleep_monotonic(expires, rmtp)
}
