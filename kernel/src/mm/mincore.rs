// SPDX-License-Identifier: GPL-2.0-only
//! `mincore`: which pages are in memory (Linux 6.1, `mm/mincore.c`).

use crate::arch::x86::lib::usercopy::{access_ok, copy_to_user};
use crate::errno::{EFAULT, EINVAL, ENOMEM, Result};
use crate::mm::mm_struct::{MmState, with_current_mm};
use crate::mm::page_alloc::{PAGE_SIZE, page_align};

/// Pages looked at under one hold of the lock.
const BATCH: usize = 256;

impl MmState {
    /// One byte per page of `[addr, addr + out.len() pages)` (`do_mincore`).
    fn mincore(&self, addr: usize, out: &mut [u8]) -> Result {
        for (i, byte) in out.iter_mut().enumerate() {
            let at = addr + i * PAGE_SIZE;
            let p = self.vmas.lower_bound(at).filter(|&p| self.vmas.get(p).start <= at).ok_or(ENOMEM)?;
            let v = self.vmas.get(p);
            let cached = || v.backing.file().is_some_and(|f| f.cached_page(v.pgoff_of(at)).is_some());
            *byte = u8::from(!self.pt.get(at).is_none() || cached());
        }
        Ok(())
    }
}

/// `mincore(2)`.
pub fn sys_mincore(start: usize, len: usize, vec: usize) -> Result<usize> {
    if !start.is_multiple_of(PAGE_SIZE) {
        return Err(EINVAL);
    }
    if !access_ok(start, len) {
        return Err(ENOMEM);
    }
    let pages = page_align(len) / PAGE_SIZE;
    if !access_ok(vec, pages) {
        return Err(EFAULT);
    }
    let mut done = 0;
    let mut buf = [0u8; BATCH];
    while done < pages {
        let n = (pages - done).min(BATCH);
        with_current_mm(|mm| mm.lock().mincore(start + done * PAGE_SIZE, &mut buf[..n])).ok_or(ENOMEM)??;
        copy_to_user(vec + done, &buf[..n])?;
        done += n;
    }
    Ok(0)
}
