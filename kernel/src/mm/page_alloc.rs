// SPDX-License-Identifier: GPL-2.0-only
//! Physical pages (Linux 6.1, `mm/page_alloc.c`): who owns which frame.
//!
//! Every frame of RAM has a [`FrameInfo`]: a reference count, and while the frame
//! is free the link to the next free one. Taking and giving back a page is a few
//! instructions; a page mapped in several places goes back with its last [`Page`].

use crate::arch::x86::mm::init::phys_to_virt;
use crate::errno::{ENOMEM, Result};
use crate::locking::IrqLock;
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

/// Bytes in a page.
pub const PAGE_SIZE: usize = 4096;

/// `PAGE_ALIGN`: `v` rounded up to a page; 0 from the last page on.
pub const fn page_align(v: usize) -> usize {
    v.wrapping_add(PAGE_SIZE - 1) & !(PAGE_SIZE - 1)
}

/// What is known of one frame (`struct page`).
struct FrameInfo {
    refs: AtomicU32,
    next: AtomicU32,
}

const NONE: u32 = u32::MAX;

struct FreeList {
    head: u32,
    free: usize,
    /// Bounds of the frame table, in frames.
    map: &'static [FrameInfo],
}

static FREE: IrqLock<FreeList> = IrqLock::new(FreeList { head: NONE, free: 0, map: &[] });
static MAP: AtomicUsize = AtomicUsize::new(0);
static MAP_LEN: AtomicUsize = AtomicUsize::new(0);
static TOTAL: AtomicUsize = AtomicUsize::new(0);
/// Free pages that user mode may not have (Linux's `min_free_kbytes`). Half of them
/// are for page tables, stacks and other things whose lack is an error that a call can
/// return; the rest is for the heap, whose small allocations must not fail.
static USER_WATERMARK: AtomicUsize = AtomicUsize::new(0);

/// Free pages that user mode may not have.
pub fn wmark_user() -> usize {
    USER_WATERMARK.load(Ordering::Relaxed)
}

/// How many calls of [`with_reserve`] are under way.
static MEMALLOC: AtomicU32 = AtomicU32::new(0);

/// Runs `f`, whose allocations must not fail however large a list has become: they may use the
/// reserve up to its last page (`PF_MEMALLOC`). For lists that grow with the number of tasks, where
/// there is no call that could return an error. `f` does not sleep.
pub fn with_reserve<R>(f: impl FnOnce() -> R) -> R {
    // Interrupts that come between leave it as they find it.
    let before = MEMALLOC.load(Ordering::Relaxed);
    MEMALLOC.store(before + 1, Ordering::Relaxed);
    let r = f();
    MEMALLOC.store(before, Ordering::Relaxed);
    r
}

/// Free pages that the kernel's own requests leave: what is the heap's alone, unless this is a
/// request that must not fail.
pub fn wmark_now() -> usize {
    if MEMALLOC.load(Ordering::Relaxed) == 0 { wmark_kernel() } else { 0 }
}

/// Free pages that are the heap's alone.
pub fn wmark_kernel() -> usize {
    USER_WATERMARK.load(Ordering::Relaxed) / 2
}

#[inline]
fn info(pfn: usize) -> &'static FrameInfo {
    debug_assert!(pfn < MAP_LEN.load(Ordering::Relaxed));
    // SAFETY: `init` set the table, which covers every frame that a `Page` can name.
    unsafe { &*(MAP.load(Ordering::Relaxed) as *const FrameInfo).add(pfn) }
}

/// Bytes of frame table needed for `frames` frames.
pub const fn map_bytes(frames: usize) -> usize {
    frames * size_of::<FrameInfo>()
}

/// Gives the allocator its (zeroed) frame table at `table`.
///
/// # Safety
/// `table` must be `map_bytes(frames)` of zeroed memory, used for nothing else.
pub unsafe fn init(table: usize, frames: usize) {
    MAP.store(table, Ordering::Relaxed);
    MAP_LEN.store(frames, Ordering::Relaxed);
    // SAFETY: as promised by the caller.
    FREE.lock().map = unsafe { core::slice::from_raw_parts(table as *const FrameInfo, frames) };
}

/// Hands frames `[start, end)` (frame numbers) to the allocator. Later calls'
/// frames are used first.
///
/// # Safety
/// The frames must be RAM that nothing else uses.
pub unsafe fn free_range(start: usize, end: usize) {
    let mut f = FREE.lock();
    let end = end.min(f.map.len());
    for pfn in (start..end).rev() {
        f.map[pfn].next.store(f.head, Ordering::Relaxed);
        f.head = pfn as u32;
        f.free += 1;
    }
    let total = TOTAL.fetch_add(end.saturating_sub(start), Ordering::Relaxed) + end.saturating_sub(start);
    USER_WATERMARK.store((total / 32).clamp(128, 4096), Ordering::Relaxed);
}

/// A reference to a page of RAM; the last one frees it.
#[derive(Debug, PartialEq, Eq)]
pub struct Page {
    pfn: u32,
}

impl Page {
    /// A page with unspecified content, for the kernel.
    #[inline]
    pub fn alloc() -> Result<Self> {
        Self::alloc_above(wmark_now())
    }

    /// The same, to the last page: for what must not fail.
    #[inline]
    pub fn alloc_reserve() -> Result<Self> {
        Self::alloc_above(0)
    }

