// SPDX-License-Identifier: GPL-2.0-only
//! `mm_struct`: the address space of a process.
//!
//! Everything that changes is in [`MmState`], behind one lock (Linux's
//! `mmap_lock`). A page fault takes it, so nobody may touch user memory while
//! holding it. After Linux 6.1, `include/linux/mm_types.h`, `kernel/fork.c`
//! (`dup_mmap`), `mm/mmap.c` (`exit_mmap`).

use crate::arch::x86::kernel::ldt::MmLdt;
use crate::arch::x86::mm::init::kernel_pgd;
use crate::arch::x86::mm::mpx::BoundsDirectory;
use crate::arch::x86::mm::pgtable::{PageTables, USER_PGTABLES_CEILING};
use crate::arch::x86::mm::pkeys::Pkeys;
use crate::arch::x86::mm::tlb::{self, TlbGather};
use crate::errno::{EINTR, Result};
use crate::kernel::signal::fatal_signal_pending;
use crate::kernel::task::current;
use crate::locking::SpinLock;
use crate::mm::page_alloc::PAGE_SIZE;
use crate::mm::util;
use crate::mm::vma::{Backing, VmFile, VmFlags, Vma};
use crate::mm::vma_tree::VmaTree;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};

/// An address space.
pub struct Mm {
    pgd: u64,
    /// The local descriptor table, if programs have made one.
    pub ldt: MmLdt,
    /// Where bounds tables hang, if the kernel keeps them.
    pub bd_addr: BoundsDirectory,
    /// `SUID_DUMP_*`.
    dumpable: AtomicU8,
    /// What its programs registered for with `membarrier(2)`.
    pub membarrier: AtomicU32,
    /// Its programs want no huge pages (`PR_SET_THP_DISABLE`), of which there are none.
    pub thp_disabled: AtomicBool,
    state: SpinLock<MmState>,
}

/// Neither a core dump nor a look from outside: the program runs with somebody else's rights.
pub const SUID_DUMP_DISABLE: u8 = 0;
/// The memory is its user's.
pub const SUID_DUMP_USER: u8 = 1;
/// A core dump that only root can read.
pub const SUID_DUMP_ROOT: u8 = 2;

/// Where `exec` put things, for `/proc`, `prctl(PR_SET_MM)` and `brk`.
#[derive(Clone, Default)]
#[allow(missing_docs)]
pub struct Layout {
    pub start_code: usize,
    pub end_code: usize,
    pub start_data: usize,
    pub end_data: usize,
    pub start_brk: usize,
    pub brk: usize,
    pub start_stack: usize,
    pub arg_start: usize,
    pub arg_end: usize,
    pub env_start: usize,
    pub env_end: usize,
    /// Mappings without an address go below this.
    pub mmap_base: usize,
    /// The same for the bottom-up search.
    pub mmap_legacy_base: usize,
    /// The two for calls by `int $0x80`: what they map is where 32 bits reach.
    pub mmap_compat_base: usize,
    #[allow(missing_docs)]
    pub mmap_compat_legacy_base: usize,
    /// Search bottom-up first (`ADDR_COMPAT_LAYOUT`, unlimited stack).
    pub mmap_legacy: bool,
    /// The vDSO's image (`mm->context.vdso`); 0 if there is none.
    pub vdso: usize,
}

/// Pages mapped, by kind (`rss_stat`).
#[derive(Clone, Copy, Default)]
#[allow(missing_docs)]
pub struct Rss {
    pub anon: usize,
    pub file: usize,
}

/// Sizes of the address space in pages, as limits and `/proc/PID/status` see it.
#[derive(Clone, Copy, Default)]
#[allow(missing_docs)]
pub struct VmStat {
    pub total_vm: usize,
    /// The largest `total_vm` ever (`hiwater_vm`).
    pub peak_vm: usize,
    pub locked_vm: usize,
    pub data_vm: usize,
    pub exec_vm: usize,
    pub stack_vm: usize,
}

impl VmStat {
    /// Counts `pages` more (or, as a negative number, fewer) pages of a mapping
    /// with `flags` (`vm_stat_account`).
    #[inline]
    pub fn account(&mut self, flags: VmFlags, pages: isize) {
        self.total_vm = self.total_vm.wrapping_add_signed(pages);
        self.peak_vm = self.peak_vm.max(self.total_vm);
        self.account_kind(flags, pages);
    }

    /// Pages of a mapping got other flags.
    #[inline]
    pub fn account_change(&mut self, old: VmFlags, new: VmFlags, pages: usize) {
        self.account_kind(old, -(pages as isize));
        self.account_kind(new, pages as isize);
    }

