// SPDX-License-Identifier: GPL-2.0-only
//! Opening files, and changing what they are (Linux 6.1, `fs/open.c`).

use crate::arch::x86::lib::usercopy::{get_user, getname};
use crate::errno::{
    EACCES, EEXIST, EFBIG, EINVAL, EISDIR, ELOOP, ENODEV, ENOENT, ENOTDIR, ENXIO, EOPNOTSUPP, EPERM, EROFS,
    ESPIPE, ETXTBSY, Result,
};
use crate::fs::dcache::lock_tree;
use crate::fs::file::{UnusedFd, fget, fget_raw};
use crate::fs::file_table::{File, FileOps};
use crate::fs::filemap::seal;
use crate::fs::fs_struct::current_fs;
use crate::fs::inode::mode::*;
use crate::fs::inode::{Inode, Link, MAY_EXEC, MAY_READ, MAY_WRITE, owner_or_capable};
use crate::fs::namei::{Last, Parent, Walk, start, user_path_at_empty};
use crate::fs::namei_calls::{New, create_in, may_change};
use crate::fs::namespace::Path;
use crate::fs::ramfs::file_remove_privs;
use crate::fs::read_write::check_size_limit;
use crate::kernel::cred::Cred;
use crate::kernel::task::current;
use crate::mm::page_alloc::PAGE_SIZE;
use crate::security::commoncap::access_creds;
use alloc::sync::Arc;
use linux_raw_sys::general::{
    AT_EACCESS, AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_NOFOLLOW, CAP_SYS_CHROOT, FALLOC_FL_COLLAPSE_RANGE,
    FALLOC_FL_INSERT_RANGE, FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE, FALLOC_FL_UNSHARE_RANGE,
    FALLOC_FL_ZERO_RANGE, MS_NODEV, O_ACCMODE, O_APPEND, O_CLOEXEC, O_CREAT, O_DIRECT, O_DIRECTORY, O_DSYNC,
    O_EXCL, O_LARGEFILE, O_NOATIME, O_NOCTTY, O_NOFOLLOW, O_NONBLOCK, O_PATH, O_RDONLY, O_SYNC, O_TMPFILE,
    O_TRUNC, O_WRONLY,
};

/// What `open` knows; other bits are ignored by it and refused by `openat2`.
const VALID_OPEN_FLAGS: u32 = O_ACCMODE
    | O_CREAT
    | O_EXCL
    | O_NOCTTY
    | O_TRUNC
    | O_APPEND
    | O_NONBLOCK
    | O_SYNC
    | O_DSYNC
    | O_DIRECT
    | O_LARGEFILE
    | O_DIRECTORY
    | O_NOFOLLOW
    | O_NOATIME
    | O_CLOEXEC
    | O_PATH
    | O_TMPFILE
    | crate::fs::file_table::FASYNC;
/// `__O_TMPFILE`.
const TMPFILE_BIT: u32 = O_TMPFILE & !O_DIRECTORY;

/// How a file is to be opened (`struct open_flags`).
#[derive(Clone, Copy, Debug)]
pub struct How {
    /// `O_*`.
    pub flags: u32,
    /// Permissions of a file that is made.
    pub mode: u32,
}

impl How {
    /// From the arguments of `open` (`build_open_how`, `build_open_flags`).
    pub fn new(flags: u32, mode: u32) -> Result<Self> {
        let mut flags = flags & VALID_OPEN_FLAGS;
        if flags & O_PATH != 0 {
            flags &= O_DIRECTORY | O_NOFOLLOW | O_PATH | O_CLOEXEC;
        }
        let creates = flags & (O_CREAT | TMPFILE_BIT) != 0;
        if flags & TMPFILE_BIT != 0
            && (flags & O_TMPFILE != O_TMPFILE || flags & O_CREAT != 0 || flags & O_ACCMODE == O_RDONLY)
        {
            return Err(EINVAL);
        }
        Ok(Self { flags, mode: if creates { mode & S_IALLUGO } else { 0 } })
    }
    fn has(self, f: u32) -> bool {
        self.flags & f != 0
    }
    /// `MAY_*` that the access mode asks for.
    fn access(self) -> u32 {
        let acc = match self.flags & O_ACCMODE {
            O_RDONLY => MAY_READ,
            O_WRONLY => MAY_WRITE,
            _ => MAY_READ | MAY_WRITE,
        };
        if self.has(O_TRUNC) { acc | MAY_WRITE } else { acc }
    }
}

