// SPDX-License-Identifier: GPL-2.0-only
//! POSIX timers: `timer_create` and its kin (Linux 6.1, `kernel/time/posix-timers.c`,
//! `alarmtimer.c`); those on CPU time are in [`posix_cpu_timers`](super::posix_cpu_timers).
//!
//! A timer's state is guarded by the siglock of the process that made it, which is also
//! the one that gets its signals. A periodic timer stops when it expires, and goes on when
//! its signal is dequeued ([`KItimer::rearm`]): what it would have sent meanwhile is the
//! signal's overrun. A signal that is ignored lets it go on at once.

use super::hrtimer::{ClockBase, HrTimer, TimerFn, forward};
use super::itimer::Setting;
use super::posix_cpu_timers::CpuClock;
use super::{TimeAbi, Timespec};
use crate::arch::x86::kernel::apic::TICK_NSEC;
use crate::arch::x86::lib::usercopy::{get_user, put_user};
use crate::errno::{EAGAIN, EFAULT, EINVAL, EOPNOTSUPP, EPERM, Result};
use crate::kernel::capability::capable;
use crate::kernel::exit::ExitState;
use crate::kernel::fork::find_task;
use crate::kernel::signal::pending::{Charge, QueueLimit, SigPending, Sigqueue};
use crate::kernel::signal::send::send_sigqueue;
use crate::kernel::signal::siginfo::{KernelSiginfo, SI_TIMER, SigFields};
use crate::kernel::signal::sigset::{NSIG, SIGALRM};
use crate::kernel::signal::{
    PidType, SigCell, Siglock, SignalStruct, recalc_sigpending, rlimit, with_siglock,
};
use crate::kernel::task::{Current, Task, current};
use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use core::sync::atomic::{AtomicI32, Ordering::Relaxed};
use linux_raw_sys::general as raw;

/// The end of time is signed (`KTIME_MAX`).
const KTIME_MAX: u64 = i64::MAX as u64;
/// In `requeue`: the timer waits for its signal to be dequeued.
const REQUEUE_PENDING: i32 = 1;

/// A process's POSIX timers, by id.
#[derive(Default)]
pub struct PosixTimers {
    next_id: AtomicI32,
    timers: SigCell<BTreeMap<i32, Arc<KItimer>>>,
}

impl PosixTimers {
    /// An id for a new timer; ids are not used again soon (`posix_timer_add`).
    fn new_id(&self, l: &Siglock) -> i32 {
        let timers = self.timers.lock(l);
        loop {
            let id = self.next_id.load(Relaxed);
            self.next_id.store(id.wrapping_add(1) & i32::MAX, Relaxed);
            if !timers.contains_key(&id) {
                return id;
            }
        }
    }
    fn find(&self, l: &Siglock, id: i32) -> Result<Arc<KItimer>> {
        self.timers.lock(l).get(&id).cloned().ok_or(EINVAL)
    }
}

/// Whom an expiry is told.
pub(super) enum Notify {
    /// Nobody (`SIGEV_NONE`).
    None,
    /// The process (`SIGEV_SIGNAL`, `SIGEV_THREAD`).
    Process,
    /// One thread of it (`SIGEV_THREAD_ID`).
    Thread(Weak<Task>),
}

/// The clock of a timer.
pub(super) enum Kind {
    /// One that everybody sees.
    Clock(RealClock),
    /// CPU time.
    Cpu(CpuClock),
}

/// A clock that everybody sees, and the timer on it.
pub(super) struct RealClock {
    /// What an absolute time is on, and what a relative one: that of `CLOCK_REALTIME` does not
    /// move when the clock is set (`common_hrtimer_arm`).
    absolute: ClockBase,
    relative: ClockBase,
    timer: Arc<HrTimer>,
}

/// What changes of a timer.
#[derive(Default)]
pub(super) struct State {
    /// The clock of `expires`.
    base: ClockBase,
    pub(super) expires: u64,
    pub(super) interval: u64,
    active: bool,
    /// Counts what makes a signal under way outdated; odd ([`REQUEUE_PENDING`]) while it is not.
    pub(super) requeue: i32,
    /// Expiries since the last signal, but for the one that is its cause.
    pub(super) overrun: i64,
    /// The same of the signal delivered last.
    pub(super) overrun_last: i64,
}

