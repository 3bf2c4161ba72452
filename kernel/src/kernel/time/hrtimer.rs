// SPDX-License-Identifier: GPL-2.0-only
//! Timers (Linux 6.1, `kernel/time/hrtimer.c`): callbacks at a point of
//! monotonic time, run by the local APIC timer's interrupt.

use crate::kernel::time::timekeeping::ktime_get;
use crate::locking::IrqLock;
use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use core::sync::atomic::{AtomicU64, Ordering};

/// What a timer calls, in interrupt context, with interrupts off.
pub trait TimerFn: Send + Sync {
    /// The timer expired. Returning a time (nanoseconds since boot) starts it again.
    fn expired(&self, now: u64) -> Option<u64>;
}

type Key = (u64, u64);
type Armed = (Weak<dyn TimerFn>, Arc<HrTimer>);
type Queue = BTreeMap<Key, Armed>;

/// All armed timers, soonest first. The queue holds weak references: a timer
/// whose owner is gone does nothing.
static QUEUE: IrqLock<Queue> = IrqLock::new(BTreeMap::new());
static NEXT_ID: AtomicU64 = AtomicU64::new(1);
/// When the soonest timer expires, so that a tick without one costs one load.
static NEXT_EXPIRY: AtomicU64 = AtomicU64::new(u64::MAX);

/// One timer: armed at most once at a time.
#[derive(Default)]
pub struct HrTimer {
    /// (expiry, id) while armed; expiry 0 when not.
    key: IrqLock<Key>,
}

impl HrTimer {
    /// A timer that is not armed.
    pub fn new() -> Arc<Self> {
        Arc::new(Self { key: IrqLock::new((0, 0)) })
    }

    /// Arms it for `expires` (nanoseconds since boot), replacing an earlier time.
    pub fn start(self: &Arc<Self>, expires: u64, f: &Arc<dyn TimerFn>) {
        let mut q = QUEUE.lock();
        let mut key = self.key.lock();
        q.remove(&*key);
        *key = (expires.max(1), NEXT_ID.fetch_add(1, Ordering::Relaxed));
        q.insert(*key, (Arc::downgrade(f), self.clone()));
        publish_next(&q);
    }

    /// Disarms it; returns whether it was armed.
    pub fn cancel(&self) -> bool {
        let mut q = QUEUE.lock();
        let mut key = self.key.lock();
        let was = q.remove(&*key).is_some();
        *key = (0, 0);
        publish_next(&q);
        was
    }

    /// Nanoseconds until it expires, if it is armed (at least 1).
    pub fn remaining(&self) -> Option<u64> {
        let key = *self.key.lock();
        (key.0 != 0).then(|| key.0.saturating_sub(ktime_get()).max(1))
    }
}

fn publish_next(q: &Queue) {
    let next = q.first_key_value().map_or(u64::MAX, |(k, _)| k.0);
    NEXT_EXPIRY.store(next, Ordering::Relaxed);
    crate::arch::x86::kernel::apic::program_next_event(next);
}

/// When the soonest timer expires (`u64::MAX` if none is armed).
pub fn next_expiry() -> u64 {
    NEXT_EXPIRY.load(Ordering::Relaxed)
}

/// Runs what has expired; called by the timer interrupt (`hrtimer_interrupt`).
pub fn run_expired(now: u64) {
    while next_expiry() <= now {
        let Some((f, timer)) = take_first(now) else {
            break;
        };
        if let Some(f) = f.upgrade()
            && let Some(again) = f.expired(now)
        {
            timer.start(again.max(now + 1), &f);
        }
    }
}

fn take_first(now: u64) -> Option<Armed> {
    let mut q = QUEUE.lock();
    let first = q.first_entry()?;
    if first.key().0 > now {
        return None;
    }
    let v = first.remove();
    *v.1.key.lock() = (0, 0);
    publish_next(&q);
    Some(v)
}
