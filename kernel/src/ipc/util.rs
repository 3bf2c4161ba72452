// SPDX-License-Identifier: GPL-2.0-only
//! Keys, ids and permissions of System V objects (Linux 6.1, `ipc/util.c`).

use crate::arch::x86::lib::usercopy::put_user;
use crate::errno::{EACCES, EEXIST, EIDRM, EINVAL, ENOENT, ENOMEM, ENOSPC, EPERM, Result};
use crate::kernel::capability::capable;
use crate::kernel::task::current;
use crate::kernel::time::timekeeping::ktime_get_real;
use crate::locking::SpinLock;
use crate::mm::page_alloc::{nr_free_pages, wmark_user};
use alloc::collections::BTreeMap;
use core::ops::{Deref, DerefMut};
use linux_raw_sys::general::{CAP_IPC_OWNER, CAP_SYS_ADMIN};

/// A new object that nobody finds by a key.
pub const IPC_PRIVATE: i32 = 0;
/// Flags of the calls that find or make an object.
pub const IPC_CREAT: u32 = 0o1000;
#[allow(missing_docs)]
pub const IPC_EXCL: u32 = 0o2000;
/// Do not wait.
pub const IPC_NOWAIT: u32 = 0o4000;

/// What the calls that control an object can be asked, whatever it is.
#[allow(missing_docs)]
pub mod cmd {
    pub const IPC_RMID: i32 = 0;
    pub const IPC_SET: i32 = 1;
    pub const IPC_STAT: i32 = 2;
    pub const IPC_INFO: i32 = 3;
}

/// Permission bits, as `open` has them.
pub const S_IRUGO: u32 = 0o444;
#[allow(missing_docs)]
pub const S_IWUGO: u32 = 0o222;
#[allow(missing_docs)]
pub const S_IXUGO: u32 = 0o111;

/// Bits of an id that are the index; those above count how often it was used.
const SEQ_SHIFT: u32 = 15;
/// Most objects of a kind (`IPCMNI`).
const IPCMNI: usize = 1 << SEQ_SHIFT;
/// Indices are used in turn, so many at least (`ipc_min_cycle`).
const MIN_CYCLE: usize = 64;

/// What all objects have (`struct kern_ipc_perm`).
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct KernIpcPerm {
    pub key: i32,
    pub id: i32,
    pub seq: u32,
    pub uid: u32,
    pub gid: u32,
    pub cuid: u32,
    pub cgid: u32,
    pub mode: u32,
}

impl KernIpcPerm {
    /// As `struct ipc64_perm` has it, in words.
    pub fn words(&self) -> [u64; 6] {
        let pair = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
        [
            pair(self.key.cast_unsigned(), self.uid),
            pair(self.gid, self.cuid),
            pair(self.cgid, self.mode),
            u64::from(self.seq),
            0,
            0,
        ]
    }

    /// Takes owner and permissions from such words (`ipc_update_perm`).
    ///
    /// # Errors
    /// `EINVAL` for the user or group that stands for none.
    pub fn update(&mut self, words: &[u64]) -> Result {
        let (uid, gid, mode) = ((words[0] >> 32) as u32, words[1] as u32, (words[2] >> 32) as u32);
        if uid == u32::MAX || gid == u32::MAX {
            return Err(EINVAL);
        }
        (self.uid, self.gid, self.mode) = (uid, gid, self.mode & !0o777 | mode & 0o777);
        Ok(())
    }

    /// Whether the current task may do what the bits of `flag` say (`ipcperms`).
    ///
    /// # Errors
    /// `EACCES`.
    pub fn check(&self, flag: u32) -> Result {
        let requested = (flag >> 6 | flag >> 3 | flag) & 7;
        let cred = current().cred.get();
        let granted = match () {
            () if cred.euid == self.cuid || cred.euid == self.uid => self.mode >> 6,
            () if cred.in_group(self.cgid) || cred.in_group(self.gid) => self.mode >> 3,
            () => self.mode,
        };
        if requested & !granted == 0 || capable(CAP_IPC_OWNER) { Ok(()) } else { Err(EACCES) }
    }

    /// Whether the current task may change or remove the object (`ipcctl_obtain_check`).
    ///
    /// # Errors
    /// `EPERM`.
    pub fn check_owner(&self) -> Result {
        if self.is_owner() || capable(CAP_SYS_ADMIN) { Ok(()) } else { Err(EPERM) }
    }