    /// A page for user mode, with unspecified content: fails while the kernel still
    /// has some left for itself, so that it can end the program that took so much.
    #[inline]
    pub fn alloc_user() -> Result<Self> {
        Self::alloc_above(USER_WATERMARK.load(Ordering::Relaxed))
    }

    /// A page of zeroes for user mode.
    #[inline]
    pub fn alloc_user_zeroed() -> Result<Self> {
        let p = Self::alloc_user()?;
        p.clear();
        Ok(p)
    }

    /// A page, if more than `reserve` are free.
    #[inline]
    fn alloc_above(reserve: usize) -> Result<Self> {
        let mut f = FREE.lock();
        let pfn = f.head;
        if f.free <= reserve {
            return Err(ENOMEM);
        }
        let fi = &f.map[pfn as usize];
        f.head = fi.next.load(Ordering::Relaxed);
        fi.refs.store(1, Ordering::Relaxed);
        f.free -= 1;
        Ok(Self { pfn })
    }

    /// A page of zeroes.
    pub fn alloc_zeroed() -> Result<Self> {
        let p = Self::alloc()?;
        p.clear();
        Ok(p)
    }

    /// Zeroes it.
    #[inline]
    pub fn clear(&self) {
        clear_page(self.as_ptr());
    }

    /// Physical address.
    #[inline]
    pub fn phys(&self) -> u64 {
        u64::from(self.pfn) * PAGE_SIZE as u64
    }

    /// Address in the direct map.
    #[inline]
    pub fn as_ptr(&self) -> *mut u8 {
        phys_to_virt(self.phys())
    }

    /// The content. Other mappings may change it at any time, so it is a raw slice.
    pub fn as_slice_ptr(&self) -> *mut [u8] {
        core::ptr::slice_from_raw_parts_mut(self.as_ptr(), PAGE_SIZE)
    }

    /// Number of references.
    #[inline]
    pub fn ref_count(&self) -> u32 {
        info(self.pfn as usize).refs.load(Ordering::Relaxed)
    }

    /// Copies out of the page.
    pub fn read(&self, offset: usize, buf: &mut [u8]) {
        assert!(offset + buf.len() <= PAGE_SIZE);
        // SAFETY: within the page, which this reference keeps alive.
        unsafe { core::ptr::copy_nonoverlapping(self.as_ptr().add(offset), buf.as_mut_ptr(), buf.len()) };
    }

    /// Copies into the page.
    pub fn write(&self, offset: usize, buf: &[u8]) {
        assert!(offset + buf.len() <= PAGE_SIZE);
        // SAFETY: within the page, which this reference keeps alive.
        unsafe { core::ptr::copy_nonoverlapping(buf.as_ptr(), self.as_ptr().add(offset), buf.len()) };
    }

    /// Copies the whole of `from`.
    #[inline]
    pub fn copy_from(&self, from: &Page) {
        copy_page(self.as_ptr(), from.as_ptr());
    }

    /// Gives up the handle but keeps the reference: for a page-table entry, which
    /// then owns it. Returns the physical address.
    #[inline]
    pub fn into_raw(self) -> u64 {
        let p = self.phys();
        core::mem::forget(self);
        p
    }

    /// Takes the reference back that [`Page::into_raw`] left at `phys`.
    ///
    /// # Safety
    /// `phys` must come from `into_raw`, and that reference must not be used again.
    #[inline]
    pub unsafe fn from_raw(phys: u64) -> Self {
        Self { pfn: (phys / PAGE_SIZE as u64) as u32 }
    }

    /// A further reference to the page at `phys`, which a page-table entry owns.
    ///
    /// # Safety
    /// Somebody must own a reference to that frame now.
    #[inline]
    pub unsafe fn get_raw(phys: u64) -> Self {
        let pfn = (phys / PAGE_SIZE as u64) as u32;
        info(pfn as usize).refs.fetch_add(1, Ordering::Relaxed);
        Self { pfn }
    }
}

impl Clone for Page {
    fn clone(&self) -> Self {
        info(self.pfn as usize).refs.fetch_add(1, Ordering::Relaxed);
        Self { pfn: self.pfn }
    }
}

impl Drop for Page {
    #[inline]
    fn drop(&mut self) {
        let fi = info(self.pfn as usize);
        if fi.refs.fetch_sub(1, Ordering::Release) == 1 {
            core::sync::atomic::fence(Ordering::Acquire);
            let mut f = FREE.lock();
            fi.next.store(f.head, Ordering::Relaxed);
            f.head = self.pfn;
            f.free += 1;
        }
    }
}

/// Zeroes a page with eight-byte stores.
#[inline]
pub fn clear_page(p: *mut u8) {
    // SAFETY: callers pass a whole page of theirs.
    unsafe {
        core::arch::asm!("rep stosq", inout("rcx") PAGE_SIZE / 8 => _, inout("rdi") p => _, in("rax") 0u64, options(nostack, preserves_flags));
    }
}

/// Copies a page in eight-byte units.
#[inline]
pub fn copy_page(to: *mut u8, from: *const u8) {
    // SAFETY: callers pass whole pages.
    unsafe {
        core::arch::asm!("rep movsq", inout("rcx") PAGE_SIZE / 8 => _, inout("rdi") to => _, inout("rsi") from => _, options(nostack, preserves_flags));
    }
}

/// Free pages now.
pub fn nr_free_pages() -> usize {
    FREE.lock().free
}

/// Pages that the allocator was ever given.
pub fn totalram_pages() -> usize {
    TOTAL.load(Ordering::Relaxed)
}
