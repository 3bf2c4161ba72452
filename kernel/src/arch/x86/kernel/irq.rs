// SPDX-License-Identifier: GPL-2.0-only
//! Device interrupts (Linux 6.1, `arch/x86/kernel/irq.c`, `i8259.c`).
//!
//! The legacy interrupt controllers deliver the serial ports' interrupts through
//! the local APIC's LINT0; the APIC's own timer has a vector of its own.

use super::apic;
use crate::arch::x86::percpu::{BOOT_CPU, this_cpu};
use crate::arch::x86::ptrace::PtRegs;
use crate::kernel::printk::ratelimit;
use crate::lib::ratelimit::Ratelimit;
use core::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use x86_64::instructions::port::Port;

/// Vector of ISA interrupt 0 (`ISA_IRQ_VECTOR(0)`).
const ISA_IRQ_VECTOR: u8 = 0x30;
/// One hard-interrupt level in `preempt_count` (`HARDIRQ_OFFSET`).
pub const HARDIRQ_OFFSET: u32 = 1 << 16;
/// One NMI level in `preempt_count` (`NMI_OFFSET`).
pub const NMI_OFFSET: u32 = 1 << 20;

/// What a device's interrupt calls, with interrupts off.
pub type IrqHandler = fn();

static HANDLERS: [AtomicPtr<()>; 16] = [const { AtomicPtr::new(core::ptr::null_mut()) }; 16];
/// Interrupts taken per ISA line, for `/proc/interrupts`.
pub static IRQ_COUNTS: [AtomicU64; 16] = [const { AtomicU64::new(0) }; 16];

/// Whether an interrupt handler is running (`in_hardirq`).
pub fn in_irq() -> bool {
    this_cpu().preempt_count.get() & 0x000f_0000 != 0
}

/// Whether an interrupt or NMI handler is running (`in_interrupt`).
pub fn in_interrupt() -> bool {
    this_cpu().preempt_count.get() & 0x00ff_ff00 != 0
}

/// Whether an NMI handler is running (`in_nmi`). Not in early boot, before per-CPU data.
pub fn in_nmi() -> bool {
    BOOT_CPU.has_current() && this_cpu().preempt_count.get() & 0x00f0_0000 != 0
}

fn add_count(delta: u32) {
    let c = &this_cpu().preempt_count;
    c.set(c.get().wrapping_add(delta));
}

/// Routes the legacy controllers to vectors 0x30.., all lines masked (`init_8259A`).
pub fn init_8259a() {
    let [mut cmd1, mut data1, mut cmd2, mut data2] = [0x20u16, 0x21, 0xa0, 0xa1].map(Port::<u8>::new);
    // SAFETY: the controllers' initialisation sequence; interrupts are off.
    unsafe {
        data1.write(0xff);
        data2.write(0xff);
        cmd1.write(0x11);
        data1.write(ISA_IRQ_VECTOR);
        data1.write(4);
        data1.write(1);
        cmd2.write(0x11);
        data2.write(ISA_IRQ_VECTOR + 8);
        data2.write(2);
        data2.write(1);
        data1.write(0xfb);
        data2.write(0xff);
    }
}

/// Calls `handler` for ISA interrupt `irq`, and unmasks the line.
pub fn request_irq(irq: u8, handler: IrqHandler) {
    HANDLERS[usize::from(irq & 15)].store(handler as *mut (), Ordering::Release);
    let (port, bit) = if irq < 8 { (0x21u16, irq) } else { (0xa1, irq - 8) };
    let mut data = Port::<u8>::new(port);
    // SAFETY: unmasks one line of the controller.
    unsafe {
        let mask = data.read();
        data.write(mask & !(1 << bit));
    }
}

fn ack_8259a(irq: u8) {
    // SAFETY: end-of-interrupt commands.
    unsafe {
        if irq >= 8 {
            Port::<u8>::new(0xa0).write(0x20);
        }
        Port::<u8>::new(0x20).write(0x20);
    }
}

/// For interrupts that nobody has asked for (`pr_emerg_ratelimited`).
static NO_HANDLER: Ratelimit = Ratelimit::new(5_000, 10);

/// A vector from 32 up (`common_interrupt`).
pub extern "C" fn do_irq(regs: &PtRegs, vector: u64) {
    if regs.user_mode() {
        crate::kernel::context_tracking::user_exit();
    }
    add_count(HARDIRQ_OFFSET);
    match vector as u8 {
        apic::LOCAL_TIMER_VECTOR => {
            apic::eoi();
            apic::local_apic_timer_interrupt(regs);
        }
        apic::SPURIOUS_APIC_VECTOR => {}
        v @ ISA_IRQ_VECTOR..=0x3f => isa_interrupt(v - ISA_IRQ_VECTOR),
        v => {
            apic::eoi();
            if ratelimit(&NO_HANDLER, "__common_interrupt") {
                let cpu = this_cpu().cpu_number.get();
                crate::pr_emerg!("__common_interrupt: {cpu}.{v} No irq handler for vector\n");
            }
        }
    }
    add_count(HARDIRQ_OFFSET.wrapping_neg());
}

fn isa_interrupt(irq: u8) {
    IRQ_COUNTS[usize::from(irq)].fetch_add(1, Ordering::Relaxed);
    let h = HANDLERS[usize::from(irq)].load(Ordering::Acquire);
    if !h.is_null() {
        // SAFETY: only `request_irq` stores there, and it stores function pointers.
        let h: IrqHandler = unsafe { core::mem::transmute(h) };
        h();
    }
    ack_8259a(irq);
}
