// SPDX-License-Identifier: GPL-2.0-only
//! Keeping the TLB in step with the page tables.
//!
//! A page that leaves an address space is freed only after the TLB has forgotten
//! it ([`TlbGather`], Linux's `mmu_gather`). Only a space that is loaded has
//! anything in the TLB: there are no address-space identifiers (PCID).
//! After Linux 6.1, `arch/x86/mm/tlb.c`, `mm/mmu_gather.c`. With more than one
//! CPU, the two functions that flush are where the others get told.

use crate::arch::x86::mm::pgtable::{Pte, PteFlags, TABLES};
use crate::mm::page_alloc::{PAGE_SIZE, Page};
use arrayvec::ArrayVec;

/// Beyond this many pages, flushing everything is cheaper than one by one
/// (`tlb_single_page_flush_ceiling`).
const SINGLE_PAGE_FLUSH_CEILING: usize = 33;

/// Physical address of the page tables that are loaded.
#[inline]
pub fn read_cr3_pa() -> u64 {
    #[cfg(target_os = "none")]
    {
        x86_64::registers::control::Cr3::read().0.start_address().as_u64()
    }
    #[cfg(not(target_os = "none"))]
    {
        0
    }
}

/// Whether user memory is the running task's at this moment. An NMI may strike between the choice of a task
/// or an address space and the load of CR3 (`nmi_uaccess_okay`).
pub fn nmi_uaccess_okay() -> bool {
    let pgd = crate::kernel::task::current().mm_pgd();
    pgd != 0 && pgd == read_cr3_pa()
}

/// Loads the page tables at `pgd`.
///
/// # Safety
/// They must map the kernel as every address space does.
#[inline]
pub unsafe fn load_cr3(pgd: u64) {
    #[cfg(target_os = "none")]
    {
        use x86_64::PhysAddr;
        use x86_64::registers::control::{Cr3, Cr3Flags};
        use x86_64::structures::paging::PhysFrame;
        let frame = PhysFrame::containing_address(PhysAddr::new_truncate(pgd));
        // SAFETY: the caller vouches for the tables.
        unsafe { Cr3::write(frame, Cr3Flags::empty()) };
    }
    #[cfg(not(target_os = "none"))]
    let _ = pgd;
}

/// Forgets one page of the loaded address space.
#[inline]
pub fn flush_tlb_one(addr: usize) {
    #[cfg(target_os = "none")]
    x86_64::instructions::tlb::flush(x86_64::VirtAddr::new_truncate(addr as u64));
    #[cfg(not(target_os = "none"))]
    let _ = addr;
}

/// Forgets one page of the address space with tables at `pgd` (`flush_tlb_page`).
#[inline]
pub fn flush_tlb_page(pgd: u64, addr: usize) {
    if read_cr3_pa() == pgd {
        flush_tlb_one(addr);
    }
}

/// Forgets a range of the address space with tables at `pgd` (`flush_tlb_mm_range`).
pub fn flush_tlb_range(pgd: u64, start: usize, end: usize) {
    if read_cr3_pa() != pgd {
        return;
    }
    if (end - start) / PAGE_SIZE > SINGLE_PAGE_FLUSH_CEILING {
        // SAFETY: these tables are loaded already.
        unsafe { load_cr3(pgd) };
    } else {
        (start..end).step_by(PAGE_SIZE).for_each(flush_tlb_one);
    }
}

/// Collects what an unmapping removes; flushes, then frees.
pub struct TlbGather {
    pgd: u64,
    /// What the TLB may still hold.
    start: usize,
    end: usize,
    pages: ArrayVec<Page, 32>,
    tables: ArrayVec<Page, 8>,
    /// Private pages removed.
    pub anon: usize,
    /// Other pages removed.
    pub file: usize,
}

impl TlbGather {
    /// For the address space with tables at `pgd`.
    #[inline]
    pub fn new(pgd: u64) -> Self {
        let (pages, tables) = (ArrayVec::new(), ArrayVec::new());
        Self { pgd, start: usize::MAX, end: 0, pages, tables, anon: 0, file: 0 }
    }

    /// `old` was the entry for `addr`, and is in the tables no more.
    #[inline]
    pub fn remove_pte(&mut self, addr: usize, old: Pte) {
        if old.present() {
            self.start = self.start.min(addr);
            self.end = self.end.max(addr + PAGE_SIZE);
        }
        if old.owns_page() {
            *(if old.has(PteFlags::ANON) { &mut self.anon } else { &mut self.file }) += 1;
            // SAFETY: the entry owned the page, and gave it up.
            self.push(unsafe { Page::from_raw(old.phys()) });
        }
    }

    /// A table is in use no more. (The CPU may cache upper-level entries: any
    /// flush below drops those too, and a table had pages that were flushed.)
    pub fn remove_table(&mut self, table: Page) {
        if self.end == 0 && read_cr3_pa() == self.pgd {
            // SAFETY: these tables are loaded already.
            unsafe { load_cr3(self.pgd) };
        }
        if self.tables.is_full() {
            self.flush();
        }
        self.tables.push(table);
    }

    fn push(&mut self, p: Page) {
        if self.pages.is_full() {
            self.flush();
        }
        self.pages.push(p);
    }

    /// Flushes, then frees (`tlb_flush_mmu`).
    pub fn flush(&mut self) {
        if self.start < self.end {
            flush_tlb_range(self.pgd, self.start, self.end);
            self.start = usize::MAX;
            self.end = 0;
        }
        self.pages.clear();
        self.tables.drain(..).for_each(|t| TABLES.give(t));
    }
}

impl Drop for TlbGather {
    fn drop(&mut self) {
        self.flush();
    }
}
