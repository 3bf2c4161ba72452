// SPDX-License-Identifier: GPL-2.0-only
//! i386's system calls about files, with structures of its own, and with offsets in two
//! registers (Linux 6.1, `arch/x86/kernel/sys_ia32.c`, `fs/stat.c`, `fs/statfs.c`).

use crate::arch::x86::lib::usercopy::{get_user, put_user};
use crate::errno::{EINVAL, EOVERFLOW, Result};
use crate::fs::file::fget;
use crate::fs::stat::{Stat, vfs_fstat, vfs_fstatat};
use crate::fs::statfs::{Statfs, fd_statfs, user_statfs};
use crate::fs::{open, read_write, sync};
use crate::kernel::uid16::high2low;
use linux_raw_sys::general::{AT_FDCWD, AT_SYMLINK_NOFOLLOW};
use zerocopy::{Immutable, IntoBytes};

/// `struct stat` (`struct compat_stat`).
#[repr(C)]
#[derive(Clone, Copy, Default, IntoBytes, Immutable)]
struct CompatStat {
    dev: u32,
    ino: u32,
    mode: u16,
    nlink: u16,
    uid: u16,
    gid: u16,
    rdev: u32,
    size: u32,
    blksize: u32,
    blocks: u32,
    times: [u32; 6],
    unused: [u32; 2],
}

/// `struct stat64`: i386 aligns words of 64 bits to 32.
#[repr(C, packed(4))]
#[derive(Clone, Copy, Default, IntoBytes, Immutable)]
struct Stat64 {
    dev: u64,
    pad0: u32,
    short_ino: u32,
    mode: u32,
    nlink: u32,
    uid: u32,
    gid: u32,
    rdev: u64,
    pad3: u32,
    size: i64,
    blksize: u32,
    blocks: u64,
    times: [u32; 6],
    ino: u64,
}

/// `struct statfs64`.
#[repr(C, packed(4))]
#[derive(Clone, Copy, Default, IntoBytes, Immutable)]
struct CompatStatfs64 {
    kind: u32,
    bsize: u32,
    /// Blocks, free ones, available ones; files, free ones.
    counts: [u64; 5],
    fsid: u64,
    namelen: u32,
    frsize: u32,
    flags: u32,
    spare: [u32; 4],
}

const _: () = {
    assert!(size_of::<CompatStat>() == 64);
    assert!(size_of::<Stat64>() == 96);
    assert!(core::mem::offset_of!(Stat64, size) == 44);
    assert!(core::mem::offset_of!(Stat64, ino) == 88);
    assert!(size_of::<CompatStatfs64>() == 84);
};

/// `struct stat` of what fits in it (`cp_compat_stat`).
fn compat_stat(s: &Stat) -> Result<CompatStat> {
    let fits = |v: u64| u32::try_from(v).map_err(|_| EOVERFLOW);
    if s.size > i64::from(i32::MAX) {
        return Err(EOVERFLOW);
    }
    Ok(CompatStat {
        dev: s.dev as u32,
        ino: fits(s.ino)?,
        mode: s.mode as u16,
        nlink: u16::try_from(s.nlink).map_err(|_| EOVERFLOW)?,
        uid: high2low(s.uid),
        gid: high2low(s.gid),
        rdev: s.rdev as u32,
        size: s.size as u32,
        blksize: s.blksize as u32,
        blocks: s.blocks as u32,
        times: s.times.map(|t| t as u32),
        unused: [0; 2],
    })
}

/// `cp_stat64`.
fn stat64(s: &Stat) -> Stat64 {
    Stat64 {
        dev: s.dev,
        short_ino: s.ino as u32,
        mode: s.mode,
        nlink: s.nlink as u32,
        uid: s.uid,
        gid: s.gid,
        rdev: s.rdev,
        size: s.size,
        blksize: s.blksize as u32,
        blocks: s.blocks as u64,
        times: s.times.map(|t| t as u32),
        ino: s.ino,
        ..Stat64::default()
    }
}

/// `stat`.
pub fn compat_sys_newstat(name: usize, buf: usize) -> Result<usize> {
    put_user(buf, &compat_stat(&vfs_fstatat(AT_FDCWD, name, 0)?)?).map(|()| 0)
}

/// `lstat`.
pub fn compat_sys_newlstat(name: usize, buf: usize) -> Result<usize> {
    put_user(buf, &compat_stat(&vfs_fstatat(AT_FDCWD, name, AT_SYMLINK_NOFOLLOW)?)?).map(|()| 0)
}

/// `fstat`.
pub fn compat_sys_newfstat(fd: i32, buf: usize) -> Result<usize> {
    put_user(buf, &compat_stat(&vfs_fstat(fd)?)?).map(|()| 0)
}

