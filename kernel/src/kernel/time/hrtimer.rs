// SPDX-License-Identifier: GPL-2.0-only
//! Timers (Linux 6.1, `kernel/time/hrtimer.c`): callbacks at a point of monotonic
//! or wall-clock time, run by the local APIC timer's interrupt.

use crate::kernel::time::timekeeping::{ktime_get, ktime_get_real, real_offset, tai_base};
use crate::locking::IrqLock;
use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use core::sync::atomic::{AtomicU64, Ordering};

/// The clock that a timer follows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClockBase {
    /// Nanoseconds since boot.
    #[default]
    Monotonic,
    /// The wall clock: its timers move with `clock_settime`.
    Real,
    /// Atomic time.
    Tai,
}

impl ClockBase {
    /// What the clock shows.
    pub fn now(self) -> u64 {
        match self {
            Self::Monotonic => ktime_get(),
            Self::Real => ktime_get_real(),
            Self::Tai => ktime_get().wrapping_add(tai_base()),
        }
    }
    /// What it shows more than the monotonic clock.
    fn offset(self) -> u64 {
        match self {
            Self::Monotonic => 0,
            Self::Real => real_offset(),
            Self::Tai => tai_base(),
        }
    }
    /// The monotonic time at which the clock shows `time`, if nobody sets it; 0 if that was before
    /// the boot.
    fn to_monotonic(self, time: u64) -> u64 {
        time.saturating_sub(self.offset())
    }
}

/// What a timer calls, in interrupt context, with interrupts off.
pub trait TimerFn: Send + Sync {
    /// The timer expired; its clock shows `now`. Returning a time starts it again.
    fn expired(&self, now: u64) -> Option<u64>;
}

/// Expiry and a number that is no other's.
type Key = (u64, u64);
type Queue = BTreeMap<Key, Armed>;

struct Armed {
    /// A timer whose owner is gone does nothing.
    call: Weak<dyn TimerFn>,
    timer: Arc<HrTimer>,
}

/// All armed timers, soonest first, by clock.
struct Bases {
    monotonic: Queue,
    real: Queue,
    tai: Queue,
}

impl Bases {
    fn of(&mut self, base: ClockBase) -> &mut Queue {
        match base {
            ClockBase::Monotonic => &mut self.monotonic,
            ClockBase::Real => &mut self.real,
            ClockBase::Tai => &mut self.tai,
        }
    }
    /// The monotonic time at which the first of all timers expires.
    fn next(&self) -> u64 {
        let first = |q: &Queue| q.first_key_value().map(|(k, _)| k.0);
        let due = |q: &Queue, base: ClockBase| first(q).map_or(u64::MAX, |t| base.to_monotonic(t));
        let set = due(&self.real, ClockBase::Real).min(due(&self.tai, ClockBase::Tai));
        first(&self.monotonic).unwrap_or(u64::MAX).min(set)
    }
}

static BASES: IrqLock<Bases> =
    IrqLock::new(Bases { monotonic: BTreeMap::new(), real: BTreeMap::new(), tai: BTreeMap::new() });
static NEXT_ID: AtomicU64 = AtomicU64::new(1);
/// When the soonest timer expires, so that a tick without one costs one load.
static NEXT_EXPIRY: AtomicU64 = AtomicU64::new(u64::MAX);

/// One timer: armed at most once at a time.
#[derive(Default)]
pub struct HrTimer {
    /// Where it is queued, while it is.
    queued: IrqLock<Option<(ClockBase, Key)>>,
}

impl HrTimer {
    /// A timer that is not armed.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Arms it for `expires` (nanoseconds since boot), replacing an earlier time.
    pub fn start(self: &Arc<Self>, expires: u64, f: &Arc<dyn TimerFn>) {
        self.start_on(ClockBase::Monotonic, expires, f);
    }

