// SPDX-License-Identifier: GPL-2.0-only
//! `vm_area_struct`: one range of user addresses with one kind of content.
//!
//! Flag values and merging rules follow Linux 6.1, `include/linux/mm.h` and
//! `mm/mmap.c` (`is_mergeable_vma`).

use crate::errno::Result;
use crate::mm::i_mmap::{IMmap, Slot};
use crate::mm::mm_struct::{Mm, MmState};
use crate::mm::page_alloc::{PAGE_SIZE, Page};
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use bitflags::bitflags;

bitflags! {
    /// What a mapping allows and how it behaves (Linux's `VM_*`).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct VmFlags: u64 {
        /// User mode may read.
        const READ = 0x1;
        /// User mode may write.
        const WRITE = 0x2;
        /// User mode may execute.
        const EXEC = 0x4;
        /// Writes reach the object, and everybody who maps it.
        const SHARED = 0x8;
        /// `mprotect` may add `READ`.
        const MAYREAD = 0x10;
        /// `mprotect` may add `WRITE`.
        const MAYWRITE = 0x20;
        /// `mprotect` may add `EXEC`.
        const MAYEXEC = 0x40;
        /// It was asked for as `MAP_SHARED`, even if the file is read-only.
        const MAYSHARE = 0x80;
        /// A stack: extends downwards when touched below its start.
        const GROWSDOWN = 0x100;
        /// Pages that nobody counts, and that are reached through this mapping only.
        const PFNMAP = 0x400;
        /// `mlock`.
        const LOCKED = 0x2000;
        /// Not to be looked into from outside, nor to be dumped.
        const IO = 0x4000;
        /// `madvise(MADV_SEQUENTIAL)`.
        const SEQ_READ = 0x8000;
        /// `madvise(MADV_RANDOM)`.
        const RAND_READ = 0x1_0000;
        /// Not inherited by `fork`.
        const DONTCOPY = 0x2_0000;
        /// `mremap` may not enlarge it.
        const DONTEXPAND = 0x4_0000;
        /// `mlock2(MLOCK_ONFAULT)`.
        const LOCKONFAULT = 0x8_0000;
        /// Counts towards the commit limit.
        const ACCOUNT = 0x10_0000;
        /// `MAP_NORESERVE`.
        const NORESERVE = 0x20_0000;
        /// Emptied in the child by `fork`.
        const WIPEONFORK = 0x0200_0000;
        /// Left out of core dumps.
        const DONTDUMP = 0x0400_0000;
        /// `madvise(MADV_HUGEPAGE)`.
        const HUGEPAGE = 0x2000_0000;
        /// `madvise(MADV_NOHUGEPAGE)`.
        const NOHUGEPAGE = 0x4000_0000;
        /// `madvise(MADV_MERGEABLE)`.
        const MERGEABLE = 0x8000_0000;
        /// Protection key, low bit (bits 32 to 35; `VM_PKEY_SHIFT`).
        const PKEY_BIT0 = 1 << 32;
        /// Protection key, bit 1.
        const PKEY_BIT1 = 1 << 33;
        /// Protection key, bit 2.
        const PKEY_BIT2 = 1 << 34;
        /// Protection key, bit 3.
        const PKEY_BIT3 = 1 << 35;

        /// Of the kernel's own making, and left as they are (`VM_SPECIAL`).
        const SPECIAL = Self::IO.bits() | Self::DONTEXPAND.bits() | Self::PFNMAP.bits();
        /// The three permissions (`VM_ACCESS_FLAGS`).
        const ACCESS = Self::READ.bits() | Self::WRITE.bits() | Self::EXEC.bits();
        /// What `mprotect` may turn on.
        const MAYACCESS = Self::MAYREAD.bits() | Self::MAYWRITE.bits() | Self::MAYEXEC.bits();
        /// A process stack (`VM_STACK_FLAGS`), without `EXEC`.
        const STACK = Self::GROWSDOWN.bits() | Self::READ.bits() | Self::WRITE.bits()
            | Self::MAYACCESS.bits() | Self::ACCOUNT.bits();
    }
}

