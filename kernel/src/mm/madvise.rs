// SPDX-License-Identifier: GPL-2.0-only
//! `madvise`: what a program says about its use of memory (Linux 6.1, `mm/madvise.c`).
//!
//! Advice that changes what the program sees is carried out (`DONTNEED`,
//! `DONTFORK`, `WIPEONFORK`, …); advice about speed alone is checked and taken note of.

use crate::errno::{EACCES, EBUSY, EFAULT, EINVAL, ENOMEM, EPERM, ESRCH, Result};
use crate::kernel::capability::capable;
use crate::kernel::pid::with_pidfd;
use crate::kernel::ptrace::{PtraceMode, ptrace_may_access};
use crate::lib::iov_iter::import_iovec;
use crate::mm::Mm;
use crate::mm::gup::Access;
use crate::mm::mm_struct::{MmState, with_current_mm};
use crate::mm::page_alloc::PAGE_SIZE;
use crate::mm::vma::{Backing, VmFile, VmFlags, Vma};
use crate::mm::vma_tree::Pos;
use alloc::sync::Arc;
use linux_raw_sys::general as raw;

/// What advice asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Behavior {
    /// Change the flags: clear the first, set the second.
    Flags(VmFlags, VmFlags),
    /// Forget the pages; `bool`: even locked ones.
    DontNeed(bool),
    /// Punch a hole into the file ([`madvise_remove`]).
    Remove,
    /// Fault the pages in.
    Populate(Access),
    /// Nothing to do for memory that is never swapped; some want no locked mapping.
    Hint { not_locked: bool },
    /// For tests of memory failures: needs a privilege we do not simulate.
    Poison,
}

/// The meaning of an advice number (`madvise_behavior_valid`).
fn behavior(advice: u32) -> Option<Behavior> {
    use VmFlags as F;
    let flags = |clear, set| Some(Behavior::Flags(clear, set));
    match advice {
        raw::MADV_NORMAL => flags(F::RAND_READ | F::SEQ_READ, F::empty()),
        raw::MADV_RANDOM => flags(F::SEQ_READ, F::RAND_READ),
        raw::MADV_SEQUENTIAL => flags(F::RAND_READ, F::SEQ_READ),
        raw::MADV_DONTFORK => flags(F::empty(), F::DONTCOPY),
        raw::MADV_DOFORK => flags(F::DONTCOPY, F::empty()),
        raw::MADV_WIPEONFORK => flags(F::empty(), F::WIPEONFORK),
        raw::MADV_KEEPONFORK => flags(F::WIPEONFORK, F::empty()),
        raw::MADV_DONTDUMP => flags(F::empty(), F::DONTDUMP),
        raw::MADV_DODUMP => flags(F::DONTDUMP, F::empty()),
        raw::MADV_MERGEABLE => flags(F::empty(), F::MERGEABLE),
        raw::MADV_UNMERGEABLE => flags(F::MERGEABLE, F::empty()),
        raw::MADV_HUGEPAGE => flags(F::NOHUGEPAGE, F::HUGEPAGE),
        raw::MADV_NOHUGEPAGE => flags(F::HUGEPAGE, F::NOHUGEPAGE),
        raw::MADV_DONTNEED | raw::MADV_FREE => Some(Behavior::DontNeed(false)),
        raw::MADV_DONTNEED_LOCKED => Some(Behavior::DontNeed(true)),
        raw::MADV_REMOVE => Some(Behavior::Remove),
        raw::MADV_POPULATE_READ => Some(Behavior::Populate(Access::READ)),
        raw::MADV_POPULATE_WRITE => Some(Behavior::Populate(Access::WRITE)),
        raw::MADV_WILLNEED => Some(Behavior::Hint { not_locked: false }),
        raw::MADV_COLD | raw::MADV_PAGEOUT => Some(Behavior::Hint { not_locked: true }),
        raw::MADV_HWPOISON | raw::MADV_SOFT_OFFLINE => Some(Behavior::Poison),
        _ => None,
    }
}

