// SPDX-License-Identifier: GPL-2.0-only
//! The kernel heap (where Linux has `mm/slub.c` and `kvmalloc`): `talc` over arenas that
//! come and go with their use, and whole pages for what is large. Usable from
//! interrupts; not from NMI context.
//!
//! Small allocations are for things whose number is bounded elsewhere (tasks, mappings,
//! open files), and do not fail while there is a page left: they may use the reserve
//! that the page allocator keeps from everybody else. When they eat into it, the task
//! that is running has the OOM killer look for a victim before it returns to user mode.
//! Large allocations fail early, unless somebody says that they must not
//! ([`with_reserve`](super::page_alloc::with_reserve)). Whatever size a program chooses is asked for with
//! `try_reserve` ([`super::util::kvcalloc`]), so that the program gets `ENOMEM`.

use crate::arch::x86::mm::init::{KERNEL_DATA, map_kernel_page, unmap_kernel_page};
use crate::errno::{ENOMEM, Result};
use crate::locking::IrqLock;
use crate::mm::oom_kill;
use crate::mm::page_alloc::{PAGE_SIZE, Page, nr_free_pages, wmark_now, wmark_user};
use crate::mm::vmalloc::{HEAP_START, vfree, vmalloc};
use core::alloc::{GlobalAlloc, Layout};
use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering};
use talc::DefaultBinning;
use talc::base::Talc;
use talc::base::binning::Binning;
use talc::source::Source;

/// Bytes of an arena.
const ARENA: usize = 64 * 1024;
/// The very first one, which boots a machine with little memory.
const FIRST_ARENA: usize = 16 * 1024;
/// More than this is not taken from an arena.
const LARGE: usize = 32 * 1024;
/// Arenas that there may be: 1 GiB of small allocations.
const MAX_ARENAS: usize = (1 << 30) / ARENA;

/// Bytes in arenas now, the one kept in reserve included.
static ARENA_BYTES: AtomicUsize = AtomicUsize::new(0);

/// Maps fresh pages at `[start, start + size)`, all or none.
fn map_arena(start: usize, size: usize) -> core::result::Result<(), ()> {
    for va in (start..start + size).step_by(PAGE_SIZE) {
        let mapped = Page::alloc_reserve().and_then(|page| {
            // SAFETY: the address is the arena's, and nothing is mapped there.
            unsafe { map_kernel_page(va, page.phys(), KERNEL_DATA) }?;
            let _ = page.into_raw();
            Ok(())
        });
        if mapped.is_err() {
            // SAFETY: mapped above, and never used.
            unsafe { unmap_arena(start, va) };
            return Err(());
        }
    }
    ARENA_BYTES.fetch_add(size, Ordering::Relaxed);
    oom_kill::heap_grew();
    Ok(())
}

/// Gives the pages of `[start, end)` back.
///
/// # Safety
/// Nothing may use them any more, and they must come from [`map_arena`].
unsafe fn unmap_arena(start: usize, end: usize) {
    for va in (start..end).step_by(PAGE_SIZE) {
        // SAFETY: as the caller promises.
        unsafe {
            if let Some(phys) = unmap_kernel_page(va) {
                drop(Page::from_raw(phys));
            }
        }
    }
}

/// The address range of arena `slot`.
const fn arena_start(slot: usize) -> usize {
    HEAP_START + slot * ARENA
}

/// Which arenas are in use.
#[derive(Debug)]
struct Arenas {
    used: [u64; MAX_ARENAS / 64],
    /// An arena that is mapped but empty: what was freed last is often wanted next.
    spare: Option<usize>,
}

impl Arenas {
    /// An arena's slot number, mapped.
    fn get(&mut self, size: usize) -> core::result::Result<usize, ()> {
        if let Some(slot) = self.spare.take() {
            return Ok(slot);
        }
        let word = self.used.iter().position(|&w| w != u64::MAX).ok_or(())?;
        let bit = self.used[word].trailing_ones() as usize;
        let slot = word * 64 + bit;
        map_arena(arena_start(slot), size)?;
        self.used[word] |= 1 << bit;
        Ok(slot)
    }

