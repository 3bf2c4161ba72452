// SPDX-License-Identifier: GPL-2.0-only
//! `mprotect`: other permissions for what is mapped (Linux 6.1, `mm/mprotect.c`).

use crate::arch::x86::mm::pgtable::vm_get_page_prot;
use crate::arch::x86::mm::tlb::flush_tlb_range;
use crate::errno::{EACCES, EINVAL, ENOMEM, Result};
use crate::mm::mm_struct::{MmState, with_current_mm};
use crate::mm::page_alloc::{PAGE_SIZE, page_align};
use crate::mm::util::{may_expand_vm, read_implies_exec, vm_enough_memory, vm_unacct_memory};
use crate::mm::vma::{VmFlags, prot};
use crate::mm::vma_tree::Pos;

/// `PROT_SEM`, accepted and without meaning.
const PROT_SEM: u32 = 8;

/// The flags of a mapping after `mprotect` with `prot`; `EACCES` if it may not
/// have them.
fn new_flags(old: VmFlags, prot: u32, pkey: u8) -> Result<VmFlags> {
    let new = (old - VmFlags::ACCESS) | VmFlags::from_prot(prot);
    let may = VmFlags::from_bits_retain(new.bits() >> 4) & VmFlags::ACCESS;
    if (new & VmFlags::ACCESS).difference(may).is_empty() { Ok(new.with_pkey(pkey)) } else { Err(EACCES) }
}

impl MmState {
    /// Changes the permissions of `[start, start + len)`.
    pub fn do_mprotect(&mut self, start: usize, len: usize, prot: u32) -> Result {
        self.do_mprotect_pkey(start, len, prot, -1)
    }

    /// Changes permissions and protection key (`do_mprotect_pkey`; -1: keep the key).
    pub fn do_mprotect_pkey(&mut self, mut start: usize, len: usize, mut prot: u32, pkey: i32) -> Result {
        let grows = prot & (prot::GROWSDOWN | prot::GROWSUP);
        prot &= !grows;
        if grows == prot::GROWSDOWN | prot::GROWSUP || !start.is_multiple_of(PAGE_SIZE) {
            return Err(EINVAL);
        }
        if len == 0 {
            return Ok(());
        }
        let end = start.checked_add(page_align(len)).filter(|&e| e > start).ok_or(ENOMEM)?;
        if prot & !(prot::READ | prot::WRITE | prot::EXEC | PROT_SEM) != 0 {
            return Err(EINVAL);
        }
        let pkey = self.pkeys.argument(pkey)?;
        let first = self.vmas.find(start).ok_or(ENOMEM)?;
        let v = self.vmas.get(first);
        if grows == prot::GROWSDOWN {
            if v.start >= end {
                return Err(ENOMEM);
            }
            start = v.start;
            if !v.flags.contains(VmFlags::GROWSDOWN) {
                return Err(EINVAL);
            }
        } else {
            if v.start > start {
                return Err(ENOMEM);
            }
            if grows == prot::GROWSUP {
                return Err(EINVAL);
            }
        }
        self.protect_each(first, start, end, prot, pkey)
    }

    /// Changes mapping by mapping, from the one at `p` up to the first hole.
    fn protect_each(&mut self, mut p: Pos, start: usize, end: usize, want: u32, pkey: Option<u8>) -> Result {
        let implied = if want & prot::READ != 0 && read_implies_exec() { prot::EXEC } else { 0 };
        let mut at = start;
        loop {
            let v = self.vmas.get(p);
            let (old, stop) = (v.flags, v.end.min(end));
            let prot = if old.contains(VmFlags::MAYEXEC) { want | implied } else { want };
            let plain = pkey.is_none() && prot != prot::EXEC && old.pkey() == 0;
            let key = if plain { 0 } else { self.pkeys.for_mprotect(old, prot, pkey) };
            let flags = new_flags(old, prot, key)?;
            if flags != old {
                p = self.mprotect_fixup(p, at, stop, flags)?;
            }
            if stop == end {
                return Ok(());
            }
            at = stop;
            // What was changed may have become part of the next mapping.
            if self.vmas.get(p).end == at {
                p = self.vmas.next(p).filter(|&n| self.vmas.get(n).start == at).ok_or(ENOMEM)?;
            }
        }
    }

