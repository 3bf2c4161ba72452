// SPDX-License-Identifier: GPL-2.0-only
//! The kernel heap: `talc` over pages taken as they are needed (where Linux has
//! `mm/slub.c`). Usable from interrupts; not from NMI context.

use crate::arch::x86::mm::init::{KERNEL_DATA, map_kernel_page};
use crate::locking::IrqLock;
use crate::mm::page_alloc::{PAGE_SIZE, Page};
use crate::mm::vmalloc::{HEAP_END, HEAP_START};
use core::alloc::{GlobalAlloc, Layout};
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, Ordering};
use talc::DefaultBinning;
use talc::base::Talc;
use talc::base::binning::Binning;
use talc::source::Source;

/// The heap grows by at least this much.
const GROW: usize = 64 * 1024;

/// With fewer free pages than this after growing, memory is low: the kernel's own
/// allocations still succeed, and somebody has to go before the next call returns.
const LOW_PAGES: usize = 512;

static LOW_MEMORY: AtomicBool = AtomicBool::new(false);

/// Whether the heap found memory low since the last time this was asked.
#[inline]
pub fn take_low_memory() -> bool {
    LOW_MEMORY.load(Ordering::Relaxed) && LOW_MEMORY.swap(false, Ordering::Relaxed)
}

/// Where the heap's next pages go.
#[derive(Debug)]
struct HeapPages {
    end: usize,
    heap_end: Option<NonNull<u8>>,
}

// SAFETY: the pointer is to the heap itself, which any CPU may use under the lock.
unsafe impl Send for HeapPages {}

// SAFETY: `acquire` only uses the page allocator and the kernel's page tables,
// neither of which allocates from the heap.
unsafe impl Source for HeapPages {
    fn acquire<B: Binning>(talc: &mut Talc<Self, B>, layout: Layout) -> Result<(), ()> {
        let start = talc.source.end;
        let want = (layout.size() + layout.align()).next_multiple_of(PAGE_SIZE) + PAGE_SIZE;
        let size = want.max(if talc.source.heap_end.is_none() { 16 * 1024 } else { GROW });
        let end = start.checked_add(size).filter(|&e| e <= HEAP_END).ok_or(())?;
        let free = crate::mm::page_alloc::nr_free_pages();
        if free < size / PAGE_SIZE + 16 {
            return Err(());
        }
        if free < size / PAGE_SIZE + LOW_PAGES {
            LOW_MEMORY.store(true, Ordering::Relaxed);
        }
        for va in (start..end).step_by(PAGE_SIZE) {
            let page = Page::alloc().map_err(drop)?;
            // SAFETY: the heap's own range, beyond its present end.
            unsafe { map_kernel_page(va, page.phys(), KERNEL_DATA) }.map_err(drop)?;
            let _ = page.into_raw();
            talc.source.end = va + PAGE_SIZE;
        }
        // SAFETY: the pages just mapped are for the heap alone, and adjoin its end.
        let heap_end = unsafe {
            match talc.source.heap_end {
                Some(old) => Some(talc.extend(old, end as *mut u8)),
                None => talc.claim(start as *mut u8, size),
            }
        };
        talc.source.heap_end = heap_end;
        heap_end.map(drop).ok_or(())
    }
}

/// The global allocator.
pub struct KernelHeap(IrqLock<Talc<HeapPages, DefaultBinning>>);

impl KernelHeap {
    /// An empty heap; it takes its first pages at the first allocation.
    pub const fn new() -> Self {
        Self(IrqLock::new(Talc::new(HeapPages { end: HEAP_START, heap_end: None })))
    }

    /// Bytes that the heap has taken from the page allocator.
    pub fn size(&self) -> usize {
        self.0.lock().source.end - HEAP_START
    }
}

impl Default for KernelHeap {
    fn default() -> Self {
        Self::new()
    }
}

// SAFETY: `Talc` does what `GlobalAlloc` asks; the lock makes it exclusive.
unsafe impl GlobalAlloc for KernelHeap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: callers pass non-zero sizes, as `GlobalAlloc` demands.
        unsafe { self.0.lock().allocate(layout) }.map_or(core::ptr::null_mut(), NonNull::as_ptr)
    }
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: `ptr` came from `alloc` with the same layout.
        unsafe { self.0.lock().deallocate(ptr, layout) };
    }
}

/// The heap behind `Box`, `Vec` and `Arc`.
#[cfg_attr(target_os = "none", global_allocator)]
pub static HEAP: KernelHeap = KernelHeap::new();