    /// Arena `slot` is empty.
    fn put(&mut self, slot: usize) {
        if self.spare.is_none() {
            self.spare = Some(slot);
            return;
        }
        self.used[slot / 64] &= !(1 << (slot % 64));
        // SAFETY: the heap has no allocation in it, and forgets it.
        unsafe { unmap_arena(arena_start(slot), arena_start(slot) + ARENA) };
        ARENA_BYTES.fetch_sub(ARENA, Ordering::Relaxed);
    }
}

// SAFETY: only the page allocator and the kernel's page tables are used, neither of
// which allocates from the heap.
unsafe impl Source for Arenas {
    fn acquire<B: Binning>(talc: &mut Talc<Self, B>, _: Layout) -> core::result::Result<(), ()> {
        let size = if talc.is_metadata_established() { ARENA } else { FIRST_ARENA };
        let slot = talc.source.get(size)?;
        // SAFETY: the arena's pages are mapped and for the heap alone.
        unsafe { talc.claim(arena_start(slot) as *mut u8, size) }.map(drop).ok_or(())
    }

    const TRACK_HEAP_END: bool = true;

    unsafe fn resize(&mut self, chunk_base: *mut u8, heap_end: *mut u8, is_heap_base: bool) -> *mut u8 {
        if !is_heap_base {
            return heap_end;
        }
        self.put((chunk_base as usize - HEAP_START) / ARENA);
        chunk_base
    }
}

/// The global allocator.
pub struct KernelHeap(IrqLock<Talc<Arenas, DefaultBinning>>);

impl KernelHeap {
    /// An empty heap; it takes its first pages at the first allocation.
    pub const fn new() -> Self {
        Self(IrqLock::new(Talc::new(Arenas { used: [0; MAX_ARENAS / 64], spare: None })))
    }

    /// Bytes that the arenas have taken from the page allocator.
    pub fn size(&self) -> usize {
        ARENA_BYTES.load(Ordering::Relaxed)
    }
}

impl Default for KernelHeap {
    fn default() -> Self {
        Self::new()
    }
}

// SAFETY: `Talc` does what `GlobalAlloc` asks, and the lock makes it exclusive; what is
// large has pages of its own. The size says which of the two a pointer came from.
unsafe impl GlobalAlloc for KernelHeap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.size() > LARGE {
            return alloc_large(layout);
        }
        // SAFETY: callers pass non-zero sizes, as `GlobalAlloc` demands.
        unsafe { self.0.lock().allocate(layout) }.map_or(core::ptr::null_mut(), NonNull::as_ptr)
    }
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        if layout.size() > LARGE {
            // SAFETY: `ptr` came from `alloc_large` with the same layout.
            return unsafe { vfree(ptr as usize, layout.size()) };
        }
        // SAFETY: `ptr` came from `alloc` with the same layout.
        unsafe { self.0.lock().deallocate(ptr, layout) };
    }
}

/// Whether `bytes` of small allocations can be made without touching the reserve: for
/// a call that makes many at once.
///
/// # Errors
/// `ENOMEM`.
pub fn room_for(bytes: usize) -> Result {
    if nr_free_pages() < (bytes / PAGE_SIZE).saturating_add(wmark_user()) { Err(ENOMEM) } else { Ok(()) }
}

/// Whole pages, if that leaves the reserve alone.
#[cold]
fn alloc_large(layout: Layout) -> *mut u8 {
    let pages = layout.size().div_ceil(PAGE_SIZE);
    if layout.align() > PAGE_SIZE || nr_free_pages() < pages.saturating_add(wmark_now()) {
        return core::ptr::null_mut();
    }
    oom_kill::heap_grew();
    vmalloc(layout.size()).map_or(core::ptr::null_mut(), |va| va as *mut u8)
}

/// The heap behind `Box`, `Vec` and `Arc`.
#[cfg_attr(target_os = "none", global_allocator)]
pub static HEAP: KernelHeap = KernelHeap::new();