impl VmFlags {
    /// The permissions that `PROT_*` bits name (`calc_vm_prot_bits`).
    pub fn from_prot(prot: u32) -> Self {
        Self::from_bits_retain(u64::from(prot)) & Self::ACCESS
    }
    /// Whether user mode may do anything at all (`vma_is_accessible`).
    #[inline]
    pub fn accessible(self) -> bool {
        self.intersects(Self::ACCESS)
    }
    /// Private, and could ever be written: pages are copied on write (`is_cow_mapping`).
    #[inline]
    pub fn is_cow(self) -> bool {
        self.bits() & (Self::SHARED | Self::MAYWRITE).bits() == Self::MAYWRITE.bits()
    }
    /// Private and writable: its pages belong to this process alone
    /// (`accountable_mapping`'s condition, and what `RLIMIT_DATA` counts).
    #[inline]
    pub fn is_private_writable(self) -> bool {
        self.bits() & (Self::SHARED | Self::WRITE | Self::GROWSDOWN).bits() == Self::WRITE.bits()
    }
    /// With another protection key.
    #[must_use]
    pub fn with_pkey(self, key: u8) -> Self {
        Self::from_bits_retain(self.bits() & !(0xf << 32) | u64::from(key) << 32)
    }
    /// The protection key (0 unless `pkey_mprotect` or execute-only chose one).
    #[inline]
    pub fn pkey(self) -> u8 {
        (self.bits() >> 32 & 0xf) as u8
    }
}

/// Flags as mprotect's host-independent constants (Linux's `PROT_*`).
#[allow(missing_docs)]
pub mod prot {
    pub const NONE: u32 = 0;
    pub const READ: u32 = 1;
    pub const WRITE: u32 = 2;
    pub const EXEC: u32 = 4;
    pub const GROWSDOWN: u32 = 0x0100_0000;
    pub const GROWSUP: u32 = 0x0200_0000;
}

/// A file (or memory object) that can be mapped. Implemented by `fs/`.
///
/// Called with the address space's lock held: an implementation must not touch
/// user memory, sleep, nor take a lock that it holds elsewhere while copying to
/// or from user memory (a fault in such a copy comes back here).
pub trait VmFile: Send + Sync {
    /// The page with the file's bytes from `pgoff * PAGE_SIZE`, shared with
    /// everybody who maps or reads the file. `ENOMEM` means out of memory; any
    /// other error (beyond the end of the file) is the `SIGBUS` of the access.
    fn fault_page(&self, pgoff: u64) -> Result<Page>;

    /// The page if it is in memory already; never allocates. Used to map the
    /// neighbours of a faulting page with it.
    fn cached_page(&self, pgoff: u64) -> Option<Page> {
        let _ = pgoff;
        None
    }

    /// Whether the caller may be told which pages are in memory: whoever could write the file
    /// (`can_do_mincore`).
    fn can_do_mincore(&self) -> bool {
        true
    }

    /// A page of a shared mapping becomes writable (`page_mkwrite`).
    fn page_mkwrite(&self, pgoff: u64) -> Result {
        let _ = pgoff;
        Ok(())
    }

    /// Whether [`VmFile::page_mkwrite`] wants to be called (`vma_wants_writenotify`).
    fn wants_writenotify(&self) -> bool {
        false
    }

    /// Bytes in the file.
    fn size(&self) -> u64;

    /// Whether it was opened for writing.
    fn opened_for_writing(&self) -> bool {
        true
    }

    /// Where it was found.
    fn path(&self) -> Option<crate::fs::namespace::Path> {
        None
    }

    /// `st_mode`, and how many names the file has.
    fn mode_nlink(&self) -> (u32, u32) {
        (0o100_600, 0)
    }

    /// Who maps the file, whoever opened it; `None` if it can lose no pages.
    fn i_mmap(&self) -> Option<&IMmap> {
        None
    }

    /// Makes `[start, end)` read as zeroes, and gives back what memory it can; called without an
    /// address space's lock.
    fn punch_hole(&self, start: u64, end: u64) -> Result {
        let _ = (start, end);
        Err(crate::errno::EOPNOTSUPP)
    }

