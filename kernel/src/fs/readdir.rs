// SPDX-License-Identifier: GPL-2.0-only
//! `getdents64(2)`, and `getdents(2)` as it was before (Linux 6.1, `fs/readdir.c`).

use crate::arch::x86::lib::usercopy::copy_to_user;
use crate::errno::{EFAULT, EINVAL, ENOENT, ENOMEM, ENOTDIR, Result};
use crate::fs::file::fget;
use crate::fs::libfs::DirContext;
use alloc::vec::Vec;

/// How a record is laid out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// `linux_dirent64`: the type stands before the name.
    New,
    /// `linux_dirent`: the type is the record's last byte.
    Old,
}

impl Layout {
    /// Bytes beside the name.
    const fn header(self) -> usize {
        match self {
            Self::New => 19,
            Self::Old => 18,
        }
    }
    /// A record's length: the name has a NUL, and an old one's type comes behind it.
    fn record_len(self, name: &[u8]) -> usize {
        let tail = if self == Self::Old { 2 } else { 1 };
        (self.header() + name.len() + tail).next_multiple_of(8)
    }
    /// Appends one record.
    fn put(self, out: &mut Vec<u8>, name: &[u8], ino: u64, kind: u8, next: u64) {
        let len = self.record_len(name);
        let end = out.len() + len;
        out.extend_from_slice(&ino.to_ne_bytes());
        out.extend_from_slice(&next.to_ne_bytes());
        out.extend_from_slice(&(len as u16).to_ne_bytes());
        if self == Self::New {
            out.push(kind);
        }
        out.extend_from_slice(name);
        out.resize(end, 0);
        if self == Self::Old {
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

fn getdents(fd: i32, buf: usize, size: u32, layout: Layout) -> Result<usize> {
    let f = fget(fd)?;
    if !f.inode.is_dir() {
        return Err(ENOTDIR);
    }
    if f.path.dentry.is_unhashed() {
        return Err(ENOENT);
    }
    // Gathered here and copied at once: no lock may be held over the copy.
    let room = (size as usize).min(64 * 1024);
    let mut out = Vec::new();
    out.try_reserve_exact(room).map_err(|_| ENOMEM)?;
    let mut full = false;
    let mut emit = |name: &[u8], ino, kind, next| {
        full |= out.len() + layout.record_len(name) > room;
        if !full {
            layout.put(&mut out, name, ino, kind, next);
        }
        !full
    };
    let pos = *f.pos.lock();
    let mut ctx = DirContext { pos, emit: &mut emit };
    f.op.readdir(&f, &mut ctx)?;
    let pos = ctx.pos;
    if out.is_empty() && full {
        return Err(EINVAL);
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
    }
}
