// SPDX-License-Identifier: GPL-2.0-only
//! The kernel's own page tables (Linux 6.1, `arch/x86/mm/init_64.c`).
//!
//! Memory map, after Linux's `Documentation/x86/x86_64/mm.rst`:
//!
//! | addresses | what |
//! |---|---|
//! | `0xffff888000000000` | all physical memory, never executable (`PAGE_OFFSET`) |
//! | `0xffffc90000000000` | kernel heap, stacks, device registers (`VMALLOC_START`) |
//! | `0xfffffe0000000000` | interrupt stacks (`CPU_ENTRY_AREA_BASE`) |
//! | `0xffffffff80000000` | the kernel image (`__START_KERNEL_map`) |
//!
//! The image is mapped page by page: code executable and read-only, constants
//! read-only, data not executable (W^X); the direct map's view of code and
//! constants is read-only as well.

use crate::errno::{ENOMEM, Result};
use crate::mm::page_alloc::{PAGE_SIZE, Page};
use bootloader_api::BootInfo;
use bootloader_api::info::MemoryRegionKind;
use core::sync::atomic::{AtomicU64, Ordering};
use x86_64::registers::control::{Cr3, Cr3Flags};
use x86_64::structures::paging::{PageTable, PageTableFlags as F, PhysFrame};
use x86_64::{PhysAddr, VirtAddr};

/// Where all of physical memory is mapped (`__PAGE_OFFSET`).
pub const PAGE_OFFSET: usize = 0xffff_8880_0000_0000;
/// Start of the dynamic kernel mappings.
pub const VMALLOC_START: usize = 0xffff_c900_0000_0000;
/// Start of the per-CPU entry stacks.
pub const CPU_ENTRY_AREA_BASE: usize = 0xffff_fe00_0000_0000;
/// Where the image is linked (`__START_KERNEL_map`).
pub const START_KERNEL_MAP: usize = 0xffff_ffff_8000_0000;

const LARGE: u64 = 2 << 20;

static KERNEL_PGD: AtomicU64 = AtomicU64::new(0);

/// Address of physical memory in the direct map (`__va`).
#[inline(always)]
pub fn phys_to_virt(phys: u64) -> *mut u8 {
    (PAGE_OFFSET as u64 + phys) as *mut u8
}

/// Physical address of a direct-map address (`__pa`).
#[inline(always)]
pub fn virt_to_phys(p: *const u8) -> u64 {
    p as u64 - PAGE_OFFSET as u64
}

/// Physical address of the kernel's own top-level page table (`swapper_pg_dir`).
/// Its upper 256 entries are complete when the first `Mm` is made and never change
/// afterwards: a new address space copies them.
pub fn kernel_pgd() -> u64 {
    KERNEL_PGD.load(Ordering::Relaxed)
}

unsafe extern "C" {
    static _text: u8;
    static _etext: u8;
    static __start_rodata: u8;
    static __end_rodata: u8;
    static _sdata: u8;
    static _end: u8;
}

/// The image's code, as (start, end).
pub fn kernel_text() -> (usize, usize) {
    (&raw const _text as usize, &raw const _etext as usize)
}

/// Whether `addr` is an instruction of the kernel (`kernel_text_address`).
pub fn kernel_text_address(addr: usize) -> bool {
    let (s, e) = kernel_text();
    (s..e).contains(&addr)
}

/// Frames for page tables before the page allocator runs: taken from the end of
/// the largest usable region below 4 GiB.
struct EarlyFrames {
    offset: u64,
    start: u64,
    next: u64,
}

impl EarlyFrames {
    fn take(&mut self, pages: u64) -> u64 {
        let bytes = pages * PAGE_SIZE as u64;
        assert!(self.next - self.start >= bytes, "not enough memory to boot");
        self.next -= bytes;
        // SAFETY: usable RAM that nobody else has been given, mapped by the boot loader.
        unsafe { core::ptr::write_bytes((self.offset + self.next) as *mut u8, 0, bytes as usize) };
        self.next
    }
    fn table(&mut self) -> u64 {
        self.take(1)
    }
    fn ptr(&self, phys: u64) -> *mut PageTable {
        (self.offset + phys) as *mut PageTable
    }
}

