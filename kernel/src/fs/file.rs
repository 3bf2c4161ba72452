// SPDX-License-Identifier: GPL-2.0-only
//! Descriptor tables (Linux 6.1, `fs/file.c`).

use crate::errno::{EBADF, EINVAL, EMFILE, Result};
use crate::fs::file_table::File;
use crate::kernel::signal::rlimit;
use crate::kernel::task::current;
use crate::locking::SpinLock;
use alloc::sync::Arc;
use alloc::vec::Vec;
use linux_raw_sys::general as abi;

#[derive(Clone)]
struct Slot {
    file: Arc<File>,
    cloexec: bool,
}

/// The open files of a process.
#[derive(Default)]
pub struct FilesStruct(SpinLock<Vec<Option<Slot>>>);

impl FilesStruct {
    /// No open files.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }
    /// A copy for `fork` without `CLONE_FILES`.
    pub fn fork(&self) -> Arc<Self> {
        Arc::new(Self(SpinLock::new(self.0.lock().clone())))
    }
    /// The file behind a descriptor.
    #[inline]
    pub fn get(&self, fd: i32) -> Result<Arc<File>> {
        let t = self.0.lock();
        t.get(fd as usize).and_then(Option::as_ref).map(|s| s.file.clone()).ok_or(EBADF)
    }
    /// Puts a file at the lowest free descriptor from `min` on.
    pub fn install(&self, file: Arc<File>, cloexec: bool, min: usize) -> Result<i32> {
        let limit = current().signal.rlimit_cur(rlimit::NOFILE) as usize;
        let mut t = self.0.lock();
        let fd = (min..t.len()).find(|&i| t[i].is_none()).unwrap_or(t.len().max(min));
        if fd >= limit {
            return Err(EMFILE);
        }
        if fd >= t.len() {
            t.resize(fd + 1, None);
        }
        t[fd] = Some(Slot { file, cloexec });
        Ok(fd as i32)
    }
    /// Puts a file at just this descriptor, closing what was there.
    fn install_at(&self, fd: usize, file: Arc<File>, cloexec: bool) {
        let mut t = self.0.lock();
        if fd >= t.len() {
            t.resize(fd + 1, None);
        }
        let old = t[fd].replace(Slot { file, cloexec });
        drop(t);
        drop(old);
    }
    /// Closes a descriptor.
    pub fn close(&self, fd: i32) -> Result {
        let slot = self.0.lock().get_mut(fd as usize).and_then(Option::take);
        slot.map(drop).ok_or(EBADF)
    }
    /// Whether a descriptor closes on exec.
    pub fn cloexec(&self, fd: i32) -> Result<bool> {
        let t = self.0.lock();
        t.get(fd as usize).and_then(Option::as_ref).map(|s| s.cloexec).ok_or(EBADF)
    }
    /// Sets whether a descriptor closes on exec.
    pub fn set_cloexec(&self, fd: i32, on: bool) -> Result {
        let mut t = self.0.lock();
        t.get_mut(fd as usize).and_then(Option::as_mut).map(|s| s.cloexec = on).ok_or(EBADF)
    }
    /// Closes what is to be closed on exec (`do_close_on_exec`).
    pub fn close_on_exec(&self) {
        let mut gone = Vec::new();
        for s in self.0.lock().iter_mut() {
            if s.as_ref().is_some_and(|s| s.cloexec) {
                gone.extend(s.take());
            }
        }
    }
    /// The open descriptors, in order.
    pub fn list(&self) -> Vec<(i32, Arc<File>)> {
        let t = self.0.lock();
        t.iter().enumerate().filter_map(|(i, s)| s.as_ref().map(|s| (i as i32, s.file.clone()))).collect()
    }
    /// Number of slots (`FDSize` of `/proc/PID/status`).
    pub fn slots(&self) -> usize {
        self.0.lock().len().next_multiple_of(64).max(64)
    }
}

/// The current process's files.
pub fn current_files() -> Result<Arc<FilesStruct>> {
    current().files.lock().clone().ok_or(EBADF)
}

/// The current process's file `fd` (`fget`).
#[inline]
pub fn fget(fd: i32) -> Result<Arc<File>> {
    match &*current().files.lock() {
        Some(f) => f.get(fd),
        None => Err(EBADF),
    }
}

/// `close(2)`.
pub fn sys_close(fd: i32) -> Result<usize> {
    current_files()?.close(fd).map(|()| 0)
}

/// `CLOSE_RANGE_*` (Linux 6.1, `uapi/linux/close_range.h`).
const CLOSE_RANGE_UNSHARE: u32 = 2;
const CLOSE_RANGE_CLOEXEC: u32 = 4;

/// `close_range(2)`.
pub fn sys_close_range(first: u32, last: u32, flags: u32) -> Result<usize> {
    if first > last || flags & !(CLOSE_RANGE_CLOEXEC | CLOSE_RANGE_UNSHARE) != 0 {
        return Err(EINVAL);
    }
    let files = current_files()?;
    for (fd, _) in files.list() {
        if (first..=last).contains(&(fd as u32)) {
            if flags & CLOSE_RANGE_CLOEXEC != 0 {
                files.set_cloexec(fd, true)?;
            } else {
                files.close(fd)?;
            }
        }
    }
    Ok(0)
}

/// `dup(2)`.
pub fn sys_dup(fd: i32) -> Result<usize> {
    let files = current_files()?;
    let f = files.get(fd)?;
    files.install(f, false, 0).map(|n| n as usize)
}

/// `dup2(2)`.
pub fn sys_dup2(old: i32, new: i32) -> Result<usize> {
    if old == new {
        fget(old)?;
        return Ok(new as usize);
    }
    dup_at(old, new, false)
}

/// `dup3(2)`.
pub fn sys_dup3(old: i32, new: i32, flags: u32) -> Result<usize> {
    if flags & !abi::O_CLOEXEC != 0 || old == new {
        return Err(EINVAL);
    }
    dup_at(old, new, flags & abi::O_CLOEXEC != 0)
}

fn dup_at(old: i32, new: i32, cloexec: bool) -> Result<usize> {
    let limit = current().signal.rlimit_cur(rlimit::NOFILE);
    if new < 0 || new as u64 >= limit {
        return Err(EBADF);
    }
    let files = current_files()?;
    let f = files.get(old)?;
    files.install_at(new as usize, f, cloexec);
    Ok(new as usize)
}