/// Opens a path for the current task (`do_filp_open`).
pub fn do_filp_open(dfd: i32, name: &[u8], how: How) -> Result<Arc<File>> {
    if name.is_empty() {
        return Err(ENOENT);
    }
    path_openat(Walk::new(), start(dfd, name)?, name, how)
}

/// Opens a path that begins at `at`, or at the walk's root (`path_openat`).
pub fn path_openat(mut walk: Walk, at: Path, name: &[u8], how: How) -> Result<Arc<File>> {
    if how.has(TMPFILE_BIT) {
        return open_tmpfile(&mut walk, at, name, how);
    }
    let mut p = walk.parent(at, name)?;
    let mut must_be_dir = how.has(O_DIRECTORY);
    loop {
        must_be_dir |= p.trailing;
        if how.has(O_CREAT) && p.trailing {
            return Err(EISDIR);
        }
        let (found, created) = last_step(&walk, &p, how)?;
        if found.dentry.inode.is_symlink() && (!how.has(O_NOFOLLOW) || p.trailing) {
            if how.has(O_CREAT) && how.has(O_EXCL) {
                return Err(EEXIST);
            }
            match walk.follow_link(&found)? {
                Link::Text(t) => {
                    p = walk.parent(p.dir, &t)?;
                    continue;
                }
                Link::Place(place) => return do_open(&walk, place, how, must_be_dir, false),
            }
        }
        return do_open(&walk, found, how, must_be_dir, created);
    }
}

/// Looks the last component up, making a file if it is to be made (`lookup_open`);
/// says whether one was made.
fn last_step(walk: &Walk, p: &Parent, how: How) -> Result<(Path, bool)> {
    let name = match &p.last {
        Last::Name(n) => n,
        _ if how.has(O_CREAT) => return Err(EISDIR),
        Last::DotDot => return Ok((p.dir.clone().dotdot(&current_fs().root()), false)),
        Last::Dot | Last::Root => return Ok((p.dir.clone(), false)),
    };
    let _tree = how.has(O_CREAT).then(lock_tree);
    if let Some(found) = walk.lookup(&p.dir, name)? {
        if how.has(O_CREAT) && how.has(O_EXCL) {
            return Err(EEXIST);
        }
        return Ok((found, false));
    }
    if !how.has(O_CREAT) {
        return Err(ENOENT);
    }
    p.dir.dentry.inode.ops.absent()?;
    may_change(&p.dir, walk.cred()).map_err(|e| if e == EPERM { EACCES } else { e })?;
    let umask = current_fs().umask();
    let d = create_in(&p.dir, name, &New::File, how.mode & !umask, walk.cred())?;
    Ok((Path { mnt: p.dir.mnt.clone(), dentry: d }, true))
}

fn open_tmpfile(walk: &mut Walk, at: Path, name: &[u8], how: How) -> Result<Arc<File>> {
    let dir = walk.path(at, name, crate::fs::namei::Follow::Yes)?;
    may_change(&dir, walk.cred()).map_err(|e| if e == EPERM { crate::errno::EOPNOTSUPP } else { e })?;
    let inode = crate::fs::ramfs::new_file(&dir.dentry.inode.sb, how.mode & !current_fs().umask());
    {
        let mut a = inode.attr.lock();
        a.nlink = 0;
        (a.uid, a.gid) = (walk.cred().fsuid, walk.cred().fsgid);
    }
    let mut label = alloc::vec::Vec::from(&b"#"[..]);
    label.extend_from_slice(alloc::format!("{}", inode.ino).as_bytes());
    let dentry = crate::fs::dcache::Dentry::transient(&dir.dentry, &label, inode);
    dentry.unhash();
    vfs_open(Path { mnt: dir.mnt, dentry }, how)
}

