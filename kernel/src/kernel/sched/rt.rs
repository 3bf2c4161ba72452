// SPDX-License-Identifier: GPL-2.0-only
//! Real-time tasks (Linux 6.1, `kernel/sched/rt.c`): the most urgent one runs, until it does not
//! want to any more. So that nothing else starves for good they get 95 % of each second.

use crate::arch::x86::kernel::apic::TICK_NSEC;

/// Priorities of real-time tasks (`MAX_RT_PRIO`): 0 is the most urgent.
pub const MAX_RT_PRIO: u32 = 100;
/// Ticks of a turn under `SCHED_RR` (`RR_TIMESLICE`): 100 ms.
pub const RR_TIMESLICE: u32 = HZ / 10;
/// Ticks in a second.
const HZ: u32 = 250;
/// Nanoseconds out of [`RT_PERIOD`] that real-time tasks may have (`sched_rt_runtime_us`).
const RT_RUNTIME: u64 = RT_PERIOD / 100 * 95;
/// A second (`sched_rt_period_us`).
const RT_PERIOD: u64 = 1_000_000_000;

const _: () = assert!(TICK_NSEC * HZ as u64 == 1_000_000_000);

/// Which priorities have runnable tasks, and how much time they have had.
pub struct Rt {
    used: u128,
    /// When the present second began, the last tick was, and how long they ran.
    began: u64,
    last: u64,
    had: u64,
}

impl Rt {
    /// Nobody is there.
    pub const NEW: Self = Self { used: 0, began: 0, last: 0, had: 0 };

    /// The first task with this priority has come.
    pub fn add(&mut self, prio: usize) {
        self.used |= 1 << prio;
    }
    /// The last one is gone.
    pub fn remove(&mut self, prio: usize) {
        self.used &= !(1 << prio);
    }
    /// Whether there is any.
    #[inline]
    pub fn any(&self) -> bool {
        self.used != 0
    }
    /// The most urgent priority that there is.
    pub fn next(&self) -> usize {
        self.used.trailing_zeros() as usize
    }
    /// Whether they have had their part of this second.
    pub fn throttled(&self) -> bool {
        self.had >= RT_RUNTIME
    }
    /// A tick, at `now`; `real_time`: the time since the last one was theirs. Returns whether their
    /// part of the second is used up by it.
    pub fn tick(&mut self, now: u64, real_time: bool) -> bool {
        if now.saturating_sub(self.began) >= RT_PERIOD {
            (self.began, self.had) = (now, 0);
        }
        if real_time {
            self.had += now.saturating_sub(self.last);
        }
        self.last = now;
        real_time && self.throttled()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_urgent_comes_first() {
        let mut r = Rt::NEW;
        assert!(!r.any());
        r.add(99);
        r.add(3);
        assert_eq!(r.next(), 3);
        r.remove(3);
        assert_eq!(r.next(), 99);
    }

    #[test]
    fn a_hog_gets_its_part_of_each_second() {
        let mut r = Rt::NEW;
        let mut had = 0;
        for i in 1..=u64::from(HZ) * 4 {
            let runs = !r.throttled();
            had += u32::from(runs);
            r.tick(i * TICK_NSEC, runs);
        }
        assert!((HZ * 38 / 10 - 4..=HZ * 38 / 10 + 8).contains(&had), "{had}");
    }
}
