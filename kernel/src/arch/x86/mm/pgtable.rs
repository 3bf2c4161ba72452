// SPDX-License-Identifier: GPL-2.0-only
//! Page tables of user address spaces: four levels, made on demand.
//!
//! An entry that maps a page owns a reference to it (unless it is
//! [`PteFlags::SPECIAL`]), and an entry of an upper level owns its table.
//! Bits that the hardware ignores carry Linux's meanings where Linux has them
//! (Linux 6.1, `arch/x86/include/asm/pgtable_types.h`).

use crate::arch::x86::mm::init::{kernel_pgd, phys_to_virt};
use crate::arch::x86::mm::tlb::TlbGather;
use crate::errno::Result;
use crate::locking::IrqLock;
use crate::mm::page_alloc::{PAGE_SIZE, Page, copy_page};
use crate::mm::vma::VmFlags;
use arrayvec::ArrayVec;
use core::cell::Cell;
use core::mem::ManuallyDrop;
use core::sync::atomic::{AtomicU64, Ordering};
pub use x86_64::structures::paging::PageTableFlags;

/// Names for page-table bits as this kernel uses them.
pub struct PteFlags;

impl PteFlags {
    /// `_PAGE_PRESENT`.
    pub const PRESENT: PageTableFlags = PageTableFlags::PRESENT;
    /// `_PAGE_RW`.
    pub const RW: PageTableFlags = PageTableFlags::WRITABLE;
    /// `_PAGE_USER`.
    pub const USER: PageTableFlags = PageTableFlags::USER_ACCESSIBLE;
    /// `_PAGE_ACCESSED`.
    pub const ACCESSED: PageTableFlags = PageTableFlags::ACCESSED;
    /// `_PAGE_DIRTY`.
    pub const DIRTY: PageTableFlags = PageTableFlags::DIRTY;
    /// `_PAGE_NX`.
    pub const NX: PageTableFlags = PageTableFlags::NO_EXECUTE;
    /// Maps a page but allows nothing: the present bit is clear (`_PAGE_PROTNONE`).
    pub const PROTNONE: PageTableFlags = PageTableFlags::GLOBAL;
    /// Maps a page without owning a reference to it: the zero page (`_PAGE_SPECIAL`).
    pub const SPECIAL: PageTableFlags = PageTableFlags::BIT_9;
    /// The page is private memory, not a file's (Linux's `PageAnon`).
    pub const ANON: PageTableFlags = PageTableFlags::BIT_10;
    /// An upper-level entry (`_PAGE_TABLE`): the last level decides.
    const TABLE: PageTableFlags =
        Self::PRESENT.union(Self::RW).union(Self::USER).union(Self::ACCESSED).union(Self::DIRTY);
    /// What a change of protection leaves alone (`_PAGE_CHG_MASK`).
    const CHG_MASK: PageTableFlags = Self::ACCESSED.union(Self::DIRTY).union(Self::SPECIAL).union(Self::ANON);
}

/// Bits that entries may have on this CPU (`__supported_pte_mask`).
static SUPPORTED_PTE_MASK: AtomicU64 = AtomicU64::new(u64::MAX);

/// The CPU has no NX bit: page-table entries must not set it.
pub fn disable_nx() {
    SUPPORTED_PTE_MASK.fetch_and(!PteFlags::NX.bits(), Ordering::Relaxed);
}

/// The protection bits of a fresh page in a mapping with these flags
/// (`vm_get_page_prot`). Private pages start read-only: the first write decides
/// whose they are.
#[inline]
pub fn vm_get_page_prot(flags: VmFlags) -> PageTableFlags {
    if !flags.accessible() {
        return PteFlags::PROTNONE | PteFlags::ACCESSED;
    }
    let mut p = PteFlags::PRESENT | PteFlags::USER | PteFlags::ACCESSED;
    if flags.contains(VmFlags::WRITE | VmFlags::SHARED) {
        p |= PteFlags::RW;
    }
    if !flags.contains(VmFlags::EXEC) {
        p |= PteFlags::NX;
    }
    let bits = p.bits() | u64::from(flags.pkey()) << PKEY_SHIFT;
    PageTableFlags::from_bits_retain(bits & SUPPORTED_PTE_MASK.load(Ordering::Relaxed))
}

/// Where an entry has its protection key (`_PAGE_BIT_PKEY_BIT0`).
const PKEY_SHIFT: u32 = 59;
const PHYS_MASK: u64 = 0x000f_ffff_ffff_f000;

/// One page-table entry.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pte(u64);

