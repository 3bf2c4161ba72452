// SPDX-License-Identifier: GPL-2.0-only
//! Unpacking the initramfs (Linux 6.1, `init/initramfs.c`).

use crate::errno::{ENOENT, Result};
use crate::fs::dcache::Dentry;
use crate::fs::inode::mode::*;
use crate::fs::inode::{Dev, Inode, Time};
use crate::fs::namei::{Last, user_path_parent};
use crate::fs::namespace::rootfs;
use crate::fs::ramfs;
use crate::kernel::panic::Comm;
use crate::lib::cpio::{Entry, Error, Item, Reader};
use crate::lib::cpio_pieces::{Pieces, Sink, Why};
use crate::lib::decompress_inflate::gunzip;
use crate::lib::iov_iter::IovIter;
use crate::mm::util::try_push;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use linux_raw_sys::general::AT_FDCWD;

/// What is wrong with an archive; a bad name is shown before.
fn why(e: Error<'_>) -> Why {
    if let Error::Malformed { what, name } = e {
        crate::pr_err!("initramfs {what} without nulterm: {}\n", Comm(name));
    }
    e.message()
}

/// Unpacks the archives of `image` into the rootfs; what is wrong is logged, and boot
/// goes on with what there is.
pub fn populate_rootfs(image: &[u8]) {
    default_rootfs();
    if image.is_empty() {
        return;
    }
    crate::pr_info!("Trying to unpack rootfs image as initramfs...\n");
    if let Err(why) = unpack(image) {
        crate::pr_emerg!("Initramfs unpacking failed: {why}\n");
    }
}

/// What is there without an archive (`usr/default_cpio_list`): `/dev`, its console,
/// and `/root`.
fn default_rootfs() {
    let root = rootfs().dentry;
    let sb = root.inode.sb.clone();
    if let Ok(dev) = add(&root, b"dev", ramfs::new_dir(&sb, 0o755)) {
        let _ = add(&dev, b"console", ramfs::new_node(&sb, S_IFCHR | 0o600, Dev::new(5, 1)));
    }
    let _ = add(&root, b"root", ramfs::new_dir(&sb, 0o700));
}

/// Hangs `inode` below `dir`, whose links it counts.
fn add(dir: &Arc<Dentry>, name: &[u8], inode: Arc<Inode>) -> Result<Arc<Dentry>> {
    let is_dir = inode.is_dir();
    let d = dir.add(name, inode)?;
    dir.inode.attr.lock().nlink += u32::from(is_dir);
    Ok(d)
}

/// What must be remembered from member to member.
#[derive(Default)]
struct Unpacker {
    /// Hard links seen so far: device, inode number and kind in the archive.
    links: BTreeMap<((u32, u32), u32, u32), Arc<Inode>>,
    /// Directories, whose times are set last.
    dirs: Vec<(Arc<Inode>, u32)>,
    /// The file whose content is coming.
    body: Option<Body>,
}

/// Archives follow one another, plain or compressed, with zeroes between
/// (`unpack_to_rootfs`).
fn unpack(image: &[u8]) -> Result<(), Why> {
    let mut u = Unpacker::default();
    let r = u.archives(image);
    for (dir, mtime) in &u.dirs {
        let t = Time { sec: i64::from(*mtime), nsec: 0 };
        let mut a = dir.attr.lock();
        (a.atime, a.mtime) = (t, t);
    }
    r
}

impl Unpacker {
    fn archives(&mut self, image: &[u8]) -> Result<(), Why> {
        let mut reader = Reader::new(image);
        loop {
            match reader.next_item().map_err(why)? {
                Item::End => return Ok(()),
                Item::Trailer => self.trailer(),
                Item::Member(e) => self.member(&e)?,
                Item::Other(rest) => {
                    let used = self.compressed(rest)?;
                    reader.skip(used);
                }
            }
        }
    }

    /// A compressed archive at the beginning of `z`; returns its length.
    fn compressed(&mut self, z: &[u8]) -> Result<usize, Why> {
        const OTHERS: [(&[u8], Why); 6] = [
            (b"BZh", "compression method bzip2 not configured"),
            (&[0x5d, 0], "compression method lzma not configured"),
            (&[0xfd, b'7', b'z', b'X', b'Z'], "compression method xz not configured"),
            (&[0x89, b'L', b'Z', b'O'], "compression method lzo not configured"),
            (&[2, 0x21, 0x4c, 0x18], "compression method lz4 not configured"),
            (&[0x28, 0xb5, 0x2f, 0xfd], "compression method zstd not configured"),
        ];
        if !z.starts_with(&[0x1f, 0x8b]) {
            let known = OTHERS.iter().find(|(magic, _)| z.starts_with(magic));
            return Err(known.map_or("invalid magic at start of compressed archive", |k| k.1));
        }
        let mut pieces = Pieces::new();
        let used = gunzip(z, |piece| pieces.push(piece, self))?;
        if pieces.is_whole() { Ok(used) } else { Err("junk at the end of compressed archive") }
    }

