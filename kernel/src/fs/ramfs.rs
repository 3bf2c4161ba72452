// SPDX-License-Identifier: GPL-2.0-only
//! File systems in memory: the rootfs, `tmpfs`, `ramfs` (Linux 6.1, `fs/ramfs/`,
//! `mm/shmem.c`).

use crate::errno::{EFAULT, EFBIG, EISDIR, Result};
use crate::fs::dcache::Dentry;
use crate::fs::file_table::{File, FileOps, UserBuf};
use crate::fs::filemap::{AddressSpace, MappedFile};
use crate::fs::inode::mode::*;
use crate::fs::inode::{Dev, Inode, InodeOps, Link};
use crate::fs::superblock::{FsType, SuperBlock};
use crate::kernel::signal::{rlimit, send_sig};
use crate::kernel::task::current;
use crate::mm::page_alloc::totalram_pages;
use crate::mm::vma::VmFile;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use linux_raw_sys::general::SIGXFSZ;

/// `tmpfs`.
pub static TMPFS: FsType = FsType { name: "tmpfs", magic: 0x0102_1994, mount: mount_tmpfs };
/// `ramfs`.
pub static RAMFS: FsType = FsType { name: "ramfs", magic: 0x8584_58f6, mount: |_| Ok(new_root(&RAMFS)) };

fn mount_tmpfs(_data: &[u8]) -> Result<Arc<Dentry>> {
    let root = new_root(&TMPFS);
    root.inode.attr.lock().mode = S_IFDIR | S_ISVTX | 0o777;
    Ok(root)
}

fn new_root(fs: &'static FsType) -> Arc<Dentry> {
    let sb = SuperBlock::new(fs, String::new(), totalram_pages() / 2);
    Dentry::root(new_inode(&sb, S_IFDIR | 0o755, Dev(0)))
}

/// The file system that the initramfs is unpacked to.
pub fn new_rootfs() -> Arc<Dentry> {
    let sb = SuperBlock::new(&RAMFS, String::new(), usize::MAX);
    Dentry::root(new_inode(&sb, S_IFDIR | 0o755, Dev(0)))
}

/// A new directory, regular file, device node or fifo.
pub fn new_inode(sb: &Arc<SuperBlock>, mode: u32, rdev: Dev) -> Arc<Inode> {
    let ops: Box<dyn InodeOps> = match mode & S_IFMT {
        S_IFDIR => Box::new(Dir),
        S_IFREG => Box::new(Reg(AddressSpace::new(sb))),
        S_IFCHR => Box::new(crate::fs::char_dev::CharDev),
        S_IFIFO => Box::new(crate::fs::pipe::Fifo::default()),
        _ => Box::new(Node),
    };
    Inode::new(sb, mode, rdev, ops)
}

/// A new symbolic link.
pub fn new_symlink(sb: &Arc<SuperBlock>, target: &[u8]) -> Arc<Inode> {
    Inode::new(sb, S_IFLNK | 0o777, Dev(0), Box::new(Symlink(target.to_vec())))
}

struct Dir;
impl InodeOps for Dir {
    fn can_create(&self) -> bool {
        true
    }
    fn open(&self, _: &Arc<Inode>, _: u32) -> Result<Arc<dyn FileOps>> {
        Ok(Arc::new(DirFile))
    }
}

/// An open directory.
pub struct DirFile;
impl FileOps for DirFile {
    fn read(&self, _: &File, _: UserBuf, _: u64) -> Result<usize> {
        Err(EISDIR)
    }
    fn seekable(&self) -> bool {
        true
    }
}

/// Sockets and block devices: names without anything behind them.
struct Node;
impl InodeOps for Node {}

struct Symlink(Vec<u8>);
impl InodeOps for Symlink {
    fn get_link(&self) -> Result<Link> {
        Ok(Link::Text(self.0.clone()))
    }
    fn size(&self) -> u64 {
        self.0.len() as u64
    }
}

struct Reg(AddressSpace);
impl InodeOps for Reg {
    fn mapping(&self) -> Option<&AddressSpace> {
        Some(&self.0)
    }
    fn open(&self, _: &Arc<Inode>, _: u32) -> Result<Arc<dyn FileOps>> {
        Ok(Arc::new(RegFile))
    }
}

/// An open regular file.
pub struct RegFile;

fn mapping(f: &File) -> Result<&AddressSpace> {
    f.path.dentry.inode.ops.mapping().ok_or(EFAULT)
}

impl FileOps for RegFile {
    fn read(&self, f: &File, buf: UserBuf, pos: u64) -> Result<usize> {
        mapping(f)?.read_user(pos, buf.addr, buf.len)
    }
    fn write(&self, f: &File, buf: UserBuf, pos: u64) -> Result<usize> {
        if buf.len == 0 {
            return Ok(0);
        }
        let limit = current().signal.rlimit_cur(rlimit::FSIZE);
        if pos >= limit {
            let _ = send_sig(SIGXFSZ as i32, &current(), false);
            return Err(EFBIG);
        }
        let len = buf.len.min((limit - pos).min(usize::MAX as u64) as usize);
        let n = mapping(f)?.write_user(pos, buf.addr, len)?;
        f.path.dentry.inode.touch_mtime();
        Ok(n)
    }
    fn seekable(&self) -> bool {
        true
    }
    fn mmap(&self, f: &File) -> Result<Arc<dyn VmFile>> {
        Ok(Arc::new(MappedFile { path: f.path.clone() }))
    }
}
