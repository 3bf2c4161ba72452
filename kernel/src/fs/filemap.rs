// SPDX-License-Identifier: GPL-2.0-only
//! Pages of files (Linux 6.1, `mm/filemap.c`): what is read, written and mapped.
//!
//! The cache's lock is never held while user memory is touched: a fault in such a
//! copy may want a page of the same file.

use crate::errno::{EFAULT, EFBIG, Errno, Result};
use crate::fs::superblock::SuperBlock;
use crate::lib::iov_iter::IovIter;
use crate::locking::SpinLock;
use crate::mm::i_mmap::IMmap;
use crate::mm::memory::unmap_mapping_range;
use crate::mm::page_alloc::{PAGE_SIZE, Page};
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::ops::Range;
use core::sync::atomic::{AtomicU32, Ordering};

/// Largest offset in a file (`MAX_LFS_FILESIZE`).
pub const MAX_FILE_SIZE: u64 = i64::MAX as u64;

/// `F_SEAL_*` bits of a memory file.
#[allow(missing_docs)]
pub mod seal {
    pub const SEAL: u32 = 1;
    pub const SHRINK: u32 = 2;
    pub const GROW: u32 = 4;
    pub const WRITE: u32 = 8;
    pub const FUTURE_WRITE: u32 = 16;
    pub const ALL: u32 = 31;
}

#[derive(Default)]
struct Cache {
    pages: BTreeMap<u64, Page>,
    size: u64,
}

/// A file's content: pages where something was written, zeroes elsewhere.
pub struct AddressSpace {
    sb: Arc<SuperBlock>,
    cache: SpinLock<Cache>,
    /// `F_SEAL_*`.
    pub seals: AtomicU32,
    /// Who maps it.
    pub i_mmap: IMmap,
}

static ZEROES: [u8; PAGE_SIZE] = [0; PAGE_SIZE];

/// The bytes of a page, for a copy that the compiler does not look into.
fn bytes(p: &Page, at: usize, len: usize) -> &[u8] {
    debug_assert!(at + len <= PAGE_SIZE);
    // SAFETY: within the page, which the reference keeps; other mappings may change it,
    // but it is only handed to the copy loops, which are assembly or `memcpy`.
    unsafe { core::slice::from_raw_parts(p.as_ptr().add(at), len) }
}

#[allow(clippy::mut_from_ref)]
fn bytes_mut(p: &Page, at: usize, len: usize) -> &mut [u8] {
    debug_assert!(at + len <= PAGE_SIZE);
    // SAFETY: as in `bytes`; nobody else holds a Rust reference into the page.
    unsafe { core::slice::from_raw_parts_mut(p.as_ptr().add(at), len) }
}

/// Takes the pages with these indices out; returns how many there were.
pub fn remove_pages(pages: &mut BTreeMap<u64, Page>, which: Range<u64>) -> usize {
    let mut n = 0;
    while let Some((&index, _)) = pages.range(which.clone()).next() {
        pages.remove(&index);
        n += 1;
    }
    n
}

impl AddressSpace {
    /// An empty file on `sb`.
    pub fn new(sb: &Arc<SuperBlock>) -> Self {
        let (cache, seals) = (SpinLock::new(Cache::default()), AtomicU32::new(seal::SEAL));
        Self { sb: sb.clone(), cache, seals, i_mmap: IMmap::new() }
    }
    /// Bytes in the file.
    pub fn size(&self) -> u64 {
        self.cache.lock().size
    }
    /// Pages that it has.
    pub fn nr_pages(&self) -> usize {
        self.cache.lock().pages.len()
    }

    /// The page at `index` if there is one.
    pub fn find_page(&self, index: u64) -> Option<Page> {
        self.cache.lock().pages.get(&index).cloned()
    }
    /// The page at `index`, made if need be.
    fn grab_page(&self, index: u64) -> Result<Page> {
        let mut c = self.cache.lock();
        if let Some(p) = c.pages.get(&index) {
            return Ok(p.clone());
        }
        self.sb.charge_page()?;
        let p = Page::alloc_user_zeroed().inspect_err(|_| self.sb.uncharge_pages(1))?;
        c.pages.insert(index, p.clone());
        Ok(p)
    }
    /// The page at `index` for a mapping; `EFAULT` (a `SIGBUS`) behind the end of the file.
    pub fn fault_page(&self, index: u64) -> Result<Page> {
        if index >= self.size().div_ceil(PAGE_SIZE as u64) {
            return Err(EFAULT);
        }
        self.grab_page(index)
    }
    /// The page at `index` if a mapping may have it.
    pub fn cached_page(&self, index: u64) -> Option<Page> {
        let c = self.cache.lock();
        if index < c.size.div_ceil(PAGE_SIZE as u64) { c.pages.get(&index).cloned() } else { None }
    }