    /// Makes what `e` describes, but for a file's content.
    fn make(&mut self, e: &Entry<'_>) -> Result<Arc<Inode>> {
        let p = user_path_parent(AT_FDCWD, e.name)?;
        let (dir, kind) = (&p.dir.dentry, e.mode & S_IFMT);
        let Last::Name(name) = &p.last else {
            // The root itself, by any of its names.
            set_attr(&dir.inode, e);
            return Ok(dir.inode.clone());
        };
        dir.inode.want_dir()?;
        if let Some(old) = dir.child(name) {
            let inode = old.inode.clone();
            if inode.kind() == kind && matches!(kind, S_IFDIR | S_IFREG) && !self.is_link(e) {
                // Written over, with its other names if it has some.
                if let Some(pages) = inode.ops.mapping() {
                    pages.truncate(0);
                }
                set_attr(&inode, e);
                return Ok(inode);
            }
            remove(dir, &old)?;
        }
        if let Some(first) = self.find_link(e) {
            dir.add(name, first.clone())?;
            first.attr.lock().nlink += 1;
            return Ok(first);
        }
        let sb = &dir.inode.sb;
        let inode = match kind {
            S_IFREG => ramfs::new_file(sb, e.mode),
            S_IFDIR => ramfs::new_dir(sb, e.mode),
            S_IFLNK => ramfs::new_symlink(sb, e.data.split(|&b| b == 0).next().unwrap_or(&[])),
            S_IFCHR | S_IFBLK | S_IFIFO | S_IFSOCK => {
                ramfs::new_node(sb, e.mode, Dev::new(e.rdev.0, e.rdev.1))
            }
            _ => return Err(ENOENT),
        };
        set_attr(&inode, e);
        add(dir, name, inode.clone())?;
        if kind == S_IFDIR {
            try_push(&mut self.dirs, (inode.clone(), e.mtime))?;
        } else if e.nlink >= 2 {
            self.links.insert(link_key(e), inode.clone());
        }
        Ok(inode)
    }

    fn is_link(&self, e: &Entry<'_>) -> bool {
        self.find_link(e).is_some()
    }
    fn find_link(&self, e: &Entry<'_>) -> Option<Arc<Inode>> {
        let linked = e.nlink >= 2 && !matches!(e.mode & S_IFMT, S_IFDIR | S_IFLNK);
        if linked { self.links.get(&link_key(e)).cloned() } else { None }
    }
}

impl Sink for Unpacker {
    fn member(&mut self, e: &Entry<'_>) -> Result<(), Why> {
        // What cannot be made is left out, without a word.
        self.body = self.make(e).ok().and_then(|inode| Body::begin(inode, e));
        self.more(e.data)
    }
    fn more(&mut self, data: &[u8]) -> Result<(), Why> {
        let Some(body) = &mut self.body else { return Ok(()) };
        body.write(data)?;
        if body.left != 0 {
            return Ok(());
        }
        self.body.take().map_or(Ok(()), Body::end)
    }
    fn trailer(&mut self) {
        self.links.clear();
    }
    fn wrong(&mut self, e: Error<'_>) -> Why {
        why(e)
    }
}

fn link_key(e: &Entry<'_>) -> ((u32, u32), u32, u32) {
    (e.dev, e.ino, e.mode & S_IFMT)
}

/// Makes room for something of another kind (`clean_path`).
fn remove(dir: &Arc<Dentry>, old: &Arc<Dentry>) -> Result {
    if old.inode.is_dir() {
        if !old.is_empty() {
            return Err(crate::errno::ENOTEMPTY);
        }
        crate::fs::namei_calls::drop_dir(dir, old);
    } else {
        crate::fs::namei_calls::drop_name(dir, old);
    }
    Ok(())
}

fn set_attr(inode: &Inode, e: &Entry<'_>) {
    let time = Time { sec: i64::from(e.mtime), nsec: 0 };
    let mut a = inode.attr.lock();
    if a.mode & S_IFMT != S_IFLNK {
        a.mode = a.mode & S_IFMT | e.mode & S_IALLUGO;
    }
    (a.uid, a.gid) = (e.uid, e.gid);
    (a.atime, a.mtime) = (time, time);
}

/// A regular file's content on its way. As on Linux, a file that never comes whole stays
/// open for writing: it cannot be run.
struct Body {
    inode: Arc<Inode>,
    pos: u64,
    left: usize,
    /// Sum of the bytes so far, and what it must come to.
    sum: u32,
    checksum: Option<u32>,
}

impl Body {
    /// Opens it; `None` if there is no content to come.
    fn begin(inode: Arc<Inode>, e: &Entry<'_>) -> Option<Self> {
        let pages = inode.ops.mapping()?;
        pages.truncate(pages.size().max(u64::from(e.size)));
        let _ = inode.get_write_access();
        Some(Self { inode, pos: 0, left: e.size as usize, sum: 0, checksum: e.checksum })
    }
    fn write(&mut self, data: &[u8]) -> Result<(), Why> {
        self.left -= data.len();
        self.sum = data.iter().fold(self.sum, |n, &b| n.wrapping_add(u32::from(b)));
        let pages = self.inode.ops.mapping().ok_or("write error")?;
        let written = pages.write(&mut IovIter::source(data), &mut self.pos);
        if data.is_empty() || written == Ok(data.len()) { Ok(()) } else { Err("write error") }
    }
    fn end(self) -> Result<(), Why> {
        self.inode.put_write_access();
        if self.checksum.is_none_or(|c| c == self.sum) { Ok(()) } else { Err("bad data checksum") }
    }
}