impl MmState {
    /// Applies advice to `[start, end)`. Holes are skipped, and reported at the end.
    fn madvise_walk(&mut self, start: usize, end: usize, b: Behavior, free: bool) -> Result {
        let mut unmapped = false;
        let mut at = start;
        while at < end {
            let Some(p) = self.vmas.find_intersection(at, end) else {
                return Err(ENOMEM);
            };
            let v = self.vmas.get(p);
            if v.start > at {
                unmapped = true;
                at = v.start;
            }
            let stop = v.end.min(end);
            self.madvise_vma(p, at, stop, b, free)?;
            at = stop;
        }
        if unmapped { Err(ENOMEM) } else { Ok(()) }
    }

    fn madvise_vma(&mut self, p: Pos, start: usize, end: usize, b: Behavior, free: bool) -> Result {
        let v = self.vmas.get(p);
        let anon = matches!(v.backing, Backing::Anon);
        match b {
            Behavior::Flags(clear, set) => {
                let wipe_shared = set.contains(VmFlags::WIPEONFORK)
                    && (v.backing.file().is_some() || v.flags.contains(VmFlags::SHARED));
                let dump_special = clear.contains(VmFlags::DONTDUMP) && v.flags.intersects(VmFlags::SPECIAL);
                let copy_io = clear.contains(VmFlags::DONTCOPY) && v.flags.contains(VmFlags::IO);
                if wipe_shared || dump_special || copy_io {
                    return Err(EINVAL);
                }
                // Nobody merges what is not private (`ksm_madvise`).
                let shared = VmFlags::SHARED | VmFlags::MAYSHARE | VmFlags::SPECIAL;
                if set.contains(VmFlags::MERGEABLE) && v.flags.intersects(shared) {
                    return Ok(());
                }
                let flags = (v.flags - clear) | set;
                if flags != v.flags {
                    self.set_range_flags(p, start, end, flags)?;
                }
            }
            Behavior::DontNeed(locked_too) => {
                let locked = !locked_too && v.flags.contains(VmFlags::LOCKED);
                if free && !anon || locked || v.flags.contains(VmFlags::PFNMAP) {
                    return Err(EINVAL);
                }
                self.zap_page_range(start, end);
            }
            Behavior::Populate(access) => self.populate_range(start, end, access).map_err(|e| match e {
                EFAULT => EFAULT,
                ENOMEM => ENOMEM,
                _ => EINVAL,
            })?,
            Behavior::Hint { not_locked } => {
                if not_locked && v.flags.intersects(VmFlags::LOCKED | VmFlags::PFNMAP) {
                    return Err(EINVAL);
                }
            }
            Behavior::Poison => return Err(EPERM),
            // It is not done under the lock.
            Behavior::Remove => return Err(EINVAL),
        }
        Ok(())
    }

    /// Whether there is a hole in `[start, end)`; what is locked may not be invalidated.
    fn msync(&self, start: usize, end: usize, invalidate: bool) -> Result<bool> {
        let (mut at, mut hole) = (start, false);
        while at < end {
            let Some(p) = self.vmas.find_intersection(at, end) else { return Ok(true) };
            let v = self.vmas.get(p);
            if invalidate && v.flags.contains(VmFlags::LOCKED) {
                return Err(EBUSY);
            }
            hole |= v.start > at;
            at = v.end;
        }
        Ok(hole)
    }
}

/// `madvise(2)`.
pub fn sys_madvise(start: usize, len_in: usize, advice: u32) -> Result<usize> {
    with_current_mm(|mm| do_madvise(mm, start, len_in, advice)).ok_or(ENOMEM)??;
    Ok(0)
}

/// Advice about an address space, the current one or another's.
fn do_madvise(mm: &Mm, start: usize, len_in: usize, advice: u32) -> Result {
    let b = behavior(advice).ok_or(EINVAL)?;
    if !start.is_multiple_of(PAGE_SIZE) {
        return Err(EINVAL);
    }
    let len = len_in.wrapping_add(PAGE_SIZE - 1) & !(PAGE_SIZE - 1);
    if len_in != 0 && len == 0 {
        return Err(EINVAL);
    }
    let end = start.checked_add(len).ok_or(EINVAL)?;
    if end == start {
        return Ok(());
    }
    match b {
        Behavior::Remove => madvise_remove(mm, start, end),
        _ => mm.lock().madvise_walk(start, end, b, advice == raw::MADV_FREE),
    }
}

