// SPDX-License-Identifier: GPL-2.0-only
//! Kernel mappings made at run time (Linux 6.1, `mm/vmalloc.c`, `kernel/fork.c`
//! for stacks): guarded kernel stacks, device registers, large allocations.

use crate::arch::x86::mm::init::{KERNEL_DATA, VMALLOC_START, map_kernel_page, unmap_kernel_page};
use crate::errno::{ENOMEM, Result};
use crate::locking::IrqLock;
use crate::mm::page_alloc::{PAGE_SIZE, Page};
use crate::mm::util::push_reserved;
use alloc::vec::Vec;
use x86_64::structures::paging::PageTableFlags as F;

/// The heap's arenas begin here.
pub const HEAP_START: usize = VMALLOC_START;
/// Device registers.
const IOREMAP_START: usize = VMALLOC_START + (64 << 30);
/// Kernel stacks.
const STACKS_START: usize = VMALLOC_START + (128 << 30);
/// Areas of [`vmalloc`], by size: a range of this many bytes for each power of two. All
/// that is mapped at run time is below one entry of the topmost table, which every
/// address space has.
const AREAS_START: usize = VMALLOC_START + (256 << 30);
const AREA_RANGE: usize = 8 << 30;
/// The smallest and the largest size class, as powers of two.
const MIN_ORDER: u32 = 15;
const MAX_ORDER: u32 = 32;
/// Areas of one class that there may be, so that the list of free ones stays a small
/// allocation itself.
const MAX_AREAS: usize = 8192;
/// Address space per stack: the stack and a guard of the same size.
const STACK_SLOT: usize = 2 * crate::arch::x86::kernel::process_64::THREAD_SIZE;
/// Mapped stacks kept for the next fork.
const CACHED_STACKS: usize = 8;

struct Stacks {
    next_slot: usize,
    /// Slots whose stack is still mapped.
    cached: Vec<usize>,
    /// Slots with nothing mapped.
    free: Vec<usize>,
}

static STACKS: IrqLock<Stacks> = IrqLock::new(Stacks { next_slot: 0, cached: Vec::new(), free: Vec::new() });
static IOREMAP_NEXT: IrqLock<usize> = IrqLock::new(IOREMAP_START);

/// A kernel stack: mapped, with unmapped pages below it.
pub struct StackArea {
    slot: usize,
    size: usize,
}

impl StackArea {
    /// Maps a stack of `size` bytes (at most half a slot).
    pub fn new(size: usize) -> Result<Self> {
        assert!(size <= STACK_SLOT / 2);
        let mut s = STACKS.lock();
        if let Some(slot) = s.cached.pop() {
            return Ok(Self { slot, size });
        }
        let slot = s.free.pop().unwrap_or_else(|| {
            s.next_slot += 1;
            s.next_slot - 1
        });
        drop(s);
        let area = Self { slot, size };
        for va in (area.top() - size..area.top()).step_by(PAGE_SIZE) {
            // An error drops `area`, which unmaps what was mapped so far.
            let page = Page::alloc_zeroed()?;
            // SAFETY: the slot is ours.
            unsafe { map_kernel_page(va, page.phys(), KERNEL_DATA) }?;
            let _ = page.into_raw();
        }
        Ok(area)
    }

    /// The address just above.
    pub fn top(&self) -> usize {
        STACKS_START + (self.slot + 1) * STACK_SLOT
    }

    fn unmap(&self) {
        for va in (self.top() - self.size..self.top()).step_by(PAGE_SIZE) {
            // SAFETY: the stack is no longer in use, and its pages came from `into_raw`.
            unsafe {
                if let Some(pa) = unmap_kernel_page(va) {
                    drop(Page::from_raw(pa));
                }
            }
        }
    }
}

impl Drop for StackArea {
    fn drop(&mut self) {
        let mapped = crate::arch::x86::mm::init::lookup_kernel_address(self.top() - self.size).is_some()
            && crate::arch::x86::mm::init::lookup_kernel_address(self.top() - PAGE_SIZE).is_some();
        if mapped {
            let mut s = STACKS.lock();
            if s.cached.len() < CACHED_STACKS {
                s.cached.push(self.slot);
                return;
            }
        }
        self.unmap();
        push_reserved(&mut STACKS.lock().free, self.slot);
    }
}

