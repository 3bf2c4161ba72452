// SPDX-License-Identifier: GPL-2.0-only
//! Pages of files (Linux 6.1, `mm/filemap.c`): what is read, written and mapped.
//!
//! The cache's lock is never held while user memory is touched: a fault in such a
//! copy may want a page of the same file.

use crate::errno::{EFAULT, EFBIG, EINTR, ENOSPC, Errno, Result};
use crate::fs::superblock::{MAX_LFS_FILESIZE, SuperBlock};
use crate::fs::tmpfs::TMPFS_MAGIC;
use crate::kernel::sched::cond_resched;
use crate::kernel::signal::signal_pending;
use crate::kernel::task::current;
use crate::lib::iov_iter::IovIter;
use crate::locking::SpinLock;
use crate::mm::i_mmap::IMmap;
use crate::mm::memory::unmap_mapping_range;
use crate::mm::page_alloc::{PAGE_SIZE, Page};
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::ops::Range;
use core::sync::atomic::{AtomicU32, Ordering};

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

/// A page of a file.
struct Slot {
    page: Page,
    /// Somebody has used it: until then it only keeps a place (`folio_test_uptodate`).
    uptodate: bool,
}

#[derive(Default)]
struct Cache {
    pages: BTreeMap<u64, Slot>,
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
pub fn remove_pages<T>(pages: &mut BTreeMap<u64, T>, which: Range<u64>) -> usize {
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
        Self { sb: sb.clone(), cache, seals, i_mmap: IMmap::default() }
    }
    /// Bytes in the file.
    pub fn size(&self) -> u64 {
        self.cache.lock().size
    }
    /// Pages that it has.
    pub fn nr_pages(&self) -> usize {
        self.cache.lock().pages.len()
    }

    /// The page at `index` if there is one that was used.
    pub fn find_page(&self, index: u64) -> Option<Page> {
        let c = self.cache.lock();
        c.pages.get(&index).filter(|s| s.uptodate).map(|s| s.page.clone())
    }
    /// Whether it is a file of a `tmpfs`, whatever its name.
    pub fn is_shmem(&self) -> bool {
        self.sb.fs.magic == TMPFS_MAGIC
    }
    /// Puts a new page at `index`.
    fn add_page(&self, c: &mut Cache, index: u64, uptodate: bool) -> Result<Page> {
        self.sb.charge_page()?;
        let page = Page::alloc_user_zeroed().inspect_err(|_| self.sb.uncharge_pages(1))?;
        c.pages.insert(index, Slot { page: page.clone(), uptodate });
        Ok(page)
    }
    /// The page at `index`, made if need be.
    fn grab_page(&self, index: u64) -> Result<Page> {
        let mut c = self.cache.lock();
        if let Some(s) = c.pages.get_mut(&index) {
            s.uptodate = true;
            return Ok(s.page.clone());
        }
        self.add_page(&mut c, index, true)
    }

    /// Sees that a file of a `tmpfs` has all pages of a range, or else that it has no more than before
    /// (`shmem_fallocate`).
    ///
    /// # Errors
    /// `ENOSPC`, `ENOMEM`, `EINTR` by a signal.
    pub fn allocate(&self, range: Range<u64>) -> Result {
        let max = self.sb.max_pages.load(Ordering::Relaxed) as u64;
        if range.end - range.start > max {
            return Err(ENOSPC);
        }
        for index in range.clone() {
            let add = || {
                let mut c = self.cache.lock();
                // One that was kept before stays, whatever becomes of this.
                match c.pages.get_mut(&index) {
                    Some(s) => s.uptodate = true,
                    None => drop(self.add_page(&mut c, index, false)?),
                }
                Ok(())
            };
            let r = if signal_pending(&current()) { Err(EINTR) } else { add() };
            if let Err(e) = r {
                self.remove_unused(range.start..index);
                return Err(e);
            }
            cond_resched();
        }
        Ok(())
    }

    /// Takes the pages that nobody has used out of a range (`shmem_undo_range`).
    pub fn remove_unused(&self, range: Range<u64>) {
        let mut c = self.cache.lock();
        let before = c.pages.len();
        c.pages.retain(|index, s| s.uptodate || !range.contains(index));
        self.sb.uncharge_pages(before - c.pages.len());
    }

    /// The first place from `start` on that has been used, or has not been; the end is a hole
    /// (`mapping_seek_hole_data`).
    pub fn seek_hole_data(&self, start: u64, data: bool) -> Option<u64> {
        const SIZE: u64 = PAGE_SIZE as u64;
        let c = self.cache.lock();
        if start >= c.size {
            return None;
        }
        let mut used = c.pages.range(start / SIZE..c.size.div_ceil(SIZE)).filter(|(_, s)| s.uptodate);
        if data {
            return used.next().map(|(index, _)| start.max(index * SIZE));
        }
        let first = start / SIZE;
        let run = used.zip(first..).take_while(|((index, _), next)| *index == next).count() as u64;
        Some(if run == 0 { start } else { c.size.min((first + run) * SIZE) })
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
        let slot = c.pages.get(&index).filter(|s| s.uptodate && index < c.size.div_ceil(PAGE_SIZE as u64));
        slot.map(|s| s.page.clone())
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
            if *pos >= MAX_LFS_FILESIZE {
                return stop(EFBIG, done);
            }
            let at = (*pos % PAGE_SIZE as u64) as usize;
            let n = (PAGE_SIZE - at).min(from.count()).min((MAX_LFS_FILESIZE - *pos) as usize);
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
        // Of the same size it loses what was kept for it behind its end.
        let grows = size > c.size;
        c.size = size;
        if grows {
            return;
        }
        let gone = c.pages.split_off(&size.div_ceil(PAGE_SIZE as u64));
        let at = (size % PAGE_SIZE as u64) as usize;
        if at != 0
            && let Some(s) = c.pages.get(&(size / PAGE_SIZE as u64))
        {
            s.page.write(at, &ZEROES[at..]);
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
            if let Some(s) = c.pages.get(&index) {
                s.page.write(part.start as usize, &ZEROES[..(part.end - part.start) as usize]);
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
