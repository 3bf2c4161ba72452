// SPDX-License-Identifier: GPL-2.0-only
//! Locks on files (Linux 6.1, `fs/locks.c`): `fcntl`'s on ranges, which belong to a process or
//! to an open file, and `flock`'s on the whole, which belong to an open file.
//!
//! Each inode keeps its own; what they allow is a pure function of that list.

use crate::arch::x86::lib::usercopy::{get_user, put_user};
use crate::errno::{EAGAIN, EBADF, EDEADLK, EINVAL, ENOLCK, EOVERFLOW, Result};
use crate::fs::file::FilesStruct;
use crate::fs::file_table::File;
use crate::fs::inode::Inode;
use crate::kernel::task::current;
use crate::kernel::wait::WaitQueue;
use crate::locking::SpinLock;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};
use linux_raw_sys::general::{
    F_GETLK, F_OFD_GETLK, F_OFD_SETLK, F_OFD_SETLKW, F_RDLCK, F_SETLKW, F_UNLCK, F_WRLCK, LOCK_EX, LOCK_NB,
    LOCK_SH, LOCK_UN, SEEK_CUR, SEEK_END, SEEK_SET,
};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The last byte of a lock that has no end (`OFFSET_MAX`).
const OFFSET_MAX: i64 = i64::MAX;

/// Whose a lock is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// A process's: its table of descriptors, by address.
    Posix(usize),
    /// An open file's range (`F_OFD_*`), by the file's address.
    Ofd(usize),
    /// An open file's whole (`flock`).
    Flock(usize),
}

impl Owner {
    /// `flock` and `fcntl` know nothing of each other.
    fn same_family(self, o: Self) -> bool {
        matches!(self, Self::Flock(_)) == matches!(o, Self::Flock(_))
    }
}

/// One lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Lock {
    owner: Owner,
    write: bool,
    /// First and last byte.
    start: i64,
    end: i64,
    /// Whose process it is; -1 for open files.
    pid: i32,
}

impl Lock {
    fn overlaps(&self, o: &Self) -> bool {
        self.start <= o.end && o.start <= self.end
    }
    fn conflicts(&self, o: &Self) -> bool {
        let others = self.owner != o.owner && self.owner.same_family(o.owner);
        others && (self.write || o.write) && self.overlaps(o)
    }
}

/// An inode's locks.
#[derive(Default)]
pub struct Locks {
    list: SpinLock<Vec<Lock>>,
    /// Whether there ever was one: spares every `close` the lock.
    used: AtomicBool,
}

/// Somebody's locks were taken away: whoever waits for one looks again.
static WAIT: WaitQueue = WaitQueue::new();
/// Who waits, and for whom.
static WAITING: SpinLock<Vec<(Owner, Owner)>> = SpinLock::new(Vec::new());

/// Takes what `new` covers from its owner's locks, and adds it unless it is to be unlocked;
/// neighbours of one kind become one (`posix_lock_inode`).
///
/// # Errors
/// `ENOLCK` without memory.
fn apply(list: &mut Vec<Lock>, new: Lock, unlock: bool) -> Result {
    // At most: two halves of one, and the new one.
    list.try_reserve(2).map_err(|_| ENOLCK)?;
    let mut new = new;
    let mut at = 0;
    while at < list.len() {
        let old = list[at];
        let touches = old.start <= new.end.saturating_add(1) && new.start <= old.end.saturating_add(1);
        if old.owner != new.owner || !touches {
            at += 1;
        } else if !unlock && old.write == new.write {
            (new.start, new.end) = (new.start.min(old.start), new.end.max(old.end));
            list.swap_remove(at);
        } else if old.overlaps(&new) {
            list.swap_remove(at);
            if old.start < new.start {
                list.push(Lock { end: new.start - 1, ..old });
            }
            if old.end > new.end {
                list.push(Lock { start: new.end + 1, ..old });
            }
            // What is left of it does not overlap: it is passed over when it comes.
        } else {
            at += 1;
        }
    }
    if !unlock {
        list.push(new);
    }
    Ok(())
}

/// Whether `waiter` may not wait for `holder`: that one waits for it, through whomever
/// (`posix_locks_deadlock`).
fn deadlock(waiting: &[(Owner, Owner)], waiter: Owner, mut holder: Owner) -> bool {
    const LONGEST_CHAIN: usize = 10;
    for _ in 0..LONGEST_CHAIN {
        if holder == waiter {
            return true;
        }
        match waiting.iter().find(|w| w.0 == holder) {
            Some(w) => holder = w.1,
            None => return false,
        }
    }
    false
}

