// SPDX-License-Identifier: GPL-2.0-only
//! `/proc/PID/mem`: a process's memory as a file, for whoever may trace it
//! (Linux 6.1, `fs/proc/base.c`, `mem_rw`). It is reached as by a debugger: private pages that
//! the process itself may not write are copied and written.

use super::base::proc_mem_open;
use crate::errno::{EFAULT, EINVAL, EIO, Result};
use crate::fs::file_table::{Abilities, File, FileOps};
use crate::fs::inode::{Inode, InodeOps};
use crate::kernel::sched::cond_resched;
use crate::kernel::signal::jobctl::fatal_signal_pending;
use crate::kernel::task::current;
use crate::lib::iov_iter::IovIter;
use crate::mm::Mm;
use crate::mm::page_alloc::PAGE_SIZE;
use crate::mm::util::kvcalloc;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use linux_raw_sys::general::{SEEK_CUR, SEEK_SET};

/// The file of a process, not yet opened.
pub struct MemFile(pub i32);

impl InodeOps for MemFile {
    /// Access is decided once, when it is opened.
    fn open(&self, _: &Arc<Inode>, _: u32) -> Result<Arc<dyn FileOps>> {
        Ok(Arc::new(OpenMem(proc_mem_open(self.0)?)))
    }
}

struct OpenMem(Weak<Mm>);

impl OpenMem {
    /// Moves up to a page at a time between memory and the caller, with `step`, which tells how
    /// much it has moved; `EIO` if nothing is there. A bad place of the caller's is `EFAULT`, whatever
    /// was moved before it.
    fn each_page(
        &self,
        count: usize,
        pos: &mut u64,
        mut step: impl FnMut(&Mm, usize, &mut [u8]) -> Result<usize>,
    ) -> Result<usize> {
        let Some(mm) = self.0.upgrade() else { return Ok(0) };
        let mut page: Vec<u8> = kvcalloc(PAGE_SIZE.min(count))?;
        let mut copied = 0;
        while copied < count {
            let want = PAGE_SIZE.min(count - copied);
            match step(&mm, pos.wrapping_add(copied as u64) as usize, &mut page[..want])? {
                0 if copied == 0 => return Err(EIO),
                0 => break,
                n => copied += n,
            }
            cond_resched();
            // A page that is not got for this reason is not there (`__get_user_pages`).
            if fatal_signal_pending(&current()) {
                break;
            }
        }
        *pos = pos.wrapping_add(copied as u64);
        Ok(copied)
    }
}

impl FileOps for OpenMem {
    fn abilities(&self) -> Abilities {
        Abilities { unsigned_offset: true, ..Abilities::NO_ITER }
    }
    fn read(&self, _: &File, to: &mut IovIter<'_>, pos: &mut u64) -> Result<usize> {
        self.each_page(to.count(), pos, |mm, at, page| {
            let n = mm.access_read(at, page);
            if to.copy_to(&page[..n]) < n { Err(EFAULT) } else { Ok(n) }
        })
    }
    fn write(&self, _: &File, from: &mut IovIter<'_>, pos: &mut u64) -> Result<usize> {
        self.each_page(from.count(), pos, |mm, at, page| {
            if from.copy_from(page) < page.len() {
                return Err(EFAULT);
            }
            Ok(mm.access_write(at, page))
        })
    }
    fn seek(&self, file: &File, offset: i64, whence: u32) -> Result<u64> {
        mem_seek(file, offset, whence)
    }
}

/// Any address is a position; there is no end (`mem_lseek`).
pub fn mem_seek(file: &File, offset: i64, whence: u32) -> Result<u64> {
    let mut pos = file.pos.lock();
    *pos = match whence {
        SEEK_SET => offset as u64,
        SEEK_CUR => pos.wrapping_add_signed(offset),
        _ => return Err(EINVAL),
    };
    Ok(*pos)
}
