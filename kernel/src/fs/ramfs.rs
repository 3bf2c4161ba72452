// SPDX-License-Identifier: GPL-2.0-only
//! Files in memory: the root that the initramfs is unpacked to, `tmpfs`, `ramfs`
//! (Linux 6.1, `fs/ramfs/`, `mm/shmem.c`).

use crate::errno::{EINVAL, EPERM, Result};
use crate::fs::char_dev;
use crate::fs::dcache::Dentry;
use crate::fs::file_table::{File, FileOps, Mapping};
use crate::fs::filemap::{AddressSpace, seal};
use crate::fs::inode::mode::*;
use crate::fs::inode::{Dev, Inode, InodeOps, Link};
use crate::fs::libfs::DirOps;
use crate::fs::pipe::{self, FifoSlot};
use crate::fs::superblock::{FsType, SuperBlock};
use crate::kernel::capability::capable;
use crate::lib::iov_iter::IovIter;
use crate::mm::page_alloc::{Page, totalram_pages};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use linux_raw_sys::general::CAP_FSETID;

const TMPFS_MAGIC: u64 = 0x0102_1994;
const RAMFS_MAGIC: u64 = 0x8584_58f6;

/// `tmpfs`: half of the memory unless `size=` says otherwise.
pub static TMPFS: FsType = FsType { name: "tmpfs", magic: TMPFS_MAGIC, noexec: false, mount: mount_tmpfs };
/// `ramfs`: no limit but the memory.
pub static RAMFS: FsType = FsType { name: "ramfs", magic: RAMFS_MAGIC, noexec: false, mount: mount_ramfs };
/// The first file system: a `tmpfs` by another name.
static ROOTFS: FsType = FsType { name: "rootfs", magic: TMPFS_MAGIC, noexec: false, mount: |_| Err(EPERM) };

/// The root of a new file system.
pub fn new_root(sb: &Arc<SuperBlock>, mode: u32) -> Arc<Dentry> {
    Dentry::root(new_dir(sb, mode))
}

/// The root of the file system that everything is mounted on.
pub fn new_rootfs() -> Arc<Dentry> {
    let pages = totalram_pages() / 2;
    let options = format!(",size={}k,nr_inodes={}", pages * 4, pages);
    new_root(&SuperBlock::new(&ROOTFS, options, pages, pages), 0o755)
}

fn mount_ramfs(data: &[u8]) -> Result<Arc<Dentry>> {
    let o = Options::parse(data)?;
    Ok(new_root(&SuperBlock::new(&RAMFS, String::new(), usize::MAX, usize::MAX), o.mode.unwrap_or(0o755)))
}

fn mount_tmpfs(data: &[u8]) -> Result<Arc<Dentry>> {
    let o = Options::parse(data)?;
    let pages = o.pages.unwrap_or(totalram_pages() / 2);
    let mut shown = String::new();
    if let Some(p) = o.pages {
        shown = format!(",size={}k", p * 4);
    }
    let inodes = o.inodes.unwrap_or(totalram_pages() / 2);
    if o.inodes.is_some() {
        shown = format!("{shown},nr_inodes={inodes}");
    }
    if let Some(m) = o.mode {
        shown = format!("{shown},mode={m:o}");
    }
    let root = new_root(&SuperBlock::new(&TMPFS, shown, pages, inodes), o.mode.unwrap_or(0o1777));
    let mut a = root.inode.attr.lock();
    a.uid = o.uid;
    a.gid = o.gid;
    drop(a);
    Ok(root)
}

/// What `mount -o` says to a `tmpfs`.
#[derive(Debug, Default, PartialEq, Eq)]
struct Options {
    pages: Option<usize>,
    inodes: Option<usize>,
    mode: Option<u32>,
    uid: u32,
    gid: u32,
}

