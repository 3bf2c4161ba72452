// SPDX-License-Identifier: GPL-2.0-only
//! Changing whose a file is, and who may use it (Linux 6.1, `fs/attr.c`, `fs/open.c`).

use crate::errno::{EINVAL, EPERM, EROFS, Result};
use crate::fs::file::fget;
use crate::fs::inode::mode::*;
use crate::fs::inode::{Fixed, owner_or_capable};
use crate::fs::namei::user_path_at_empty;
use crate::fs::namespace::Path;
use crate::kernel::task::current;
use linux_raw_sys::general::{AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_NOFOLLOW, CAP_CHOWN, CAP_FSETID};

fn chmod(p: &Path, mode: u32) -> Result<usize> {
    if p.mnt.is_readonly() {
        return Err(EROFS);
    }
    let inode = &p.dentry.inode;
    if inode.is_symlink() {
        return Err(crate::errno::EOPNOTSUPP);
    }
    if inode.fixed != Fixed::Nothing {
        return Err(EPERM);
    }
    let cred = current().cred.get();
    let mut a = inode.attr.lock();
    owner_or_capable(&a, &cred)?;
    // Only members of a group make programs that run as it (`setattr_copy`).
    let drop = if cred.in_group(a.gid) || cred.capable(CAP_FSETID) { 0 } else { S_ISGID };
    a.mode = a.mode & S_IFMT | mode & S_IALLUGO & !drop;
    a.ctime = crate::fs::inode::Time::now();
    Ok(0)
}

/// `chmod(2)`.
pub fn sys_chmod(name: usize, mode: u32) -> Result<usize> {
    sys_fchmodat(AT_FDCWD, name, mode)
}

/// `fchmodat(2)`.
pub fn sys_fchmodat(dfd: i32, name: usize, mode: u32) -> Result<usize> {
    chmod(&user_path_at_empty(dfd, name, 0)?, mode)
}

/// `fchmod(2)`.
pub fn sys_fchmod(fd: i32, mode: u32) -> Result<usize> {
    chmod(&fget(fd)?.path, mode)
}

fn chown(p: &Path, uid: u32, gid: u32) -> Result<usize> {
    if p.mnt.is_readonly() {
        return Err(EROFS);
    }
    let inode = &p.dentry.inode;
    if matches!(inode.fixed, Fixed::ModeAndOwner | Fixed::All) && [uid, gid].iter().any(|&id| id != u32::MAX)
    {
        return Err(EPERM);
    }
    let cred = current().cred.get();
    let mut a = inode.attr.lock();
    let root = cred.capable(CAP_CHOWN);
    let same_user = uid == u32::MAX || uid == a.uid && cred.fsuid == a.uid;
    let own_group = gid == u32::MAX || cred.fsuid == a.uid && (gid == a.gid || cred.in_group(gid));
    if !(root || same_user && own_group) {
        return Err(EPERM);
    }
    if uid != u32::MAX {
        a.uid = uid;
    }
    if gid != u32::MAX {
        a.gid = gid;
    }
    if a.mode & S_IFMT != S_IFDIR {
        a.mode &= !S_ISUID;
        if a.mode & 0o010 != 0 {
            a.mode &= !S_ISGID;
        }
    }
    a.ctime = crate::fs::inode::Time::now();
    Ok(0)
}

/// `chown(2)`.
pub fn sys_chown(name: usize, uid: u32, gid: u32) -> Result<usize> {
    sys_fchownat(AT_FDCWD, name, uid, gid, 0)
}

/// `lchown(2)`.
pub fn sys_lchown(name: usize, uid: u32, gid: u32) -> Result<usize> {
    sys_fchownat(AT_FDCWD, name, uid, gid, AT_SYMLINK_NOFOLLOW)
}

/// `fchownat(2)`.
pub fn sys_fchownat(dfd: i32, name: usize, uid: u32, gid: u32, flags: u32) -> Result<usize> {
    if flags & !(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 {
        return Err(EINVAL);
    }
    chown(&user_path_at_empty(dfd, name, flags)?, uid, gid)
}

/// `fchown(2)`.
pub fn sys_fchown(fd: i32, uid: u32, gid: u32) -> Result<usize> {
    chown(&fget(fd)?.path, uid, gid)
}