/// The file of which a part can be given up through a mapping.
fn removable(v: &Vma) -> Result<&Arc<dyn VmFile>> {
    let file = v.backing.file().filter(|_| !v.flags.contains(VmFlags::LOCKED)).ok_or(EINVAL)?;
    // (`vma_is_shared_maywrite`, as 6.1 has it by now.)
    if v.flags.contains(VmFlags::SHARED | VmFlags::MAYWRITE) { Ok(file) } else { Err(EACCES) }
}

/// Punches holes into the files mapped at `[start, end)` (`madvise_remove`). Not under the lock: the
/// file's pages are taken out of all mappings.
fn madvise_remove(mm: &Mm, start: usize, end: usize) -> Result {
    let mut unmapped = false;
    let mut at = start;
    while at < end {
        let st = mm.lock();
        let v = st.vmas.get(st.vmas.find_intersection(at, end).ok_or(ENOMEM)?);
        unmapped |= v.start > at;
        at = at.max(v.start);
        let stop = v.end.min(end);
        let from = v.pgoff_of(at) * PAGE_SIZE as u64;
        let file = removable(v)?.clone();
        drop(st);
        file.punch_hole(from, from + (stop - at) as u64)?;
        at = stop;
    }
    if unmapped { Err(ENOMEM) } else { Ok(()) }
}

/// `process_madvise(2)`: hints about the memory of a process by its descriptor; who may look into
/// it is asked, and who may set its priority.
pub fn sys_process_madvise(pidfd: i32, uvec: usize, count: usize, advice: u32, flags: u32) -> Result<usize> {
    if flags != 0 {
        return Err(EINVAL);
    }
    let vec = import_iovec(uvec, count)?;
    let task = with_pidfd(pidfd, |p, _| p.task())?;
    if !matches!(advice, raw::MADV_COLD | raw::MADV_PAGEOUT | raw::MADV_WILLNEED) {
        return Err(EINVAL);
    }
    let mm = task.get_mm().ok_or(ESRCH)?;
    if !ptrace_may_access(&task, PtraceMode::FsCreds) {
        return Err(EACCES);
    }
    if !capable(raw::CAP_SYS_NICE) {
        return Err(EPERM);
    }
    let mut done = 0;
    for v in vec.iter().filter(|v| v.len != 0) {
        match do_madvise(&mm, v.base, v.len, advice) {
            Ok(()) => done += v.len,
            Err(e) if done == 0 => return Err(e),
            Err(_) => break,
        }
    }
    Ok(done)
}

/// `msync(2)`: files live in memory, so that there is nothing to write back.
pub fn sys_msync(start: usize, len: usize, flags: u32) -> Result<usize> {
    const MS_ASYNC: u32 = 1;
    const MS_INVALIDATE: u32 = 2;
    const MS_SYNC: u32 = 4;
    if flags & !(MS_ASYNC | MS_INVALIDATE | MS_SYNC) != 0
        || !start.is_multiple_of(PAGE_SIZE)
        || flags & (MS_ASYNC | MS_SYNC) == MS_ASYNC | MS_SYNC
    {
        return Err(EINVAL);
    }
    let len = len.wrapping_add(PAGE_SIZE - 1) & !(PAGE_SIZE - 1);
    let end = start.checked_add(len).ok_or(ENOMEM)?;
    let hole =
        with_current_mm(|mm| mm.lock().msync(start, end, flags & MS_INVALIDATE != 0)).ok_or(ENOMEM)??;
    if hole { Err(ENOMEM) } else { Ok(0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_advice_is_refused() {
        assert_eq!(behavior(26), None);
        assert_eq!(behavior(7), None);
        assert_eq!(behavior(raw::MADV_FREE), Some(Behavior::DontNeed(false)));
    }
}