/// `stat64`.
pub fn compat_sys_ia32_stat64(name: usize, buf: usize) -> Result<usize> {
    compat_sys_ia32_fstatat64(AT_FDCWD, name, buf, 0)
}

/// `lstat64`.
pub fn compat_sys_ia32_lstat64(name: usize, buf: usize) -> Result<usize> {
    compat_sys_ia32_fstatat64(AT_FDCWD, name, buf, AT_SYMLINK_NOFOLLOW)
}

/// `fstat64`.
pub fn compat_sys_ia32_fstat64(fd: i32, buf: usize) -> Result<usize> {
    put_user(buf, &stat64(&vfs_fstat(fd)?)).map(|()| 0)
}

/// `fstatat64`.
pub fn compat_sys_ia32_fstatat64(dfd: i32, name: usize, buf: usize, flags: u32) -> Result<usize> {
    put_user(buf, &stat64(&vfs_fstatat(dfd, name, flags)?)).map(|()| 0)
}

fn check_statfs64(size: usize) -> Result {
    if size == size_of::<CompatStatfs64>() { Ok(()) } else { Err(EINVAL) }
}

fn put_statfs64(buf: usize, s: &Statfs) -> Result<usize> {
    let c = CompatStatfs64 {
        kind: s.kind as u32,
        bsize: s.bsize as u32,
        counts: [s.blocks, s.bfree, s.bavail, s.files, s.ffree],
        fsid: s.fsid,
        namelen: s.namelen as u32,
        frsize: s.frsize as u32,
        flags: s.flags as u32,
        spare: [0; 4],
    };
    put_user(buf, &c).map(|()| 0)
}

/// `statfs64`.
pub fn compat_sys_statfs64(name: usize, size: usize, buf: usize) -> Result<usize> {
    check_statfs64(size)?;
    put_statfs64(buf, &user_statfs(name)?)
}

/// `fstatfs64`.
pub fn compat_sys_fstatfs64(fd: i32, size: usize, buf: usize) -> Result<usize> {
    check_statfs64(size)?;
    put_statfs64(buf, &fd_statfs(fd)?)
}

/// `struct statfs`: in words of 32 bits, where all has to fit.
fn put_statfs(buf: usize, s: &Statfs) -> Result<usize> {
    let sizes = [s.bsize, s.blocks, s.bfree, s.bavail, s.files, s.ffree, s.frsize];
    if sizes.iter().any(|&v| u32::try_from(v).is_err()) {
        return Err(EOVERFLOW);
    }
    let fsid = [s.fsid, s.fsid >> 32];
    let mut words = [0u32; 16];
    let counts = [s.kind, s.bsize, s.blocks, s.bfree, s.bavail, s.files, s.ffree];
    for (to, from) in
        words.iter_mut().zip(counts.into_iter().chain(fsid).chain([s.namelen, s.frsize, s.flags]))
    {
        *to = from as u32;
    }
    put_user(buf, &words).map(|()| 0)
}

/// `statfs`.
pub fn compat_sys_statfs(name: usize, buf: usize) -> Result<usize> {
    put_statfs(buf, &user_statfs(name)?)
}

/// `fstatfs`.
pub fn compat_sys_fstatfs(fd: i32, buf: usize) -> Result<usize> {
    put_statfs(buf, &fd_statfs(fd)?)
}

/// An offset from two registers.
fn offset(low: u32, high: u32) -> i64 {
    (u64::from(high) << 32 | u64::from(low)) as i64
}

/// `pread64`.
pub fn sys_ia32_pread64(fd: i32, buf: usize, len: usize, low: u32, high: u32) -> Result<usize> {
    read_write::sys_pread64(fd, buf, len, offset(low, high))
}

/// `pwrite64`.
pub fn sys_ia32_pwrite64(fd: i32, buf: usize, len: usize, low: u32, high: u32) -> Result<usize> {
    read_write::sys_pwrite64(fd, buf, len, offset(low, high))
}

/// `preadv`.
pub fn compat_sys_preadv(fd: i32, vec: usize, count: usize, low: u32, high: u32) -> Result<usize> {
    read_write::sys_preadv(fd, vec, count, offset(low, high))
}

/// `pwritev`.
pub fn compat_sys_pwritev(fd: i32, vec: usize, count: usize, low: u32, high: u32) -> Result<usize> {
    read_write::sys_pwritev(fd, vec, count, offset(low, high))
}

/// `preadv2`.
pub fn compat_sys_preadv2(
    fd: i32,
    vec: usize,
    count: usize,
    low: u32,
    high: u32,
    flags: u32,
) -> Result<usize> {
    read_write::sys_preadv2(fd, vec, count, offset(low, high), 0, flags)
}

