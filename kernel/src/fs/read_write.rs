// SPDX-License-Identifier: GPL-2.0-only
//! Reading and writing (Linux 6.1, `fs/read_write.c`).

use crate::errno::{EBADF, EFBIG, EINVAL, EOPNOTSUPP, EOVERFLOW, ESPIPE, Result};
use crate::fs::file::{fget, fget_raw};
use crate::fs::file_table::File;
use crate::kernel::signal::sigset::SIGXFSZ;
use crate::kernel::signal::{send_sig, state::rlimit};
use crate::kernel::task::current;
use crate::lib::iov_iter::{IovIter, import_iovec};
use alloc::sync::Arc;

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

/// Whether `count` bytes at `pos` stay within what a file can have (`rw_verify_area`).
#[inline]
pub fn verify_area(pos: u64, count: usize) -> Result {
    let end = pos.checked_add(count as u64);
    let whole = (count as isize) >= 0 && end.is_some_and(|e| i64::try_from(e).is_ok());
    if whole { Ok(()) } else { Err(EINVAL) }
}

/// The same for `f`, which may have positions that are negative ones elsewhere.
#[inline]
pub(super) fn verify_area_of(f: &File, pos: u64, count: usize) -> Result {
    verify_area(pos, count).or_else(|e| verify_unsigned_area(f, pos as i64, count).unwrap_or(Err(e)))
}

#[cold]
fn verify_unsigned_area(f: &File, pos: i64, count: usize) -> Option<Result> {
    let negative = pos < 0 && (count as isize) >= 0 && f.op.unsigned_offset();
    negative.then_some(if count as u64 >= pos.unsigned_abs() { Err(EOVERFLOW) } else { Ok(()) })
}

/// Reads `len` bytes at the file's position, and moves it.
#[inline]
fn read_here(f: &File, mut to: IovIter<'_>, len: usize) -> Result<usize> {
    if !f.seekable {
        verify_area(0, len)?;
        return f.op.read(f, &mut to, &mut 0);
    }
    let mut pos = *f.pos.lock();
    verify_area_of(f, pos, len)?;
    let r = f.op.read(f, &mut to, &mut pos);
    *f.pos.lock() = pos;
    r
}

/// Writes `len` bytes at the file's position, and moves it.
#[inline]
fn write_here(f: &File, mut from: IovIter<'_>, len: usize) -> Result<usize> {
    if !f.seekable {
        verify_area(0, len)?;
        return f.op.write(f, &mut from, &mut 0);
    }
    let mut pos = *f.pos.lock();
    verify_area_of(f, pos, len)?;
    let r = f.op.write(f, &mut from, &mut pos);
    *f.pos.lock() = pos;
    r
}

/// `read(2)`.
pub fn sys_read(fd: i32, buf: usize, len: usize) -> Result<usize> {
    let f = fget(fd)?;
    f.want_read()?;
    read_here(&f, IovIter::user_whole(buf, len)?, len)
}

/// `write(2)`.
pub fn sys_write(fd: i32, buf: usize, len: usize) -> Result<usize> {
    let f = fget(fd)?;
    f.want_write()?;
    write_here(&f, IovIter::user_whole(buf, len)?, len)
}

/// The file behind `fd` for a call that names a position.
fn fget_at(fd: i32, pos: i64) -> Result<(Arc<File>, u64)> {
    let pos = u64::try_from(pos).map_err(|_| EINVAL)?;
    let f = fget(fd)?;
    seekable(&f)?;
    Ok((f, pos))
}

fn seekable(f: &File) -> Result {
    if f.seekable { Ok(()) } else { Err(ESPIPE) }
}

/// `readv(2)`.
pub fn sys_readv(fd: i32, vec: usize, count: usize) -> Result<usize> {
    let f = fget(fd)?;
    f.want_read()?;
    let vec = import_iovec(vec, count)?;
    let to = IovIter::vector(&vec);
    let len = to.count();
    if len == 0 { Ok(0) } else { read_here(&f, to, len) }
}

