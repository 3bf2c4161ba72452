// SPDX-License-Identifier: GPL-2.0-only
//! Reaching into an address space from outside: faulting pages in, and reading
//! and writing them through the direct map, whether the space is loaded or not.
//!
//! `exec` fills a new stack this way, `ptrace` and `/proc/PID/mem` read and
//! write another process. After Linux 6.1, `mm/gup.c`, `mm/memory.c`
//! (`access_remote_vm`).

use crate::arch::x86::mm::init::phys_to_virt;
use crate::arch::x86::mm::pgtable::{Pte, PteFlags};
use crate::errno::{EFAULT, EINVAL, ENOMEM, Result};
use crate::mm::memory::VmFault;
use crate::mm::mm_struct::{Mm, MmState};
use crate::mm::page_alloc::{PAGE_SIZE, Page};
use crate::mm::util::kvcalloc;
use crate::mm::vma::VmFlags;
use crate::mm::vma_tree::Pos;

/// How a page is to be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// For writing.
    pub write: bool,
    /// Even if the mapping forbids it now, as long as it could be allowed
    /// (`FOLL_FORCE`): debuggers.
    pub force: bool,
}

impl Access {
    /// Plain reading.
    pub const READ: Self = Self { write: false, force: false };
    /// Plain writing.
    pub const WRITE: Self = Self { write: true, force: false };

    /// Whether a mapping with `flags` may be reached so (`check_vma_flags`).
    fn allowed(self, flags: VmFlags) -> bool {
        if flags.intersects(VmFlags::IO | VmFlags::PFNMAP) {
            false
        } else if self.write {
            flags.contains(VmFlags::WRITE) || self.force && flags.is_cow()
        } else {
            flags.contains(VmFlags::READ) || self.force && flags.contains(VmFlags::MAYREAD)
        }
    }

    /// Whether `pte` serves already. A forced write to a read-only mapping is
    /// satisfied by a private page that nobody shares.
    fn satisfied(self, pte: Pte) -> bool {
        !pte.is_none() && (!self.write || pte.has(PteFlags::RW) || self.force && pte.exclusive())
    }
}

impl MmState {
    /// The entry of the page at `addr` in the mapping at `p`, faulted in as needed.
    fn follow_page(&mut self, p: Pos, addr: usize, access: Access) -> Result<Pte> {
        for _ in 0..3 {
            let pte = self.pt.get(addr);
            if access.satisfied(pte) {
                return Ok(pte);
            }
            match self.handle_mm_fault(p, addr, access.write) {
                VmFault::Done => {}
                VmFault::Oom => return Err(ENOMEM),
                VmFault::Sigbus => return Err(EFAULT),
            }
        }
        Err(EFAULT)
    }

    /// As [`MmState::follow_page`], for an address; a stack grows to hold it.
    fn get_user_page(&mut self, addr: usize, access: Access) -> Result<Pte> {
        let p = self.find_or_expand(addr).ok_or(EFAULT)?;
        if !access.allowed(self.vmas.get(p).flags) {
            return Err(EFAULT);
        }
        self.follow_page(p, addr, access)
    }

    /// The page that holds `addr`, if others may map it, too; `None` if it is this address space's
    /// own. `write`: it must be writable (Linux 6.1, kernel/futex/core.c, `get_futex_key`).
    pub fn shared_page(&mut self, addr: usize, write: bool) -> Result<Option<Page>> {
        let for_writing = self.get_user_page(addr, Access::WRITE);
        let read_only = for_writing == Err(EFAULT) && !write;
        let pte = if read_only { self.get_user_page(addr, Access::READ) } else { for_writing }?;
        if pte.has(PteFlags::ANON) {
            // One that is only read will never change.
            return if read_only { Err(EFAULT) } else { Ok(None) };
        }
        let p = self.vmas.find_containing(addr).ok_or(EFAULT)?;
        if pte.has(PteFlags::SPECIAL) || self.vmas.get(p).backing.file().is_none() {
            return Err(EFAULT);
        }
        // SAFETY: the entry of a file's page holds a reference to it, and the address space is locked.
        Ok(Some(unsafe { pte.get_page() }))
    }

    /// The page at `addr` as it is mapped, for reading (`get_user_pages`).
    pub fn get_page(&mut self, addr: usize) -> Result<Page> {
        let pte = self.get_user_page(addr, Access::READ)?;
        if pte.owns_page() {
            // SAFETY: the entry owns its page, and the address space is locked.
            return Ok(unsafe { pte.get_page() });
        }
        // One that everybody has is never written: a copy is as good.
        let mut content = kvcalloc(PAGE_SIZE)?;
        if self.read_remote(addr - addr % PAGE_SIZE, &mut content, false) < PAGE_SIZE {
            return Err(EFAULT);
        }
        let page = Page::alloc_user()?;
        page.write(0, &content);
        Ok(page)
    }