impl Pte {
    /// An entry for the page at `phys`.
    #[inline]
    pub const fn new(phys: u64, flags: PageTableFlags) -> Self {
        Self(phys | flags.bits())
    }
    /// The word, as the hardware sees it.
    pub const fn raw(self) -> u64 {
        self.0
    }
    /// Nothing is mapped (`pte_none`).
    #[inline]
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }
    /// Whether all of `f` are set.
    #[inline]
    pub const fn has(self, f: PageTableFlags) -> bool {
        self.0 & f.bits() == f.bits()
    }
    /// The hardware will use it.
    #[inline]
    pub const fn present(self) -> bool {
        self.has(PteFlags::PRESENT)
    }
    /// All its flags.
    #[inline]
    pub const fn flags(self) -> PageTableFlags {
        PageTableFlags::from_bits_retain(self.0 & !PHYS_MASK)
    }
    /// Physical address of the page or table.
    #[inline]
    pub const fn phys(self) -> u64 {
        self.0 & PHYS_MASK
    }
    /// With `f` set.
    #[must_use]
    #[inline]
    pub const fn with(self, f: PageTableFlags) -> Self {
        Self(self.0 | f.bits())
    }
    /// With `f` clear.
    #[must_use]
    #[inline]
    pub const fn without(self, f: PageTableFlags) -> Self {
        Self(self.0 & !f.bits())
    }
    /// Whether the entry owns a reference to its page.
    #[inline]
    pub const fn owns_page(self) -> bool {
        !self.is_none() && !self.has(PteFlags::SPECIAL)
    }
    /// With another protection (`pte_modify`).
    #[must_use]
    #[inline]
    pub const fn modify(self, prot: PageTableFlags) -> Self {
        Self(self.0 & (PHYS_MASK | PteFlags::CHG_MASK.bits()) | prot.bits())
    }
    /// Looks at the page that the entry owns, without taking the reference.
    ///
    /// # Safety
    /// [`Pte::owns_page`], and the entry stays in place while the result is used.
    #[inline]
    pub unsafe fn borrow_page(self) -> ManuallyDrop<Page> {
        // SAFETY: the entry's reference keeps the page; `ManuallyDrop` leaves it there.
        ManuallyDrop::new(unsafe { Page::from_raw(self.phys()) })
    }
    /// Another reference to the page that the entry owns.
    ///
    /// # Safety
    /// [`Pte::owns_page`].
    #[inline]
    pub unsafe fn get_page(self) -> Page {
        // SAFETY: the entry owns a reference now.
        unsafe { Page::get_raw(self.phys()) }
    }
    /// Whether the entry's page is private memory that nobody else refers to, so
    /// that a write may go straight to it.
    #[inline]
    pub fn exclusive(self) -> bool {
        // SAFETY: ANON entries own their page, and the lock of the address space is held.
        self.has(PteFlags::ANON) && unsafe { self.borrow_page() }.ref_count() == 1
    }
}

/// Pages of a known content, kept for reuse: making and ending processes is then
/// spared the clearing of tables that are empty anyway (the "quicklists" that Linux
/// had until 5.4).
pub struct Quicklist(IrqLock<ArrayVec<Page, 16>>);

/// Empty tables of the lower levels.
pub static TABLES: Quicklist = Quicklist::new();
/// Top-level tables that map the kernel and nothing else.
static PGDS: Quicklist = Quicklist::new();

impl Quicklist {
    const fn new() -> Self {
        Self(IrqLock::new(ArrayVec::new_const()))
    }
    fn take(&self) -> Option<Page> {
        self.0.lock().pop()
    }
    /// Keeps a page, or frees it if there are enough.
    pub fn give(&self, p: Page) {
        let refused = self.0.lock().try_push(p);
        drop(refused);
    }
}

/// Bytes covered by one entry at a level (0 is the last one).
const fn level_size(level: u32) -> usize {
    1 << (12 + 9 * level)
}

/// First address behind the user half, as page tables see it.
pub const USER_PGTABLES_CEILING: usize = 1 << 47;

#[inline]
fn entry(table: u64, addr: usize, level: u32) -> *mut Pte {
    let index = (addr >> (12 + 9 * level)) & 511;
    (phys_to_virt(table) as usize + index * size_of::<Pte>()) as *mut Pte
}

/// The page tables of one address space. Callers hold the space's lock.
pub struct PageTables {
    pgd: u64,
    /// How many tables there are below the top-level one (`pgtables_bytes`).
    tables: Cell<usize>,
}

impl PageTables {
    /// Tables that map nothing but the kernel.
    pub fn new() -> Result<Self> {
        if let Some(pgd) = PGDS.take() {
            return Ok(Self { pgd: pgd.into_raw(), tables: Cell::new(0) });
        }
        let pgd = Page::alloc_user()?;
        let p = pgd.as_ptr();
        // SAFETY: the new page is ours; the lower half is emptied, the upper half is
        // the kernel's, whose entries never change once user processes exist.
        unsafe {
            core::ptr::write_bytes(p, 0, PAGE_SIZE / 2);
            let kernel = phys_to_virt(kernel_pgd());
            core::ptr::copy_nonoverlapping(kernel.add(PAGE_SIZE / 2), p.add(PAGE_SIZE / 2), PAGE_SIZE / 2);
        }
        Ok(Self { pgd: pgd.into_raw(), tables: Cell::new(0) })
    }

