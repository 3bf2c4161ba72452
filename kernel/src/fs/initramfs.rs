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
use crate::lib::iov_iter::IovIter;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use linux_raw_sys::general::AT_FDCWD;
use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::inflate_flags::{
    TINFL_FLAG_HAS_MORE_INPUT, TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF,
};
use miniz_oxide::inflate::core::{DecompressorOxide, decompress};

/// Linux decompresses in pieces of this size, and unpacks each at once.
const CHUNK: usize = 0x8000;

/// What is wrong, in Linux's words.
type Why = &'static str;

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
                Item::Trailer => self.links.clear(),
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
        let g = gunzip(z);
        let whole = self.decompressed(&g.data)?;
        g.end?;
        if !whole {
            return Err("junk at the end of compressed archive");
        }
        Ok(g.used)
    }

    /// What came out of a compressed archive; says whether it ended with a whole member.
    fn decompressed(&mut self, data: &[u8]) -> Result<bool, Why> {
        let mut reader = Reader::new(data);
        loop {
            match reader.next_item().map_err(why)? {
                Item::End => return Ok(reader.is_whole()),
                Item::Trailer => self.links.clear(),
                Item::Member(e) => self.member(&e)?,
                Item::Other(_) => return Err("junk within compressed archive"),
            }
        }
    }

    fn member(&mut self, e: &Entry<'_>) -> Result<(), Why> {
        // What cannot be made is left out, without a word.
        match self.make(e) {
            Ok(inode) => fill(&inode, e),
            Err(_) => Ok(()),
        }
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
            self.dirs.push((inode.clone(), e.mtime));
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

/// Writes a regular file's content.
fn fill(inode: &Arc<Inode>, e: &Entry<'_>) -> Result<(), Why> {
    let Some(pages) = inode.ops.mapping() else {
        return Ok(());
    };
    let written = pages.write(&mut IovIter::source(e.data), &mut 0);
    pages.truncate(pages.size().max(u64::from(e.size)));
    if e.data.len() < e.size as usize {
        // As on Linux, a file that did not come whole stays open: it cannot be run.
        let _ = inode.get_write_access();
    }
    if !e.data.is_empty() && written != Ok(e.data.len()) {
        return Err("write error");
    }
    if e.checksum_fits() { Ok(()) } else { Err("bad data checksum") }
}

/// What came out of a gzip member.
struct Gunzipped {
    data: Vec<u8>,
    /// Its length, trailer included.
    used: usize,
    end: Result<(), Why>,
}

/// Expands one gzip member. Of a damaged one there is what came before the damage, in
/// whole pieces, as Linux would have unpacked it (Linux 6.1, `lib/decompress_inflate.c`).
fn gunzip(z: &[u8]) -> Gunzipped {
    let failed = |why| Gunzipped { data: Vec::new(), used: 0, end: Err(why) };
    if z.len() < 10 {
        return failed("read error");
    }
    if z[2] != 8 {
        return failed("Not a gzip file");
    }
    let Some(header) = gzip_header_len(z) else {
        return failed("header error");
    };
    let body = &z[header..];
    let mut data: Vec<u8> = Vec::new();
    let mut state = DecompressorOxide::new();
    let (mut used, mut len) = (0, 0);
    let end = loop {
        if data.len() - len < CHUNK {
            // The size that the trailer promises is only a hint.
            let more = data.len().max(4 * CHUNK);
            if data.try_reserve_exact(more).is_err() {
                break Err("Out of memory while allocating output buffer");
            }
            data.resize(data.len() + more, 0);
        }
        let flags = TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF | TINFL_FLAG_HAS_MORE_INPUT;
        let (status, n, m) = decompress(&mut state, &body[used..], &mut data, len, flags);
        used += n;
        len += m;
        match status {
            TINFLStatus::Done => break Ok(()),
            TINFLStatus::HasMoreOutput => {}
            TINFLStatus::NeedsMoreInput | TINFLStatus::FailedCannotMakeProgress => break Err("read error"),
            _ => break Err("uncompression error"),
        }
    };
    data.truncate(if end.is_ok() { len } else { len - len % CHUNK });
    Gunzipped { data, used: (header + used + 8).min(z.len()), end }
}

/// Length of a gzip header: Linux knows of no field but the name.
fn gzip_header_len(z: &[u8]) -> Option<usize> {
    const FNAME: u8 = 8;
    if z[3] & FNAME == 0 {
        return Some(10);
    }
    z[10..].iter().position(|&b| b == 0).map(|n| 10 + n + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn gzip_headers() {
        assert_eq!(gzip_header_len(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3]), Some(10));
        assert_eq!(gzip_header_len(b"\x1f\x8b\x08\x08\0\0\0\0\0\x03name\0"), Some(15));
        assert_eq!(gzip_header_len(b"\x1f\x8b\x08\x08\0\0\0\0\0\x03name"), None);
    }

    #[test]
    fn damage_is_told_in_linuxs_words() {
        let end = |z: &[u8]| gunzip(z).end;
        assert_eq!(end(b"\x1f\x8b\x08\0\0\0\0\0\0\x03\xff\xff\xff\xff"), Err("uncompression error"));
        assert_eq!(end(b"\x1f\x8b\x08\0\0\0\0\0\0\x03"), Err("read error"));
        assert_eq!(end(b"\x1f\x8b\x08"), Err("read error"));
        assert_eq!(end(b"\x1f\x8b\x07\0\0\0\0\0\0\x03"), Err("Not a gzip file"));
        let stored = b"\x1f\x8b\x08\0\0\0\0\0\0\x03\x01\x02\0\xfd\xffhi\0\0\0\0\0\0\0\0";
        let g = gunzip(stored);
        assert_eq!((&g.data[..], g.used, g.end), (&b"hi"[..], stored.len(), Ok(())));
    }

    proptest! {
        #[test]
        fn any_bytes_are_expanded_to_some_end(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = gunzip(&[&b"\x1f\x8b\x08\0\0\0\0\0\0\x03"[..], &body].concat());
        }
    }
}
