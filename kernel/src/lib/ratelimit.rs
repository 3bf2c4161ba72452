// SPDX-License-Identifier: GPL-2.0-only
//! Rate limits: at most `burst` messages per `interval` (Linux 6.1,
//! `lib/ratelimit.c`, `___ratelimit`).
//!
//! A state machine on the time that it is given; nobody waits for its lock: who finds
//! it taken is too busy to print anyway.

use crate::locking::IrqLock;
use core::sync::atomic::{AtomicU32, Ordering};

#[derive(Default)]
struct State {
    /// Start of the present interval, in milliseconds.
    begin: Option<u64>,
    printed: u32,
    missed: u32,
}

/// One limit.
pub struct Ratelimit {
    /// Length of the interval in milliseconds; 0 lifts the limit
    /// (`/proc/sys/kernel/printk_ratelimit`, there in seconds).
    pub interval_ms: AtomicU32,
    /// Messages per interval.
    pub burst: AtomicU32,
    state: IrqLock<State>,
}

/// What [`Ratelimit::check`] decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Go ahead.
    pub allowed: bool,
    /// How many were suppressed in the interval that just ended, to be told about now.
    pub suppressed: u32,
}

impl Ratelimit {
    /// `burst` messages per `interval_ms` milliseconds.
    pub const fn new(interval_ms: u32, burst: u32) -> Self {
        Self {
            interval_ms: AtomicU32::new(interval_ms),
            burst: AtomicU32::new(burst),
            state: IrqLock::new(State { begin: None, printed: 0, missed: 0 }),
        }
    }

    /// Asks to print a message at `now` (milliseconds).
    pub fn check(&self, now: u64) -> Verdict {
        self.ask(now, true)
    }

    /// The same, but nothing is told about what is suppressed: it is counted up for
    /// [`Ratelimit::take_missed`] (`RATELIMIT_MSG_ON_RELEASE`).
    pub fn check_quietly(&self, now: u64) -> bool {
        self.ask(now, false).allowed
    }

    /// How many were suppressed since the last time that this was told.
    pub fn take_missed(&self) -> u32 {
        core::mem::take(&mut self.state.lock().missed)
    }

    fn ask(&self, now: u64, tell: bool) -> Verdict {
        let interval = u64::from(self.interval_ms.load(Ordering::Relaxed));
        let burst = self.burst.load(Ordering::Relaxed);
        if interval == 0 {
            return Verdict { allowed: true, suppressed: 0 };
        }
        let Some(mut s) = self.state.try_lock() else {
            return Verdict { allowed: false, suppressed: 0 };
        };
        let mut suppressed = 0;
        if now > *s.begin.get_or_insert(now) + interval {
            if tell {
                suppressed = core::mem::take(&mut s.missed);
            }
            s.begin = Some(now);
            s.printed = 0;
        }
        let allowed = s.printed < burst;
        if allowed {
            s.printed += 1;
        } else {
            s.missed += 1;
        }
        Verdict { allowed, suppressed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn yes() -> Verdict {
        Verdict { allowed: true, suppressed: 0 }
    }
    fn no() -> Verdict {
        Verdict { allowed: false, suppressed: 0 }
    }

    #[test]
    fn ten_in_five_seconds() {
        let r = Ratelimit::new(5000, 10);
        for i in 0..10 {
            assert_eq!(r.check(1000 + i), yes());
        }
        for i in 0..7 {
            assert_eq!(r.check(2000 + i), no());
        }
        // The interval's last millisecond still belongs to it.
        assert_eq!(r.check(6000), no());
        assert_eq!(r.check(6001), Verdict { allowed: true, suppressed: 8 });
        assert_eq!(r.check(6002), yes());
    }

    #[test]
    fn some_are_told_about_at_the_end() {
        let r = Ratelimit::new(5000, 2);
        assert_eq!((0..5).filter(|&i| r.check_quietly(i)).count(), 2);
        assert_eq!((10_000..10_005).filter(|&i| r.check_quietly(i)).count(), 2);
        assert_eq!((r.take_missed(), r.take_missed()), (6, 0));
    }

    #[test]
    fn zero_interval_lifts_the_limit_and_zero_burst_silences() {
        let r = Ratelimit::new(0, 0);
        assert!((0..100).all(|i| r.check(i) == yes()));
        let r = Ratelimit::new(5000, 0);
        assert!((0..100).all(|i| r.check(i) == no()));
    }

    #[test]
    fn quiet_intervals_report_nothing() {
        let r = Ratelimit::new(5000, 2);
        assert_eq!(r.check(0), yes());
        assert_eq!(r.check(100_000), yes());
        assert_eq!(r.check(100_001), yes());
        assert_eq!(r.check(100_002), no());
    }
}
