// SPDX-License-Identifier: GPL-2.0-only
//! The page of data that the kernel writes and programs read (`[vvar]`; Linux 6.1,
//! `include/vdso/datapage.h`, `include/vdso/helpers.h`).

use core::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering, fence};

/// Bytes in a page.
pub const PAGE_SIZE: usize = 4096;
/// Pages below the image that belong to it. Only the first has something in it: Linux's others
/// are for clocks of hypervisors and for time namespaces.
pub const VVAR_PAGES: usize = 4;
/// Pages of the image, as in Linux, so that what is mapped after it lies where it lies there.
pub const VDSO_PAGES: usize = 2;
/// The segment whose limit is made of the CPU's number and its node's (`__CPUNODE_SEG`).
pub const CPUNODE_SEG: u32 = 15 * 8 + 3;
/// Bits of the CPU's number (`VDSO_CPUNODE_BITS`).
pub const CPUNODE_BITS: u32 = 12;
/// The CPU's number (`VDSO_CPUNODE_MASK`).
pub const CPUNODE_MASK: u32 = (1 << CPUNODE_BITS) - 1;

/// The clocks are not to be read without the kernel (`VDSO_CLOCKMODE_NONE`).
pub const CLOCKMODE_NONE: u32 = 0;
/// They follow the time-stamp counter (`VDSO_CLOCKMODE_TSC`).
pub const CLOCKMODE_TSC: u32 = 1;

/// How the clocks follow from the time-stamp counter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timebase {
    /// The counter when the clock's rate was last changed.
    pub tsc_base: u64,
    /// Nanoseconds per tick of the counter, times 2^32.
    pub mult: u64,
    /// Nanoseconds since boot when the counter showed `tsc_base`.
    pub mono_base: u64,
    /// The counter at boot.
    pub raw_tsc_base: u64,
    /// [`mult`](Self::mult) as it was measured, whatever the clock is told.
    pub raw_mult: u64,
    /// The wall clock at boot, in nanoseconds since 1970.
    pub real_base: u64,
    /// What atomic time shows more than the wall clock, in nanoseconds.
    pub tai: u64,
}

/// Nanoseconds that so many ticks take.
#[inline(always)]
fn scale(ticks: u64, mult: u64) -> u64 {
    ((u128::from(ticks) * u128::from(mult)) >> 32) as u64
}

impl Timebase {
    /// Nanoseconds since boot when the counter shows `tsc`.
    #[inline(always)]
    pub fn monotonic(&self, tsc: u64) -> u64 {
        self.mono_base.wrapping_add(scale(tsc.wrapping_sub(self.tsc_base), self.mult))
    }
    /// The same, by the counter alone.
    #[inline(always)]
    pub fn monotonic_raw(&self, tsc: u64) -> u64 {
        scale(tsc.wrapping_sub(self.raw_tsc_base), self.raw_mult)
    }
}

/// What is in the page. Readers take a sequence count before and after, and try again if it has
/// changed, or was odd: the kernel was writing.
#[repr(C)]
#[derive(Default)]
pub struct VdsoData {
    seq: AtomicU32,
    clock_mode: AtomicU32,
    tsc_base: AtomicU64,
    mult: AtomicU64,
    mono_base: AtomicU64,
    raw_tsc_base: AtomicU64,
    raw_mult: AtomicU64,
    real_base: AtomicU64,
    tai: AtomicU64,
    minutes_west: AtomicI32,
    dst_time: AtomicI32,
}

impl VdsoData {
    /// Clocks that are not to be read yet.
    pub const fn new() -> Self {
        Self {
            seq: AtomicU32::new(0),
            clock_mode: AtomicU32::new(CLOCKMODE_NONE),
            tsc_base: AtomicU64::new(0),
            mult: AtomicU64::new(0),
            mono_base: AtomicU64::new(0),
            raw_tsc_base: AtomicU64::new(0),
            raw_mult: AtomicU64::new(0),
            real_base: AtomicU64::new(0),
            tai: AtomicU64::new(0),
            minutes_west: AtomicI32::new(0),
            dst_time: AtomicI32::new(0),
        }
    }