/// Page-table flags of everything of the kernel's: accessed and dirty from the beginning, so that
/// the CPU need never write them (Linux 6.1, `pgtable_types.h`, `__PAGE_KERNEL_RO`).
const KERNEL: F = F::PRESENT.union(F::ACCESSED).union(F::DIRTY).union(F::GLOBAL);
/// Page-table flags of kernel data.
pub const KERNEL_DATA: F = KERNEL.union(F::WRITABLE).union(F::NO_EXECUTE);
const TABLE: F = F::PRESENT.union(F::WRITABLE);

/// Page tables under construction.
struct Builder {
    frames: EarlyFrames,
    pml4: u64,
}

impl Builder {
    /// The entry for `va` at `level` (1 = 4 KiB, 2 = 2 MiB), building tables on the way.
    fn entry(&mut self, va: u64, level: u32) -> *mut x86_64::structures::paging::page_table::PageTableEntry {
        let mut table = self.pml4;
        let mut l = 4;
        loop {
            let idx = (va >> (12 + 9 * (l - 1))) as usize & 511;
            // SAFETY: `table` is a page table of ours; the index is below 512.
            let e = unsafe { &mut (&mut *self.frames.ptr(table))[idx] };
            if l == level {
                return e;
            }
            if e.is_unused() {
                let t = self.frames.table();
                e.set_addr(PhysAddr::new(t), TABLE);
            } else if e.flags().contains(F::HUGE_PAGE) {
                self.split(e);
            }
            table = e.addr().as_u64();
            l -= 1;
        }
    }

    /// Replaces a 2 MiB entry by a table of 4 KiB entries with the same rights.
    fn split(&mut self, e: &mut x86_64::structures::paging::page_table::PageTableEntry) {
        let base = e.addr().as_u64();
        let flags = e.flags() & !F::HUGE_PAGE;
        let t = self.frames.table();
        for i in 0..512u64 {
            // SAFETY: a fresh table of ours.
            unsafe {
                (&mut (*self.frames.ptr(t)))[i as usize].set_addr(PhysAddr::new(base + i * 4096), flags);
            };
        }
        e.set_addr(PhysAddr::new(t), TABLE);
    }

    fn map(&mut self, va: u64, pa: u64, flags: F) {
        let e = self.entry(va, 1);
        // SAFETY: an entry of a table of ours.
        unsafe { (*e).set_addr(PhysAddr::new(pa), flags) };
    }

    /// Maps `[start, end)` of physical memory into the direct map.
    fn direct_map(&mut self, start: u64, end: u64) {
        let mut pa = start & !(LARGE - 1);
        while pa < end {
            let e = self.entry(PAGE_OFFSET as u64 + pa, 2);
            // SAFETY: an entry of a table of ours.
            unsafe {
                if (*e).is_unused() {
                    (*e).set_addr(PhysAddr::new(pa), KERNEL_DATA | F::HUGE_PAGE);
                }
            }
            pa += LARGE;
        }
    }

    /// Maps the image with its segments' rights, wherever the loader put its pages.
    fn map_image(&mut self) {
        let range = |a: *const u8, b: *const u8| (a as u64 & !0xfff, (b as u64 + 0xfff) & !0xfff);
        let ro = KERNEL;
        let segments = [
            (range(&raw const _text, &raw const _etext), ro),
            (range(&raw const __start_rodata, &raw const __end_rodata), ro | F::NO_EXECUTE),
            (range(&raw const _sdata, &raw const _end), KERNEL_DATA),
        ];
        for ((start, end), flags) in segments {
            for va in (start..end).step_by(PAGE_SIZE) {
                let pa = loader_translate(self.frames.offset, va);
                self.map(va, pa, flags);
                if !flags.contains(F::WRITABLE) {
                    self.map(PAGE_OFFSET as u64 + pa, pa, ro | F::NO_EXECUTE);
                }
            }
        }
    }
}

