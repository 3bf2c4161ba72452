// SPDX-License-Identifier: GPL-2.0-only
//! Shared memory that has an id (Linux 6.1, `ipc/shm.c`).
//!
//! A segment's pages are a [`ShmemObject`]; what `shmat` maps is a [`ShmAttach`] of it, which is told of
//! each mapping that comes and goes: how often a segment is attached is how many there are.

use super::util::{By, Ipc, IpcIds, S_IRUGO, S_IWUGO, S_IXUGO, cmd, now, room, stat};
use crate::arch::x86::lib::usercopy::{get_user, put_user};
use crate::errno::{EINTR, EINVAL, ENOMEM, ENOSPC, EPERM, Result};
use crate::fs::superblock::MAX_LFS_FILESIZE;
use crate::fs::tmpfs::shm_mnt;
use crate::kernel::capability::capable;
use crate::kernel::task::current;
use crate::locking::SpinLock;
use crate::mm::i_mmap::IMmap;
use crate::mm::mm_struct::{MmState, with_current_mm};
use crate::mm::mmap::{MmapArgs, no_huge_pages};
use crate::mm::page_alloc::{PAGE_SIZE, Page, page_align};
use crate::mm::shmem::ShmemObject;
use crate::mm::util::{OVERCOMMIT_NEVER, SYSCTL_OVERCOMMIT_MEMORY, rlimit};
use crate::mm::vma::{MmapFile, VmFile, Vma, prot};
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use linux_raw_sys::general::{CAP_IPC_LOCK, MAP_FIXED, MAP_SHARED, RLIMIT_MEMLOCK};

/// Limits: `/proc/sys/kernel/{shmmax,shmall,shmmni}`.
pub static SHMMAX: AtomicUsize = AtomicUsize::new(usize::MAX - (1 << 24));
#[allow(missing_docs)]
pub static SHMALL: AtomicUsize = AtomicUsize::new(usize::MAX - (1 << 24));
#[allow(missing_docs)]
pub static SHMMNI: AtomicUsize = AtomicUsize::new(4096);

const SHM_LOCK: i32 = 11;
const SHM_UNLOCK: i32 = 12;
const SHM_STAT: i32 = 13;
const SHM_INFO: i32 = 14;
const SHM_STAT_ANY: i32 = 15;

const SHM_HUGETLB: u32 = 0o4000;
const SHM_NORESERVE: u32 = 0o10000;
const SHM_RDONLY: u32 = 0o10000;
const SHM_RND: u32 = 0o20000;
const SHM_REMAP: u32 = 0o40000;
const SHM_EXEC: u32 = 0o100_000;

/// In the mode: it goes with its last attachment.
const SHM_DEST: u32 = 0o1000;
/// It is not to be swapped out, which nothing is.
const SHM_LOCKED: u32 = 0o2000;

/// A segment (`struct shmid_kernel`).
#[allow(missing_docs)]
pub struct Segment {
    pub size: usize,
    pub atime: u64,
    pub dtime: u64,
    pub ctime: u64,
    pub cpid: i32,
    pub lpid: i32,
    /// Mappings of it (`shm_nattch`).
    nattch: usize,
    pages: Arc<ShmemObject>,
}

impl Segment {
    /// How many mappings there are of it.
    pub fn nattch(&self) -> usize {
        self.nattch
    }
    /// Pages that it has.
    pub fn resident(&self) -> usize {
        self.pages.nr_pages()
    }
    /// What `struct shmid64_ds` has behind the permissions.
    fn words(&self) -> [u64; 14] {
        let mut w = [0; 14];
        w[6..10].copy_from_slice(&[self.size as u64, self.atime, self.dtime, self.ctime]);
        w[10] = u64::from(self.cpid.cast_unsigned()) | u64::from(self.lpid.cast_unsigned()) << 32;
        w[11] = self.nattch() as u64;
        w
    }
}

static SHM_IDS: SpinLock<IpcIds<Segment>> = SpinLock::new(IpcIds::NONE);

/// Calls `f` for every segment.
pub fn for_each(f: impl FnMut(&Ipc<Segment>)) {
    SHM_IDS.lock().iter().for_each(f);
}

/// What one `shmat` maps.
pub struct ShmAttach {
    id: i32,
    key: i32,
    writable: bool,
    pages: Arc<ShmemObject>,
}

