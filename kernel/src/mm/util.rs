// SPDX-License-Identifier: GPL-2.0-only
//! Limits and commitments: how much address space may be promised; and allocations
//! that may fail.
//!
//! After Linux 6.1, `mm/util.c` (`__vm_enough_memory`), `mm/mmap.c` (`may_expand_vm`).

use crate::errno::{ENOMEM, Result};
use crate::kernel::capability::capable;
use crate::kernel::task::current;
use crate::mm::mm_struct::VmStat;
use crate::mm::page_alloc::{PAGE_SIZE, totalram_pages, with_reserve};
use crate::mm::vma::VmFlags;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicIsize, AtomicU32, AtomicUsize, Ordering};

/// `/proc/sys/vm/overcommit_memory`: 0 guess, 1 always, 2 never.
pub static SYSCTL_OVERCOMMIT_MEMORY: AtomicU32 = AtomicU32::new(0);
/// `/proc/sys/vm/overcommit_ratio`: percent of RAM that mode 2 promises.
pub static SYSCTL_OVERCOMMIT_RATIO: AtomicU32 = AtomicU32::new(50);
/// `/proc/sys/vm/max_map_count`.
pub static SYSCTL_MAX_MAP_COUNT: AtomicUsize = AtomicUsize::new(65530);
/// `/proc/sys/vm/mmap_min_addr`.
pub static MMAP_MIN_ADDR: AtomicUsize = AtomicUsize::new(65536);

/// Pages promised and not yet taken back (`vm_committed_as`).
static VM_COMMITTED_AS: AtomicIsize = AtomicIsize::new(0);

/// Never promise more than the limit (`OVERCOMMIT_NEVER`).
pub const OVERCOMMIT_NEVER: u32 = 2;

/// Pages that mode 2 may promise (`vm_commit_limit`).
pub fn vm_commit_limit() -> usize {
    totalram_pages() * SYSCTL_OVERCOMMIT_RATIO.load(Ordering::Relaxed) as usize / 100
}

/// Pages promised now, for `/proc/meminfo`.
pub fn vm_committed_as() -> usize {
    VM_COMMITTED_AS.load(Ordering::Relaxed).max(0) as usize
}

/// Whether `pages` more may be promised, with `committed` promised already
/// (including these): the decision alone.
fn enough(mode: u32, pages: usize, committed: usize, total: usize, limit: usize) -> bool {
    match mode {
        0 => pages <= total,
        1 => true,
        _ => committed < limit,
    }
}

/// Promises `pages`, or says `ENOMEM` (`security_vm_enough_memory_mm`).
#[inline]
pub fn vm_enough_memory(pages: usize) -> Result {
    let committed = VM_COMMITTED_AS.fetch_add(pages as isize, Ordering::Relaxed) + pages as isize;
    let mode = SYSCTL_OVERCOMMIT_MEMORY.load(Ordering::Relaxed);
    if enough(mode, pages, committed.max(0) as usize, totalram_pages(), vm_commit_limit()) {
        Ok(())
    } else {
        vm_unacct_memory(pages);
        Err(ENOMEM)
    }
}

/// `n` zero or default elements, where a program chose `n` (`kvcalloc`).
///
/// # Errors
/// `ENOMEM`.
pub fn kvcalloc<T: Clone + Default>(n: usize) -> Result<Vec<T>> {
    let mut v = Vec::new();
    v.try_reserve_exact(n).map_err(|_| ENOMEM)?;
    v.resize(n, T::default());
    Ok(v)
}

/// A copy of bytes whose number a program chose (`kmemdup`).
///
/// # Errors
/// `ENOMEM`.
pub fn kmemdup(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut v = Vec::new();
    v.try_reserve_exact(bytes.len()).map_err(|_| ENOMEM)?;
    v.extend_from_slice(bytes);
    Ok(v)
}

/// One more element at the end, where programs choose how many there are.
///
/// # Errors
/// `ENOMEM`.
pub fn try_push<T>(v: &mut Vec<T>, x: T) -> Result {
    v.try_reserve(1).map_err(|_| ENOMEM)?;
    v.push(x);
    Ok(())
}

/// One more element at the end, where nothing could be done about a lack of memory.
pub fn push_reserved<T>(v: &mut Vec<T>, x: T) {
    if v.len() == v.capacity() {
        with_reserve(|| v.reserve(1));
    }
    v.push(x);
}

/// Takes a promise back.
#[inline]
pub fn vm_unacct_memory(pages: usize) {
    VM_COMMITTED_AS.fetch_sub(pages as isize, Ordering::Relaxed);
}

/// The limits that apply to an address space, in bytes.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct Limits {
    pub address_space: usize,
    pub data: usize,
}

