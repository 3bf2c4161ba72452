// SPDX-License-Identifier: GPL-2.0-only
//! `memfd_create(2)` (Linux 6.1, `mm/memfd.c`).

use crate::arch::x86::lib::usercopy::strncpy_from_user;
use crate::errno::{EINVAL, ENAMETOOLONG, ENODEV, Result};
use crate::fs::dcache::Dentry;
use crate::fs::file::fd_install;
use crate::fs::file_table::File;
use crate::fs::filemap::seal;
use crate::fs::inode::Inode;
use crate::fs::namespace::Path;
use crate::fs::open::{How, vfs_open};
use crate::fs::ramfs;
use crate::fs::superblock::MAX_LFS_FILESIZE;
use crate::fs::tmpfs::shm_mnt;
use alloc::sync::Arc;
use core::sync::atomic::Ordering;
use linux_raw_sys::general::{MFD_ALLOW_SEALING, MFD_CLOEXEC, MFD_HUGETLB, O_CLOEXEC, O_LARGEFILE, O_RDWR};

/// Longest name, without the prefix (`MFD_NAME_MAX_LEN`).
const NAME_MAX: usize = 255 - 6;

/// A file of the kernel's own `tmpfs` that no directory has, and its place; `label` is what `/proc/PID/fd` shows.
fn new_file(label: &[u8], mode: u32) -> (Arc<Inode>, Path) {
    let mnt = shm_mnt();
    let inode = ramfs::new_file(&mnt.root.inode.sb, mode);
    inode.attr.lock().nlink = 0;
    let path = Path { mnt: mnt.clone(), dentry: Dentry::pseudo(label, inode.clone()) };
    (inode, path)
}

/// Zeroes without end, for a mapping of `/dev/zero` (`shmem_zero_setup`).
pub fn zero_file() -> Result<Arc<File>> {
    let (inode, path) = new_file(b"/dev/zero (deleted)", 0o600);
    if let Some(pages) = inode.ops.mapping() {
        pages.truncate(MAX_LFS_FILESIZE);
    }
    vfs_open(path, How { flags: O_RDWR, mode: 0 })
}

/// `memfd_create(2)`.
pub fn sys_memfd_create(uname: usize, flags: u32) -> Result<usize> {
    // The size of the pages is above the flags.
    const HUGE_PAGES: u32 = MFD_HUGETLB | 0x3f << 26;
    if flags & MFD_HUGETLB != 0 {
        let known = flags & !(MFD_CLOEXEC | MFD_ALLOW_SEALING | HUGE_PAGES) == 0;
        return Err(if known { ENODEV } else { EINVAL });
    }
    if flags & !(MFD_CLOEXEC | MFD_ALLOW_SEALING) != 0 {
        return Err(EINVAL);
    }
    let name =
        strncpy_from_user(uname, NAME_MAX + 1).map_err(|e| if e == ENAMETOOLONG { EINVAL } else { e })?;
    let label = [&b"/memfd:"[..], &name, b" (deleted)"].concat();
    let (inode, path) = new_file(&label, 0o777);
    inode.init_owner();
    if flags & MFD_ALLOW_SEALING != 0
        && let Some(pages) = inode.ops.mapping()
    {
        pages.seals.fetch_and(!seal::SEAL, Ordering::Relaxed);
    }
    let file = vfs_open(path, How { flags: O_RDWR | O_LARGEFILE, mode: 0 })?;
    let cloexec = if flags & MFD_CLOEXEC != 0 { O_CLOEXEC } else { 0 };
    Ok(fd_install(file, cloexec)? as usize)
}
