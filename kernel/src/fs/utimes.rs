// SPDX-License-Identifier: GPL-2.0-only
//! Times of files (Linux 6.1, `fs/utimes.c`).

use crate::errno::{EACCES, EINVAL, EPERM, EROFS, Result};
use crate::fs::file::fget_raw;
use crate::fs::inode::{Fixed, MAY_WRITE, Time, owner_or_capable};
use crate::fs::namei::user_path_at_empty;
use crate::fs::namespace::Path;
use crate::kernel::task::current;
use crate::kernel::time::TimeAbi;
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
    if inode.fixed == Fixed::All {
        return Err(EPERM);
    }
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

/// Two times of `utimensat`, one behind the other.
fn two_times(utimes: usize, abi: TimeAbi) -> Result<[[i64; 2]; 2]> {
    Ok([abi.get(utimes)?, abi.get(utimes + abi.time_size())?])
}

/// `utimensat(2)`; without a name, the descriptor itself.
pub fn sys_utimensat(dfd: i32, name: usize, utimes: usize, flags: u32) -> Result<usize> {
    utimensat(dfd, name, (utimes, TimeAbi::Time64), flags)
}

/// The same with times of either width.
pub fn utimensat(dfd: i32, name: usize, (utimes, abi): (usize, TimeAbi), flags: u32) -> Result<usize> {
    let times = if utimes == 0 {
        None
    } else {
        let t = two_times(utimes, abi)?;
        // Nothing to do: not even the path is looked at.
        if t.iter().all(|t| t[1] == UTIME_OMIT) {
            return Ok(0);
        }
        Some(t)
    };
    do_utimes(dfd, name, times, flags)
}

/// Sets seconds and nanoseconds, or both times to now (`do_utimes`).
fn do_utimes(dfd: i32, name: usize, times: Option<[[i64; 2]; 2]>, flags: u32) -> Result<usize> {
    let times = match times {
        None => [New::Now; 2],
        Some([a, m]) => [parse(a[0], a[1])?, parse(m[0], m[1])?],
    };
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

/// `futimesat(2)` with times of either width: seconds and microseconds (`do_futimesat`).
pub fn futimesat(dfd: i32, name: usize, utimes: usize, abi: TimeAbi) -> Result<usize> {
    let times = if utimes == 0 {
        None
    } else {
        let t = two_times(utimes, abi)?;
        if t.iter().any(|t| !(0..1_000_000).contains(&t[1])) {
            return Err(EINVAL);
        }
        Some(t.map(|[sec, usec]| [sec, usec * 1000]))
    };
    do_utimes(dfd, name, times, 0)
}

/// `futimesat(2)`.
pub fn sys_futimesat(dfd: i32, name: usize, utimes: usize) -> Result<usize> {
    futimesat(dfd, name, utimes, TimeAbi::Time64)
}

/// `utimes(2)`.
pub fn sys_utimes(name: usize, utimes: usize) -> Result<usize> {
    futimesat(AT_FDCWD, name, utimes, TimeAbi::Time64)
}

/// `utime(2)`.
pub fn sys_utime(name: usize, utimes: usize) -> Result<usize> {
    utime(name, utimes, TimeAbi::Time64)
}

/// The same with words of either width.
pub fn utime(name: usize, utimes: usize, abi: TimeAbi) -> Result<usize> {
    let times = if utimes == 0 { None } else { Some(abi.get(utimes)?.map(|sec| [sec, 0])) };
    do_utimes(AT_FDCWD, name, times, 0)
}
