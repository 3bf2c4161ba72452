// SPDX-License-Identifier: GPL-2.0-only
//! Writing back (Linux 6.1, `fs/sync.c`): there is nothing to write to, so all is in order.

use crate::errno::{EINVAL, Result};
use crate::fs::file::fget;

/// `sync(2)`.
pub fn sys_sync() -> Result<usize> {
    Ok(0)
}

/// `syncfs(2)`.
pub fn sys_syncfs(fd: i32) -> Result<usize> {
    fget(fd).map(|_| 0)
}

/// `fsync(2)` and `fdatasync(2)`: only what has content can be written back.
pub fn sys_fsync(fd: i32) -> Result<usize> {
    let f = fget(fd)?;
    if f.inode.is_reg() || f.inode.is_dir() { Ok(0) } else { Err(EINVAL) }
}

/// `fadvise64(2)`.
pub fn sys_fadvise64(fd: i32, _offset: i64, len: i64, advice: u32) -> Result<usize> {
    let f = fget(fd)?;
    if !f.seekable {
        return Err(crate::errno::ESPIPE);
    }
    if len < 0 || advice > 5 { Err(EINVAL) } else { Ok(0) }
}
