// SPDX-License-Identifier: GPL-2.0-only
//! Switching the machine off or starting it again (Linux 6.1,
//! `arch/x86/kernel/reboot.c`, `drivers/acpi/sleep.c`).

use core::sync::atomic::{AtomicU32, Ordering};
use x86_64::instructions::port::Port;

/// PM1a control port and the value that enters S5, once ACPI told; 0 if not.
static PM1A_CNT: AtomicU32 = AtomicU32::new(0);
static SLP_S5: AtomicU32 = AtomicU32::new(0);

/// Records how ACPI powers the machine off: the PM1a control port, and the
/// `SLP_TYPa` of `\_S5`.
pub fn set_acpi_s5(port: u16, slp_typ: u8) {
    PM1A_CNT.store(u32::from(port), Ordering::Relaxed);
    SLP_S5.store(u32::from(slp_typ & 7) << 10 | 1 << 13, Ordering::Relaxed);
}

/// Powers the machine off through ACPI; halts where that is not possible.
pub fn machine_power_off() -> ! {
    crate::locking::local_irq_disable();
    let port = PM1A_CNT.load(Ordering::Relaxed);
    if port != 0 {
        // SAFETY: the register that ACPI's FADT names, with the value that `\_S5` names.
        unsafe { Port::<u16>::new(port as u16).write(SLP_S5.load(Ordering::Relaxed) as u16) };
    }
    machine_halt()
}

/// Stops for ever.
pub fn machine_halt() -> ! {
    crate::locking::local_irq_disable();
    super::nmi_watchdog::stop();
    loop {
        x86_64::instructions::hlt();
    }
}

/// Resets the machine: the keyboard controller's line, then a triple fault.
pub fn emergency_restart() -> ! {
    crate::locking::local_irq_disable();
    // SAFETY: asks the keyboard controller to pulse the reset line; then an IDT
    // without entries makes any exception a reset.
    unsafe {
        Port::<u8>::new(0xcf9).write(6);
        Port::<u8>::new(0x64).write(0xfe);
        let none = x86_64::structures::DescriptorTablePointer { limit: 0, base: x86_64::VirtAddr::new(0) };
        x86_64::instructions::tables::lidt(&none);
        core::arch::asm!("int3");
    }
    machine_halt()
}
