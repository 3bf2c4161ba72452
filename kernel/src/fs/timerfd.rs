// SPDX-License-Identifier: GPL-2.0-only
//! `timerfd_create(2)` and its kin: timers as files (Linux 6.1, `fs/timerfd.c`).

use crate::errno::{EAGAIN, ECANCELED, EFAULT, EINVAL, EPERM, Result};
use crate::fs::anon_inodes::anon_inode_getfd;
use crate::fs::file::fget;
use crate::fs::file_table::{Abilities, File, FileOps, Seeking, poll};
use crate::fs::select::PollTable;
use crate::fs::seq_file::SeqFile;
use crate::kernel::capability::capable;
use crate::kernel::time::TimeAbi;
use crate::kernel::time::hrtimer::{ClockBase, HrTimer, TimerFn, forward};
use crate::kernel::time::itimer::Setting;
use crate::kernel::time::posix_timers::{get_itimerspec, put_itimerspec};
use crate::kernel::time::timekeeping::real_offset;
use crate::kernel::wait::WaitQueue;
use crate::lib::iov_iter::IovIter;
use crate::locking::IrqLock;
use crate::mm::util::try_push;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use linux_raw_sys::general as raw;
use linux_raw_sys::general::{O_CLOEXEC, O_NONBLOCK};

const TFD_TIMER_ABSTIME: u32 = 1;
const TFD_TIMER_CANCEL_ON_SET: u32 = 2;
const TFD_SETTIME_FLAGS: u32 = TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET;

/// The timers that a change of the wall clock cancels.
static CANCEL_LIST: IrqLock<Vec<Weak<TimerFd>>> = IrqLock::new(Vec::new());

#[derive(Default)]
struct State {
    base: ClockBase,
    expires: u64,
    interval: u64,
    /// Expiries that nobody has read.
    ticks: u64,
    /// It has expired, and goes on when it is looked at.
    expired: bool,
    flags: u32,
    might_cancel: bool,
    /// What the wall clock was ahead of the monotonic one; `None` once it was set since.
    offset: Option<u64>,
}

impl State {
    fn remaining(&self) -> u64 {
        self.expires.saturating_sub(self.base.now())
    }
    /// Moves a periodic timer that has expired on; returns by how many expiries.
    fn forward(&mut self) -> u64 {
        let (now, interval) = (self.base.now(), self.interval);
        forward(&mut self.expires, now, interval)
    }
    fn setting(&self) -> Setting {
        Setting { value: self.remaining(), interval: self.interval }
    }
    /// Whether the clock was set since anybody asked (`timerfd_canceled`).
    fn canceled(&mut self) -> bool {
        let canceled = self.might_cancel && self.offset.is_none();
        if canceled {
            self.offset = Some(real_offset());
        }
        canceled
    }
}

struct TimerFd {
    me: Weak<Self>,
    clock: u32,
    timer: Arc<HrTimer>,
    state: IrqLock<State>,
    wait: Arc<WaitQueue>,
}

impl TimerFd {
    fn new(clock: u32) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            me: me.clone(),
            clock,
            timer: HrTimer::new(),
            state: IrqLock::new(State { offset: Some(real_offset()), ..State::default() }),
            wait: Arc::default(),
        })
    }
    fn is_alarm(&self) -> bool {
        matches!(self.clock, raw::CLOCK_REALTIME_ALARM | raw::CLOCK_BOOTTIME_ALARM)
    }
    /// The clock that a time is on: a span of `CLOCK_REALTIME` does not move when that is set.
    fn base(&self, absolute: bool) -> ClockBase {
        match self.clock {
            raw::CLOCK_REALTIME if absolute => ClockBase::Real,
            raw::CLOCK_REALTIME_ALARM => ClockBase::Real,
            _ => ClockBase::Monotonic,
        }
    }
    fn start(&self, s: &State) {
        if let Some(me) = self.me.upgrade() {
            let f: Arc<dyn TimerFn> = me;
            self.timer.start_on(s.base, s.expires, &f);
        }
    }
    /// A periodic timer that has expired goes on: what it has missed are ticks.
    fn go_on(&self, s: &mut State) {
        if s.expired && s.interval != 0 {
            s.expired = false;
            // None, if the clock was set back since.
            s.ticks = s.ticks.wrapping_add(s.forward()).wrapping_sub(1);
            self.start(s);
        }
    }
    /// Notes whether it is cancelled by a change of the clock (`timerfd_setup_cancel`).
    fn setup_cancel(&self, flags: u32) -> Result {
        let real = matches!(self.clock, raw::CLOCK_REALTIME | raw::CLOCK_REALTIME_ALARM);
        let wanted = real && flags & TFD_SETTIME_FLAGS == TFD_SETTIME_FLAGS;
        let mut list = CANCEL_LIST.lock();
        let mut s = self.state.lock();
        if wanted && !s.might_cancel {
            try_push(&mut list, self.me.clone())?;
        } else if !wanted && s.might_cancel {
            list.retain(|t| !Weak::ptr_eq(t, &self.me));
        }
        s.might_cancel = wanted;
        Ok(())
    }
    /// Sets it, and returns the old setting (`do_timerfd_settime`).
    fn set(&self, flags: u32, new: Setting) -> Result<Setting> {
        self.setup_cancel(flags)?;
        self.timer.cancel();
        let mut s = self.state.lock();
        if s.expired && s.interval != 0 {
            s.forward();
        }
        let old = s.setting();
        let absolute = flags & TFD_TIMER_ABSTIME != 0;
        s.base = self.base(absolute);
        (s.expired, s.ticks, s.interval) = (false, 0, new.interval);
        let from = if absolute || new.value == 0 { 0 } else { s.base.now() };
        s.expires = from.saturating_add(new.value).min(i64::MAX as u64);
        if new.value != 0 {
            self.start(&s);
            if s.canceled() {
                return Err(ECANCELED);
            }
        }
        s.flags = flags;
        Ok(old)
    }
}

