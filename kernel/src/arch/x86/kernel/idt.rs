// SPDX-License-Identifier: GPL-2.0-only
//! The interrupt descriptor table (Linux 6.1, `arch/x86/kernel/idt.c`; the
//! documents' `trap_init`).

use super::cpu::{BREAKPOINT_STACK, DEBUG_STACK, DOUBLEFAULT_STACK, MCE_STACK, NMI_STACK};
use crate::arch::x86::entry::entry_64::{FIRST_EXTERNAL_VECTOR, IRQ_ENTRY_SIZE, entry};
use crate::arch::x86::percpu::this_cpu;
use core::cell::UnsafeCell;
use x86_64::structures::idt::{Entry, InterruptDescriptorTable};
use x86_64::{PrivilegeLevel, VirtAddr};

struct Idt(UnsafeCell<InterruptDescriptorTable>);
// SAFETY: written at boot only, with interrupts off.
unsafe impl Sync for Idt {}

static IDT: Idt = Idt(UnsafeCell::new(InterruptDescriptorTable::new()));

/// The same, without stacks of their own for #DB and #BP (`debug_idt_table`).
static DEBUG_IDT: Idt = Idt(UnsafeCell::new(InterruptDescriptorTable::new()));

/// An interrupt gate to `handler`.
fn gate<F>(e: &mut Entry<F>, handler: unsafe extern "C" fn()) {
    // SAFETY: every handler is an entry of entry_64.rs made for its vector.
    unsafe { e.set_handler_addr(VirtAddr::new(handler as *const () as u64)) };
}

/// i386's system calls.
const IA32_SYSCALL_VECTOR: u8 = 0x80;

/// Fills the table and loads it; exceptions run on the current stack until
/// [`use_ist`].
pub fn load() {
    // SAFETY: boot, one CPU, interrupts off.
    let t = unsafe { &mut *IDT.0.get() };
    gate(&mut t.divide_error, entry::divide_error);
    gate(&mut t.debug, entry::debug);
    gate(&mut t.non_maskable_interrupt, entry::nmi);
    gate(&mut t.breakpoint, entry::int3);
    gate(&mut t.overflow, entry::overflow);
    gate(&mut t.bound_range_exceeded, entry::bounds);
    gate(&mut t.invalid_opcode, entry::invalid_op);
    gate(&mut t.device_not_available, entry::device_not_available);
    gate(&mut t.double_fault, entry::double_fault);
    gate(&mut t.invalid_tss, entry::invalid_tss);
    gate(&mut t.segment_not_present, entry::segment_not_present);
    gate(&mut t.stack_segment_fault, entry::stack_segment);
    gate(&mut t.general_protection_fault, entry::general_protection);
    gate(&mut t.page_fault, entry::page_fault);
    gate(&mut t.x87_floating_point, entry::coprocessor_error);
    gate(&mut t.alignment_check, entry::alignment_check);
    gate(&mut t.machine_check, entry::machine_check);
    gate(&mut t.simd_floating_point, entry::simd_coprocessor_error);
    // Vector 9 and 15 have no field of their own.
    set_raw(t, 9, entry::coprocessor_segment_overrun);
    set_raw(t, 15, entry::spurious_interrupt_bug);
    // `int3` and `into` are for programs to use: DPL 3.
    dpl3(&mut t.breakpoint, entry::int3);
    dpl3(&mut t.overflow, entry::overflow);
    for v in FIRST_EXTERNAL_VECTOR..=255 {
        let at = entry::irq_entries_start as *const () as usize
            + usize::from(v - FIRST_EXTERNAL_VECTOR) * IRQ_ENTRY_SIZE;
        // SAFETY: one entry of 16 bytes for each vector from 32 up.
        unsafe { t[v].set_handler_addr(VirtAddr::new(at as u64)) };
    }
    dpl3(&mut t[IA32_SYSCALL_VECTOR], entry::int80_compat);
    // SAFETY: the table is static.
    unsafe { t.load_unsafe() };
}

fn dpl3<F>(e: &mut Entry<F>, handler: unsafe extern "C" fn()) {
    // SAFETY: as for `gate`.
    unsafe {
        e.set_handler_addr(VirtAddr::new(handler as *const () as u64))
            .set_privilege_level(PrivilegeLevel::Ring3)
    };
}

/// Sets a vector below 32 that `InterruptDescriptorTable` keeps private.
fn set_raw(t: &mut InterruptDescriptorTable, vector: usize, handler: unsafe extern "C" fn()) {
    let mut e = Entry::<x86_64::structures::idt::HandlerFunc>::missing();
    gate(&mut e, handler);
    // SAFETY: the table is 256 entries of 16 bytes in vector order.
    unsafe {
        core::ptr::from_mut(t).cast::<Entry<x86_64::structures::idt::HandlerFunc>>().add(vector).write(e);
    };
}

/// Moves the vectors that need it to their own stacks, which exist now.
pub fn use_ist() {
    // SAFETY: boot, one CPU, interrupts off; the stacks are mapped.
    unsafe {
        let t = &mut *IDT.0.get();
        let set = |e: &mut Entry<_>, h: unsafe extern "C" fn(), ist| {
            e.set_handler_addr(VirtAddr::new(h as *const () as u64)).set_stack_index(ist as u16);
        };
        set(&mut t.debug, entry::debug, DEBUG_STACK);
        set(&mut t.non_maskable_interrupt, entry::nmi, NMI_STACK);
        t.breakpoint
            .set_handler_addr(VirtAddr::new(entry::int3 as *const () as u64))
            .set_privilege_level(PrivilegeLevel::Ring3)
            .set_stack_index(BREAKPOINT_STACK as u16);
        t.double_fault
            .set_handler_addr(VirtAddr::new(entry::double_fault as *const () as u64))
            .set_stack_index(DOUBLEFAULT_STACK as u16);
        t.machine_check
            .set_handler_addr(VirtAddr::new(entry::machine_check as *const () as u64))
            .set_stack_index(MCE_STACK as u16);
        let d = &mut *DEBUG_IDT.0.get();
        d.clone_from(t);
        gate(&mut d.debug, entry::debug);
        dpl3(&mut d.breakpoint, entry::int3);
    }
}

/// In an NMI that has interrupted a handler of #DB or #BP: these two stay on the current stack, for
/// theirs is in use (`debug_stack_set_zero`).
#[cfg_attr(target_os = "none", unsafe(link_section = ".nmi.text"))]
pub fn debug_stack_set_zero() {
    let ctr = &this_cpu().debug_idt_ctr;
    ctr.set(ctr.get() + 1);
    load_current_idt();
}

/// Undoes [`debug_stack_set_zero`].
#[cfg_attr(target_os = "none", unsafe(link_section = ".nmi.text"))]
pub fn debug_stack_reset() {
    let ctr = &this_cpu().debug_idt_ctr;
    ctr.set(ctr.get() - 1);
    load_current_idt();
}

#[cfg_attr(target_os = "none", unsafe(link_section = ".nmi.text"))]
fn load_current_idt() {
    let idt = if this_cpu().debug_idt_ctr.get() == 0 { &IDT } else { &DEBUG_IDT };
    // SAFETY: both are static and complete.
    unsafe { (*idt.0.get()).load_unsafe() };
}
