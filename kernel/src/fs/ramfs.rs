// SPDX-License-Identifier: GPL-2.0-only
//! Files in memory: what is in a `ramfs`, a `tmpfs`, and the root that the initramfs is
//! unpacked to (Linux 6.1, `fs/ramfs/`, `mm/shmem.c`).

use crate::errno::{ENXIO, EPERM, Result};
use crate::fs::char_dev;
use crate::fs::dcache::Dentry;
use crate::fs::file_table::{Abilities, File, FileOps, Mapping, generic_seek};
use crate::fs::filemap::{AddressSpace, seal};
use crate::fs::inode::mode::*;
use crate::fs::inode::{Dev, Inode, InodeOps, Link};
use crate::fs::libfs::DirOps;
use crate::fs::pipe::{self, FifoSlot};
use crate::fs::superblock::{FsType, MAX_LFS_FILESIZE, SuperBlock};
use crate::fs::tmpfs::{self, TMPFS_MAGIC};
use crate::kernel::capability::capable;
use crate::lib::iov_iter::IovIter;
use crate::mm::page_alloc::Page;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use linux_raw_sys::general::{CAP_FSETID, O_APPEND, RWF_APPEND, SEEK_DATA, SEEK_HOLE};

const RAMFS_MAGIC: u64 = 0x8584_58f6;

/// `ramfs`: no limit but the memory.
pub static RAMFS: FsType = FsType {
    name: "ramfs",
    magic: RAMFS_MAGIC,
    noexec: false,
    maxbytes: MAX_LFS_FILESIZE,
    mount: mount_ramfs,
};
/// The root of a new file system.
pub fn new_root(sb: &Arc<SuperBlock>, mode: u32) -> Arc<Dentry> {
    Dentry::root(new_dir(sb, mode))
}

fn mount_ramfs(data: &[u8]) -> Result<Arc<Dentry>> {
    let o = tmpfs::Options::parse(data)?;
    Ok(new_root(&SuperBlock::new(&RAMFS, String::new(), usize::MAX, usize::MAX), o.mode.unwrap_or(0o755)))
}

/// What one name adds to the size that a directory of a `tmpfs` shows (`BOGO_DIRENT_SIZE`).
const BOGO_DIRENT_SIZE: u64 = 20;

struct DirInode {
    /// What each name adds to the size, and what the size is.
    per_name: u64,
    size: AtomicU64,
}

impl InodeOps for DirInode {
    fn size(&self) -> u64 {
        self.size.load(Relaxed)
    }
    fn name_added(&self) {
        self.size.fetch_add(self.per_name, Relaxed);
    }
    fn name_removed(&self) {
        self.size.fetch_sub(self.per_name, Relaxed);
    }
    fn can_create(&self) -> bool {
        true
    }
    fn open(&self, _: &Arc<Inode>, _: u32) -> Result<Arc<dyn FileOps>> {
        Ok(Arc::new(DirOps::Simple))
    }
}

/// A new, empty directory.
pub fn new_dir(sb: &Arc<SuperBlock>, mode: u32) -> Arc<Inode> {
    let per_name = if sb.fs.magic == TMPFS_MAGIC { BOGO_DIRENT_SIZE } else { 0 };
    // It has itself and its parent.
    let ops = DirInode { per_name, size: AtomicU64::new(2 * per_name) };
    Inode::new(sb, S_IFDIR | mode & S_IALLUGO, Dev::default(), Box::new(ops))
}

struct RegInode(AddressSpace);

impl InodeOps for RegInode {
    fn open(&self, inode: &Arc<Inode>, _: u32) -> Result<Arc<dyn FileOps>> {
        Ok(Arc::new(RegFile(inode.clone())))
    }
    fn mapping(&self) -> Option<&AddressSpace> {
        Some(&self.0)
    }
}

/// A new, empty file.
pub fn new_file(sb: &Arc<SuperBlock>, mode: u32) -> Arc<Inode> {
    Inode::new(sb, S_IFREG | mode & S_IALLUGO, Dev::default(), Box::new(RegInode(AddressSpace::new(sb))))
}

struct SymlinkInode(Vec<u8>);

