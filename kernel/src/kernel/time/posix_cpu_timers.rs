// SPDX-License-Identifier: GPL-2.0-only
//! POSIX timers on CPU time, looked at with each tick (Linux 6.1,
//! `kernel/time/posix-cpu-timers.c`).
//!
//! The clock may be another process's than the one that gets the signals. What is armed hangs on
//! the thread or process whose time is counted ([`CpuTimers`]), under a lock of its own that is
//! taken last.

use super::clock::{Clock, CpuTime};
use super::hrtimer::forward;
use super::itimer::Setting;
use super::posix_timers::{KItimer, State};
use crate::errno::{EINVAL, ESRCH, Result};
use crate::kernel::exit::ExitState;
use crate::kernel::fork::find_task;
use crate::kernel::signal::{Siglock, SignalStruct};
use crate::kernel::task::{Current, Task, current};
use crate::locking::IrqLock;
use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// By expiry; a timer's address makes the key its own.
type Queue = BTreeMap<(u64, usize), Arc<KItimer>>;

#[derive(Default)]
struct Queues {
    both: Queue,
    user: Queue,
}

impl Queues {
    fn of(&mut self, what: CpuTime) -> &mut Queue {
        match what {
            CpuTime::Both => &mut self.both,
            CpuTime::User => &mut self.user,
        }
    }
}

/// The armed timers on the time of one thread or process.
#[derive(Default)]
pub struct CpuTimers {
    /// Whether there are any, for the tick.
    active: AtomicBool,
    queues: IrqLock<Queues>,
}

fn key(expires: u64, t: &KItimer) -> (u64, usize) {
    (expires, core::ptr::from_ref(t).addr())
}

impl CpuTimers {
    /// Whether a tick has to look.
    #[inline]
    pub fn active(&self) -> bool {
        self.active.load(Relaxed)
    }
    fn change<R>(&self, f: impl FnOnce(&mut Queues) -> R) -> R {
        let mut q = self.queues.lock();
        let r = f(&mut q);
        self.active.store(!q.both.is_empty() || !q.user.is_empty(), Relaxed);
        r
    }
    fn take_expired(&self, what: CpuTime, now: u64) -> Option<(u64, Arc<KItimer>)> {
        self.change(|q| {
            let first = q.of(what).first_entry().filter(|e| e.key().0 <= now)?;
            let expires = first.key().0;
            Some((expires, first.remove()))
        })
    }
    fn expire(&self, (utime, stime): (u64, u64)) {
        for (what, now) in [(CpuTime::Both, utime + stime), (CpuTime::User, utime)] {
            while let Some((expires, t)) = self.take_expired(what, now) {
                t.cpu_expired(expires);
            }
        }
    }
    /// The thread or process is gone: nothing of it expires any more (`posix_cpu_timers_exit`).
    pub fn cleanup(&self) {
        drop(self.change(core::mem::take));
    }
}

/// A tick was charged to `t`, the running task.
pub fn run_posix_cpu_timers(t: &Current) {
    if t.sig.cpu_timers.active() {
        t.sig.cpu_timers.expire((t.utime.load(Relaxed), t.stime.load(Relaxed)));
    }
    if t.signal.cpu_timers.active() {
        t.signal.cpu_timers.expire(t.signal.cputime());
    }
}

enum Target {
    Process(Weak<SignalStruct>),
    Thread(Weak<Task>),
}

/// The CPU clock of a thread or a process.
pub struct CpuClock {
    target: Target,
    what: CpuTime,
}

impl CpuClock {
    /// The clock with this id, of a process or of a thread of the current one (`pid_for_clock`).
    pub fn find(id: i32) -> Result<Self> {
        let Clock::Cpu { pid, thread, what } = Clock::find(id)? else { return Err(EINVAL) };
        let t = if pid == 0 { current().to_arc() } else { find_task(pid).ok_or(EINVAL)? };
        if pid != 0 && !thread && !t.is_leader() {
            return Err(EINVAL);
        }
        let target = if thread {
            Target::Thread(Arc::downgrade(&t))
        } else {
            Target::Process(Arc::downgrade(&t.signal))
        };
        Ok(Self { target, what })
    }