impl ShmAttach {
    /// Calls `f` with the segment, unless it is gone, as its pages need not be (`__shm_open`).
    fn with_segment(&self, f: impl FnOnce(&mut Segment)) {
        let mut ids = SHM_IDS.lock();
        if let Ok(s) = ids.find(self.id)
            && Arc::ptr_eq(&s.pages, &self.pages)
        {
            f(s);
        }
    }
}

/// One attachment less: the last one takes a removed segment with it (`shm_close`,
/// `shm_may_destroy`).
fn detach(id: i32, pages: &Arc<ShmemObject>, close: impl FnOnce(&mut Segment)) {
    let mut ids = SHM_IDS.lock();
    let mut gone = None;
    if let Ok(s) = ids.find(id)
        && Arc::ptr_eq(&s.pages, pages)
    {
        s.nattch -= 1;
        close(s);
        if s.nattch == 0 && s.perm.mode & SHM_DEST != 0 {
            gone = ids.remove(id);
        }
    }
    drop(ids);
    drop(gone);
}

impl VmFile for ShmAttach {
    fn fault_page(&self, pgoff: u64) -> Result<Page> {
        self.pages.fault_page(pgoff)
    }
    fn cached_page(&self, pgoff: u64) -> Option<Page> {
        self.pages.cached_page(pgoff)
    }
    fn size(&self) -> u64 {
        self.pages.size()
    }
    fn opened_for_writing(&self) -> bool {
        self.writable
    }
    fn name(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(format!("/SYSV{:08x} (deleted)", self.key).as_bytes());
    }
    /// The id stands for the inode's number.
    fn dev_ino(&self) -> (u64, u64) {
        (shm_mnt().root.inode.sb.dev.user(), self.id as u64)
    }
    fn shm_attach(&self) -> Option<&ShmAttach> {
        Some(self)
    }
    fn i_mmap(&self) -> Option<&IMmap> {
        Some(&self.pages.i_mmap)
    }
    /// (`shm_fallocate`.)
    fn punch_hole(&self, start: u64, end: u64) -> Result {
        self.pages.punch_hole(start, end);
        Ok(())
    }
    /// (`shm_open`.)
    fn vm_open(&self) {
        self.with_segment(|s| {
            (s.atime, s.lpid) = (now(), current().tgid);
            s.nattch += 1;
        });
    }
    fn vm_close(&self) {
        detach(self.id, &self.pages, |s| (s.dtime, s.lpid) = (now(), current().tgid));
    }
    fn counts_mappings(&self) -> bool {
        true
    }
}

/// A new segment (`newseg`).
fn newseg(ids: &mut IpcIds<Segment>, key: i32, size: usize, flags: u32) -> Result<i32> {
    if size == 0 || size > SHMMAX.load(Relaxed) {
        return Err(EINVAL);
    }
    let pages = size.div_ceil(PAGE_SIZE);
    let all: usize = ids.iter().map(|s| s.size.div_ceil(PAGE_SIZE)).sum();
    if all.checked_add(pages).is_none_or(|n| n > SHMALL.load(Relaxed)) {
        return Err(ENOSPC);
    }
    if flags & SHM_HUGETLB != 0 {
        return Err(no_huge_pages(flags));
    }
    // No file is larger (`__shmem_file_setup`).
    if size as u64 > MAX_LFS_FILESIZE {
        return Err(EINVAL);
    }
    let unreserved = flags & SHM_NORESERVE != 0 && SYSCTL_OVERCOMMIT_MEMORY.load(Relaxed) != OVERCOMMIT_NEVER;
    room()?;
    let pages = ShmemObject::new(page_align(size).max(PAGE_SIZE), !unreserved)?;
    let cpid = current().tgid;
    let segment = Segment { size, atime: 0, dtime: 0, ctime: now(), cpid, lpid: 0, nattch: 0, pages };
    ids.add(key, flags, SHMMNI.load(Relaxed), segment)
}

/// `shmget(2)`.
pub fn sys_shmget(key: i32, size: usize, flags: u32) -> Result<usize> {
    let large_enough = |s: &Ipc<Segment>| if s.size < size { Err(EINVAL) } else { Ok(()) };
    let id = SHM_IDS.lock().get(key, flags, large_enough, |ids| newseg(ids, key, size, flags))?;
    Ok(id as usize)
}

