// SPDX-License-Identifier: GPL-2.0-only
//! Reading and writing (Linux 6.1, `fs/read_write.c`).

use crate::errno::{EBADF, EFBIG, EINVAL, EOPNOTSUPP, EOVERFLOW, ESPIPE, Result};
use crate::fs::file::{fget, fget_raw};
use crate::fs::file_table::File;
use crate::fs::superblock::MAX_NON_LFS;
use crate::kernel::signal::sigset::SIGXFSZ;
use crate::kernel::signal::{send_sig, state::rlimit};
use crate::kernel::task::current;
use crate::lib::iov_iter::{IoVec, IovIter, import_iovec};
use alloc::sync::Arc;
use linux_raw_sys::general::{O_LARGEFILE, RWF_HIPRI};

/// How much may be written at `pos`: up to `RLIMIT_FSIZE`, where one that starts there gets `SIGXFSZ`, and
/// as far as a file goes that was not opened as a large one (`generic_write_check_limits`).
pub fn write_room(f: &File, pos: u64) -> Result<u64> {
    let limit = rlimit(rlimit::FSIZE);
    if pos >= limit && limit != rlimit::INFINITY {
        return file_too_big();
    }
    let most = if f.flags() & O_LARGEFILE == 0 { MAX_NON_LFS } else { i64::MAX as u64 };
    if pos >= most { Err(EFBIG) } else { Ok(limit.min(most) - pos) }
}

/// Cuts a write there.
pub fn check_fsize(f: &File, from: &mut IovIter<'_>, pos: u64) -> Result {
    if from.count() != 0 {
        from.truncate(write_room(f, pos)? as usize);
    }
    Ok(())
}

/// The same for a new size (`inode_newsize_ok`).
pub fn check_size_limit(size: u64) -> Result {
    if size > rlimit(rlimit::FSIZE) { file_too_big() } else { Ok(()) }
}

fn file_too_big<T>() -> Result<T> {
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
    let negative = pos < 0 && (count as isize) >= 0 && f.op.abilities().unsigned_offset;
    negative.then_some(if count as u64 >= pos.unsigned_abs() { Err(EOVERFLOW) } else { Ok(()) })
}

/// Has `io` move `len` bytes at the file's position, which moves if that does not fail.
#[inline]
fn at_own_position(f: &File, len: usize, io: impl FnOnce(&mut u64) -> Result<usize>) -> Result<usize> {
    if !f.seekable {
        verify_area(0, len)?;
        return io(&mut 0);
    }
    let mut pos = *f.pos.lock();
    verify_area_of(f, pos, len)?;
    let n = io(&mut pos)?;
    *f.pos.lock() = pos;
    Ok(n)
}

/// Reads into several buffers: at once, or into one after another (`do_iter_read`).
fn read_vector(f: &File, vec: &[IoVec], flags: u32, pos: &mut u64) -> Result<usize> {
    if f.op.abilities().read_iter {
        f.op.read(f, &mut IovIter::vector(vec).with_flags(flags), pos)
    } else {
        each_segment(vec, |to| f.op.read(f, to, pos))
    }
}

/// Writes several buffers: at once, or one after another (`do_iter_write`).
fn write_vector(f: &File, vec: &[IoVec], flags: u32, pos: &mut u64) -> Result<usize> {
    if f.op.abilities().write_iter {
        f.op.write(f, &mut IovIter::vector(vec).with_flags(flags), pos)
    } else {
        each_segment(vec, |from| f.op.write(f, from, pos))
    }
}