/// The checks behind the walk (`do_open`, `may_open`).
fn do_open(walk: &Walk, path: Path, how: How, must_be_dir: bool, created: bool) -> Result<Arc<File>> {
    let inode = path.dentry.inode.clone();
    if how.has(O_CREAT) && inode.is_dir() {
        return Err(EISDIR);
    }
    if must_be_dir && !inode.is_dir() {
        return Err(ENOTDIR);
    }
    if how.has(O_PATH) {
        return Ok(File::new(path, how.flags & !O_CLOEXEC, Arc::new(NoOps), false));
    }
    if inode.is_symlink() {
        return Err(ELOOP);
    }
    let access = how.access();
    if !created {
        may_open(&path, walk.cred(), access, how)?;
    }
    let truncate = how.has(O_TRUNC) && !created && inode.is_reg();
    if truncate {
        inode.get_write_access()?;
    }
    let file = vfs_open(path, how);
    if truncate {
        inode.put_write_access();
        if file.is_ok() {
            do_truncate(&inode, 0)?;
        }
    }
    file
}

fn may_open(path: &Path, cred: &Cred, access: u32, how: How) -> Result {
    let inode = &path.dentry.inode;
    let kind = inode.kind();
    match kind {
        S_IFDIR if access & MAY_WRITE != 0 => return Err(EISDIR),
        S_IFSOCK => return Err(ENXIO),
        S_IFBLK | S_IFCHR if path.mnt.flags.load(core::sync::atomic::Ordering::Relaxed) & MS_NODEV != 0 => {
            return Err(EACCES);
        }
        _ => {}
    }
    if access & MAY_WRITE != 0 && path.mnt.is_readonly() && matches!(kind, S_IFREG | S_IFLNK) {
        return Err(EROFS);
    }
    inode.permission(cred, access)?;
    if how.has(O_NOATIME) {
        owner_or_capable(&inode.attr.lock(), cred)?;
    }
    Ok(())
}

/// Makes the open file (`vfs_open`, `do_dentry_open`).
pub fn vfs_open(path: Path, how: How) -> Result<Arc<File>> {
    let inode = path.dentry.inode.clone();
    let writes = how.flags & O_ACCMODE != O_RDONLY && inode.is_reg();
    if writes {
        inode.get_write_access()?;
    }
    match inode.ops.open(&inode, how.flags) {
        Ok(op) => {
            let flags = how.flags & !(O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_CLOEXEC);
            Ok(File::new(path, flags, op, writes))
        }
        Err(e) => {
            if writes {
                inode.put_write_access();
            }
            Err(e)
        }
    }
}

/// A file that only stands for a place.
struct NoOps;
impl FileOps for NoOps {}

/// Opens a file for the kernel itself, by a path from the root.
pub fn filp_open(name: &[u8], flags: u32) -> Result<Arc<File>> {
    do_filp_open(AT_FDCWD, name, How::new(flags, 0)?)
}

/// `open(2)`.
pub fn sys_open(name: usize, flags: u32, mode: u32) -> Result<usize> {
    sys_openat(AT_FDCWD, name, flags, mode)
}

/// `openat(2)`: any file may be a large one (`force_o_largefile`).
pub fn sys_openat(dfd: i32, name: usize, flags: u32, mode: u32) -> Result<usize> {
    do_sys_open(dfd, name, flags | O_LARGEFILE, mode)
}

/// i386's `open`.
pub fn compat_sys_open(name: usize, flags: u32, mode: u32) -> Result<usize> {
    do_sys_open(AT_FDCWD, name, flags, mode)
}

/// i386's `openat`.
pub fn compat_sys_openat(dfd: i32, name: usize, flags: u32, mode: u32) -> Result<usize> {
    do_sys_open(dfd, name, flags, mode)
}

fn do_sys_open(dfd: i32, name: usize, flags: u32, mode: u32) -> Result<usize> {
    let how = How::new(flags, mode)?;
    let name = getname(name)?;
    // Before anything is made or cut: a program without a free descriptor changes nothing.
    let fd = UnusedFd::get(how.flags)?;
    let file = do_filp_open(dfd, &name, how)?;
    Ok(fd.install(file) as usize)
}

