// SPDX-License-Identifier: GPL-2.0-only
//! `sendfile(2)` and `copy_file_range(2)` (Linux 6.1, `fs/read_write.c`).

use crate::arch::x86::lib::usercopy::{get_user, put_user};
use crate::errno::{EBADF, EINVAL, ESPIPE, Result};
use crate::fs::file::fget;
use crate::fs::file_table::File;
use crate::fs::pipe::{Pipe, get_pipe_info};
use crate::fs::read_write::verify_area;
use crate::fs::splice::splice_file_to_pipe;
use crate::kernel::sched::cond_resched;
use crate::kernel::signal::signal_pending;
use crate::kernel::task::current;
use crate::lib::iov_iter::{IovIter, MAX_RW_COUNT};
use crate::mm::util::kvcalloc;

/// Where a copy begins: at a place that the program keeps, or at the file's position.
fn place(f: &File, uoff: usize) -> Result<u64> {
    if uoff == 0 {
        return Ok(*f.pos.lock());
    }
    let off: i64 = get_user(uoff)?;
    if !f.seekable {
        return Err(ESPIPE);
    }
    u64::try_from(off).map_err(|_| EINVAL)
}

fn put_place(f: &File, uoff: usize, pos: u64) -> Result {
    if uoff == 0 {
        *f.pos.lock() = pos;
        return Ok(());
    }
    put_user(uoff, &(pos as i64))
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
fn send_to_pipe(from: &File, uoff: usize, pipe: &Pipe, count: usize, nonblock: bool) -> Result<usize> {
    let mut src = place(from, uoff)?;
    verify_area(src, count)?;
    let n = splice_file_to_pipe(from, &mut src, pipe, count, nonblock)?;
    if uoff != 0 || from.seekable {
        put_place(from, uoff, src)?;
    }
    Ok(n)
}

/// `sendfile(2)`.
pub fn sys_sendfile64(out: i32, input: i32, uoff: usize, count: usize) -> Result<usize> {
    if uoff != 0 {
        let _: i64 = get_user(uoff)?;
    }
    let (from, to) = (fget(input)?, fget(out)?);
    from.want_read()?;
    to.want_write()?;
    if let Some(pipe) = get_pipe_info(&to) {
        return send_to_pipe(&from, uoff, pipe, count.min(MAX_RW_COUNT), to.nonblock());
    }
    // Only from what has pages or the like: not from a pipe or terminal.
    if !from.seekable {
        return Err(if uoff != 0 { ESPIPE } else { EINVAL });
    }
    if crate::fs::open::appends(&to) {
        return Err(EINVAL);
    }
    let mut src = place(&from, uoff)?;
    verify_area(src, count)?;
    let mut dst = *to.pos.lock();
    verify_area(dst, count)?;
    let n = copy(&from, &to, &mut src, &mut dst, count.min(MAX_RW_COUNT))?;
    if to.seekable {
        *to.pos.lock() = dst;
    }
    put_place(&from, uoff, src)?;
    Ok(n)
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
    if flags != 0 {
        return Err(EINVAL);
    }
    for f in [&from, &to] {
        if f.inode.is_dir() {
            return Err(crate::errno::EISDIR);
        }
        if !f.inode.is_reg() {
            return Err(EINVAL);
        }
    }
    if !from.readable() || !to.writable() || crate::fs::open::appends(&to) {
        return Err(EBADF);
    }
    let (mut src, mut dst) = (place(&from, uoff_in)?, place(&to, uoff_out)?);
    let n = copy(&from, &to, &mut src, &mut dst, len.min(MAX_RW_COUNT))?;
    put_place(&from, uoff_in, src)?;
    put_place(&to, uoff_out, dst)?;
    Ok(n)
}
