// SPDX-License-Identifier: GPL-2.0-only
//! i386's locks on files, and what its files were before `stat` (Linux 6.1, `fs/fcntl.c`,
//! `do_compat_fcntl64`; `fs/stat.c`, `cp_old_stat`).

use crate::arch::x86::lib::usercopy::{get_user, put_user};
use crate::errno::{EBADF, EOVERFLOW, Result};
use crate::fs::fcntl::sys_fcntl;
use crate::fs::file::{current_files, fget_raw};
use crate::fs::inode::Dev;
use crate::fs::locks::{Flock, do_fcntl_lock};
use crate::fs::stat::{Stat, vfs_fstat, vfs_fstatat};
use crate::kernel::panic::Comm;
use crate::kernel::task::current;
use crate::kernel::uid16::high2low;
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};
use linux_raw_sys::general::{
    AT_FDCWD, AT_SYMLINK_NOFOLLOW, F_GETLK, F_OFD_GETLK, F_OFD_SETLK, F_OFD_SETLKW, F_SETLK, F_SETLKW,
};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// `F_GETLK` and its kin with places of 64 bits.
const F_GETLK64: u32 = 12;
const F_SETLK64: u32 = 13;
const F_SETLKW64: u32 = 14;

/// `struct flock`.
#[repr(C)]
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
struct CompatFlock {
    kind: i16,
    whence: i16,
    start: i32,
    len: i32,
    pid: i32,
}

/// `struct flock64`: i386 aligns words of 64 bits to 32.
#[repr(C, packed(4))]
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
struct CompatFlock64 {
    kind: i16,
    whence: i16,
    start: i64,
    len: i64,
    pid: i32,
}

const _: () = assert!(size_of::<CompatFlock>() == 16 && size_of::<CompatFlock64>() == 24);

impl CompatFlock {
    fn wide(self) -> Flock {
        Flock::new([self.kind, self.whence], self.start.into(), self.len.into(), self.pid)
    }
    /// A lock that begins too far away cannot be told; one that is too long seems shorter
    /// (`fixup_compat_flock`).
    fn narrow(f: &Flock) -> Result<Self> {
        let start = i32::try_from(f.start).map_err(|_| EOVERFLOW)?;
        let len = i32::try_from(f.len).unwrap_or(i32::MAX);
        Ok(Self { kind: f.kind, whence: f.whence, start, len, pid: f.pid })
    }
}

impl CompatFlock64 {
    fn wide(self) -> Flock {
        Flock::new([self.kind, self.whence], self.start, self.len, self.pid)
    }
    fn of(f: &Flock) -> Self {
        Self { kind: f.kind, whence: f.whence, start: f.start, len: f.len, pid: f.pid }
    }
}

/// `fcntl64`, which is also what the old number means.
pub fn compat_sys_fcntl64(fd: i32, cmd: u32, arg: usize) -> Result<usize> {
    let wide = match cmd {
        F_GETLK | F_SETLK | F_SETLKW => false,
        F_GETLK64 | F_SETLK64 | F_SETLKW64 | F_OFD_GETLK | F_OFD_SETLK | F_OFD_SETLKW => true,
        _ => return sys_fcntl(fd, cmd, arg),
    };
    let native = match cmd {
        F_GETLK64 => F_GETLK,
        F_SETLK64 => F_SETLK,
        F_SETLKW64 => F_SETLKW,
        _ => cmd,
    };
    let f = fget_raw(fd)?;
    if f.is_path() {
        return Err(EBADF);
    }
    let request =
        if wide { get_user::<CompatFlock64>(arg)?.wide() } else { get_user::<CompatFlock>(arg)?.wide() };
    match do_fcntl_lock(fd, &f, &current_files(), native, request)? {
        None => Ok(()),
        Some(found) if wide => put_user(arg, &CompatFlock64::of(&found)),
        Some(found) => put_user(arg, &CompatFlock::narrow(&found)?),
    }
    .map(|()| 0)
}

/// `struct __old_kernel_stat`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, IntoBytes, Immutable)]
struct OldStat {
    dev: u16,
    ino: u16,
    mode: u16,
    nlink: u16,
    uid: u16,
    gid: u16,
    rdev: u16,
    pad: u16,
    size: u32,
    atime: u32,
    mtime: u32,
    ctime: u32,
}

/// A device's number in 16 bits, of the wide form (`old_encode_dev`).
fn old_encode_dev(dev: u64) -> u16 {
    let dev = Dev::from_user(dev as u32);
    (dev.major() << 8 | dev.minor()) as u16
}

impl OldStat {
    fn of(s: &Stat) -> Result<Self> {
        Ok(Self {
            dev: old_encode_dev(s.dev),
            ino: u16::try_from(s.ino).map_err(|_| EOVERFLOW)?,
            mode: s.mode as u16,
            nlink: u16::try_from(s.nlink).map_err(|_| EOVERFLOW)?,
            uid: high2low(s.uid),
            gid: high2low(s.gid),
            rdev: old_encode_dev(s.rdev),
            pad: 0,
            size: s.size as u32,
            atime: s.times[0] as u32,
            mtime: s.times[2] as u32,
            ctime: s.times[4] as u32,
        })
    }
}

/// How often the log still says that a program is very old.
static WARNINGS: AtomicU32 = AtomicU32::new(5);

fn put_old_stat(buf: usize, s: &Stat) -> Result<usize> {
    if WARNINGS.fetch_update(Relaxed, Relaxed, |n| n.checked_sub(1)).is_ok() {
        let comm = current().comm();
        crate::printk!(4, "VFS: Warning: {} using old stat() call. Recompile your binary.\n", Comm(&comm));
    }
    put_user(buf, &OldStat::of(s)?).map(|()| 0)
}

/// `oldstat`.
pub fn sys_stat(name: usize, buf: usize) -> Result<usize> {
    put_old_stat(buf, &vfs_fstatat(AT_FDCWD, name, 0)?)
}

/// `oldlstat`.
pub fn sys_lstat(name: usize, buf: usize) -> Result<usize> {
    put_old_stat(buf, &vfs_fstatat(AT_FDCWD, name, AT_SYMLINK_NOFOLLOW)?)
}

/// `oldfstat`.
pub fn sys_fstat(fd: i32, buf: usize) -> Result<usize> {
    put_old_stat(buf, &vfs_fstat(fd)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locks_that_do_not_fit() {
        let flock = |start, len| Flock::new([1, 0], start, len, 7);
        assert_eq!(CompatFlock::narrow(&flock(5, 6)).map(|c| (c.start, c.len, c.pid)), Ok((5, 6, 7)));
        assert_eq!(CompatFlock::narrow(&flock(5, 1 << 31)).map(|c| c.len), Ok(i32::MAX));
        assert!(CompatFlock::narrow(&flock(1 << 31, 1)).is_err());
    }

    #[test]
    fn numbers_of_old() {
        assert_eq!(old_encode_dev(0x0405), 0x0405);
        assert_eq!(old_encode_dev(0x10_0003), 0x103);
        let s = Stat { ino: 9, nlink: 1, uid: 70_000, size: 1 << 32 | 5, ..Stat::default() };
        assert_eq!(OldStat::of(&s).map(|o| (o.ino, o.uid, o.size)), Ok((9, 65534, 5)));
        assert!(OldStat::of(&Stat { ino: 65536, ..s }).is_err());
    }
}
