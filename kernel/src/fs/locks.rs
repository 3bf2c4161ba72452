// SPDX-License-Identifier: GPL-2.0-only
//! Locks on files (Linux 6.1, `fs/locks.c`): `fcntl`'s on ranges, which belong to a process or
//! to an open file, and `flock`'s on the whole, which belong to an open file.
//!
//! Each inode keeps its own; what they allow is a pure function of that list ([`list`]). Who waits
//! for them is in [`blocked`].

mod blocked;
mod list;
mod show;

pub use show::{locks_show, show_fd_locks};

use crate::arch::x86::lib::usercopy::{get_user, put_user};
use crate::errno::{EAGAIN, EBADF, EINVAL, ENOLCK, ENOMEM, EOVERFLOW, Result};
use crate::fs::file::FilesStruct;
use crate::fs::file_table::File;
use crate::fs::inode::Inode;
use crate::kernel::task::current;
use crate::locking::SpinLock;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use blocked::{Request, block, follow, unblock, wake_blocked};
use core::sync::atomic::{AtomicBool, Ordering};
use linux_raw_sys::general::{
    F_GETLK, F_OFD_GETLK, F_OFD_SETLK, F_OFD_SETLKW, F_RDLCK, F_SETLKW, F_UNLCK, F_WRLCK, LOCK_EX, LOCK_NB,
    LOCK_SH, LOCK_UN, SEEK_CUR, SEEK_END, SEEK_SET,
};
use list::{Lists, Lock, OFFSET_MAX, Owner, apply, fresh_id};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// An inode's locks.
#[derive(Default)]
pub struct Locks {
    lists: SpinLock<Lists>,
    /// Whether there ever was one: spares every `close` the lock.
    used: AtomicBool,
}

/// The inodes that had locks, by the addresses of their [`Locks`].
static USED: SpinLock<Vec<(usize, Weak<Inode>)>> = SpinLock::new(Vec::new());

/// Notes that an inode has locks.
fn note_used(inode: &Arc<Inode>) -> Result {
    let locks = &inode.locks;
    if locks.used.load(Ordering::Relaxed) {
        return Ok(());
    }
    let mut all = USED.lock();
    all.try_reserve(1).map_err(|_| ENOLCK)?;
    let at = all.partition_point(|e| e.0 < locks.key());
    all.insert(at, (locks.key(), Arc::downgrade(inode)));
    locks.used.store(true, Ordering::Relaxed);
    Ok(())
}

/// Calls `f` with each inode that had locks, and what it has.
fn all_lists(mut f: impl FnMut(&Arc<Inode>, &Lists) -> Result) -> Result {
    let all = USED.lock();
    let mut inodes = Vec::new();
    inodes.try_reserve(all.len()).map_err(|_| ENOMEM)?;
    inodes.extend(all.iter().filter_map(|e| e.1.upgrade()));
    drop(all);
    inodes.iter().try_for_each(|i| f(i, &i.locks.lists.lock()))
}

impl Drop for Locks {
    fn drop(&mut self) {
        if !*self.used.get_mut() {
            return;
        }
        let mut all = USED.lock();
        if let Ok(at) = all.binary_search_by_key(&self.key(), |e| e.0) {
            all.remove(at);
        }
    }
}

/// What is to become of a range, or of a file.
#[derive(Clone, Copy)]
struct Wish<'a> {
    lock: &'a Lock,
    unlock: bool,
    /// Who waits if it cannot be.
    waiter: Option<&'a Arc<Request>>,
}

impl Wish<'_> {
    /// Somebody is in the way: false if it is waited for.
    fn blocked_by(self, holder: &Lock) -> Result<bool> {
        let request = self.waiter.ok_or(EAGAIN)?;
        block(holder, request).map(|()| false)
    }
    /// It was granted, with this number.
    fn granted(self, id: u64) {
        if let Some(request) = self.waiter {
            follow(request, id);
        }
    }
}

impl Lists {
    /// Sets a lock on a range; false if it has to be waited for (`posix_lock_inode`).
    fn set_range(&mut self, wish: Wish<'_>) -> Result<bool> {
        let holder = self.posix.iter().find(|l| !wish.unlock && l.conflicts(wish.lock));
        if let Some(holder) = holder {
            return wish.blocked_by(holder);
        }
        if let Some(id) = apply(&mut self.posix, wish.lock, wish.unlock, wake_blocked)? {
            wish.granted(id);
        }
        Ok(true)
    }

