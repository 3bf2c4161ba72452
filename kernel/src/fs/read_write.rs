// SPDX-License-Identifier: GPL-2.0-only
//! Reading and writing (Linux 6.1, `fs/read_write.c`).

use crate::arch::x86::lib::usercopy::{access_ok, get_user};
use crate::errno::{EBADF, EFAULT, EINVAL, ESPIPE, Result};
use crate::fs::file::fget;
use crate::fs::file_table::{File, UserBuf};
use alloc::sync::Arc;
use alloc::vec::Vec;

/// Most bytes of one call (`MAX_RW_COUNT`).
const MAX_RW_COUNT: usize = 0x7fff_f000;
/// Most buffers of one call (`UIO_MAXIOV`).
const UIO_MAXIOV: usize = 1024;

fn check(addr: usize, len: usize) -> Result<UserBuf> {
    if (len as isize) < 0 {
        return Err(EINVAL);
    }
    if access_ok(addr, len) { Ok(UserBuf { addr, len: len.min(MAX_RW_COUNT) }) } else { Err(EFAULT) }
}

/// `read(2)`.
pub fn sys_read(fd: i32, buf: usize, len: usize) -> Result<usize> {
    let f = fget(fd)?;
    if !f.readable() {
        return Err(EBADF);
    }
    f.read(check(buf, len)?, None)
}

/// `write(2)`.
pub fn sys_write(fd: i32, buf: usize, len: usize) -> Result<usize> {
    let f = fget(fd)?;
    if !f.writable() {
        return Err(EBADF);
    }
    f.write(check(buf, len)?, None)
}

fn positioned(fd: i32, pos: i64) -> Result<(Arc<File>, u64)> {
    let pos = u64::try_from(pos).map_err(|_| EINVAL)?;
    let f = fget(fd)?;
    if f.ops.seekable() { Ok((f, pos)) } else { Err(ESPIPE) }
}

/// `pread64(2)`.
pub fn sys_pread64(fd: i32, buf: usize, len: usize, pos: i64) -> Result<usize> {
    let (f, pos) = positioned(fd, pos)?;
    f.read(check(buf, len)?, Some(pos))
}

/// `pwrite64(2)`.
pub fn sys_pwrite64(fd: i32, buf: usize, len: usize, pos: i64) -> Result<usize> {
    let (f, pos) = positioned(fd, pos)?;
    f.write(check(buf, len)?, Some(pos))
}

/// Reads an array of `iovec`s (`import_iovec`).
fn import_iovec(vec: usize, count: usize) -> Result<Vec<UserBuf>> {
    if count > UIO_MAXIOV {
        return Err(EINVAL);
    }
    let mut total = 0usize;
    (0..count)
        .map(|i| {
            let [base, len]: [u64; 2] = get_user(vec + i * 16)?;
            if (len as i64) < 0 {
                return Err(EINVAL);
            }
            if !access_ok(base as usize, len as usize) {
                return Err(EFAULT);
            }
            let len = (len as usize).min(MAX_RW_COUNT - total);
            total += len;
            Ok(UserBuf { addr: base as usize, len })
        })
        .collect()
}

fn vectored(
    bufs: &[UserBuf],
    pos: Option<u64>,
    op: impl Fn(UserBuf, Option<u64>) -> Result<usize>,
) -> Result<usize> {
    let mut done = 0;
    for b in bufs.iter().filter(|b| b.len != 0) {
        match op(*b, pos.map(|p| p + done as u64)) {
            Ok(n) => {
                done += n;
                if n < b.len {
                    break;
                }
            }
            Err(e) if done == 0 => return Err(e),
            Err(_) => break,
        }
    }
    Ok(done)
}

/// `readv(2)`.
pub fn sys_readv(fd: i32, vec: usize, count: usize) -> Result<usize> {
    let f = fget(fd)?;
    vectored(&import_iovec(vec, count)?, None, |b, p| f.read(b, p))
}

/// `writev(2)`.
pub fn sys_writev(fd: i32, vec: usize, count: usize) -> Result<usize> {
    let f = fget(fd)?;
    vectored(&import_iovec(vec, count)?, None, |b, p| f.write(b, p))
}

/// `preadv(2)`.
pub fn sys_preadv(fd: i32, vec: usize, count: usize, pos: i64) -> Result<usize> {
    let (f, pos) = positioned(fd, pos)?;
    vectored(&import_iovec(vec, count)?, Some(pos), |b, p| f.read(b, p))
}

/// `pwritev(2)`.
pub fn sys_pwritev(fd: i32, vec: usize, count: usize, pos: i64) -> Result<usize> {
    let (f, pos) = positioned(fd, pos)?;
    vectored(&import_iovec(vec, count)?, Some(pos), |b, p| f.write(b, p))
}

/// `lseek(2)`.
pub fn sys_lseek(fd: i32, off: i64, whence: u32) -> Result<usize> {
    let f = fget(fd)?;
    f.ops.llseek(&f, off, whence).map(|p| p as usize)
}

/// `sync(2)`, `fsync(2)`, `fdatasync(2)`: memory is where files live.
pub fn sys_sync() -> Result<usize> {
    Ok(0)
}

/// `fsync(2)`.
pub fn sys_fsync(fd: i32) -> Result<usize> {
    fget(fd).map(|_| 0)
}