/// `pwritev2`.
pub fn compat_sys_pwritev2(
    fd: i32,
    vec: usize,
    count: usize,
    low: u32,
    high: u32,
    flags: u32,
) -> Result<usize> {
    read_write::sys_pwritev2(fd, vec, count, offset(low, high), 0, flags)
}

/// `readahead`.
pub fn sys_ia32_readahead(fd: i32, low: u32, high: u32, count: usize) -> Result<usize> {
    sync::sys_readahead(fd, offset(low, high), count)
}

/// `sync_file_range`.
pub fn sys_ia32_sync_file_range(
    fd: i32,
    low: u32,
    high: u32,
    len_low: u32,
    len_high: u32,
    flags: u32,
) -> Result<usize> {
    sync::sys_sync_file_range(fd, offset(low, high), offset(len_low, len_high), flags)
}

/// `fadvise64_64`.
pub fn sys_ia32_fadvise64_64(
    fd: i32,
    low: u32,
    high: u32,
    len_low: u32,
    len_high: u32,
    advice: u32,
) -> Result<usize> {
    sync::sys_fadvise64(fd, offset(low, high), offset(len_low, len_high), advice)
}

/// `fadvise64`.
pub fn sys_ia32_fadvise64(fd: i32, low: u32, high: u32, len: u32, advice: u32) -> Result<usize> {
    sync::sys_fadvise64(fd, offset(low, high), len.into(), advice)
}

/// `fallocate`.
pub fn sys_ia32_fallocate(
    fd: i32,
    mode: u32,
    low: u32,
    high: u32,
    len_low: u32,
    len_high: u32,
) -> Result<usize> {
    open::sys_fallocate(fd, mode, offset(low, high), offset(len_low, len_high))
}

/// `truncate64`.
pub fn sys_ia32_truncate64(name: usize, low: u32, high: u32) -> Result<usize> {
    open::sys_truncate(name, offset(low, high) as _)
}

/// `ftruncate64`.
pub fn sys_ia32_ftruncate64(fd: i32, low: u32, high: u32) -> Result<usize> {
    open::sys_ftruncate(fd, offset(low, high) as _)
}

/// `truncate` to a signed length of 32 bits.
pub fn compat_sys_truncate(name: usize, len: i32) -> Result<usize> {
    open::sys_truncate(name, i64::from(len) as _)
}

/// `ftruncate`, likewise (6.1.0-56 says `EINVAL` to -1 before it looks at the descriptor).
pub fn compat_sys_ftruncate(fd: i32, len: i32) -> Result<usize> {
    open::sys_ftruncate(fd, i64::from(len) as _)
}

/// `_llseek`: the new position goes where the caller says.
pub fn sys_llseek(fd: i32, high: u32, low: u32, result: usize, whence: u32) -> Result<usize> {
    fget(fd)?;
    if whence > 4 {
        return Err(EINVAL);
    }
    let at = read_write::sys_lseek(fd, offset(low, high), whence)?;
    put_user(result, &(at as u64)).map(|()| 0)
}

/// `mmap`, whose arguments are in memory.
pub fn compat_sys_ia32_mmap(arg: usize) -> Result<usize> {
    let [addr, len, prot, flags, fd, offset]: [u32; 6] = get_user(arg)?;
    if offset % 4096 != 0 {
        return Err(EINVAL);
    }
    crate::mm::mmap::sys_mmap(addr as usize, len as usize, prot, flags, fd as i32, offset as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_overflows() {
        let s = Stat { ino: 5, nlink: 1, size: 100, uid: 70_000, ..Stat::default() };
        assert_eq!(compat_stat(&s).map(|c| (c.ino, c.size, c.uid)), Ok((5, 100, 65534)));
        assert!(compat_stat(&Stat { size: 1 << 31, ..s }).is_err());
        assert!(compat_stat(&Stat { ino: 1 << 32, ..s }).is_err());
        assert!(compat_stat(&Stat { nlink: 65536, ..s }).is_err());
        let big = stat64(&Stat { ino: 1 << 32 | 9, size: 1 << 40, ..s });
        assert_eq!(
            ({ big.ino }, { big.short_ino }, { big.size }, { big.uid }),
            (1 << 32 | 9, 9, 1 << 40, 70_000)
        );
    }

    #[test]
    fn offsets_have_two_halves() {
        assert_eq!(offset(0xffff_fff0, 1), 0x1_ffff_fff0);
        assert_eq!(offset(0xffff_ffff, 0xffff_ffff), -1);
    }
}