impl Options {
    fn parse(data: &[u8]) -> Result<Self> {
        let text = core::str::from_utf8(data).map_err(|_| EINVAL)?;
        let mut o = Self::default();
        for word in text.split(',').filter(|w| !w.is_empty()) {
            let (name, value) = word.split_once('=').unwrap_or((word, ""));
            match name {
                "size" => o.pages = Some(size(value)?.div_ceil(4096)),
                "nr_blocks" => o.pages = Some(size(value)?),
                "mode" => o.mode = Some(u32::from_str_radix(value, 8).map_err(|_| EINVAL)? & 0o7777),
                "uid" => o.uid = value.parse().map_err(|_| EINVAL)?,
                "gid" => o.gid = value.parse().map_err(|_| EINVAL)?,
                "nr_inodes" => o.inodes = Some(size(value)?),
                "huge" | "mpol" | "inode32" | "inode64" => {}
                _ => return Err(EINVAL),
            }
        }
        // 0: no limit.
        for limit in [&mut o.pages, &mut o.inodes] {
            if *limit == Some(0) {
                *limit = Some(usize::MAX);
            }
        }
        Ok(o)
    }
}

/// A size with one of Linux's suffixes; `%` means percent of the memory.
fn size(v: &str) -> Result<usize> {
    let (digits, unit) = match v.as_bytes().last() {
        Some(b'k' | b'K') => (&v[..v.len() - 1], 1 << 10),
        Some(b'm' | b'M') => (&v[..v.len() - 1], 1 << 20),
        Some(b'g' | b'G') => (&v[..v.len() - 1], 1 << 30),
        Some(b'%') => (&v[..v.len() - 1], totalram_pages() * 4096 / 100),
        _ => (v, 1),
    };
    digits.parse::<usize>().ok().and_then(|n| n.checked_mul(unit)).ok_or(EINVAL)
}

struct DirInode;

impl InodeOps for DirInode {
    fn can_create(&self) -> bool {
        true
    }
    fn open(&self, _: &Arc<Inode>, _: u32) -> Result<Arc<dyn FileOps>> {
        Ok(Arc::new(DirOps))
    }
}

/// A new, empty directory.
pub fn new_dir(sb: &Arc<SuperBlock>, mode: u32) -> Arc<Inode> {
    Inode::new(sb, S_IFDIR | mode & S_IALLUGO, Dev::default(), Box::new(DirInode))
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
    fn read(&self, _: &File, to: &mut IovIter<'_>, pos: &mut u64) -> Result<usize> {
        self.pages().read(to, pos)
    }
    fn write(&self, file: &File, from: &mut IovIter<'_>, pos: &mut u64) -> Result<usize> {
        let seals = self.pages().seals();
        if seals & (seal::WRITE | seal::FUTURE_WRITE) != 0 {
            return Err(EPERM);
        }
        if file.flags() & linux_raw_sys::general::O_APPEND != 0 {
            *pos = self.pages().size();
        }
        if seals & seal::GROW != 0 && *pos + from.count() as u64 > self.pages().size() {
            return Err(EPERM);
        }
        crate::fs::read_write::check_fsize(from, *pos)?;
        let n = self.pages().write(from, pos)?;
        drop_privileges(&self.0);
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
fn drop_privileges(inode: &Inode) {
    let mut a = inode.attr.lock();
    if a.mode & (S_ISUID | S_ISGID) == 0 || capable(CAP_FSETID) {
        return;
    }
    a.mode &= !S_ISUID;
    if a.mode & 0o010 != 0 {
        a.mode &= !S_ISGID;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_tmpfs() {
        let o = Options::parse(b"size=1m,mode=700,uid=5").unwrap();
        assert_eq!(o, Options { pages: Some(256), inodes: None, mode: Some(0o700), uid: 5, gid: 0 });
        assert_eq!(Options::parse(b"size=x"), Err(EINVAL));
        assert_eq!(Options::parse(b"what"), Err(EINVAL));
        assert_eq!(Options::parse(b"").unwrap(), Options::default());
    }
}
