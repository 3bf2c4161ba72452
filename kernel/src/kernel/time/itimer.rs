// SPDX-License-Identifier: GPL-2.0-only
//! Interval timers: `setitimer`, `getitimer`, `alarm` (Linux 6.1,
//! `kernel/time/itimer.c`), and what is checked at each tick against a process's
//! CPU time (`kernel/time/posix-cpu-timers.c`, `check_process_timers`).

use super::Timeval;
use super::hrtimer::{HrTimer, TimerFn, forward};
use super::posix_cpu_timers::run_posix_cpu_timers;
use super::timekeeping::ktime_get;
use crate::arch::x86::kernel::apic::TICK_NSEC;
use crate::arch::x86::lib::usercopy::{get_user, put_user};
use crate::errno::{EINVAL, Result};
use crate::kernel::panic::Comm;
use crate::kernel::signal::fatal::PRINT_FATAL_SIGNALS;
use crate::kernel::signal::send::do_send_sig_info;
use crate::kernel::signal::sigset::{SIGALRM, SIGKILL, SIGPROF, SIGVTALRM, SIGXCPU};
use crate::kernel::signal::{PidType, SendInfo, SigCell, SignalStruct, rlimit};
use crate::kernel::task::{Current, Task, current};
use alloc::sync::{Arc, Weak};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use linux_raw_sys::general as raw;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

const NSEC_PER_SEC: u64 = 1_000_000_000;
const NSEC_PER_USEC: u64 = 1000;

/// The user's `struct itimerval`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct Itimerval {
    it_interval: Timeval,
    it_value: Timeval,
}
const _: () = assert!(size_of::<Itimerval>() == size_of::<raw::itimerval>());

/// The real-time timer, made at its first use.
struct RealTimer {
    timer: Arc<HrTimer>,
    callback: Arc<dyn TimerFn>,
}

/// A timer on the process's CPU time.
#[derive(Clone, Copy, Default)]
struct CpuTimer {
    /// CPU time at which it expires, or 0.
    expires: u64,
    incr: u64,
}

/// A process's interval timers.
#[derive(Default)]
pub struct Itimers {
    real: SigCell<Option<RealTimer>>,
    real_incr: AtomicU64,
    /// When the real-time timer was last set to expire.
    real_expires: AtomicU64,
    /// `ITIMER_VIRTUAL` and `ITIMER_PROF`.
    cpu: SigCell<[CpuTimer; 2]>,
    /// Whether a tick has to look at CPU timers, or at `RLIMIT_CPU`.
    cpu_armed: AtomicBool,
    cpu_limited: AtomicBool,
}

/// `SIGALRM` when the time has come (`it_real_fn`). The interval starts again when
/// the signal is dequeued.
struct Alarm(Weak<SignalStruct>);

impl TimerFn for Alarm {
    fn expired(&self, _now: u64) -> Option<u64> {
        let t = self.0.upgrade()?.any_thread()?;
        let _ = do_send_sig_info(SIGALRM, SendInfo::Priv, &t, PidType::Tgid);
        None
    }
}

/// An interval and the time left, in nanoseconds; what `setitimer` takes and returns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Setting {
    /// The time left.
    pub value: u64,
    /// The interval.
    pub interval: u64,
}

impl Itimers {
    fn real_setting(&self) -> Setting {
        let left = self.real.with_irqs_off(|r| r.as_ref().and_then(|r| r.timer.remaining()));
        // What is about to expire still shows as one microsecond.
        Setting { value: left.map_or(0, |l| l.max(NSEC_PER_USEC)), interval: self.real_incr.load(Relaxed) }
    }

    fn set_real(&self, owner: &Arc<SignalStruct>, s: Setting) -> Setting {
        let old = self.real_setting();
        self.real.with_irqs_off(|r| {
            if s.value == 0 {
                if let Some(r) = r {
                    r.timer.cancel();
                }
                self.real_incr.store(0, Relaxed);
                return;
            }
            let r = r.get_or_insert_with(|| RealTimer {
                timer: HrTimer::new(),
                callback: Arc::new(Alarm(Arc::downgrade(owner))),
            });
            self.real_incr.store(s.interval, Relaxed);
            let expires = ktime_get().saturating_add(s.value);
            self.real_expires.store(expires, Relaxed);
            r.timer.start(expires, &r.callback);
        });
        old
    }