/// `openat2(2)`: without `RESOLVE_*` flags, which nobody here needs.
pub fn sys_openat2(dfd: i32, name: usize, uhow: usize, size: usize) -> Result<usize> {
    if size < 24 {
        return Err(EINVAL);
    }
    if size > 4096 {
        return Err(crate::errno::E2BIG);
    }
    let [flags, mode, resolve]: [u64; 3] = get_user(uhow)?;
    if flags & !u64::from(VALID_OPEN_FLAGS) != 0 || resolve != 0 || mode & !u64::from(S_IALLUGO) != 0 {
        return Err(EINVAL);
    }
    sys_openat(dfd, name, flags as u32, mode as u32)
}

/// `creat(2)`.
pub fn sys_creat(name: usize, mode: u32) -> Result<usize> {
    sys_openat(AT_FDCWD, name, O_CREAT | O_WRONLY | O_TRUNC, mode)
}

/// Changes a file's size (`do_truncate`).
pub fn do_truncate(inode: &Arc<Inode>, size: u64) -> Result {
    let Some(pages) = inode.ops.mapping() else {
        // Files of proc and devices take O_TRUNC for granted.
        return Ok(());
    };
    let (old, seals) = (pages.size(), pages.seals());
    if size < old && seals & seal::SHRINK != 0 || size > old && seals & seal::GROW != 0 {
        return Err(EPERM);
    }
    if size > old {
        check_size_limit(size)?;
    }
    pages.truncate(size);
    if size < old {
        pages.unmap_from(size);
    }
    inode.touch_mtime();
    Ok(())
}

/// `truncate(2)`.
pub fn sys_truncate(name: usize, len: i64) -> Result<usize> {
    if len < 0 {
        return Err(EINVAL);
    }
    let p = user_path_at_empty(AT_FDCWD, name, 0)?;
    let inode = &p.dentry.inode;
    if inode.is_dir() {
        return Err(EISDIR);
    }
    if !inode.is_reg() {
        return Err(EINVAL);
    }
    if p.mnt.is_readonly() {
        return Err(EROFS);
    }
    inode.permission(&current().cred.get(), MAY_WRITE)?;
    inode.get_write_access().map_err(|_| ETXTBSY)?;
    let r = do_truncate(inode, len as u64);
    inode.put_write_access();
    r.map(|()| 0)
}

/// `ftruncate(2)`.
pub fn sys_ftruncate(fd: i32, len: i64) -> Result<usize> {
    if len < 0 {
        return Err(EINVAL);
    }
    let f = fget(fd)?;
    if !f.inode.is_reg() || !f.writable() {
        return Err(EINVAL);
    }
    if f.flags() & O_LARGEFILE == 0 && len as u64 > crate::fs::superblock::MAX_NON_LFS {
        return Err(EINVAL);
    }
    do_truncate(&f.inode, len as u64).map(|()| 0)
}

/// A hole is made without changing the size, or not at all.
pub const PUNCH_HOLE: u32 = FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE;

/// Whether these flags mean something together, be it something that files here cannot do
/// (`vfs_fallocate`).
fn check_fallocate_mode(mode: u32) -> Result {
    const ALONE: u32 = FALLOC_FL_COLLAPSE_RANGE | FALLOC_FL_INSERT_RANGE;
    const HOLE_OR_ZEROES: u32 = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE;
    const ALL: u32 = ALONE | HOLE_OR_ZEROES | FALLOC_FL_KEEP_SIZE | FALLOC_FL_UNSHARE_RANGE;
    let hole = mode & PUNCH_HOLE == FALLOC_FL_PUNCH_HOLE || mode & HOLE_OR_ZEROES == HOLE_OR_ZEROES;
    if mode & !ALL != 0 || hole {
        return Err(EOPNOTSUPP);
    }
    let alone = mode & ALONE != 0 && !mode.is_power_of_two();
    let unshare = mode & FALLOC_FL_UNSHARE_RANGE != 0;
    if alone || unshare && mode & !(FALLOC_FL_UNSHARE_RANGE | FALLOC_FL_KEEP_SIZE) != 0 {
        return Err(EINVAL);
    }
    Ok(())
}