/// `writev(2)`.
pub fn sys_writev(fd: i32, vec: usize, count: usize) -> Result<usize> {
    let f = fget(fd)?;
    f.want_write()?;
    let vec = import_iovec(vec, count)?;
    let from = IovIter::vector(&vec);
    let len = from.count();
    if len == 0 { Ok(0) } else { write_here(&f, from, len) }
}

/// `pread64(2)`.
pub fn sys_pread64(fd: i32, buf: usize, len: usize, pos: i64) -> Result<usize> {
    let (f, mut pos) = fget_at(fd, pos)?;
    f.want_read()?;
    let mut to = IovIter::user_whole(buf, len)?;
    verify_area(pos, len)?;
    f.op.read(&f, &mut to, &mut pos)
}

/// `pwrite64(2)`.
pub fn sys_pwrite64(fd: i32, buf: usize, len: usize, pos: i64) -> Result<usize> {
    let (f, mut pos) = fget_at(fd, pos)?;
    f.want_write()?;
    let mut from = IovIter::user_whole(buf, len)?;
    verify_area(pos, len)?;
    f.op.write(&f, &mut from, &mut pos)
}

/// `preadv(2)`.
pub fn sys_preadv(fd: i32, vec: usize, count: usize, pos: i64) -> Result<usize> {
    let (f, mut pos) = fget_at(fd, pos)?;
    f.want_read()?;
    let vec = import_iovec(vec, count)?;
    let mut to = IovIter::vector(&vec);
    if to.count() == 0 {
        return Ok(0);
    }
    verify_area(pos, to.count())?;
    f.op.read(&f, &mut to, &mut pos)
}

/// `pwritev(2)`.
pub fn sys_pwritev(fd: i32, vec: usize, count: usize, pos: i64) -> Result<usize> {
    let (f, mut pos) = fget_at(fd, pos)?;
    f.want_write()?;
    let vec = import_iovec(vec, count)?;
    let mut from = IovIter::vector(&vec);
    if from.count() == 0 {
        return Ok(0);
    }
    verify_area(pos, from.count())?;
    f.op.write(&f, &mut from, &mut pos)
}

/// The file behind `fd`, and a position unless it is -1: the file's own.
fn fget_at_or_here(fd: i32, pos: i64) -> Result<(Arc<File>, Option<u64>)> {
    if pos == -1 { Ok((fget(fd)?, None)) } else { fget_at(fd, pos).map(|(f, p)| (f, Some(p))) }
}

/// Whether the file knows all of a call's flags; the data is where it stays anyway, and nothing is
/// polled for (`kiocb_set_rw_flags`).
fn check_rw_flags(f: &File, pos: Option<u64>, len: usize, flags: u32) -> Result {
    if let Some(pos) = pos {
        verify_area(pos, len)?;
    }
    if flags & !f.op.rw_flags() == 0 { Ok(()) } else { Err(EOPNOTSUPP) }
}

/// `preadv2(2)`.
pub fn sys_preadv2(fd: i32, vec: usize, count: usize, pos: i64, _high: usize, flags: u32) -> Result<usize> {
    let (f, pos) = fget_at_or_here(fd, pos)?;
    f.want_read()?;
    let vec = import_iovec(vec, count)?;
    let mut to = IovIter::vector(&vec).with_flags(flags);
    let len = to.count();
    if len == 0 {
        return Ok(0);
    }
    check_rw_flags(&f, pos, len, flags)?;
    match pos {
        Some(mut pos) => f.op.read(&f, &mut to, &mut pos),
        None => read_here(&f, to, len),
    }
}

/// `pwritev2(2)`.
pub fn sys_pwritev2(fd: i32, vec: usize, count: usize, pos: i64, _high: usize, flags: u32) -> Result<usize> {
    let (f, pos) = fget_at_or_here(fd, pos)?;
    f.want_write()?;
    let vec = import_iovec(vec, count)?;
    let mut from = IovIter::vector(&vec).with_flags(flags);
    let len = from.count();
    if len == 0 {
        return Ok(0);
    }
    check_rw_flags(&f, pos, len, flags)?;
    match pos {
        Some(mut pos) => f.op.write(&f, &mut from, &mut pos),
        None => write_here(&f, from, len),
    }
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
    f.op.seek(&f, offset, whence).map(|p| p as usize)
}
