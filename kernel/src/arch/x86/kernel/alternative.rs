// SPDX-License-Identifier: GPL-2.0-only
//! Changing the kernel's code while it runs, and a self-check of what makes that safe
//! (Linux 6.1, `arch/x86/kernel/alternative.c`).
//!
//! Code is never mapped writable where it is executed. [`text_poke`] writes through an alias
//! of the page: mapped for one store, not executable, and gone before anything else runs.

use crate::arch::x86::mm::init::{
    KERNEL_DATA, VMALLOC_START, kernel_text_address, lookup_kernel_address, map_kernel_page,
    unmap_kernel_page,
};
use crate::bug_on;
use crate::errno::{EINVAL, Result};
use crate::kernel::notifier::{
    DieArgs, DieNotifier, DieVal, NotifierBlock, NotifyResult, register_die_notifier, unregister_die_notifier,
};
use crate::locking::IrqLock;
use crate::mm::page_alloc::PAGE_SIZE;
use core::sync::atomic::{AtomicU64, Ordering};

/// The breakpoint instruction (`INT3_INSN_OPCODE`).
pub const INT3: u8 = 0xcc;

/// Where the alias is mapped: between the kernel stacks and the large areas of `vmalloc.rs`.
const ALIAS: usize = VMALLOC_START + (255 << 30);

/// Held while the alias is in use (`text_mutex`).
static TEXT_MUTEX: IrqLock<()> = IrqLock::new(());

/// Writes `bytes` over the kernel's code at `addr` (`text_poke`, `text_poke_sync`).
///
/// # Errors
/// `EINVAL` if that is not code, or not within one page; `ENOMEM` if the alias's page table
/// found no memory.
///
/// # Safety
/// What is there afterwards must be right for whoever executes it, at every moment: either one
/// byte changes, or nobody executes the bytes.
pub unsafe fn text_poke(addr: usize, bytes: &[u8]) -> Result {
    let offset = addr % PAGE_SIZE;
    if !kernel_text_address(addr) || bytes.len() > PAGE_SIZE - offset {
        return Err(EINVAL);
    }
    let (phys, _) = lookup_kernel_address(addr - offset).ok_or(EINVAL)?;
    // Interrupts are off: nothing else runs while the code is writable.
    let _lock = TEXT_MUTEX.lock();
    // SAFETY: the alias is this function's own, and so is the lock; `phys` is a page of code.
    unsafe {
        map_kernel_page(ALIAS, phys, KERNEL_DATA)?;
        core::ptr::copy_nonoverlapping(bytes.as_ptr(), (ALIAS + offset) as *mut u8, bytes.len());
        unmap_kernel_page(ALIAS);
    }
    sync_core();
    Ok(())
}

/// Has this CPU forget what it has fetched of the code: it was changed through another address
/// (`sync_core`).
pub fn sync_core() {
    #[cfg(target_os = "none")]
    let _ = core::arch::x86_64::__cpuid(0);
}

/// Where [`int3_selftest`]'s breakpoint is, and whether somebody was asked too much.
static SELFTEST_AT: AtomicU64 = AtomicU64::new(0);
static SELFTEST_ASKED_ON: AtomicU64 = AtomicU64::new(0);
/// What the breakpoint's handler answers.
const SELFTEST_ANSWER: u64 = 0x1d1e_c4a1;

fn is_selftest(val: DieVal, args: &DieArgs<'_>) -> bool {
    val == DieVal::Int3 && args.regs.ip.get() == SELFTEST_AT.load(Ordering::Relaxed) + 1
}

fn int3_exception_notify(val: DieVal, args: &mut DieArgs<'_>) -> NotifyResult {
    if !is_selftest(val, args) {
        return NotifyResult::Done;
    }
    args.regs.ax.set(SELFTEST_ANSWER);
    NotifyResult::Stop
}

fn must_not_be_asked(val: DieVal, args: &mut DieArgs<'_>) -> NotifyResult {
    if is_selftest(val, args) {
        SELFTEST_ASKED_ON.fetch_add(1, Ordering::Relaxed);
    }
    NotifyResult::Done
}

static INT3_EXCEPTION_NB: NotifierBlock<DieNotifier> =
    NotifierBlock::new(int3_exception_notify, i32::MAX - 1);
static LAST_NB: NotifierBlock<DieNotifier> = NotifierBlock::new(must_not_be_asked, i32::MIN);

/// Executes a breakpoint, and expects the die chain to find the one who placed it: what it
/// changes in the registers arrives, and nobody behind it is asked. Says nothing if all is
/// well; otherwise the kernel could not be trusted with a breakpoint, and stops here.
pub fn int3_selftest() {
    bug_on!(register_die_notifier(&INT3_EXCEPTION_NB).is_err());
    bug_on!(register_die_notifier(&LAST_NB).is_err());
    let mut answer = 0u64;
    #[cfg(target_os = "none")]
    // SAFETY: a breakpoint that the block above takes care of, by changing RAX.
    unsafe {
        core::arch::asm!("lea {t}, [rip + 2f]", "mov [{at}], {t}", "2: int3", t = out(reg) _,
            at = in(reg) SELFTEST_AT.as_ptr(), inout("rax") answer);
    }
    #[cfg(not(target_os = "none"))]
    {
        answer += SELFTEST_ANSWER;
    }
    bug_on!(answer != SELFTEST_ANSWER);
    bug_on!(SELFTEST_ASKED_ON.load(Ordering::Relaxed) != 0);
    bug_on!(unregister_die_notifier(&LAST_NB).is_err());
    bug_on!(unregister_die_notifier(&INT3_EXCEPTION_NB).is_err());
}