    /// Physical address of the top-level table: what CR3 holds.
    #[inline]
    pub fn pgd(&self) -> u64 {
        self.pgd
    }

    /// How many tables there are below the top-level one (`mm_pgtables_bytes`).
    pub fn tables(&self) -> usize {
        self.tables.get()
    }

    /// The last-level entry for `addr`, if its table exists.
    #[inline]
    pub fn pte(&self, addr: usize) -> Option<*mut Pte> {
        let mut table = self.pgd;
        for level in [3, 2, 1] {
            // SAFETY: an entry of a table of ours.
            let e = unsafe { *entry(table, addr, level) };
            if e.is_none() {
                return None;
            }
            table = e.phys();
        }
        Some(entry(table, addr, 0))
    }

    /// The last-level entry for `addr`, making tables as needed (`pte_alloc`).
    #[inline]
    pub fn pte_alloc(&self, addr: usize) -> Result<*mut Pte> {
        let mut table = self.pgd;
        for level in [3, 2, 1] {
            let e = entry(table, addr, level);
            // SAFETY: an entry of a table of ours.
            table = match unsafe { *e } {
                t if t.is_none() => self.add_table(e)?,
                t => t.phys(),
            };
        }
        Ok(entry(table, addr, 0))
    }

    #[cold]
    #[inline(never)]
    fn add_table(&self, e: *mut Pte) -> Result<u64> {
        let page = match TABLES.take() {
            Some(p) => p,
            None => Page::alloc_user_zeroed()?,
        };
        let phys = page.into_raw();
        // SAFETY: `e` is an empty entry of a table of ours; it now owns the new one.
        unsafe { *e = Pte::new(phys, PteFlags::TABLE) };
        self.tables.set(self.tables.get() + 1);
        Ok(phys)
    }

    /// The entry for `addr` as it is now.
    pub fn get(&self, addr: usize) -> Pte {
        // SAFETY: an entry of a table of ours.
        self.pte(addr).map_or(Pte(0), |e| unsafe { *e })
    }

