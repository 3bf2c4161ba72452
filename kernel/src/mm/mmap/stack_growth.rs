// SPDX-License-Identifier: GPL-2.0-only
//! How stacks grow (Linux 6.1, `mm/mmap.c`, `expand_downwards`, `acct_stack_growth`;
//! `mm/memory.c`, `lock_mm_and_find_vma`).

use super::*;

impl MmState {
    /// The mapping that holds `addr`, growing a stack if `addr` lies below one
    /// and it may (`lock_mm_and_find_vma`).
    #[inline]
    pub fn find_or_expand(&mut self, addr: usize) -> Option<Pos> {
        let p = self.vmas.find(addr)?;
        let v = self.vmas.get(p);
        if v.start <= addr {
            return Some(p);
        }
        if !v.flags.contains(VmFlags::GROWSDOWN) {
            return None;
        }
        self.expand_stack(p, addr).ok().map(|()| p)
    }

    /// Lets the stack at `p` begin at the page of `addr` (`expand_downwards`).
    #[cold]
    #[inline(never)]
    pub fn expand_stack(&mut self, p: Pos, addr: usize) -> Result {
        let addr = addr & !(PAGE_SIZE - 1);
        let v = self.vmas.get(p);
        if !v.flags.contains(VmFlags::GROWSDOWN) {
            return Err(crate::errno::EFAULT);
        }
        if addr < mmap_min_addr() {
            return Err(EPERM);
        }
        if let Some(q) = self.vmas.prev(p) {
            let below = self.vmas.get(q);
            if !below.flags.contains(VmFlags::GROWSDOWN)
                && below.flags.accessible()
                && addr - below.end < STACK_GUARD_GAP
            {
                return Err(ENOMEM);
            }
        }
        let (flags, grow) = (v.flags, (v.start - addr) / PAGE_SIZE);
        if grow as u64 > v.pgoff {
            return Err(ENOMEM);
        }
        self.acct_stack_growth(flags, v.end - addr, grow)?;
        if flags.contains(VmFlags::LOCKED) {
            self.stat.locked_vm += grow;
        }
        self.stat.account(flags, grow as isize);
        self.vmas.set_start(p, addr);
        Ok(())
    }

    fn acct_stack_growth(&self, flags: VmFlags, size: usize, grow: usize) -> Result {
        if !may_expand_vm(&self.stat, flags, grow) || size > util::rlimit(RLIMIT_STACK) {
            return Err(ENOMEM);
        }
        self.mlock_future_check(flags, grow * PAGE_SIZE).map_err(|_| ENOMEM)?;
        vm_enough_memory(grow)
    }
}
