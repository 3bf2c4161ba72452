// SPDX-License-Identifier: GPL-2.0-only
//! Calls that make and remove names (Linux 6.1, `fs/namei.c`, its second half).

use crate::arch::x86::lib::usercopy::getname;
use crate::errno::{
    EBUSY, EEXIST, EINVAL, EISDIR, EMLINK, ENOENT, ENOTDIR, ENOTEMPTY, EPERM, EROFS, EXDEV, Result,
};
use crate::fs::dcache::{Dentry, lock_tree};
use crate::fs::fs_struct::current_fs;
use crate::fs::inode::mode::*;
use crate::fs::inode::{Dev, Inode, MAY_EXEC, MAY_WRITE};
use crate::fs::namei::{self, Last, Parent, user_path_at_empty, user_path_parent};
use crate::fs::namespace::Path;
use crate::fs::ramfs;
use crate::kernel::capability::capable;
use crate::kernel::cred::Cred;
use crate::kernel::task::current;
use alloc::sync::Arc;
use core::sync::atomic::Ordering;
use linux_raw_sys::general::{AT_EMPTY_PATH, AT_FDCWD, AT_REMOVEDIR, AT_SYMLINK_FOLLOW, AT_SYMLINK_NOFOLLOW};
use linux_raw_sys::general::{CAP_DAC_READ_SEARCH, CAP_FOWNER, CAP_MKNOD};

/// Whether names may be made in or removed from the directory at `dir`.
pub fn may_change(dir: &Path, cred: &Cred) -> Result {
    let inode = &dir.dentry.inode;
    inode.want_dir()?;
    if dir.dentry.is_unhashed() {
        return Err(ENOENT);
    }
    if dir.mnt.is_readonly() {
        return Err(EROFS);
    }
    inode.permission(cred, MAY_WRITE | MAY_EXEC)?;
    if inode.ops.can_create() { Ok(()) } else { Err(EPERM) }
}

/// Whether the sticky bit of `dir` forbids `cred` to remove `victim` (`check_sticky`).
pub fn check_sticky(dir: &Inode, victim: &Inode, cred: &Cred) -> Result {
    let d = dir.attr.lock().clone();
    let owner = victim.attr.lock().uid;
    if d.mode & S_ISVTX == 0 || cred.fsuid == owner || cred.fsuid == d.uid || cred.capable(CAP_FOWNER) {
        return Ok(());
    }
    Err(EPERM)
}

/// What a new object is.
pub enum New<'a> {
    /// A directory.
    Dir,
    /// A regular file.
    File,
    /// A symbolic link to this.
    Symlink(&'a [u8]),
    /// A device, fifo or socket: its type.
    Node(u32, Dev),
}

/// Makes a new object named `name` in `dir`, which was checked; owner and permissions
/// follow from the current task's (`inode_init_owner`).
pub fn create_in(dir: &Path, name: &[u8], what: &New<'_>, mode: u32, cred: &Cred) -> Result<Arc<Dentry>> {
    let parent = &dir.dentry.inode;
    let inode = match what {
        New::Dir => ramfs::new_dir(&parent.sb, mode),
        New::File => ramfs::new_file(&parent.sb, mode),
        New::Symlink(to) => ramfs::new_symlink(&parent.sb, to),
        New::Node(kind, dev) => ramfs::new_node(&parent.sb, kind | mode, *dev),
    };
    {
        let d = parent.attr.lock().clone();
        let mut a = inode.attr.lock();
        a.uid = cred.fsuid;
        a.gid = if d.mode & S_ISGID != 0 { d.gid } else { cred.fsgid };
        if d.mode & S_ISGID != 0 && matches!(what, New::Dir) {
            a.mode |= S_ISGID;
        }
    }
    let d = dir.dentry.add(name, inode)?;
    parent.touch_mtime();
    if matches!(what, New::Dir) {
        parent.attr.lock().nlink += 1;
    }
    Ok(d)
}

