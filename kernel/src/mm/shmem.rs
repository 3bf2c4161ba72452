// SPDX-License-Identifier: GPL-2.0-only
//! Shared anonymous memory: what `MAP_SHARED | MAP_ANONYMOUS` maps, and System V's segments are of.
//!
//! An unnamed file that lives as long as somebody maps it. After Linux 6.1,
//! `mm/shmem.c` (`shmem_zero_setup`, `shmem_kernel_file_setup`), which gives it the name seen in
//! `/proc/PID/maps`.

use crate::errno::{EFAULT, Result};
use crate::fs::filemap::remove_pages;
use crate::locking::SpinLock;
use crate::mm::i_mmap::IMmap;
use crate::mm::memory::unmap_mapping_range;
use crate::mm::page_alloc::{PAGE_SIZE, Page};
use crate::mm::util::{vm_enough_memory, vm_unacct_memory};
use crate::mm::vma::VmFile;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// Pages by their place; zeroes where there is none.
pub struct ShmemObject {
    len: usize,
    /// Its size counts as promised memory.
    promised: bool,
    pages: SpinLock<BTreeMap<u64, Page>>,
    /// Who maps it.
    pub i_mmap: IMmap,
}

impl ShmemObject {
    /// `len` bytes (whole pages) of zeroes.
    ///
    /// # Errors
    /// `ENOMEM` if so much may not be promised.
    pub fn new(len: usize, promised: bool) -> Result<Arc<Self>> {
        if promised {
            vm_enough_memory(len / PAGE_SIZE)?;
        }
        let (pages, i_mmap) = (SpinLock::new(BTreeMap::new()), IMmap::default());
        Ok(Arc::new(Self { len, promised, pages, i_mmap }))
    }
    /// The page at an offset, made if need be.
    ///
    /// # Errors
    /// `EFAULT` behind the end, `ENOMEM`.
    pub fn fault_page(&self, pgoff: u64) -> Result<Page> {
        if pgoff >= (self.len / PAGE_SIZE) as u64 {
            return Err(EFAULT);
        }
        let mut pages = self.pages.lock();
        if let Some(p) = pages.get(&pgoff) {
            return Ok(p.clone());
        }
        let p = Page::alloc_user_zeroed()?;
        pages.insert(pgoff, p.clone());
        Ok(p)
    }
    /// The page if it is there.
    pub fn cached_page(&self, pgoff: u64) -> Option<Page> {
        self.pages.lock().get(&pgoff).cloned()
    }
    /// Makes whole pages read as zeroes (`shmem_fallocate`).
    pub fn punch_hole(&self, start: u64, end: u64) {
        let whole = start.div_ceil(PAGE_SIZE as u64)..end / PAGE_SIZE as u64;
        remove_pages(&mut self.pages.lock(), whole.clone());
        unmap_mapping_range(&self.i_mmap, whole, false);
    }
    /// Bytes.
    pub fn size(&self) -> u64 {
        self.len as u64
    }
    /// Pages that are there.
    pub fn nr_pages(&self) -> usize {
        self.pages.lock().len()
    }
}

impl Drop for ShmemObject {
    fn drop(&mut self) {
        if self.promised {
            vm_unacct_memory(self.len / PAGE_SIZE);
        }
    }
}

struct ShmemZero(Arc<ShmemObject>);

/// A new object of `len` bytes of zeroes. Its size counts as promised memory.
pub fn zero_setup(len: usize) -> Result<Arc<dyn VmFile>> {
    Ok(Arc::new(ShmemZero(ShmemObject::new(len, true)?)))
}

impl VmFile for ShmemZero {
    fn fault_page(&self, pgoff: u64) -> Result<Page> {
        self.0.fault_page(pgoff)
    }
    fn cached_page(&self, pgoff: u64) -> Option<Page> {
        self.0.cached_page(pgoff)
    }
    fn size(&self) -> u64 {
        self.0.size()
    }
    fn name(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"/dev/zero (deleted)");
    }
    fn i_mmap(&self) -> Option<&IMmap> {
        Some(&self.0.i_mmap)
    }
    fn punch_hole(&self, start: u64, end: u64) -> Result {
        self.0.punch_hole(start, end);
        Ok(())
    }
}
