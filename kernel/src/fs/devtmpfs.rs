// SPDX-License-Identifier: GPL-2.0-only
//! `devtmpfs`: nodes for the devices there are (Linux 6.1, `drivers/base/devtmpfs.c`).
//! Every mount shows the same instance.

use crate::errno::Result;
use crate::fs::char_dev;
use crate::fs::dcache::Dentry;
use crate::fs::inode::mode::S_IFCHR;
use crate::fs::ramfs;
use crate::fs::superblock::{FsType, MAX_LFS_FILESIZE, SuperBlock};
use crate::mm::page_alloc::totalram_pages;
use alloc::format;
use alloc::sync::Arc;

/// The kind of file system.
pub static FS_TYPE: FsType =
    FsType { name: "devtmpfs", magic: 0x0102_1994, noexec: false, maxbytes: MAX_LFS_FILESIZE, mount };

fn mount(_: &[u8]) -> Result<Arc<Dentry>> {
    static ROOT: spin::Once<Arc<Dentry>> = spin::Once::new();
    Ok(ROOT.call_once(populate).clone())
}

fn populate() -> Arc<Dentry> {
    let pages = totalram_pages() / 2;
    let options = format!(",size={}k,nr_inodes={pages},mode=755,inode64", pages * 4);
    let sb = SuperBlock::new(&FS_TYPE, options, pages, pages);
    let root = ramfs::new_root(&sb, 0o755);
    char_dev::for_each_device(|name, dev, mode| {
        // The names differ from one another.
        let _ = root.add(name.as_bytes(), ramfs::new_node(&sb, S_IFCHR | mode, dev));
    });
    root
}
