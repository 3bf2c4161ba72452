// SPDX-License-Identifier: GPL-2.0-only
//! Demand paging: what a fault on a mapping that allows it does.
//!
//! One walk of the page tables finds the entry; its state and the mapping say
//! what goes there. After Linux 6.1, `mm/memory.c` (`handle_mm_fault` and below).

use crate::arch::x86::mm::pgtable::{PageTableFlags, Pte, PteFlags, copy_pte_page, vm_get_page_prot};
use crate::arch::x86::mm::tlb::{TlbGather, flush_tlb_one, flush_tlb_page};
use crate::errno::{ENOMEM, Errno, Result};
use crate::mm::i_mmap::IMmap;
use crate::mm::mm_struct::{MmState, with_current_mm};
use crate::mm::page_alloc::{PAGE_SIZE, Page};
#[cfg(doc)]
use crate::mm::vma::VmFile;
use crate::mm::vma::{Backing, SpecialMapping, SpecialPage, VmFlags, Vma};
use crate::mm::vma_tree::Pos;
use alloc::vec::Vec;
use core::ops::Range;
use core::sync::atomic::{AtomicU64, Ordering};

/// How a fault ended (`vm_fault_t`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VmFault {
    /// The access can be repeated.
    Done,
    /// No memory.
    Oom,
    /// Beyond the end of the file.
    Sigbus,
}

impl From<Errno> for VmFault {
    fn from(e: Errno) -> Self {
        if e == ENOMEM { Self::Oom } else { Self::Sigbus }
    }
}

/// Pages mapped around a faulting one (`fault_around_bytes`).
const FAULT_AROUND_PAGES: usize = 16;

static ZERO_PAGE: AtomicU64 = AtomicU64::new(0);

/// Physical address of the page that every untouched anonymous page reads from.
#[inline]
fn zero_page() -> Result<u64> {
    match ZERO_PAGE.load(Ordering::Relaxed) {
        0 => {
            let p = Page::alloc_zeroed()?.into_raw();
            ZERO_PAGE.store(p, Ordering::Relaxed);
            Ok(p)
        }
        p => Ok(p),
    }
}

/// Protection of a private page that its owner writes to now.
#[inline]
fn written(prot: PageTableFlags, flags: VmFlags) -> PageTableFlags {
    let w = if flags.contains(VmFlags::WRITE) { PteFlags::RW } else { PageTableFlags::empty() };
    prot | w | PteFlags::DIRTY | PteFlags::ANON
}

impl MmState {
    /// Makes the page at `addr`, which lies in the mapping at `p` and may be
    /// accessed so, present (`handle_mm_fault`).
    #[inline]
    pub fn handle_mm_fault(&mut self, p: Pos, addr: usize, write: bool) -> VmFault {
        let addr = addr & !(PAGE_SIZE - 1);
        let Ok(slot) = self.pt.pte_alloc(addr) else { return VmFault::Oom };
        // SAFETY: an entry of this space's tables, whose lock is held.
        let old = unsafe { *slot };
        let r = if old.is_none() {
            match self.vmas.get(p).backing {
                Backing::Anon => self.do_anonymous_page(p, slot, write),
                Backing::File(_) => self.do_fault(p, slot, addr, write),
                Backing::Special(s) => self.do_special_fault(p, slot, s, (addr, write)),
            }
        } else if write && !old.has(PteFlags::RW) {
            self.do_wp_page(p, slot, addr)
        } else {
            // Somebody was faster, or the TLB remembered less than the tables say.
            flush_tlb_one(addr);
            Ok(())
        };
        match r {
            Ok(()) => VmFault::Done,
            Err(e) => e.into(),
        }
    }

    /// First touch of private memory: the zero page for a read, a page of its own
    /// for a write.
    #[inline]
    fn do_anonymous_page(&mut self, p: Pos, slot: *mut Pte, write: bool) -> Result {
        let v = self.vmas.get_mut(p);
        let prot = vm_get_page_prot(v.flags);
        let new = if write {
            v.anon_vma = true;
            let page = Page::alloc_user_zeroed()?;
            self.rss.anon += 1;
            Pte::new(page.into_raw(), written(prot, v.flags))
        } else {
            Pte::new(zero_page()?, prot | PteFlags::SPECIAL)
        };
        // SAFETY: the empty entry of this space's tables that the fault is about.
        unsafe { *slot = new };
        self.note_rss();
        Ok(())
    }

