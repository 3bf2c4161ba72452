// SPDX-License-Identifier: GPL-2.0-only
//! `/proc/PID/pagemap`: a word for each page of a process's memory (Linux 6.1,
//! `fs/proc/task_mmu.c`, `pagemap_read`).

use super::base::proc_mem_open;
use super::mem::mem_seek;
use crate::arch::x86::mm::pgtable::{Pte, PteFlags};
use crate::errno::{EINVAL, Result};
use crate::fs::file_table::{Abilities, File, FileOps};
use crate::fs::inode::{Inode, InodeOps};
use crate::kernel::capability::capable;
use crate::lib::iov_iter::IovIter;
use crate::mm::Mm;
use crate::mm::page_alloc::PAGE_SIZE;
use crate::mm::vma::Vma;
use alloc::sync::{Arc, Weak};
use linux_raw_sys::general::CAP_SYS_ADMIN;

/// The file's inode.
pub struct Pagemap(pub i32);

/// The page was written to since somebody cleared the bit, which nobody can.
const PM_SOFT_DIRTY: u64 = 1 << 55;
/// Nobody else maps the page.
const PM_MMAP_EXCLUSIVE: u64 = 1 << 56;
/// It is a file's.
const PM_FILE: u64 = 1 << 61;
/// It is in memory.
const PM_PRESENT: u64 = 1 << 63;

/// Words that are made at once.
const BATCH: usize = 64;
/// One past the last page that a process can have.
const PAGES: u64 = (crate::arch::x86::lib::usercopy::TASK_SIZE_MAX / PAGE_SIZE) as u64;

impl InodeOps for Pagemap {
    fn open(&self, _: &Arc<Inode>, _: u32) -> Result<Arc<dyn FileOps>> {
        let mm = proc_mem_open(self.0)?;
        // Which frames they are is told those who may know, by who opened it.
        Ok(Arc::new(OpenPagemap { mm, show_pfn: capable(CAP_SYS_ADMIN) }))
    }
}

struct OpenPagemap {
    mm: Weak<Mm>,
    show_pfn: bool,
}

/// The word of a page that is mapped (`pte_to_pagemap_entry`).
fn entry(pte: Pte, show_pfn: bool) -> u64 {
    let mut word = PM_PRESENT;
    if show_pfn {
        word |= pte.phys() / PAGE_SIZE as u64;
    }
    if pte.owns_page() {
        // SAFETY: the entry owns its page, and the address space is locked.
        let refs = unsafe { pte.borrow_page() }.ref_count();
        let anon = pte.has(PteFlags::ANON);
        // A file has a reference of its own.
        word |= if refs == if anon { 1 } else { 2 } { PM_MMAP_EXCLUSIVE } else { 0 };
        word |= if anon { 0 } else { PM_FILE };
    }
    word
}

impl OpenPagemap {
    /// The words of the pages from `first` on.
    fn fill(&self, mm: &Mm, first: u64, words: &mut [u64]) {
        let st = mm.lock();
        let mut vma: Option<&Vma> = None;
        for (i, word) in words.iter_mut().enumerate() {
            let addr = (first as usize + i) * PAGE_SIZE;
            if vma.is_none_or(|v| addr >= v.end) {
                vma = st.vmas.find_intersection(addr, addr + PAGE_SIZE).map(|p| st.vmas.get(p));
            }
            *word = match vma {
                Some(v) if v.start <= addr && addr < v.end => {
                    let pte = st.pt.get(addr);
                    let dirty = if st.is_stack(v) { 0 } else { PM_SOFT_DIRTY };
                    dirty | if pte.is_none() { 0 } else { entry(pte, self.show_pfn) }
                }
                _ => 0,
            };
        }
    }
}

impl FileOps for OpenPagemap {
    fn abilities(&self) -> Abilities {
        Abilities { writes: false, ..Abilities::NO_ITER }
    }
    fn seek(&self, file: &File, offset: i64, whence: u32) -> Result<u64> {
        mem_seek(file, offset, whence)
    }
    fn read(&self, _: &File, to: &mut IovIter<'_>, pos: &mut u64) -> Result<usize> {
        if !pos.is_multiple_of(8) || !to.count().is_multiple_of(8) {
            return Err(EINVAL);
        }
        let Some(mm) = self.mm.upgrade() else { return Ok(0) };
        let mut done = 0;
        while to.count() != 0 && *pos / 8 < PAGES {
            let mut words = [0; BATCH];
            let n = (to.count() / 8).min(BATCH).min((PAGES - *pos / 8) as usize);
            self.fill(&mm, *pos / 8, &mut words[..n]);
            let mut bytes = [0; BATCH * 8];
            for (to, word) in bytes.chunks_exact_mut(8).zip(words) {
                to.copy_from_slice(&word.to_le_bytes());
            }
            let copied = to.copy_to(&bytes[..n * 8]);
            if copied < n * 8 {
                return Err(crate::errno::EFAULT);
            }
            *pos += copied as u64;
            done += copied;
            crate::kernel::sched::cond_resched();
        }
        Ok(done)
    }
}