    /// `SIGALRM` was dequeued: the timer goes on with the interval that is under way.
    pub fn rearm_real(&self) {
        let incr = self.real_incr.load(Relaxed);
        if incr == 0 {
            return;
        }
        self.real.with_irqs_off(|r| {
            if let Some(r) = r
                && r.timer.remaining().is_none()
            {
                let mut expires = self.real_expires.load(Relaxed);
                forward(&mut expires, ktime_get(), incr);
                self.real_expires.store(expires, Relaxed);
                r.timer.start(expires, &r.callback);
            }
        });
    }

    fn cpu_setting(&self, which: usize, now: u64) -> Setting {
        let t = self.cpu.with_irqs_off(|c| c[which]);
        Setting { value: cpu_time_left(t.expires, now), interval: t.incr }
    }

    fn set_cpu(&self, which: usize, now: u64, s: Setting) -> Setting {
        let old = self.cpu_setting(which, now);
        // A tick more: part of the present one is over (`set_cpu_itimer`).
        let expires = if s.value == 0 { 0 } else { now.saturating_add(s.value).saturating_add(TICK_NSEC) };
        self.cpu.with_irqs_off(|c| {
            c[which] = CpuTimer { expires, incr: s.interval };
            self.cpu_armed.store(c.iter().any(|t| t.expires != 0), Relaxed);
        });
        old
    }

    /// Disarms everything: the process is gone.
    pub fn cancel_all(&self) {
        self.real_incr.store(0, Relaxed);
        let real = self.real.with_irqs_off(Option::take);
        if let Some(r) = real {
            r.timer.cancel();
        }
        self.cpu_armed.store(false, Relaxed);
    }

    /// `RLIMIT_CPU` was set, or lifted.
    pub fn watch_cpu_limit(&self, on: bool) {
        self.cpu_limited.store(on, Relaxed);
    }
}

/// What `getitimer` says of a CPU timer: one that has expired but was not noticed yet
/// has a tick left.
fn cpu_time_left(expires: u64, now: u64) -> u64 {
    if expires == 0 {
        0
    } else if expires <= now {
        TICK_NSEC
    } else {
        expires - now
    }
}

/// A timer against the time used: whether it expired, and what it is then.
fn check_cpu_timer(t: CpuTimer, now: u64) -> Option<CpuTimer> {
    (t.expires != 0 && now >= t.expires)
        .then(|| CpuTimer { expires: if t.incr == 0 { 0 } else { t.expires + t.incr }, incr: t.incr })
}

/// What `RLIMIT_CPU` says to a process that has used `used` nanoseconds: the signal to
/// send, and the new soft limit in seconds.
fn check_cpu_limit(used: u64, soft: u64, hard: u64) -> Option<(i32, u64)> {
    let reached = |limit: u64| limit != rlimit::INFINITY && used >= limit.saturating_mul(NSEC_PER_SEC);
    if reached(hard) {
        Some((SIGKILL, soft))
    } else if reached(soft) {
        // Once a second from then on.
        Some((SIGXCPU, soft + 1))
    } else {
        None
    }
}

/// What `RLIMIT_RTTIME` (in microseconds) says to a real-time task that has run for so many ticks:
/// the signal to send, and the new soft limit.
fn check_rt_limit(ticks: u64, soft: u64, hard: u64) -> Option<(i32, u64)> {
    const TICK_USEC: u64 = TICK_NSEC / NSEC_PER_USEC;
    let time = ticks * TICK_USEC;
    if soft == rlimit::INFINITY || ticks <= soft.min(hard).div_ceil(TICK_USEC) {
        None
    } else if hard != rlimit::INFINITY && time >= hard {
        Some((SIGKILL, soft))
    } else if time >= soft {
        // Once a second from then on.
        Some((SIGXCPU, soft.saturating_add(NSEC_PER_SEC / NSEC_PER_USEC)))
    } else {
        None
    }
}