    /// A page of the kernel's, such as the vDSO's.
    fn do_special_fault(
        &mut self,
        p: Pos,
        slot: *mut Pte,
        s: &SpecialMapping,
        (addr, write): (usize, bool),
    ) -> Result {
        let v = self.vmas.get_mut(p);
        let prot = vm_get_page_prot(v.flags);
        let new = match (s.fault)(v.pgoff_of(addr))? {
            SpecialPage::Pfn(phys) => Pte::new(phys, prot | PteFlags::SPECIAL),
            SpecialPage::Page(page) if write => {
                let copy = Page::alloc_user()?;
                copy.copy_from(&page);
                self.rss.anon += 1;
                v.anon_vma = true;
                Pte::new(copy.into_raw(), written(prot, v.flags))
            }
            SpecialPage::Page(page) => {
                self.rss.file += 1;
                Pte::new(page.into_raw(), prot)
            }
        };
        // SAFETY: as in `do_anonymous_page`.
        unsafe { *slot = new };
        self.note_rss();
        Ok(())
    }

    /// First touch of a page of a file.
    fn do_fault(&mut self, p: Pos, slot: *mut Pte, addr: usize, write: bool) -> Result {
        let v = self.vmas.get(p);
        let Backing::File(file) = &v.backing else { unreachable!("do_fault is for files") };
        let (pgoff, flags) = (v.pgoff_of(addr), v.flags);
        let page = file.fault_page(pgoff)?;
        let prot = vm_get_page_prot(flags);
        let notify = file.wants_writenotify();
        let new = if !write {
            let prot = if notify { prot - PteFlags::RW } else { prot };
            self.rss.file += 1;
            Pte::new(page.into_raw(), prot)
        } else if flags.contains(VmFlags::SHARED) {
            if notify {
                file.page_mkwrite(pgoff)?;
            }
            self.rss.file += 1;
            Pte::new(page.into_raw(), prot | PteFlags::RW | PteFlags::DIRTY)
        } else {
            let copy = Page::alloc_user()?;
            copy.copy_from(&page);
            self.rss.anon += 1;
            self.vmas.get_mut(p).anon_vma = true;
            Pte::new(copy.into_raw(), written(prot, flags))
        };
        // SAFETY: as in `do_anonymous_page`.
        unsafe { *slot = new };
        if !write {
            self.do_fault_around(p, slot, addr);
        }
        self.note_rss();
        Ok(())
    }

    /// Maps the neighbours that the file has in memory, within the mapping, the
    /// table and an aligned window (`do_fault_around`). This decides whether a
    /// wrong access to them is seen as to a present page.
    fn do_fault_around(&mut self, p: Pos, slot: *mut Pte, addr: usize) {
        let v = self.vmas.get(p);
        let Backing::File(file) = &v.backing else { return };
        let window = addr & !(FAULT_AROUND_PAGES * PAGE_SIZE - 1);
        let start = window.max(v.start);
        let end = (window + FAULT_AROUND_PAGES * PAGE_SIZE).min(v.end);
        let mut prot = vm_get_page_prot(v.flags);
        if file.wants_writenotify() {
            prot -= PteFlags::RW;
        }
        for at in (start..end).step_by(PAGE_SIZE) {
            // SAFETY: the window is aligned, so all its entries are in one table.
            let e = unsafe { slot.offset((at as isize - addr as isize) / PAGE_SIZE as isize) };
            // SAFETY: as above; the space's lock is held.
            if unsafe { (*e).is_none() }
                && let Some(page) = file.cached_page(v.pgoff_of(at))
            {
                // SAFETY: as above.
                unsafe { *e = Pte::new(page.into_raw(), prot) };
                self.rss.file += 1;
            }
        }
    }

    /// A write to a page that is mapped read-only, in a mapping that allows it
    /// (`do_wp_page`).
    fn do_wp_page(&mut self, p: Pos, slot: *mut Pte, addr: usize) -> Result {
        let v = self.vmas.get(p);
        let flags = v.flags;
        // SAFETY: the entry that the fault is about; the lock is held.
        let old = unsafe { *slot };
        if flags.contains(VmFlags::SHARED) {
            if let Backing::File(file) = &v.backing {
                file.page_mkwrite(v.pgoff_of(addr))?;
            }
            // SAFETY: as above.
            unsafe { *slot = old.with(PteFlags::RW | PteFlags::DIRTY) };
        } else if old.exclusive() {
            let w = written(PageTableFlags::empty(), flags);
            // SAFETY: as above.
            unsafe { *slot = old.with(w) };
        } else {
            return self.wp_page_copy(p, slot, addr, old);
        }
        flush_tlb_page(self.pt.pgd(), addr);
        Ok(())
    }

