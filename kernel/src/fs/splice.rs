// SPDX-License-Identifier: GPL-2.0-only
//! `splice(2)`, `tee(2)`, `vmsplice(2)`: what goes through a pipe without being copied to a program
//! (Linux 6.1, `fs/splice.c`).
//!
//! A pipe holds parts of pages. Those of a file or of a program's memory are put there as they are:
//! who changes them afterwards changes what will be read.

use crate::arch::x86::lib::usercopy::{get_user, put_user};
use crate::errno::{EBADF, EFAULT, EINVAL, ENOMEM, ERESTARTSYS, ESPIPE, Result};
use crate::fs::file::fget;
use crate::fs::file_table::File;
use crate::fs::filemap::AddressSpace;
use crate::fs::open::appends;
use crate::fs::pipe::{Buffer, Pipe, get_pipe_info};
use crate::fs::read_write::verify_area_of;
use crate::kernel::signal::signal_pending;
use crate::kernel::task::current;
use crate::lib::iov_iter::{IoVec, IovIter, import_iovec};
use crate::mm::mm_struct::with_current_mm;
use crate::mm::page_alloc::{PAGE_SIZE, Page};
use crate::mm::util::kvcalloc;
use alloc::vec::Vec;

/// Do not wait for the pipes.
pub const SPLICE_F_NONBLOCK: u32 = 2;
/// The flags that there are: to move pages and to expect more are hints, as is that pages are a gift.
const SPLICE_F_ALL: u32 = 0xf;
/// Most bytes that are read at once where there are no pages to be linked.
const MAX_READ: usize = 1 << 20;

fn done_or<T>(done: usize, e: Result<T>) -> Result<usize> {
    if done != 0 { Ok(done) } else { e.map(|_| 0) }
}

/// Puts parts of a file's pages into a pipe; where there are none, zeroes.
fn link_pages(pages: &AddressSpace, pos: &mut u64, to: &Pipe, len: usize) -> Result<usize> {
    let mut done = 0;
    while done < len && *pos < pages.size() {
        let at = (*pos % PAGE_SIZE as u64) as usize;
        let n = (PAGE_SIZE - at).min(len - done).min((pages.size() - *pos) as usize);
        let page = pages.find_page(*pos / PAGE_SIZE as u64).map_or_else(Page::alloc_user_zeroed, Ok);
        if let Err(e) = page.and_then(|p| to.push(Buffer::linked(p, at, n))) {
            return done_or(done, Err::<(), _>(e));
        }
        *pos += n as u64;
        done += n;
    }
    Ok(done)
}

/// Reads from a file that has no pages, once, and puts that into a pipe. Room and memory are there
/// before: what was read of a terminal, say, cannot be read again.
fn read_into(from: &File, pos: &mut u64, to: &Pipe, len: usize) -> Result<usize> {
    let mut buf = kvcalloc(len.min(MAX_READ))?;
    let count = buf.len().div_ceil(PAGE_SIZE);
    let mut pages = Vec::new();
    pages.try_reserve_exact(count).map_err(|_| ENOMEM)?;
    for _ in 0..count {
        pages.push(Page::alloc_user()?);
    }
    let mut room = to.keep(count)?;
    let n = from.op.read(from, &mut IovIter::sink(&mut buf), pos)?;
    for (part, page) in buf[..n].chunks(PAGE_SIZE).zip(pages) {
        page.write(0, part);
        room.push(Buffer::linked(page, 0, part.len()));
    }
    Ok(n)
}

/// From a file into a pipe, as much as there is and the pipe has room for (`splice_file_to_pipe`).
pub fn splice_file_to_pipe(
    from: &File,
    pos: &mut u64,
    to: &Pipe,
    len: usize,
    nonblock: bool,
) -> Result<usize> {
    to.wait_writable(nonblock)?;
    let len = len.min(to.room() * PAGE_SIZE);
    verify_area_of(from, *pos, len)?;
    if !from.op.abilities().splice_read {
        return Err(EINVAL);
    }
    let n = match from.inode.ops.mapping() {
        Some(pages) => link_pages(pages, pos, to, len)?,
        None => read_into(from, pos, to, len)?,
    };
    if n != 0 {
        to.wake_readers();
    }
    Ok(n)
}