/// A POSIX timer (`struct k_itimer`).
pub struct KItimer {
    me: Weak<Self>,
    owner: Weak<SignalStruct>,
    notify: Notify,
    kind: Kind,
    /// The signal, but for what changes.
    info: KernelSiginfo,
    sigq: Arc<Sigqueue>,
    state: SigCell<State>,
}

/// A kind of clock that timers may be on.
#[derive(Clone, Copy)]
enum TimerClock {
    Clock { absolute: ClockBase, relative: ClockBase, alarm: bool },
    Cpu(i32),
}

impl TimerClock {
    /// The clock with this id; `EINVAL`, or `EOPNOTSUPP` if it has no timers.
    fn find(id: i32) -> Result<Self> {
        use ClockBase::{Monotonic, Real, Tai};
        let clock = |absolute, relative, alarm| Ok(Self::Clock { absolute, relative, alarm });
        if id < 0 {
            // Clocks that are files have none.
            return if id & 7 == 3 { Err(EOPNOTSUPP) } else { Ok(Self::Cpu(id)) };
        }
        match id as u32 {
            raw::CLOCK_REALTIME => clock(Real, Monotonic, false),
            raw::CLOCK_TAI => clock(Tai, Tai, false),
            raw::CLOCK_REALTIME_ALARM => clock(Real, Real, true),
            raw::CLOCK_MONOTONIC | raw::CLOCK_BOOTTIME => clock(Monotonic, Monotonic, false),
            raw::CLOCK_BOOTTIME_ALARM => clock(Monotonic, Monotonic, true),
            raw::CLOCK_PROCESS_CPUTIME_ID | raw::CLOCK_THREAD_CPUTIME_ID => Ok(Self::Cpu(id)),
            raw::CLOCK_MONOTONIC_RAW | raw::CLOCK_REALTIME_COARSE | raw::CLOCK_MONOTONIC_COARSE => {
                Err(EOPNOTSUPP)
            }
            _ => Err(EINVAL),
        }
    }
    /// A timer on it for the current task.
    fn open(self) -> Result<Kind> {
        match self {
            Self::Clock { alarm: true, .. } if !capable(raw::CAP_WAKE_ALARM) => Err(EPERM),
            Self::Clock { absolute, relative, .. } => {
                Ok(Kind::Clock(RealClock { absolute, relative, timer: HrTimer::new() }))
            }
            Self::Cpu(id) => CpuClock::find(id).map(Kind::Cpu),
        }
    }
}

/// What a program wants to happen at an expiry (`struct sigevent`).
#[derive(Clone, Copy)]
pub struct Sigevent {
    /// `SIGEV_*`.
    pub notify: i32,
    /// The signal.
    pub signo: i32,
    /// Its value.
    pub value: u64,
    /// The thread that gets it.
    pub tid: i32,
}

impl Sigevent {
    /// Reads a program's.
    fn read(at: usize) -> Result<Self> {
        let w: [u32; 16] = get_user(at)?;
        let value = u64::from(w[0]) | u64::from(w[1]) << 32;
        Ok(Self { value, signo: w[2] as i32, notify: w[3] as i32, tid: w[4] as i32 })
    }
    /// Whom it names (`good_sigevent`).
    fn notify(self) -> Result<Notify> {
        const TO_THREAD: u32 = raw::SIGEV_SIGNAL | raw::SIGEV_THREAD_ID;
        let to = match self.notify as u32 {
            raw::SIGEV_NONE => return Ok(Notify::None),
            raw::SIGEV_SIGNAL | raw::SIGEV_THREAD => Notify::Process,
            TO_THREAD => {
                let t = find_task(self.tid).filter(|t| t.tgid == current().tgid).ok_or(EINVAL)?;
                Notify::Thread(Arc::downgrade(&t))
            }
            _ => return Err(EINVAL),
        };
        if (1..=NSIG).contains(&self.signo) { Ok(to) } else { Err(EINVAL) }
    }
}

