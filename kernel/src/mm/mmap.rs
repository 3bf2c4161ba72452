// SPDX-License-Identifier: GPL-2.0-only
//! `mmap`, `munmap`, `brk`, and how stacks grow.
//!
//! After Linux 6.1, `mm/mmap.c` and `arch/x86/kernel/sys_x86_64.c` (the choice
//! of addresses).

use crate::arch::x86::lib::usercopy::TASK_SIZE_MAX;
use crate::arch::x86::mm::pgtable::USER_PGTABLES_CEILING;
use crate::arch::x86::mm::tlb::TlbGather;
use crate::errno::{
    EACCES, EAGAIN, EBADF, EEXIST, EINVAL, ENOMEM, EOPNOTSUPP, EOVERFLOW, EPERM, Errno, Result,
};
use crate::fs::filemap::AddressSpace;
use crate::mm::mm_struct::{MmState, with_current_mm};
use crate::mm::page_alloc::{PAGE_SIZE, page_align};
use crate::mm::shmem;
use crate::mm::util::{self, may_expand_vm, vm_enough_memory, vm_unacct_memory};
use crate::mm::vma::{Backing, MmapFile, STACK_GUARD_GAP, VmFlags, Vma, prot};
use crate::mm::vma_tree::Pos;
use core::sync::atomic::Ordering;
use linux_raw_sys::general::{
    MAP_ANONYMOUS, MAP_FIXED, MAP_FIXED_NOREPLACE, MAP_GROWSDOWN, MAP_HUGETLB, MAP_LOCKED, MAP_NONBLOCK,
    MAP_NORESERVE, MAP_POPULATE, MAP_PRIVATE, MAP_SHARED, MAP_SHARED_VALIDATE, MAP_STACK, MAP_TYPE, O_PATH,
    RLIMIT_DATA, RLIMIT_MEMLOCK, RLIMIT_STACK,
};

mod stack_growth;
mod unmapped_area;

/// Allocate below 2 GiB.
const MAP_32BIT: u32 = 0x40;
/// The logarithm of a huge page's size.
const MAP_HUGE_SHIFT: u32 = 26;
const MAP_HUGE_MASK: u32 = 0x3f;
/// What `MAP_SHARED_VALIDATE` knows (`LEGACY_MAP_MASK`).
const LEGACY_MAP_MASK: u32 = MAP_SHARED
    | MAP_PRIVATE
    | MAP_FIXED
    | MAP_ANONYMOUS
    | 0x800 // MAP_DENYWRITE
    | 0x1000 // MAP_EXECUTABLE
    | MAP_32BIT
    | MAP_GROWSDOWN
    | MAP_LOCKED
    | MAP_NORESERVE
    | MAP_POPULATE
    | MAP_NONBLOCK
    | MAP_STACK
    | MAP_HUGETLB;

/// Flags of private data: `brk`, stacks (`VM_DATA_DEFAULT_FLAGS`, without `EXEC`).
pub const VM_DATA_DEFAULT: VmFlags = VmFlags::READ.union(VmFlags::WRITE).union(VmFlags::MAYACCESS);

fn max_map_count() -> usize {
    util::SYSCTL_MAX_MAP_COUNT.load(Ordering::Relaxed)
}

fn mmap_min_addr() -> usize {
    util::MMAP_MIN_ADDR.load(Ordering::Relaxed)
}

/// What `mmap` wants, in its own words.
#[derive(Clone, Copy)]
pub struct MmapArgs {
    /// Hint, or with `MAP_FIXED` the place.
    pub addr: usize,
    /// Bytes.
    pub len: usize,
    /// `PROT_*`.
    pub prot: u32,
    /// `MAP_*`.
    pub flags: u32,
    /// Offset in the file, in pages.
    pub pgoff: u64,
}

impl MmapArgs {
    fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }
}

