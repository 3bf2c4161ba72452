// SPDX-License-Identifier: GPL-2.0-only
//! Non-maskable interrupts (Linux 6.1, `arch/x86/kernel/nmi.c`).

use crate::arch::x86::kernel::dumpstack::show_regs;
use crate::arch::x86::kernel::traps::{decide::Vector, ist_enter, ist_exit};
use crate::arch::x86::percpu::this_cpu;
use crate::arch::x86::ptrace::PtRegs;
use crate::kernel::notifier::{DieVal, NotifyResult, notify_die};
use crate::kernel::panic::panic;
use core::sync::atomic::{AtomicBool, Ordering};
use x86_64::instructions::port::Port;

/// Panic on an NMI that nobody explains (`/proc/sys/kernel/panic_on_unrecovered_nmi`).
pub static PANIC_ON_UNRECOVERED_NMI: AtomicBool = AtomicBool::new(false);
/// Likewise (`unknown_nmi_panic`, `/proc/sys/kernel/unknown_nmi_panic`).
pub static UNKNOWN_NMI_PANIC: AtomicBool = AtomicBool::new(false);
/// Panic on an I/O check (`/proc/sys/kernel/panic_on_io_nmi`).
pub static PANIC_ON_IO_NMI: AtomicBool = AtomicBool::new(false);

/// Handles one command-line parameter; false if it is not one of these.
pub fn setup(name: &str) -> bool {
    if name != "unknown_nmi_panic" {
        return false;
    }
    UNKNOWN_NMI_PANIC.store(true, Ordering::Relaxed);
    true
}

/// "System control port B": why there was an NMI.
const NMI_REASON_PORT: u16 = 0x61;
const NMI_REASON_SERR: u8 = 0x80;
const NMI_REASON_IOCHK: u8 = 0x40;
const NMI_REASON_CLEAR_SERR: u8 = 0x04;
const NMI_REASON_CLEAR_IOCHK: u8 = 0x08;
const NMI_REASON_CLEAR_MASK: u8 = 0x0f;

/// What a reason byte means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    PciError,
    IoCheck,
    Unknown,
}

fn reason_of(byte: u8) -> Reason {
    if byte & NMI_REASON_SERR != 0 {
        Reason::PciError
    } else if byte & NMI_REASON_IOCHK != 0 {
        Reason::IoCheck
    } else {
        Reason::Unknown
    }
}

/// NMI.
pub extern "C" fn do_nmi(regs: &mut PtRegs, _error_code: u64) {
    ist_enter();
    let cpu = this_cpu();
    cpu.nmi_count.set(cpu.nmi_count.get() + 1);
    default_do_nmi(regs);
    ist_exit();
}

fn default_do_nmi(regs: &mut PtRegs) {
    let v = Vector::Nmi;
    if notify_die(DieVal::Nmi, v.name(), regs, 0, v.nr(), 0) == NotifyResult::Stop {
        return;
    }
    // SAFETY: reads a status register.
    let reason = unsafe { Port::<u8>::new(NMI_REASON_PORT).read() };
    match reason_of(reason) {
        Reason::PciError => pci_serr_error(reason),
        Reason::IoCheck => io_check_error(reason, regs),
        Reason::Unknown => unknown_nmi_error(reason, regs),
    }
}

fn write_reason_port(v: u8) {
    // SAFETY: acknowledges an error line.
    unsafe { Port::<u8>::new(NMI_REASON_PORT).write(v) };
}

fn cpu_number() -> u32 {
    this_cpu().cpu_number.get()
}

fn nmi_panic() -> ! {
    panic(format_args!("NMI: Not continuing"))
}

fn pci_serr_error(reason: u8) {
    pr_emerg!("NMI: PCI system error (SERR) for reason {reason:02x} on CPU {}.\n", cpu_number());
    if PANIC_ON_UNRECOVERED_NMI.load(Ordering::Relaxed) {
        nmi_panic();
    }
    pr_emerg!("Dazed and confused, but trying to continue\n");
    write_reason_port(reason & NMI_REASON_CLEAR_MASK | NMI_REASON_CLEAR_SERR);
}

fn io_check_error(reason: u8, regs: &PtRegs) {
    pr_emerg!("NMI: IOCK error (debug interrupt?) for reason {reason:02x} on CPU {}.\n", cpu_number());
    show_regs(regs);
    if PANIC_ON_IO_NMI.load(Ordering::Relaxed) {
        panic(format_args!("NMI IOCK error: Not continuing"));
    }
    let cleared = reason & NMI_REASON_CLEAR_MASK | NMI_REASON_CLEAR_IOCHK;
    write_reason_port(cleared);
    write_reason_port(cleared & !NMI_REASON_CLEAR_IOCHK);
}

fn unknown_nmi_error(reason: u8, regs: &mut PtRegs) {
    let v = Vector::Nmi;
    if notify_die(DieVal::NmiUnknown, v.name(), regs, u64::from(reason), v.nr(), 0) == NotifyResult::Stop {
        return;
    }
    pr_emerg!("Uhhuh. NMI received for unknown reason {reason:02x} on CPU {}.\n", cpu_number());
    if UNKNOWN_NMI_PANIC.load(Ordering::Relaxed) || PANIC_ON_UNRECOVERED_NMI.load(Ordering::Relaxed) {
        nmi_panic();
    }
    pr_emerg!("Dazed and confused, but trying to continue\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refresh_and_timer_bits_are_no_reason() {
        assert_eq!(reason_of(0x21), Reason::Unknown);
        assert_eq!(reason_of(0x31), Reason::Unknown);
        assert_eq!(reason_of(0xa1), Reason::PciError);
        assert_eq!(reason_of(0x61), Reason::IoCheck);
    }
}