impl KItimer {
    /// The queue that its signals go to, and the thread that it is of.
    fn with_pending<R>(&self, f: impl FnOnce(&SigPending) -> R) -> Option<R> {
        match &self.notify {
            Notify::None => None,
            Notify::Process => self.owner.upgrade().map(|s| f(&s.shared_pending)),
            Notify::Thread(t) => t.upgrade().map(|t| f(&t.sig.pending)),
        }
    }
    /// Whether nobody is told.
    pub(super) fn is_silent(&self) -> bool {
        matches!(self.notify, Notify::None)
    }
    pub(super) fn state(&self, l: &Siglock) -> spin::MutexGuard<'_, State> {
        self.state.lock(l)
    }
    pub(super) fn to_arc(&self) -> Option<Arc<Self>> {
        self.me.upgrade()
    }

    /// Sends the signal; false if it is ignored (`posix_timer_event`). `t`: a thread of the process.
    pub(super) fn event(&self, l: &mut Siglock, t: &Task, private: i32) -> bool {
        let info = self.info.with_sys_private(private);
        match &self.notify {
            Notify::None => true,
            Notify::Process => send_sigqueue(l, &self.sigq, &info, t, PidType::Tgid),
            Notify::Thread(to) => match to.upgrade() {
                Some(to) if to.rel.exit_state() != ExitState::Dead => {
                    send_sigqueue(l, &self.sigq, &info, &to, PidType::Pid)
                }
                // A thread that is gone stops the timer.
                _ => true,
            },
        }
    }

    /// Its signal was dequeued into `info`: a periodic timer goes on, and the signal says how many
    /// expiries it stands for (`posixtimer_rearm`).
    pub fn rearm(&self, l: &Siglock, info: &mut KernelSiginfo) {
        let SigFields::Timer { overrun, sys_private, .. } = info.typed() else { return };
        if sys_private == 0 {
            return;
        }
        *info = info.with_sys_private(0);
        let mut s = self.state.lock(l);
        if s.interval == 0 || s.requeue != sys_private {
            return;
        }
        match &self.kind {
            Kind::Clock(c) => self.start_again(c, &mut s, 0),
            Kind::Cpu(c) => c.rearm(self, &mut s),
        }
        s.active = true;
        s.overrun_last = s.overrun;
        s.overrun = -1;
        s.requeue = s.requeue.wrapping_add(1);
        *info = info.with_overrun(overrun_to_int(s.overrun_last + i64::from(overrun)));
    }

    fn start(&self, c: &RealClock, s: &State) {
        if let Some(me) = self.to_arc() {
            let f: Arc<dyn TimerFn> = me;
            c.timer.start_on(s.base, s.expires, &f);
        }
    }
    /// Starts it for the next of its times that comes later than `ahead` from now.
    fn start_again(&self, c: &RealClock, s: &mut State, ahead: u64) {
        let (now, interval) = (s.base.now() + ahead, s.interval);
        s.overrun += forward(&mut s.expires, now, interval) as i64;
        self.start(c, s);
    }

    /// The time has come (`posix_timer_fn`).
    fn clock_expired(&self, l: &mut Siglock, t: &Task, c: &RealClock, now: u64) {
        let private = {
            let mut s = self.state.lock(l);
            if !s.active || s.expires > now {
                // It was set anew meanwhile.
                return;
            }
            s.active = false;
            if s.interval != 0 {
                s.requeue = s.requeue.wrapping_add(1);
            }
            if s.interval == 0 { 0 } else { s.requeue }
        };
        if self.event(l, t, private) {
            return;
        }
        let mut s = self.state.lock(l);
        if s.interval != 0 {
            // What is ignored comes once a tick at most.
            let ahead = if s.interval < TICK_NSEC { TICK_NSEC } else { 0 };
            self.start_again(c, &mut s, ahead);
            s.requeue = s.requeue.wrapping_add(1);
            s.active = true;
        }
    }

    /// What is left, and the interval (`common_timer_get`).
    fn get(&self, s: &mut State) -> Setting {
        let c = match &self.kind {
            Kind::Clock(_) => s.base,
            Kind::Cpu(c) => return c.get(s),
        };
        let mut r = Setting { value: 0, interval: s.interval };
        let silent = self.is_silent();
        if s.interval == 0 && !s.active && !silent {
            return r;
        }
        let now = c.now();
        if s.interval != 0 && (s.requeue & REQUEUE_PENDING != 0 || silent) {
            let interval = s.interval;
            s.overrun += forward(&mut s.expires, now, interval) as i64;
        }
        r.value = match s.expires.saturating_sub(now) {
            // What has expired but was not noticed yet is about to.
            0 => u64::from(!silent),
            left => left,
        };
        r
    }

    /// Sets it, and returns the old setting (`common_timer_set`). `cur` is of its process.
    fn set(&self, l: &mut Siglock, cur: Current, absolute: bool, new: Setting) -> Result<Setting> {
        let c = match &self.kind {
            Kind::Clock(c) => c,
            Kind::Cpu(c) => return c.set(self, l, cur, absolute, new),
        };
        let mut s = self.state.lock(l);
        let old = self.get(&mut s);
        c.timer.cancel();
        s.reset();
        if new.value == 0 {
            return Ok(old);
        }
        s.interval = new.interval;
        s.base = if absolute { c.absolute } else { c.relative };
        let from = if absolute { 0 } else { s.base.now() };
        s.expires = from.saturating_add(new.value).min(KTIME_MAX);
        if !self.is_silent() {
            s.active = true;
            self.start(c, &s);
        }
        Ok(old)
    }

    /// It goes away; what it has sent stays.
    fn shut(&self, l: &Siglock) {
        let mut s = self.state.lock(l);
        match &self.kind {
            Kind::Clock(c) => drop(c.timer.cancel()),
            Kind::Cpu(c) => c.disarm(self, &s),
        }
        s.reset();
        s.expires = 0;
        self.with_pending(|p| p.unreserve(l));
    }
}

