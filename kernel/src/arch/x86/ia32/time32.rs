// SPDX-License-Identifier: GPL-2.0-only
//! i386's system calls with times of 32 bits (Linux 6.1, `kernel/time/time.c`, `itimer.c`,
//! `posix-timers.c`: `*_time32`, `compat_sys_*itimer`), and others that are told how long to wait.

use super::siginfo::to_compat;
use crate::arch::x86::lib::usercopy::{get_user, put_user};
use crate::errno::{EFAULT, EINVAL, Result};
use crate::fs::{select, timerfd, utimes};
use crate::kernel::futex;
use crate::kernel::sched::syscalls::sched_rr_get_interval;
use crate::kernel::signal::SigSet;
use crate::kernel::signal::sigset::KERNEL_ONLY;
use crate::kernel::signal::syscalls::sigtimedwait;
use crate::kernel::task::current;
use crate::kernel::time::clock::{Clock, clock_settime, set_time_and_zone};
use crate::kernel::time::itimer::{Setting, do_getitimer, do_setitimer};
use crate::kernel::time::nanosleep::clock_nanosleep;
use crate::kernel::time::posix_timers::{Sigevent, do_timer_create, timer_gettime, timer_settime};
use crate::kernel::time::timekeeping::ktime_get_real;
use crate::kernel::time::{TimeAbi, Timespec, Timeval};
use linux_raw_sys::general::{AT_FDCWD, CLOCK_MONOTONIC};

const NSEC_PER_SEC: u64 = 1_000_000_000;

/// `time`.
pub fn sys_time32(tloc: usize) -> Result<usize> {
    let sec = (ktime_get_real() / NSEC_PER_SEC) as i32;
    if tloc != 0 {
        put_user(tloc, &sec)?;
    }
    Ok(sec as usize)
}

/// `gettimeofday`; the time zone is UTC.
pub fn compat_sys_gettimeofday(tv: usize, tz: usize) -> Result<usize> {
    if tv != 0 {
        let t = Timeval::from_ns(ktime_get_real());
        TimeAbi::Time32.put(tv, [t.tv_sec, t.tv_usec])?;
    }
    if tz != 0 {
        put_user(tz, &[0i32; 2])?;
    }
    Ok(0)
}

/// `settimeofday`.
pub fn compat_sys_settimeofday(tv: usize, tz: usize) -> Result<usize> {
    set_time_and_zone(tv, tz, TimeAbi::Time32)
}

/// `clock_settime`.
pub fn sys_clock_settime32(which: i32, tp: usize) -> Result<usize> {
    clock_settime(which, tp, TimeAbi::Time32)
}

/// `sched_rr_get_interval`.
pub fn sys_sched_rr_get_interval_time32(pid: i32, interval: usize) -> Result<usize> {
    sched_rr_get_interval(pid, interval, TimeAbi::Time32)
}

/// `utime`.
pub fn sys_utime32(name: usize, times: usize) -> Result<usize> {
    utimes::utime(name, times, TimeAbi::Time32)
}

/// `utimes`.
pub fn sys_utimes_time32(name: usize, times: usize) -> Result<usize> {
    utimes::futimesat(AT_FDCWD, name, times, TimeAbi::Time32)
}

/// `futimesat`.
pub fn sys_futimesat_time32(dfd: i32, name: usize, times: usize) -> Result<usize> {
    utimes::futimesat(dfd, name, times, TimeAbi::Time32)
}

/// `utimensat`.
pub fn sys_utimensat_time32(dfd: i32, name: usize, times: usize, flags: u32) -> Result<usize> {
    utimes::utimensat(dfd, name, (times, TimeAbi::Time32), flags)
}

/// `clock_gettime`.
pub fn sys_clock_gettime32(which: i32, tp: usize) -> Result<usize> {
    let ns = Clock::find(which)?.read()?;
    Timespec::from_ns(ns).put(tp, TimeAbi::Time32).map(|()| 0)
}

/// `clock_getres`.
pub fn sys_clock_getres_time32(which: i32, tp: usize) -> Result<usize> {
    let res = Clock::find(which)?.resolution();
    if tp != 0 {
        Timespec::from_ns(res).put(tp, TimeAbi::Time32)?;
    }
    Ok(0)
}

/// `nanosleep`.
pub fn sys_nanosleep_time32(rqtp: usize, rmtp: usize) -> Result<usize> {
    sys_clock_nanosleep_time32(CLOCK_MONOTONIC as i32, 0, rqtp, rmtp)
}

/// `clock_nanosleep`.
pub fn sys_clock_nanosleep_time32(which: i32, flags: u32, rqtp: usize, rmtp: usize) -> Result<usize> {
    clock_nanosleep(which, flags, rqtp, rmtp, TimeAbi::Time32)
}

/// Nanoseconds of a `struct old_timeval32`.
fn timeval_ns(tv_sec: i32, tv_usec: i32) -> Result<u64> {
    Timeval { tv_sec: tv_sec.into(), tv_usec: tv_usec.into() }.to_ns().ok_or(EINVAL)
}