    /// Faults in every page of `[start, end)`, which lies within one mapping.
    pub fn populate_range(&mut self, start: usize, end: usize, access: Access) -> Result {
        for addr in (start..end).step_by(PAGE_SIZE) {
            let p = self.vmas.find_containing(addr).ok_or(ENOMEM)?;
            if !access.allowed(self.vmas.get(p).flags) {
                return Err(EINVAL);
            }
            self.follow_page(p, addr, access)?;
        }
        Ok(())
    }

    /// Faults in what `[start, start + len)` maps, as its mappings allow;
    /// stops quietly at the first failure (`mm_populate`).
    pub fn mm_populate(&mut self, start: usize, len: usize) {
        let end = start + len;
        let mut at = start;
        while let Some(p) = self.vmas.find_intersection(at, end) {
            let v = self.vmas.get(p);
            let (from, to) = (v.start.max(at), v.end.min(end));
            at = to;
            if v.flags.contains(VmFlags::LOCKONFAULT) || !v.flags.accessible() {
                continue;
            }
            let write = v.flags & (VmFlags::WRITE | VmFlags::SHARED) == VmFlags::WRITE;
            if self.populate_range(from, to, Access { write, force: false }).is_err() {
                break;
            }
        }
    }

    /// Calls `f` with each piece of `[addr, addr + len)` that lies in one page:
    /// the address in the direct map, the offset in the range, and the length.
    /// Returns how many bytes were reached.
    fn each_piece(
        &mut self,
        addr: usize,
        len: usize,
        access: Access,
        mut f: impl FnMut(*mut u8, usize, usize),
    ) -> usize {
        let mut done = 0;
        while done < len {
            let at = addr + done;
            let offset = at % PAGE_SIZE;
            let n = (PAGE_SIZE - offset).min(len - done);
            let Ok(pte) = self.get_user_page(at, access) else { break };
            f(phys_to_virt(pte.phys()).wrapping_add(offset), done, n);
            done += n;
        }
        done
    }

    /// Reads what it can from `addr`; returns how many bytes it was.
    pub fn read_remote(&mut self, addr: usize, buf: &mut [u8], force: bool) -> usize {
        let access = Access { write: false, force };
        let out = buf.as_mut_ptr();
        self.each_piece(addr, buf.len(), access, |page, at, n| {
            // SAFETY: `n` bytes of a page that the tables hold, under the lock, to `n`
            // bytes of `buf`.
            unsafe { core::ptr::copy_nonoverlapping(page, out.add(at), n) };
        })
    }

    /// Writes what it can to `addr`; returns how many bytes it was.
    pub fn write_remote(&mut self, addr: usize, buf: &[u8], force: bool) -> usize {
        let access = Access { write: true, force };
        self.each_piece(addr, buf.len(), access, |page, at, n| {
            // SAFETY: as in `read_remote`, the other way.
            unsafe { core::ptr::copy_nonoverlapping(buf.as_ptr().add(at), page, n) };
        })
    }
}

impl Mm {
    /// Reads from `addr` as the owner could; all or `EFAULT`.
    pub fn read_bytes(&self, addr: usize, buf: &mut [u8]) -> Result {
        let n = self.lock().read_remote(addr, buf, false);
        if n == buf.len() { Ok(()) } else { Err(EFAULT) }
    }

    /// Writes to `addr` as the owner could; all or `EFAULT`. For `exec` to fill
    /// a space that is not loaded yet.
    pub fn write_bytes(&self, addr: usize, buf: &[u8]) -> Result {
        let n = self.lock().write_remote(addr, buf, false);
        if n == buf.len() { Ok(()) } else { Err(EFAULT) }
    }

    /// Reads for a debugger, whatever the permissions are (`access_remote_vm`
    /// with `FOLL_FORCE`); returns how many bytes were read.
    pub fn access_read(&self, addr: usize, buf: &mut [u8]) -> usize {
        self.lock().read_remote(addr, buf, true)
    }

    /// Writes for a debugger; private read-only pages are copied first.
    pub fn access_write(&self, addr: usize, buf: &[u8]) -> usize {
        self.lock().write_remote(addr, buf, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn force_reaches_what_could_be_allowed() {
        let text = VmFlags::READ | VmFlags::EXEC | VmFlags::MAYACCESS;
        assert!(Access::READ.allowed(text));
        assert!(!Access::WRITE.allowed(text));
        assert!(Access { write: true, force: true }.allowed(text));
        let shared_ro = (text - VmFlags::MAYWRITE) | VmFlags::MAYSHARE;
        assert!(!Access { write: true, force: true }.allowed(shared_ro));
        let none = VmFlags::MAYACCESS;
        assert!(!Access::READ.allowed(none));
        assert!(Access { write: false, force: true }.allowed(none));
    }
}
