// SPDX-License-Identifier: GPL-2.0-only
//! Opening files (Linux 6.1, `fs/open.c`, `do_open` in `fs/namei.c`).

use crate::arch::x86::lib::usercopy::getname;
use crate::errno::{EEXIST, EINVAL, EISDIR, ELOOP, ENOENT, EROFS, Result};
use crate::fs::file::{current_files, fget};
use crate::fs::file_table::{File, FileOps};
use crate::fs::inode::mode::*;
use crate::fs::inode::{Dev, MAY_READ, MAY_WRITE};
use crate::fs::namei::{Follow, parent_at, user_path_at};
use crate::fs::namei_calls::create;
use crate::fs::namespace::Path;
use crate::fs::ramfs;
use crate::kernel::task::current;
use alloc::sync::Arc;
use linux_raw_sys::general as abi;

/// A file that can only be named (`O_PATH`).
struct PathOnly;
impl FileOps for PathOnly {}

/// Opens `path`, making it if `O_CREAT` says so (`do_filp_open`).
pub fn do_filp_open(dirfd: i32, path: &[u8], flags: u32, mode: u32) -> Result<Arc<File>> {
    let nofollow = flags & abi::O_NOFOLLOW != 0 || flags & abi::O_CREAT != 0 && flags & abi::O_EXCL != 0;
    let follow = if nofollow { Follow::No } else { Follow::Yes };
    let mut created = false;
    let found = match user_path_at(dirfd, path, follow) {
        Err(ENOENT) if flags & abi::O_CREAT != 0 && flags & abi::O_PATH == 0 => {
            created = true;
            create_file(dirfd, path, mode)?
        }
        r => r?,
    };
    let inode = &found.dentry.inode;
    if flags & abi::O_PATH != 0 {
        return Ok(File::new(found, flags, Arc::new(PathOnly), false));
    }
    if flags & abi::O_CREAT != 0 && !created {
        if flags & abi::O_EXCL != 0 {
            return Err(EEXIST);
        }
        if inode.is_dir() {
            return Err(EISDIR);
        }
    }
    if inode.is_symlink() {
        return Err(ELOOP);
    }
    if flags & abi::O_DIRECTORY != 0 {
        inode.want_dir()?;
    }
    dentry_open(found, flags, created)
}

/// Makes a regular file where the path leads, following a dangling link as Linux does.
fn create_file(dirfd: i32, path: &[u8], mode: u32) -> Result<Path> {
    let p = parent_at(dirfd, path)?;
    if p.trailing_slash {
        return Err(EISDIR);
    }
    if let Some(d) = p.dir.dentry.lookup(&p.name)?
        && d.inode.is_symlink()
        && let crate::fs::inode::Link::Text(t) = d.inode.ops.get_link()?
    {
        // The link's target is what gets made, seen from the link's directory.
        let at = File::new(p.dir.clone(), abi::O_PATH, Arc::new(PathOnly), false);
        let fd = current_files()?.install(at, true, 0)?;
        let r = create_file(fd, &t, mode);
        let _ = current_files()?.close(fd);
        return r;
    }
    let sb = p.dir.dentry.inode.sb.clone();
    let mode = S_IFREG | mode & S_IALLUGO & !current().fs.get().umask();
    let dentry = create(&p, || ramfs::new_inode(&sb, mode, Dev(0)))?;
    Ok(Path { mnt: p.dir.mnt.clone(), dentry })
}