/// Writes a `struct old_itimerval32`: interval, then value.
fn put_itimerval(at: usize, s: Setting) -> Result {
    let words = [s.interval, s.value].map(Timeval::from_ns).map(|t| [t.tv_sec as i32, t.tv_usec as i32]);
    put_user(at, &words)
}

/// `getitimer`.
pub fn compat_sys_getitimer(which: u32, value: usize) -> Result<usize> {
    put_itimerval(value, do_getitimer(current(), which)?).map(|()| 0)
}

/// `setitimer`.
pub fn compat_sys_setitimer(which: u32, value: usize, ovalue: usize) -> Result<usize> {
    let new = if value == 0 {
        Setting::default()
    } else {
        let [interval_sec, interval_usec, sec, usec]: [i32; 4] = get_user(value)?;
        Setting { value: timeval_ns(sec, usec)?, interval: timeval_ns(interval_sec, interval_usec)? }
    };
    let old = do_setitimer(current(), which, new)?;
    if ovalue != 0 {
        put_itimerval(ovalue, old)?;
    }
    Ok(0)
}

/// `timer_create`, with i386's `struct sigevent`.
pub fn compat_sys_timer_create(clock: i32, event: usize, id: usize) -> Result<usize> {
    let event = if event == 0 {
        None
    } else {
        let [value, signo, notify, tid]: [i32; 4] = get_user(event)?;
        // What is behind these words need not be there (`get_compat_sigevent`).
        Some(Sigevent { notify, signo, value: value as u32 as u64, tid })
    };
    do_timer_create(clock, event, id)
}

/// `timer_settime`.
pub fn sys_timer_settime32(id: i32, flags: u32, new: usize, old: usize) -> Result<usize> {
    timer_settime(id, flags, new, old, TimeAbi::Time32)
}

/// `timer_gettime`.
pub fn sys_timer_gettime32(id: i32, at: usize) -> Result<usize> {
    timer_gettime(id, at, TimeAbi::Time32)
}

/// `timerfd_settime`.
pub fn sys_timerfd_settime32(fd: i32, flags: u32, new: usize, old: usize) -> Result<usize> {
    timerfd::timerfd_settime(fd, flags, new, old, TimeAbi::Time32)
}

/// `timerfd_gettime`.
pub fn sys_timerfd_gettime32(fd: i32, at: usize) -> Result<usize> {
    timerfd::timerfd_gettime(fd, at, TimeAbi::Time32)
}

/// `pselect6`.
pub fn compat_sys_pselect6_time32(
    n: i32,
    inp: usize,
    outp: usize,
    exp: usize,
    uts: usize,
    usig: usize,
) -> Result<usize> {
    select::compat_pselect(n, [inp, outp, exp], (uts, TimeAbi::Time32), usig)
}

/// `pselect6_time64`.
pub fn compat_sys_pselect6_time64(
    n: i32,
    inp: usize,
    outp: usize,
    exp: usize,
    uts: usize,
    usig: usize,
) -> Result<usize> {
    select::compat_pselect(n, [inp, outp, exp], (uts, TimeAbi::Time64), usig)
}

/// `ppoll`.
pub fn compat_sys_ppoll_time32(
    ufds: usize,
    nfds: usize,
    uts: usize,
    umask: usize,
    size: usize,
) -> Result<usize> {
    select::ppoll(ufds, nfds, (uts, TimeAbi::Time32), umask, size)
}

/// `futex`.
pub fn sys_futex_time32(
    addr: usize,
    op: u32,
    val: u32,
    utime: usize,
    addr2: usize,
    val3: u32,
) -> Result<usize> {
    futex::futex(addr, op, val, (utime, TimeAbi::Time32), addr2, val3)
}

/// `rt_sigtimedwait`.
pub fn compat_sys_rt_sigtimedwait_time32(
    uthese: usize,
    uinfo: usize,
    uts: usize,
    size: usize,
) -> Result<usize> {
    compat_sigtimedwait(uthese, uinfo, (uts, TimeAbi::Time32), size)
}

/// `rt_sigtimedwait_time64`.
pub fn compat_sys_rt_sigtimedwait_time64(
    uthese: usize,
    uinfo: usize,
    uts: usize,
    size: usize,
) -> Result<usize> {
    compat_sigtimedwait(uthese, uinfo, (uts, TimeAbi::Time64), size)
}

fn compat_sigtimedwait(
    uthese: usize,
    uinfo: usize,
    (uts, abi): (usize, TimeAbi),
    size: usize,
) -> Result<usize> {
    if size != size_of::<SigSet>() {
        return Err(EINVAL);
    }
    let these: SigSet = get_user(uthese)?;
    let timeout = if uts == 0 { None } else { Some(Timespec::get(uts, abi)?.to_ns().ok_or(EINVAL)?) };
    let info = sigtimedwait(current(), these.without(KERNEL_ONLY).not(), timeout)?;
    if uinfo != 0 {
        put_user(uinfo, &to_compat(&info)).map_err(|_| EFAULT)?;
    }
    Ok(info.si_signo as usize)
}