/// The flags of a mapping of `file` (`None`: anonymous), or why it may not be:
/// the decision of `do_mmap`, without an address space.
fn mmap_vm_flags(a: &MmapArgs, file: Option<&MmapFile>, def_flags: VmFlags) -> Result<VmFlags> {
    let mut f = VmFlags::from_prot(a.prot) | def_flags | VmFlags::MAYACCESS;
    f.set(VmFlags::GROWSDOWN, a.has(MAP_GROWSDOWN));
    if a.has(MAP_LOCKED) {
        f |= VmFlags::LOCKED;
    }
    let kind = a.flags & MAP_TYPE;
    let Some(file) = file else {
        return match kind {
            MAP_SHARED if a.has(MAP_GROWSDOWN) => Err(EINVAL),
            MAP_SHARED => Ok(f | VmFlags::SHARED | VmFlags::MAYSHARE),
            MAP_PRIVATE => Ok(f),
            _ => Err(EINVAL),
        };
    };
    match kind {
        MAP_SHARED | MAP_SHARED_VALIDATE => {
            if kind == MAP_SHARED_VALIDATE && a.flags & !(LEGACY_MAP_MASK | MAP_SHARED_VALIDATE) != 0 {
                return Err(EOPNOTSUPP);
            }
            if a.prot & prot::WRITE != 0 && !file.writable {
                return Err(EACCES);
            }
            f |= VmFlags::SHARED | VmFlags::MAYSHARE;
            if !file.writable {
                f -= VmFlags::MAYWRITE | VmFlags::SHARED;
            }
        }
        MAP_PRIVATE => {}
        _ => return Err(EINVAL),
    }
    if !file.readable {
        return Err(EACCES);
    }
    if file.noexec {
        if f.contains(VmFlags::EXEC) {
            return Err(EPERM);
        }
        f -= VmFlags::MAYEXEC;
    }
    file.file.as_ref().map_err(|e| *e)?;
    if f.contains(VmFlags::GROWSDOWN) {
        return Err(EINVAL);
    }
    // (`seal_check_write`, `is_readonly_sealed`.)
    if file.sealed && f.contains(VmFlags::SHARED) {
        if f.contains(VmFlags::WRITE) {
            return Err(EPERM);
        }
        f -= VmFlags::MAYWRITE;
    }
    Ok(f)
}

/// Whether a file can have bytes at such an offset at all (`file_mmap_ok`).
fn file_mmap_ok(f: &MmapFile, pgoff: u64, len: u64) -> Result {
    const S_IFMT: u32 = 0o170_000;
    let regular = f.file.as_ref().is_ok_and(|f| f.mode_nlink().0 & S_IFMT == 0o100_000);
    let max = if regular { i64::MAX as u64 } else { u64::MAX };
    if pgoff > (max - len) / PAGE_SIZE as u64 { Err(EOVERFLOW) } else { Ok(()) }
}

impl MmState {
    // ----- mapping

    /// `mmap` once the file is known (`do_mmap`). Returns the address.
    pub fn do_mmap(&mut self, mut a: MmapArgs, file: Option<MmapFile>) -> Result<usize> {
        if a.len == 0 {
            return Err(EINVAL);
        }
        if a.has(MAP_FIXED_NOREPLACE) {
            a.flags |= MAP_FIXED;
        }
        if !a.has(MAP_FIXED) {
            a.addr = round_hint_to_min(a.addr);
        }
        a.len = a.len.checked_add(PAGE_SIZE - 1).ok_or(ENOMEM)? & !(PAGE_SIZE - 1);
        let pages = (a.len / PAGE_SIZE) as u64;
        a.pgoff.checked_add(pages).ok_or(EOVERFLOW)?;
        self.room_for_vmas(max_map_count() + 1)?;
        let addr = self.get_unmapped_area(a.addr, a.len, a.flags)?;
        if a.has(MAP_FIXED_NOREPLACE) && self.vmas.find_intersection(addr, addr + a.len).is_some() {
            return Err(EEXIST);
        }
        if a.has(MAP_LOCKED) && !can_do_mlock() {
            return Err(EPERM);
        }
        if let Some(f) = &file {
            file_mmap_ok(f, a.pgoff, a.len as u64)?;
        }
        let mut flags = mmap_vm_flags(&a, file.as_ref(), self.def_flags)?;
        if a.prot == prot::EXEC {
            flags = flags.with_pkey(self.pkeys.for_mmap(a.prot));
        }
        self.mlock_future_check(flags, a.len)?;
        if a.has(MAP_NORESERVE)
            && util::SYSCTL_OVERCOMMIT_MEMORY.load(Ordering::Relaxed) != util::OVERCOMMIT_NEVER
        {
            flags |= VmFlags::NORESERVE;
        }
        let (backing, pgoff) = match file {
            Some(f) => (Backing::File(f.file?), a.pgoff),
            None if flags.contains(VmFlags::SHARED) => (Backing::File(shmem::zero_setup(a.len)?), 0),
            None => (Backing::Anon, (addr / PAGE_SIZE) as u64),
        };
        self.mmap_region(addr, a.len, flags, pgoff, backing)?;
        if flags.contains(VmFlags::LOCKED) || a.flags & (MAP_POPULATE | MAP_NONBLOCK) == MAP_POPULATE {
            self.mm_populate(addr, a.len);
        }
        Ok(addr)
    }

