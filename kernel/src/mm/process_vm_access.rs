// SPDX-License-Identifier: GPL-2.0-only
//! Copies between the memory of two processes (Linux 6.1, `mm/process_vm_access.c`): as far as the
//! mappings allow, a page at a time.

use crate::errno::{EFAULT, EINVAL, EPERM, ESRCH, Result};
use crate::kernel::fork::find_task;
use crate::kernel::ptrace::{PtraceMode, ptrace_may_access};
use crate::kernel::sched::cond_resched;
use crate::kernel::signal::fatal_signal_pending;
use crate::kernel::task::current;
use crate::lib::iov_iter::{IoVec, IovIter, import_iovec, iovec_from_user};
use crate::mm::Mm;
use crate::mm::page_alloc::PAGE_SIZE;
use crate::mm::util::kvcalloc;

/// Which way.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Read,
    Write,
}

/// `process_vm_readv(2)`.
pub fn sys_process_vm_readv(
    pid: i32,
    local: usize,
    n: usize,
    remote: usize,
    m: usize,
    flags: usize,
) -> Result<usize> {
    process_vm_rw(pid, (local, n), (remote, m), flags, Direction::Read)
}

/// `process_vm_writev(2)`.
pub fn sys_process_vm_writev(
    pid: i32,
    local: usize,
    n: usize,
    remote: usize,
    m: usize,
    flags: usize,
) -> Result<usize> {
    process_vm_rw(pid, (local, n), (remote, m), flags, Direction::Write)
}

fn process_vm_rw(
    pid: i32,
    (local, n): (usize, usize),
    (remote, m): (usize, usize),
    flags: usize,
    way: Direction,
) -> Result<usize> {
    if flags != 0 {
        return Err(EINVAL);
    }
    let local = import_iovec(local, n)?;
    let mut iter = IovIter::vector(&local);
    if iter.count() == 0 {
        return Ok(0);
    }
    let remote = iovec_from_user(remote, m)?;
    if remote.iter().all(|v| v.len == 0) {
        return Ok(0);
    }
    let task = find_task(pid).ok_or(ESRCH)?;
    // Who has no memory (any more) is not there.
    let mm = task.get_mm().ok_or(ESRCH)?;
    if !ptrace_may_access(&task, PtraceMode::RealCreds) {
        return Err(EPERM);
    }
    let mut page = kvcalloc::<u8>(PAGE_SIZE)?;
    let (mut done, mut r) = (0, Ok(()));
    for v in &remote {
        r = copy_range(&mm, v, &mut iter, &mut page, way, &mut done);
        if r.is_err() || iter.count() == 0 {
            break;
        }
    }
    if done != 0 { Ok(done) } else { r.map(|()| 0) }
}

/// One range of the other process (`process_vm_rw_single_vec`).
fn copy_range(
    mm: &Mm,
    v: &IoVec,
    iter: &mut IovIter<'_>,
    page: &mut [u8],
    way: Direction,
    done: &mut usize,
) -> Result {
    let (mut at, mut left) = (v.base, v.len);
    while left != 0 && iter.count() != 0 {
        let n = (PAGE_SIZE - at % PAGE_SIZE).min(left).min(iter.count());
        let piece = &mut page[..n];
        let copied = if way == Direction::Read {
            let n = mm.lock().read_remote(at, piece, false);
            iter.copy_to(&piece[..n])
        } else {
            let n = iter.copy_from(piece);
            mm.lock().write_remote(at, &piece[..n], false)
        };
        *done += copied;
        if copied != n {
            return Err(EFAULT);
        }
        at = at.wrapping_add(n);
        left -= n;
        cond_resched();
        if fatal_signal_pending(&current()) {
            return Err(EFAULT);
        }
    }
    Ok(())
}