    /// Gives `f` the armed timers and the times used (user and both), unless nobody is left.
    fn with<R>(&self, f: impl FnOnce(&CpuTimers, u64) -> R) -> Option<R> {
        let time = |(utime, stime): (u64, u64)| match self.what {
            CpuTime::Both => utime + stime,
            CpuTime::User => utime,
        };
        match &self.target {
            Target::Process(s) => {
                let s = s.upgrade().filter(|s| s.nr_threads.load(Relaxed) != 0)?;
                Some(f(&s.cpu_timers, time(s.cputime())))
            }
            Target::Thread(t) => {
                let t = t.upgrade().filter(|t| t.rel.exit_state() != ExitState::Dead)?;
                let used = (t.utime.load(Relaxed), t.stime.load(Relaxed));
                Some(f(&t.sig.cpu_timers, time(used)))
            }
        }
    }

    fn arm(&self, t: &KItimer, expires: u64, timers: &CpuTimers) {
        if let Some(me) = t.to_arc() {
            timers.change(|q| q.of(self.what).insert(key(expires, t), me));
        }
    }
    /// Takes the timer, which is set to `s`, off the queue if it is there.
    pub(super) fn disarm(&self, t: &KItimer, s: &State) {
        let expires = s.expires;
        self.with(|timers, _| timers.change(|q| q.of(self.what).remove(&key(expires, t))));
    }

    /// Arms it for the next of its times (`posix_cpu_timer_rearm`).
    pub(super) fn rearm(&self, t: &KItimer, s: &mut State) {
        self.with(|timers, now| {
            bump(s, now);
            self.arm(t, s.expires, timers);
        });
    }

    /// What is left, and the interval (`posix_cpu_timer_get`).
    pub(super) fn get(&self, s: &State) -> Setting {
        let left = self.with(|_, now| Setting { value: left(s.expires, now), interval: s.interval });
        left.unwrap_or_default()
    }

    /// Sets it, and returns the old setting (`posix_cpu_timer_set`). What has passed already
    /// expires at once, even if the clock does not run.
    pub(super) fn set(
        &self,
        t: &KItimer,
        l: &mut Siglock,
        cur: Current,
        absolute: bool,
        new: Setting,
    ) -> Result<Setting> {
        let mut s = t.state(l);
        let (old, due) = self
            .with(|timers, now| {
                timers.change(|q| q.of(self.what).remove(&key(s.expires, t)));
                if s.expires != 0 {
                    bump(&mut s, now);
                }
                let old = Setting { value: left(s.expires, now), interval: s.interval };
                s.reset();
                s.overrun = -1;
                s.interval = new.interval;
                let from = if absolute || new.value == 0 { 0 } else { now };
                s.expires = from.saturating_add(new.value);
                if s.expires > now {
                    self.arm(t, s.expires, timers);
                }
                (old, s.expires != 0 && s.expires <= now)
            })
            .ok_or(ESRCH)?;
        drop(s);
        if due {
            self.fire(t, l, &cur);
        }
        Ok(old)
    }

    /// The clock has come to `expires`.
    pub(super) fn expired(&self, t: &KItimer, l: &mut Siglock, of: &Task, expires: u64) {
        // It may have been set anew meanwhile.
        let valid = t.state(l).expires == expires;
        if valid {
            self.fire(t, l, of);
        }
    }

    /// Sends the signal to the timer's process, of which `of` is a thread (`cpu_timer_fire`).
    fn fire(&self, t: &KItimer, l: &mut Siglock, of: &Task) {
        let mut s = t.state(l);
        if t.is_silent() {
            s.expires = 0;
            return;
        }
        if s.interval == 0 {
            s.expires = 0;
            drop(s);
            t.event(l, of, 0);
            return;
        }
        s.requeue = s.requeue.wrapping_add(1);
        let private = s.requeue;
        drop(s);
        if !t.event(l, of, private) {
            // Nobody dequeues what is ignored.
            let mut s = t.state(l);
            self.rearm(t, &mut s);
            s.requeue = s.requeue.wrapping_add(1);
        }
    }
}

/// Moves a periodic timer's expiry behind `now` (`bump_cpu_timer`).
fn bump(s: &mut State, now: u64) {
    if s.interval != 0 {
        let interval = s.interval;
        s.overrun += forward(&mut s.expires, now, interval) as i64;
    }
}

/// What is left of a timer: one that has expired but was not noticed yet is about to.
fn left(expires: u64, now: u64) -> u64 {
    match expires {
        0 => 0,
        e => e.saturating_sub(now).max(1),
    }
}