    /// Maps `backing` at `[addr, addr + len)`, replacing what is there; the
    /// arguments are aligned and checked (`mmap_region`). Returns where it is.
    pub fn mmap_region(
        &mut self,
        addr: usize,
        len: usize,
        mut flags: VmFlags,
        pgoff: u64,
        backing: Backing,
    ) -> Result<Pos> {
        let end = addr + len;
        let pages = len / PAGE_SIZE;
        let mut next = self.vmas.lower_bound(addr);
        let overlaps = next.is_some_and(|p| self.vmas.get(p).start < end);
        if !may_expand_vm(&self.stat, flags, pages) {
            let replaced = if overlaps { self.pages_within(addr, end) } else { 0 };
            if !may_expand_vm(&self.stat, flags, pages - replaced) {
                return Err(ENOMEM);
            }
        }
        if overlaps {
            self.do_munmap(addr, len)?;
            next = self.vmas.lower_bound(addr);
        }
        let accountable = VmFlags::NORESERVE | VmFlags::SHARED | VmFlags::WRITE;
        if flags & accountable == VmFlags::WRITE {
            vm_enough_memory(pages)?;
            flags |= VmFlags::ACCOUNT;
        }
        self.stat.account(flags, pages as isize);
        if flags.contains(VmFlags::LOCKED) {
            self.stat.locked_vm += pages;
        }
        let v = Vma::new(addr, end, flags, pgoff, backing);
        v.open();
        Ok(self.vmas.insert_merged_before(next, v))
    }

    /// Mapped pages of `[start, end)` (`count_vma_pages_range`).
    fn pages_within(&self, start: usize, end: usize) -> usize {
        let mut n = 0;
        let mut p = self.vmas.find_intersection(start, end);
        while let Some(q) = p {
            let v = self.vmas.get(q);
            if v.start >= end {
                break;
            }
            n += (v.end.min(end) - v.start.max(start)) / PAGE_SIZE;
            p = self.vmas.next(q);
        }
        n
    }

    /// Private zeroed memory at a place that must be free of other mappings
    /// (`vm_brk_flags`): what a program's `.bss` and `brk` are made of.
    pub fn vm_brk_flags(&mut self, addr: usize, len: usize, extra: VmFlags) -> Result {
        let len = page_align(len);
        if len == 0 {
            return Ok(());
        }
        let flags = VM_DATA_DEFAULT | VmFlags::ACCOUNT | self.def_flags | extra;
        let pages = len / PAGE_SIZE;
        if len > TASK_SIZE_MAX || addr > TASK_SIZE_MAX - len {
            return Err(ENOMEM);
        }
        self.room_for_vmas(max_map_count() + 1)?;
        self.mlock_future_check(flags, len)?;
        if self.vmas.find_intersection(addr, addr + len).is_some() {
            self.do_munmap(addr, len)?;
        }
        if !may_expand_vm(&self.stat, flags, pages) {
            return Err(ENOMEM);
        }
        vm_enough_memory(pages)?;
        self.stat.account(flags, pages as isize);
        if flags.contains(VmFlags::LOCKED) {
            self.stat.locked_vm += pages;
        }
        let pgoff = (addr / PAGE_SIZE) as u64;
        self.vmas.insert_merged(Vma::new(addr, addr + len, flags, pgoff, Backing::Anon));
        Ok(())
    }

    // ----- unmapping

