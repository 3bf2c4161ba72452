// SPDX-License-Identifier: GPL-2.0-only
//! `sysfs`: the directories that programs look for (Linux 6.1, `fs/sysfs/`); what is in
//! them comes with what they are about.

use crate::errno::Result;
use crate::fs::dcache::Dentry;
use crate::fs::file_table::FileOps;
use crate::fs::inode::mode::S_IFDIR;
use crate::fs::inode::{Dev, Inode, InodeOps};
use crate::fs::libfs::DirOps;
use crate::fs::superblock::{FsType, SuperBlock};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;

/// A directory, in which nobody but the kernel makes anything.
struct SysDir;
impl InodeOps for SysDir {
    fn open(&self, _: &Arc<Inode>, _: u32) -> Result<Arc<dyn FileOps>> {
        Ok(Arc::new(DirOps))
    }
}

/// `sysfs`.
pub static FS_TYPE: FsType = FsType { name: "sysfs", magic: 0x6265_6572, noexec: true, mount };

fn mount(_data: &[u8]) -> Result<Arc<Dentry>> {
    static ROOT: spin::Once<Arc<Dentry>> = spin::Once::new();
    let make = || {
        let sb = SuperBlock::new(&FS_TYPE, String::new(), 0, usize::MAX);
        let dir = || Inode::new(&sb, S_IFDIR | 0o755, Dev(0), Box::new(SysDir));
        let root = Dentry::root(dir());
        for name in ["class", "devices", "fs", "kernel"] {
            if let Ok(d) = root.add(name.as_bytes(), dir())
                && name == "kernel"
            {
                let _ = d.add(b"debug", dir());
            }
        }
        root
    };
    Ok(ROOT.call_once(make).clone())
}