    /// Reads from `pos` (`generic_file_read_iter`).
    pub fn read(&self, to: &mut IovIter<'_>, pos: &mut u64) -> Result<usize> {
        let mut done = 0;
        while to.count() != 0 {
            let size = self.size();
            if *pos >= size {
                break;
            }
            let at = (*pos % PAGE_SIZE as u64) as usize;
            let n = (PAGE_SIZE - at).min((size - *pos) as usize).min(to.count());
            let copied = match self.find_page(*pos / PAGE_SIZE as u64) {
                Some(p) => to.copy_to(bytes(&p, at, n)),
                None => to.copy_to(&ZEROES[..n]),
            };
            *pos += copied as u64;
            done += copied;
            if copied < n {
                return if done == 0 { Err(EFAULT) } else { Ok(done) };
            }
        }
        Ok(done)
    }

    /// Writes at `pos`, enlarging the file as needed (`generic_perform_write`).
    pub fn write(&self, from: &mut IovIter<'_>, pos: &mut u64) -> Result<usize> {
        let mut done = 0;
        let stop = |e: Errno, done: usize| if done == 0 { Err(e) } else { Ok(done) };
        while from.count() != 0 {
            if *pos >= MAX_FILE_SIZE {
                return stop(EFBIG, done);
            }
            let at = (*pos % PAGE_SIZE as u64) as usize;
            let n = (PAGE_SIZE - at).min(from.count()).min((MAX_FILE_SIZE - *pos) as usize);
            let page = match self.grab_page(*pos / PAGE_SIZE as u64) {
                Ok(p) => p,
                Err(e) => return stop(e, done),
            };
            let copied = from.copy_from(bytes_mut(&page, at, n));
            *pos += copied as u64;
            done += copied;
            let mut c = self.cache.lock();
            c.size = c.size.max(*pos);
            drop(c);
            if copied < n {
                return stop(EFAULT, done);
            }
        }
        Ok(done)
    }

    /// Changes the size; what is cut off is gone for good (`truncate_setsize`).
    pub fn truncate(&self, size: u64) {
        let mut c = self.cache.lock();
        let shrinks = size < c.size;
        c.size = size;
        if !shrinks {
            return;
        }
        let gone = c.pages.split_off(&size.div_ceil(PAGE_SIZE as u64));
        let at = (size % PAGE_SIZE as u64) as usize;
        if at != 0
            && let Some(p) = c.pages.get(&(size / PAGE_SIZE as u64))
        {
            p.write(at, &ZEROES[at..]);
        }
        drop(c);
        self.sb.uncharge_pages(gone.len());
    }

    /// Makes a range read as zeroes, without changing the size (Linux 6.1, `mm/shmem.c`,
    /// `shmem_fallocate`, `shmem_undo_range`): whole pages go, out of mappings too, and a part of one
    /// is cleared. Who has a page that went, as a pipe may, keeps what is in it.
    pub fn punch_hole(&self, start: u64, end: u64) {
        const SIZE: u64 = PAGE_SIZE as u64;
        let whole = start.div_ceil(SIZE)..end / SIZE;
        let mut c = self.cache.lock();
        let clear = |c: &Cache, index: u64, part: Range<u64>| {
            if let Some(p) = c.pages.get(&index) {
                p.write(part.start as usize, &ZEROES[..(part.end - part.start) as usize]);
            }
        };
        if whole.start > whole.end {
            return clear(&c, whole.end, start % SIZE..end % SIZE);
        }
        if !start.is_multiple_of(SIZE) {
            clear(&c, start / SIZE, start % SIZE..SIZE);
        }
        if !end.is_multiple_of(SIZE) {
            clear(&c, whole.end, 0..end % SIZE);
        }
        let freed = remove_pages(&mut c.pages, whole.clone());
        drop(c);
        self.sb.uncharge_pages(freed);
        if freed != 0 {
            unmap_mapping_range(&self.i_mmap, whole, false);
        }
    }
    /// Whether it may not be written any more (`is_write_sealed`).
    pub fn is_write_sealed(&self) -> bool {
        self.seals() & (seal::WRITE | seal::FUTURE_WRITE) != 0
    }

    /// `F_SEAL_*` bits.
    pub fn seals(&self) -> u32 {
        self.seals.load(Ordering::Relaxed)
    }
}

impl AddressSpace {
    /// Takes the pages behind `size` out of everybody's mappings: the file got shorter.
    pub fn unmap_from(&self, size: u64) {
        unmap_mapping_range(&self.i_mmap, size.div_ceil(PAGE_SIZE as u64)..u64::MAX, true);
    }
}

impl Drop for AddressSpace {
    fn drop(&mut self) {
        self.sb.uncharge_pages(self.nr_pages());
    }
}
