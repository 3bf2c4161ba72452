// SPDX-License-Identifier: GPL-2.0-only
//! Shared anonymous memory: what `MAP_SHARED | MAP_ANONYMOUS` maps.
//!
//! An unnamed file that lives as long as somebody maps it. After Linux 6.1,
//! `mm/shmem.c` (`shmem_zero_setup`), which gives it the name seen in
//! `/proc/PID/maps`.

use crate::errno::{EFAULT, Result};
use crate::locking::SpinLock;
use crate::mm::page_alloc::{PAGE_SIZE, Page};
use crate::mm::util::{vm_enough_memory, vm_unacct_memory};
use crate::mm::vma::VmFile;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

struct ShmemZero {
    len: usize,
    pages: SpinLock<BTreeMap<u64, Page>>,
}

/// A new object of `len` bytes of zeroes. Its size counts as promised memory.
pub fn zero_setup(len: usize) -> Result<Arc<dyn VmFile>> {
    vm_enough_memory(len / PAGE_SIZE)?;
    Ok(Arc::new(ShmemZero { len, pages: SpinLock::new(BTreeMap::new()) }))
}

impl VmFile for ShmemZero {
    fn fault_page(&self, pgoff: u64) -> Result<Page> {
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
    fn cached_page(&self, pgoff: u64) -> Option<Page> {
        self.pages.lock().get(&pgoff).cloned()
    }
    fn size(&self) -> u64 {
        self.len as u64
    }
    fn name(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"/dev/zero (deleted)");
    }
}

impl Drop for ShmemZero {
    fn drop(&mut self) {
        vm_unacct_memory(self.len / PAGE_SIZE);
    }
}
