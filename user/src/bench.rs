// SPDX-License-Identifier: GPL-2.0-only
//! What the measuring programs (`bench_*`) share: the time-stamp counter, samples, and the lines that
//! `cargo xtask bench` reads.
//!
//! Under QEMU's `-icount shift=0` a tick of the counter is one instruction that the guest has executed;
//! otherwise the numbers are of no use, and the programs only show that what is measured works.

use crate::Result;
use crate::memory::{PAGE, PROT_READ, PROT_WRITE, map, map_fixed, poke, protect, unmap};
use crate::prelude::{WaitStatus, child, getpid, wait};
use crate::{check_eq, println, start};
use core::arch::asm;

/// Most samples of a row.
const MAX: usize = 4096;

/// The time-stamp counter, after all instructions before it.
#[inline(always)]
pub fn rdtsc() -> u64 {
    let (low, high): (u64, u64);
    // SAFETY: reads a counter.
    unsafe { asm!("lfence", "rdtsc", out("eax") low, out("edx") high, options(nostack)) };
    high << 32 | low
}

/// Measures `rows`. As `/init` (`rdinit=`) it does so in a child, because Linux treats the first process
/// in ways of its own, and then switches the machine off.
pub fn measure(rows: fn()) {
    if getpid() != 1 {
        return rows();
    }
    let measured = wait(child(|| {
        rows();
        i32::from(crate::check::failures() != 0)
    }));
    check_eq!(measured, Ok(WaitStatus::exited(0)), "measuring");
    crate::runner::machine::power_off();
}

/// Where `cargo xtask bench profile` begins and ends to look.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn trapline_bench_mark() {
    // SAFETY: nothing; but a call to a function that does nothing would be left out.
    unsafe { asm!("", options(nostack, preserves_flags)) };
}

/// What the program was asked for: `--samples N`, `--mark`, and the rows by the beginnings of their
/// names (`+segv`).
#[derive(Debug)]
pub struct Bench {
    marked: bool,
    samples: &'static mut [u64],
    wanted: Option<usize>,
    overhead: u64,
}

impl Bench {
    /// Reads the arguments, and measures what measuring costs.
    pub fn new() -> Self {
        let at = map(MAX * 8, PROT_READ | PROT_WRITE).unwrap_or(0);
        assert!(at != 0, "no memory for samples");
        // SAFETY: a fresh zeroed mapping of that size which nobody else knows.
        let samples = unsafe {
            core::slice::from_raw_parts_mut(core::ptr::with_exposed_provenance_mut::<u64>(at), MAX)
        };
        let number = |i| start::arg_str(i + 1)?.parse().ok();
        let wanted = (1..start::argc()).find(|i| start::arg_str(*i) == Some("--samples")).and_then(number);
        let marked = (1..start::argc()).any(|i| start::arg_str(i) == Some("--mark"));
        let mut bench = Self { marked, samples, wanted, overhead: 0 };
        bench.overhead = (0..64).map(|_| 0u64.wrapping_sub(rdtsc()).wrapping_add(rdtsc())).min().unwrap_or(0);
        bench
    }

    /// How many there are of what there is usually so much of: few unless samples were asked for.
    pub fn count(&self, usual: usize) -> usize {
        self.wanted.map_or(8, |n| usual.min(n))
    }

    /// Whether the row was asked for.
    pub fn wants(&self, name: &str) -> bool {
        let mut any = false;
        for i in 1..start::argc() {
            match start::arg_str(i) {
                Some(w) if w.starts_with('+') => {
                    any = true;
                    if name.starts_with(&w[1..]) {
                        return true;
                    }
                }
                _ => {}
            }
        }
        !any
    }

    /// Measures a row: `op` is done a few times unseen, then `usual` times.
    pub fn row(&mut self, name: &str, usual: usize, mut op: impl FnMut()) {
        self.spans(name, usual, || {
            let before = rdtsc();
            op();
            rdtsc() - before
        });
    }

