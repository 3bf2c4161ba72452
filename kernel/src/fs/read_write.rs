// SPDX-License-Identifier: GPL-2.0-only
//! Reading and writing (Linux 6.1, `fs/read_write.c`).

use crate::errno::{EBADF, EFBIG, EINVAL, EOVERFLOW, ESPIPE, Result};
use crate::fs::file::{fget, fget_raw};
use crate::fs::file_table::File;
use crate::kernel::signal::sigset::SIGXFSZ;
use crate::kernel::signal::{send_sig, state::rlimit};
use crate::kernel::task::current;
use crate::lib::iov_iter::{IovIter, import_iovec};

/// Cuts a write at `RLIMIT_FSIZE`; one that starts there gets `SIGXFSZ`
/// (`generic_write_checks`).
pub fn check_fsize(from: &mut IovIter<'_>, pos: u64) -> Result {
    let limit = rlimit(rlimit::FSIZE);
    if limit == rlimit::INFINITY || from.count() == 0 {
        return Ok(());
    }
    if pos >= limit {
        return file_too_big();
    }
    from.truncate((limit - pos).min(usize::MAX as u64) as usize);
    Ok(())
}

/// The same for a new size (`inode_newsize_ok`).
pub fn check_size_limit(size: u64) -> Result {
    if size > rlimit(rlimit::FSIZE) { file_too_big() } else { Ok(()) }
}

fn file_too_big() -> Result {
    send_sig(SIGXFSZ, &current(), false)?;
    Err(EFBIG)
}

/// Reads at the file's position, and moves it.
#[inline]
fn read_here(f: &File, mut to: IovIter<'_>) -> Result<usize> {
    if !f.seekable {
        return f.op.read(f, &mut to, &mut 0);
    }
    let mut pos = *f.pos.lock();
    let r = f.op.read(f, &mut to, &mut pos);
    *f.pos.lock() = pos;
    r
}

/// Writes at the file's position, and moves it.
#[inline]
fn write_here(f: &File, mut from: IovIter<'_>) -> Result<usize> {
    if !f.seekable {
        return f.op.write(f, &mut from, &mut 0);
    }
    let mut pos = *f.pos.lock();
    let r = f.op.write(f, &mut from, &mut pos);
    *f.pos.lock() = pos;
    r
}

/// `read(2)`.
pub fn sys_read(fd: i32, buf: usize, len: usize) -> Result<usize> {
    let f = fget(fd)?;
    f.want_read()?;
    check_len(len)?;
    read_here(&f, IovIter::user(buf, len)?)
}

/// `write(2)`.
pub fn sys_write(fd: i32, buf: usize, len: usize) -> Result<usize> {
    let f = fget(fd)?;
    f.want_write()?;
    check_len(len)?;
    write_here(&f, IovIter::user(buf, len)?)
}

/// A negative length (`rw_verify_area`).
fn check_len(len: usize) -> Result {
    if (len as isize) < 0 { Err(EINVAL) } else { Ok(()) }
}

/// A position that a call names.
fn check_pos(pos: i64, len: usize) -> Result<u64> {
    if pos < 0 {
        return Err(EINVAL);
    }
    if (pos as u64).checked_add(len as u64).is_none_or(|e| e > i64::MAX as u64) {
        return Err(EOVERFLOW);
    }
    Ok(pos as u64)
}

fn seekable(f: &File) -> Result {
    if f.seekable { Ok(()) } else { Err(ESPIPE) }
}

/// `readv(2)`.
pub fn sys_readv(fd: i32, vec: usize, count: usize) -> Result<usize> {
    let f = fget(fd)?;
    f.want_read()?;
    read_here(&f, IovIter::vector(&import_iovec(vec, count)?))
}

/// `writev(2)`.
pub fn sys_writev(fd: i32, vec: usize, count: usize) -> Result<usize> {
    let f = fget(fd)?;
    f.want_write()?;
    write_here(&f, IovIter::vector(&import_iovec(vec, count)?))
}

/// `pread64(2)`.
pub fn sys_pread64(fd: i32, buf: usize, len: usize, pos: i64) -> Result<usize> {
    if pos < 0 {
        return Err(EINVAL);
    }
    let f = fget(fd)?;
    seekable(&f)?;
    f.want_read()?;
    check_len(len)?;
    let mut pos = check_pos(pos, 0)?;
    f.op.read(&f, &mut IovIter::user(buf, len)?, &mut pos)
}

/// `pwrite64(2)`.
pub fn sys_pwrite64(fd: i32, buf: usize, len: usize, pos: i64) -> Result<usize> {
    if pos < 0 {
        return Err(EINVAL);
    }
    let f = fget(fd)?;
    seekable(&f)?;
    f.want_write()?;
    check_len(len)?;
    let mut pos = check_pos(pos, 0)?;
    f.op.write(&f, &mut IovIter::user(buf, len)?, &mut pos)
}

/// `preadv(2)`.
pub fn sys_preadv(fd: i32, vec: usize, count: usize, pos: i64) -> Result<usize> {
    let mut pos = check_pos(pos, 0)?;
    let f = fget(fd)?;
    seekable(&f)?;
    f.want_read()?;
    f.op.read(&f, &mut IovIter::vector(&import_iovec(vec, count)?), &mut pos)
}

/// `pwritev(2)`.
pub fn sys_pwritev(fd: i32, vec: usize, count: usize, pos: i64) -> Result<usize> {
    let mut pos = check_pos(pos, 0)?;
    let f = fget(fd)?;
    seekable(&f)?;
    f.want_write()?;
    f.op.write(&f, &mut IovIter::vector(&import_iovec(vec, count)?), &mut pos)
}

/// `lseek(2)`.
pub fn sys_lseek(fd: i32, offset: i64, whence: u32) -> Result<usize> {
    let f = fget_raw(fd)?;
    if f.is_path() {
        return Err(EBADF);
    }
    if whence > 4 {
        return Err(EINVAL);
    }
    seekable(&f)?;
    f.op.seek(&f, offset, whence).map(|p| p as usize)
}