    #[inline]
    fn account_kind(&mut self, flags: VmFlags, pages: isize) {
        let add = |v: &mut usize| *v = v.wrapping_add_signed(pages);
        let kind = flags & (VmFlags::EXEC | VmFlags::WRITE | VmFlags::GROWSDOWN);
        if kind == VmFlags::EXEC {
            add(&mut self.exec_vm);
        } else if flags.contains(VmFlags::GROWSDOWN) {
            add(&mut self.stack_vm);
        } else if flags.is_private_writable() {
            add(&mut self.data_vm);
        }
    }
}

/// What the address space's lock protects.
pub struct MmState {
    /// The mappings.
    pub vmas: VmaTree,
    /// What the hardware sees of them.
    pub pt: PageTables,
    /// Where things are.
    pub layout: Layout,
    /// Sizes.
    pub stat: VmStat,
    /// Resident pages.
    pub rss: Rss,
    /// Most resident pages ever (`hiwater_rss`).
    pub hiwater_rss: usize,
    /// Flags that every new mapping gets (`mlockall(MCL_FUTURE)`).
    pub def_flags: VmFlags,
    /// Protection keys in use.
    pub pkeys: Pkeys,
    /// The program, as `/proc/PID/exe` shows it.
    pub exe_file: Option<Arc<dyn VmFile>>,
    /// The auxiliary vector, as `/proc/PID/auxv` shows it.
    pub saved_auxv: Vec<u64>,
}

impl Mm {
    fn with_state(me: &Weak<Mm>, pt: PageTables) -> Self {
        Self {
            pgd: pt.pgd(),
            ldt: MmLdt::default(),
            bd_addr: BoundsDirectory::new(),
            dumpable: AtomicU8::new(SUID_DUMP_USER),
            membarrier: AtomicU32::new(0),
            thp_disabled: AtomicBool::new(false),
            state: SpinLock::new(MmState {
                vmas: VmaTree::new(me.clone()),
                pt,
                layout: Layout::default(),
                stat: VmStat::default(),
                rss: Rss::default(),
                hiwater_rss: 0,
                def_flags: VmFlags::empty(),
                pkeys: Pkeys::default(),
                exe_file: None,
                saved_auxv: Vec::new(),
            }),
        }
    }

    /// An empty address space: no user mappings, the kernel's half shared.
    pub fn new() -> Result<Arc<Mm>> {
        let pt = PageTables::new()?;
        Ok(Arc::new_cyclic(|me| Self::with_state(me, pt)))
    }

    /// Takes the lock (`mmap_lock`). Do not touch user memory while holding it.
    #[inline]
    pub fn lock(&self) -> spin::MutexGuard<'_, MmState> {
        self.state.lock()
    }

    /// Takes the lock if it is free.
    #[inline]
    pub fn try_lock(&self) -> Option<spin::MutexGuard<'_, MmState>> {
        self.state.try_lock()
    }

    /// Physical address of the top-level page table.
    #[inline]
    pub fn pgd(&self) -> u64 {
        self.pgd
    }

    /// Loads CR3 with this space's page tables (`switch_mm`).
    #[inline]
    pub fn activate(&self) {
        self.ldt.activate();
        if tlb::read_cr3_pa() != self.pgd {
            // SAFETY: every address space maps the kernel.
            unsafe { tlb::load_cr3(self.pgd) };
        }
    }

    /// Whose memory it is: `SUID_DUMP_*` (`get_dumpable`).
    pub fn dumpable(&self) -> u8 {
        self.dumpable.load(Ordering::Relaxed)
    }

    /// Says whose memory it is.
    pub fn set_dumpable(&self, value: u8) {
        self.dumpable.store(value, Ordering::Relaxed);
    }

    /// Tasks (and others who look) that use this space (`mm_users`).
    pub fn users(self: &Arc<Self>) -> usize {
        Arc::strong_count(self)
    }

    /// A copy for `fork`: private pages become copy-on-write in both (`dup_mmap`).
    pub fn fork(&self) -> Result<Arc<Mm>> {
        let (pt, ldt) = (PageTables::new()?, self.ldt.fork()?);
        let new = Arc::new_cyclic(|me| {
            let mut new = Self::with_state(me, pt);
            new.ldt = ldt;
            new.bd_addr = self.bd_addr.copy();
            new
        });
        new.set_dumpable(self.dumpable());
        new.thp_disabled.store(self.thp_disabled.load(Ordering::Relaxed), Ordering::Relaxed);
        new.membarrier.store(self.membarrier.load(Ordering::Relaxed), Ordering::Relaxed);
        let mut old = self.lock();
        new.lock().dup_from(&mut old)?;
        drop(old);
        Ok(new)
    }
}