    /// Gives this space a copy of the page of its own.
    fn wp_page_copy(&mut self, p: Pos, slot: *mut Pte, addr: usize, old: Pte) -> Result {
        let v = self.vmas.get_mut(p);
        v.anon_vma = true;
        let page = if old.has(PteFlags::SPECIAL) {
            Page::alloc_user_zeroed()?
        } else {
            let page = Page::alloc_user()?;
            copy_pte_page(&page, old);
            page
        };
        let new = Pte::new(page.into_raw(), written(vm_get_page_prot(v.flags), v.flags));
        // SAFETY: the entry that the fault is about; the lock is held.
        unsafe { *slot = new };
        flush_tlb_page(self.pt.pgd(), addr);
        if !old.has(PteFlags::ANON) {
            self.rss.anon += 1;
            self.rss.file -= usize::from(old.owns_page());
        }
        if old.owns_page() {
            // SAFETY: the entry owned it, and is gone from the tables and the TLB.
            drop(unsafe { Page::from_raw(old.phys()) });
        }
        self.note_rss();
        Ok(())
    }

    /// Unmaps the pages of `[start, end)` but leaves the mappings (`zap_page_range`).
    pub fn zap_page_range(&mut self, start: usize, end: usize) {
        let mut tlb = TlbGather::new(self.pt.pgd());
        self.pt.zap_range(start, end, &mut tlb);
        self.uncount(&tlb);
    }

    /// Takes what `tlb` removed off the resident pages.
    pub fn uncount(&mut self, tlb: &TlbGather) {
        self.rss.anon -= tlb.anon;
        self.rss.file -= tlb.file;
    }

    /// Unmaps pages of a file in its mapping at `start`; private copies only if `even_cows`
    /// (`unmap_mapping_range_vma`).
    fn unmap_mapping_range_vma(&mut self, start: usize, file: &IMmap, pages: &Range<u64>, even_cows: bool) {
        let is_it = |v: &Vma| v.start == start && v.maps(file);
        let Some(v) = self.vmas.lower_bound(start).map(|p| self.vmas.get(p)).filter(|v| is_it(v)) else {
            return;
        };
        let within = |page: u64| page.saturating_sub(v.pgoff).min(v.pages() as u64) as usize;
        let (first, last) = (within(pages.start), within(pages.end));
        if first < last {
            let (start, end) = (v.start + first * PAGE_SIZE, v.start + last * PAGE_SIZE);
            let mut tlb = TlbGather::new(self.pt.pgd());
            self.pt.zap_range_if(start, end, &mut tlb, |e| even_cows || !e.has(PteFlags::ANON));
            self.uncount(&tlb);
        }
    }
}

/// A file has become shorter, or got a hole: unmaps its pages wherever they are mapped, so that the
/// next access asks the file again; private copies included if `even_cows` (`unmap_mapping_range`).
pub fn unmap_mapping_range(file: &IMmap, pages: Range<u64>, even_cows: bool) {
    file.for_each(|mm, start| mm.lock().unmap_mapping_range_vma(start, file, &pages, even_cows));
}

/// Prints `prefix` and the file mapped at `ip`, as `FILE[START+LEN]`, to the
/// current log line (`print_vma_addr`). Prints nothing if there is no file, or
/// if the address space is busy. As on Linux, an `ip` below every mapping names
/// the first one above it.
pub fn print_vma_addr(prefix: &str, ip: usize) {
    let found = with_current_mm(|mm| {
        let st = mm.try_lock()?;
        let v = st.vmas.get(st.vmas.lower_bound(ip)?);
        let mut name = Vec::new();
        v.backing.file()?.name(&mut name);
        Some((name, v.start, v.len()))
    });
    if let Some(Some((name, start, len))) = found {
        let base = name.rsplit(|&b| b == b'/').next().unwrap_or(&name);
        crate::pr_cont!("{prefix}{}[{start:x}+{len:x}]", base.escape_ascii());
    }
}