/// Where the boot loader's page tables (the active ones; physical memory mapped at
/// `offset`) map `va`.
pub fn loader_translate(offset: u64, va: u64) -> u64 {
    let mut table = Cr3::read().0.start_address().as_u64();
    for level in (1..=4).rev() {
        let shift = 12 + 9 * (level - 1);
        // SAFETY: the active page tables are well-formed, and mapped at the offset.
        let e = unsafe { &(&(*((offset + table) as *const PageTable)))[(va >> shift) as usize & 511] };
        assert!(e.flags().contains(F::PRESENT), "the boot loader mapped nothing there");
        if level == 1 || e.flags().contains(F::HUGE_PAGE) {
            return (e.addr().as_u64() & !((1 << shift) - 1)) | (va & ((1 << shift) - 1));
        }
        table = e.addr().as_u64();
    }
    unreachable!("level 1 returns")
}

fn is_ram(k: MemoryRegionKind) -> bool {
    matches!(k, MemoryRegionKind::Usable | MemoryRegionKind::Bootloader)
}

/// Builds the kernel's page tables, switches to them, and starts the page
/// allocator with all usable memory.
///
/// # Safety
/// Once, at boot; `info` must describe the machine truthfully.
pub unsafe fn init_mem_mapping(info: &BootInfo) {
    // The loader's own structures are not mapped any more after the switch.
    let regions: arrayvec::ArrayVec<_, 128> = info.memory_regions.iter().copied().take(128).collect();
    let offset = info.physical_memory_offset.into_option().expect("the loader maps physical memory");
    let usable = || regions.iter().filter(|r| r.kind == MemoryRegionKind::Usable);
    let big = usable()
        .filter(|r| r.start < 1 << 32)
        .map(|r| (r.start.next_multiple_of(4096), r.end.min(1 << 32) & !0xfff))
        .max_by_key(|r| r.1.saturating_sub(r.0))
        .expect("some memory");
    let frames = EarlyFrames { offset, start: big.0, next: big.1 };
    let mut b = Builder { frames, pml4: 0 };
    b.pml4 = b.frames.table();

    let top = regions.iter().filter(|r| is_ram(r.kind)).map(|r| r.end).max().unwrap_or(0);
    for r in regions.iter().filter(|r| is_ram(r.kind)) {
        b.direct_map(r.start, r.end);
    }
    // The BIOS area, where firmware tables are found.
    b.direct_map(0, 1 << 20);
    b.map_image();
    // Kernel areas that grow later get their top-level entry now, so that every
    // address space shares it.
    for va in [VMALLOC_START, CPU_ENTRY_AREA_BASE] {
        let _ = b.entry(va as u64, 3);
    }
    let nframes = (top / PAGE_SIZE as u64) as usize;
    let map_pages = crate::mm::page_alloc::map_bytes(nframes).div_ceil(PAGE_SIZE) as u64;
    let map = b.frames.take(map_pages);

    // SAFETY: the new tables map the image and the memory in use as they are now.
    unsafe {
        Cr3::write(PhysFrame::from_start_address_unchecked(PhysAddr::new(b.pml4)), Cr3Flags::empty());
    }
    KERNEL_PGD.store(b.pml4, Ordering::Relaxed);
    // SAFETY: just taken, zeroed.
    unsafe { crate::mm::page_alloc::init(phys_to_virt(map) as usize, nframes) };
    for r in usable() {
        let (s, mut e) = (r.start.next_multiple_of(4096).max(4096), r.end & !0xfff);
        if s == big.0 {
            e = e.min(b.frames.next);
            if r.end > 1 << 32 {
                // SAFETY: usable RAM above what the early frames came from.
                unsafe { crate::mm::page_alloc::free_range((1 << 32) / PAGE_SIZE, (r.end / 4096) as usize) };
            }
        }
        if s < e {
            // SAFETY: usable RAM, not given to anyone.
            unsafe { crate::mm::page_alloc::free_range((s / 4096) as usize, (e / 4096) as usize) };
        }
    }
}

