// SPDX-License-Identifier: GPL-2.0-only
//! `sendfile(2)` and `copy_file_range(2)` (Linux 6.1, `fs/read_write.c`).

use crate::arch::x86::lib::usercopy::{get_user, put_user};
use crate::errno::{EBADF, EINVAL, EISDIR, EOVERFLOW, ESPIPE, EXDEV, Result};
use crate::fs::file::fget;
use crate::fs::file_table::File;
use crate::fs::pipe::{Pipe, get_pipe_info};
use crate::fs::read_write::{verify_area, write_room};
use crate::fs::splice::splice_file_to_pipe;
use crate::fs::superblock::MAX_NON_LFS;
use crate::kernel::sched::cond_resched;
use crate::kernel::signal::signal_pending;
use crate::kernel::task::current;
use crate::lib::iov_iter::{IovIter, MAX_RW_COUNT};
use crate::mm::util::kvcalloc;
use alloc::sync::Arc;

/// Where a copy begins.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// At the file's position.
    Own,
    /// At a place that the program keeps.
    Given(usize),
    /// At one that it keeps in 31 bits: i386's.
    Narrow(usize),
}

impl Place {
    fn new(uoff: usize) -> Self {
        if uoff == 0 { Self::Own } else { Self::Given(uoff) }
    }
    /// The offset that the program gives.
    fn given(self) -> Result<Option<i64>> {
        match self {
            Self::Own => Ok(None),
            Self::Given(at) => get_user(at).map(Some),
            Self::Narrow(at) => get_user::<i32>(at).map(|off| Some(off.into())),
        }
    }
    /// How many of `count` bytes at `pos` lie before the last place that there is.
    fn cut(self, pos: u64, count: usize) -> Result<usize> {
        if !matches!(self, Self::Narrow(_)) || pos.saturating_add(count as u64) <= MAX_NON_LFS {
            return Ok(count);
        }
        MAX_NON_LFS.checked_sub(pos).filter(|&n| n != 0).map(|n| n as usize).ok_or(EOVERFLOW)
    }
    fn find(self, f: &File) -> Result<u64> {
        let Some(off) = self.given()? else { return Ok(*f.pos.lock()) };
        if !f.seekable {
            return Err(ESPIPE);
        }
        u64::try_from(off).map_err(|_| EINVAL)
    }
    fn put(self, f: &File, pos: u64) -> Result {
        match self {
            Self::Own => {
                *f.pos.lock() = pos;
                Ok(())
            }
            Self::Given(at) => put_user(at, &(pos as i64)),
            Self::Narrow(at) => put_user(at, &(pos as i32)),
        }
    }
}

fn copy(from: &File, to: &File, src: &mut u64, dst: &mut u64, len: usize) -> Result<usize> {
    let mut buf = kvcalloc(4096)?;
    let mut done = 0;
    while done < len {
        let want = buf.len().min(len - done);
        let mut at = *src;
        let n = match from.op.read(from, &mut IovIter::sink(&mut buf[..want]), &mut at) {
            Ok(0) => break,
            Ok(n) => n,
            Err(e) if done == 0 => return Err(e),
            Err(_) => break,
        };
        let w = match to.op.write(to, &mut IovIter::source(&buf[..n]), dst) {
            Ok(w) => w,
            Err(e) if done == 0 => return Err(e),
            Err(_) => break,
        };
        *src += w as u64;
        done += w;
        if w < n || signal_pending(&current()) {
            break;
        }
        cond_resched();
    }
    Ok(done)
}

/// Into a pipe: as much as it has room for, without a copy.
fn send_to_pipe(from: &File, place: Place, pipe: &Pipe, count: usize, nonblock: bool) -> Result<usize> {
    let mut src = place.find(from)?;
    verify_area(src, count)?;
    let count = place.cut(src, count)?;
    let n = splice_file_to_pipe(from, &mut src, pipe, count, nonblock)?;
    if place != Place::Own || from.seekable {
        place.put(from, src)?;
    }
    Ok(n)
}

/// `sendfile(2)`.
pub fn sys_sendfile64(out: i32, input: i32, uoff: usize, count: usize) -> Result<usize> {
    do_sendfile(out, input, Place::new(uoff), count)
}

