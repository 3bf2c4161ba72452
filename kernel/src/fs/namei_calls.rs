// SPDX-License-Identifier: GPL-2.0-only
//! The calls that make, remove and change names (Linux 6.1, `fs/namei.c`).

use crate::arch::x86::lib::usercopy::{copy_to_user, getname, strncpy_from_user};
use crate::errno::{
    EACCES, EBUSY, EEXIST, EINVAL, EISDIR, ENOENT, ENOTDIR, ENOTEMPTY, EPERM, EROFS, EXDEV, Result,
};
use crate::fs::dcache::{Dentry, lock_tree};
use crate::fs::inode::mode::*;
use crate::fs::inode::{Dev, Inode, MAY_EXEC, MAY_WRITE};
use crate::fs::namei::{Follow, Parent, parent_at, path_or_fd, user_path_at};
use crate::fs::ramfs;
use crate::kernel::task::current;
use alloc::sync::Arc;
use core::sync::atomic::Ordering;
use linux_raw_sys::general as abi;

/// Whether names may be made in or taken from the directory (`may_create`, `may_delete`).
pub fn may_change(p: &Parent) -> Result {
    if p.dir.mnt.is_readonly() {
        return Err(EROFS);
    }
    let inode = &p.dir.dentry.inode;
    inode.permission(&current().cred.get(), MAY_WRITE | MAY_EXEC)?;
    if inode.ops.can_create() && !p.dir.dentry.is_unhashed() { Ok(()) } else { Err(EPERM) }
}

/// Makes an inode owned by the caller, and names it.
pub fn create(p: &Parent, make: impl FnOnce() -> Arc<Inode>) -> Result<Arc<Dentry>> {
    may_change(p)?;
    let inode = make();
    let cred = current().cred.get();
    {
        let mut a = inode.attr.lock();
        a.uid = cred.euid;
        a.gid = cred.egid;
    }
    let is_dir = inode.is_dir();
    let d = p.dir.dentry.add(&p.name, inode)?;
    let dir = &p.dir.dentry.inode;
    if is_dir {
        dir.attr.lock().nlink += 1;
    }
    dir.touch_mtime();
    Ok(d)
}

fn is_dot(name: &[u8]) -> bool {
    matches!(name, b"" | b"." | b"..")
}

/// The place for a new name; `EEXIST` if it is taken.
fn new_place(dirfd: i32, path: usize, dir: bool) -> Result<Parent> {
    let p = parent_at(dirfd, &getname(path)?)?;
    if is_dot(&p.name) || p.dir.dentry.lookup(&p.name)?.is_some() {
        return Err(EEXIST);
    }
    if p.trailing_slash && !dir { Err(ENOENT) } else { Ok(p) }
}

/// `mkdirat(2)`.
pub fn sys_mkdirat(dirfd: i32, path: usize, mode: u32) -> Result<usize> {
    let p = new_place(dirfd, path, true)?;
    let mode = mode & (0o777 | S_ISVTX) & !current().fs.get().umask();
    let sb = p.dir.dentry.inode.sb.clone();
    create(&p, || ramfs::new_inode(&sb, S_IFDIR | mode, Dev(0)))?;
    Ok(0)
}

/// `mkdir(2)`.
pub fn sys_mkdir(path: usize, mode: u32) -> Result<usize> {
    sys_mkdirat(abi::AT_FDCWD, path, mode)
}

/// `mknodat(2)`.
pub fn sys_mknodat(dirfd: i32, path: usize, mode: u32, dev: u32) -> Result<usize> {
    let kind = if mode & S_IFMT == 0 { S_IFREG } else { mode & S_IFMT };
    match kind {
        S_IFDIR => return Err(EPERM),
        S_IFREG | S_IFCHR | S_IFBLK | S_IFIFO | S_IFSOCK => {}
        _ => return Err(EINVAL),
    }
    let p = new_place(dirfd, path, false)?;
    if matches!(kind, S_IFCHR | S_IFBLK) && current().cred.get().euid != 0 {
        return Err(EPERM);
    }
    let mode = kind | mode & S_IALLUGO & !current().fs.get().umask();
    let sb = p.dir.dentry.inode.sb.clone();
    create(&p, || ramfs::new_inode(&sb, mode, Dev::from_user(dev)))?;
    Ok(0)
}

/// `mknod(2)`.
pub fn sys_mknod(path: usize, mode: u32, dev: u32) -> Result<usize> {
    sys_mknodat(abi::AT_FDCWD, path, mode, dev)
}

/// `symlinkat(2)`.
pub fn sys_symlinkat(target: usize, dirfd: i32, path: usize) -> Result<usize> {
    let target = getname(target)?;
    let p = new_place(dirfd, path, false)?;
    let sb = p.dir.dentry.inode.sb.clone();
    create(&p, || ramfs::new_symlink(&sb, &target))?;
    Ok(0)
}

