// SPDX-License-Identifier: GPL-2.0-only
//! The clocks that programs see: `clock_gettime` and its kin (Linux 6.1,
//! `kernel/time/posix-timers.c`, `posix-cpu-timers.c`, `time.c`).

use super::TimeAbi;
use super::timekeeping::{
    ktime_get, ktime_get_coarse, ktime_get_coarse_real, ktime_get_raw, ktime_get_real, set_real, tai_base,
};
use super::vsyscall::{sys_tz, update_vsyscall_tz};
use super::{Timespec, Timeval};
use crate::arch::x86::kernel::apic::TICK_NSEC;
use crate::arch::x86::lib::usercopy::{get_user, put_user};
use crate::errno::{EINVAL, EPERM, Result};
use crate::kernel::capability::capable;
use crate::kernel::fork::find_task;
use crate::kernel::task::{Task, current};
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
use linux_raw_sys::general as raw;

/// Which part of the CPU time a clock counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CpuTime {
    /// User and system (`CPUCLOCK_PROF`, and `CPUCLOCK_SCHED`, as precise here).
    Both,
    /// User (`CPUCLOCK_VIRT`).
    User,
}

/// A clock, by what it shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// Wall-clock time; `settable_alarm` for the variant that wakes a machine.
    Real,
    /// Atomic time: the wall clock without leap seconds.
    Tai,
    /// Wall-clock time as of the last tick.
    RealCoarse,
    /// Time since boot: the machine never sleeps, so that `CLOCK_BOOTTIME` is the same.
    Monotonic,
    /// Time since boot, not slewed: nobody can sleep on it.
    MonotonicRaw,
    /// Time since boot as of the last tick.
    MonotonicCoarse,
    /// CPU time of a process (`thread` false) or thread; id 0 is the current one.
    Cpu {
        #[allow(missing_docs)]
        pid: i32,
        #[allow(missing_docs)]
        thread: bool,
        #[allow(missing_docs)]
        what: CpuTime,
    },
}

/// How one sleeps on a clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Sleep {
    Monotonic,
    Real,
    Tai,
    CpuTime,
}

impl Clock {
    /// The clock with this id, or `EINVAL`.
    pub fn find(id: i32) -> Result<Self> {
        if id < 0 {
            return Self::dynamic(id);
        }
        let own = |thread| Self::Cpu { pid: 0, thread, what: CpuTime::Both };
        Ok(match id as u32 {
            raw::CLOCK_REALTIME | raw::CLOCK_REALTIME_ALARM => Self::Real,
            raw::CLOCK_TAI => Self::Tai,
            raw::CLOCK_MONOTONIC | raw::CLOCK_BOOTTIME | raw::CLOCK_BOOTTIME_ALARM => Self::Monotonic,
            raw::CLOCK_MONOTONIC_RAW => Self::MonotonicRaw,
            raw::CLOCK_REALTIME_COARSE => Self::RealCoarse,
            raw::CLOCK_MONOTONIC_COARSE => Self::MonotonicCoarse,
            raw::CLOCK_PROCESS_CPUTIME_ID => own(false),
            raw::CLOCK_THREAD_CPUTIME_ID => own(true),
            _ => return Err(EINVAL),
        })
    }

    /// A clock of another process: its id, complemented, above three bits that say
    /// which. File clocks do not exist here.
    fn dynamic(id: i32) -> Result<Self> {
        let what = match id & 3 {
            0 | 2 => CpuTime::Both,
            1 => CpuTime::User,
            _ => return Err(EINVAL),
        };
        let c = Self::Cpu { pid: !(id >> 3), thread: id & 4 != 0, what };
        c.cpu_task()?;
        Ok(c)
    }

    /// The task that a CPU clock belongs to; a thread's is for its own process only.
    fn cpu_task(self) -> Result<Arc<Task>> {
        let cur = current();
        let Self::Cpu { pid, thread, .. } = self else {
            return Err(EINVAL);
        };
        if pid == 0 || pid == cur.pid() {
            return Ok(cur.to_arc());
        }
        let t = find_task(pid).ok_or(EINVAL)?;
        let ok = if thread { t.tgid == cur.tgid } else { t.is_leader() };
        if ok { Ok(t) } else { Err(EINVAL) }
    }