/// i386's `sendfile`.
pub fn compat_sys_sendfile(out: i32, input: i32, uoff: usize, count: usize) -> Result<usize> {
    do_sendfile(out, input, if uoff == 0 { Place::Own } else { Place::Narrow(uoff) }, count)
}

fn do_sendfile(out: i32, input: i32, place: Place, count: usize) -> Result<usize> {
    place.given()?;
    let (from, to) = (fget(input)?, fget(out)?);
    from.want_read()?;
    to.want_write()?;
    if let Some(pipe) = get_pipe_info(&to) {
        return send_to_pipe(&from, place, pipe, count.min(MAX_RW_COUNT), to.nonblock());
    }
    // Only from what has pages or the like: not from a pipe or terminal.
    if !from.seekable {
        return Err(if place == Place::Own { EINVAL } else { ESPIPE });
    }
    if crate::fs::open::appends(&to) {
        return Err(EINVAL);
    }
    let mut src = place.find(&from)?;
    verify_area(src, count)?;
    let count = place.cut(src, count)?;
    if count != 0 && !from.op.abilities().splice_read {
        return Err(EINVAL);
    }
    let mut dst = *to.pos.lock();
    verify_area(dst, count)?;
    let n = copy(&from, &to, &mut src, &mut dst, count.min(MAX_RW_COUNT))?;
    if to.seekable {
        *to.pos.lock() = dst;
    }
    place.put(&from, src)?;
    Ok(n)
}

/// How many of `len` bytes may be copied (`generic_copy_file_checks`): none between two file systems or
/// onto themselves, and only what the source has and the target may get.
fn copy_checks(from: &File, src: i64, to: &File, dst: i64, len: usize) -> Result<usize> {
    let files = [from, to];
    if files.iter().any(|f| f.inode.is_dir()) {
        return Err(EISDIR);
    }
    if !files.iter().all(|f| f.inode.is_reg()) {
        return Err(EINVAL);
    }
    if !from.readable() || !to.writable() || crate::fs::open::appends(to) {
        return Err(EBADF);
    }
    if !Arc::ptr_eq(&from.inode.sb, &to.inode.sb) {
        return Err(EXDEV);
    }
    // A negative place is a far one here, and refused in the end.
    let (from_at, to_at) = (src as u64, dst as u64);
    if from_at.checked_add(len as u64).is_none() || to_at.checked_add(len as u64).is_none() {
        return Err(EOVERFLOW);
    }
    let size = from.inode.ops.size();
    let mut count = if src >= size as i64 { 0 } else { size.wrapping_sub(from_at).min(len as u64) };
    if dst >= 0 {
        count = count.min(write_room(to, to_at)?);
    }
    let overlap = to_at.wrapping_add(count) > from_at && to_at < from_at.wrapping_add(count);
    if overlap && Arc::ptr_eq(&from.inode, &to.inode) {
        return Err(EINVAL);
    }
    verify_area(from_at, count as usize)?;
    verify_area(to_at, count as usize)?;
    Ok(count as usize)
}

/// `copy_file_range(2)`.
pub fn sys_copy_file_range(
    input: i32,
    uoff_in: usize,
    out: i32,
    uoff_out: usize,
    len: usize,
    flags: u32,
) -> Result<usize> {
    let (from, to) = (fget(input)?, fget(out)?);
    let (place_in, place_out) = (Place::new(uoff_in), Place::new(uoff_out));
    let start = |place: Place, f: &File| Ok(place.given()?.unwrap_or_else(|| *f.pos.lock() as i64));
    let (src, dst) = (start(place_in, &from)?, start(place_out, &to)?);
    if flags != 0 {
        return Err(EINVAL);
    }
    let count = copy_checks(&from, src, &to, dst, len)?;
    let (mut src, mut dst) = (src as u64, dst as u64);
    let n = copy(&from, &to, &mut src, &mut dst, count.min(MAX_RW_COUNT))?;
    if n > 0 {
        // The one is told even if the other cannot be.
        let told = place_in.put(&from, src);
        place_out.put(&to, dst)?;
        told?;
    }
    Ok(n)
}
