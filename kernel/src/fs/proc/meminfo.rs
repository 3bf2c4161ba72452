// SPDX-License-Identifier: GPL-2.0-only
//! How much memory there is, and what it is used for (Linux 6.1, `fs/proc/meminfo.c`).
//!
//! Of Linux's lines those that have a meaning here: what is not there at all (swap, disks) is 0, what
//! is not counted (pages by age, slabs) has no line.

use crate::arch::x86::kernel::process_64::THREAD_SIZE;
use crate::fs::namespace::all_mounts;
use crate::fs::seq_file::SeqFile;
use crate::fs::superblock::SuperBlock;
use crate::fs::tmpfs::TMPFS_MAGIC;
use crate::fs::tmpfs::shm_mnt;
use crate::kernel::fork::TASKLIST;
use crate::mm::page_alloc::{PAGE_SIZE, nr_free_pages, totalram_pages};
use crate::mm::show_mem::page_tables;
use crate::mm::util::{vm_commit_limit, vm_committed_as};
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering::Relaxed;

/// Pages of files: they are all in memory.
pub fn file_pages() -> usize {
    let mut seen: Vec<Arc<SuperBlock>> = Vec::new();
    let mounted = all_mounts().unwrap_or_default();
    let all = mounted.iter().map(|m| m.root.inode.sb.clone()).filter(|sb| sb.fs.magic == TMPFS_MAGIC);
    for sb in all.chain(core::iter::once(shm_mnt().root.inode.sb.clone())) {
        if !seen.iter().any(|s| Arc::ptr_eq(s, &sb)) && seen.try_reserve(1).is_ok() {
            seen.push(sb);
        }
    }
    seen.iter().map(|sb| sb.pages.load(Relaxed)).sum()
}

/// `/proc/meminfo`.
pub fn meminfo(o: &mut SeqFile) {
    let (free, files) = (nr_free_pages(), file_pages());
    let stacks = TASKLIST.lock().len() * (THREAD_SIZE / PAGE_SIZE);
    let rows = [
        ("MemTotal", totalram_pages()),
        ("MemFree", free),
        ("MemAvailable", free),
        ("Buffers", 0),
        ("Cached", files),
        ("SwapCached", 0),
        ("SwapTotal", 0),
        ("SwapFree", 0),
        ("Dirty", 0),
        ("Writeback", 0),
        ("Shmem", files),
        ("SReclaimable", 0),
        ("KernelStack", stacks),
        ("PageTables", page_tables()),
        ("NFS_Unstable", 0),
        ("Bounce", 0),
        ("WritebackTmp", 0),
        ("CommitLimit", vm_commit_limit()),
        ("Committed_AS", vm_committed_as()),
        ("AnonHugePages", 0),
        ("ShmemHugePages", 0),
        ("ShmemPmdMapped", 0),
        ("FileHugePages", 0),
        ("FilePmdMapped", 0),
    ];
    for (name, pages) in rows {
        writeln!(o, "{:<15} {:>8} kB", format!("{name}:"), pages * (PAGE_SIZE / 1024));
    }
}