    /// Gives `[start, end)` of the mapping at `p` its new flags (`mprotect_fixup`).
    /// Returns where `start` is now.
    fn mprotect_fixup(&mut self, p: Pos, start: usize, end: usize, mut flags: VmFlags) -> Result<Pos> {
        let old = self.vmas.get(p).flags;
        let pages = (end - start) / PAGE_SIZE;
        let mut charged = 0;
        let unaccounted = VmFlags::ACCOUNT | VmFlags::WRITE | VmFlags::SHARED | VmFlags::NORESERVE;
        if flags.contains(VmFlags::WRITE) {
            if !may_expand_vm(&self.stat, flags, pages) && may_expand_vm(&self.stat, old, pages) {
                return Err(ENOMEM);
            }
            if !old.intersects(unaccounted) {
                vm_enough_memory(pages)?;
                charged = pages;
                flags |= VmFlags::ACCOUNT;
            }
        }
        let p = self.set_range_flags(p, start, end, flags).inspect_err(|_| vm_unacct_memory(charged))?;
        let v = self.vmas.get(p);
        let mut prot = vm_get_page_prot(flags);
        let notify = v.backing.file().is_some_and(|f| f.wants_writenotify());
        if notify {
            prot -= crate::arch::x86::mm::pgtable::PteFlags::RW;
        }
        let writable = flags.contains(VmFlags::WRITE) && !flags.contains(VmFlags::SHARED);
        if self.pt.protect_range(start, end, prot, writable) {
            flush_tlb_range(self.pt.pgd(), start, end);
        }
        self.stat.account_change(old, flags, pages);
        if old & (VmFlags::WRITE | VmFlags::SHARED | VmFlags::LOCKED) == VmFlags::LOCKED
            && flags.contains(VmFlags::WRITE)
        {
            self.mm_populate(start, end - start);
        }
        Ok(p)
    }

    /// Gives `[start, end)`, part of the mapping at `p`, other flags, splitting
    /// and merging mappings as needed. Returns where `start` is now.
    pub fn set_range_flags(&mut self, p: Pos, start: usize, end: usize, flags: VmFlags) -> Result<Pos> {
        let v = self.vmas.get(p);
        let whole = v.start == start && v.end == end;
        let p = if whole {
            p
        } else {
            self.split_range(start, end)?;
            self.vmas.lower_bound(start).ok_or(ENOMEM)?
        };
        self.vmas.get_mut(p).flags = flags;
        Ok(self.vmas.merge_around(p))
    }
}

/// `mprotect(2)`.
pub fn sys_mprotect(start: usize, len: usize, prot: u32) -> Result<usize> {
    with_current_mm(|mm| mm.lock().do_mprotect(start, len, prot)).ok_or(ENOMEM)??;
    Ok(0)
}

/// `pkey_mprotect(2)`.
pub fn sys_pkey_mprotect(start: usize, len: usize, prot: u32, pkey: i32) -> Result<usize> {
    with_current_mm(|mm| mm.lock().do_mprotect_pkey(start, len, prot, pkey)).ok_or(ENOMEM)??;
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_need_their_may_flag() {
        let ro_file = VmFlags::READ | VmFlags::MAYREAD | VmFlags::MAYEXEC | VmFlags::MAYSHARE;
        assert_eq!(new_flags(ro_file, prot::READ | prot::WRITE, 0), Err(EACCES));
        assert_eq!(new_flags(ro_file, prot::NONE, 0), Ok(ro_file - VmFlags::READ));
        assert_eq!(new_flags(ro_file, prot::EXEC, 0), Ok((ro_file - VmFlags::READ) | VmFlags::EXEC));
        // Writable and executable at once is the program's own business.
        let any = VmFlags::MAYACCESS;
        assert_eq!(new_flags(any, 7, 0), Ok(any | VmFlags::ACCESS));
    }
}