    /// Whether the current task's user owns or made it.
    pub fn is_owner(&self) -> bool {
        let euid = current().cred.get().euid;
        euid == self.cuid || euid == self.uid
    }
}

/// An object, with what it has in common with all others.
pub struct Ipc<T> {
    #[allow(missing_docs)]
    pub perm: KernIpcPerm,
    object: T,
}

impl<T> Deref for Ipc<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.object
    }
}

impl<T> DerefMut for Ipc<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.object
    }
}

/// All objects of a kind (`struct ipc_ids`).
pub struct IpcIds<T> {
    objects: BTreeMap<usize, Ipc<T>>,
    keys: BTreeMap<i32, usize>,
    seq: u32,
    last_idx: Option<usize>,
}

/// The part of an id that is the index.
fn index(id: i32) -> usize {
    id as usize & (IPCMNI - 1)
}

impl<T> IpcIds<T> {
    /// None yet.
    pub const NONE: Self = Self { objects: BTreeMap::new(), keys: BTreeMap::new(), seq: 0, last_idx: None };
    /// How many there are.
    pub fn in_use(&self) -> usize {
        self.objects.len()
    }
    /// The highest index, or 0.
    pub fn max_idx(&self) -> usize {
        self.objects.last_key_value().map_or(0, |(i, _)| *i)
    }
    /// All, by index.
    pub fn iter(&self) -> impl Iterator<Item = &Ipc<T>> {
        self.objects.values()
    }

    /// The index that is next in turn (`idr_alloc_cyclic`).
    fn next_index(&self) -> Option<usize> {
        let cycle = (self.in_use() * 3 / 2).clamp(MIN_CYCLE, IPCMNI);
        let first = self.last_idx.map_or(0, |i| i + 1);
        let free = |i: &usize| !self.objects.contains_key(i);
        (first..cycle).find(free).or_else(|| (0..cycle).find(free))
    }

    /// Adds an object of the current task's (`ipc_addid`); returns its id.
    ///
    /// # Errors
    /// `ENOSPC` if there are `limit` already, `ENOMEM`.
    pub fn add(&mut self, key: i32, mode: u32, limit: usize, object: T) -> Result<i32> {
        if self.in_use() >= limit.min(IPCMNI) {
            return Err(ENOSPC);
        }
        room()?;
        let idx = self.next_index().ok_or(ENOSPC)?;
        if self.last_idx.is_some_and(|last| idx <= last) {
            self.seq = (self.seq + 1) % (i32::MAX as u32 >> SEQ_SHIFT);
        }
        self.last_idx = Some(idx);
        let cred = current().cred.get();
        let id = (self.seq << SEQ_SHIFT | idx as u32).cast_signed();
        let (uid, gid) = (cred.euid, cred.egid);
        let perm = KernIpcPerm { key, id, seq: self.seq, uid, gid, cuid: uid, cgid: gid, mode: mode & 0o777 };
        self.objects.insert(idx, Ipc { perm, object });
        if key != IPC_PRIVATE {
            self.keys.insert(key, idx);
        }
        Ok(id)
    }

    /// The object that has this index, however often it was used (`ipc_obtain_object_idr`).
    ///
    /// # Errors
    /// `EINVAL`.
    pub fn at_index(&mut self, id: i32) -> Result<&mut Ipc<T>> {
        self.objects.get_mut(&index(id)).ok_or(EINVAL)
    }
    /// The object with this id (`ipc_obtain_object_check`).
    ///
    /// # Errors
    /// `EINVAL`.
    pub fn find(&mut self, id: i32) -> Result<&mut Ipc<T>> {
        self.at_index(id).ok().filter(|o| o.perm.id == id).ok_or(EINVAL)
    }
    /// The same for who was told the id by another call: it may have been removed since.
    ///
    /// # Errors
    /// `EIDRM`.
    pub fn find_again(&mut self, id: i32) -> Result<&mut Ipc<T>> {
        self.find(id).map_err(|_| EIDRM)
    }
    /// The same for who wants to change it (`ipcctl_obtain_check`).
    ///
    /// # Errors
    /// `EINVAL`, `EPERM`.
    pub fn find_owned(&mut self, id: i32) -> Result<&mut Ipc<T>> {
        let o = self.find(id)?;
        o.perm.check_owner()?;
        Ok(o)
    }
    /// Nobody finds it by its key any more (`ipc_set_key_private`).
    pub fn set_key_private(&mut self, id: i32) {
        if let Ok(o) = self.find(id) {
            let key = core::mem::replace(&mut o.perm.key, IPC_PRIVATE);
            self.keys.remove(&key);
        }
    }
    /// Takes an object out (`ipc_rmid`).
    pub fn remove(&mut self, id: i32) -> Option<Ipc<T>> {
        self.set_key_private(id);
        self.find(id).ok()?;
        self.objects.remove(&index(id))
    }
    /// The same for who may (`IPC_RMID`).
    ///
    /// # Errors
    /// `EINVAL`, `EPERM`.
    pub fn remove_owned(&mut self, id: i32) -> Result<Ipc<T>> {
        self.find_owned(id)?;
        self.remove(id).ok_or(EINVAL)
    }

