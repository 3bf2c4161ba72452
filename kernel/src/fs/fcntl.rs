// SPDX-License-Identifier: GPL-2.0-only
//! `fcntl(2)` and `flock(2)` (Linux 6.1, `fs/fcntl.c`); locks are in [`locks`].

use crate::arch::x86::lib::usercopy::{get_user, put_user};
use crate::errno::{EBADF, EBUSY, EINVAL, EPERM, Result};
use crate::fs::fasync;
use crate::fs::file::{current_files, fget, fget_raw};
use crate::fs::file_table::{FASYNC, File};
use crate::fs::filemap::seal;
use crate::fs::inode::mode::S_IFIFO;
use crate::fs::inode::owner_or_capable;
use crate::fs::locks;
use crate::fs::pipe::pipe_size;
use crate::kernel::signal::state::rlimit;
use crate::kernel::task::current;
use core::sync::atomic::Ordering;
use linux_raw_sys::general::*;

const F_DUPFD_CLOEXEC: u32 = 1030;
const F_SETPIPE_SZ: u32 = 1031;
const F_GETPIPE_SZ: u32 = 1032;
const F_ADD_SEALS: u32 = 1033;
const F_GET_SEALS: u32 = 1034;
const F_GET_RW_HINT: u32 = 1035;
const F_SET_RW_HINT: u32 = 1036;
/// The longest-lived kind of data (`RWH_WRITE_LIFE_EXTREME`).
const RWH_WRITE_LIFE_MAX: u64 = 5;

fn dup_from(fd: i32, min: u32, cloexec: bool) -> Result<usize> {
    let min = min as usize;
    if min as u64 >= rlimit(rlimit::NOFILE) {
        return Err(EINVAL);
    }
    let files = current_files();
    let f = files.fget_raw(fd)?;
    Ok(files.install_from(f, min, cloexec)? as usize)
}

/// `F_SETFL` (`setfl`).
fn set_flags(f: &File, fd: i32, flags: u32) -> Result<usize> {
    if flags & !f.flags() & O_NOATIME != 0 {
        owner_or_capable(&f.inode.attr.lock(), &current().cred.get())?;
    }
    // Only of a pipe does it mean something here: packets.
    if flags & O_DIRECT != 0 && f.inode.kind() != S_IFIFO {
        return Err(EINVAL);
    }
    if (flags ^ f.flags()) & FASYNC != 0
        && let Some(r) = f.op.fasync(f, fd, flags & FASYNC != 0)
    {
        r?;
    }
    f.set_flags(flags);
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
    if seals & seal::WRITE != 0 && pages.i_mmap.is_mapped_writable() {
        return Err(EBUSY);
    }
    pages.seals.fetch_or(seals, Ordering::Relaxed);
    Ok(0)
}

/// How long what is written is expected to live: it is kept, and means nothing (`fcntl_rw_hint`).
fn set_rw_hint(f: &File, at: usize) -> Result<usize> {
    let hint: u64 = get_user(at)?;
    if hint > RWH_WRITE_LIFE_MAX {
        return Err(EINVAL);
    }
    f.inode.write_hint.store(hint as u8, Ordering::Relaxed);
    Ok(0)
}

/// `fcntl(2)`.
pub fn sys_fcntl(fd: i32, cmd: u32, arg: usize) -> Result<usize> {
    let f = fget_raw(fd)?;
    if f.is_path() && !matches!(cmd, F_DUPFD | F_DUPFD_CLOEXEC | F_GETFD | F_SETFD | F_GETFL) {
        return Err(EBADF);
    }
    match cmd {
        F_DUPFD => dup_from(fd, arg as u32, false),
        F_DUPFD_CLOEXEC => dup_from(fd, arg as u32, true),
        F_GETFD => Ok(usize::from(current_files().cloexec(fd)?)),
        F_SETFD => current_files().set_cloexec(fd, arg as u32 & FD_CLOEXEC != 0).map(|()| 0),
        F_GETFL => Ok(f.flags() as usize),
        F_SETFL => set_flags(&f, fd, arg as u32),
        F_GETLK | F_SETLK | F_SETLKW | F_OFD_GETLK | F_OFD_SETLK | F_OFD_SETLKW => {
            locks::fcntl_lock(fd, &f, &current_files(), cmd, arg)
        }
        F_SETOWN => fasync::f_setown(&f, arg as i32).map(|()| 0),
        F_GETOWN => Ok(fasync::f_getown(&f) as isize as usize),
        F_SETOWN_EX => fasync::f_setown_ex(&f, get_user(arg)?).map(|()| 0),
        F_GETOWN_EX => put_user(arg, &fasync::f_getown_ex(&f)).map(|()| 0),
        F_SETSIG => fasync::f_setsig(&f, arg).map(|()| 0),
        F_GETSIG => Ok(fasync::f_getsig(&f) as usize),
        F_SETPIPE_SZ => pipe_size(&f, Some(arg)),
        F_GETPIPE_SZ => pipe_size(&f, None),
        F_ADD_SEALS => add_seals(&f, u32::try_from(arg).map_err(|_| EINVAL)?),
        F_GET_SEALS => f.inode.ops.mapping().map(|p| p.seals() as usize).ok_or(EINVAL),
        F_GET_RW_HINT => put_user(arg, &u64::from(f.inode.write_hint.load(Ordering::Relaxed))).map(|()| 0),
        F_SET_RW_HINT => set_rw_hint(&f, arg),
        // Nobody can take one.
        F_GETLEASE => Ok(F_UNLCK as usize),
        _ => Err(EINVAL),
    }
}

/// `flock(2)`.
pub fn sys_flock(fd: i32, op: u32) -> Result<usize> {
    // What nobody keeps any more succeeds, whatever the file.
    if op & LOCK_MAND != 0 {
        return Ok(0);
    }
    if !matches!(op & !LOCK_NB, LOCK_SH | LOCK_EX | LOCK_UN) {
        return Err(EINVAL);
    }
    locks::flock(&fget(fd)?, op)
}