/// Opens what was found: permissions, truncation, the inode's own `open` (`vfs_open`).
pub fn dentry_open(path: Path, flags: u32, created: bool) -> Result<Arc<File>> {
    let inode = path.dentry.inode.clone();
    let write = matches!(flags & abi::O_ACCMODE, abi::O_WRONLY | abi::O_RDWR);
    let read = flags & abi::O_ACCMODE != abi::O_WRONLY;
    let wants_write = write || flags & abi::O_TRUNC != 0;
    if inode.is_dir() && wants_write {
        return Err(EISDIR);
    }
    if wants_write && path.mnt.is_readonly() && (inode.is_reg() || inode.is_dir()) {
        return Err(EROFS);
    }
    if !created {
        let mask = if read { MAY_READ } else { 0 } | if wants_write { MAY_WRITE } else { 0 };
        inode.permission(&current().cred.get(), mask)?;
    }
    let counted = write && inode.is_reg();
    if counted {
        inode.get_write_access()?;
    }
    let ops = inode.ops.open(&inode, flags).inspect_err(|_| {
        if counted {
            inode.put_write_access();
        }
    })?;
    if flags & abi::O_TRUNC != 0
        && let Some(m) = inode.ops.mapping()
    {
        m.truncate(0);
        inode.touch_mtime();
    }
    Ok(File::new(path, flags & !(abi::O_CREAT | abi::O_EXCL | abi::O_NOCTTY | abi::O_TRUNC), ops, counted))
}

/// `openat(2)`.
pub fn sys_openat(dirfd: i32, path: usize, flags: u32, mode: u32) -> Result<usize> {
    let name = getname(path)?;
    let f = do_filp_open(dirfd, &name, flags, mode)?;
    let cloexec = flags & abi::O_CLOEXEC != 0;
    current_files()?.install(f, cloexec, 0).map(|fd| fd as usize)
}

/// `open(2)`.
pub fn sys_open(path: usize, flags: u32, mode: u32) -> Result<usize> {
    sys_openat(abi::AT_FDCWD, path, flags, mode)
}

/// `creat(2)`.
pub fn sys_creat(path: usize, mode: u32) -> Result<usize> {
    sys_openat(abi::AT_FDCWD, path, abi::O_CREAT | abi::O_WRONLY | abi::O_TRUNC, mode)
}

/// `ftruncate(2)`.
pub fn sys_ftruncate(fd: i32, len: i64) -> Result<usize> {
    let f = fget(fd)?;
    if len < 0 || !f.writable() {
        return Err(EINVAL);
    }
    truncate(&f.path, len)
}

/// `truncate(2)`.
pub fn sys_truncate(path: usize, len: i64) -> Result<usize> {
    let p = user_path_at(abi::AT_FDCWD, &getname(path)?, Follow::Yes)?;
    if len < 0 {
        return Err(EINVAL);
    }
    if p.dentry.inode.is_dir() {
        return Err(EISDIR);
    }
    p.dentry.inode.permission(&current().cred.get(), MAY_WRITE)?;
    truncate(&p, len)
}

fn truncate(p: &Path, len: i64) -> Result<usize> {
    p.dentry.inode.ops.mapping().ok_or(EINVAL)?.truncate(len as u64);
    p.dentry.inode.touch_mtime();
    Ok(0)
}

/// `memfd_create(2)`: a file without a name.
pub fn sys_memfd_create(name: usize, flags: u32) -> Result<usize> {
    if flags & !(abi::MFD_CLOEXEC | abi::MFD_ALLOW_SEALING) != 0 {
        return Err(EINVAL);
    }
    let name = crate::arch::x86::lib::usercopy::strncpy_from_user(name, 250)
        .map_err(|e| if e == crate::errno::ENAMETOOLONG { EINVAL } else { e })?;
    let sb = crate::fs::namespace::rootfs().dentry.inode.sb.clone();
    let inode = ramfs::new_inode(&sb, S_IFREG | 0o777, Dev(0));
    inode.attr.lock().nlink = 0;
    let mut full = b"/memfd:".to_vec();
    full.extend(name);
    full.extend(b" (deleted)");
    let dentry = crate::fs::dcache::Dentry::pseudo(&full, inode);
    let path = Path { mnt: crate::fs::namespace::rootfs().mnt, dentry };
    let f = dentry_open(path, abi::O_RDWR, true)?;
    current_files()?.install(f, flags & abi::MFD_CLOEXEC != 0, 0).map(|fd| fd as usize)
}