impl State {
    /// Nothing that is under way counts any more.
    pub(super) fn reset(&mut self) {
        self.interval = 0;
        self.active = false;
        self.requeue = self.requeue.wrapping_add(2) & !REQUEUE_PENDING;
        self.overrun_last = 0;
    }
}

impl TimerFn for KItimer {
    fn expired(&self, now: u64) -> Option<u64> {
        let t = self.owner.upgrade()?.any_thread()?;
        if let Kind::Clock(c) = &self.kind {
            with_siglock(&t, |l| self.clock_expired(l, &t, c, now));
        }
        None
    }
}

impl KItimer {
    /// The process's CPU clock has come to `expires`, for which the timer was armed.
    pub(super) fn cpu_expired(&self, expires: u64) {
        let Some(t) = self.owner.upgrade().and_then(|s| s.any_thread()) else { return };
        if let Kind::Cpu(c) = &self.kind {
            with_siglock(&t, |l| c.expired(self, l, &t, expires));
        }
    }
}

/// What programs are told of an overrun (`timer_overrun_to_int`).
fn overrun_to_int(n: i64) -> i32 {
    n.min(i64::from(i32::MAX)) as i32
}

/// The value of a signal whose timer was made without a `sigevent`: its id, as an `int`.
fn default_event(id: i32) -> Sigevent {
    Sigevent { notify: raw::SIGEV_SIGNAL as i32, signo: SIGALRM, value: id as u64, tid: 0 }
}

/// `timer_create(2)`, after its arguments were read (`do_timer_create`).
pub fn do_timer_create(clock: i32, event: Option<Sigevent>, id_at: usize) -> Result<usize> {
    let cur = current();
    let clock = TimerClock::find(clock)?;
    let user = cur.cred.lock().ucounts.clone();
    let limit = QueueLimit { user, limit: rlimit(rlimit::SIGPENDING), override_rlimit: false };
    let charge = Charge::new(-1, limit).ok_or(EAGAIN)?;
    let id = with_siglock(&cur, |l| cur.signal.posix_timers.new_id(l));
    let event = event.unwrap_or(default_event(id));
    let notify = event.notify()?;
    put_user(id_at, &id).map_err(|_| EFAULT)?;
    let kind = clock.open()?;
    let base = match &kind {
        Kind::Clock(c) => c.absolute,
        Kind::Cpu(_) => ClockBase::Monotonic,
    };
    let fields = SigFields::Timer { tid: id, overrun: 0, value: event.value, sys_private: 0 };
    let timer = Arc::new_cyclic(|me| KItimer {
        me: me.clone(),
        owner: Arc::downgrade(&cur.signal),
        notify,
        kind,
        info: KernelSiginfo::new(event.signo, SI_TIMER, fields),
        sigq: Sigqueue::new(charge, me.clone()),
        state: SigCell::new(State { base, overrun: -1, ..State::default() }),
    });
    with_siglock(&cur, |l| {
        timer.with_pending(|p| p.reserve_for_timer(l)).unwrap_or(Ok(()))?;
        cur.signal.posix_timers.timers.lock(l).insert(id, timer.clone());
        Ok(0)
    })
}

/// `timer_create(2)`.
pub fn sys_timer_create(clock: i32, event: usize, id: usize) -> Result<usize> {
    let event = if event == 0 { None } else { Some(Sigevent::read(event)?) };
    do_timer_create(clock, event, id)
}

