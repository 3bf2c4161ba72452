// SPDX-License-Identifier: GPL-2.0-only
//! Open files of objects that have no name anywhere (Linux 6.1, `fs/anon_inodes.c`): they all
//! share one inode.

use crate::errno::{EINVAL, Result};
use crate::fs::dcache::Dentry;
use crate::fs::file::fd_install;
use crate::fs::file_table::{File, FileOps};
use crate::fs::inode::{Dev, Inode, InodeOps};
use crate::fs::namespace::{Mount, Path};
use crate::fs::superblock::{FsType, MAX_LFS_FILESIZE, SuperBlock};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use linux_raw_sys::general::{O_CLOEXEC, O_NONBLOCK, O_RDWR};

static ANON_INODEFS: FsType = FsType {
    name: "anon_inodefs",
    magic: 0x0904_1934,
    noexec: false,
    maxbytes: MAX_LFS_FILESIZE,
    mount: |_| Err(EINVAL),
};

struct Anon;
impl InodeOps for Anon {}

struct Shared {
    mnt: Arc<Mount>,
    inode: Arc<Inode>,
}

fn shared() -> &'static Shared {
    static SHARED: spin::Once<Shared> = spin::Once::new();
    SHARED.call_once(|| {
        let sb = SuperBlock::new(&ANON_INODEFS, String::new(), 0, usize::MAX);
        let mnt = Mount::new(crate::fs::ramfs::new_root(&sb, 0o555), b"none", 0);
        // It is of no type at all.
        Shared { inode: Inode::new(&sb, 0o600, Dev::default(), Box::new(Anon)), mnt }
    })
}

/// An open file of `op`, which `/proc/PID/fd` shows as `anon_inode:NAME`; of `flags` it takes
/// `O_NONBLOCK` (`anon_inode_getfile`).
pub fn anon_inode_getfile(name: &str, op: Arc<dyn FileOps>, flags: u32) -> Arc<File> {
    let s = shared();
    let label = format!("anon_inode:{name}");
    let path = Path { mnt: s.mnt.clone(), dentry: Dentry::pseudo(label.as_bytes(), s.inode.clone()) };
    File::new(path, O_RDWR | flags & O_NONBLOCK, op, false)
}

/// A descriptor of such a file; `O_CLOEXEC` is its own (`anon_inode_getfd`).
pub fn anon_inode_getfd(name: &str, op: Arc<dyn FileOps>, flags: u32) -> Result<usize> {
    let file = anon_inode_getfile(name, op, flags);
    Ok(fd_install(file, flags & O_CLOEXEC)? as usize)
}