/// One transfer after another, until one moves less than it was to. A failure is one only if it is
/// the first's; of the empty buffers only one that stands first is seen (`do_loop_readv_writev`).
fn each_segment(vec: &[IoVec], mut io: impl FnMut(&mut IovIter<'_>) -> Result<usize>) -> Result<usize> {
    let mut done = 0;
    for (_, v) in vec.iter().enumerate().filter(|(i, v)| *i == 0 || v.len != 0) {
        match io(&mut IovIter::user(v.base, v.len)?) {
            Ok(n) if n == v.len => done += n,
            Ok(n) => return Ok(done + n),
            Err(e) if done == 0 => return Err(e),
            Err(_) => break,
        }
    }
    Ok(done)
}

/// `read(2)`.
pub fn sys_read(fd: i32, buf: usize, len: usize) -> Result<usize> {
    let f = fget(fd)?;
    f.may_read()?;
    let mut to = IovIter::user_whole(buf, len)?;
    at_own_position(&f, len, |pos| f.op.read(&f, &mut to, pos))
}

/// `write(2)`.
pub fn sys_write(fd: i32, buf: usize, len: usize) -> Result<usize> {
    let f = fget(fd)?;
    f.may_write()?;
    let mut from = IovIter::user_whole(buf, len)?;
    at_own_position(&f, len, |pos| f.op.write(&f, &mut from, pos))
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

/// Bytes of all buffers.
fn total(vec: &[IoVec]) -> usize {
    vec.iter().map(|v| v.len).sum()
}

/// `pread64(2)`.
pub fn sys_pread64(fd: i32, buf: usize, len: usize, pos: i64) -> Result<usize> {
    let (f, mut pos) = fget_at(fd, pos)?;
    f.may_read()?;
    let mut to = IovIter::user_whole(buf, len)?;
    verify_area(pos, len)?;
    f.op.read(&f, &mut to, &mut pos)
}

/// `pwrite64(2)`.
pub fn sys_pwrite64(fd: i32, buf: usize, len: usize, pos: i64) -> Result<usize> {
    let (f, mut pos) = fget_at(fd, pos)?;
    f.may_write()?;
    let mut from = IovIter::user_whole(buf, len)?;
    verify_area(pos, len)?;
    f.op.write(&f, &mut from, &mut pos)
}

/// A file, and a position unless it is the file's own.
type At = (Arc<File>, Option<u64>);

/// The file behind `fd`, and a position unless it is -1: the file's own.
fn fget_at_or_here(fd: i32, pos: i64) -> Result<At> {
    if pos == -1 { Ok((fget(fd)?, None)) } else { fget_at(fd, pos).map(|(f, p)| (f, Some(p))) }
}

/// Whether the file knows all of a call's flags; the data is where it stays anyway, and nothing is
/// polled for (`kiocb_set_rw_flags`; `do_loop_readv_writev` where the buffers are not taken at once).
fn check_rw_flags(f: &File, pos: Option<u64>, len: usize, (flags, at_once): (u32, bool)) -> Result {
    if let Some(pos) = pos {
        verify_area(pos, len)?;
    }
    let known = if at_once { f.op.abilities().rw_flags } else { RWF_HIPRI };
    if flags & !known == 0 { Ok(()) } else { Err(EOPNOTSUPP) }
}

/// Reads into several buffers.
fn do_readv((f, pos): At, vec: usize, count: usize, flags: u32) -> Result<usize> {
    let vec = import_iovec(vec, count)?;
    f.may_read()?;
    let len = total(&vec);
    if len == 0 {
        return Ok(0);
    }
    check_rw_flags(&f, pos, len, (flags, f.op.abilities().read_iter))?;
    match pos {
        Some(mut pos) => read_vector(&f, &vec, flags, &mut pos),
        None => at_own_position(&f, len, |pos| read_vector(&f, &vec, flags, pos)),
    }
}

/// Writes several buffers.
fn do_writev((f, pos): At, vec: usize, count: usize, flags: u32) -> Result<usize> {
    let vec = import_iovec(vec, count)?;
    f.may_write()?;
    let len = total(&vec);
    if len == 0 {
        return Ok(0);
    }
    check_rw_flags(&f, pos, len, (flags, f.op.abilities().write_iter))?;
    match pos {
        Some(mut pos) => write_vector(&f, &vec, flags, &mut pos),
        None => at_own_position(&f, len, |pos| write_vector(&f, &vec, flags, pos)),
    }
}

/// `readv(2)`.
pub fn sys_readv(fd: i32, vec: usize, count: usize) -> Result<usize> {
    do_readv((fget(fd)?, None), vec, count, 0)
}

/// `writev(2)`.
pub fn sys_writev(fd: i32, vec: usize, count: usize) -> Result<usize> {
    do_writev((fget(fd)?, None), vec, count, 0)
}

/// `preadv(2)`.
pub fn sys_preadv(fd: i32, vec: usize, count: usize, pos: i64) -> Result<usize> {
    let (f, pos) = fget_at(fd, pos)?;
    do_readv((f, Some(pos)), vec, count, 0)
}

/// `pwritev(2)`.
pub fn sys_pwritev(fd: i32, vec: usize, count: usize, pos: i64) -> Result<usize> {
    let (f, pos) = fget_at(fd, pos)?;
    do_writev((f, Some(pos)), vec, count, 0)
}

/// `preadv2(2)`.
pub fn sys_preadv2(fd: i32, vec: usize, count: usize, pos: i64, _high: usize, flags: u32) -> Result<usize> {
    do_readv(fget_at_or_here(fd, pos)?, vec, count, flags)
}

/// `pwritev2(2)`.
pub fn sys_pwritev2(fd: i32, vec: usize, count: usize, pos: i64, _high: usize, flags: u32) -> Result<usize> {
    do_writev(fget_at_or_here(fd, pos)?, vec, count, flags)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::errno::EFAULT;

    fn each(lens: &[usize], answers: &[Result<usize>]) -> (Result<usize>, usize) {
        let vec: alloc::vec::Vec<_> = lens.iter().map(|&len| IoVec { base: 4096, len }).collect();
        let mut calls = answers.iter();
        let r = each_segment(&vec, |_| *calls.next().unwrap());
        (r, answers.len() - calls.len())
    }

    #[test]
    fn buffers_one_after_another() {
        assert_eq!(each(&[8, 0, 8], &[Ok(8), Ok(8)]), (Ok(16), 2));
        assert_eq!(each(&[8, 8], &[Ok(8), Err(EFAULT)]), (Ok(8), 2));
        assert_eq!(each(&[8, 8], &[Ok(5)]), (Ok(5), 1));
        assert_eq!(each(&[8, 8], &[Err(EFAULT)]), (Err(EFAULT), 1));
        assert_eq!(each(&[0, 8], &[Err(EINVAL)]), (Err(EINVAL), 1));
        assert_eq!(each(&[0, 8], &[Ok(0), Ok(8)]), (Ok(8), 2));
    }
}