/// `symlink(2)`.
pub fn sys_symlink(target: usize, path: usize) -> Result<usize> {
    sys_symlinkat(target, abi::AT_FDCWD, path)
}

/// `linkat(2)`.
pub fn sys_linkat(olddir: i32, old: usize, newdir: i32, new: usize, flags: u32) -> Result<usize> {
    if flags & !(abi::AT_SYMLINK_FOLLOW | abi::AT_EMPTY_PATH) != 0 {
        return Err(EINVAL);
    }
    let from = if flags & abi::AT_EMPTY_PATH != 0 {
        path_or_fd(olddir, &strncpy_from_user(old, 4096)?, flags)?
    } else {
        let follow = if flags & abi::AT_SYMLINK_FOLLOW != 0 { Follow::Yes } else { Follow::No };
        user_path_at(olddir, &getname(old)?, follow)?
    };
    let p = new_place(newdir, new, false)?;
    if !Arc::ptr_eq(&from.mnt, &p.dir.mnt) {
        return Err(EXDEV);
    }
    let inode = from.dentry.inode.clone();
    if inode.is_dir() {
        return Err(EPERM);
    }
    may_change(&p)?;
    p.dir.dentry.add(&p.name, inode.clone())?;
    inode.attr.lock().nlink += 1;
    inode.touch_ctime();
    p.dir.dentry.inode.touch_mtime();
    Ok(0)
}

/// `link(2)`.
pub fn sys_link(old: usize, new: usize) -> Result<usize> {
    sys_linkat(abi::AT_FDCWD, old, abi::AT_FDCWD, new, 0)
}

/// Whether the sticky bit keeps the caller from removing the name (`check_sticky`).
fn check_sticky(dir: &Inode, inode: &Inode) -> Result {
    let cred = current().cred.get();
    let (d, i) = (dir.attr.lock().clone(), inode.attr.lock().uid);
    if d.mode & S_ISVTX != 0 && cred.euid != 0 && cred.euid != i && cred.euid != d.uid {
        Err(EPERM)
    } else {
        Ok(())
    }
}

fn remove(p: &Parent, d: &Arc<Dentry>) -> Result {
    may_change(p)?;
    check_sticky(&p.dir.dentry.inode, &d.inode)?;
    if d.mounted.load(Ordering::Relaxed) != 0 {
        return Err(EBUSY);
    }
    let dir = &p.dir.dentry.inode;
    let links = if d.inode.is_dir() { 2 } else { 1 };
    if links == 2 {
        dir.attr.lock().nlink -= 1;
    }
    d.unhash();
    let mut a = d.inode.attr.lock();
    a.nlink = a.nlink.saturating_sub(links);
    drop(a);
    d.inode.touch_ctime();
    dir.touch_mtime();
    Ok(())
}

/// `unlinkat(2)`.
pub fn sys_unlinkat(dirfd: i32, path: usize, flags: u32) -> Result<usize> {
    if flags & !abi::AT_REMOVEDIR != 0 {
        return Err(EINVAL);
    }
    let p = parent_at(dirfd, &getname(path)?)?;
    let rmdir = flags & abi::AT_REMOVEDIR != 0;
    if rmdir {
        match &p.name[..] {
            b"" => return Err(EBUSY),
            b"." => return Err(EINVAL),
            b".." => return Err(ENOTEMPTY),
            _ => {}
        }
    } else if is_dot(&p.name) {
        return Err(EISDIR);
    }
    let _tree = lock_tree();
    let d = p.dir.dentry.lookup(&p.name)?.ok_or(ENOENT)?;
    if rmdir {
        d.inode.want_dir()?;
        if !d.is_empty() {
            return Err(ENOTEMPTY);
        }
    } else if d.inode.is_dir() {
        return Err(EISDIR);
    } else if p.trailing_slash {
        return Err(ENOTDIR);
    }
    remove(&p, &d)?;
    Ok(0)
}

/// `unlink(2)`.
pub fn sys_unlink(path: usize) -> Result<usize> {
    sys_unlinkat(abi::AT_FDCWD, path, 0)
}

/// `rmdir(2)`.
pub fn sys_rmdir(path: usize) -> Result<usize> {
    sys_unlinkat(abi::AT_FDCWD, path, abi::AT_REMOVEDIR)
}

