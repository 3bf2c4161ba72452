// SPDX-License-Identifier: GPL-2.0-only
//! Unpacking the initramfs (Linux 6.1, `init/initramfs.c`).

use crate::errno::Result;
use crate::fs::dcache::Dentry;
use crate::fs::inode::mode::*;
use crate::fs::inode::{Dev, Inode, Time};
use crate::fs::namespace::rootfs;
use crate::fs::ramfs;
use crate::lib::cpio::{self, Entry};
use alloc::borrow::Cow;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress};

/// Hard links seen so far: device and inode number of the archive.
type Links = BTreeMap<(u32, u32, u32), Arc<Inode>>;

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
    if let Ok(dev) = root.add(b"dev", ramfs::new_inode(&sb, S_IFDIR | 0o755, Dev(0))) {
        let _ = dev.add(b"console", ramfs::new_inode(&sb, S_IFCHR | 0o600, Dev::new(5, 1)));
    }
    let _ = root.add(b"root", ramfs::new_inode(&sb, S_IFDIR | 0o700, Dev(0)));
}

/// Archives follow one another, plain or compressed, with zeroes between.
fn unpack(mut image: &[u8]) -> Result<(), &'static str> {
    let mut links = Links::new();
    while let Some(start) = image.iter().position(|&b| b != 0) {
        image = &image[start..];
        if image[0] == b'0' {
            let used = write_archive(image, &mut links)?;
            image = &image[used..];
        } else if image.starts_with(&[0x1f, 0x8b]) {
            let (data, used) = gunzip(image)?;
            let mut rest: &[u8] = &data;
            while let Some(s) = rest.iter().position(|&b| b != 0) {
                rest = &rest[s..];
                let used = write_archive(rest, &mut links)?;
                rest = &rest[used..];
            }
            image = &image[used..];
        } else {
            return Err("invalid magic at start of compressed archive");
        }
    }
    Ok(())
}

/// Expands one gzip member: the data, and how many bytes it took.
fn gunzip(z: &[u8]) -> Result<(Vec<u8>, usize), &'static str> {
    let header = gzip_header_len(z).ok_or(if z.get(2).is_none_or(|&m| m == 8) {
        "read error"
    } else {
        "uncompression error"
    })?;
    let body = &z[header..];
    let mut out = alloc::vec![0u8; (body.len() * 3).max(4096)];
    let mut d = DecompressorOxide::new();
    let (mut used, mut len) = (0, 0);
    loop {
        let (st, n, m) =
            decompress(&mut d, &body[used..], &mut out, len, TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF);
        used += n;
        len += m;
        match st {
            TINFLStatus::Done => break,
            TINFLStatus::HasMoreOutput => {
                let free = crate::mm::page_alloc::nr_free_pages() * 4096;
                if out.len() > free / 2 {
                    return Err("no memory");
                }
                out.resize(out.len() * 2, 0);
            }
            TINFLStatus::FailedCannotMakeProgress | TINFLStatus::NeedsMoreInput => return Err("read error"),
            _ => return Err("uncompression error"),
        }
    }
    out.truncate(len);
    if body.len() < used + 8 {
        return Err("read error");
    }
    Ok((out, header + used + 8))
}

/// Length of a gzip header with its optional fields (RFC 1952).
fn gzip_header_len(z: &[u8]) -> Option<usize> {
    if z.len() < 10 || z[2] != 8 {
        return None;
    }
    let flags = z[3];
    let mut at = 10;
    if flags & 4 != 0 {
        at += 2 + usize::from(u16::from_le_bytes([*z.get(at)?, *z.get(at + 1)?]));
    }
    for bit in [8, 16] {
        if flags & bit != 0 {
            at += z.get(at..)?.iter().position(|&b| b == 0)? + 1;
        }
    }
    if flags & 2 != 0 {
        at += 2;
    }
    (at <= z.len()).then_some(at)
}

/// Unpacks one cpio archive; returns its length.
fn write_archive(image: &[u8], links: &mut Links) -> Result<usize, &'static str> {
    let mut reader = cpio::Reader::new(image);
    while let Some(e) = reader.next_entry()? {
        // A file that cannot be made is left out, as Linux does.
        let _ = make(&e, links);
    }
    links.clear();
    Ok(reader.consumed())
}