/// A tick was charged to `t`, the running task: sends what is due. Called from the
/// timer's interrupt.
pub fn account_tick(t: &Current, _user: bool) {
    let timers = &t.signal.itimers;
    if timers.cpu_armed.load(Relaxed) || timers.cpu_limited.load(Relaxed) {
        check_process_timers(t);
    }
    let ticks = t.se.rt_ticks();
    if ticks != 0 {
        check_rt_time(t, ticks);
    }
    run_posix_cpu_timers(t);
}

/// A real-time task has run for so many ticks without sleeping (`check_thread_timers`).
#[cold]
fn check_rt_time(t: &Task, ticks: u32) {
    let (soft, hard) = t.signal.rlimit(rlimit::RTTIME);
    if let Some((signo, soft)) = check_rt_limit(ticks.into(), soft, hard) {
        print_watchdog_timeout(t, "RT", signo);
        t.signal.set_rlimit(rlimit::RTTIME, soft, hard);
        let _ = do_send_sig_info(signo, SendInfo::Priv, t, PidType::Tgid);
    }
}

/// What the log says of who has exceeded a limit of time, if it was asked to (`check_rlimit`).
fn print_watchdog_timeout(t: &Task, which: &str, signo: i32) {
    if PRINT_FATAL_SIGNALS.load(Relaxed) != 0 {
        let kind = if signo == SIGKILL { "hard" } else { "soft" };
        crate::pr_info!("{which} Watchdog Timeout ({kind}): {}[{}]\n", Comm(&t.comm()), t.pid());
    }
}

#[cold]
fn check_process_timers(t: &Task) {
    let sig = &t.signal;
    let (utime, stime) = sig.cputime();
    let clocks = [(0, utime, SIGVTALRM), (1, utime + stime, SIGPROF)];
    for (which, now, signo) in clocks {
        let expired = sig.itimers.cpu.with_irqs_off(|c| {
            let next = check_cpu_timer(c[which], now)?;
            c[which] = next;
            sig.itimers.cpu_armed.store(c.iter().any(|t| t.expires != 0), Relaxed);
            Some(())
        });
        if expired.is_some() {
            let _ = do_send_sig_info(signo, SendInfo::Priv, t, PidType::Tgid);
        }
    }
    let (soft, hard) = sig.rlimit(rlimit::CPU);
    if let Some((signo, soft)) = check_cpu_limit(utime + stime, soft, hard) {
        print_watchdog_timeout(t, "CPU", signo);
        sig.set_rlimit(rlimit::CPU, soft, hard);
        let _ = do_send_sig_info(signo, SendInfo::Priv, t, PidType::Tgid);
    }
}

impl Itimerval {
    fn setting(&self) -> Result<Setting> {
        Ok(Setting {
            value: self.it_value.to_ns().ok_or(EINVAL)?,
            interval: self.it_interval.to_ns().ok_or(EINVAL)?,
        })
    }
    fn from_setting(s: Setting) -> Self {
        Self { it_interval: Timeval::from_ns(s.interval), it_value: Timeval::from_ns(s.value) }
    }
}

/// CPU time that the timer `which` (1 or 2) of the process counts.
fn cpu_clock(cur: Current, which: u32) -> u64 {
    let (utime, stime) = cur.signal.cputime();
    if which == raw::ITIMER_VIRTUAL { utime } else { utime + stime }
}

/// What `getitimer` says.
pub fn do_getitimer(cur: Current, which: u32) -> Result<Setting> {
    let timers = &cur.signal.itimers;
    match which {
        raw::ITIMER_REAL => Ok(timers.real_setting()),
        raw::ITIMER_VIRTUAL | raw::ITIMER_PROF => {
            Ok(timers.cpu_setting(which as usize - 1, cpu_clock(cur, which)))
        }
        _ => Err(EINVAL),
    }
}

/// What `setitimer` does; returns the old setting.
pub fn do_setitimer(cur: Current, which: u32, s: Setting) -> Result<Setting> {
    let timers = &cur.signal.itimers;
    match which {
        raw::ITIMER_REAL => Ok(timers.set_real(&cur.signal, s)),
        raw::ITIMER_VIRTUAL | raw::ITIMER_PROF => {
            Ok(timers.set_cpu(which as usize - 1, cpu_clock(cur, which), s))
        }
        _ => Err(EINVAL),
    }
}