    /// Nanoseconds that the clock shows.
    pub fn read(self) -> Result<u64> {
        Ok(match self {
            Self::Real => ktime_get_real(),
            Self::RealCoarse => ktime_get_coarse_real(),
            Self::Tai => ktime_get().wrapping_add(tai_base()),
            Self::Monotonic => ktime_get(),
            Self::MonotonicRaw => ktime_get_raw(),
            Self::MonotonicCoarse => ktime_get_coarse(),
            Self::Cpu { thread, what, .. } => {
                let t = self.cpu_task()?;
                let (user, sys) =
                    if thread { (t.utime.load(Relaxed), t.stime.load(Relaxed)) } else { t.signal.cputime() };
                match what {
                    CpuTime::Both => user + sys,
                    CpuTime::User => user,
                }
            }
        })
    }

    /// Its resolution in nanoseconds.
    pub fn resolution(self) -> u64 {
        match self {
            Self::RealCoarse | Self::MonotonicCoarse => TICK_NSEC,
            _ => 1,
        }
    }

    /// How one sleeps on it, if one can.
    pub fn sleep(self) -> Option<Sleep> {
        match self {
            Self::Real => Some(Sleep::Real),
            Self::Tai => Some(Sleep::Tai),
            Self::Monotonic => Some(Sleep::Monotonic),
            Self::Cpu { pid: 0, thread: true, .. }
            | Self::MonotonicRaw
            | Self::RealCoarse
            | Self::MonotonicCoarse => None,
            Self::Cpu { .. } => Some(Sleep::CpuTime),
        }
    }

    /// A thread cannot sleep until it has used more time itself.
    pub fn check_cpu_sleep(self) -> Result {
        match self {
            Self::Cpu { pid, thread: true, .. } if pid == 0 || pid == current().pid() => Err(EINVAL),
            _ => Ok(()),
        }
    }
}

/// `clock_gettime(2)`.
pub fn sys_clock_gettime(which: i32, tp: usize) -> Result<usize> {
    let ns = Clock::find(which)?.read()?;
    put_user(tp, &Timespec::from_ns(ns))?;
    Ok(0)
}

/// The latest time that the clock can be set to: thirty years before it ends
/// (`TIME_SETTOD_SEC_MAX`).
const SETTOD_NS_MAX: u64 = i64::MAX as u64 - 30 * 365 * 24 * 3600 * 1_000_000_000;

/// Whether the time zone was set before.
static WARPED: AtomicBool = AtomicBool::new(false);

/// A time that the clock can be set to (`timespec64_valid_settod`).
fn settable(ns: Option<u64>) -> Result<u64> {
    ns.filter(|&ns| ns < SETTOD_NS_MAX).ok_or(EINVAL)
}

/// Sets the wall clock and the time zone, for those who may (`do_sys_settimeofday64`).
fn settimeofday(time: Option<u64>, zone: Option<[i32; 2]>) -> Result<usize> {
    if !capable(raw::CAP_SYS_TIME) {
        return Err(EPERM);
    }
    if let Some([minutes_west, dst]) = zone {
        if minutes_west.unsigned_abs() > 15 * 60 {
            return Err(EINVAL);
        }
        update_vsyscall_tz([minutes_west, dst]);
        // The machine's clock may have shown local time: it is the first chance to mend that
        // (`timekeeping_warp_clock`).
        if !WARPED.swap(true, Relaxed) && time.is_none() {
            let west = i64::from(minutes_west) * 60 * 1_000_000_000;
            set_real(ktime_get_real().wrapping_add_signed(west))?;
        }
    }
    if let Some(ns) = time {
        set_real(ns)?;
    }
    Ok(0)
}

/// `clock_settime(2)`.
pub fn sys_clock_settime(which: i32, tp: usize) -> Result<usize> {
    clock_settime(which, tp, TimeAbi::Time64)
}

