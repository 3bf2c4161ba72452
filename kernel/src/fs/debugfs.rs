// SPDX-License-Identifier: GPL-2.0-only
//! `debugfs`: files for those who look into the kernel (Linux 6.1, `fs/debugfs/`).

use crate::errno::Result;
use crate::fs::dcache::Dentry;
use crate::fs::proc::file::{ProcFile, StoreFn};
use crate::fs::proc::file_inode;
use crate::fs::ramfs;
use crate::fs::superblock::{FsType, SuperBlock};
use crate::kernel::kprobes;
use alloc::string::String;
use alloc::sync::Arc;

/// `debugfs`.
pub static FS_TYPE: FsType = FsType { name: "debugfs", magic: 0x6462_6720, noexec: false, mount };

/// A file: its directory, name, mode, what reading it shows and what writing it does.
pub struct DebugFile {
    /// Below the root.
    pub dir: &'static str,
    #[allow(missing_docs)]
    pub name: &'static str,
    #[allow(missing_docs)]
    pub mode: u32,
    #[allow(missing_docs)]
    pub show: fn(&mut crate::fs::seq_file::SeqFile),
    #[allow(missing_docs)]
    pub store: Option<StoreFn>,
}

/// All files.
static FILES: &[&DebugFile] = &[
    &crate::drivers::misc::lkdtm::DIRECT,
    &kprobes::LIST,
    &kprobes::BLACKLIST,
    &kprobes::ENABLED,
    #[cfg(target_os = "none")]
    &crate::arch::x86::kernel::nmi_entries::ENTRIES,
];

fn make() -> Arc<Dentry> {
    let sb = SuperBlock::new(&FS_TYPE, String::new(), 0, usize::MAX);
    let root = Dentry::root(ramfs::new_dir(&sb, 0o700));
    for f in FILES {
        let dir = root.child(f.dir.as_bytes());
        let dir = dir.map_or_else(|| root.add(f.dir.as_bytes(), ramfs::new_dir(&sb, 0o755)), Ok);
        let file = ProcFile::new(|o| {
            (f.show)(o);
            Ok(())
        });
        let file = match f.store {
            Some(store) => file.with_store(store),
            None => file,
        };
        if let Ok(dir) = dir {
            let _ = dir.add(f.name.as_bytes(), file_inode(&sb, f.mode, file));
        }
    }
    root
}

fn mount(_data: &[u8]) -> Result<Arc<Dentry>> {
    static ROOT: spin::Once<Arc<Dentry>> = spin::Once::new();
    Ok(ROOT.call_once(make).clone())
}