/// Gives what is in a pipe to `actor`, which says how much it takes: until `len` bytes are gone, or
/// there are no more for now, or none are taken (`__splice_from_pipe`).
fn splice_from_pipe(
    from: &Pipe,
    len: usize,
    nonblock: bool,
    mut actor: impl FnMut(&[u8]) -> Result<usize>,
) -> Result<usize> {
    let mut done = 0;
    let r = loop {
        if done == len {
            break Ok(0);
        }
        if signal_pending(&current()) {
            break Err(ERESTARTSYS);
        }
        let Some((mut b, mut place)) = from.take_first() else {
            if done != 0 || from.ended() {
                break Ok(0);
            }
            if let Err(e) = from.wait_readable(nonblock) {
                break Err(e);
            }
            continue;
        };
        let want = b.bytes().len().min(len - done);
        let r = actor(&b.bytes()[..want]);
        let n = r.unwrap_or(0);
        done += n;
        if n < b.bytes().len() {
            b.advance(n);
            place.put_back(b);
        }
        if n == 0 {
            break r;
        }
    };
    if done != 0 {
        from.wake_writers();
    }
    done_or(done, r)
}

/// From a pipe into a file (`iter_file_splice_write`).
fn splice_pipe_to_file(from: &Pipe, to: &File, pos: &mut u64, len: usize, nonblock: bool) -> Result<usize> {
    if !to.op.abilities().splice_write {
        return Err(EINVAL);
    }
    splice_from_pipe(from, len, nonblock, |b| to.op.write(to, &mut IovIter::source(b), pos))
}

/// From one pipe into another; `keep` leaves it in the first, too (`splice_pipe_to_pipe`, `link_pipe`).
fn pipe_to_pipe(from: &Pipe, to: &Pipe, len: usize, nonblock: bool, keep: bool) -> Result<usize> {
    let (mut done, mut seen) = (0, 0);
    loop {
        from.wait_readable(nonblock)?;
        to.wait_writable(nonblock)?;
        // While this waited for room, another may have taken what there was; it may put some of it back.
        if from.is_readable() {
            break;
        }
    }
    while done < len && to.room() != 0 {
        let mut room = match to.keep(1) {
            Ok(room) => room,
            Err(e) => return done_or(done, Err::<(), _>(e)),
        };
        let part = if keep { from.peek(seen, len - done) } else { from.pop(len - done) };
        let Some(b) = part else { break };
        let n = b.bytes().len();
        room.push(b);
        seen += 1;
        done += n;
    }
    if done != 0 {
        to.wake_readers();
        if !keep {
            from.wake_writers();
        }
    }
    Ok(done)
}

/// One side that is no pipe: its file, and where the program keeps its position, if it does.
struct Side<'a>(&'a File, usize);

impl Side<'_> {
    /// Runs `f` at the side's position, and moves it.
    fn at(&self, f: impl FnOnce(&mut u64) -> Result<usize>) -> Result<usize> {
        let Self(file, uoff) = *self;
        if uoff == 0 {
            let mut pos = if file.seekable { *file.pos.lock() } else { 0 };
            let r = f(&mut pos);
            if file.seekable {
                *file.pos.lock() = pos;
            }
            return r;
        }
        let mut pos: u64 = get_user(uoff)?;
        if !file.seekable {
            return Err(EINVAL);
        }
        let n = f(&mut pos)?;
        put_user(uoff, &pos)?;
        Ok(n)
    }
}

