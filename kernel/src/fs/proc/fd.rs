// SPDX-License-Identifier: GPL-2.0-only
//! A process's open files as links, and what there is to say of each (Linux 6.1, `fs/proc/fd.c`).

use super::ProcLink;
use super::base::{list, may_look, name_to_int, pid_inode};
use super::file::ProcFile;
use crate::errno::{ENOENT, ESRCH, Result};
use crate::fs::dcache::Dentry;
use crate::fs::file::FilesStruct;
use crate::fs::file_table::{File, FileOps};
use crate::fs::inode::mode::{S_IFLNK, S_IFREG};
use crate::fs::inode::{Attr, Inode, InodeOps, Link, generic_permission};
use crate::fs::libfs::{DirContext, DirOps};
use crate::fs::locks::show_fd_locks;
use crate::fs::seq_file::SeqFile;
use crate::kernel::cred::Cred;
use crate::kernel::fork::find_task;
use crate::kernel::task::current;
use alloc::boxed::Box;
use alloc::format;
use alloc::sync::Arc;
use linux_raw_sys::general::O_CLOEXEC;

/// `/proc/PID/fd`.
pub struct FdDir(pub i32);

fn files_of(pid: i32) -> Result<Arc<FilesStruct>> {
    find_task(pid).ok_or(ESRCH)?.files.lock().clone().ok_or(ENOENT)
}

/// Lists a process's descriptors as entries of one type.
fn list_fds(pid: i32, kind: u32, ctx: &mut DirContext<'_>) -> Result {
    let files = files_of(pid)?;
    let used = core::iter::successors(files.next_used(0), |&fd| files.next_used(fd as usize + 1));
    list(ctx, used.map(|fd| (format!("{fd}"), kind)));
    Ok(())
}

/// How the file was opened, as permissions of its link.
fn link_mode(f: &File) -> u32 {
    let read = if f.readable() { 0o500 } else { 0 };
    let write = if f.writable() { 0o300 } else { 0 };
    S_IFLNK | read | write
}

impl InodeOps for FdDir {
    fn absent(&self) -> Result {
        Err(ENOENT)
    }
    /// A process always sees its own, whoever it has become.
    fn permission(&self, attr: &Attr, cred: &Cred, mask: u32) -> Result {
        let own = || find_task(self.0).is_some_and(|t| t.tgid == current().tgid);
        generic_permission(attr, cred, mask).or_else(|e| if own() { Ok(()) } else { Err(e) })
    }
    fn lookup(&self, dir: &Arc<Dentry>, name: &[u8]) -> Result<Option<Arc<Inode>>> {
        let Some(fd) = name_to_int(name) else { return Ok(None) };
        let Some(t) = find_task(self.0) else { return Ok(None) };
        let Ok(file) = files_of(self.0).and_then(|files| files.fget_raw(fd)) else { return Ok(None) };
        let pid = self.0;
        let link = ProcLink(Box::new(move || {
            let t = find_task(pid).ok_or(ENOENT)?;
            may_look(&t)?;
            let files = t.files.lock().clone().ok_or(ENOENT)?;
            Ok(Link::Place(files.fget_raw(fd).map_err(|_| ENOENT)?.path.clone()))
        }));
        Ok(Some(pid_inode(&dir.inode.sb, &t, link_mode(&file), Box::new(link))))
    }
    fn iterate(&self, _: &Arc<Dentry>, ctx: &mut DirContext<'_>) -> Result {
        list_fds(self.0, S_IFLNK, ctx)
    }
    fn open(&self, _: &Arc<Inode>, _: u32) -> Result<Arc<dyn FileOps>> {
        Ok(Arc::new(DirOps::Generic))
    }
}

/// `/proc/PID/fdinfo`.
pub struct FdInfoDir(pub i32);

/// Position, flags, place, and what is particular to the file (`seq_show`).
fn fdinfo(pid: i32, fd: i32, out: &mut SeqFile) -> Result {
    let files = files_of(pid).map_err(|_| ENOENT)?;
    let f = files.fget_raw(fd).map_err(|_| ENOENT)?;
    let cloexec = if files.cloexec(fd) == Ok(true) { O_CLOEXEC } else { 0 };
    let (pos, flags) = (*f.pos.lock(), f.flags() | cloexec);
    writeln!(out, "pos:\t{pos}\nflags:\t0{flags:o}\nmnt_id:\t{}\nino:\t{}", f.path.mnt.id, f.inode.ino);
    show_fd_locks(out, &f, &files);
    f.op.show_fdinfo(&f, out);
    Ok(())
}

impl InodeOps for FdInfoDir {
    fn permission(&self, attr: &Attr, cred: &Cred, mask: u32) -> Result {
        may_look(&*find_task(self.0).ok_or(ESRCH)?)?;
        generic_permission(attr, cred, mask)
    }
    fn lookup(&self, dir: &Arc<Dentry>, name: &[u8]) -> Result<Option<Arc<Inode>>> {
        let Some(fd) = name_to_int(name) else { return Ok(None) };
        let pid = self.0;
        let Some(t) = find_task(pid) else { return Ok(None) };
        if files_of(pid).and_then(|files| files.fget_raw(fd)).is_err() {
            return Ok(None);
        }
        let file = ProcFile::new(move |out| fdinfo(pid, fd, out));
        Ok(Some(pid_inode(&dir.inode.sb, &t, S_IFREG | 0o444, Box::new(file))))
    }
    fn iterate(&self, _: &Arc<Dentry>, ctx: &mut DirContext<'_>) -> Result {
        list_fds(self.0, S_IFREG, ctx)
    }
    fn open(&self, _: &Arc<Inode>, _: u32) -> Result<Arc<dyn FileOps>> {
        Ok(Arc::new(DirOps::Generic))
    }
}
