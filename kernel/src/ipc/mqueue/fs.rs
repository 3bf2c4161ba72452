// SPDX-License-Identifier: GPL-2.0-only
//! Queues as files: what `mount -t mqueue` shows.

use super::queue::Queue;
use crate::errno::{EFAULT, Result};
use crate::fs::dcache::Dentry;
use crate::fs::file_table::{Abilities, File, FileOps, default_seek};
use crate::fs::inode::mode::{S_IFDIR, S_IFREG};
use crate::fs::inode::{Dev, Inode, InodeOps};
use crate::fs::libfs::DirOps;
use crate::fs::namespace::Mount;
use crate::fs::select::PollTable;
use crate::fs::superblock::{FsType, MAX_NON_LFS, SuperBlock};
use crate::lib::iov_iter::IovIter;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;

/// `MQUEUE_MAGIC`.
const MQUEUE_MAGIC: u64 = 0x1980_0202;
/// What a file's size is said to be (`FILENT_SIZE`).
const FILENT_SIZE: u64 = 80;

/// `mqueue`.
pub static FS_TYPE: FsType = FsType {
    name: "mqueue",
    magic: MQUEUE_MAGIC,
    noexec: true,
    maxbytes: MAX_NON_LFS,
    mount: |_| Ok(mount().root.clone()),
};

/// The kernel's own mount, in which the calls look names up.
pub fn mount() -> &'static Arc<Mount> {
    static MOUNT: spin::Once<Arc<Mount>> = spin::Once::new();
    MOUNT.call_once(|| {
        let sb = SuperBlock::new(&FS_TYPE, String::new(), 0, usize::MAX);
        let root = Dentry::root(Inode::new(&sb, S_IFDIR | 0o1777, Dev(0), Box::new(Dir)));
        Mount::new(root, b"mqueue", 0)
    })
}

/// The directory. Queues are made by `mq_open` only.
struct Dir;
impl InodeOps for Dir {
    fn can_create(&self) -> bool {
        false
    }
    fn open(&self, _: &Arc<Inode>, _: u32) -> Result<Arc<dyn FileOps>> {
        Ok(Arc::new(DirOps::Simple))
    }
}

struct QueueInode(Arc<Queue>);
impl InodeOps for QueueInode {
    fn open(&self, _: &Arc<Inode>, _: u32) -> Result<Arc<dyn FileOps>> {
        Ok(Arc::new(QueueFile(self.0.clone())))
    }
    fn size(&self) -> u64 {
        FILENT_SIZE
    }
}

/// A queue's inode, of the current user.
pub fn queue_inode(queue: Arc<Queue>, mode: u32) -> Arc<Inode> {
    let inode = Inode::new(&mount().root.inode.sb, S_IFREG | mode, Dev(0), Box::new(QueueInode(queue)));
    inode.init_owner();
    inode
}

/// An open queue.
pub struct QueueFile(pub Arc<Queue>);

impl FileOps for QueueFile {
    fn abilities(&self) -> Abilities {
        Abilities { writes: false, ..Abilities::NO_ITER }
    }
    fn read(&self, _: &File, to: &mut IovIter<'_>, pos: &mut u64) -> Result<usize> {
        let text = self.0.status();
        let rest = usize::try_from(*pos).ok().and_then(|at| text.as_bytes().get(at..)).unwrap_or(&[]);
        let want = rest.len().min(to.count());
        let n = to.copy_to(&rest[..want]);
        if n < want {
            return Err(EFAULT);
        }
        *pos += n as u64;
        Ok(n)
    }
    fn seek(&self, file: &File, offset: i64, whence: u32) -> Result<u64> {
        default_seek(file, offset, whence)
    }
    fn poll(&self, _: &File, table: &mut PollTable) -> Option<u32> {
        table.wait(&self.0.wait);
        Some(self.0.poll())
    }
    /// Who closes it is not told any more (`mqueue_flush_file`).
    fn flush(&self) {
        let _ = self.0.set_notify(None);
    }
    fn as_any(&self) -> Option<&dyn core::any::Any> {
        Some(self)
    }
}