/// `fallocate(2)`.
pub fn sys_fallocate(fd: i32, mode: u32, offset: i64, len: i64) -> Result<usize> {
    let f = fget(fd)?;
    if offset < 0 || len <= 0 {
        return Err(EINVAL);
    }
    check_fallocate_mode(mode)?;
    f.want_write()?;
    match f.inode.kind() {
        S_IFREG => {}
        S_IFIFO => return Err(ESPIPE),
        S_IFDIR => return Err(EISDIR),
        _ => return Err(ENODEV),
    }
    let end = offset.checked_add(len).ok_or(EFBIG)? as u64;
    if end > f.inode.sb.fs.maxbytes {
        return Err(EFBIG);
    }
    vfs_fallocate(&f, mode, offset as u64, end).map(|()| 0)
}

/// Sees that there are pages for a range of a file of a `tmpfs`, which gets as large unless its size is
/// kept; or makes a hole in it (`shmem_fallocate`).
pub fn vfs_fallocate(f: &File, mode: u32, offset: u64, end: u64) -> Result {
    let pages = f.inode.ops.mapping().filter(|pages| pages.is_shmem()).ok_or(EOPNOTSUPP)?;
    match mode {
        PUNCH_HOLE if pages.is_write_sealed() => return Err(EPERM),
        PUNCH_HOLE => pages.punch_hole(offset, end),
        0 | FALLOC_FL_KEEP_SIZE => {
            if end > pages.size() {
                check_size_limit(end)?;
                if pages.seals() & seal::GROW != 0 {
                    return Err(EPERM);
                }
            }
            let range = offset / PAGE_SIZE as u64..end.div_ceil(PAGE_SIZE as u64);
            pages.allocate(range.clone())?;
            if mode == 0 && end > pages.size() {
                // Others had their turns meanwhile.
                if pages.seals() & seal::GROW != 0 {
                    pages.remove_unused(range);
                    return Err(EPERM);
                }
                pages.truncate(end);
            }
        }
        _ => return Err(EOPNOTSUPP),
    }
    file_remove_privs(&f.inode);
    f.inode.touch_mtime();
    Ok(())
}

/// `access(2)`.
pub fn sys_access(name: usize, mode: u32) -> Result<usize> {
    sys_faccessat2(AT_FDCWD, name, mode, 0)
}

/// `faccessat(2)`.
pub fn sys_faccessat(dfd: i32, name: usize, mode: u32) -> Result<usize> {
    sys_faccessat2(dfd, name, mode, 0)
}

/// `faccessat2(2)`: with the real ids unless `AT_EACCESS`.
pub fn sys_faccessat2(dfd: i32, name: usize, mode: u32, flags: u32) -> Result<usize> {
    if mode & !7 != 0 || flags & !(AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 {
        return Err(EINVAL);
    }
    let p = user_path_at_empty(dfd, name, flags)?;
    let inode = &p.dentry.inode;
    let cred = current().cred.get();
    let real = if flags & AT_EACCESS == 0 { Some(access_creds(&cred)) } else { None };
    inode.permission(real.as_ref().unwrap_or(&cred), mode)?;
    let changes_fs = matches!(inode.kind(), S_IFREG | S_IFDIR | S_IFLNK);
    if mode & MAY_WRITE != 0 && p.mnt.is_readonly() && changes_fs {
        return Err(EROFS);
    }
    Ok(0)
}

/// `chdir(2)`.
pub fn sys_chdir(name: usize) -> Result<usize> {
    let p = user_path_at_empty(AT_FDCWD, name, 0)?;
    change_dir(p)
}

/// `fchdir(2)`.
pub fn sys_fchdir(fd: i32) -> Result<usize> {
    change_dir(fget_raw(fd)?.path.clone())
}

fn change_dir(p: Path) -> Result<usize> {
    p.dentry.inode.want_dir()?;
    p.dentry.inode.permission(&current().cred.get(), MAY_EXEC)?;
    current_fs().set_pwd(p);
    Ok(0)
}

/// `chroot(2)`.
pub fn sys_chroot(name: usize) -> Result<usize> {
    let p = user_path_at_empty(AT_FDCWD, name, 0)?;
    p.dentry.inode.want_dir()?;
    let cred = current().cred.get();
    p.dentry.inode.permission(&cred, MAY_EXEC)?;
    if !cred.capable(CAP_SYS_CHROOT) {
        return Err(EPERM);
    }
    current_fs().set_root(p);
    Ok(0)
}

/// Whether writes go to the end of the file.
pub fn appends(f: &File) -> bool {
    f.flags() & O_APPEND != 0
}