impl Locks {
    fn conflict(&self, new: &Lock) -> Option<Lock> {
        self.list.lock().iter().find(|l| l.conflicts(new)).copied()
    }

    /// Sets a lock if nobody is in the way; who is, if so.
    fn try_set(&self, new: Lock, unlock: bool) -> Result<Option<Owner>> {
        self.used.store(true, Ordering::Relaxed);
        let mut list = self.list.lock();
        if !unlock && let Some(holder) = list.iter().find(|l| l.conflicts(&new)) {
            return Ok(Some(holder.owner));
        }
        apply(&mut list, new, unlock)?;
        drop(list);
        // A lock that was taken away, or became one for reading.
        WAIT.wake_up();
        Ok(None)
    }

    /// Sets a lock, waiting for it if `wait`.
    fn set(&self, new: Lock, unlock: bool, wait: bool) -> Result {
        loop {
            let Some(holder) = self.try_set(new, unlock)? else { return Ok(()) };
            if !wait {
                return Err(EAGAIN);
            }
            let mut waiting = WAITING.lock();
            if matches!(new.owner, Owner::Posix(_)) && deadlock(&waiting, new.owner, holder) {
                return Err(EDEADLK);
            }
            waiting.try_reserve(1).map_err(|_| ENOLCK)?;
            waiting.push((new.owner, holder));
            drop(waiting);
            let r = WAIT.wait_event_interruptible(|| self.conflict(&new).is_none_or(|l| l.owner != holder));
            let mut waiting = WAITING.lock();
            if let Some(i) = waiting.iter().position(|w| *w == (new.owner, holder)) {
                waiting.swap_remove(i);
            }
            drop(waiting);
            r?;
        }
    }