impl TimerFn for TimerFd {
    fn expired(&self, _now: u64) -> Option<u64> {
        let mut s = self.state.lock();
        s.expired = true;
        s.ticks += 1;
        drop(s);
        self.wait.wake_up_poll(poll::IN);
        None
    }
}

impl Drop for TimerFd {
    fn drop(&mut self) {
        self.timer.cancel();
        CANCEL_LIST.lock().retain(|t| !Weak::ptr_eq(t, &self.me));
    }
}

/// The wall clock was set: timers that asked for it are cancelled (`timerfd_clock_was_set`).
pub fn timerfd_clock_was_set() {
    let now = real_offset();
    let nth = |i| CANCEL_LIST.lock().get(i).map(Weak::upgrade);
    // The list's lock is free while a timer is held: it may be the last to let go of it.
    for t in (0..).map_while(nth).flatten() {
        let mut s = t.state.lock();
        if s.offset == Some(now) {
            continue;
        }
        s.offset = None;
        s.ticks += 1;
        drop(s);
        t.wait.wake_up_poll(poll::IN);
    }
}

impl FileOps for TimerFd {
    fn abilities(&self) -> Abilities {
        Abilities { seeking: Seeking::Ignored, writes: false, ..Abilities::NO_ITER }
    }
    fn read(&self, f: &File, to: &mut IovIter<'_>, _: &mut u64) -> Result<usize> {
        if to.count() < size_of::<u64>() {
            return Err(EINVAL);
        }
        if !f.nonblock() {
            self.wait.wait_event_interruptible(|| self.state.lock().ticks != 0)?;
        }
        let mut s = self.state.lock();
        if s.canceled() {
            (s.ticks, s.expired) = (0, false);
            return Err(ECANCELED);
        }
        if s.ticks == 0 {
            return Err(EAGAIN);
        }
        self.go_on(&mut s);
        s.expired = false;
        let ticks = core::mem::take(&mut s.ticks);
        drop(s);
        if to.copy_to(&ticks.to_ne_bytes()) == size_of::<u64>() { Ok(size_of::<u64>()) } else { Err(EFAULT) }
    }
    fn poll(&self, _: &File, table: &mut PollTable) -> Option<u32> {
        table.wait(&self.wait);
        Some(if self.state.lock().ticks != 0 { poll::IN } else { 0 })
    }
    fn show_fdinfo(&self, _: &File, out: &mut SeqFile) {
        let s = self.state.lock();
        let at = s.setting();
        let (ticks, flags) = (s.ticks, s.flags);
        drop(s);
        let time = |ns: u64| (ns / 1_000_000_000, ns % 1_000_000_000);
        writeln!(out, "clockid: {}\nticks: {ticks}\nsettime flags: 0{flags:o}", self.clock);
        writeln!(out, "it_value: {:?}\nit_interval: {:?}", time(at.value), time(at.interval));
    }
    fn as_any(&self) -> Option<&dyn core::any::Any> {
        Some(self)
    }
}

/// `timerfd_create(2)`.
pub fn sys_timerfd_create(clock: u32, flags: u32) -> Result<usize> {
    let known = matches!(
        clock,
        raw::CLOCK_MONOTONIC
            | raw::CLOCK_REALTIME
            | raw::CLOCK_REALTIME_ALARM
            | raw::CLOCK_BOOTTIME
            | raw::CLOCK_BOOTTIME_ALARM
    );
    if flags & !(O_CLOEXEC | O_NONBLOCK) != 0 || !known {
        return Err(EINVAL);
    }
    let t = TimerFd::new(clock);
    if t.is_alarm() && !capable(raw::CAP_WAKE_ALARM) {
        return Err(EPERM);
    }
    anon_inode_getfd("[timerfd]", t, flags)
}

/// Runs `f` with the timer behind a descriptor.
fn with_timer<R>(fd: i32, f: impl FnOnce(&TimerFd) -> Result<R>) -> Result<R> {
    let file = fget(fd)?;
    f(file.op.as_any().and_then(|a| a.downcast_ref()).ok_or(EINVAL)?)
}

/// [`sys_timerfd_settime`] with times of either width.
pub fn timerfd_settime(fd: i32, flags: u32, new: usize, old: usize, abi: TimeAbi) -> Result<usize> {
    let new = get_itimerspec(new, abi)?;
    if flags & !TFD_SETTIME_FLAGS != 0 {
        return Err(EINVAL);
    }
    let was = with_timer(fd, |t| {
        if t.is_alarm() && !capable(raw::CAP_WAKE_ALARM) {
            return Err(EPERM);
        }
        t.set(flags, new)
    })?;
    if old != 0 {
        put_itimerspec(old, was, abi)?;
    }
    Ok(0)
}

/// `timerfd_settime(2)`.
pub fn sys_timerfd_settime(fd: i32, flags: u32, new: usize, old: usize) -> Result<usize> {
    timerfd_settime(fd, flags, new, old, TimeAbi::Time64)
}

/// [`sys_timerfd_gettime`] with times of either width.
pub fn timerfd_gettime(fd: i32, at: usize, abi: TimeAbi) -> Result<usize> {
    let s = with_timer(fd, |t| {
        let mut s = t.state.lock();
        t.go_on(&mut s);
        Ok(s.setting())
    })?;
    put_itimerspec(at, s, abi)?;
    Ok(0)
}

/// `timerfd_gettime(2)`.
pub fn sys_timerfd_gettime(fd: i32, at: usize) -> Result<usize> {
    timerfd_gettime(fd, at, TimeAbi::Time64)
}
