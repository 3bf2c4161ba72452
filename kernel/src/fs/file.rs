// SPDX-License-Identifier: GPL-2.0-only
//! Descriptor tables (Linux 6.1, `fs/file.c`).

use crate::errno::{EBADF, EBUSY, EINVAL, EMFILE, ENOMEM, Result};
use crate::fs::file_table::File;
use crate::fs::locks::locks_remove_posix;
use crate::kernel::signal::state::rlimit;
use crate::kernel::task::current;
use crate::locking::SpinLock;
use crate::mm::util::kvcalloc;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;
use linux_raw_sys::general::O_CLOEXEC;

/// No table grows beyond this (`sysctl_nr_open`).
const NR_OPEN: usize = 1024 * 1024;

/// What a descriptor stands for.
#[derive(Clone, Default)]
enum Slot {
    #[default]
    Free,
    /// Somebody is opening a file for it.
    Reserved,
    Open(OpenSlot),
}

#[derive(Clone)]
struct OpenSlot {
    file: Arc<File>,
    cloexec: bool,
}

impl Slot {
    fn open(&self) -> Option<&OpenSlot> {
        match self {
            Self::Open(s) => Some(s),
            Self::Free | Self::Reserved => None,
        }
    }
    fn open_mut(&mut self) -> Option<&mut OpenSlot> {
        match self {
            Self::Open(s) => Some(s),
            Self::Free | Self::Reserved => None,
        }
    }
}

#[derive(Default)]
struct Table {
    slots: Vec<Slot>,
    /// No free descriptor is below this.
    next: usize,
}

/// The descriptors of a process; threads share them.
#[derive(Default)]
pub struct FilesStruct(SpinLock<Table>);

impl Table {
    fn get(&self, fd: i32) -> Option<&OpenSlot> {
        self.slots.get(usize::try_from(fd).ok()?)?.open()
    }
    /// The lowest free descriptor from `from` up.
    fn find_free(&self, from: usize) -> usize {
        let from = from.max(self.next);
        let free = |&i: &usize| matches!(self.slots[i], Slot::Free);
        (from..self.slots.len()).find(free).unwrap_or(from.max(self.slots.len()))
    }
    /// Puts `slot` at `fd`, returning what was there; `ENOMEM` (`expand_files`).
    fn put(&mut self, fd: usize, slot: Slot) -> Result<Slot> {
        if let Some(more @ 1..) = (fd + 1).checked_sub(self.slots.len()) {
            self.slots.try_reserve(more).map_err(|_| ENOMEM)?;
            self.slots.resize(fd + 1, Slot::Free);
        }
        if fd == self.next {
            self.next = fd + 1;
        }
        Ok(core::mem::replace(&mut self.slots[fd], slot))
    }
    /// Puts `slot` at the lowest free descriptor from `min` up (`alloc_fd`).
    fn put_lowest(&mut self, min: usize, limit: usize, slot: Slot) -> Result<usize> {
        let fd = self.find_free(min);
        if fd >= limit {
            return Err(EMFILE);
        }
        self.put(fd, slot)?;
        Ok(fd)
    }
    fn free(&mut self, at: usize) {
        self.slots[at] = Slot::Free;
        self.next = self.next.min(at);
    }
    fn take(&mut self, fd: i32) -> Option<OpenSlot> {
        let i = usize::try_from(fd).ok()?;
        let slot = self.slots.get_mut(i)?;
        match core::mem::take(slot) {
            Slot::Open(s) => {
                self.next = self.next.min(i);
                Some(s)
            }
            other => {
                *slot = other;
                None
            }
        }
    }
}

/// A descriptor that nobody else gets while a file is opened for it; free again if it is
/// dropped (`get_unused_fd_flags`, `put_unused_fd`).
pub struct UnusedFd {
    files: Arc<FilesStruct>,
    fd: i32,
    cloexec: bool,
}

impl UnusedFd {
    /// The lowest descriptor of the current task that is free; `EMFILE`, `ENOMEM`.
    pub fn get(flags: u32) -> Result<Self> {
        let (files, limit) = (current_files(), fd_limit());
        let fd = files.0.lock().put_lowest(0, limit, Slot::Reserved)? as i32;
        Ok(Self { files, fd, cloexec: flags & O_CLOEXEC != 0 })
    }
    /// Its number.
    pub fn fd(&self) -> i32 {
        self.fd
    }
    /// Makes it stand for `file` (`fd_install`).
    pub fn install(self, file: Arc<File>) -> i32 {
        let slot = Slot::Open(OpenSlot { file, cloexec: self.cloexec });
        self.files.0.lock().slots[self.fd as usize] = slot;
        self.fd
    }
}