/// The current process's soft limit for `resource` (`rlimit`), saturated.
pub fn rlimit(resource: u32) -> usize {
    crate::kernel::signal::state::rlimit(resource as usize) as usize
}

/// `personality(2)`: what can be read can be run.
pub const READ_IMPLIES_EXEC: u32 = 0x0040_0000;

/// Whether the current process wants what it can read to be executable.
#[inline]
pub fn read_implies_exec() -> bool {
    current().personality.load(Ordering::Relaxed) & READ_IMPLIES_EXEC != 0
}

/// Whether an address space of size `stat` may grow by `pages` of `flags` (`may_expand_vm`).
pub fn may_expand_vm(stat: &VmStat, flags: VmFlags, pages: usize) -> bool {
    use linux_raw_sys::general::{RLIMIT_AS, RLIMIT_DATA};
    let limits = Limits { address_space: rlimit(RLIMIT_AS), data: rlimit(RLIMIT_DATA) };
    match fits(stat, flags, pages, limits) {
        Fits::Yes => true,
        Fits::No => false,
        Fits::TooMuchData => data_limit_exceeded(stat.data_vm + pages, limits.data),
    }
}

/// Whether the limits allow something.
#[derive(Debug, PartialEq, Eq)]
enum Fits {
    Yes,
    No,
    /// All but the one on data do.
    TooMuchData,
}

fn fits(stat: &VmStat, flags: VmFlags, pages: usize, limits: Limits) -> Fits {
    if stat.total_vm + pages > limits.address_space / PAGE_SIZE {
        Fits::No
    } else if flags.is_private_writable() && stat.data_vm + pages > limits.data / PAGE_SIZE {
        Fits::TooMuchData
    } else {
        Fits::Yes
    }
}

/// Data beyond the limit: says so once; whether it may be nevertheless, since the command line
/// says `ignore_rlimit_data`, or the limit is 0, which valgrind sets, and the hard one higher.
#[cold]
fn data_limit_exceeded(pages: usize, limit: usize) -> bool {
    use linux_raw_sys::general::RLIMIT_DATA;
    static SAID: AtomicBool = AtomicBool::new(false);
    let cur = crate::kernel::task::current();
    if limit == 0 && pages <= cur.signal.rlimit(RLIMIT_DATA as usize).1 as usize / PAGE_SIZE {
        return true;
    }
    let ignored = crate::lib::cmdline::flag("ignore_rlimit_data");
    if !SAID.swap(true, Ordering::Relaxed) {
        let (comm, hint) = (cur.comm(), if ignored { "" } else { " or use boot option ignore_rlimit_data" });
        crate::pr_warn!(
            "{} ({}): VmData {} exceed data ulimit {limit}. Update limits{hint}.\n",
            crate::kernel::panic::Comm(&comm),
            cur.pid(),
            pages * PAGE_SIZE
        );
    }
    ignored
}

/// Whether the current task may map below `mmap_min_addr` (`CAP_SYS_RAWIO`).
pub fn capable_rawio() -> bool {
    capable(linux_raw_sys::general::CAP_SYS_RAWIO)
}

/// Whether the current task may lock as much memory as it likes (`CAP_IPC_LOCK`).
pub fn capable_ipc_lock() -> bool {
    capable(linux_raw_sys::general::CAP_IPC_LOCK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guessing_refuses_only_the_impossible() {
        assert!(enough(0, 100, 1_000_000, 100, 50));
        assert!(!enough(0, 101, 0, 100, 50));
        assert!(enough(1, 1 << 40, 1 << 40, 100, 50));
        assert!(enough(2, 1, 49, 100, 50));
        assert!(!enough(2, 1, 50, 100, 50));
    }

    #[test]
    fn limits_count_what_linux_counts() {
        let stat = VmStat { total_vm: 10, data_vm: 5, ..VmStat::default() };
        let l = |a: usize, d: usize| Limits { address_space: a * PAGE_SIZE, data: d * PAGE_SIZE };
        let data = VmFlags::READ | VmFlags::WRITE;
        assert_eq!(fits(&stat, data, 5, l(15, 10)), Fits::Yes);
        assert_eq!(fits(&stat, data, 6, l(15, 100)), Fits::No);
        assert_eq!(fits(&stat, data, 5, l(100, 9)), Fits::TooMuchData);
        // Read-only, shared and stack mappings are no data.
        for flags in [VmFlags::READ, data | VmFlags::SHARED, data | VmFlags::GROWSDOWN] {
            assert_eq!(fits(&stat, flags, 5, l(100, 1)), Fits::Yes);
        }
    }
}
