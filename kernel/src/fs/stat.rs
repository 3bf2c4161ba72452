// SPDX-License-Identifier: GPL-2.0-only
//! What a file is (Linux 6.1, `fs/stat.c`).

use crate::arch::x86::lib::usercopy::{copy_to_user, put_user};
use crate::errno::{EINVAL, ENOENT, Result};
use crate::fs::file::fget_raw;
use crate::fs::inode::Inode;
use crate::fs::inode::mode::{S_IFBLK, S_IFCHR, S_IFMT};
use crate::fs::namei::user_path_at_empty;
use alloc::sync::Arc;
use linux_raw_sys::general as abi;
use linux_raw_sys::general::{AT_EMPTY_PATH, AT_FDCWD, AT_NO_AUTOMOUNT, AT_SYMLINK_NOFOLLOW};
use zerocopy::{Immutable, IntoBytes};

/// `struct stat`.
#[repr(C)]
#[derive(Clone, Copy, Default, IntoBytes, Immutable)]
#[allow(missing_docs)]
pub struct Stat {
    pub dev: u64,
    pub ino: u64,
    pub nlink: u64,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub pad0: u32,
    pub rdev: u64,
    pub size: i64,
    pub blksize: i64,
    pub blocks: i64,
    pub times: [i64; 6],
    pub unused: [i64; 3],
}

/// `struct statx`.
#[repr(C)]
#[derive(Clone, Copy, Default, IntoBytes, Immutable)]
struct Statx {
    mask: u32,
    blksize: u32,
    attributes: u64,
    nlink: u32,
    uid: u32,
    gid: u32,
    mode: u16,
    spare0: u16,
    ino: u64,
    size: u64,
    blocks: u64,
    attributes_mask: u64,
    /// Access, birth, change, modification.
    times: [StatxTime; 4],
    rdev: [u32; 2],
    dev: [u32; 2],
    mnt_id: u64,
    dio: [u32; 2],
    spare: [u64; 12],
}

#[repr(C)]
#[derive(Clone, Copy, Default, IntoBytes, Immutable)]
struct StatxTime {
    sec: i64,
    nsec: u32,
    reserved: i32,
}

const _: () = {
    assert!(size_of::<Stat>() == size_of::<abi::stat>());
    assert!(core::mem::offset_of!(Stat, size) == core::mem::offset_of!(abi::stat, st_size));
    assert!(core::mem::offset_of!(Stat, times) == core::mem::offset_of!(abi::stat, st_atime));
    assert!(size_of::<Statx>() == size_of::<abi::statx>());
    assert!(core::mem::offset_of!(Statx, times) == core::mem::offset_of!(abi::statx, stx_atime));
    assert!(core::mem::offset_of!(Statx, mnt_id) == core::mem::offset_of!(abi::statx, stx_mnt_id));
};

/// Blocks of 512 bytes that the content takes.
pub fn blocks(inode: &Inode) -> u64 {
    inode.ops.mapping().map_or(0, |m| m.nr_pages() as u64 * 8)
}

/// Bytes in which it is best read: those of a block of its file system (`s_blocksize`).
pub fn blksize(inode: &Inode) -> u32 {
    if inode.sb.fs.name == "proc" { 1024 } else { 4096 }
}

fn rdev(inode: &Inode, mode: u32) -> u64 {
    if matches!(mode & S_IFMT, S_IFCHR | S_IFBLK) { inode.rdev.user() } else { 0 }
}

fn fill(inode: &Arc<Inode>) -> Stat {
    let a = inode.attr.lock().clone();
    let t = [a.atime, a.mtime, a.ctime];
    Stat {
        dev: inode.sb.dev.user(),
        ino: inode.ino,
        nlink: u64::from(a.nlink),
        mode: a.mode,
        uid: a.uid,
        gid: a.gid,
        rdev: rdev(inode, a.mode),
        size: inode.ops.size() as i64,
        blksize: blksize(inode).into(),
        blocks: blocks(inode) as i64,
        times: [
            t[0].sec,
            i64::from(t[0].nsec),
            t[1].sec,
            i64::from(t[1].nsec),
            t[2].sec,
            i64::from(t[2].nsec),
        ],
        ..Stat::default()
    }
}

