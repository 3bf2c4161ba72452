// SPDX-License-Identifier: GPL-2.0-only
//! `mincore`: which pages are in memory (Linux 6.1, `mm/mincore.c`).

use crate::arch::x86::lib::usercopy::{access_ok, copy_to_user};
use crate::errno::{EFAULT, EINVAL, ENOMEM, Result};
use crate::mm::mm_struct::{MmState, with_current_mm};
use crate::mm::page_alloc::{PAGE_SIZE, page_align};

/// Pages looked at under one hold of the lock.
const BATCH: usize = 256;

impl MmState {
    /// One byte per page from `addr` on, as far as `out` and the mapping there go; returns how
    /// many (`do_mincore`).
    fn mincore(&mut self, addr: usize, out: &mut [u8]) -> Result<usize> {
        let p = self.vmas.find_containing(addr).ok_or(ENOMEM)?;
        let v = self.vmas.get(p);
        let n = out.len().min((v.end - addr) / PAGE_SIZE);
        if v.backing.file().is_some_and(|f| !f.can_do_mincore()) {
            out[..n].fill(1);
            return Ok(n);
        }
        for (i, byte) in out[..n].iter_mut().enumerate() {
            let at = addr + i * PAGE_SIZE;
            let cached = || v.backing.file().is_some_and(|f| f.cached_page(v.pgoff_of(at)).is_some());
            *byte = u8::from(!self.pt.get(at).is_none() || cached());
        }
        Ok(n)
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
        let at = start + done * PAGE_SIZE;
        let n = with_current_mm(|mm| mm.lock().mincore(at, &mut buf[..n])).ok_or(ENOMEM)??;
        copy_to_user(vec + done, &buf[..n])?;
        done += n;
    }
    Ok(0)
}