impl Drop for UnusedFd {
    fn drop(&mut self) {
        let mut t = self.files.0.lock();
        if matches!(t.slots[self.fd as usize], Slot::Reserved) {
            t.free(self.fd as usize);
        }
    }
}

/// One more than the highest descriptor that the current task may get.
fn fd_limit() -> usize {
    (rlimit(rlimit::NOFILE) as usize).min(NR_OPEN)
}

impl FilesStruct {
    /// No open files.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }
    /// A copy for `fork` without `CLONE_FILES`; `ENOMEM` (`dup_fd`).
    pub fn fork(&self) -> Result<Arc<Self>> {
        let t = self.0.lock();
        let used = t.slots.iter().rposition(|s| s.open().is_some()).map_or(0, |i| i + 1);
        let mut slots = kvcalloc(used)?;
        slots.clone_from_slice(&t.slots[..used]);
        let mut copy = Table { slots, next: t.next.min(used) };
        // What another thread is opening is not the child's.
        for at in 0..used {
            if matches!(copy.slots[at], Slot::Reserved) {
                copy.free(at);
            }
        }
        Ok(Arc::new(Self(SpinLock::new(copy))))
    }
    /// The open file behind `fd`, not if it is only a place (`fget`).
    #[inline]
    pub fn fget(&self, fd: i32) -> Result<Arc<File>> {
        let f = self.fget_raw(fd)?;
        if f.is_path() { Err(EBADF) } else { Ok(f) }
    }
    /// The open file behind `fd` (`fget_raw`).
    #[inline]
    pub fn fget_raw(&self, fd: i32) -> Result<Arc<File>> {
        self.0.lock().get(fd).map(|s| s.file.clone()).ok_or(EBADF)
    }
    /// Gives `file` the lowest free descriptor from `min` up.
    pub fn install_from(&self, file: Arc<File>, min: usize, cloexec: bool) -> Result<i32> {
        let limit = fd_limit();
        // On failure the file is let go after the lock.
        let slot = Slot::Open(OpenSlot { file: file.clone(), cloexec });
        let fd = self.0.lock().put_lowest(min, limit, slot);
        drop(file);
        fd.map(|fd| fd as i32)
    }
    /// Gives `file` the lowest free descriptor.
    pub fn install(&self, file: Arc<File>, flags: u32) -> Result<i32> {
        self.install_from(file, 0, flags & O_CLOEXEC != 0)
    }
    /// Closes `fd`.
    pub fn close(&self, fd: i32) -> Result {
        // The file is let go after the lock.
        let s = self.0.lock().take(fd).ok_or(EBADF)?;
        self.filp_close(&s.file);
        Ok(())
    }
    /// A descriptor of this process for `file` goes, and all its locks with it.
    fn filp_close(&self, file: &File) {
        locks_remove_posix(&file.inode, self);
        file.op.flush();
    }
    /// Whether `fd` is closed by `exec`.
    pub fn cloexec(&self, fd: i32) -> Result<bool> {
        self.0.lock().get(fd).map(|s| s.cloexec).ok_or(EBADF)
    }
    /// Says whether `fd` is to be closed by `exec`.
    pub fn set_cloexec(&self, fd: i32, on: bool) -> Result {
        let mut t = self.0.lock();
        let i = usize::try_from(fd).map_err(|_| EBADF)?;
        t.slots.get_mut(i).and_then(Slot::open_mut).ok_or(EBADF)?.cloexec = on;
        Ok(())
    }
    /// Closes what is marked so; for `exec` (`do_close_on_exec`).
    pub fn close_on_exec(&self) {
        self.close_those(0..usize::MAX, |s| s.cloexec);
    }
    /// Closes what is in `range` and `which` says.
    fn close_those(&self, range: Range<usize>, which: impl Fn(&OpenSlot) -> bool) {
        let mut from = range.start;
        loop {
            // Each file is let go after the lock.
            let mut t = self.0.lock();
            let end = range.end.min(t.slots.len());
            let found = (from..end).find(|&fd| t.slots[fd].open().is_some_and(&which));
            let Some(fd) = found else { break };
            let s = t.take(fd as i32);
            drop(t);
            if let Some(s) = s {
                self.filp_close(&s.file);
            }
            from = fd + 1;
        }
    }
    /// The lowest descriptor in use from `from` up.
    pub fn next_used(&self, from: usize) -> Option<i32> {
        let t = self.0.lock();
        (from..t.slots.len()).find(|&i| t.slots[i].open().is_some()).map(|i| i as i32)
    }
    /// Slots that there is room for, for `/proc/PID/status`.
    pub fn capacity(&self) -> usize {
        self.0.lock().slots.len().next_multiple_of(64)
    }