    /// Tells how the clocks follow from the counter (`update_vsyscall`). One writer at a time.
    #[inline]
    pub fn update(&self, t: &Timebase) {
        let seq = self.seq.load(Ordering::Relaxed);
        self.seq.store(seq.wrapping_add(1), Ordering::Relaxed);
        fence(Ordering::Release);
        self.clock_mode.store(CLOCKMODE_TSC, Ordering::Relaxed);
        self.tsc_base.store(t.tsc_base, Ordering::Relaxed);
        self.mult.store(t.mult, Ordering::Relaxed);
        self.mono_base.store(t.mono_base, Ordering::Relaxed);
        self.raw_tsc_base.store(t.raw_tsc_base, Ordering::Relaxed);
        self.raw_mult.store(t.raw_mult, Ordering::Relaxed);
        self.real_base.store(t.real_base, Ordering::Relaxed);
        self.tai.store(t.tai, Ordering::Relaxed);
        self.seq.store(seq.wrapping_add(2), Ordering::Release);
    }

    /// Tells what `settimeofday` said of the time zone (`update_vsyscall_tz`).
    #[inline]
    pub fn update_tz(&self, [minutes_west, dst_time]: [i32; 2]) {
        self.minutes_west.store(minutes_west, Ordering::Relaxed);
        self.dst_time.store(dst_time, Ordering::Relaxed);
    }

    /// The time zone: minutes west of Greenwich, and the kind of daylight saving.
    #[inline(always)]
    pub fn tz(&self) -> [i32; 2] {
        [self.minutes_west.load(Ordering::Relaxed), self.dst_time.load(Ordering::Relaxed)]
    }

    /// The counter, read by `counter`, and what to make of it; `None` if the kernel must be asked.
    #[inline(always)]
    pub fn read(&self, counter: impl Fn() -> u64) -> Option<(u64, Timebase)> {
        loop {
            let seq = self.seq.load(Ordering::Acquire);
            if seq & 1 != 0 {
                core::hint::spin_loop();
                continue;
            }
            if self.clock_mode.load(Ordering::Relaxed) != CLOCKMODE_TSC {
                return None;
            }
            let cycles = counter();
            let t = Timebase {
                tsc_base: self.tsc_base.load(Ordering::Relaxed),
                mult: self.mult.load(Ordering::Relaxed),
                mono_base: self.mono_base.load(Ordering::Relaxed),
                raw_tsc_base: self.raw_tsc_base.load(Ordering::Relaxed),
                raw_mult: self.raw_mult.load(Ordering::Relaxed),
                real_base: self.real_base.load(Ordering::Relaxed),
                tai: self.tai.load(Ordering::Relaxed),
            };
            fence(Ordering::Acquire);
            if self.seq.load(Ordering::Relaxed) == seq {
                return Some((cycles, t));
            }
        }
    }
}

/// Reads the time-stamp counter, not before the instructions that precede it are done
/// (`rdtsc_ordered`).
#[inline(always)]
pub fn rdtsc_ordered() -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: every 64-bit CPU has both instructions; they change the two registers only. Memory
    // accesses are not to be moved across.
    unsafe {
        core::arch::asm!("lfence", "rdtsc", out("eax") low, out("edx") high, options(nostack, preserves_flags));
    }
    u64::from(high) << 32 | u64::from(low)
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::cell::Cell;

    #[test]
    fn a_reader_who_was_overtaken_reads_again() {
        let d = VdsoData::new();
        assert_eq!(d.read(|| 1), None);
        let old = Timebase {
            tsc_base: 1,
            mult: 2,
            mono_base: 3,
            raw_tsc_base: 4,
            raw_mult: 5,
            real_base: 6,
            tai: 7,
        };
        let new = Timebase {
            tsc_base: 8,
            mult: 9,
            mono_base: 10,
            raw_tsc_base: 11,
            raw_mult: 12,
            real_base: 13,
            tai: 14,
        };
        d.update(&old);
        let calls = Cell::new(0u64);
        let read = d.read(|| {
            if calls.get() == 0 {
                d.update(&new);
            }
            calls.set(calls.get() + 1);
            calls.get()
        });
        assert_eq!(read, Some((2, new)));
    }

    #[test]
    fn one_gigahertz_is_one_to_one() {
        let at = |khz: u128| Timebase { mult: ((1_000_000u128 << 32) / khz) as u64, ..Timebase::default() };
        assert_eq!(at(1_000_000).monotonic(123_456_789_012), 123_456_789_012);
        assert!(at(2_500_000).monotonic(2_500_000_000).abs_diff(1_000_000_000) < 10);
        let late = Timebase { tsc_base: u64::MAX - 9, mult: 1 << 32, mono_base: 5, ..Timebase::default() };
        assert_eq!(late.monotonic(90), 105);
        let raw = Timebase { raw_tsc_base: 7, raw_mult: 1 << 33, ..late };
        assert_eq!(raw.monotonic_raw(10), 6);
    }
}
