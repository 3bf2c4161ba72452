// SPDX-License-Identifier: GPL-2.0-only
//! `getdents64(2)` (Linux 6.1, `fs/readdir.c`).

use crate::arch::x86::lib::usercopy::copy_to_user;
use crate::errno::{EFAULT, EINVAL, ENOENT, ENOMEM, ENOTDIR, Result};
use crate::fs::file::fget;
use crate::fs::libfs::DirContext;
use alloc::vec::Vec;

/// Size of a `linux_dirent64` before the name.
const HEADER: usize = 19;

/// Appends one record, padded to eight bytes.
fn put(out: &mut Vec<u8>, name: &[u8], ino: u64, kind: u8, next: u64) {
    let len = (HEADER + name.len() + 1).next_multiple_of(8);
    let end = out.len() + len;
    out.extend_from_slice(&ino.to_ne_bytes());
    out.extend_from_slice(&next.to_ne_bytes());
    out.extend_from_slice(&(len as u16).to_ne_bytes());
    out.push(kind);
    out.extend_from_slice(name);
    out.resize(end, 0);
}

/// `getdents64(2)`.
pub fn sys_getdents64(fd: i32, buf: usize, size: u32) -> Result<usize> {
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
        full |= out.len() + (HEADER + name.len() + 1).next_multiple_of(8) > room;
        if !full {
            put(&mut out, name, ino, kind, next);
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
