// SPDX-License-Identifier: GPL-2.0-only
//! How many tasks wanted to run lately, over one, five and fifteen minutes (Linux 6.1,
//! `kernel/sched/loadavg.c`). They are counted every five seconds. Who sleeps and cannot be woken by
//! signals is not among them: nobody waits for disks here.

use super::nr_running;
use crate::kernel::time::hrtimer::{HrTimer, TimerFn};
use crate::kernel::time::timekeeping::ktime_get;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Bits below the point.
const FSHIFT: u32 = 11;
const FIXED_1: u64 = 1 << FSHIFT;
/// Five seconds and a clock interrupt of 250 a second.
const LOAD_FREQ: u64 = 5_004_000_000;
/// What is left of an average after that time, with so many bits: of each of the three.
const EXP: [u64; 3] = [1884, 2014, 2037];

static AVENRUN: [AtomicU64; 3] = [const { AtomicU64::new(0) }; 3];

/// An average after another count; both with a point (`calc_load`). It is rounded towards the count.
fn calc_load(load: u64, exp: u64, active: u64) -> u64 {
    let new = load * exp + active * (FIXED_1 - exp);
    (if active >= load { new + FIXED_1 - 1 } else { new }) / FIXED_1
}

struct CalcLoad;

impl TimerFn for CalcLoad {
    fn expired(&self, now: u64) -> Option<u64> {
        let active = nr_running() as u64 * FIXED_1;
        for (avg, exp) in AVENRUN.iter().zip(EXP) {
            avg.store(calc_load(avg.load(Relaxed), exp, active), Relaxed);
        }
        Some(now + LOAD_FREQ)
    }
}

/// Begins to count.
pub fn init() {
    // The queue of timers does not keep what it calls.
    static TIMER: spin::Once<(Arc<HrTimer>, Arc<dyn TimerFn>)> = spin::Once::new();
    let (timer, call) = TIMER.call_once(|| (HrTimer::new(), Arc::new(CalcLoad)));
    timer.start(ktime_get() + LOAD_FREQ, call);
}

/// The averages with 16 bits below the point, for `sysinfo`.
pub fn for_sysinfo() -> [u64; 3] {
    [0, 1, 2].map(|i: usize| AVENRUN[i].load(Relaxed) << (16 - FSHIFT))
}

/// The averages as whole numbers and hundredths, for `/proc/loadavg`.
pub fn hundredths() -> [(u64, u64); 3] {
    [0, 1, 2].map(|i: usize| split(AVENRUN[i].load(Relaxed)))
}

/// A rounded average's whole part and hundredths.
fn split(avg: u64) -> (u64, u64) {
    let avg = avg + FIXED_1 / 200;
    (avg >> FSHIFT, ((avg & (FIXED_1 - 1)) * 100) >> FSHIFT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn averages_come_near() {
        let mut load = 0;
        for _ in 0..12 {
            load = calc_load(load, EXP[0], FIXED_1);
        }
        assert_eq!(split(load), (0, 63), "one task for a minute: 1 - 1/e");
        for _ in 0..1000 {
            load = calc_load(load, EXP[0], 2 * FIXED_1);
        }
        assert_eq!(split(load), (2, 0));
        for _ in 0..1000 {
            load = calc_load(load, EXP[0], 0);
        }
        assert_eq!((load, split(load)), (0, (0, 0)), "nothing is left over");
    }
}