impl InodeOps for SymlinkInode {
    fn get_link(&self) -> Result<Link> {
        Ok(Link::Text(self.0.clone()))
    }
    fn size(&self) -> u64 {
        self.0.len() as u64
    }
}

/// A symbolic link to `to`.
pub fn new_symlink(sb: &Arc<SuperBlock>, to: &[u8]) -> Arc<Inode> {
    Inode::new(sb, S_IFLNK | 0o777, Dev::default(), Box::new(SymlinkInode(to.to_vec())))
}

struct DeviceInode;

impl InodeOps for DeviceInode {
    fn open(&self, inode: &Arc<Inode>, flags: u32) -> Result<Arc<dyn FileOps>> {
        char_dev::open(inode, flags)
    }
}

struct FifoInode(FifoSlot);

impl InodeOps for FifoInode {
    fn open(&self, _: &Arc<Inode>, flags: u32) -> Result<Arc<dyn FileOps>> {
        pipe::fifo_open(&self.0, flags)
    }
}

/// A device, fifo or socket.
pub fn new_node(sb: &Arc<SuperBlock>, mode: u32, dev: Dev) -> Arc<Inode> {
    let ops: Box<dyn InodeOps> = match mode & S_IFMT {
        S_IFIFO => Box::new(FifoInode(FifoSlot::default())),
        _ => Box::new(DeviceInode),
    };
    Inode::new(sb, mode, dev, ops)
}

/// An open regular file.
struct RegFile(Arc<Inode>);

impl RegFile {
    fn pages(&self) -> &AddressSpace {
        self.0.ops.mapping().expect("only files with pages are opened so")
    }
}

impl FileOps for RegFile {
    fn abilities(&self) -> Abilities {
        Abilities { splice_read: true, splice_write: true, fsync: true, ..Abilities::DEFAULT }
    }
    /// Only what was used is data, in a `tmpfs` (`shmem_file_llseek`).
    fn seek(&self, file: &File, offset: i64, whence: u32) -> Result<u64> {
        if !matches!(whence, SEEK_DATA | SEEK_HOLE) || !self.pages().is_shmem() {
            return generic_seek(file, offset, whence);
        }
        let start = u64::try_from(offset).map_err(|_| ENXIO)?;
        let found = self.pages().seek_hole_data(start, whence == SEEK_DATA).ok_or(ENXIO)?;
        *file.pos.lock() = found;
        Ok(found)
    }
    fn read(&self, _: &File, to: &mut IovIter<'_>, pos: &mut u64) -> Result<usize> {
        self.pages().read(to, pos)
    }
    fn write(&self, file: &File, from: &mut IovIter<'_>, pos: &mut u64) -> Result<usize> {
        let seals = self.pages().seals();
        if self.pages().is_write_sealed() {
            return Err(EPERM);
        }
        if file.flags() & O_APPEND != 0 || from.flags() & RWF_APPEND != 0 {
            *pos = self.pages().size();
        }
        if seals & seal::GROW != 0 && *pos + from.count() as u64 > self.pages().size() {
            return Err(EPERM);
        }
        crate::fs::read_write::check_fsize(file, from, *pos)?;
        let n = self.pages().write(from, pos)?;
        file_remove_privs(&self.0);
        self.0.touch_mtime();
        Ok(n)
    }
    fn mmap(&self, _: &File) -> Result<Mapping> {
        Ok(Mapping::Pages)
    }
    fn fault_page(&self, _: &File, pgoff: u64) -> Result<Page> {
        self.pages().fault_page(pgoff)
    }
    fn cached_page(&self, _: &File, pgoff: u64) -> Option<Page> {
        self.pages().cached_page(pgoff)
    }
}

/// Whoever is not root and writes a set-id program makes it an ordinary one
/// (`file_remove_privs`).
pub fn file_remove_privs(inode: &Inode) {
    let mut a = inode.attr.lock();
    if a.mode & (S_ISUID | S_ISGID) == 0 || capable(CAP_FSETID) {
        return;
    }
    a.mode &= !S_ISUID;
    if a.mode & 0o010 != 0 {
        a.mode &= !S_ISGID;
    }
}