    /// The same for a whole file. Another kind is got by giving up the one that was held
    /// (`flock_lock_inode`).
    fn set_whole(&mut self, wish: Wish<'_>) -> Result<bool> {
        let list = &mut self.flock;
        list.try_reserve(1).map_err(|_| ENOMEM)?;
        if let Some(at) = list.iter().position(|l| l.owner == wish.lock.owner) {
            if !wish.unlock && list[at].write == wish.lock.write {
                return Ok(true);
            }
            wake_blocked(list.remove(at).id);
        }
        if wish.unlock {
            return Ok(true);
        }
        if let Some(holder) = list.iter().find(|l| l.conflicts(wish.lock)) {
            return wish.blocked_by(holder);
        }
        let id = fresh_id();
        list.push(Lock { id, ..*wish.lock });
        wish.granted(id);
        Ok(true)
    }

    fn set(&mut self, wish: Wish<'_>) -> Result<bool> {
        match wish.lock.owner {
            Owner::Flock(_) => self.set_whole(wish),
            Owner::Posix(_) | Owner::Ofd(_) => self.set_range(wish),
        }
    }
}

impl Locks {
    fn key(&self) -> usize {
        core::ptr::from_ref(self).addr()
    }

    /// Who is in the way of a lock on a range.
    fn conflict(&self, new: &Lock) -> Option<Lock> {
        self.lists.lock().posix.iter().find(|l| l.conflicts(new)).copied()
    }

    /// All locks of some owners go.
    fn remove(&self, owners: &[Owner]) {
        if !self.used.load(Ordering::Relaxed) {
            return;
        }
        let mut lists = self.lists.lock();
        let Lists { flock, posix } = &mut *lists;
        for list in [flock, posix] {
            list.retain(|l| {
                let goes = owners.contains(&l.owner);
                if goes {
                    wake_blocked(l.id);
                }
                !goes
            });
        }
    }
}

/// Sets a lock, waiting for it if `wait` (`locks_lock_inode_wait`).
fn set(inode: &Arc<Inode>, lock: &Lock, unlock: bool, wait: bool) -> Result {
    note_used(inode)?;
    let lists = &inode.locks.lists;
    if !wait || unlock {
        return lists.lock().set(Wish { lock, unlock, waiter: None }).map(drop);
    }
    let request = Request::new(*lock);
    let r = loop {
        let set = lists.lock().set(Wish { lock, unlock, waiter: Some(&request) });
        match set.and_then(|done| if done { Ok(true) } else { request.wait().map(|()| false) }) {
            Ok(true) => break Ok(()),
            Ok(false) => {}
            Err(e) => break Err(e),
        }
    };
    unblock(&request);
    r
}

/// A process closes a file: its locks on it go, however many descriptors for it are left
/// (`locks_remove_posix`).
#[inline]
pub fn locks_remove_posix(inode: &Inode, files: &FilesStruct) {
    inode.locks.remove(&[Owner::Posix(core::ptr::from_ref(files).addr())]);
}

/// An open file goes: so do its locks (`locks_remove_file`).
pub fn locks_remove_file(file: &File) {
    let id = core::ptr::from_ref(file).addr();
    file.inode.locks.remove(&[Owner::Ofd(id), Owner::Flock(id)]);
}

/// `struct flock`.
#[repr(C)]
#[derive(Clone, Copy, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[allow(missing_docs)]
pub struct Flock {
    pub kind: i16,
    pub whence: i16,
    _pad: u32,
    pub start: i64,
    pub len: i64,
    pub pid: i32,
    _tail: u32,
}

impl Flock {
    /// A request.
    pub fn new([kind, whence]: [i16; 2], start: i64, len: i64, pid: i32) -> Self {
        Self { kind, whence, start, len, pid, ..Self::default() }
    }
}
const _: () = assert!(size_of::<Flock>() == 32);

/// The first and last byte that a request names (`flock64_to_posix_lock`).
fn range(f: &File, l: &Flock) -> Result<(i64, i64)> {
    let base = match l.whence as u32 {
        SEEK_SET => 0,
        SEEK_CUR => *f.pos.lock() as i64,
        SEEK_END => f.inode.ops.size() as i64,
        _ => return Err(EINVAL),
    };
    bytes(base.checked_add(l.start).ok_or(EOVERFLOW)?, l.len)
}