    /// There is one more mapping of it: a new one, what another was split into, a child's copy
    /// (`vm_ops->open`).
    fn vm_open(&self) {}

    /// There is one less (`vm_ops->close`).
    fn vm_close(&self) {}

    /// Whether its mappings are counted, one by one: then two never become one
    /// (Linux 6.1, mm/mmap.c, `is_mergeable_vma`: nor do they where there is a `vm_ops->close`).
    fn counts_mappings(&self) -> bool {
        false
    }

    /// What `shmat` has made of it, if that is where it comes from.
    fn shm_attach(&self) -> Option<&crate::ipc::shm::ShmAttach> {
        None
    }

    /// Appends the path as `/proc/PID/maps` shows it (with ` (deleted)` if so).
    fn name(&self, out: &mut Vec<u8>);

    /// Device (Linux's `dev_t` in user encoding) and inode number, for `/proc/PID/maps`.
    fn dev_ino(&self) -> (u64, u64) {
        (0, 0)
    }
}

/// What `mmap(2)` needs to know of an open file.
// Each is a fact of its own about the file.
#[allow(clippy::struct_excessive_bools)]
pub struct MmapFile {
    /// The file. Opening once and mapping twice must give the same `Arc`, for
    /// only then may adjacent mappings merge. `ENODEV` if it cannot be mapped.
    pub file: Result<Arc<dyn VmFile>>,
    /// Opened for reading.
    pub readable: bool,
    /// Opened for writing.
    pub writable: bool,
    /// On a file system mounted `noexec`.
    pub noexec: bool,
    /// A shared mapping may not be written, now or later (`F_SEAL_WRITE`, `F_SEAL_FUTURE_WRITE`).
    pub sealed: bool,
}

/// A mapping that the kernel itself supplies, such as the vDSO (`vm_special_mapping`).
pub struct SpecialMapping {
    /// As `/proc/PID/maps` shows it, for example `[vdso]`.
    pub name: &'static str,
    /// The page at an offset.
    pub fault: fn(pgoff: u64) -> Result<SpecialPage>,
    /// It has been moved to an address.
    pub mremap: Option<fn(&mut MmState, usize)>,
}

/// A page that the kernel supplies.
pub enum SpecialPage {
    /// One that is counted as other pages are.
    Page(Page),
    /// A part of the kernel itself, at a physical address.
    Pfn(u64),
}

/// Where a mapping's content comes from.
#[derive(Clone)]
pub enum Backing {
    /// Zeroes, private.
    Anon,
    /// A file.
    File(Arc<dyn VmFile>),
    /// The kernel.
    Special(&'static SpecialMapping),
}

impl Backing {
    /// Whether both are the same object.
    pub fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Anon, Self::Anon) => true,
            (Self::File(a), Self::File(b)) => core::ptr::addr_eq(Arc::as_ptr(a), Arc::as_ptr(b)),
            (Self::Special(a), Self::Special(b)) => core::ptr::eq(*a, *b),
            _ => false,
        }
    }
    /// Whether two mappings of it may become one.
    fn may_merge(&self) -> bool {
        match self {
            Self::Anon => true,
            Self::File(f) => !f.counts_mappings(),
            Self::Special(_) => false,
        }
    }
    /// The file, if it is one.
    pub fn file(&self) -> Option<&Arc<dyn VmFile>> {
        match self {
            Self::File(f) => Some(f),
            Self::Anon | Self::Special(_) => None,
        }
    }
}

/// One mapping: `[start, end)`, both page-aligned, not empty.
#[derive(Clone)]
pub struct Vma {
    /// First address.
    pub start: usize,
    /// First address after it.
    pub end: usize,
    /// What it allows.
    pub flags: VmFlags,
    /// Page offset of `start` in the backing; for private anonymous memory the
    /// page number of the address it was created at, as in Linux.
    pub pgoff: u64,
    /// Where the content comes from.
    pub backing: Backing,
    /// It may hold private (anonymous) pages, so that `fork` must copy its page
    /// tables (`vma->anon_vma != NULL`).
    pub anon_vma: bool,
    /// Its entry among those of its file, while it is in a [`VmaTree`](super::vma_tree::VmaTree).
    pub slot: Slot,
}

