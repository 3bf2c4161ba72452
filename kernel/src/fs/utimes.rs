// SPDX-License-Identifier: GPL-2.0-only
//! Times of files (Linux 6.1, `fs/utimes.c`).

use crate::arch::x86::lib::usercopy::get_user;
use crate::errno::{EACCES, EINVAL, EPERM, EROFS, Result};
use crate::fs::file::fget_raw;
use crate::fs::inode::{MAY_WRITE, Time, owner_or_capable};
use crate::fs::namei::user_path_at_empty;
use crate::fs::namespace::Path;
use crate::kernel::task::current;
use linux_raw_sys::general::{AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_NOFOLLOW};

const UTIME_NOW: i64 = 0x3fff_ffff;
const UTIME_OMIT: i64 = 0x3fff_fffe;
const NSEC_PER_SEC: i64 = 1_000_000_000;

/// What becomes of one time.
#[derive(Clone, Copy, PartialEq)]
enum New {
    Now,
    Keep,
    Set(Time),
}

fn parse(sec: i64, nsec: i64) -> Result<New> {
    match nsec {
        UTIME_NOW => Ok(New::Now),
        UTIME_OMIT => Ok(New::Keep),
        0..NSEC_PER_SEC => Ok(New::Set(Time { sec, nsec: nsec as u32 })),
        _ => Err(EINVAL),
    }
}

fn apply(p: &Path, times: [New; 2]) -> Result<usize> {
    if p.mnt.is_readonly() {
        return Err(EROFS);
    }
    let inode = &p.dentry.inode;
    let cred = current().cred.get();
    // Who may write may also set both to now.
    let owner = owner_or_capable(&inode.attr.lock(), &cred);
    if owner.is_err() {
        if times != [New::Now; 2] {
            return Err(EPERM);
        }
        inode.permission(&cred, MAY_WRITE).map_err(|_| EACCES)?;
    }
    let now = Time::now();
    let set = |t: &mut Time, new| match new {
        New::Now => *t = now,
        New::Set(v) => *t = v,
        New::Keep => {}
    };
    let mut a = inode.attr.lock();
    set(&mut a.atime, times[0]);
    set(&mut a.mtime, times[1]);
    a.ctime = now;
    Ok(0)
}

/// `utimensat(2)`; without a name, the descriptor itself.
pub fn sys_utimensat(dfd: i32, name: usize, utimes: usize, flags: u32) -> Result<usize> {
    let times = if utimes == 0 {
        [New::Now; 2]
    } else {
        let t: [i64; 4] = get_user(utimes)?;
        [parse(t[0], t[1])?, parse(t[2], t[3])?]
    };
    // Nothing to do: not even the path is looked at.
    if times == [New::Keep; 2] {
        return Ok(0);
    }
    do_utimes(dfd, name, times, flags)
}

/// Sets a file's times (`do_utimes`).
fn do_utimes(dfd: i32, name: usize, times: [New; 2], flags: u32) -> Result<usize> {
    if name == 0 && dfd != AT_FDCWD {
        if flags != 0 {
            return Err(EINVAL);
        }
        return apply(&fget_raw(dfd)?.path, times);
    }
    if flags & !(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 {
        return Err(EINVAL);
    }
    apply(&user_path_at_empty(dfd, name, flags)?, times)
}

/// `futimesat(2)`; without a name, the descriptor itself.
pub fn sys_futimesat(dfd: i32, name: usize, utimes: usize) -> Result<usize> {
    let times = if utimes == 0 {
        [New::Now; 2]
    } else {
        let t: [i64; 4] = get_user(utimes)?;
        if !(0..1_000_000).contains(&t[1]) || !(0..1_000_000).contains(&t[3]) {
            return Err(EINVAL);
        }
        [parse(t[0], t[1] * 1000)?, parse(t[2], t[3] * 1000)?]
    };
    do_utimes(dfd, name, times, 0)
}

/// `utimes(2)`.
pub fn sys_utimes(name: usize, utimes: usize) -> Result<usize> {
    sys_futimesat(AT_FDCWD, name, utimes)
}

/// `utime(2)`.
pub fn sys_utime(name: usize, utimes: usize) -> Result<usize> {
    let times = if utimes == 0 {
        [New::Now; 2]
    } else {
        let t: [i64; 2] = get_user(utimes)?;
        [parse(t[0], 0)?, parse(t[1], 0)?]
    };
    apply(&user_path_at_empty(AT_FDCWD, name, 0)?, times)
}
