// SPDX-License-Identifier: GPL-2.0-only
//! `fcntl(2)` and `flock(2)` (Linux 6.1, `fs/fcntl.c`, `fs/locks.c`).

use crate::arch::x86::lib::usercopy::{get_user, put_user};
use crate::errno::{EBADF, EBUSY, EINVAL, EPERM, Result};
use crate::fs::file::{current_files, fget, fget_raw};
use crate::fs::file_table::File;
use crate::fs::filemap::seal;
use crate::fs::pipe::pipe_size;
use crate::kernel::signal::state::rlimit;
use core::sync::atomic::Ordering;
use linux_raw_sys::general::*;

const F_DUPFD_CLOEXEC: u32 = 1030;
const F_SETPIPE_SZ: u32 = 1031;
const F_GETPIPE_SZ: u32 = 1032;
const F_ADD_SEALS: u32 = 1033;
const F_GET_SEALS: u32 = 1034;
/// Offset of `l_type` in `struct flock`.
const F_UNLCK: i16 = 2;

fn dup_from(fd: i32, min: usize, cloexec: bool) -> Result<usize> {
    if min as u64 >= rlimit(rlimit::NOFILE) {
        return Err(EINVAL);
    }
    let files = current_files();
    let f = files.fget_raw(fd)?;
    Ok(files.install_from(f, min, cloexec)? as usize)
}

/// `F_GETLK`, `F_SETLK`, `F_SETLKW`: locks are always free, as no two programs here
/// keep them against each other; the request itself is checked.
fn posix_lock(f: &File, cmd: u32, arg: usize) -> Result<usize> {
    let kind: i16 = get_user(arg)?;
    match kind {
        0 if cmd != F_GETLK => f.want_read()?,
        1 if cmd != F_GETLK => f.want_write()?,
        0..=2 => {}
        _ => return Err(EINVAL),
    }
    if cmd == F_GETLK {
        put_user(arg, &F_UNLCK)?;
    }
    Ok(0)
}

fn add_seals(f: &File, seals: u32) -> Result<usize> {
    if !f.writable() {
        return Err(EPERM);
    }
    if seals & !seal::ALL != 0 {
        return Err(EINVAL);
    }
    let pages = f.inode.ops.mapping().ok_or(EINVAL)?;
    if pages.seals() & seal::SEAL != 0 {
        return Err(EPERM);
    }
    if seals & seal::WRITE != 0 && pages.is_mapped_writable() {
        return Err(EBUSY);
    }
    pages.seals.fetch_or(seals, Ordering::Relaxed);
    Ok(0)
}

/// `fcntl(2)`.
pub fn sys_fcntl(fd: i32, cmd: u32, arg: usize) -> Result<usize> {
    let f = fget_raw(fd)?;
    if f.is_path() && !matches!(cmd, F_DUPFD | F_DUPFD_CLOEXEC | F_GETFD | F_SETFD | F_GETFL) {
        return Err(EBADF);
    }
    match cmd {
        F_DUPFD => dup_from(fd, arg, false),
        F_DUPFD_CLOEXEC => dup_from(fd, arg, true),
        F_GETFD => Ok(usize::from(current_files().cloexec(fd)?)),
        F_SETFD => current_files().set_cloexec(fd, arg as u32 & FD_CLOEXEC != 0).map(|()| 0),
        F_GETFL => Ok(f.flags() as usize),
        F_SETFL => {
            f.set_flags(arg as u32);
            Ok(0)
        }
        F_GETLK | F_SETLK | F_SETLKW => posix_lock(&f, cmd, arg),
        F_GETOWN | F_GETSIG | F_SETOWN | F_SETSIG => Ok(0),
        F_SETPIPE_SZ => pipe_size(&f, Some(arg)),
        F_GETPIPE_SZ => pipe_size(&f, None),
        F_ADD_SEALS => add_seals(&f, arg as u32),
        F_GET_SEALS => f.inode.ops.mapping().map(|p| p.seals() as usize).ok_or(EINVAL),
        _ => Err(EINVAL),
    }
}

/// `flock(2)`: see [`posix_lock`].
pub fn sys_flock(fd: i32, op: u32) -> Result<usize> {
    fget(fd)?;
    if matches!(op & !LOCK_NB, LOCK_SH | LOCK_EX | LOCK_UN) { Ok(0) } else { Err(EINVAL) }
}