fn do_splice(
    from: &File,
    uoff_in: usize,
    to: &File,
    uoff_out: usize,
    len: usize,
    flags: u32,
) -> Result<usize> {
    let pipes = (get_pipe_info(from), get_pipe_info(to));
    if pipes.0.is_some() && uoff_in != 0 || pipes.1.is_some() && uoff_out != 0 {
        return Err(ESPIPE);
    }
    for uoff in [uoff_out, uoff_in] {
        if uoff != 0 {
            let _: u64 = get_user(uoff)?;
        }
    }
    if !from.readable() || !to.writable() {
        return Err(EBADF);
    }
    let nonblock = |f: &[&File]| flags & SPLICE_F_NONBLOCK != 0 || f.iter().any(|f| f.nonblock());
    match pipes {
        (Some(a), Some(b)) if core::ptr::eq(a, b) => Err(EINVAL),
        (Some(a), Some(b)) => pipe_to_pipe(a, b, len, nonblock(&[from, to]), false),
        (Some(a), None) => Side(to, uoff_out).at(|pos| {
            if appends(to) {
                return Err(EINVAL);
            }
            verify_area_of(to, *pos, len)?;
            splice_pipe_to_file(a, to, pos, len, nonblock(&[from]))
        }),
        (None, Some(b)) => {
            Side(from, uoff_in).at(|pos| splice_file_to_pipe(from, pos, b, len, nonblock(&[to])))
        }
        (None, None) => Err(EINVAL),
    }
}

/// `splice(2)`.
pub fn sys_splice(
    fd_in: i32,
    uoff_in: usize,
    fd_out: i32,
    uoff_out: usize,
    len: usize,
    flags: u32,
) -> Result<usize> {
    if len == 0 {
        return Ok(0);
    }
    if flags & !SPLICE_F_ALL != 0 {
        return Err(EINVAL);
    }
    let (from, to) = (fget(fd_in)?, fget(fd_out)?);
    do_splice(&from, uoff_in, &to, uoff_out, len, flags)
}

/// `tee(2)`.
pub fn sys_tee(fd_in: i32, fd_out: i32, len: usize, flags: u32) -> Result<usize> {
    if flags & !SPLICE_F_ALL != 0 {
        return Err(EINVAL);
    }
    if len == 0 {
        return Ok(0);
    }
    let (from, to) = (fget(fd_in)?, fget(fd_out)?);
    if !from.readable() || !to.writable() {
        return Err(EBADF);
    }
    let (Some(a), Some(b)) = (get_pipe_info(&from), get_pipe_info(&to)) else {
        return Err(EINVAL);
    };
    if core::ptr::eq(a, b) {
        return Err(EINVAL);
    }
    let nonblock = flags & SPLICE_F_NONBLOCK != 0 || from.nonblock() || to.nonblock();
    pipe_to_pipe(a, b, len, nonblock, true)
}

/// Puts a program's own pages into a pipe (`iter_to_pipe`).
fn link_memory(vec: &[IoVec], to: &Pipe) -> Result<usize> {
    let mut done = 0;
    for v in vec {
        let mut at = v.base;
        while at < v.base + v.len {
            let offset = at % PAGE_SIZE;
            let n = (PAGE_SIZE - offset).min(v.base + v.len - at);
            let page = with_current_mm(|mm| mm.lock().get_page(at)).unwrap_or(Err(EFAULT));
            if let Err(e) = page.and_then(|p| to.push(Buffer::linked(p, offset, n))) {
                return done_or(done, Err::<(), _>(e));
            }
            done += n;
            at += n;
        }
    }
    Ok(done)
}

/// `vmsplice(2)`: into a pipe without copying, out of one with.
pub fn sys_vmsplice(fd: i32, uvec: usize, count: usize, flags: u32) -> Result<usize> {
    if flags & !SPLICE_F_ALL != 0 {
        return Err(EINVAL);
    }
    let file = fget(fd)?;
    if !file.writable() && !file.readable() {
        return Err(EBADF);
    }
    let vec = import_iovec(uvec, count)?;
    let mut iter = IovIter::vector(&vec);
    let len = iter.count();
    if len == 0 {
        return Ok(0);
    }
    let pipe = get_pipe_info(&file).ok_or(EBADF)?;
    let nonblock = flags & SPLICE_F_NONBLOCK != 0;
    if !file.writable() {
        return splice_from_pipe(pipe, len, nonblock, |b| match iter.copy_to(b) {
            n if n == b.len() => Ok(n),
            _ => Err(EFAULT),
        });
    }
    pipe.wait_writable(nonblock)?;
    let n = link_memory(&vec, pipe)?;
    if n != 0 {
        pipe.wake_readers();
    }
    Ok(n)
}