    fn dup3(&self, old: i32, new: i32, cloexec: bool) -> Result<i32> {
        let at = usize::try_from(new).map_err(|_| EBADF)?;
        if at as u64 >= rlimit(rlimit::NOFILE) || at >= NR_OPEN {
            return Err(EBADF);
        }
        let mut t = self.0.lock();
        let file = t.get(old).ok_or(EBADF)?.file.clone();
        // Another thread is about to use it.
        if matches!(t.slots.get(at), Some(Slot::Reserved)) {
            return Err(EBUSY);
        }
        let replaced = t.put(at, Slot::Open(OpenSlot { file, cloexec }))?;
        drop(t);
        if let Slot::Open(s) = replaced {
            self.filp_close(&s.file);
        }
        Ok(new)
    }
    fn close_range(&self, first: u32, last: u32, cloexec: bool) {
        let range = first as usize..(last as usize).saturating_add(1);
        if !cloexec {
            return self.close_those(range, |_| true);
        }
        let mut t = self.0.lock();
        let end = range.end.min(t.slots.len());
        for s in t.slots.get_mut(range.start..end).into_iter().flatten().filter_map(Slot::open_mut) {
            s.cloexec = true;
        }
    }
}

impl Drop for FilesStruct {
    fn drop(&mut self) {
        let slots = core::mem::take(&mut self.0.lock().slots);
        for s in slots.iter().filter_map(Slot::open) {
            self.filp_close(&s.file);
        }
    }
}

/// The current task's descriptors.
#[inline]
pub fn current_files() -> Arc<FilesStruct> {
    current().files.lock().clone().unwrap_or_default()
}

/// The current task's open file behind `fd`, not if it is only a place.
#[inline]
pub fn fget(fd: i32) -> Result<Arc<File>> {
    match &*current().files.lock() {
        Some(f) => f.fget(fd),
        None => Err(EBADF),
    }
}

/// The current task's open file behind `fd`.
pub fn fget_raw(fd: i32) -> Result<Arc<File>> {
    current_files().fget_raw(fd)
}

/// Gives `file` the lowest free descriptor of the current task.
pub fn fd_install(file: Arc<File>, flags: u32) -> Result<i32> {
    current_files().install(file, flags)
}

/// `close(2)`.
pub fn sys_close(fd: i32) -> Result<usize> {
    current_files().close(fd)?;
    Ok(0)
}

/// `close_range(2)`.
pub fn sys_close_range(first: u32, last: u32, flags: u32) -> Result<usize> {
    const UNSHARE: u32 = 2;
    const CLOEXEC: u32 = 4;
    if flags & !(UNSHARE | CLOEXEC) != 0 || first > last {
        return Err(EINVAL);
    }
    if flags & UNSHARE != 0 {
        let own = current_files().fork()?;
        *current().files.lock() = Some(own);
    }
    current_files().close_range(first, last, flags & CLOEXEC != 0);
    Ok(0)
}

/// `dup(2)`.
pub fn sys_dup(fd: i32) -> Result<usize> {
    let files = current_files();
    Ok(files.install(files.fget_raw(fd)?, 0)? as usize)
}

/// `dup2(2)`.
pub fn sys_dup2(old: i32, new: i32) -> Result<usize> {
    let files = current_files();
    if old == new {
        files.fget_raw(old)?;
        return Ok(new as usize);
    }
    Ok(files.dup3(old, new, false)? as usize)
}

/// `dup3(2)`.
pub fn sys_dup3(old: i32, new: i32, flags: u32) -> Result<usize> {
    if flags & !O_CLOEXEC != 0 || old == new {
        return Err(EINVAL);
    }
    Ok(current_files().dup3(old, new, flags & O_CLOEXEC != 0)? as usize)
}
