// SPDX-License-Identifier: GPL-2.0-only
//! `getdents64(2)`, and `getdents(2)` as it was before (Linux 6.1, `fs/readdir.c`).

use crate::arch::x86::lib::usercopy::copy_to_user;
use crate::errno::{EFAULT, EINVAL, ENOENT, ENOMEM, ENOTDIR, EOVERFLOW, Result};
use crate::fs::file::fget;
use crate::fs::file_table::File;
use crate::fs::libfs::{DirContext, Emit};
use alloc::sync::Arc;
use alloc::vec::Vec;

/// How a record is laid out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// `linux_dirent64`: the type stands before the name.
    New,
    /// `linux_dirent`: the type is the record's last byte.
    Old,
    /// The same with words of 32 bits: i386's.
    Compat,
}

impl Layout {
    /// Bytes beside the name.
    const fn header(self) -> usize {
        match self {
            Self::New => 19,
            Self::Old => 18,
            Self::Compat => 10,
        }
    }
    /// A record's length: the name has a NUL, and an old one's type comes behind it.
    fn record_len(self, name: &[u8]) -> usize {
        let tail = if self == Self::New { 1 } else { 2 };
        let word = if self == Self::Compat { 4 } else { 8 };
        (self.header() + name.len() + tail).next_multiple_of(word)
    }
    /// Whether a number fits.
    fn holds(self, ino: u64) -> bool {
        self != Self::Compat || u32::try_from(ino).is_ok()
    }
    /// Appends one record.
    fn put(self, out: &mut Vec<u8>, name: &[u8], ino: u64, kind: u8, next: u64) {
        let len = self.record_len(name);
        let end = out.len() + len;
        for word in [ino, next] {
            match self {
                Self::Compat => out.extend_from_slice(&(word as u32).to_ne_bytes()),
                Self::New | Self::Old => out.extend_from_slice(&word.to_ne_bytes()),
            }
        }
        out.extend_from_slice(&(len as u16).to_ne_bytes());
        if self == Self::New {
            out.push(kind);
        }
        out.extend_from_slice(name);
        out.resize(end, 0);
        if self != Self::New {
            out[end - 1] = kind;
        }
    }
}

/// `getdents64(2)`.
pub fn sys_getdents64(fd: i32, buf: usize, size: u32) -> Result<usize> {
    getdents(fd, buf, size, Layout::New)
}

/// `getdents(2)`.
pub fn sys_getdents(fd: i32, buf: usize, size: u32) -> Result<usize> {
    getdents(fd, buf, size, Layout::Old)
}

/// i386's `getdents`.
pub fn compat_sys_getdents(fd: i32, buf: usize, size: u32) -> Result<usize> {
    getdents(fd, buf, size, Layout::Compat)
}

/// i386's `readdir`: one record, whose length is the name's; 1, or 0 at the end.
pub fn compat_sys_old_readdir(fd: i32, buf: usize, _count: u32) -> Result<usize> {
    let mut found: Option<Result<Vec<u8>>> = None;
    let mut emit = |name: &[u8], ino: u64, _kind: u8, next: u64| {
        let first = found.is_none();
        if first {
            // Linux tells where the record itself is: the one before it has told the next.
            found = Some(old_record(name, ino, next.saturating_sub(1)));
        }
        first
    };
    let (f, pos) = read_directory(fd, &mut emit)?;
    let Some(record) = found else { return Ok(0) };
    copy_to_user(buf, &record?).map_err(|_| EFAULT)?;
    *f.pos.lock() = pos;
    Ok(1)
}

/// `struct compat_old_linux_dirent`.
fn old_record(name: &[u8], ino: u64, offset: u64) -> Result<Vec<u8>> {
    let ino = u32::try_from(ino).map_err(|_| EOVERFLOW)?;
    let mut out = Vec::new();
    out.try_reserve_exact(11 + name.len()).map_err(|_| ENOMEM)?;
    out.extend_from_slice(&ino.to_ne_bytes());
    out.extend_from_slice(&(offset as u32).to_ne_bytes());
    out.extend_from_slice(&(name.len() as u16).to_ne_bytes());
    out.extend_from_slice(name);
    out.push(0);
    Ok(out)
}

/// Lists the directory behind `fd` from its position on, until `emit` has no more room; the file,
/// and where the listing is now.
fn read_directory(fd: i32, emit: Emit<'_>) -> Result<(Arc<File>, u64)> {
    let f = fget(fd)?;
    if !f.inode.is_dir() {
        return Err(ENOTDIR);
    }
    if f.path.dentry.is_unhashed() {
        return Err(ENOENT);
    }
    let pos = *f.pos.lock();
    let mut ctx = DirContext { pos, emit };
    f.op.readdir(&f, &mut ctx)?;
    let pos = ctx.pos;
    Ok((f, pos))
}

fn getdents(fd: i32, buf: usize, size: u32, layout: Layout) -> Result<usize> {
    // Gathered here and copied at once: no lock may be held over the copy.
    let room = (size as usize).min(64 * 1024);
    let mut out = Vec::new();
    out.try_reserve_exact(room).map_err(|_| ENOMEM)?;
    let mut stopped = None;
    let mut emit = |name: &[u8], ino, kind, next| {
        if out.len() + layout.record_len(name) > room {
            stopped.get_or_insert(EINVAL);
        } else if !layout.holds(ino) {
            stopped.get_or_insert(EOVERFLOW);
        }
        if stopped.is_none() {
            layout.put(&mut out, name, ino, kind, next);
        }
        stopped.is_none()
    };
    let (f, pos) = read_directory(fd, &mut emit)?;
    if out.is_empty()
        && let Some(e) = stopped
    {
        return Err(e);
    }
    copy_to_user(buf, &out).map_err(|_| EFAULT)?;
    *f.pos.lock() = pos;
    Ok(out.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_old_and_new() {
        let mut new = Vec::new();
        Layout::New.put(&mut new, b"abcd", 7, 8, 9);
        assert_eq!((new.len(), new[16], new[18], &new[19..24]), (24, 24, 8, &b"abcd\0"[..]));
        let mut old = Vec::new();
        Layout::Old.put(&mut old, b"abcd", 7, 8, 9);
        assert_eq!((old.len(), old[16], old[23], &old[18..23]), (24, 24, 8, &b"abcd\0"[..]));
        assert_eq!(Layout::Old.record_len(b"abcde"), 32);
        assert_eq!(Layout::New.record_len(b"abcde"), 32);
        assert_eq!(Layout::New.record_len(b"abcd"), 24);
        let mut compat = Vec::new();
        Layout::Compat.put(&mut compat, b"abcd", 7, 8, 9);
        assert_eq!((compat.len(), compat[4], compat[15], &compat[10..15]), (16, 9, 8, &b"abcd\0"[..]));
        assert!(!Layout::Compat.holds(1 << 32) && Layout::Old.holds(1 << 32));
    }
}
