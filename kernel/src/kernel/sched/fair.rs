// SPDX-License-Identifier: GPL-2.0-only
//! Sharing the CPU among tasks that are not real-time, by their nice values (where Linux 6.1 has
//! `kernel/sched/fair.c`).
//!
//! Tasks of one nice value form a *level*, and are served in turn. Each level has a virtual time
//! that advances with the time its tasks get, the slower the more weight they have together; the
//! level that is furthest behind comes next. So the shares are those of Linux, and to choose
//! costs the same with two tasks as with thousands.

/// Levels: nice values -20 to 19, and `SCHED_IDLE`.
pub const LEVELS: usize = 41;
/// The level of nice value 0.
const NICE_0: usize = 20;
/// The level of `SCHED_IDLE`.
pub const IDLE_LEVEL: usize = 40;
/// Weight of nice value 0, and of `SCHED_IDLE` (`WEIGHT_IDLEPRIO`).
const WEIGHT_0: u64 = 1024;
const WEIGHT_IDLE: u64 = 3;
/// What a tick adds to the virtual time of one task of nice value 0.
const TICK: u64 = 1 << 20;

/// How much each level's tasks weigh: one step of niceness is a quarter more or a fifth less
/// (Linux 6.1, `kernel/sched/core.c`, `sched_prio_to_weight`).
const WEIGHTS: [u64; LEVELS] = {
    let mut w = [WEIGHT_IDLE; LEVELS];
    let (mut scaled, mut i) = (WEIGHT_0 << 32, NICE_0);
    while i > 0 {
        w[i] = scaled >> 32;
        scaled = scaled / 4 * 5;
        i -= 1;
    }
    w[0] = scaled >> 32;
    (scaled, i) = (WEIGHT_0 << 32, NICE_0);
    while i < IDLE_LEVEL {
        w[i] = scaled >> 32;
        scaled = scaled / 5 * 4;
        i += 1;
    }
    w
};

/// Which levels have runnable tasks, and whose turn it is.
pub struct Fair {
    used: u64,
    vtime: [u64; LEVELS],
    /// No used level is behind this.
    min: u64,
}

impl Fair {
    /// Nobody is there.
    pub const NEW: Self = Self { used: 0, vtime: [0; LEVELS], min: 0 };

    /// The first task of a level has come: it gets no time for when there was none.
    #[inline]
    pub fn add(&mut self, level: usize) {
        self.used |= 1 << level;
        self.vtime[level] = self.vtime[level].max(self.min);
    }
    /// The last task of a level is gone.
    #[inline]
    pub fn remove(&mut self, level: usize) {
        self.used &= !(1 << level);
    }
    /// The level whose turn it is.
    #[inline]
    pub fn next(&self) -> Option<usize> {
        if self.used & self.used.wrapping_sub(1) == 0 {
            let only = self.used.trailing_zeros() as usize;
            return (only < LEVELS).then_some(only);
        }
        self.furthest_behind()
    }
    /// The choice among several; the least nice one if they are even.
    #[cold]
    fn furthest_behind(&self) -> Option<usize> {
        (0..LEVELS).filter(|l| self.used & 1 << l != 0).min_by_key(|&l| self.vtime[l])
    }
    /// A task of a level with `n` runnable ones has had the CPU for a tick.
    pub fn charge(&mut self, level: usize, n: usize) {
        self.vtime[level] += TICK * WEIGHT_0 / (WEIGHTS[level] * n.max(1) as u64);
        if let Some(l) = self.next() {
            self.min = self.min.max(self.vtime[l]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of `ticks` each level of `tasks` (level, how many) gets.
    fn shares(tasks: &[(usize, usize)], ticks: usize) -> [usize; LEVELS] {
        let (mut f, mut got) = (Fair::NEW, [0; LEVELS]);
        for &(level, _) in tasks {
            f.add(level);
        }
        for _ in 0..ticks {
            let l = f.next().unwrap();
            got[l] += 1;
            f.charge(l, tasks.iter().find(|t| t.0 == l).unwrap().1);
        }
        got
    }

    #[test]
    fn weights_are_linuxs_within_a_percent_or_one() {
        for (nice, linux) in [(-20i32, 88761), (-10, 9548), (-1, 1277), (0, 1024), (5, 335), (19, 15)] {
            let w = WEIGHTS[(nice + 20) as usize];
            assert!(w.abs_diff(linux) <= 1 + linux / 100, "{nice}: {w}, not {linux}");
        }
        assert_eq!(WEIGHTS[IDLE_LEVEL], 3);
    }

    #[test]
    fn time_is_shared_by_weight() {
        let got = shares(&[(20, 1), (25, 1)], 10000);
        assert!((7400..7700).contains(&got[20]), "nice 0 and 5: {}", got[20]);
        let got = shares(&[(20, 2), (25, 1)], 10000);
        assert!((8500..8700).contains(&got[20]), "two of nice 0, and 5: {}", got[20]);
        let got = shares(&[(0, 1), (39, 1), (IDLE_LEVEL, 1)], 100_000);
        assert!((10..25).contains(&got[39]) && (1..6).contains(&got[40]), "{got:?}");
    }

    #[test]
    fn who_comes_late_has_nothing_saved() {
        let mut f = Fair::NEW;
        f.add(20);
        for _ in 0..1000 {
            f.charge(20, 1);
        }
        f.add(25);
        let mut late = 0;
        for _ in 0..100 {
            let l = f.next().unwrap();
            late += usize::from(l == 25);
            f.charge(l, 1);
        }
        assert!((20..30).contains(&late), "{late}");
        f.remove(20);
        assert_eq!(f.next(), Some(25));
        f.remove(25);
        assert_eq!(f.next(), None);
    }
}