/// The same with a time of either width: of all clocks the wall clock can be set.
pub fn clock_settime(which: i32, tp: usize, abi: TimeAbi) -> Result<usize> {
    if which < 0 {
        // Which of the clocks of processes and files it is, is asked behind the time.
        Timespec::get(tp, abi)?;
    }
    if Clock::find(which)? != Clock::Real || which as u32 != raw::CLOCK_REALTIME {
        return Err(EINVAL);
    }
    settimeofday(Some(settable(Timespec::get(tp, abi)?.to_ns())?), None)
}

/// `stime`: seconds of 32 bits, of i386's.
pub fn sys_stime32(tp: usize) -> Result<usize> {
    let sec: i32 = get_user(tp)?;
    let ns = settable(Timespec { tv_sec: sec.into(), tv_nsec: 0 }.to_ns());
    // Nobody looks whether it is one that the clock can have.
    settimeofday(ns.ok(), None)
}

/// `settimeofday(2)`: time and time zone.
pub fn sys_settimeofday(tv: usize, tz: usize) -> Result<usize> {
    set_time_and_zone(tv, tz, TimeAbi::Time64)
}

/// The same with a time of either width.
pub fn set_time_and_zone(tv: usize, tz: usize, abi: TimeAbi) -> Result<usize> {
    let time = match tv {
        0 => None,
        _ => Some(abi.get(tv).map(|[tv_sec, tv_usec]| Timeval { tv_sec, tv_usec })?),
    };
    if time.is_some_and(|t| !(0..1_000_000).contains(&t.tv_usec)) {
        return Err(EINVAL);
    }
    let zone = if tz == 0 { None } else { Some(get_user(tz)?) };
    settimeofday(time.map(|t| settable(t.to_ns())).transpose()?, zone)
}

/// `clock_getres(2)`.
pub fn sys_clock_getres(which: i32, tp: usize) -> Result<usize> {
    let res = Clock::find(which)?.resolution();
    if tp != 0 {
        put_user(tp, &Timespec::from_ns(res))?;
    }
    Ok(0)
}

/// `gettimeofday(2)`.
pub fn sys_gettimeofday(tv: usize, tz: usize) -> Result<usize> {
    if tv != 0 {
        put_user(tv, &Timeval::from_ns(ktime_get_real()))?;
    }
    if tz != 0 {
        put_user(tz, &sys_tz())?;
    }
    Ok(0)
}

/// `time(2)`.
pub fn sys_time(tloc: usize) -> Result<usize> {
    let sec = (ktime_get_real() / 1_000_000_000) as i64;
    if tloc != 0 {
        put_user(tloc, &sec)?;
    }
    Ok(sec as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_what_they_allow() {
        let sleep = |id: u32| Clock::find(id as i32).unwrap().sleep();
        assert_eq!(sleep(raw::CLOCK_REALTIME), Some(Sleep::Real));
        assert_eq!(sleep(raw::CLOCK_TAI), Some(Sleep::Tai));
        assert_eq!(sleep(raw::CLOCK_BOOTTIME), Some(Sleep::Monotonic));
        assert_eq!(sleep(raw::CLOCK_PROCESS_CPUTIME_ID), Some(Sleep::CpuTime));
        for id in [
            raw::CLOCK_THREAD_CPUTIME_ID,
            raw::CLOCK_MONOTONIC_RAW,
            raw::CLOCK_REALTIME_COARSE,
            raw::CLOCK_MONOTONIC_COARSE,
        ] {
            assert_eq!(sleep(id), None, "clock {id}");
        }
        assert_eq!(Clock::find(10), Err(EINVAL));
        assert_eq!(Clock::find(100), Err(EINVAL));
        assert_eq!(Clock::find(-1), Err(EINVAL));
        assert_eq!(Clock::find(raw::CLOCK_MONOTONIC_COARSE as i32).unwrap().resolution(), TICK_NSEC);
        assert_eq!(Clock::find(raw::CLOCK_MONOTONIC as i32).unwrap().resolution(), 1);
    }
}