    /// Finds an object by its key, or makes one (`ipcget`); returns its id. `check` is what else must
    /// be true of one that is there.
    ///
    /// # Errors
    /// `ENOENT`, `EEXIST`, `EACCES`, or as `check` and `make`.
    pub fn get(
        &mut self,
        key: i32,
        flags: u32,
        check: impl FnOnce(&Ipc<T>) -> Result,
        make: impl FnOnce(&mut Self) -> Result<i32>,
    ) -> Result<i32> {
        if key == IPC_PRIVATE {
            return make(self);
        }
        let Some(found) = self.keys.get(&key).and_then(|i| self.objects.get(i)) else {
            return if flags & IPC_CREAT == 0 { Err(ENOENT) } else { make(self) };
        };
        if flags & IPC_CREAT != 0 && flags & IPC_EXCL != 0 {
            return Err(EEXIST);
        }
        check(found)?;
        found.perm.check(flags)?;
        Ok(found.perm.id)
    }
}

/// How a call that tells of an object names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// `IPC_STAT`: by its id.
    Id,
    /// `SHM_STAT` and its kin: by its index; they return the id.
    Index,
    /// `SHM_STAT_ANY` and its kin: also of what one may not read.
    AnyIndex,
}

/// Writes what there is to tell of an object to `buf`: its permissions, and what `rest` says behind these
/// six words. Returns what the call does.
///
/// # Errors
/// `EINVAL`, `EACCES`, `EFAULT`.
pub fn stat<T, const N: usize>(
    ids: &SpinLock<IpcIds<T>>,
    (id, by): (i32, By),
    buf: usize,
    rest: impl FnOnce(&Ipc<T>) -> [u64; N],
) -> Result<usize> {
    let (ret, words) = {
        let mut ids = ids.lock();
        let o = if by == By::Id { ids.find(id)? } else { ids.at_index(id)? };
        if by != By::AnyIndex {
            o.perm.check(S_IRUGO)?;
        }
        let mut words = rest(o);
        words[..6].copy_from_slice(&o.perm.words());
        (if by == By::Id { 0 } else { o.perm.id as usize }, words)
    };
    put_user(buf, &words)?;
    Ok(ret)
}

/// Whether the kernel has memory that it may keep for programs, as for files.
///
/// # Errors
/// `ENOMEM`.
pub fn room() -> Result {
    if nr_free_pages() > wmark_user() { Ok(()) } else { Err(ENOMEM) }
}

/// Seconds since 1970.
pub fn now() -> u64 {
    ktime_get_real() / 1_000_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_are_words() {
        let mut p = KernIpcPerm { key: -2, id: 0, seq: 3, uid: 1, gid: 2, cuid: 4, cgid: 5, mode: 0o1600 };
        let w = p.words();
        assert_eq!(w, [1 << 32 | 0xffff_fffe, 4 << 32 | 2, 0o1600 << 32 | 5, 3, 0, 0]);
        assert_eq!(p.update(&[7 << 32, 8, 0o7644 << 32]), Ok(()));
        assert_eq!((p.uid, p.gid, p.mode), (7, 8, 0o1644));
        assert_eq!(p.update(&[u64::MAX, 8, 0]), Err(EINVAL));
    }

    #[test]
    fn ids_have_an_index_and_a_count() {
        assert_eq!(index(0x8005), 5);
        assert_eq!(index(7), 7);
    }
}