    /// Unmaps `[start, start + len)` (`do_munmap`).
    pub fn do_munmap(&mut self, start: usize, len: usize) -> Result {
        if !start.is_multiple_of(PAGE_SIZE) || start > TASK_SIZE_MAX || len > TASK_SIZE_MAX - start {
            return Err(EINVAL);
        }
        let end = start + page_align(len);
        if end == start {
            return Err(EINVAL);
        }
        let Some(p) = self.vmas.find_intersection(start, end) else { return Ok(()) };
        let v = self.vmas.get(p);
        if v.start < start && end < v.end {
            self.room_for_vmas(max_map_count())?;
        }
        self.check_split(start)?;
        self.check_split(end)?;
        let mut charged = 0;
        let mut next = Some(p);
        while let Some(q) = next.filter(|&q| self.vmas.get(q).start < end) {
            next = self.cut(q, start, end, &mut charged);
        }
        self.unmap_region(start, end, next);
        if charged != 0 {
            vm_unacct_memory(charged);
        }
        Ok(())
    }

    /// Takes `[start, end)` away from the mapping at `p`, which it touches. Returns
    /// where the first mapping behind that range now is.
    fn cut(&mut self, p: Pos, start: usize, end: usize, charged: &mut usize) -> Option<Pos> {
        let v = self.vmas.get(p);
        let (flags, from, to) = (v.flags, v.start.max(start), v.end.min(end));
        let pages = (to - from) / PAGE_SIZE;
        if from != v.start || to != v.end {
            // What goes is a mapping of its own first, as if it were split off.
            v.open();
            v.close();
        }
        let next = match (v.start < from, to < v.end) {
            (false, false) => {
                let (gone, next) = self.vmas.remove_at(p);
                gone.close();
                next
            }
            (false, true) => {
                self.vmas.set_start(p, to);
                Some(p)
            }
            (true, false) => {
                self.vmas.set_end(p, from);
                self.vmas.next(p)
            }
            (true, true) => self.vmas.punch_hole(p, from, to),
        };
        self.stat.account(flags, -(pages as isize));
        if flags.contains(VmFlags::LOCKED) {
            self.stat.locked_vm -= pages;
        }
        if flags.contains(VmFlags::ACCOUNT) {
            *charged += pages;
        }
        next
    }

    /// Whether a mapping may end, and the next begin, at `at` (`may_split`).
    pub(super) fn check_split(&self, at: usize) -> Result {
        let split = self.vmas.lower_bound(at).map(|p| self.vmas.get(p)).filter(|v| v.start < at);
        if split.is_some_and(|v| !v.may_split()) { Err(EINVAL) } else { Ok(()) }
    }

    /// Makes sure that mappings begin and end at `start` and `end`.
    pub fn split_range(&mut self, start: usize, end: usize) -> Result {
        for at in [start, end] {
            if let Some(p) = self.vmas.lower_bound(at)
                && self.vmas.get(p).start < at
            {
                self.check_split(at)?;
                self.room_for_vmas(max_map_count())?;
                self.vmas.split_at(at);
            }
        }
        Ok(())
    }

    /// Whether there may be some more mappings: fewer than `limit` are there, and memory.
    #[inline]
    pub(super) fn room_for_vmas(&mut self, limit: usize) -> Result {
        if self.vmas.len() >= limit { Err(ENOMEM) } else { self.vmas.try_reserve() }
    }

    /// Removes pages and page tables of a range that no mapping covers any more;
    /// `next` is the first mapping behind it.
    fn unmap_region(&mut self, start: usize, end: usize, next: Option<Pos>) {
        let floor = self.vmas.prev_of(next).map_or(0, |p| self.vmas.get(p).end);
        let ceiling = next.map_or(USER_PGTABLES_CEILING, |p| self.vmas.get(p).start);
        let mut tlb = TlbGather::new(self.pt.pgd());
        self.pt.zap_range(start, end, &mut tlb);
        self.pt.free_range(start, end, floor, ceiling, &mut tlb);
        self.uncount(&tlb);
    }

    // ----- brk

    /// Moves the program break (`sys_brk`); returns where it is afterwards.
    pub fn do_brk(&mut self, brk: usize) -> usize {
        if self.try_brk(brk).is_ok() {
            self.layout.brk = brk;
        }
        self.layout.brk
    }

