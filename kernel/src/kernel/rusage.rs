// SPDX-License-Identifier: GPL-2.0-only
//! What processes have used: times, memory at most, faults, turns given up (Linux 6.1, `kernel/sys.c`,
//! `getrusage`). Nothing is read from disks here, so there are no major faults and no blocks.

use super::signal::SignalStruct;
use super::signal::state::Cputime;
use super::task::{Task, current};
use crate::arch::x86::ia32::in_compat_syscall;
use crate::arch::x86::lib::usercopy::put_user;
use crate::errno::{EINVAL, Result};
use crate::mm::Mm;
use crate::mm::page_alloc::PAGE_SIZE;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

const RUSAGE_SELF: i32 = 0;
const RUSAGE_CHILDREN: i32 = -1;
const RUSAGE_THREAD: i32 = 1;

/// What a task, or several of them, have used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rusage {
    /// In user mode and in the kernel, in nanoseconds.
    pub times: (u64, u64),
    /// Faults that needed no disk.
    pub min_flt: u64,
    /// How often they gave the CPU away, and had to.
    pub switches: (u64, u64),
    /// Most pages that one of them had in memory.
    pub maxrss: u64,
}

impl Rusage {
    /// Both together.
    #[must_use]
    pub fn plus(self, o: Self) -> Self {
        Self {
            times: (self.times.0 + o.times.0, self.times.1 + o.times.1),
            min_flt: self.min_flt + o.min_flt,
            switches: (self.switches.0 + o.switches.0, self.switches.1 + o.switches.1),
            maxrss: self.maxrss.max(o.maxrss),
        }
    }
    /// With what an address space that is in use has had (`setmax_mm_hiwater_rss`).
    #[must_use]
    fn with_mm(self, mm: Option<&Mm>) -> Self {
        Self { maxrss: self.maxrss.max(mm.map_or(0, hiwater)), ..self }
    }
    /// As `struct rusage` has it.
    fn words(self) -> [u64; 18] {
        let mut w = [0; 18];
        for (i, ns) in [(0, self.times.0), (2, self.times.1)] {
            w[i] = ns / 1_000_000_000;
            w[i + 1] = ns % 1_000_000_000 / 1000;
        }
        w[4] = self.maxrss * (PAGE_SIZE as u64 / 1024);
        w[8] = self.min_flt;
        (w[16], w[17]) = self.switches;
        w
    }
    /// What one task has used, without its memory.
    pub fn of_task(t: &Task) -> Self {
        Self {
            times: (t.utime.load(Relaxed), t.stime.load(Relaxed)),
            min_flt: t.min_flt.load(Relaxed),
            switches: (t.se.nvcsw.load(Relaxed), t.se.nivcsw.load(Relaxed)),
            maxrss: 0,
        }
    }
    /// What all threads have used that a process has and had.
    pub fn of_process(sig: &SignalStruct) -> Self {
        sig.threads.with_irqs_off(|all| all.iter().fold(sig.dead.get(), |sum, t| sum.plus(Self::of_task(t))))
    }
    /// What the children have used that a process has waited for.
    pub fn of_children(sig: &SignalStruct) -> Self {
        sig.children.get()
    }
    /// What a process and its children have used (`RUSAGE_BOTH`): for who waits for it.
    pub fn of_both(t: &Task) -> Self {
        let both = Self::of_process(&t.signal).plus(Self::of_children(&t.signal));
        both.with_mm(t.get_mm().as_deref())
    }
}

/// Most pages that an address space has had in memory (`get_mm_hiwater_rss`).
fn hiwater(mm: &Mm) -> u64 {
    let st = mm.lock();
    st.hiwater_rss.max(st.rss.anon + st.rss.file) as u64
}

/// What those have used who are not there any more.
#[derive(Default)]
pub struct Used {
    /// The times.
    pub times: Cputime,
    min_flt: AtomicU64,
    nvcsw: AtomicU64,
    nivcsw: AtomicU64,
    maxrss: AtomicU64,
}

impl Used {
    /// The sum.
    pub fn get(&self) -> Rusage {
        Rusage {
            times: self.times.get(),
            min_flt: self.min_flt.load(Relaxed),
            switches: (self.nvcsw.load(Relaxed), self.nivcsw.load(Relaxed)),
            maxrss: self.maxrss.load(Relaxed),
        }
    }
    /// Adds what somebody has used.
    pub fn add(&self, r: Rusage) {
        self.times.add(r.times);
        self.min_flt.fetch_add(r.min_flt, Relaxed);
        self.nvcsw.fetch_add(r.switches.0, Relaxed);
        self.nivcsw.fetch_add(r.switches.1, Relaxed);
        self.maxrss.fetch_max(r.maxrss, Relaxed);
    }
    /// Notes what an address space has had that a process leaves.
    pub fn note_mm(&self, mm: &Mm) {
        self.maxrss.fetch_max(hiwater(mm), Relaxed);
    }
}

/// A child was waited for: what it and its own have used is the current process's from now on
/// (`wait_task_zombie`).
pub fn adopt(child: &SignalStruct) {
    let sig = &current().signal;
    sig.children.add(Rusage::of_process(child).plus(Rusage::of_children(child)));
}

/// Writes a `struct rusage`, of i386's words if the call was i386's.
pub fn put_rusage(at: usize, r: Rusage) -> Result {
    let w = r.words();
    if in_compat_syscall() { put_user(at, &w.map(|w| w as u32)) } else { put_user(at, &w) }
}

/// `getrusage(2)`.
pub fn sys_getrusage(who: i32, usage: usize) -> Result<usize> {
    let cur = current();
    let sig = &cur.signal;
    let mm = cur.get_mm();
    let used = match who {
        RUSAGE_SELF => Rusage::of_process(sig).with_mm(mm.as_deref()),
        RUSAGE_CHILDREN => Rusage::of_children(sig),
        RUSAGE_THREAD => {
            Rusage { maxrss: sig.dead.get().maxrss, ..Rusage::of_task(&cur) }.with_mm(mm.as_deref())
        }
        _ => return Err(EINVAL),
    };
    put_rusage(usage, used)?;
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_and_words() {
        let one = Rusage { times: (2_000_003_000, 5), min_flt: 7, switches: (1, 2), maxrss: 10 };
        let both = one.plus(Rusage { times: (1, 1_500_000_000), min_flt: 1, switches: (3, 4), maxrss: 9 });
        assert_eq!(both.maxrss, 10, "the largest, not the sum");
        let w = both.words();
        assert_eq!(w[..5], [2, 3, 1, 500_000, 40]);
        assert_eq!((w[8], w[16], w[17]), (8, 4, 6));
        let used = Used::default();
        used.add(one);
        used.add(both);
        assert_eq!(
            used.get(),
            Rusage { times: (4_000_006_001, 1_500_000_010), min_flt: 15, switches: (5, 8), maxrss: 10 }
        );
    }
}