/// Gives memory that boot no longer needs to the allocator (`free_init_pages`).
///
/// # Safety
/// `[start, end)` (physical) must be RAM that nothing uses any more.
pub unsafe fn free_boot_memory(start: u64, end: u64) {
    let (s, e) = (start.next_multiple_of(4096), end & !0xfff);
    if s < e {
        // SAFETY: as promised by the caller.
        unsafe { crate::mm::page_alloc::free_range((s / 4096) as usize, (e / 4096) as usize) };
    }
}

/// A page table in the direct map.
fn table_ptr(phys: u64) -> *mut PageTable {
    (PAGE_OFFSET as u64 + phys) as *mut PageTable
}

fn kernel_pte(
    va: usize,
    create: bool,
) -> Result<Option<*mut x86_64::structures::paging::page_table::PageTableEntry>> {
    let mut table = table_ptr(kernel_pgd());
    for level in [4u32, 3, 2] {
        let idx = (va >> (12 + 9 * (level - 1))) & 511;
        // SAFETY: the kernel's page tables are in the direct map; entries of the areas
        // that grow are only touched by their owners, under their locks.
        let e = unsafe { &mut (&mut (*table))[idx] };
        if e.is_unused() {
            if !create {
                return Ok(None);
            }
            let p = Page::alloc_reserve()?;
            p.clear();
            e.set_addr(PhysAddr::new(p.into_raw()), TABLE);
        }
        if e.flags().contains(F::HUGE_PAGE) {
            return Ok(Some(e));
        }
        table = table_ptr(e.addr().as_u64());
    }
    // SAFETY: as above.
    Ok(Some(unsafe { &raw mut (&mut (*table))[(va >> 12) & 511] }))
}

/// Maps one page of kernel address space.
///
/// # Safety
/// `va` must belong to the caller's area, and `flags` be right for what `pa` is.
pub unsafe fn map_kernel_page(va: usize, pa: u64, flags: F) -> Result {
    let e = kernel_pte(va, true)?.ok_or(ENOMEM)?;
    // SAFETY: the caller owns this address.
    unsafe { (*e).set_addr(PhysAddr::new(pa), flags) };
    Ok(())
}

/// Maps a page of the kernel's half so that user mode can read it, not execute it; at boot,
/// before the first address space is made.
#[cfg(target_os = "none")]
pub fn map_user_readable(va: usize, pa: u64) {
    let readable = F::PRESENT | F::NO_EXECUTE | F::USER_ACCESSIBLE;
    // SAFETY: an address that nothing else uses.
    if unsafe { map_kernel_page(va, pa, readable) }.is_err() {
        return;
    }
    let mut table = table_ptr(kernel_pgd());
    for level in [4u32, 3, 2] {
        // SAFETY: the kernel's tables, whose entries for `va` were just made.
        let e = unsafe { &mut (&mut (*table))[(va >> (12 + 9 * (level - 1))) & 511] };
        e.set_flags(e.flags() | F::USER_ACCESSIBLE);
        table = table_ptr(e.addr().as_u64());
    }
}

/// Unmaps one page of kernel address space, returning what was mapped there.
///
/// # Safety
/// Nothing may use the address any more.
pub unsafe fn unmap_kernel_page(va: usize) -> Option<u64> {
    let e = kernel_pte(va, false).ok().flatten()?;
    // SAFETY: the caller owns this address.
    let pa = unsafe {
        if (*e).is_unused() {
            return None;
        }
        let pa = (*e).addr().as_u64();
        (*e).set_unused();
        pa
    };
    x86_64::instructions::tlb::flush(VirtAddr::new(va as u64));
    Some(pa)
}

/// The rights with which a kernel address is mapped, and the physical address:
/// for tests and dumps.
pub fn lookup_kernel_address(va: usize) -> Option<(u64, F)> {
    let e = kernel_pte(va, false).ok().flatten()?;
    // SAFETY: a kernel page-table entry.
    let e = unsafe { &*e };
    if !e.flags().contains(F::PRESENT) {
        return None;
    }
    Some((e.addr().as_u64(), e.flags()))
}