/// The directory of a path, and its last component; missing directories are an error.
fn place(path: &[u8]) -> Result<(Arc<Dentry>, Cow<'_, [u8]>)> {
    let mut dir = rootfs().dentry;
    let mut names = path.split(|&b| b == b'/').filter(|n| !n.is_empty() && *n != b".").peekable();
    let mut last: Cow<'_, [u8]> = Cow::Borrowed(b".");
    while let Some(n) = names.next() {
        if names.peek().is_none() {
            last = Cow::Borrowed(n);
            break;
        }
        dir = dir.child(n).ok_or(crate::errno::ENOENT)?;
        dir.inode.want_dir()?;
    }
    Ok((dir, last))
}

fn make(e: &Entry<'_>, links: &mut Links) -> Result {
    let (dir, name) = place(e.name)?;
    let sb = dir.inode.sb.clone();
    if &*name == b"." {
        dir.inode.attr.lock().mode = e.mode;
        return Ok(());
    }
    let kind = e.mode & S_IFMT;
    // A later entry replaces an earlier one of another kind (clean_path).
    if let Some(old) = dir.child(&name) {
        if kind == S_IFDIR && old.inode.is_dir() {
            set_attr(&old.inode, e);
            return Ok(());
        }
        if old.inode.is_dir() && !old.is_empty() {
            return Err(crate::errno::ENOTEMPTY);
        }
        old.unhash();
    }
    let key = (e.major, e.minor, e.ino);
    if e.nlink > 1
        && kind != S_IFDIR
        && let Some(first) = links.get(&key)
    {
        first.attr.lock().nlink += 1;
        fill(first, e);
        dir.add(&name, first.clone())?;
        return Ok(());
    }
    let inode = match kind {
        S_IFLNK => ramfs::new_symlink(&sb, e.data.strip_suffix(b"\0").unwrap_or(e.data)),
        S_IFDIR | S_IFREG | S_IFCHR | S_IFBLK | S_IFIFO | S_IFSOCK => {
            ramfs::new_inode(&sb, e.mode & (S_IFMT | S_IALLUGO), Dev::new(e.rmajor, e.rminor))
        }
        _ => return Err(crate::errno::EINVAL),
    };
    set_attr(&inode, e);
    fill(&inode, e);
    if e.nlink > 1 && kind != S_IFDIR {
        links.insert(key, inode.clone());
    }
    let is_dir = inode.is_dir();
    dir.add(&name, inode)?;
    if is_dir {
        dir.inode.attr.lock().nlink += 1;
    }
    Ok(())
}

fn fill(inode: &Inode, e: &Entry<'_>) {
    if e.cut && inode.is_reg() {
        // Linux never closes a file whose end did not come: it cannot be run (`ETXTBSY`).
        let _ = inode.get_write_access();
    }
    if let Some(m) = inode.ops.mapping()
        && !e.data.is_empty()
        && m.write_kernel(0, e.data) != Ok(e.data.len())
    {
        crate::pr_emerg!("Initramfs unpacking failed: write error\n");
    }
}

fn set_attr(inode: &Inode, e: &Entry<'_>) {
    let mut a = inode.attr.lock();
    a.mode = e.mode & (S_IFMT | S_IALLUGO);
    a.uid = e.uid;
    a.gid = e.gid;
    a.mtime = Time { sec: i64::from(e.mtime), nsec: 0 };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_headers() {
        assert_eq!(gzip_header_len(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3]), Some(10));
        assert_eq!(gzip_header_len(b"\x1f\x8b\x08\x08\0\0\0\0\0\x03name\0"), Some(15));
        assert_eq!(gzip_header_len(b"\x1f\x8b\x08\x08\0\0\0\0\0\x03name"), None);
        assert_eq!(gzip_header_len(b"\x1f\x8b\x07\0\0\0\0\0\0\x03"), None);
    }

    #[test]
    fn damaged_gzip_is_an_error() {
        assert!(gunzip(b"\x1f\x8b\x08\0\0\0\0\0\0\x03\xff\xff\xff\xff").is_err());
        let stored = b"\x1f\x8b\x08\0\0\0\0\0\0\x03\x01\x02\0\xfd\xffhi\0\0\0\0\0\0\0\0";
        assert_eq!(gunzip(stored), Ok((b"hi".to_vec(), stored.len())));
    }
}