/// `getitimer(2)`.
pub fn sys_getitimer(which: u32, value: usize) -> Result<usize> {
    let s = do_getitimer(current(), which)?;
    put_user(value, &Itimerval::from_setting(s))?;
    Ok(0)
}

/// `setitimer(2)`. A null new value disarms, as in Linux, though POSIX knows no such
/// thing.
pub fn sys_setitimer(which: u32, value: usize, ovalue: usize) -> Result<usize> {
    let new = if value == 0 { Itimerval::default() } else { get_user(value)? };
    let old = do_setitimer(current(), which, new.setting()?)?;
    if ovalue != 0 {
        put_user(ovalue, &Itimerval::from_setting(old))?;
    }
    Ok(0)
}

/// Seconds that `alarm` says were left: rounded, but never 0 while there are some.
fn alarm_left(ns: u64) -> u64 {
    let (sec, rest) = (ns / NSEC_PER_SEC, ns % NSEC_PER_SEC);
    sec + u64::from((sec == 0 && rest != 0) || rest >= NSEC_PER_SEC / 2)
}

/// `alarm(2)`.
pub fn sys_alarm(seconds: u32) -> Result<usize> {
    let value = u64::from(seconds.min(i32::MAX as u32)) * NSEC_PER_SEC;
    let old = do_setitimer(current(), raw::ITIMER_REAL, Setting { value, interval: 0 })?;
    Ok(alarm_left(old.value) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alarm_never_says_zero_too_early() {
        assert_eq!(alarm_left(0), 0);
        assert_eq!(alarm_left(1), 1);
        assert_eq!(alarm_left(1_499_999_999), 1);
        assert_eq!(alarm_left(1_500_000_000), 2);
    }

    #[test]
    fn cpu_timers_repeat_by_their_interval() {
        let t = CpuTimer { expires: 100, incr: 30 };
        assert!(check_cpu_timer(t, 99).is_none());
        assert_eq!(check_cpu_timer(t, 105).unwrap().expires, 130);
        assert_eq!(check_cpu_timer(CpuTimer { expires: 100, incr: 0 }, 105).unwrap().expires, 0);
        assert!(check_cpu_timer(CpuTimer::default(), 105).is_none());
        assert_eq!(cpu_time_left(0, 5), 0);
        assert_eq!(cpu_time_left(5, 5), TICK_NSEC);
        assert_eq!(cpu_time_left(8, 5), 3);
    }

    #[test]
    fn cpu_limit_warns_each_second_then_kills() {
        let s = NSEC_PER_SEC;
        assert_eq!(check_cpu_limit(s - 1, 1, 3), None);
        assert_eq!(check_cpu_limit(s, 1, 3), Some((SIGXCPU, 2)));
        assert_eq!(check_cpu_limit(3 * s, 4, 3), Some((SIGKILL, 4)));
        assert_eq!(check_cpu_limit(u64::MAX, u64::MAX, u64::MAX), None);
    }

    #[test]
    fn real_time_is_limited_as_cpu_time_is() {
        assert_eq!(check_rt_limit(1_000_000, rlimit::INFINITY, 4000), None);
        // 10 ms are over with the third tick, and noticed with the one after.
        assert_eq!(check_rt_limit(3, 10_000, rlimit::INFINITY), None);
        assert_eq!(check_rt_limit(4, 10_000, rlimit::INFINITY), Some((SIGXCPU, 1_010_000)));
        assert_eq!(check_rt_limit(4, 1_010_000, rlimit::INFINITY), None);
        assert_eq!(check_rt_limit(4, 10_000, 12_000), Some((SIGKILL, 10_000)));
        assert_eq!(check_rt_limit(4, 30_000, 12_000), Some((SIGKILL, 30_000)));
    }

    #[test]
    fn times_are_checked() {
        let good = Itimerval::from_setting(Setting { value: 1_000_001_000, interval: 5000 });
        assert_eq!(good.setting(), Ok(Setting { value: 1_000_001_000, interval: 5000 }));
        let mut bad = good;
        bad.it_value.tv_usec = 1_000_000;
        assert_eq!(bad.setting(), Err(EINVAL));
    }
}