    fn try_brk(&mut self, brk: usize) -> Result {
        let l = &self.layout;
        if brk < l.start_brk || brk > TASK_SIZE_MAX {
            return Err(EINVAL);
        }
        let data = (brk - l.start_brk) + l.end_data.saturating_sub(l.start_data);
        if data > util::rlimit(RLIMIT_DATA) {
            return Err(ENOMEM);
        }
        let (old, new) = (page_align(l.brk), page_align(brk));
        if new < old {
            return self.do_munmap(new, old - new);
        }
        if new == old {
            return Ok(());
        }
        if let Some(p) = self.vmas.lower_bound(old)
            && new + PAGE_SIZE > self.vmas.get(p).start_gap()
        {
            return Err(ENOMEM);
        }
        let extra = if util::read_implies_exec() { VmFlags::EXEC } else { VmFlags::empty() };
        self.vm_brk_flags(old, new - old, extra)?;
        if self.def_flags.contains(VmFlags::LOCKED) {
            self.mm_populate(old, new - old);
        }
        Ok(())
    }

    /// Whether `len` more bytes with `flags` would be locked beyond the limit
    /// (`mlock_future_check`).
    pub fn mlock_future_check(&self, flags: VmFlags, len: usize) -> Result {
        if !flags.contains(VmFlags::LOCKED) {
            return Ok(());
        }
        let locked = self.stat.locked_vm + len / PAGE_SIZE;
        if locked > util::rlimit(RLIMIT_MEMLOCK) / PAGE_SIZE && !util::capable_ipc_lock() {
            return Err(EAGAIN);
        }
        Ok(())
    }
}

/// Whether the current task may lock any memory (`can_do_mlock`).
pub fn can_do_mlock() -> bool {
    util::rlimit(RLIMIT_MEMLOCK) != 0 || util::capable_ipc_lock()
}

/// A hint below `mmap_min_addr` means the lowest allowed address.
fn round_hint_to_min(hint: usize) -> usize {
    let hint = hint & !(PAGE_SIZE - 1);
    if hint != 0 && hint < mmap_min_addr() { page_align(mmap_min_addr()) } else { hint }
}

/// Runs `f` on the current address space; a task without one has no syscalls.
fn on_current<R>(f: impl FnOnce(&mut MmState) -> R) -> R {
    with_current_mm(|mm| f(&mut mm.lock())).expect("a system call comes from user mode")
}

/// What may be mapped of an open file.
fn mmap_file(fd: i32) -> Result<MmapFile> {
    let f = crate::fs::file::fget(fd)?;
    if f.flags() & O_PATH != 0 {
        return Err(EBADF);
    }
    let noexec = f.path.is_noexec();
    let sealed = f.inode.ops.mapping().is_some_and(AddressSpace::is_write_sealed);
    Ok(MmapFile { readable: f.readable(), writable: f.writable(), noexec, sealed, file: f.mmap() })
}

/// Why there are no huge pages of the size that a call's flags say: of the sizes that there are (2 MiB,
/// 1 GiB) there are no pages to have (`hstate_sizelog`).
pub fn no_huge_pages(flags: u32) -> Errno {
    match flags >> MAP_HUGE_SHIFT & MAP_HUGE_MASK {
        0 | 21 | 30 => ENOMEM,
        _ => EINVAL,
    }
}

/// `mmap(2)`.
pub fn sys_mmap(addr: usize, len: usize, prot: u32, flags: u32, fd: i32, off: usize) -> Result<usize> {
    if !off.is_multiple_of(PAGE_SIZE) {
        return Err(EINVAL);
    }
    let mut a = MmapArgs { addr, len, prot, flags, pgoff: (off / PAGE_SIZE) as u64 };
    let file = if a.has(MAP_ANONYMOUS) {
        if a.has(MAP_HUGETLB) {
            return Err(no_huge_pages(flags));
        }
        None
    } else {
        let file = mmap_file(fd)?;
        if a.has(MAP_HUGETLB) {
            return Err(EINVAL);
        }
        Some(file)
    };
    let noexec = file.as_ref().is_some_and(|f| f.noexec);
    if prot & prot::READ != 0 && !noexec && util::read_implies_exec() {
        a.prot |= prot::EXEC;
    }
    on_current(|st| st.do_mmap(a, file))
}

/// `munmap(2)`.
pub fn sys_munmap(addr: usize, len: usize) -> Result<usize> {
    on_current(|st| st.do_munmap(addr, len)).map(|()| 0)
}

/// `brk(2)`.
pub fn sys_brk(brk: usize) -> Result<usize> {
    Ok(on_current(|st| st.do_brk(brk)))
}

#[cfg(test)]
#[path = "mmap_tests.rs"]
mod tests;