/// Makes an object at a path (`filename_create` and what follows it).
pub fn create_at(dfd: i32, name: &[u8], what: &New<'_>, mode: u32) -> Result<Path> {
    let p = user_path_parent(dfd, name)?;
    let Last::Name(last) = &p.last else {
        return Err(EEXIST);
    };
    let cred = current().cred.get();
    let _tree = lock_tree();
    if p.dir.dentry.lookup(last)?.is_some() {
        return Err(EEXIST);
    }
    p.dir.dentry.inode.ops.absent()?;
    if p.trailing && !matches!(what, New::Dir) {
        return Err(ENOENT);
    }
    may_change(&p.dir, &cred)?;
    let umask = current_fs().umask();
    let d = create_in(&p.dir, last, what, mode & !umask, &cred)?;
    Ok(namei::sibling(&p.dir, d))
}

/// Finds what is to be removed.
fn victim(p: &Parent, last: &[u8]) -> Result<Arc<Dentry>> {
    p.dir.dentry.lookup(last)?.ok_or(ENOENT)
}

/// Removes a directory (`do_rmdir`).
pub fn do_rmdir(dfd: i32, name: &[u8]) -> Result {
    let p = user_path_parent(dfd, name)?;
    let last = match &p.last {
        Last::Name(n) => n,
        Last::DotDot => return Err(ENOTEMPTY),
        Last::Dot => return Err(EINVAL),
        Last::Root => return Err(EBUSY),
    };
    let cred = current().cred.get();
    let _tree = lock_tree();
    let d = victim(&p, last)?;
    may_change(&p.dir, &cred)?;
    check_sticky(&p.dir.dentry.inode, &d.inode, &cred)?;
    d.inode.want_dir()?;
    if d.mounted.load(Ordering::Relaxed) != 0 {
        return Err(EBUSY);
    }
    if !d.is_empty() {
        return Err(ENOTEMPTY);
    }
    drop_dir(&p.dir.dentry, &d);
    Ok(())
}

/// Takes an empty directory's name away.
pub fn drop_dir(dir: &Arc<Dentry>, d: &Arc<Dentry>) {
    d.inode.attr.lock().nlink = 0;
    d.unhash();
    dir.inode.attr.lock().nlink -= 1;
    dir.inode.touch_mtime();
}

/// Takes a name away from something that is no directory.
pub fn drop_name(dir: &Arc<Dentry>, d: &Arc<Dentry>) {
    {
        let mut a = d.inode.attr.lock();
        a.nlink = a.nlink.saturating_sub(1);
    }
    d.inode.touch_ctime();
    d.unhash();
    dir.inode.touch_mtime();
}

/// Removes a name of anything but a directory (`do_unlinkat`).
pub fn do_unlink(dfd: i32, name: &[u8]) -> Result {
    let p = user_path_parent(dfd, name)?;
    let Last::Name(last) = &p.last else {
        return Err(EISDIR);
    };
    let cred = current().cred.get();
    let tree = lock_tree();
    let d = victim(&p, last)?;
    if p.trailing {
        return Err(if d.inode.is_dir() { EISDIR } else { ENOTDIR });
    }
    may_change(&p.dir, &cred)?;
    check_sticky(&p.dir.dentry.inode, &d.inode, &cred)?;
    if d.inode.is_dir() {
        return Err(EISDIR);
    }
    if d.mounted.load(Ordering::Relaxed) != 0 {
        return Err(EBUSY);
    }
    drop_name(&p.dir.dentry, &d);
    drop(tree);
    Ok(())
}

/// Gives `old` another name (`vfs_link`).
pub fn do_link(old: &Path, newdfd: i32, newname: &[u8]) -> Result {
    let p = user_path_parent(newdfd, newname)?;
    let Last::Name(last) = &p.last else {
        return Err(EEXIST);
    };
    let cred = current().cred.get();
    let _tree = lock_tree();
    if p.dir.dentry.lookup(last)?.is_some() {
        return Err(EEXIST);
    }
    p.dir.dentry.inode.ops.absent()?;
    if p.trailing {
        return Err(ENOENT);
    }
    if !Arc::ptr_eq(&p.dir.mnt, &old.mnt) {
        return Err(EXDEV);
    }
    may_change(&p.dir, &cred)?;
    let inode = &old.dentry.inode;
    if inode.is_dir() {
        return Err(EPERM);
    }
    let nlink = inode.attr.lock().nlink;
    if nlink == 0 {
        return Err(ENOENT);
    }
    if nlink == u32::MAX {
        return Err(EMLINK);
    }
    p.dir.dentry.add(last, inode.clone())?;
    inode.attr.lock().nlink += 1;
    inode.touch_ctime();
    p.dir.dentry.inode.touch_mtime();
    Ok(())
}

