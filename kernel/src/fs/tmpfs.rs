// SPDX-License-Identifier: GPL-2.0-only
//! `tmpfs`: how much it may hold, and its other options (Linux 6.1, `mm/shmem.c`, from
//! `shmem_parse_one` to `shmem_fill_super`). What is in it is [`ramfs`]'s.

use crate::errno::{EINVAL, EPERM, Result};
use crate::fs::dcache::Dentry;
use crate::fs::namespace::Mount;
use crate::fs::ramfs;
use crate::fs::superblock::{FsType, MAX_LFS_FILESIZE, SuperBlock};
use crate::mm::page_alloc::totalram_pages;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use core::sync::atomic::Ordering::Relaxed;

/// `f_type` of everything that is a `tmpfs`, whatever its name.
pub const TMPFS_MAGIC: u64 = 0x0102_1994;

/// `tmpfs`: half of the memory unless `size=` says otherwise.
pub static TMPFS: FsType =
    FsType { name: "tmpfs", magic: TMPFS_MAGIC, noexec: false, maxbytes: MAX_LFS_FILESIZE, mount };
/// The first file system: a `tmpfs` by another name.
static ROOTFS: FsType = FsType {
    name: "rootfs",
    magic: TMPFS_MAGIC,
    noexec: false,
    maxbytes: MAX_LFS_FILESIZE,
    mount: |_| Err(EPERM),
};

/// Permissions of a root that nobody chose.
const DEFAULT_MODE: u32 = 0o1777;

/// The root of the file system that everything is mounted on.
pub fn new_rootfs() -> Arc<Dentry> {
    let pages = totalram_pages() / 2;
    let options = format!(",size={}k,nr_inodes={pages},inode64", pages * 4);
    ramfs::new_root(&SuperBlock::new(&ROOTFS, options, pages, pages), 0o755)
}

/// The kernel's own instance, without limits: what memory files and shared segments are on (`shm_mnt`).
pub fn shm_mnt() -> &'static Arc<Mount> {
    static MOUNT: spin::Once<Arc<Mount>> = spin::Once::new();
    MOUNT.call_once(|| {
        let sb = SuperBlock::new(&TMPFS, String::new(), usize::MAX, usize::MAX);
        Mount::new(ramfs::new_root(&sb, 0o777), b"tmpfs", 0)
    })
}

fn mount(data: &[u8]) -> Result<Arc<Dentry>> {
    let o = Options::parse(data)?;
    let default = totalram_pages() / 2;
    let (pages, inodes) = (o.pages.unwrap_or(default), o.inodes.unwrap_or(default));
    let sb = SuperBlock::new(&TMPFS, String::new(), pages, inodes);
    // The root is one of the names that there may be.
    sb.charge_inode()?;
    let root = ramfs::new_root(&sb, o.mode.unwrap_or(DEFAULT_MODE));
    let mut a = root.inode.attr.lock();
    (a.uid, a.gid) = (o.uid, o.gid);
    drop(a);
    show_options(&sb, &o);
    Ok(root)
}

/// Changes how much an instance may hold, to no less than it has (`shmem_reconfigure`).
pub fn reconfigure(sb: &SuperBlock, data: &[u8]) -> Result {
    let asked = Options::parse(data)?;
    let keeps = |limit: Option<usize>, used: usize| limit.is_none_or(|l| l >= used);
    if !keeps(asked.pages, sb.pages.load(Relaxed)) || !keeps(asked.inodes, sb.inodes.load(Relaxed)) {
        return Err(EINVAL);
    }
    if let Some(pages) = asked.pages {
        sb.max_pages.store(pages, Relaxed);
    }
    if let Some(inodes) = asked.inodes {
        sb.max_inodes.store(inodes, Relaxed);
    }
    // Who owns the root, and who may use it, stays as it was at the first mount.
    let mounted = Options::parse(sb.options.lock().replace(",inode64", "").as_bytes()).unwrap_or_default();
    let shown =
        Options { pages: asked.pages.or(mounted.pages), inodes: asked.inodes.or(mounted.inodes), ..mounted };
    show_options(sb, &shown);
    Ok(())
}

/// The options that are not what they would be by themselves (`shmem_show_options`).
fn show_options(sb: &SuperBlock, o: &Options) {
    let default = totalram_pages() / 2;
    // No limit is shown as none.
    let limit = |n: Option<usize>| n.filter(|&n| n != default).map(|n| if n == usize::MAX { 0 } else { n });
    let mut text = String::new();
    if let Some(pages) = limit(o.pages) {
        text = format!(",size={}k", pages * 4);
    }
    if let Some(inodes) = limit(o.inodes) {
        text = format!("{text},nr_inodes={inodes}");
    }
    if let Some(mode) = o.mode.filter(|&mode| mode != DEFAULT_MODE) {
        text = format!("{text},mode={mode:03o}");
    }
    for (name, id) in [("uid", o.uid), ("gid", o.gid)] {
        if id != 0 {
            text = format!("{text},{name}={id}");
        }
    }
    *sb.options.lock() = format!("{text},inode64");
}

/// What `mount -o` says to a `tmpfs`.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Options {
    pages: Option<usize>,
    inodes: Option<usize>,
    /// Permissions of the root.
    pub mode: Option<u32>,
    uid: u32,
    gid: u32,
}

impl Options {
    /// Reads `name=value` words between commas.
    pub fn parse(data: &[u8]) -> Result<Self> {
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

    #[test]
    fn a_remount_keeps_what_it_does_not_name() {
        let sb = SuperBlock::new(&TMPFS, String::new(), 256, 20);
        show_options(&sb, &Options::parse(b"size=1m,nr_inodes=20,mode=750,gid=5").unwrap());
        assert_eq!(*sb.options.lock(), ",size=1024k,nr_inodes=20,mode=750,gid=5,inode64");
        reconfigure(&sb, b"size=2m").unwrap();
        assert_eq!(*sb.options.lock(), ",size=2048k,nr_inodes=20,mode=750,gid=5,inode64");
        assert_eq!(sb.max_pages.load(Relaxed), 512);
        sb.pages.store(100, Relaxed);
        assert_eq!(reconfigure(&sb, b"size=64k"), Err(EINVAL));
    }
}