impl MmState {
    /// Becomes a copy of `old`. On failure what was copied is freed with `self`.
    fn dup_from(&mut self, old: &mut MmState) -> Result {
        self.layout = old.layout.clone();
        self.exe_file.clone_from(&old.exe_file);
        self.pkeys.clone_from(&old.pkeys);
        self.saved_auxv.clone_from(&old.saved_auxv);
        self.vmas.try_reserve_like(&old.vmas)?;
        let mut wrprotected = false;
        let mut r = Ok(());
        for v in old.vmas.iter() {
            if v.flags.contains(VmFlags::DONTCOPY) {
                continue;
            }
            if fatal_signal_pending(&current()) {
                r = Err(EINTR);
                break;
            }
            r = self.dup_vma(&old.pt, v, &mut wrprotected);
            if r.is_err() {
                break;
            }
        }
        if wrprotected {
            tlb::flush_tlb_range(old.pt.pgd(), 0, usize::MAX);
        }
        self.hiwater_rss = self.rss.anon + self.rss.file;
        r
    }

    fn dup_vma(&mut self, pt: &PageTables, v: &Vma, wrprotected: &mut bool) -> Result {
        if v.flags.contains(VmFlags::ACCOUNT) {
            util::vm_enough_memory(v.pages())?;
        }
        let mut copy = v.clone();
        copy.flags.remove(VmFlags::LOCKED | VmFlags::LOCKONFAULT);
        copy.anon_vma &= !v.flags.contains(VmFlags::WIPEONFORK);
        let (flags, anon) = (copy.flags, copy.anon_vma);
        self.stat.account(flags, v.pages() as isize);
        copy.open();
        self.vmas.append(copy);
        // Without private pages the child can fault everything in again
        // (Linux 6.1, mm/memory.c, vma_needs_copy).
        if anon {
            *wrprotected |= flags.is_cow();
            let (anon, file) = pt.copy_range(&self.pt, v.start, v.end, flags.is_cow())?;
            self.rss.anon += anon;
            self.rss.file += file;
        }
        Ok(())
    }

    /// Sets the high-water mark (`update_hiwater_rss`).
    #[inline]
    pub fn note_rss(&mut self) {
        self.hiwater_rss = self.hiwater_rss.max(self.rss.anon + self.rss.file);
    }

    /// Unmaps everything (`exit_mmap`).
    fn exit_mmap(&mut self) {
        let mut tlb = TlbGather::new(self.pt.pgd());
        let mut charged = 0;
        for v in self.vmas.iter() {
            self.pt.zap_range(v.start, v.end, &mut tlb);
            if v.flags.contains(VmFlags::ACCOUNT) {
                charged += v.pages();
            }
        }
        // One after the other: a table goes with the last mapping that it has, or those of
        // the mappings above would be lost with it (`free_pgtables`).
        let mut vmas = self.vmas.iter().peekable();
        while let Some(v) = vmas.next() {
            let ceiling = vmas.peek().map_or(USER_PGTABLES_CEILING, |next| next.start);
            self.pt.free_range(v.start, v.end, 0, ceiling, &mut tlb);
        }
        self.vmas.iter().for_each(Vma::close);
        util::vm_unacct_memory(charged);
    }

    /// The mapping that `/proc/PID/maps` calls `[heap]`.
    pub fn is_heap(&self, v: &Vma) -> bool {
        v.start <= self.layout.brk && v.end >= self.layout.start_brk && matches!(v.backing, Backing::Anon)
    }

    /// The mapping that `/proc/PID/maps` calls `[stack]`.
    pub fn is_stack(&self, v: &Vma) -> bool {
        v.start <= self.layout.start_stack && v.end >= self.layout.start_stack
    }

    /// Bytes resident.
    pub fn rss_bytes(&self) -> usize {
        (self.rss.anon + self.rss.file) * PAGE_SIZE
    }
}

impl Drop for Mm {
    fn drop(&mut self) {
        if tlb::read_cr3_pa() == self.pgd {
            // SAFETY: the kernel's own tables map the kernel.
            unsafe { tlb::load_cr3(kernel_pgd()) };
        }
        self.lock().exit_mmap();
    }
}

/// Runs `f` with the current task's address space; `None` if it has none.
#[inline]
pub fn with_current_mm<R>(f: impl FnOnce(&Mm) -> R) -> Option<R> {
    let cur = crate::kernel::task::current();
    let mm: *const Mm = Arc::as_ptr(cur.mm.lock().as_ref()?);
    // SAFETY: only the task itself replaces its `mm` (exec, exit), and it is here.
    Some(f(unsafe { &*mm }))
}

/// Loads the kernel's own page tables: the task gives up its address space, which
/// may go before the next one is loaded (`leave_mm`).
pub fn leave_mm() {
    crate::arch::x86::kernel::ldt::deactivate();
    // SAFETY: the kernel's own tables map the kernel.
    unsafe { tlb::load_cr3(kernel_pgd()) };
}
