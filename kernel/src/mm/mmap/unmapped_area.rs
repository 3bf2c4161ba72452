// SPDX-License-Identifier: GPL-2.0-only
//! Choosing addresses for mappings (Linux 6.1, `mm/mmap.c`, `get_unmapped_area`;
//! `arch/x86/kernel/sys_x86_64.c`).

use super::*;
use crate::arch::x86::ia32::in_compat_syscall;
use crate::arch::x86::mm::mmap::{map_32bit_base, task_size_32bit};

impl MmState {
    /// Whether a hint is honoured: nothing there, nor a stack's gap.
    fn hint_is_free(&self, addr: usize, len: usize) -> bool {
        self.vmas.lower_bound(addr).is_none_or(|p| addr + len <= self.vmas.get(p).start_gap())
    }

    /// Searches upwards from the legacy base, or below 2 GiB for `MAP_32BIT`; for a call by `int $0x80`
    /// where 32 bits reach.
    fn unmapped_area_bottomup(&self, addr: usize, len: usize, flags: u32) -> Result<usize> {
        let (begin, end) = if in_compat_syscall() {
            (self.layout.mmap_compat_legacy_base, task_size_32bit())
        } else if flags & MAP_32BIT != 0 {
            (map_32bit_base(), 0x8000_0000)
        } else {
            (self.layout.mmap_legacy_base, TASK_SIZE_MAX)
        };
        if len > end {
            return Err(ENOMEM);
        }
        if addr != 0 && page_align(addr) <= end - len && self.hint_is_free(page_align(addr), len) {
            return Ok(page_align(addr));
        }
        self.vmas.gap_bottomup(len, begin, end).ok_or(ENOMEM)
    }

    /// Searches downwards from `mmap_base` (`mmap_compat_base`), and if that fails upwards.
    fn unmapped_area_topdown(&mut self, addr: usize, len: usize, flags: u32) -> Result<usize> {
        let compat = in_compat_syscall();
        if compat || flags & MAP_32BIT == 0 {
            let hint = addr & !(PAGE_SIZE - 1);
            if addr != 0 && TASK_SIZE_MAX - len >= hint && self.hint_is_free(hint, len) {
                return Ok(hint);
            }
            let base = if compat { self.layout.mmap_compat_base } else { self.layout.mmap_base };
            if let Some(at) = self.vmas.gap_topdown(len, PAGE_SIZE, base) {
                return Ok(at);
            }
        }
        self.unmapped_area_bottomup(addr, len, flags)
    }

    /// Where a mapping of `len` bytes may go (`get_unmapped_area`). With
    /// `MAP_FIXED`, whether it may go to `addr`.
    pub fn get_unmapped_area(&mut self, addr: usize, len: usize, flags: u32) -> Result<usize> {
        if len > TASK_SIZE_MAX {
            return Err(ENOMEM);
        }
        let at = if flags & MAP_FIXED != 0 {
            addr
        } else if self.layout.mmap_legacy {
            self.unmapped_area_bottomup(addr, len, flags)?
        } else {
            self.unmapped_area_topdown(addr, len, flags)?
        };
        if at > TASK_SIZE_MAX - len {
            return Err(ENOMEM);
        }
        if !at.is_multiple_of(PAGE_SIZE) {
            return Err(EINVAL);
        }
        if at < mmap_min_addr() && !util::capable_rawio() {
            return Err(EPERM);
        }
        Ok(at)
    }
}