/// `renameat2(2)`; `RENAME_EXCHANGE` is not supported.
pub fn sys_renameat2(olddir: i32, old: usize, newdir: i32, new: usize, flags: u32) -> Result<usize> {
    if flags & !abi::RENAME_NOREPLACE != 0 {
        return Err(EINVAL);
    }
    let from = parent_at(olddir, &getname(old)?)?;
    let to = parent_at(newdir, &getname(new)?)?;
    if !Arc::ptr_eq(&from.dir.mnt, &to.dir.mnt) {
        return Err(EXDEV);
    }
    if is_dot(&from.name) || is_dot(&to.name) {
        return Err(EBUSY);
    }
    let _tree = lock_tree();
    let d = from.dir.dentry.lookup(&from.name)?.ok_or(ENOENT)?;
    may_change(&from)?;
    may_change(&to)?;
    check_sticky(&from.dir.dentry.inode, &d.inode)?;
    if d.inode.is_dir() && to.dir.dentry.is_below(&d) {
        return Err(EINVAL);
    }
    if !d.inode.is_dir() && (from.trailing_slash || to.trailing_slash) {
        return Err(ENOTDIR);
    }
    if let Some(t) = to.dir.dentry.lookup(&to.name)? {
        if flags & abi::RENAME_NOREPLACE != 0 {
            return Err(EEXIST);
        }
        if Arc::ptr_eq(&t.inode, &d.inode) {
            return Ok(0);
        }
        match (d.inode.is_dir(), t.inode.is_dir()) {
            (true, false) => return Err(ENOTDIR),
            (false, true) => return Err(EISDIR),
            (true, true) if !t.is_empty() => return Err(ENOTEMPTY),
            _ => remove(&to, &t)?,
        }
    }
    if d.mounted.load(Ordering::Relaxed) != 0 {
        return Err(EBUSY);
    }
    if d.inode.is_dir() {
        from.dir.dentry.inode.attr.lock().nlink -= 1;
        to.dir.dentry.inode.attr.lock().nlink += 1;
    }
    d.rehash(&to.dir.dentry, &to.name);
    for dir in [&from.dir, &to.dir] {
        dir.dentry.inode.touch_mtime();
    }
    d.inode.touch_ctime();
    Ok(0)
}

/// `renameat(2)`.
pub fn sys_renameat(olddir: i32, old: usize, newdir: i32, new: usize) -> Result<usize> {
    sys_renameat2(olddir, old, newdir, new, 0)
}

/// `rename(2)`.
pub fn sys_rename(old: usize, new: usize) -> Result<usize> {
    sys_renameat2(abi::AT_FDCWD, old, abi::AT_FDCWD, new, 0)
}

/// `readlinkat(2)`.
pub fn sys_readlinkat(dirfd: i32, path: usize, buf: usize, size: i32) -> Result<usize> {
    if size <= 0 {
        return Err(EINVAL);
    }
    let name = strncpy_from_user(path, 4096)?;
    let flags = abi::AT_SYMLINK_NOFOLLOW | if name.is_empty() { abi::AT_EMPTY_PATH } else { 0 };
    let p = path_or_fd(dirfd, &name, flags)?;
    if !p.dentry.inode.is_symlink() {
        return Err(if name.is_empty() { ENOENT } else { EINVAL });
    }
    let t = p.dentry.inode.ops.readlink()?;
    let n = t.len().min(size as usize);
    copy_to_user(buf, &t[..n])?;
    Ok(n)
}

/// `readlink(2)`.
pub fn sys_readlink(path: usize, buf: usize, size: i32) -> Result<usize> {
    sys_readlinkat(abi::AT_FDCWD, path, buf, size)
}

/// `chdir(2)`.
pub fn sys_chdir(path: usize) -> Result<usize> {
    enter(user_path_at(abi::AT_FDCWD, &getname(path)?, Follow::Yes)?)
}

/// `fchdir(2)`.
pub fn sys_fchdir(fd: i32) -> Result<usize> {
    enter(crate::fs::file::fget(fd)?.path.clone())
}

fn enter(p: crate::fs::namespace::Path) -> Result<usize> {
    let cur = current();
    p.dentry.inode.want_dir()?;
    p.dentry.inode.permission(&cur.cred.get(), MAY_EXEC)?;
    cur.fs.get().set_pwd(p);
    Ok(0)
}

/// `chroot(2)`.
pub fn sys_chroot(path: usize) -> Result<usize> {
    let p = user_path_at(abi::AT_FDCWD, &getname(path)?, Follow::Yes)?;
    p.dentry.inode.want_dir()?;
    if current().cred.get().euid != 0 {
        return Err(EPERM);
    }
    current().fs.get().set_root(p);
    Ok(0)
}

