// SPDX-License-Identifier: GPL-2.0-only
//! File systems: the kinds there are, and their instances
//! (Linux 6.1, `fs/super.c`, `fs/filesystems.c`).

use crate::errno::{ENOSPC, Result};
use crate::fs::dcache::Dentry;
use crate::fs::inode::Dev;
use crate::fs::seq_file::SeqFile;
use crate::locking::SpinLock;
use crate::mm::page_alloc::{nr_free_pages, wmark_user};
use alloc::string::String;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

/// A kind of file system.
pub struct FsType {
    /// As in `mount -t`.
    pub name: &'static str,
    /// `f_type` of `statfs`.
    pub magic: u64,
    /// Nothing on it may be run, however it is mounted (`SB_I_NOEXEC`).
    pub noexec: bool,
    /// Where its files end at the latest (`s_maxbytes`).
    pub maxbytes: u64,
    /// Makes or finds an instance; `data` is the option string. Returns its root.
    pub mount: fn(data: &[u8]) -> Result<Arc<Dentry>>,
}

/// Most bytes of a file where nobody has said that there may be more (`MAX_NON_LFS`).
pub const MAX_NON_LFS: u64 = (1 << 31) - 1;
/// And where somebody has (`MAX_LFS_FILESIZE`).
pub const MAX_LFS_FILESIZE: u64 = i64::MAX as u64;

/// What can be mounted, in the order of `/proc/filesystems`.
pub static FILESYSTEMS: &[&FsType] = &[
    &crate::fs::sysfs::FS_TYPE,
    &crate::fs::tmpfs::TMPFS,
    &crate::fs::proc::FS_TYPE,
    &crate::fs::devtmpfs::FS_TYPE,
    &crate::fs::debugfs::FS_TYPE,
    &crate::fs::ramfs::RAMFS,
    &crate::fs::devpts::FS_TYPE,
    &crate::ipc::mqueue::fs::FS_TYPE,
];

/// Finds a kind by its name.
pub fn get_fs_type(name: &[u8]) -> Option<&'static FsType> {
    FILESYSTEMS.iter().find(|f| f.name.as_bytes() == name).copied()
}

/// One instance of a file system.
pub struct SuperBlock {
    /// Its kind.
    pub fs: &'static FsType,
    /// Its (anonymous) device number.
    pub dev: Dev,
    /// Mount options, with a leading comma, as `/proc/mounts` shows them.
    pub options: SpinLock<String>,
    /// Most pages that its files may have.
    pub max_pages: AtomicUsize,
    /// Pages that they have.
    pub pages: AtomicUsize,
    /// Most names that there may be (`nr_inodes=`; a link counts as an inode does).
    pub max_inodes: AtomicUsize,
    /// Names that there are.
    pub inodes: AtomicUsize,
    /// Nothing may be written to it, whichever mount it is reached through (`SB_RDONLY`).
    pub readonly: AtomicBool,
}

static NEXT_DEV: AtomicU32 = AtomicU32::new(1);

impl SuperBlock {
    /// A new instance whose files may take `max_pages`.
    pub fn new(fs: &'static FsType, options: String, max_pages: usize, max_inodes: usize) -> Arc<Self> {
        let dev = Dev::new(0, NEXT_DEV.fetch_add(1, Ordering::Relaxed));
        let (pages, inodes) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Arc::new(Self {
            fs,
            dev,
            options: SpinLock::new(options),
            max_pages: AtomicUsize::new(max_pages),
            pages,
            max_inodes: AtomicUsize::new(max_inodes),
            inodes,
            readonly: AtomicBool::new(false),
        })
    }

    /// Accounts for one more name; `ENOSPC` as for pages (`shmem_reserve_inode`).
    pub fn charge_inode(&self) -> Result {
        if nr_free_pages() <= wmark_user()
            || self.inodes.load(Ordering::Relaxed) >= self.max_inodes.load(Ordering::Relaxed)
        {
            return Err(ENOSPC);
        }
        self.inodes.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
    /// Gives back what [`SuperBlock::charge_inode`] took.
    pub fn uncharge_inode(&self) {
        self.inodes.fetch_sub(1, Ordering::Relaxed);
    }

    /// Accounts for one more page of a file; `ENOSPC` if the file system is full or
    /// the machine's memory nearly so.
    pub fn charge_page(&self) -> Result {
        if nr_free_pages() <= wmark_user()
            || self.pages.load(Ordering::Relaxed) >= self.max_pages.load(Ordering::Relaxed)
        {
            return Err(ENOSPC);
        }
        self.pages.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
    /// Gives back what [`SuperBlock::charge_page`] took.
    pub fn uncharge_pages(&self, n: usize) {
        self.pages.fetch_sub(n, Ordering::Relaxed);
    }
}

/// The text of `/proc/filesystems`.
pub fn filesystems_text(out: &mut SeqFile) {
    for f in FILESYSTEMS {
        writeln!(out, "nodev\t{}", f.name);
    }
}
