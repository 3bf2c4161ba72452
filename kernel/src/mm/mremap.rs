// SPDX-License-Identifier: GPL-2.0-only
//! `mremap`: make a mapping larger or smaller, or move it (Linux 6.1, `mm/mremap.c`).

use crate::arch::x86::lib::usercopy::TASK_SIZE_MAX;
use crate::arch::x86::mm::tlb::flush_tlb_range;
use crate::errno::{EFAULT, EINVAL, ENOMEM, Result};
use crate::mm::mm_struct::{MmState, with_current_mm};
use crate::mm::page_alloc::{PAGE_SIZE, page_align};
use crate::mm::util::{self, may_expand_vm, vm_enough_memory};
use crate::mm::vma::{Backing, VmFlags, Vma};
use crate::mm::vma_tree::Pos;
use core::sync::atomic::Ordering;
use linux_raw_sys::general::{MAP_FIXED, MREMAP_DONTUNMAP, MREMAP_FIXED, MREMAP_MAYMOVE};

/// A call's arguments, lengths aligned.
#[derive(Clone, Copy)]
struct Mremap {
    addr: usize,
    old_len: usize,
    new_len: usize,
    flags: u32,
    new_addr: usize,
}

impl Mremap {
    fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }
}

/// Checks what can be checked without an address space.
fn check_args(addr: usize, old_len: usize, new_len: usize, flags: u32, new_addr: usize) -> Result<Mremap> {
    let m = Mremap { addr, old_len: page_align(old_len), new_len: page_align(new_len), flags, new_addr };
    let bad = flags & !(MREMAP_FIXED | MREMAP_MAYMOVE | MREMAP_DONTUNMAP) != 0
        || m.has(MREMAP_FIXED) && !m.has(MREMAP_MAYMOVE)
        || m.has(MREMAP_DONTUNMAP) && (!m.has(MREMAP_MAYMOVE) || old_len != new_len)
        || !addr.is_multiple_of(PAGE_SIZE)
        || m.new_len == 0;
    if bad { Err(EINVAL) } else { Ok(m) }
}

impl MmState {
    /// `mremap` without `MREMAP_FIXED`, for the kernel's own use.
    pub fn mremap(&mut self, addr: usize, old_len: usize, new_len: usize, flags: u32) -> Result<usize> {
        self.do_mremap(check_args(addr, old_len, new_len, flags, 0)?)
    }

    fn do_mremap(&mut self, m: Mremap) -> Result<usize> {
        let p = self.vmas.find_containing(m.addr).ok_or(EFAULT)?;
        if m.has(MREMAP_FIXED | MREMAP_DONTUNMAP) {
            return self.mremap_to(m);
        }
        if m.old_len >= m.new_len {
            if m.old_len > m.new_len {
                self.do_munmap(m.addr.wrapping_add(m.new_len), m.old_len - m.new_len)?;
            }
            return Ok(m.addr);
        }
        let end = self.vmas.get(p).end;
        self.vma_to_resize(p, m)?;
        let grow = m.new_len - m.old_len;
        if m.old_len == end - m.addr && self.vma_expandable(end, grow) {
            self.expand_in_place(p, grow)?;
            return Ok(m.addr);
        }
        if !m.has(MREMAP_MAYMOVE) {
            return Err(ENOMEM);
        }
        let to = self.get_unmapped_area(0, m.new_len, 0)?;
        self.move_vma(m, to)
    }

    /// Whether the mapping may become as large as asked (`vma_to_resize`).
    fn vma_to_resize(&self, p: Pos, m: Mremap) -> Result {
        let v = self.vmas.get(p);
        if m.old_len == 0 && !v.flags.intersects(VmFlags::SHARED | VmFlags::MAYSHARE) {
            return Err(EINVAL);
        }
        let fixed_size = VmFlags::DONTEXPAND | VmFlags::PFNMAP;
        if m.has(MREMAP_DONTUNMAP) && v.flags.intersects(fixed_size) {
            return Err(EINVAL);
        }
        if m.old_len > v.end - m.addr {
            return Err(EFAULT);
        }
        if m.new_len == m.old_len {
            return Ok(());
        }
        if v.flags.intersects(fixed_size) {
            return Err(EFAULT);
        }
        let grow = m.new_len.saturating_sub(m.old_len);
        self.mlock_future_check(v.flags, grow)?;
        if may_expand_vm(&self.stat, v.flags, grow / PAGE_SIZE) { Ok(()) } else { Err(ENOMEM) }
    }

    /// Whether there is room behind a mapping that ends at `end` (`vma_expandable`).
    fn vma_expandable(&self, end: usize, grow: usize) -> bool {
        let Some(new_end) = end.checked_add(grow) else { return false };
        new_end <= TASK_SIZE_MAX
            && self.vmas.lower_bound(end).is_none_or(|n| self.vmas.get(n).start >= new_end)
    }

    fn expand_in_place(&mut self, p: Pos, grow: usize) -> Result {
        let (flags, end) = (self.vmas.get(p).flags, self.vmas.get(p).end);
        if flags.contains(VmFlags::ACCOUNT) {
            vm_enough_memory(grow / PAGE_SIZE)?;
        }
        self.vmas.set_end(p, end + grow);
        self.vmas.merge_around(p);
        self.stat.account(flags, (grow / PAGE_SIZE) as isize);
        if flags.contains(VmFlags::LOCKED) {
            self.stat.locked_vm += grow / PAGE_SIZE;
            self.mm_populate(end, grow);
        }
        Ok(())
    }