    /// Measures a row whose spans are told by `span` itself.
    pub fn spans(&mut self, name: &str, usual: usize, mut span: impl FnMut() -> u64) {
        if !self.wants(name) {
            return;
        }
        let n = self.count(usual).min(MAX);
        for _ in 0..8 {
            span();
        }
        if self.marked {
            trapline_bench_mark();
            span();
            trapline_bench_mark();
        }
        for i in 0..n {
            self.samples[i] = span();
        }
        self.report(name, n);
    }

    /// Measures a row of `n` things that can be done once each.
    pub fn each(&mut self, name: &str, n: usize, mut touch: impl FnMut(usize)) {
        for i in 0..n.min(MAX) {
            if self.marked && i == 4 {
                trapline_bench_mark();
                touch(i);
                trapline_bench_mark();
            }
            let before = rdtsc();
            touch(i);
            self.samples[i] = rdtsc() - before;
        }
        self.report(name, n.min(MAX));
    }

    /// One line: smallest, median, largest. Nothing without `--samples`.
    fn report(&mut self, name: &str, n: usize) {
        let samples = &mut self.samples[..n];
        samples.sort_unstable();
        let at = |i: usize| samples[i].saturating_sub(self.overhead);
        if self.wanted.is_some() {
            println!("bench {name} {n} {} {} {}", at(0), at(n / 2), at(n - 1));
        }
    }
}

impl Default for Bench {
    fn default() -> Self {
        Self::new()
    }
}

/// Pages of the program's own, which nothing but their measuring uses.
#[derive(Debug)]
pub struct Room {
    at: usize,
    pages: usize,
}

impl Room {
    /// Maps that many, between two that nobody may touch, so that it never grows together with others.
    pub fn new(pages: usize, prot: u32) -> Result<Self> {
        let at = map((pages + 2) * PAGE, 0)? + PAGE;
        // SAFETY: just mapped.
        unsafe { protect(at, pages * PAGE, prot) }?;
        Ok(Self { at, pages })
    }

    /// Where a page is.
    pub fn page(&self, i: usize) -> usize {
        assert!(i < self.pages, "page {i} of {}", self.pages);
        self.at + i * PAGE
    }

    /// `mprotect(2)` of one page.
    pub fn protect(&self, i: usize, prot: u32) -> Result {
        // SAFETY: a page of the room.
        unsafe { protect(self.page(i), PAGE, prot) }
    }

    /// A fresh page in the place of one.
    pub fn renew(&self, i: usize, prot: u32) -> Result {
        // SAFETY: a page of the room.
        unsafe { map_fixed(self.page(i), PAGE, prot) }
    }

    /// Writes to a page.
    pub fn touch(&self, i: usize, value: u8) {
        // SAFETY: a page of the room.
        unsafe { poke(self.page(i), value) };
    }

    /// Writes to a page that may not be written to; the handler steps over the 3 bytes of the instruction.
    pub fn trespass(&self, i: usize) {
        // SAFETY: a page of the room.
        unsafe { asm!("mov byte ptr [rdi], 1", in("rdi") self.page(i), options(nostack)) };
    }

    /// Gives it back.
    pub fn unmap(self) -> Result {
        // SAFETY: nothing else is in the room.
        unsafe { unmap(self.at - PAGE, (self.pages + 2) * PAGE) }
    }
}

/// `mmap(2)` and `munmap(2)` of a page.
pub fn map_and_unmap() -> Result {
    let at = map(PAGE, PROT_READ | PROT_WRITE)?;
    // SAFETY: just mapped, and empty.
    unsafe { unmap(at, PAGE) }
}

/// `mprotect(2)` of a page to read-only and back.
pub fn protect_pair(room: &Room, i: usize) -> Result<()> {
    room.protect(i, PROT_READ)?;
    room.protect(i, PROT_READ | PROT_WRITE)?;
    Ok(())
}