/// Where, and how, a segment is to be mapped (`do_shmat`).
struct Request {
    addr: usize,
    flags: u32,
    prot: u32,
    /// Permissions that one must have.
    access: u32,
}

impl Request {
    fn new(addr: usize, flags: u32) -> Result<Self> {
        let mut r = Self { addr, flags: MAP_SHARED, prot: prot::READ, access: S_IRUGO };
        if addr != 0 {
            if !addr.is_multiple_of(PAGE_SIZE) {
                if flags & SHM_RND == 0 {
                    return Err(EINVAL);
                }
                r.addr &= !(PAGE_SIZE - 1);
            }
            r.flags |= MAP_FIXED;
        }
        if r.addr == 0 && flags & SHM_REMAP != 0 {
            return Err(EINVAL);
        }
        if flags & SHM_RDONLY == 0 {
            r.prot |= prot::WRITE;
            r.access |= S_IWUGO;
        }
        if flags & SHM_EXEC != 0 {
            r.prot |= prot::EXEC;
            r.access |= S_IXUGO;
        }
        Ok(r)
    }
}

/// Maps what is attached.
fn map(st: &mut MmState, r: &Request, attach: &Arc<ShmAttach>, remap: bool, size: usize) -> Result<usize> {
    if r.addr != 0 && !remap {
        let end = r.addr.checked_add(size).ok_or(EINVAL)?;
        if st.vmas.find_intersection(r.addr, end).is_some() {
            return Err(EINVAL);
        }
    }
    let file = MmapFile {
        file: Ok(attach.clone()),
        readable: true,
        writable: attach.writable,
        noexec: false,
        sealed: false,
    };
    let a = MmapArgs { addr: r.addr, len: size, prot: r.prot, flags: r.flags, pgoff: 0 };
    st.do_mmap(a, Some(file))
}

/// `shmat(2)`.
pub fn sys_shmat(id: i32, addr: usize, flags: u32) -> Result<usize> {
    if id < 0 {
        return Err(EINVAL);
    }
    let r = Request::new(addr, flags)?;
    let (attach, size) = {
        let mut ids = SHM_IDS.lock();
        let s = ids.find(id)?;
        s.perm.check(r.access)?;
        // It stays until it is mapped, whatever that replaces.
        s.nattch += 1;
        let attach = Arc::new(ShmAttach {
            id,
            key: s.perm.key,
            writable: flags & SHM_RDONLY == 0,
            pages: s.pages.clone(),
        });
        (attach, s.size)
    };
    let remap = flags & SHM_REMAP != 0;
    let at = with_current_mm(|mm| map(&mut mm.lock(), &r, &attach, remap, size)).unwrap_or(Err(EINTR));
    detach(id, &attach.pages, |_| ());
    at
}

/// Where the mappings of what is attached at an address begin, and how long they are: there may be
/// pieces of it only.
fn pieces(st: &MmState, addr: usize) -> Result<Vec<(usize, usize)>> {
    fn attach(v: &Vma) -> Option<&ShmAttach> {
        v.backing.file().and_then(|f| f.shm_attach())
    }
    let fits = |v: &Vma| v.start >= addr && ((v.start - addr) / PAGE_SIZE) as u64 == v.pgoff;
    let mut found: Option<&ShmAttach> = None;
    let mut ranges = Vec::new();
    let mut next = st.vmas.lower_bound(addr);
    while let Some(p) = next {
        let v = st.vmas.get(p);
        next = st.vmas.next(p);
        if found.is_some_and(|f| v.end - addr > f.size() as usize) {
            break;
        }
        let Some(a) = attach(v).filter(|_| fits(v)) else { continue };
        if core::ptr::eq(*found.get_or_insert(a), a) {
            ranges.try_reserve(1).map_err(|_| ENOMEM)?;
            ranges.push((v.start, v.len()));
        }
    }
    if found.is_some() { Ok(ranges) } else { Err(EINVAL) }
}