/// Pages kept unmapped below a stack (`stack_guard_gap`).
pub const STACK_GUARD_GAP: usize = 256 * PAGE_SIZE;

impl Vma {
    /// One that is in no address space yet, and was not written to.
    pub fn new(start: usize, end: usize, flags: VmFlags, pgoff: u64, backing: Backing) -> Self {
        Self { start, end, flags, pgoff, backing, anon_vma: false, slot: Slot::NONE }
    }
    /// Bytes.
    #[inline]
    pub fn len(&self) -> usize {
        self.end - self.start
    }
    /// Never, by construction; for clippy's peace.
    pub fn is_empty(&self) -> bool {
        self.start >= self.end
    }
    /// Pages.
    #[inline]
    pub fn pages(&self) -> usize {
        self.len() / PAGE_SIZE
    }
    /// Page offset in the backing of the page at `addr`.
    #[inline]
    pub fn pgoff_of(&self, addr: usize) -> u64 {
        self.pgoff + ((addr - self.start) / PAGE_SIZE) as u64
    }
    /// Who else maps its file.
    #[inline]
    fn i_mmap(&self) -> Option<&IMmap> {
        self.backing.file()?.i_mmap()
    }
    /// Whether it maps this file.
    pub fn maps(&self, file: &IMmap) -> bool {
        self.i_mmap().is_some_and(|i| core::ptr::eq(i, file))
    }
    /// Others can be written to through it.
    fn is_shared_writable(&self) -> bool {
        self.flags.contains(VmFlags::SHARED | VmFlags::MAYWRITE)
    }
    /// It is in an address space (`vma_link_file`).
    #[inline]
    pub fn link(&mut self, mm: &Weak<Mm>) {
        if let Backing::File(f) = &self.backing
            && let Some(i) = f.i_mmap()
        {
            self.slot = i.link(mm, self.start, self.is_shared_writable());
        }
    }
    /// It is no longer (`unlink_file_vma`).
    #[inline]
    pub fn unlink(&mut self) {
        if let Backing::File(f) = &self.backing
            && let Some(i) = f.i_mmap()
        {
            i.unlink(&self.slot, self.is_shared_writable());
            self.slot = Slot::NONE;
        }
    }
    /// It has got another start.
    #[inline]
    pub fn relink(&self) {
        if let Some(i) = self.i_mmap() {
            i.moved(&self.slot, self.start);
        }
    }
    /// Tells its file that it has come to be.
    pub fn open(&self) {
        if let Backing::File(f) = &self.backing {
            f.vm_open();
        }
    }
    /// Tells its file that it is gone.
    pub fn close(&self) {
        if let Backing::File(f) = &self.backing {
            f.vm_close();
        }
    }
    /// Start, less the guard gap if it is a stack (`vm_start_gap`).
    #[inline]
    pub fn start_gap(&self) -> usize {
        if self.flags.contains(VmFlags::GROWSDOWN) {
            self.start.saturating_sub(STACK_GUARD_GAP)
        } else {
            self.start
        }
    }
    /// Whether it may be taken apart (`special_mapping_split`).
    pub fn may_split(&self) -> bool {
        !matches!(self.backing, Backing::Special(_))
    }
    /// Whether `next`, which starts where this ends, can become part of it.
    pub fn can_merge(&self, next: &Vma) -> bool {
        self.end == next.start
            && self.flags == next.flags
            && self.pgoff + self.pages() as u64 == next.pgoff
            && self.backing.same(&next.backing)
            && self.backing.may_merge()
    }
    /// The part below `at`, leaving `self` the rest; `at` lies strictly inside.
    #[must_use]
    pub fn split_off_front(&mut self, at: usize) -> Vma {
        debug_assert!(self.start < at && at < self.end);
        let front = Vma { end: at, ..self.clone() };
        front.open();
        self.pgoff = self.pgoff_of(at);
        self.start = at;
        front
    }
}
