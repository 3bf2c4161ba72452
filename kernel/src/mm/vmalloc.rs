// SPDX-License-Identifier: GPL-2.0-only
//! Kernel mappings made at run time (Linux 6.1, `mm/vmalloc.c`, `kernel/fork.c`
//! for stacks): guarded kernel stacks, device registers, the heap's pages.

use crate::arch::x86::mm::init::{KERNEL_DATA, VMALLOC_START, map_kernel_page, unmap_kernel_page};
use crate::errno::Result;
use crate::locking::IrqLock;
use crate::mm::page_alloc::{PAGE_SIZE, Page};
use alloc::vec::Vec;
use x86_64::structures::paging::PageTableFlags as F;

/// The heap's address range.
pub const HEAP_START: usize = VMALLOC_START;
/// Its end: 64 GiB, more than it will ever be given.
pub const HEAP_END: usize = VMALLOC_START + (64 << 30);
/// Device registers.
const IOREMAP_START: usize = HEAP_END;
/// Kernel stacks.
const STACKS_START: usize = VMALLOC_START + (128 << 30);
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
        STACKS.lock().free.push(self.slot);
    }
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