/// `shmdt(2)`.
pub fn sys_shmdt(addr: usize) -> Result<usize> {
    if !addr.is_multiple_of(PAGE_SIZE) {
        return Err(EINVAL);
    }
    let unmap = |st: &mut MmState| {
        for (start, len) in pieces(st, addr)? {
            // Whole mappings can always be taken away.
            let _ = st.do_munmap(start, len);
        }
        Ok(0)
    };
    with_current_mm(|mm| unmap(&mut mm.lock())).ok_or(EINVAL)?
}

/// `IPC_RMID`: at once, or when nobody has it any more (`do_shm_rmid`).
fn rmid(id: i32) -> Result {
    let mut ids = SHM_IDS.lock();
    let s = ids.find_owned(id)?;
    if s.nattch() == 0 {
        let gone = ids.remove(id);
        drop(ids);
        drop(gone);
    } else {
        s.perm.mode |= SHM_DEST;
        ids.set_key_private(id);
    }
    Ok(())
}

/// `SHM_LOCK`, `SHM_UNLOCK` (`shmctl_do_lock`).
fn lock(id: i32, locks: bool) -> Result {
    let mut ids = SHM_IDS.lock();
    let s = ids.find(id)?;
    if !capable(CAP_IPC_LOCK) {
        let limit = rlimit(RLIMIT_MEMLOCK);
        if !s.perm.is_owner() || locks && limit == 0 {
            return Err(EPERM);
        }
        if locks && s.size > limit {
            return Err(ENOMEM);
        }
    }
    s.perm.mode = if locks { s.perm.mode | SHM_LOCKED } else { s.perm.mode & !SHM_LOCKED };
    Ok(())
}

/// The limits, as `struct shminfo64` has them.
fn limits() -> [u64; 9] {
    let mni = SHMMNI.load(Relaxed) as u64;
    [SHMMAX.load(Relaxed) as u64, 1, mni, mni, SHMALL.load(Relaxed) as u64, 0, 0, 0, 0]
}

/// What is used, as `struct shm_info` has it.
fn usage(ids: &IpcIds<Segment>) -> [u64; 6] {
    let total: usize = ids.iter().map(|s| s.size.div_ceil(PAGE_SIZE)).sum();
    let resident: usize = ids.iter().map(|s| s.resident()).sum();
    [ids.in_use() as u64, total as u64, resident as u64, 0, 0, 0]
}

/// `shmctl(2)`.
pub fn sys_shmctl(id: i32, command: i32, buf: usize) -> Result<usize> {
    if command < 0 || id < 0 {
        return Err(EINVAL);
    }
    match command {
        cmd::IPC_INFO => {
            let highest = SHM_IDS.lock().max_idx();
            put_user(buf, &limits())?;
            Ok(highest)
        }
        SHM_INFO => {
            let ids = SHM_IDS.lock();
            let (highest, words) = (ids.max_idx(), usage(&ids));
            drop(ids);
            put_user(buf, &words)?;
            Ok(highest)
        }
        cmd::IPC_STAT => stat(&SHM_IDS, (id, By::Id), buf, |s| s.words()),
        SHM_STAT => stat(&SHM_IDS, (id, By::Index), buf, |s| s.words()),
        SHM_STAT_ANY => stat(&SHM_IDS, (id, By::AnyIndex), buf, |s| s.words()),
        cmd::IPC_SET => {
            let words: [u64; 14] = get_user(buf)?;
            let mut ids = SHM_IDS.lock();
            let s = ids.find_owned(id)?;
            s.perm.update(&words)?;
            s.ctime = now();
            Ok(0)
        }
        cmd::IPC_RMID => rmid(id).map(|()| 0),
        SHM_LOCK | SHM_UNLOCK => lock(id, command == SHM_LOCK).map(|()| 0),
        _ => Err(EINVAL),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_segment_is_wanted() {
        let r = Request::new(0x12_3456, SHM_RND | SHM_RDONLY).ok().unwrap();
        assert_eq!((r.addr, r.flags, r.prot, r.access), (0x12_3000, MAP_SHARED | MAP_FIXED, 1, 0o444));
        let r = Request::new(0, SHM_EXEC).ok().unwrap();
        assert_eq!((r.addr, r.flags, r.prot, r.access), (0, MAP_SHARED, 7, 0o777));
        for (addr, flags) in [(1, 0), (0, SHM_REMAP), (5, SHM_RND | SHM_REMAP)] {
            assert!(Request::new(addr, flags).is_err());
        }
    }
}