/// Areas of one size class: twice the size apart, so that each has a guard behind it.
struct Areas {
    next: usize,
    /// Given back; there is room for all that were ever handed out.
    free: Vec<u32>,
}

static AREAS: [IrqLock<Areas>; (MAX_ORDER - MIN_ORDER + 1) as usize] =
    [const { IrqLock::new(Areas { next: 0, free: Vec::new() }) }; (MAX_ORDER - MIN_ORDER + 1) as usize];

/// The size class for `size` bytes, its areas' distance, and where they begin.
fn size_class(size: usize) -> Option<(&'static IrqLock<Areas>, usize, usize)> {
    let order = size.checked_next_power_of_two()?.trailing_zeros().max(MIN_ORDER);
    let class = (order - MIN_ORDER) as usize;
    Some((AREAS.get(class)?, 2 << order, AREAS_START + class * AREA_RANGE))
}

/// Maps `size` bytes of fresh, uncleared pages; the caller has seen to it that there
/// are enough of them.
///
/// # Errors
/// `ENOMEM`.
pub fn vmalloc(size: usize) -> Result<usize> {
    let (areas, stride, start) = size_class(size).ok_or(ENOMEM)?;
    let slot = areas.lock().free.pop();
    let slot = match slot {
        Some(s) => s as usize,
        None => new_area(areas, MAX_AREAS.min(AREA_RANGE / stride))?,
    };
    let va = start + slot * stride;
    for at in (va..va + size).step_by(PAGE_SIZE) {
        // SAFETY: the area is ours.
        let mapped = Page::alloc().and_then(|p| unsafe {
            map_kernel_page(at, p.phys(), KERNEL_DATA)?;
            let _ = p.into_raw();
            Ok(())
        });
        if mapped.is_err() {
            // SAFETY: mapped above; nobody has the address yet.
            unsafe { vfree(va, size) };
            return Err(ENOMEM);
        }
    }
    Ok(va)
}

/// An area that was never used, and room for it in the list of free ones.
fn new_area(areas: &IrqLock<Areas>, max: usize) -> Result<usize> {
    let mut a = areas.lock();
    let (slot, len) = (a.next, a.free.len());
    if slot >= max {
        return Err(ENOMEM);
    }
    a.free.try_reserve(slot + 1 - len).map_err(|_| ENOMEM)?;
    a.next += 1;
    Ok(slot)
}

/// Undoes [`vmalloc`].
///
/// # Safety
/// `va` must come from `vmalloc(size)`, and not be used any more.
pub unsafe fn vfree(va: usize, size: usize) {
    let Some((areas, stride, start)) = size_class(size) else { return };
    for at in (va..va + size).step_by(PAGE_SIZE) {
        // SAFETY: as the caller promises.
        unsafe {
            if let Some(phys) = unmap_kernel_page(at) {
                drop(Page::from_raw(phys));
            }
        }
    }
    // Cannot grow the list: `new_area` has made room.
    areas.lock().free.push(((va - start) / stride) as u32);
}

/// Maps device registers, uncached; the mapping is never undone (`ioremap`).
pub fn ioremap(phys: u64, size: usize) -> Result<*mut u8> {
    let start = phys & !0xfff;
    let pages = (phys + size as u64 - start).div_ceil(PAGE_SIZE as u64);
    let mut next = IOREMAP_NEXT.lock();
    let va = *next;
    for i in 0..pages {
        let flags = KERNEL_DATA | F::NO_CACHE | F::WRITE_THROUGH;
        // SAFETY: the address was just reserved for this mapping.
        unsafe { map_kernel_page(va + i as usize * PAGE_SIZE, start + i * PAGE_SIZE as u64, flags) }?;
    }
    *next += (pages as usize + 1) * PAGE_SIZE;
    Ok((va + (phys - start) as usize) as *mut u8)
}