    /// Arms it for the moment at which the clock shows `expires`, replacing an earlier time.
    pub fn start_on(self: &Arc<Self>, base: ClockBase, expires: u64, f: &Arc<dyn TimerFn>) {
        let mut bases = BASES.lock();
        let mut queued = self.queued.lock();
        if let Some((base, key)) = queued.take() {
            bases.of(base).remove(&key);
        }
        let key = (expires, NEXT_ID.fetch_add(1, Ordering::Relaxed));
        *queued = Some((base, key));
        bases.of(base).insert(key, Armed { call: Arc::downgrade(f), timer: self.clone() });
        publish_next(&bases);
    }

    /// Disarms it; returns whether it was armed.
    pub fn cancel(&self) -> bool {
        let mut bases = BASES.lock();
        let Some((base, key)) = self.queued.lock().take() else { return false };
        let gone = bases.of(base).remove(&key);
        publish_next(&bases);
        drop(bases);
        gone.is_some()
    }

    /// Nanoseconds until it expires, if it is armed (at least 1).
    pub fn remaining(&self) -> Option<u64> {
        let (base, (expires, _)) = (*self.queued.lock())?;
        Some(expires.saturating_sub(base.now()).max(1))
    }
}

fn publish_next(bases: &Bases) {
    let next = bases.next();
    NEXT_EXPIRY.store(next, Ordering::Relaxed);
    crate::arch::x86::kernel::apic::program_next_event(next);
}

/// When the soonest timer expires (`u64::MAX` if none is armed).
pub fn next_expiry() -> u64 {
    NEXT_EXPIRY.load(Ordering::Relaxed)
}

/// The wall clock was set: its timers are due earlier or later.
pub fn clock_was_set() {
    publish_next(&BASES.lock());
}

/// Runs what has expired; called by the timer interrupt (`hrtimer_interrupt`).
pub fn run_expired(now: u64) {
    while next_expiry() <= now {
        let Some((base, armed)) = take_first(now) else {
            break;
        };
        let shown = now + base.offset();
        if let Some(f) = armed.call.upgrade()
            && let Some(again) = f.expired(shown)
        {
            armed.timer.start_on(base, again.max(shown + 1), &f);
        }
    }
}

fn take_first(now: u64) -> Option<(ClockBase, Armed)> {
    let mut bases = BASES.lock();
    for base in [ClockBase::Monotonic, ClockBase::Real, ClockBase::Tai] {
        let first = bases.of(base).first_entry();
        if let Some(e) = first.filter(|e| base.to_monotonic(e.key().0) <= now) {
            let armed = e.remove();
            *armed.timer.queued.lock() = None;
            publish_next(&bases);
            return Some((base, armed));
        }
    }
    // The clock was set meanwhile.
    publish_next(&bases);
    None
}

/// Moves an expiry that has passed on by whole intervals, to the first one behind `now`; returns
/// by how many (`hrtimer_forward`).
pub fn forward(expires: &mut u64, now: u64, interval: u64) -> u64 {
    let Some(late) = now.checked_sub(*expires) else { return 0 };
    let interval = interval.max(1);
    let passed = late / interval + 1;
    // The end of time is signed (`KTIME_MAX`).
    *expires = expires.saturating_add(interval.saturating_mul(passed)).min(i64::MAX as u64);
    passed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expiry_moves_by_whole_intervals_behind_now() {
        let moved = |mut at: u64, now, interval| (forward(&mut at, now, interval), at);
        assert_eq!(moved(100, 99, 30), (0, 100));
        assert_eq!(moved(100, 100, 30), (1, 130));
        assert_eq!(moved(100, 129, 30), (1, 130));
        assert_eq!(moved(100, 130, 30), (2, 160));
        assert_eq!(moved(100, 300, 30), (7, 310));
        assert_eq!(moved(100, 300, 0), (201, 301));
        assert_eq!(moved(5, 10, u64::MAX).1, i64::MAX as u64);
    }
}
