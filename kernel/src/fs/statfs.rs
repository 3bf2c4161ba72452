// SPDX-License-Identifier: GPL-2.0-only
//! What a file system is (Linux 6.1, `fs/statfs.c`).

use crate::arch::x86::lib::usercopy::put_user;
use crate::errno::Result;
use crate::fs::file::fget_raw;
use crate::fs::namei::user_path_at_empty;
use crate::fs::namespace::Path;
use core::sync::atomic::Ordering;
use linux_raw_sys::general::AT_FDCWD;
use zerocopy::{Immutable, IntoBytes};

/// `struct statfs`.
#[repr(C)]
#[derive(Clone, Copy, Default, IntoBytes, Immutable)]
#[allow(missing_docs)]
pub struct Statfs {
    pub kind: u64,
    pub bsize: u64,
    pub blocks: u64,
    pub bfree: u64,
    pub bavail: u64,
    pub files: u64,
    pub ffree: u64,
    pub fsid: u64,
    pub namelen: u64,
    pub frsize: u64,
    pub flags: u64,
    pub spare: [u64; 4],
}

const _: () = assert!(size_of::<Statfs>() == 120);

/// `ST_VALID`: the flags mean something.
const ST_VALID: u32 = 0x20;

fn fill(p: &Path) -> Statfs {
    let sb = &p.dentry.inode.sb;
    let (max, used) = (sb.max_pages.load(Ordering::Relaxed), sb.pages.load(Ordering::Relaxed));
    let room = |max: usize, used: usize| {
        let limited = max != 0 && max != usize::MAX;
        if limited { (max, max.saturating_sub(used)) } else { (0, 0) }
    };
    let (blocks, free) = room(max, used);
    let (files, ffree) = room(sb.max_inodes.load(Ordering::Relaxed), sb.inodes.load(Ordering::Relaxed));
    Statfs {
        kind: sb.fs.magic,
        bsize: 4096,
        blocks: blocks as u64,
        bfree: free as u64,
        bavail: free as u64,
        files: files as u64,
        ffree: ffree as u64,
        fsid: sb.dev.user(),
        namelen: 255,
        frsize: 4096,
        flags: u64::from(p.mnt.statfs_flags() | ST_VALID),
        spare: [0; 4],
    }
}

/// `statfs(2)`.
pub fn sys_statfs(name: usize, buf: usize) -> Result<usize> {
    put_user(buf, &user_statfs(name)?).map(|()| 0)
}

/// What the file system at a path is.
pub fn user_statfs(name: usize) -> Result<Statfs> {
    Ok(fill(&user_path_at_empty(AT_FDCWD, name, 0)?))
}

/// What the file system of the file behind a descriptor is.
pub fn fd_statfs(fd: i32) -> Result<Statfs> {
    Ok(fill(&fget_raw(fd)?.path))
}

/// `fstatfs(2)`.
pub fn sys_fstatfs(fd: i32, buf: usize) -> Result<usize> {
    put_user(buf, &fd_statfs(fd)?).map(|()| 0)
}
