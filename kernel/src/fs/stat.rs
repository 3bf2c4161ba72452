// SPDX-License-Identifier: GPL-2.0-only
//! What is known of a file (Linux 6.1, `fs/stat.c`, `fs/statfs.c`).

use crate::arch::x86::lib::usercopy::{getname, put_user, strncpy_from_user};
use crate::errno::{EINVAL, Result};
use crate::fs::file::fget;
use crate::fs::inode::Inode;
use crate::fs::namei::{Follow, path_or_fd, user_path_at};
use crate::fs::superblock::SuperBlock;
use core::sync::atomic::Ordering;
use linux_raw_sys::general as abi;
use zerocopy::{Immutable, IntoBytes};

/// `struct stat`.
#[repr(C)]
#[derive(Clone, Copy, Default, IntoBytes, Immutable)]
struct Stat {
    dev: u64,
    ino: u64,
    nlink: u64,
    mode: u32,
    uid: u32,
    gid: u32,
    pad0: u32,
    rdev: u64,
    size: i64,
    blksize: i64,
    blocks: i64,
    /// Access, modification, change: seconds and nanoseconds.
    times: [i64; 6],
    unused: [i64; 3],
}
const _: () = assert!(size_of::<Stat>() == size_of::<abi::stat>());

fn fill(i: &Inode) -> Stat {
    i.ops.revalidate(i);
    let a = i.attr.lock().clone();
    let pages = i.ops.mapping().map_or(0, crate::fs::filemap::AddressSpace::nr_pages);
    Stat {
        dev: i.sb.dev.user(),
        ino: i.ino,
        nlink: u64::from(a.nlink),
        mode: a.mode,
        uid: a.uid,
        gid: a.gid,
        rdev: i.rdev.user(),
        size: i.ops.size() as i64,
        blksize: 4096,
        blocks: pages as i64 * 8,
        times: [
            a.atime.sec,
            i64::from(a.atime.nsec),
            a.mtime.sec,
            i64::from(a.mtime.nsec),
            a.ctime.sec,
            i64::from(a.ctime.nsec),
        ],
        ..Stat::default()
    }
}

/// `stat(2)`.
pub fn sys_newstat(path: usize, buf: usize) -> Result<usize> {
    sys_newfstatat(abi::AT_FDCWD, path, buf, 0)
}

/// `lstat(2)`.
pub fn sys_newlstat(path: usize, buf: usize) -> Result<usize> {
    sys_newfstatat(abi::AT_FDCWD, path, buf, abi::AT_SYMLINK_NOFOLLOW)
}

/// `fstat(2)`.
pub fn sys_newfstat(fd: i32, buf: usize) -> Result<usize> {
    put_user(buf, &fill(&fget(fd)?.path.dentry.inode))?;
    Ok(0)
}

/// `newfstatat(2)`.
pub fn sys_newfstatat(dirfd: i32, path: usize, buf: usize, flags: u32) -> Result<usize> {
    if flags & !(abi::AT_SYMLINK_NOFOLLOW | abi::AT_NO_AUTOMOUNT | abi::AT_EMPTY_PATH) != 0 {
        return Err(EINVAL);
    }
    let p = path_or_fd(dirfd, &strncpy_from_user(path, 4096)?, flags)?;
    put_user(buf, &fill(&p.dentry.inode))?;
    Ok(0)
}

/// `statx(2)`.
pub fn sys_statx(dirfd: i32, path: usize, flags: u32, mask: u32, buf: usize) -> Result<usize> {
    if mask & abi::STATX__RESERVED != 0 {
        return Err(EINVAL);
    }
    let p = path_or_fd(dirfd, &strncpy_from_user(path, 4096)?, flags)?;
    let s = fill(&p.dentry.inode);
    let dev = p.dentry.inode.sb.dev;
    let rdev = p.dentry.inode.rdev;
    let mut w = [0u64; 32];
    w[0] = u64::from(abi::STATX_BASIC_STATS) | 4096 << 32;
    w[2] = s.nlink | u64::from(s.uid) << 32;
    w[3] = u64::from(s.gid) | u64::from(s.mode) << 32;
    w[4] = s.ino;
    w[5] = s.size as u64;
    w[6] = s.blocks as u64;
    for (slot, t) in [(8, 0), (12, 4), (14, 2)] {
        w[slot] = s.times[t] as u64;
        w[slot + 1] = s.times[t + 1] as u64;
    }
    w[16] = u64::from(rdev.major()) | u64::from(rdev.minor()) << 32;
    w[17] = u64::from(dev.major()) | u64::from(dev.minor()) << 32;
    w[18] = u64::from(p.mnt.id);
    put_user(buf, &w)?;
    Ok(0)
}

fn statfs(sb: &SuperBlock, buf: usize) -> Result<usize> {
    let total = sb.max_pages.min(crate::mm::page_alloc::totalram_pages()) as u64;
    let used = sb.pages.load(Ordering::Relaxed) as u64;
    let free = total.saturating_sub(used);
    let w: [u64; 15] = [sb.fs.magic, 4096, total, free, free, 0, 0, 0, 255, 4096, 0x20, 0, 0, 0, 0];
    put_user(buf, &w)?;
    Ok(0)
}

/// `statfs(2)`.
pub fn sys_statfs(path: usize, buf: usize) -> Result<usize> {
    statfs(&user_path_at(abi::AT_FDCWD, &getname(path)?, Follow::Yes)?.dentry.inode.sb, buf)
}

/// `fstatfs(2)`.
pub fn sys_fstatfs(fd: i32, buf: usize) -> Result<usize> {
    statfs(&fget(fd)?.path.dentry.inode.sb, buf)
}

/// `utimensat(2)`.
pub fn sys_utimensat(dirfd: i32, path: usize, times: usize, flags: u32) -> Result<usize> {
    use crate::fs::inode::Time;
    const UTIME_NOW: i64 = 0x3fff_ffff;
    const UTIME_OMIT: i64 = 0x3fff_fffe;
    let p = if path == 0 {
        fget(dirfd)?.path.clone()
    } else {
        path_or_fd(dirfd, &strncpy_from_user(path, 4096)?, flags)?
    };
    let t: [i64; 4] = if times == 0 {
        [0, UTIME_NOW, 0, UTIME_NOW]
    } else {
        crate::arch::x86::lib::usercopy::get_user(times)?
    };
    let pick = |sec: i64, nsec: i64| match nsec {
        UTIME_NOW => Ok(Some(Time::now())),
        UTIME_OMIT => Ok(None),
        0..1_000_000_000 => Ok(Some(Time { sec, nsec: nsec as u32 })),
        _ => Err(EINVAL),
    };
    let (at, mt) = (pick(t[0], t[1])?, pick(t[2], t[3])?);
    let mut a = p.dentry.inode.attr.lock();
    a.atime = at.unwrap_or(a.atime);
    a.mtime = mt.unwrap_or(a.mtime);
    Ok(0)
}
