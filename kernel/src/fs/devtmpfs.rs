// SPDX-License-Identifier: GPL-2.0-only
//! `devtmpfs`: `/dev` with the nodes of all devices (Linux 6.1, `drivers/base/devtmpfs.c`).

use crate::errno::Result;
use crate::fs::dcache::Dentry;
use crate::fs::inode::Dev;
use crate::fs::inode::mode::*;
use crate::fs::ramfs;
use crate::fs::superblock::{FsType, SuperBlock};
use alloc::string::String;
use alloc::sync::Arc;

/// `devtmpfs`.
pub static FS_TYPE: FsType = FsType { name: "devtmpfs", magic: 0x0102_1994, mount };

const NODES: &[(&str, u32, u32, u32)] = &[
    ("null", 0o666, 1, 3),
    ("zero", 0o666, 1, 5),
    ("full", 0o666, 1, 7),
    ("random", 0o666, 1, 8),
    ("urandom", 0o666, 1, 9),
    ("kmsg", 0o644, 1, 11),
    ("tty", 0o666, 5, 0),
    ("console", 0o600, 5, 1),
];

/// There is one instance, whatever is mounted where.
fn mount(_data: &[u8]) -> Result<Arc<Dentry>> {
    static ROOT: spin::Once<Arc<Dentry>> = spin::Once::new();
    Ok(ROOT.call_once(make).clone())
}

fn make() -> Arc<Dentry> {
    let sb = SuperBlock::new(&FS_TYPE, String::new(), usize::MAX);
    let root = Dentry::root(ramfs::new_inode(&sb, S_IFDIR | 0o755, Dev(0)));
    let add = |name: &str, mode: u32, major: u32, minor: u32| {
        let _ = root.add(name.as_bytes(), ramfs::new_inode(&sb, S_IFCHR | mode, Dev::new(major, minor)));
    };
    for &(name, mode, major, minor) in NODES {
        add(name, mode, major, minor);
    }
    for n in crate::drivers::tty::serial::p8250::present() {
        add(&alloc::format!("ttyS{n}"), 0o600, 4, 64 + n);
    }
    let _ = root.add(b"fd", ramfs::new_symlink(&sb, b"/proc/self/fd"));
    for (i, n) in ["stdin", "stdout", "stderr"].iter().enumerate() {
        let _ =
            root.add(n.as_bytes(), ramfs::new_symlink(&sb, alloc::format!("/proc/self/fd/{i}").as_bytes()));
    }
    for d in ["pts", "shm"] {
        let _ = root.add(d.as_bytes(), ramfs::new_inode(&sb, S_IFDIR | 0o755, Dev(0)));
    }
    root
}
