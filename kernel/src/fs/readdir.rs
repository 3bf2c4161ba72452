// SPDX-License-Identifier: GPL-2.0-only
//! Listing directories (Linux 6.1, `fs/readdir.c`, `dcache_readdir` in `fs/libfs.c`).

use crate::arch::x86::lib::usercopy::copy_to_user;
use crate::errno::{EFAULT, EINVAL, ENOENT, Result};
use crate::fs::file::fget;
use crate::fs::file_table::File;
use crate::fs::libfs::{DirContext, dt_type};
use alloc::vec::Vec;

/// Calls `ctx.emit` for what follows `ctx.pos`: `.`, `..`, the children, newest
/// first, and names that the file system makes up.
fn iterate_dir(f: &File, ctx: &mut DirContext<'_>) -> Result {
    let dir = &f.path.dentry;
    let up = dir.parent().unwrap_or_else(|| dir.clone());
    for (pos, name, d) in [(0, &b"."[..], dir), (1, b"..", &up)] {
        if ctx.pos == pos {
            if !(ctx.emit)(name, d.inode.ino, d.inode.mode(), pos + 1) {
                return Ok(());
            }
            ctx.pos = pos + 1;
        }
    }
    // A position is two more than the sequence number counted from the end of time,
    // so that names made meanwhile come before it and are not listed twice.
    const TOP: u64 = 1 << 40;
    for (seq, d) in dir.list() {
        let pos = 2 + TOP - seq.min(TOP - 1);
        if pos < ctx.pos {
            continue;
        }
        if !(ctx.emit)(&d.name(), d.inode.ino, d.inode.mode(), pos + 1) {
            return Ok(());
        }
        ctx.pos = pos + 1;
    }
    dir.inode.ops.iterate(dir, ctx)
}

/// `getdents64(2)`.
pub fn sys_getdents64(fd: i32, buf: usize, count: u32) -> Result<usize> {
    let f = fget(fd)?;
    f.path.dentry.inode.want_dir()?;
    if f.path.dentry.is_unhashed() {
        return Err(ENOENT);
    }
    let room = count as usize;
    let mut out: Vec<u8> = Vec::new();
    let mut refused = false;
    let mut emit = |name: &[u8], ino: u64, mode: u32, next: u64| {
        let len = (19 + name.len() + 1).next_multiple_of(8);
        if out.len() + len > room {
            refused = true;
            return false;
        }
        let end = out.len() + len;
        out.extend(ino.to_le_bytes());
        out.extend(next.to_le_bytes());
        out.extend((len as u16).to_le_bytes());
        out.push(dt_type(mode));
        out.extend(name);
        out.resize(end, 0);
        true
    };
    let pos = *f.pos.lock();
    let mut ctx = DirContext { pos, emit: &mut emit };
    iterate_dir(&f, &mut ctx)?;
    let end = ctx.pos;
    if out.is_empty() && refused {
        return Err(EINVAL);
    }
    copy_to_user(buf, &out).map_err(|_| EFAULT)?;
    *f.pos.lock() = end;
    Ok(out.len())
}
