// SPDX-License-Identifier: GPL-2.0-only
//! Writing back (Linux 6.1, `fs/sync.c`): there is nothing to write to, so all is in order.

use crate::errno::{EINVAL, ESPIPE, Result};
use crate::fs::file::fget;
use crate::fs::inode::mode::S_IFIFO;

/// `sync(2)`.
pub fn sys_sync() -> Result<usize> {
    Ok(0)
}

/// `syncfs(2)`.
pub fn sys_syncfs(fd: i32) -> Result<usize> {
    fget(fd).map(|_| 0)
}

/// `fsync(2)` and `fdatasync(2)`: nobody has anything to write back, but only some
/// kinds of files say so (`vfs_fsync_range`).
pub fn sys_fsync(fd: i32) -> Result<usize> {
    let f = fget(fd)?;
    if f.op.abilities().fsync { Ok(0) } else { Err(EINVAL) }
}

/// `readahead(2)`: what is there needs no reading.
pub fn sys_readahead(fd: i32, _offset: i64, count: usize) -> Result<usize> {
    let f = fget(fd)?;
    f.want_read()?;
    if f.inode.is_reg() && (count as isize) >= 0 { Ok(0) } else { Err(EINVAL) }
}

/// `sync_file_range(2)`.
pub fn sys_sync_file_range(fd: i32, offset: i64, len: i64, flags: u32) -> Result<usize> {
    const ALL: u32 = 7;
    let f = fget(fd)?;
    if flags & !ALL != 0 || offset < 0 || offset.wrapping_add(len) < offset {
        return Err(EINVAL);
    }
    if f.inode.is_reg() || f.inode.is_dir() { Ok(0) } else { Err(ESPIPE) }
}

/// `fadvise64(2)`.
pub fn sys_fadvise64(fd: i32, _offset: i64, len: i64, advice: u32) -> Result<usize> {
    let f = fget(fd)?;
    if f.inode.kind() == S_IFIFO {
        return Err(ESPIPE);
    }
    if len < 0 || advice > 5 { Err(EINVAL) } else { Ok(0) }
}