    /// All locks of some owners go.
    fn remove(&self, owners: &[Owner]) {
        if !self.used.load(Ordering::Relaxed) {
            return;
        }
        let mut list = self.list.lock();
        let before = list.len();
        list.retain(|l| !owners.contains(&l.owner));
        let changed = list.len() != before;
        drop(list);
        if changed {
            WAIT.wake_up();
        }
    }
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
pub fn fcntl_lock(f: &Arc<File>, files: &FilesStruct, cmd: u32, arg: usize) -> Result<usize> {
    if let Some(found) = do_fcntl_lock(f, files, cmd, get_user(arg)?)? {
        put_user(arg, &found)?;
    }
    Ok(0)
}

/// The same of a structure in hand; what `F_GETLK` has found.
pub fn do_fcntl_lock(
    f: &Arc<File>,
    files: &FilesStruct,
    cmd: u32,
    mut request: Flock,
) -> Result<Option<Flock>> {
    let ofd = matches!(cmd, F_OFD_GETLK | F_OFD_SETLK | F_OFD_SETLKW);
    if ofd && request.pid != 0 {
        return Err(EINVAL);
    }
    let kind = u32::try_from(request.kind).map_err(|_| EINVAL)?;
    let (start, end) = range(f, &request)?;
    let (owner, pid) = if ofd {
        (Owner::Ofd(Arc::as_ptr(f).addr()), -1)
    } else {
        (Owner::Posix(core::ptr::from_ref(files).addr()), current().tgid)
    };
    let lock = Lock { owner, write: kind == F_WRLCK, start, end, pid };
    if matches!(cmd, F_GETLK | F_OFD_GETLK) {
        if kind != F_RDLCK && kind != F_WRLCK {
            return Err(EINVAL);
        }
        request.kind = F_UNLCK as i16;
        if let Some(l) = f.inode.locks.conflict(&lock) {
            let len = if l.end == OFFSET_MAX { 0 } else { l.end - l.start + 1 };
            let kind = if l.write { F_WRLCK } else { F_RDLCK } as i16;
            request = Flock { kind, whence: SEEK_SET as i16, start: l.start, len, pid: l.pid, ..request };
        }
        return Ok(Some(request));
    }
    match kind {
        F_RDLCK => f.want_read()?,
        F_WRLCK => f.want_write()?,
        F_UNLCK => {}
        _ => return Err(EINVAL),
    }
    f.inode.locks.set(lock, kind == F_UNLCK, matches!(cmd, F_SETLKW | F_OFD_SETLKW))?;
    Ok(None)
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
    let owner = Owner::Flock(Arc::as_ptr(f).addr());
    let lock = Lock { owner, write: what == LOCK_EX, start: 0, end: OFFSET_MAX, pid: current().tgid };
    let locks = &f.inode.locks;
    let held = |l: &Lock| l.owner == owner && l.write == lock.write;
    if what != LOCK_UN && locks.list.lock().iter().any(held) {
        return Ok(0);
    }
    // Another kind is got by giving up the one that was held (`flock_lock_inode`).
    locks.remove(&[owner]);
    if what != LOCK_UN {
        locks.set(lock, false, op & LOCK_NB == 0)?;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lock(owner: usize, write: bool, start: i64, end: i64) -> Lock {
        Lock { owner: Owner::Posix(owner), write, start, end, pid: owner as i32 }
    }
    fn sorted(list: &[Lock]) -> Vec<(usize, bool, i64, i64)> {
        let id = |l: &Lock| if let Owner::Posix(o) = l.owner { o } else { 0 };
        let mut v: Vec<_> = list.iter().map(|l| (id(l), l.write, l.start, l.end)).collect();
        v.sort_unstable();
        v
    }

    #[test]
    fn readers_share_and_writers_do_not() {
        let r = lock(1, false, 0, 9);
        assert!(!r.conflicts(&lock(2, false, 0, 9)));
        assert!(r.conflicts(&lock(2, true, 9, 20)) && lock(2, true, 9, 20).conflicts(&r));
        assert!(!r.conflicts(&lock(2, true, 10, 20)) && !r.conflicts(&lock(1, true, 0, 9)));
        let whole = Lock { owner: Owner::Flock(7), ..lock(0, true, 0, OFFSET_MAX) };
        assert!(!r.conflicts(&whole) && whole.conflicts(&Lock { owner: Owner::Flock(8), ..whole }));
    }

    #[test]
    fn ranges_are_cut_and_joined() {
        let mut l = Vec::new();
        apply(&mut l, lock(1, true, 0, 99), false).unwrap();
        apply(&mut l, lock(1, true, 40, 59), true).unwrap();
        assert_eq!(sorted(&l), [(1, true, 0, 39), (1, true, 60, 99)]);
        apply(&mut l, lock(1, false, 30, 69), false).unwrap();
        assert_eq!(sorted(&l), [(1, false, 30, 69), (1, true, 0, 29), (1, true, 70, 99)]);
        apply(&mut l, lock(1, false, 70, 79), false).unwrap();
        assert_eq!(sorted(&l), [(1, false, 30, 79), (1, true, 0, 29), (1, true, 80, 99)]);
        apply(&mut l, lock(1, true, 0, OFFSET_MAX), true).unwrap();
        assert!(l.is_empty());
    }

    #[test]
    fn requests_as_programs_make_them() {
        assert_eq!(bytes(10, 5), Ok((10, 14)));
        assert_eq!(bytes(10, 0), Ok((10, OFFSET_MAX)));
        assert_eq!(bytes(10, -5), Ok((5, 9)));
        assert_eq!(bytes(10, -11), Err(EINVAL));
        assert_eq!(bytes(-1, 5), Err(EINVAL));
        assert_eq!(bytes(10, i64::MAX), Err(EOVERFLOW));
    }

    #[test]
    fn circles_are_found() {
        let o = Owner::Posix;
        let waiting = [(o(1), o(2)), (o(2), o(3))];
        assert!(deadlock(&waiting, o(3), o(1)) && deadlock(&waiting, o(3), o(2)));
        assert!(!deadlock(&waiting, o(4), o(1)));
    }

    proptest! {
        /// What is locked, byte by byte, is what was asked for last.
        #[test]
        fn lists_say_what_was_asked(ops in proptest::collection::vec((0i64..20, 0i64..20, 0u8..3), 0..30)) {
            let (mut list, mut bytes) = (Vec::new(), [0u8; 20]);
            for (a, b, what) in ops {
                let (start, end) = (a.min(b), a.max(b));
                apply(&mut list, lock(1, what == 2, start, end), what == 0).unwrap();
                bytes[start as usize..=end as usize].fill(what);
                for (i, want) in bytes.iter().enumerate() {
                    let at: Vec<&Lock> = list.iter().filter(|l| (l.start..=l.end).contains(&(i as i64))).collect();
                    let is = match at[..] { [] => 0, [l] => 1 + u8::from(l.write), _ => 9 };
                    prop_assert_eq!(is, *want);
                }
            }
        }
    }
}