    /// The first last-level table that covers anything of `[addr, end)`: the
    /// lowest address it covers there, and its entry for that address.
    fn next_table(&self, mut addr: usize, end: usize) -> Option<(usize, *mut Pte)> {
        'again: while addr < end {
            let mut table = self.pgd;
            for level in [3, 2, 1] {
                // SAFETY: an entry of a table of ours.
                let e = unsafe { *entry(table, addr, level) };
                if e.is_none() {
                    addr = (addr | (level_size(level) - 1)) + 1;
                    continue 'again;
                }
                table = e.phys();
            }
            return Some((addr, entry(table, addr, 0)));
        }
        None
    }

    /// Calls `f` with each existing entry of `[start, end)` that maps a page.
    fn for_each(&self, start: usize, end: usize, mut f: impl FnMut(usize, &mut Pte)) {
        let mut at = start;
        while let Some((addr, first)) = self.next_table(at, end) {
            let stop = ((addr | (level_size(1) - 1)) + 1).min(end);
            let n = (stop - addr) / PAGE_SIZE;
            // SAFETY: `n` entries from `first` lie in one table, which we alone use.
            let entries = unsafe { core::slice::from_raw_parts_mut(first, n) };
            for (i, e) in entries.iter_mut().enumerate() {
                if !e.is_none() {
                    f(addr + i * PAGE_SIZE, e);
                }
            }
            at = stop;
        }
    }

    /// Unmaps `[start, end)`; the pages go to `tlb` (`unmap_page_range`).
    pub fn zap_range(&self, start: usize, end: usize, tlb: &mut TlbGather) {
        self.zap_range_if(start, end, tlb, |_| true);
    }

    /// The same for those that `wanted` is true of.
    #[inline]
    pub fn zap_range_if(&self, start: usize, end: usize, tlb: &mut TlbGather, wanted: impl Fn(Pte) -> bool) {
        self.for_each(start, end, |addr, e| {
            if wanted(*e) {
                let old = core::mem::replace(e, Pte(0));
                tlb.remove_pte(addr, old);
            }
        });
    }

    /// Frees the tables that only covered `[start, end)`, given that nothing is
    /// mapped between `floor` and `ceiling` (`free_pgtables`).
    pub fn free_range(&self, start: usize, end: usize, floor: usize, ceiling: usize, tlb: &mut TlbGather) {
        // Only tables that lie between the neighbours can be empty now.
        let size = level_size(1);
        let lo = start & !(size - 1);
        let lo = if lo < floor { lo + size } else { lo };
        let hi = (end + size - 1) & !(size - 1);
        let hi = if hi > ceiling { hi - size } else { hi };
        if lo < hi {
            self.free_level(self.pgd, 3, (lo, hi), (floor, ceiling), tlb);
        }
    }

    fn free_level(
        &self,
        table: u64,
        level: u32,
        range: (usize, usize),
        empty: (usize, usize),
        tlb: &mut TlbGather,
    ) {
        let mut at = range.0;
        while at < range.1 {
            let base = at & !(level_size(level) - 1);
            let next = base + level_size(level);
            let e = entry(table, at, level);
            // SAFETY: an entry of a table of ours.
            let old = unsafe { *e };
            if !old.is_none() {
                if level > 1 {
                    self.free_level(old.phys(), level - 1, (at, range.1.min(next)), empty, tlb);
                }
                if base >= empty.0 && next <= empty.1 {
                    // SAFETY: as above; the table is empty, since nothing is mapped there.
                    unsafe { *e = Pte(0) };
                    // SAFETY: the entry owned the table.
                    tlb.remove_table(unsafe { Page::from_raw(old.phys()) });
                    self.tables.set(self.tables.get() - 1);
                }
            }
            at = next;
        }
    }

    /// Gives `[start, end)` another protection; returns whether the TLB may hold
    /// an entry that is now too generous. Private pages that nobody shares become
    /// writable at once if `writable` (`change_protection`).
    pub fn protect_range(&self, start: usize, end: usize, prot: PageTableFlags, writable: bool) -> bool {
        let mut stale = false;
        self.for_each(start, end, |_, e| {
            let old = *e;
            let mut new = old.modify(prot);
            if writable && old.exclusive() {
                new = new.with(PteFlags::RW);
            }
            *e = new;
            stale |= old.present() && old != new;
        });
        stale
    }

    /// Copies the entries of `[start, end)` to `to` for `fork` (`copy_page_range`):
    /// both share the pages; if `cow`, neither may write to them any more.
    /// Counts copied pages as (private, others).
    pub fn copy_range(&self, to: &Self, start: usize, end: usize, cow: bool) -> Result<(usize, usize)> {
        let mut copied = (0, 0);
        let mut at = start;
        while let Some((addr, first)) = self.next_table(at, end) {
            let stop = ((addr | (level_size(1) - 1)) + 1).min(end);
            let n = (stop - addr) / PAGE_SIZE;
            // SAFETY: `n` entries from `first` lie in one table, which we alone use.
            let entries = unsafe { core::slice::from_raw_parts_mut(first, n) };
            let mut dest: Option<*mut Pte> = None;
            for (i, e) in entries.iter_mut().enumerate().filter(|(_, e)| !e.is_none()) {
                let d = match dest {
                    Some(d) => d,
                    None => *dest.insert(to.pte_alloc(addr)?),
                };
                if cow {
                    *e = e.without(PteFlags::RW);
                }
                if e.owns_page() {
                    // SAFETY: the entry owns its page; the copy owns the new reference.
                    core::mem::forget(unsafe { e.get_page() });
                    *(if e.has(PteFlags::ANON) { &mut copied.0 } else { &mut copied.1 }) += 1;
                }
                // SAFETY: entry `i` of the same range of the other space's table.
                unsafe { *d.add(i) = *e };
            }
            at = stop;
        }
        Ok(copied)
    }

    /// Moves the entry at `from` to `to`, which must be empty (`move_ptes`).
    pub fn move_pte(&self, from: usize, to: usize) -> Result {
        let Some(src) = self.pte(from) else { return Ok(()) };
        // SAFETY: entries of tables of ours, which differ.
        unsafe {
            if !(*src).is_none() {
                let dst = self.pte_alloc(to)?;
                debug_assert!((*dst).is_none());
                *dst = core::mem::replace(&mut *src, Pte(0));
            }
        }
        Ok(())
    }

    /// The first address of `[addr, end)` whose last-level table exists.
    pub fn next_mapped(&self, addr: usize, end: usize) -> Option<usize> {
        self.next_table(addr, end).map(|(a, _)| a)
    }
}

impl Drop for PageTables {
    fn drop(&mut self) {
        // SAFETY: `new` made it from a page of ours; the lower tables are gone by now
        // (`exit_mmap`), the upper ones are the kernel's.
        PGDS.give(unsafe { Page::from_raw(self.pgd) });
    }
}

/// Copies the content of the page that `from` maps into `to`.
#[inline]
pub fn copy_pte_page(to: &Page, from: Pte) {
    copy_page(to.as_ptr(), phys_to_virt(from.phys()));
}