/// From a start and a length, which may be negative, or 0 for all that follows.
fn bytes(start: i64, len: i64) -> Result<(i64, i64)> {
    if start < 0 {
        return Err(EINVAL);
    }
    match len {
        0 => Ok((start, OFFSET_MAX)),
        1.. => Ok((start, start.checked_add(len - 1).ok_or(EOVERFLOW)?)),
        ..0 => {
            let first = start.checked_add(len).filter(|&first| first >= 0).ok_or(EINVAL)?;
            Ok((first, start - 1))
        }
    }
}

/// `F_GETLK`, `F_SETLK`, `F_SETLKW` and their kin for open files (`fcntl_getlk`,
/// `fcntl_setlk`).
pub fn fcntl_lock(fd: i32, f: &Arc<File>, files: &FilesStruct, cmd: u32, arg: usize) -> Result<usize> {
    if let Some(found) = do_fcntl_lock(fd, f, files, cmd, get_user(arg)?)? {
        put_user(arg, &found)?;
    }
    Ok(0)
}

/// The same of a structure in hand; what `F_GETLK` has found.
pub fn do_fcntl_lock(
    fd: i32,
    f: &Arc<File>,
    files: &FilesStruct,
    cmd: u32,
    mut request: Flock,
) -> Result<Option<Flock>> {
    let ofd = matches!(cmd, F_OFD_GETLK | F_OFD_SETLK | F_OFD_SETLKW);
    let gets = matches!(cmd, F_GETLK | F_OFD_GETLK);
    let kind = u32::try_from(request.kind).ok();
    if gets && !matches!(kind, Some(F_RDLCK | F_WRLCK)) {
        return Err(EINVAL);
    }
    let (start, end) = range(f, &request)?;
    let file = Arc::as_ptr(f).addr();
    let (owner, pid) = if ofd {
        (Owner::Ofd(file), -1)
    } else {
        (Owner::Posix(core::ptr::from_ref(files).addr()), current().tgid)
    };
    let lock = Lock { id: 0, owner, file, write: kind == Some(F_WRLCK), start, end, pid };
    if !gets {
        match kind {
            Some(F_RDLCK) => f.want_read()?,
            Some(F_WRLCK) => f.want_write()?,
            Some(F_UNLCK) => {}
            _ => return Err(EINVAL),
        }
    }
    if ofd && request.pid != 0 {
        return Err(EINVAL);
    }
    if !gets {
        let (wait, unlock) = (matches!(cmd, F_SETLKW | F_OFD_SETLKW), kind == Some(F_UNLCK));
        set(&f.inode, &lock, unlock, wait)?;
        // One that another thread has closed meanwhile would keep the lock for ever: the close came too
        // early to take it (`fcntl_setlk`).
        if !unlock && !ofd && files.fget_raw(fd).map_or(true, |now| !Arc::ptr_eq(&now, f)) {
            set(&f.inode, &lock, true, false)?;
            return Err(EBADF);
        }
        return Ok(None);
    }
    request.kind = F_UNLCK as i16;
    if let Some(l) = f.inode.locks.conflict(&lock) {
        let len = if l.end == OFFSET_MAX { 0 } else { l.end - l.start + 1 };
        let kind = if l.write { F_WRLCK } else { F_RDLCK } as i16;
        request = Flock { kind, whence: SEEK_SET as i16, start: l.start, len, pid: l.pid, ..request };
    }
    Ok(Some(request))
}

/// `flock(2)` on an open file.
pub fn flock(f: &Arc<File>, op: u32) -> Result<usize> {
    let what = op & !LOCK_NB;
    if !matches!(what, LOCK_SH | LOCK_EX | LOCK_UN) {
        return Err(EINVAL);
    }
    if what != LOCK_UN && !f.readable() && !f.writable() {
        return Err(EBADF);
    }
    let file = Arc::as_ptr(f).addr();
    let (owner, write, pid) = (Owner::Flock(file), what == LOCK_EX, current().tgid);
    let lock = Lock { id: 0, owner, file, write, start: 0, end: OFFSET_MAX, pid };
    set(&f.inode, &lock, what == LOCK_UN, op & LOCK_NB == 0).map(|()| 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_as_programs_make_them() {
        assert_eq!(bytes(10, 5), Ok((10, 14)));
        assert_eq!(bytes(10, 0), Ok((10, OFFSET_MAX)));
        assert_eq!(bytes(10, -5), Ok((5, 9)));
        assert_eq!(bytes(10, -11), Err(EINVAL));
        assert_eq!(bytes(-1, 5), Err(EINVAL));
        assert_eq!(bytes(10, i64::MAX), Err(EOVERFLOW));
    }
}
