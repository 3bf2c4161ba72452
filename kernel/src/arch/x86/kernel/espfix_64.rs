// SPDX-License-Identifier: GPL-2.0-only
//! Returning to a 16-bit stack (Linux 6.1, `arch/x86/kernel/espfix_64.c`).
//!
//! An `iret` to a stack segment of 16 bits loads SP only: bits 16 to 31 of ESP stay what
//! they were in the kernel. So that they are the program's own, the last `iret` runs on a
//! stack of 64 bytes that is mapped, read-only, at every multiple of 64 KiB within 4 GiB;
//! of all its addresses the one is used whose bits 16 to 31 are those that the program had.
//! It is written through the direct map.
//!
//! Should that `iret` fault, the exception's frame cannot be pushed: a double fault, which
//! [`fixup_espfix_fault`] turns back into the #GP that it was.

use crate::arch::x86::entry::entry_64::entry;
use crate::arch::x86::mm::init::{kernel_pgd, phys_to_virt};
use crate::arch::x86::percpu::this_cpu;
use crate::arch::x86::ptrace::PtRegs;
use crate::arch::x86::segment::KERNEL_CS;
use crate::errno::Result;
use crate::kernel::task::current;
use crate::mm::page_alloc::Page;
use x86_64::PhysAddr;
use x86_64::structures::paging::{PageTable, PageTableFlags as F};

/// The entry of the topmost table below which the aliases are (`ESPFIX_PGD_ENTRY`, -2).
const ESPFIX_PGD_ENTRY: usize = 510;
/// Where they begin.
const ESPFIX_BASE_ADDR: u64 = 0xffff_ff00_0000_0000;
/// 4 GiB: entries of the third-level table.
const PUDS: usize = 4;
/// Pages in 64 KiB: one of so many entries of the lowest table maps the stack.
const PTE_STRIDE: usize = 16;

/// Maps the stack; at boot, before the first address space is made (`init_espfix_ap`).
///
/// # Errors
/// `ENOMEM`.
pub fn init_espfix() -> Result {
    let stack = Page::alloc_zeroed()?.into_raw();
    let tables = [Page::alloc_zeroed()?, Page::alloc_zeroed()?, Page::alloc_zeroed()?].map(Page::into_raw);
    let [pte, pmd, pud] = tables;
    let table = F::PRESENT | F::WRITABLE;
    let set = |at: u64, i: usize, to: u64, flags: F| {
        #[allow(clippy::cast_ptr_alignment)] // a page is aligned
        // SAFETY: tables of our own, and an unused entry of the kernel's; at boot.
        let t = unsafe { &mut *phys_to_virt(at).cast::<PageTable>() };
        t[i].set_addr(PhysAddr::new(to), flags);
    };
    for i in (0..512).step_by(PTE_STRIDE) {
        set(pte, i, stack, F::PRESENT | F::NO_EXECUTE | F::GLOBAL | F::ACCESSED);
    }
    (0..512).for_each(|i| set(pmd, i, pte, table));
    (0..PUDS).for_each(|i| set(pud, i, pmd, table));
    set(kernel_pgd(), ESPFIX_PGD_ENTRY, pud, table);
    this_cpu().espfix_stack.set(ESPFIX_BASE_ADDR);
    this_cpu().espfix_waddr.set(phys_to_virt(stack) as u64);
    Ok(())
}

/// A double fault may be an `iret` from the small stack that faulted: then the task gets
/// the #GP that it deserves, as if it had raised it in the state that could not be loaded.
/// Returns whether it was (Linux 6.1, `arch/x86/kernel/traps.c`, `exc_double_fault`).
pub fn fixup_espfix_fault(regs: &PtRegs) -> bool {
    let on_small_stack = regs.sp.get() >> 39 == ESPFIX_BASE_ADDR >> 39;
    let at_iret = regs.ip.get() == entry::native_irq_return_iret as *const () as u64;
    if !on_small_stack || !at_iret || regs.cs.get() != u64::from(KERNEL_CS) {
        return false;
    }
    // SAFETY: the five words that `iret` refused are on the small stack, which is mapped.
    let refused = unsafe { *(regs.sp.get() as *const [u64; 5]) };
    // The task was on its way to user mode: its stack is empty.
    let cur = current();
    let gp = cur.pt_regs();
    gp.set_iret_frame(refused);
    // The error code.
    gp.orig_ax.set(0);
    regs.sp.set(&raw const gp.orig_ax as u64);
    regs.ip.set(entry::general_protection as *const () as u64);
    true
}
