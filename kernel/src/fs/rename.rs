// SPDX-License-Identifier: GPL-2.0-only
//! Renaming (Linux 6.1, `fs/namei.c`, `do_renameat2`, `vfs_rename`).

use crate::arch::x86::lib::usercopy::getname;
use crate::errno::{EBUSY, EEXIST, EINVAL, EISDIR, ENOENT, ENOTDIR, ENOTEMPTY, EXDEV, Result};
use crate::fs::dcache::{Dentry, lock_tree};
use crate::fs::namei::{Last, Parent, user_path_parent};
use crate::fs::namei_calls::{check_sticky, drop_dir, drop_name, may_change};
use crate::kernel::task::current;
use alloc::sync::Arc;
use core::sync::atomic::Ordering;
use linux_raw_sys::general::{AT_FDCWD, RENAME_EXCHANGE, RENAME_NOREPLACE};

fn last_name(p: &Parent, otherwise: crate::errno::Errno) -> Result<&[u8]> {
    match &p.last {
        Last::Name(n) => Ok(n),
        _ => Err(otherwise),
    }
}

/// Renames across directories of one mount.
pub fn do_rename(olddfd: i32, old: &[u8], newdfd: i32, new: &[u8], flags: u32) -> Result {
    let (from, to) = (user_path_parent(olddfd, old)?, user_path_parent(newdfd, new)?);
    if !Arc::ptr_eq(&from.dir.mnt, &to.dir.mnt) {
        return Err(EXDEV);
    }
    let old_name = last_name(&from, EBUSY)?;
    let new_name = last_name(&to, if flags & RENAME_NOREPLACE != 0 { EEXIST } else { EBUSY })?;
    let cred = current().cred.get();
    let _tree = lock_tree();
    let src = from.dir.dentry.lookup(old_name)?.ok_or(ENOENT)?;
    let dst = to.dir.dentry.lookup(new_name)?;
    if flags & RENAME_NOREPLACE != 0 && dst.is_some() {
        return Err(EEXIST);
    }
    check_slashes(&from, &to, &src, dst.as_ref(), flags)?;
    // Neither may end up inside itself.
    if to.dir.dentry.is_below(&src) {
        return Err(EINVAL);
    }
    if let Some(d) = &dst
        && from.dir.dentry.is_below(d)
    {
        return Err(if flags & RENAME_EXCHANGE != 0 { EINVAL } else { ENOTEMPTY });
    }
    may_change(&from.dir, &cred)?;
    may_change(&to.dir, &cred)?;
    check_sticky(&from.dir.dentry.inode, &src.inode, &cred)?;
    if let Some(d) = &dst {
        check_sticky(&to.dir.dentry.inode, &d.inode, &cred)?;
        if Arc::ptr_eq(&d.inode, &src.inode) {
            return Ok(());
        }
    }
    let busy = |d: &Arc<Dentry>| d.mounted.load(Ordering::Relaxed) != 0;
    if busy(&src) || dst.as_ref().is_some_and(busy) {
        return Err(EBUSY);
    }
    match dst {
        Some(d) if flags & RENAME_EXCHANGE != 0 => exchange(&from, &to, (&src, old_name), (&d, new_name)),
        None if flags & RENAME_EXCHANGE != 0 => return Err(ENOENT),
        dst => replace(&from, &to, &src, new_name, dst.as_ref())?,
    }
    Ok(())
}

fn check_slashes(
    from: &Parent,
    to: &Parent,
    src: &Arc<Dentry>,
    dst: Option<&Arc<Dentry>>,
    flags: u32,
) -> Result {
    if flags & RENAME_EXCHANGE != 0 {
        let dst_dir = dst.is_some_and(|d| d.inode.is_dir());
        return if from.trailing && !src.inode.is_dir() || to.trailing && !dst_dir {
            Err(ENOTDIR)
        } else {
            Ok(())
        };
    }
    if !src.inode.is_dir() && (from.trailing || to.trailing) {
        return Err(ENOTDIR);
    }
    Ok(())
}

fn replace(from: &Parent, to: &Parent, src: &Arc<Dentry>, name: &[u8], dst: Option<&Arc<Dentry>>) -> Result {
    let is_dir = src.inode.is_dir();
    if let Some(d) = dst {
        match (is_dir, d.inode.is_dir()) {
            (true, false) => return Err(ENOTDIR),
            (false, true) => return Err(EISDIR),
            (true, true) if !d.is_empty() => return Err(ENOTEMPTY),
            (true, true) => drop_dir(&to.dir.dentry, d),
            (false, false) => drop_name(&to.dir.dentry, d),
        }
    }
    src.rehash(&to.dir.dentry, name);
    if is_dir {
        from.dir.dentry.inode.attr.lock().nlink -= 1;
        to.dir.dentry.inode.attr.lock().nlink += 1;
    }
    src.inode.touch_ctime();
    from.dir.dentry.inode.touch_mtime();
    to.dir.dentry.inode.touch_mtime();
    Ok(())
}

fn exchange(from: &Parent, to: &Parent, src: (&Arc<Dentry>, &[u8]), dst: (&Arc<Dentry>, &[u8])) {
    let (fd, td) = (&from.dir.dentry, &to.dir.dentry);
    dst.0.unhash();
    src.0.rehash(td, dst.1);
    dst.0.rehash(fd, src.1);
    let (a, b) = (u32::from(src.0.inode.is_dir()), u32::from(dst.0.inode.is_dir()));
    {
        let mut at = fd.inode.attr.lock();
        at.nlink = at.nlink - a + b;
    }
    {
        let mut at = td.inode.attr.lock();
        at.nlink = at.nlink + a - b;
    }
    fd.inode.touch_mtime();
    td.inode.touch_mtime();
}

/// `rename(2)`.
pub fn sys_rename(old: usize, new: usize) -> Result<usize> {
    sys_renameat2(AT_FDCWD, old, AT_FDCWD, new, 0)
}

/// `renameat(2)`.
pub fn sys_renameat(olddfd: i32, old: usize, newdfd: i32, new: usize) -> Result<usize> {
    sys_renameat2(olddfd, old, newdfd, new, 0)
}

/// `renameat2(2)`.
pub fn sys_renameat2(olddfd: i32, old: usize, newdfd: i32, new: usize, flags: u32) -> Result<usize> {
    let both = RENAME_NOREPLACE | RENAME_EXCHANGE;
    if flags & !both != 0 || flags & both == both {
        return Err(EINVAL);
    }
    do_rename(olddfd, &getname(old)?, newdfd, &getname(new)?, flags).map(|()| 0)
}