    /// `MREMAP_FIXED` and `MREMAP_DONTUNMAP` (`mremap_to`).
    fn mremap_to(&mut self, mut m: Mremap) -> Result<usize> {
        let max = util::SYSCTL_MAX_MAP_COUNT.load(Ordering::Relaxed);
        if m.has(MREMAP_FIXED) {
            if !m.new_addr.is_multiple_of(PAGE_SIZE)
                || m.new_len > TASK_SIZE_MAX
                || m.new_addr > TASK_SIZE_MAX - m.new_len
            {
                return Err(EINVAL);
            }
            if m.addr.wrapping_add(m.old_len) > m.new_addr && m.new_addr + m.new_len > m.addr {
                return Err(EINVAL);
            }
        }
        if self.vmas.len() + 2 >= max.saturating_sub(3) {
            return Err(ENOMEM);
        }
        if m.has(MREMAP_FIXED) {
            self.do_munmap(m.new_addr, m.new_len)?;
        }
        if m.old_len > m.new_len {
            self.do_munmap(m.addr + m.new_len, m.old_len - m.new_len)?;
            m.old_len = m.new_len;
        }
        let p = self.vmas.find_containing(m.addr).ok_or(EFAULT)?;
        self.vma_to_resize(p, m)?;
        if m.has(MREMAP_DONTUNMAP)
            && !may_expand_vm(&self.stat, self.vmas.get(p).flags, m.old_len / PAGE_SIZE)
        {
            return Err(ENOMEM);
        }
        let fixed = if m.has(MREMAP_FIXED) { MAP_FIXED } else { 0 };
        let to = self.get_unmapped_area(m.new_addr, m.new_len, fixed)?;
        self.move_vma(m, to)
    }

    /// Maps the same thing at `to`, takes the pages along, unmaps the old place.
    fn move_vma(&mut self, m: Mremap, to: usize) -> Result<usize> {
        let max = util::SYSCTL_MAX_MAP_COUNT.load(Ordering::Relaxed);
        self.room_for_vmas(max.saturating_sub(3))?;
        self.check_split(m.addr)?;
        self.check_split(m.addr + m.old_len)?;
        let p = self.vmas.find_containing(m.addr).ok_or(EFAULT)?;
        let v = self.vmas.get(p);
        let moved = match v.backing {
            Backing::Special(s) => s.mremap,
            Backing::Anon | Backing::File(_) => None,
        };
        let new = Vma {
            start: to,
            end: to + m.new_len,
            pgoff: match v.backing {
                Backing::Anon if !v.anon_vma => (to / PAGE_SIZE) as u64,
                _ => v.pgoff_of(m.addr),
            },
            ..v.clone()
        };
        let (flags, pages) = (new.flags, m.new_len / PAGE_SIZE);
        if flags.contains(VmFlags::ACCOUNT) {
            vm_enough_memory(pages)?;
        }
        new.open();
        self.vmas.insert_merged(new);
        self.stat.account(flags, pages as isize);
        if flags.contains(VmFlags::LOCKED) {
            self.stat.locked_vm += pages;
        }
        if let Err(e) = self.move_page_tables(m.addr, to, m.old_len) {
            // Nothing may stay at the new place but what can go back.
            self.move_page_tables(to, m.addr, m.old_len)?;
            self.do_munmap(to, m.new_len)?;
            return Err(e);
        }
        if let Some(moved) = moved {
            moved(self, to);
        }
        if m.has(MREMAP_DONTUNMAP) {
            if let Some(p) = self.vmas.find_containing(m.addr) {
                self.vmas.get_mut(p).flags.remove(VmFlags::LOCKED | VmFlags::LOCKONFAULT);
            }
        } else if m.old_len != 0 {
            // What `do_munmap` takes off the promises moved along: it was counted above.
            self.do_munmap(m.addr, m.old_len)?;
        }
        if flags.contains(VmFlags::LOCKED) && m.new_len > m.old_len {
            self.mm_populate(to + m.old_len, m.new_len - m.old_len);
        }
        Ok(to)
    }

    /// Moves the pages of `len` bytes from `from` to `to`.
    fn move_page_tables(&mut self, from: usize, to: usize, len: usize) -> Result {
        let mut at = from;
        let mut r = Ok(());
        while let Some(addr) = self.pt.next_mapped(at, from + len) {
            r = self.pt.move_pte(addr, to + (addr - from));
            if r.is_err() {
                break;
            }
            at = addr + PAGE_SIZE;
        }
        if len != 0 {
            flush_tlb_range(self.pt.pgd(), from, from + len);
        }
        r
    }
}

/// `mremap(2)`.
pub fn sys_mremap(
    addr: usize,
    old_len: usize,
    new_len: usize,
    flags: usize,
    new_addr: usize,
) -> Result<usize> {
    let flags = u32::try_from(flags).map_err(|_| EINVAL)?;
    let m = check_args(addr, old_len, new_len, flags, new_addr)?;
    with_current_mm(|mm| mm.lock().do_mremap(m)).ok_or(EFAULT)?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_checked_as_linux_does() {
        let ok = |o, n, f| check_args(0x1000, o, n, f, 0).is_ok();
        assert!(ok(1, 1, 0));
        assert!(ok(0, 1, MREMAP_MAYMOVE));
        assert!(!ok(1, 0, 0));
        assert!(!ok(1, 1, 8));
        assert!(!ok(1, 1, MREMAP_FIXED));
        assert!(!ok(1, 4096, MREMAP_MAYMOVE | MREMAP_DONTUNMAP));
        assert!(ok(4096, 4096, MREMAP_MAYMOVE | MREMAP_DONTUNMAP));
        // What is too large is a matter of the address space; what wraps around is nothing.
        assert!(ok(1, 1 << 63, MREMAP_MAYMOVE));
        assert!(!ok(1, usize::MAX, MREMAP_MAYMOVE));
        assert!(check_args(0x1001, 1, 1, 0, 0).is_err());
    }
}
