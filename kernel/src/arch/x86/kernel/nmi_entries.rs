// SPDX-License-Identifier: GPL-2.0-only
//! Goes through the entries that no program comes by, for the proof of the NMI's entry
//! (`tests/boot/nmi.rs`): interrupts that nothing raises, exceptions that only a broken kernel or
//! machine brings, breakpoints and steps in the kernel.
//!
//! [`enter`] does what the CPU would do: pushes a frame, with interrupts off, and jumps to the
//! entry. Where the frame leads to is listed in the exception table, so that exceptions recover.
//! `/sys/kernel/debug/trapline/entries` exists for all, and does something only with
//! `trapline.nmi=` on the command line.

use super::nmi_selftest::{enabled, hit_breakpoint, single_step};
use crate::arch::x86::entry::entry_64::{FIRST_EXTERNAL_VECTOR, IRQ_ENTRY_SIZE, entry};
use crate::arch::x86::segment::{KERNEL_CS, KERNEL_DS};
use crate::errno::{EPERM, Result};
use crate::fs::debugfs::DebugFile;
use crate::kernel::notifier::{
    DieArgs, DieNotifier, DieVal, NotifierBlock, NotifyResult, register_die_notifier,
};
use core::arch::global_asm;

/// Writing anything goes through all of them once.
pub static ENTRIES: DebugFile =
    DebugFile { dir: "trapline", name: "entries", mode: 0o200, show: |_| (), store: Some(store) };

global_asm!(
    ".pushsection .text.nmi_entries, \"ax\"",
    // nmi_test_enter(entry, error_code: 1 if it wants one, user_gs: 1 to enter with the user's)
    ".globl nmi_test_enter",
    "nmi_test_enter:",
    "push rbp",
    "mov rbp, rsp",
    "push rbx",
    "mov rbx, rdx",
    "pushfq",
    "pop rcx",
    "cli",
    "test ebx, ebx",
    "jz 2f",
    "swapgs",
    "2:",
    "mov rdx, rsp",
    "and rsp, -16",
    "push {ds}",
    "push rdx",
    // As it was, but with interrupts off where the GS base is not the kernel's.
    "test ebx, ebx",
    "jz 2f",
    "and rcx, ~0x200",
    "2:",
    "push rcx",
    "push {cs}",
    "lea rax, [rip + nmi_test_entered]",
    "push rax",
    "test esi, esi",
    "jz 2f",
    "push 0",
    "2:",
    "jmp rdi",
    // What a breakpoint's handlers look for in front of the address that they get.
    "int3",
    ".globl nmi_test_entered",
    "nmi_test_entered:",
    "4:",
    "test ebx, ebx",
    "jz 2f",
    "swapgs",
    "sti",
    "2:",
    "pop rbx",
    "pop rbp",
    "ret",
    crate::extable!("4", "4b", 1),
    ".popsection",
    cs = const KERNEL_CS,
    ds = const KERNEL_DS,
);

unsafe extern "C" {
    fn nmi_test_enter(entry: usize, error_code: u64, user_gs: u64);
    static nmi_test_entered: u8;
}

/// Enters the kernel at `entry`, from the kernel.
fn enter(entry: usize, error_code: bool) {
    // SAFETY: an entry's address, and whether its vector has an error code; everything it does to
    // the machine its vector may do at any time.
    unsafe { nmi_test_enter(entry, u64::from(error_code), 0) };
}

/// Exceptions that no exception table helps against are over here.
fn own(val: DieVal, args: &mut DieArgs<'_>) -> NotifyResult {
    let here = args.regs.ip.get() == &raw const nmi_test_entered as u64;
    if here && matches!(val, DieVal::Trap | DieVal::Int3) { NotifyResult::Stop } else { NotifyResult::Done }
}

static OWN: NotifierBlock<DieNotifier> = NotifierBlock::new(own, i32::MAX - 2);

/// From now on such exceptions are expected.
pub fn init() {
    let _ = register_die_notifier(&OWN);
}

fn store(_: &[u8]) -> Result {
    if !enabled() {
        return Err(EPERM);
    }
    exceptions();
    hit_breakpoint();
    single_step();
    // A breakpoint between an entry and its `swapgs`.
    // SAFETY: as in `enter`; an `int3` may strike with the user's GS base.
    unsafe { nmi_test_enter(entry::int3 as *const () as usize, 0, 1) };
    interrupts();
    Ok(())
}

fn exceptions() {
    let plain: [unsafe extern "C" fn(); 7] = [
        entry::divide_error,
        entry::overflow,
        entry::invalid_op,
        entry::coprocessor_segment_overrun,
        entry::spurious_interrupt_bug,
        entry::coprocessor_error,
        entry::simd_coprocessor_error,
    ];
    for e in plain {
        enter(e as *const () as usize, false);
    }
    let with_error_code: [unsafe extern "C" fn(); 5] = [
        entry::invalid_tss,
        entry::segment_not_present,
        entry::stack_segment,
        entry::general_protection,
        entry::alignment_check,
    ];
    for e in with_error_code {
        enter(e as *const () as usize, true);
    }
    if super::mce::pretend_that_all_is_well() {
        enter(entry::machine_check as *const () as usize, false);
    }
}

/// Each vector's entry; what handles them finds nothing to do, or says that nobody wanted it.
fn interrupts() {
    let first = entry::irq_entries_start as *const () as usize;
    for n in 0..256 - usize::from(FIRST_EXTERNAL_VECTOR) {
        enter(first + n * IRQ_ENTRY_SIZE, false);
    }
}