/// `stat(2)`.
pub fn sys_newstat(name: usize, buf: usize) -> Result<usize> {
    sys_newfstatat(AT_FDCWD, name, buf, 0)
}

/// `lstat(2)`.
pub fn sys_newlstat(name: usize, buf: usize) -> Result<usize> {
    sys_newfstatat(AT_FDCWD, name, buf, AT_SYMLINK_NOFOLLOW)
}

/// `fstat(2)`.
pub fn sys_newfstat(fd: i32, buf: usize) -> Result<usize> {
    put_user(buf, &vfs_fstat(fd)?).map(|()| 0)
}

/// `newfstatat(2)`.
pub fn sys_newfstatat(dfd: i32, name: usize, buf: usize, flags: u32) -> Result<usize> {
    put_user(buf, &vfs_fstatat(dfd, name, flags)?).map(|()| 0)
}

/// What the file behind a descriptor is.
pub fn vfs_fstat(fd: i32) -> Result<Stat> {
    Ok(fill(&fget_raw(fd)?.inode))
}

/// What the file at a path is.
pub fn vfs_fstatat(dfd: i32, name: usize, flags: u32) -> Result<Stat> {
    if flags & !(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH) != 0 {
        return Err(EINVAL);
    }
    Ok(fill(&user_path_at_empty(dfd, name, flags)?.dentry.inode))
}

/// `statx(2)`.
pub fn sys_statx(dfd: i32, name: usize, flags: u32, mask: u32, buf: usize) -> Result<usize> {
    const SYNC: u32 = 0x6000;
    if mask & 0x8000_0000 != 0 || flags & SYNC == SYNC {
        return Err(EINVAL);
    }
    if flags & !(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH | SYNC) != 0 {
        return Err(EINVAL);
    }
    let p = user_path_at_empty(dfd, name, flags)?;
    let inode = &p.dentry.inode;
    let a = inode.attr.lock().clone();
    let time = |t: crate::fs::inode::Time| StatxTime { sec: t.sec, nsec: t.nsec, reserved: 0 };
    let dev = rdev(inode, a.mode) != 0;
    let sx = Statx {
        mask: abi::STATX_BASIC_STATS | abi::STATX_MNT_ID,
        blksize: blksize(inode),
        nlink: a.nlink,
        uid: a.uid,
        gid: a.gid,
        mode: a.mode as u16,
        ino: inode.ino,
        size: inode.ops.size(),
        blocks: blocks(inode),
        attributes_mask: u64::from(abi::STATX_ATTR_MOUNT_ROOT),
        attributes: if p.is_mount_root() { u64::from(abi::STATX_ATTR_MOUNT_ROOT) } else { 0 },
        times: [time(a.atime), StatxTime::default(), time(a.ctime), time(a.mtime)],
        rdev: if dev { [inode.rdev.major(), inode.rdev.minor()] } else { [0, 0] },
        dev: [inode.sb.dev.major(), inode.sb.dev.minor()],
        mnt_id: u64::from(p.mnt.id),
        ..Statx::default()
    };
    put_user(buf, &sx).map(|()| 0)
}

/// `readlink(2)`.
pub fn sys_readlink(name: usize, buf: usize, size: i32) -> Result<usize> {
    sys_readlinkat(AT_FDCWD, name, buf, size)
}

/// `readlinkat(2)`.
pub fn sys_readlinkat(dfd: i32, name: usize, buf: usize, size: i32) -> Result<usize> {
    if size <= 0 {
        return Err(EINVAL);
    }
    let raw = crate::fs::namei::getname_flags(name, AT_EMPTY_PATH)?;
    let p = user_path_at_empty(dfd, name, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW)?;
    let inode = &p.dentry.inode;
    if !inode.is_symlink() {
        return Err(if raw.is_empty() { ENOENT } else { EINVAL });
    }
    let text = inode.ops.readlink()?;
    let n = text.len().min(size as usize);
    copy_to_user(buf, &text[..n])?;
    Ok(n)
}