/// `mkdir(2)`.
pub fn sys_mkdir(name: usize, mode: u32) -> Result<usize> {
    sys_mkdirat(AT_FDCWD, name, mode)
}

/// `mkdirat(2)`.
pub fn sys_mkdirat(dfd: i32, name: usize, mode: u32) -> Result<usize> {
    create_at(dfd, &getname(name)?, &New::Dir, mode & (S_IRWXUGO | S_ISVTX)).map(|_| 0)
}

/// `rmdir(2)`.
pub fn sys_rmdir(name: usize) -> Result<usize> {
    do_rmdir(AT_FDCWD, &getname(name)?).map(|()| 0)
}

/// `unlink(2)`.
pub fn sys_unlink(name: usize) -> Result<usize> {
    do_unlink(AT_FDCWD, &getname(name)?).map(|()| 0)
}

/// `unlinkat(2)`.
pub fn sys_unlinkat(dfd: i32, name: usize, flags: u32) -> Result<usize> {
    if flags & !AT_REMOVEDIR != 0 {
        return Err(EINVAL);
    }
    let name = getname(name)?;
    if flags & AT_REMOVEDIR != 0 { do_rmdir(dfd, &name) } else { do_unlink(dfd, &name) }.map(|()| 0)
}

/// `symlink(2)`.
pub fn sys_symlink(target: usize, name: usize) -> Result<usize> {
    sys_symlinkat(target, AT_FDCWD, name)
}

/// `symlinkat(2)`.
pub fn sys_symlinkat(target: usize, dfd: i32, name: usize) -> Result<usize> {
    let target = getname(target)?;
    create_at(dfd, &getname(name)?, &New::Symlink(&target), S_IRWXUGO).map(|_| 0)
}

/// `link(2)`.
pub fn sys_link(old: usize, new: usize) -> Result<usize> {
    sys_linkat(AT_FDCWD, old, AT_FDCWD, new, 0)
}

/// `linkat(2)`.
pub fn sys_linkat(olddfd: i32, old: usize, newdfd: i32, new: usize, flags: u32) -> Result<usize> {
    if flags & !(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH) != 0 {
        return Err(EINVAL);
    }
    // Who cannot search every directory could get at files by it.
    if flags & AT_EMPTY_PATH != 0 && !capable(CAP_DAC_READ_SEARCH) {
        return Err(ENOENT);
    }
    let mut how = flags & AT_EMPTY_PATH;
    if flags & AT_SYMLINK_FOLLOW == 0 {
        how |= AT_SYMLINK_NOFOLLOW;
    }
    let old = user_path_at_empty(olddfd, old, how)?;
    do_link(&old, newdfd, &getname(new)?).map(|()| 0)
}

/// `mknod(2)`.
pub fn sys_mknod(name: usize, mode: u32, dev: u32) -> Result<usize> {
    sys_mknodat(AT_FDCWD, name, mode, dev)
}

/// `mknodat(2)`.
pub fn sys_mknodat(dfd: i32, name: usize, mode: u32, dev: u32) -> Result<usize> {
    let kind = mode & S_IFMT;
    let new = match kind {
        0 | S_IFREG => New::File,
        S_IFCHR | S_IFBLK => New::Node(kind, Dev::from_user(dev)),
        S_IFIFO | S_IFSOCK => New::Node(kind, Dev::default()),
        S_IFDIR => return Err(EPERM),
        _ => return Err(EINVAL),
    };
    let device = matches!(kind, S_IFCHR | S_IFBLK);
    if device && !capable(CAP_MKNOD) {
        return Err(EPERM);
    }
    create_at(dfd, &getname(name)?, &new, mode & S_IALLUGO).map(|_| 0)
}