/// `getcwd(2)`: returns the length with the NUL.
pub fn sys_getcwd(buf: usize, size: usize) -> Result<usize> {
    let fs = current().fs.get();
    let pwd = fs.pwd();
    if pwd.dentry.is_unhashed() {
        return Err(ENOENT);
    }
    let (mut path, reached) = pwd.path_from(&fs.root());
    if !reached {
        path.splice(0..0, *b"(unreachable)");
    }
    path.push(0);
    if path.len() > size {
        return Err(crate::errno::ERANGE);
    }
    copy_to_user(buf, &path)?;
    Ok(path.len())
}

/// `umask(2)`.
pub fn sys_umask(mask: u32) -> Result<usize> {
    Ok(current().fs.get().set_umask(mask) as usize)
}

/// `fchmodat(2)`.
pub fn sys_fchmodat(dirfd: i32, path: usize, mode: u32) -> Result<usize> {
    chmod(&user_path_at(dirfd, &getname(path)?, Follow::Yes)?, mode)
}

/// `chmod(2)`.
pub fn sys_chmod(path: usize, mode: u32) -> Result<usize> {
    sys_fchmodat(abi::AT_FDCWD, path, mode)
}

/// `fchmod(2)`.
pub fn sys_fchmod(fd: i32, mode: u32) -> Result<usize> {
    chmod(&crate::fs::file::fget(fd)?.path.clone(), mode)
}

fn chmod(p: &crate::fs::namespace::Path, mode: u32) -> Result<usize> {
    if p.mnt.is_readonly() {
        return Err(EROFS);
    }
    let mut a = p.dentry.inode.attr.lock();
    crate::fs::inode::owner_or_root(&a, &current().cred.get())?;
    a.mode = a.mode & S_IFMT | mode & S_IALLUGO;
    drop(a);
    p.dentry.inode.touch_ctime();
    Ok(0)
}

/// `fchownat(2)`.
pub fn sys_fchownat(dirfd: i32, path: usize, uid: u32, gid: u32, flags: u32) -> Result<usize> {
    if flags & !(abi::AT_SYMLINK_NOFOLLOW | abi::AT_EMPTY_PATH) != 0 {
        return Err(EINVAL);
    }
    chown(&path_or_fd(dirfd, &strncpy_from_user(path, 4096)?, flags)?, uid, gid)
}

/// `chown(2)`.
pub fn sys_chown(path: usize, uid: u32, gid: u32) -> Result<usize> {
    sys_fchownat(abi::AT_FDCWD, path, uid, gid, 0)
}

/// `lchown(2)`.
pub fn sys_lchown(path: usize, uid: u32, gid: u32) -> Result<usize> {
    sys_fchownat(abi::AT_FDCWD, path, uid, gid, abi::AT_SYMLINK_NOFOLLOW)
}

/// `fchown(2)`.
pub fn sys_fchown(fd: i32, uid: u32, gid: u32) -> Result<usize> {
    chown(&crate::fs::file::fget(fd)?.path.clone(), uid, gid)
}

fn chown(p: &crate::fs::namespace::Path, uid: u32, gid: u32) -> Result<usize> {
    if p.mnt.is_readonly() {
        return Err(EROFS);
    }
    if current().cred.get().euid != 0 {
        return Err(EPERM);
    }
    let mut a = p.dentry.inode.attr.lock();
    if uid != u32::MAX {
        a.uid = uid;
    }
    if gid != u32::MAX {
        a.gid = gid;
    }
    Ok(0)
}

/// `faccessat(2)`, `faccessat2(2)`: with the real ids, unless `AT_EACCESS`.
pub fn sys_faccessat2(dirfd: i32, path: usize, mode: u32, flags: u32) -> Result<usize> {
    if mode & !7 != 0 || flags & !(abi::AT_EACCESS | abi::AT_SYMLINK_NOFOLLOW | abi::AT_EMPTY_PATH) != 0 {
        return Err(EINVAL);
    }
    let p = path_or_fd(dirfd, &strncpy_from_user(path, 4096)?, flags)?;
    let cred = current().cred.get();
    let (uid, gid) = if flags & abi::AT_EACCESS != 0 { (cred.euid, cred.egid) } else { (cred.uid, cred.gid) };
    let a = p.dentry.inode.attr.lock().clone();
    if mode != 0 {
        crate::fs::inode::permission(&a, uid, gid, mode).map_err(|_| EACCES)?;
    }
    if mode & MAY_WRITE != 0 && p.mnt.is_readonly() { Err(EROFS) } else { Ok(0) }
}

/// `faccessat(2)`.
pub fn sys_faccessat(dirfd: i32, path: usize, mode: u32) -> Result<usize> {
    sys_faccessat2(dirfd, path, mode, 0)
}

/// `access(2)`.
pub fn sys_access(path: usize, mode: u32) -> Result<usize> {
    sys_faccessat2(abi::AT_FDCWD, path, mode, 0)
}