/// Reads a `struct itimerspec`.
pub fn get_itimerspec(at: usize, abi: TimeAbi) -> Result<Setting> {
    let interval = Timespec::get(at, abi)?;
    let value = Timespec::get(at.wrapping_add(abi.time_size()), abi)?;
    Ok(Setting { value: value.to_ns().ok_or(EINVAL)?, interval: interval.to_ns().ok_or(EINVAL)? })
}

/// Writes one.
pub fn put_itimerspec(at: usize, s: Setting, abi: TimeAbi) -> Result {
    Timespec::from_ns(s.interval).put(at, abi)?;
    Timespec::from_ns(s.value).put(at.wrapping_add(abi.time_size()), abi)
}

/// [`sys_timer_settime`] with times of either width.
pub fn timer_settime(id: i32, flags: u32, new: usize, old: usize, abi: TimeAbi) -> Result<usize> {
    if new == 0 {
        return Err(EINVAL);
    }
    let (cur, new) = (current(), get_itimerspec(new, abi)?);
    let absolute = flags & raw::TIMER_ABSTIME != 0;
    let was = with_siglock(&cur, |l| cur.signal.posix_timers.find(l, id)?.set(l, cur, absolute, new))?;
    if old != 0 {
        put_itimerspec(old, was, abi)?;
    }
    Ok(0)
}

/// `timer_settime(2)`.
pub fn sys_timer_settime(id: i32, flags: u32, new: usize, old: usize) -> Result<usize> {
    timer_settime(id, flags, new, old, TimeAbi::Time64)
}

/// [`sys_timer_gettime`] with times of either width.
pub fn timer_gettime(id: i32, at: usize, abi: TimeAbi) -> Result<usize> {
    let cur = current();
    let s = with_siglock(&cur, |l| {
        let timer = cur.signal.posix_timers.find(l, id)?;
        let mut s = timer.state.lock(l);
        Ok(timer.get(&mut s))
    })?;
    put_itimerspec(at, s, abi)?;
    Ok(0)
}

/// `timer_gettime(2)`.
pub fn sys_timer_gettime(id: i32, at: usize) -> Result<usize> {
    timer_gettime(id, at, TimeAbi::Time64)
}

/// `timer_getoverrun(2)`.
pub fn sys_timer_getoverrun(id: i32) -> Result<usize> {
    let cur = current();
    let n = with_siglock(&cur, |l| {
        let timer = cur.signal.posix_timers.find(l, id)?;
        let last = timer.state.lock(l).overrun_last;
        Ok(overrun_to_int(last))
    })?;
    Ok(n as isize as usize)
}

/// `timer_delete(2)`.
pub fn sys_timer_delete(id: i32) -> Result<usize> {
    let cur = current();
    let gone = with_siglock(&cur, |l| {
        let timer = cur.signal.posix_timers.timers.lock(l).remove(&id);
        if let Some(t) = &timer {
            t.shut(l);
        }
        timer
    });
    gone.map(|_| 0).ok_or(EINVAL)
}

/// The last thread of a process ends, or begins a new program: all timers go (`exit_itimers`).
pub fn exit_itimers(cur: Current) {
    loop {
        let gone = with_siglock(&cur, |l| {
            let (_, t) = cur.signal.posix_timers.timers.lock(l).pop_first()?;
            t.shut(l);
            Some(t)
        });
        if gone.is_none() {
            return;
        }
    }
}

/// A new program does not get what the old one's timers have sent (`flush_itimer_signals`).
pub fn flush_itimer_signals(cur: &Current) {
    with_siglock(cur, |l| {
        cur.sig.pending.flush_timers(l);
        cur.signal.shared_pending.flush_timers(l);
    });
    recalc_sigpending();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_clocks_have_timers() {
        let of = |id: u32| TimerClock::find(id as i32).err();
        assert_eq!(of(raw::CLOCK_TAI), None);
        assert_eq!(of(raw::CLOCK_MONOTONIC_RAW), Some(EOPNOTSUPP));
        assert_eq!(of(raw::CLOCK_REALTIME_COARSE), Some(EOPNOTSUPP));
        assert_eq!((of(10), of(12)), (Some(EINVAL), Some(EINVAL)));
        assert_eq!(of(!7 | 3), Some(EOPNOTSUPP));
        assert_eq!(of(!7 | 2), None);
    }

    #[test]
    fn overruns_do_not_wrap() {
        assert_eq!(overrun_to_int(5), 5);
        assert_eq!(overrun_to_int(i64::from(i32::MAX) + 9), i32::MAX);
    }
}
