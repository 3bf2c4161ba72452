// SPDX-License-Identifier: GPL-2.0-only
//! `mlock` and its kin (Linux 6.1, `mm/mlock.c`).
//!
//! Nothing is ever swapped out, so that locking means: fault the pages in now,
//! count them, and refuse what Linux refuses for locked mappings.

use crate::errno::{EINVAL, ENOMEM, EPERM, Result};
use crate::mm::mm_struct::{MmState, with_current_mm};
use crate::mm::mmap::can_do_mlock;
use crate::mm::page_alloc::{PAGE_SIZE, page_align};
use crate::mm::util;
use crate::mm::vma::VmFlags;
use linux_raw_sys::general::{MCL_CURRENT, MCL_FUTURE, MCL_ONFAULT, MLOCK_ONFAULT, RLIMIT_MEMLOCK};

const LOCKED_MASK: VmFlags = VmFlags::LOCKED.union(VmFlags::LOCKONFAULT);

impl MmState {
    /// Gives `[start, end)` these locking flags, up to the first hole
    /// (`apply_vma_lock_flags`).
    fn apply_lock_flags(&mut self, start: usize, end: usize, lock: VmFlags) -> Result {
        if end < start {
            return Err(EINVAL);
        }
        let mut at = start;
        while at < end {
            let p = self.vmas.find_containing(at).ok_or(ENOMEM)?;
            let v = self.vmas.get(p);
            let (old, stop) = (v.flags, v.end.min(end));
            let new = (old - LOCKED_MASK) | lock;
            if new != old && !old.intersects(VmFlags::SPECIAL) {
                self.set_range_flags(p, at, stop, new)?;
                let pages = (stop - at) / PAGE_SIZE;
                match (old.contains(VmFlags::LOCKED), new.contains(VmFlags::LOCKED)) {
                    (false, true) => self.stat.locked_vm += pages,
                    (true, false) => self.stat.locked_vm -= pages,
                    _ => {}
                }
            }
            at = stop;
        }
        Ok(())
    }

    fn do_mlock(&mut self, start: usize, len: usize, flags: VmFlags) -> Result {
        let pages = self.stat.locked_vm + len / PAGE_SIZE;
        let limit = util::rlimit(RLIMIT_MEMLOCK) / PAGE_SIZE;
        if pages > limit && pages - self.locked_within(start, len) > limit && !util::capable_ipc_lock() {
            return Err(ENOMEM);
        }
        self.apply_lock_flags(start, start.wrapping_add(len), flags)?;
        if !flags.contains(VmFlags::LOCKONFAULT) {
            self.mm_populate(start, len);
        }
        Ok(())
    }

    /// Pages of the range that are locked already (`count_mm_mlocked_page_nr`).
    fn locked_within(&self, start: usize, len: usize) -> usize {
        let end = start.saturating_add(len);
        let mut pages = 0;
        let mut next = self.vmas.find_intersection(start, end);
        while let Some(p) = next {
            let v = self.vmas.get(p);
            if v.start >= end {
                break;
            }
            if v.flags.contains(VmFlags::LOCKED) {
                pages += (v.end.min(end) - v.start.max(start)) / PAGE_SIZE;
            }
            next = self.vmas.next(p);
        }
        pages
    }
}

/// The pages of a range; a length that wraps around is none.
fn range(start: usize, len: usize) -> (usize, usize) {
    (start & !(PAGE_SIZE - 1), page_align(len.wrapping_add(start % PAGE_SIZE)))
}

fn on_current(f: impl FnOnce(&mut MmState) -> Result) -> Result<usize> {
    with_current_mm(|mm| f(&mut mm.lock())).ok_or(ENOMEM)?.map(|()| 0)
}

/// `mlock(2)`.
pub fn sys_mlock(start: usize, len: usize) -> Result<usize> {
    sys_mlock2(start, len, 0)
}

/// `mlock2(2)`.
pub fn sys_mlock2(start: usize, len: usize, flags: u32) -> Result<usize> {
    if flags & !MLOCK_ONFAULT != 0 {
        return Err(EINVAL);
    }
    if !can_do_mlock() {
        return Err(EPERM);
    }
    let (start, len) = range(start, len);
    let lock = if flags & MLOCK_ONFAULT != 0 { LOCKED_MASK } else { VmFlags::LOCKED };
    on_current(|st| st.do_mlock(start, len, lock))
}

/// `munlock(2)`.
pub fn sys_munlock(start: usize, len: usize) -> Result<usize> {
    let (start, len) = range(start, len);
    on_current(|st| st.apply_lock_flags(start, start.wrapping_add(len), VmFlags::empty()))
}

/// `mlockall(2)`.
pub fn sys_mlockall(flags: u32) -> Result<usize> {
    if flags == 0 || flags & !(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) != 0 || flags == MCL_ONFAULT {
        return Err(EINVAL);
    }
    if !can_do_mlock() {
        return Err(EPERM);
    }
    let lock = if flags & MCL_ONFAULT != 0 { LOCKED_MASK } else { VmFlags::LOCKED };
    on_current(|st| {
        let limit = util::rlimit(RLIMIT_MEMLOCK) / PAGE_SIZE;
        if flags & MCL_CURRENT != 0 && st.stat.total_vm > limit && !util::capable_ipc_lock() {
            return Err(ENOMEM);
        }
        st.def_flags = if flags & MCL_FUTURE != 0 { lock } else { VmFlags::empty() };
        if flags & MCL_CURRENT != 0 {
            st.lock_all(lock);
        }
        Ok(())
    })
}

/// `munlockall(2)`.
pub fn sys_munlockall() -> Result<usize> {
    on_current(|st| {
        st.def_flags = VmFlags::empty();
        st.lock_all(VmFlags::empty());
        Ok(())
    })
}

impl MmState {
    /// Every mapping gets these locking flags; as on Linux, failures are passed over.
    fn lock_all(&mut self, lock: VmFlags) {
        let mut at = 0;
        while let Some(p) = self.vmas.lower_bound(at) {
            let (start, end) = (self.vmas.get(p).start, self.vmas.get(p).end);
            let _ = self.apply_lock_flags(start, end, lock);
            if lock == VmFlags::LOCKED {
                self.mm_populate(start, end - start);
            }
            at = end;
        }
    }
}
