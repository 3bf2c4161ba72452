// SPDX-License-Identifier: GPL-2.0-only
//! Model specific registers (Linux 6.1, `arch/x86/include/asm/msr.h`). The #GP of one that is not
//! there, or of a value that it does not take, ends in the exception table: with an error where
//! the caller reckons with it (`rdmsrl_safe`, `wrmsrl_safe`), else with a line in the log.

use crate::errno::{EIO, Result};

/// Reads a register that the CPU has; one that it has not is 0 (`rdmsrl`).
#[inline]
pub fn rdmsr(msr: u32) -> u64 {
    let (lo, hi): (u32, u32);
    // SAFETY: reading a register has no effect on memory; a fault continues behind it.
    unsafe {
        core::arch::asm!(
            "2: rdmsr",
            "3:",
            crate::extable!("2", "3b", 4),
            in("ecx") msr,
            out("eax") lo,
            out("edx") hi,
            options(nostack, preserves_flags),
        );
    }
    u64::from(hi) << 32 | u64::from(lo)
}

/// Writes a register that the CPU has, and that takes the value; else nothing is written
/// (`wrmsrl`).
///
/// # Safety
/// What the register does with the value must be sound.
#[inline]
pub unsafe fn wrmsr(msr: u32, value: u64) {
    // SAFETY: as promised by the caller; a fault continues behind it.
    unsafe {
        core::arch::asm!(
            "2: wrmsr",
            "3:",
            crate::extable!("2", "3b", 5),
            in("ecx") msr,
            in("eax") value as u32,
            in("edx") (value >> 32) as u32,
            options(nostack, preserves_flags),
        );
    }
}

/// Reads a register.
///
/// # Errors
/// `EIO` if the CPU does not have it.
pub fn rdmsr_safe(msr: u32) -> Result<u64> {
    let (lo, hi, fault): (u32, u32, u32);
    // SAFETY: reading a register has no effect on memory; a fault continues behind it.
    unsafe {
        core::arch::asm!(
            "2: rdmsr",
            "xor {fault:e}, {fault:e}",
            "jmp 4f",
            "3: mov {fault:e}, 1",
            "xor eax, eax",
            "xor edx, edx",
            "4:",
            crate::extable!("2", "3b", 1),
            fault = out(reg) fault,
            in("ecx") msr,
            out("eax") lo,
            out("edx") hi,
            options(nostack),
        );
    }
    if fault == 0 { Ok(u64::from(hi) << 32 | u64::from(lo)) } else { Err(EIO) }
}

/// Writes a register that only concerns user mode.
///
/// # Errors
/// `EIO` if the CPU does not have it, or refuses the value.
pub fn wrmsr_safe(msr: u32, value: u64) -> Result {
    let fault: u32;
    // SAFETY: by its callers' choice of register, user mode's affair; a fault continues behind it.
    unsafe {
        core::arch::asm!(
            "2: wrmsr",
            "xor {fault:e}, {fault:e}",
            "jmp 4f",
            "3: mov {fault:e}, 1",
            "4:",
            crate::extable!("2", "3b", 1),
            fault = out(reg) fault,
            in("ecx") msr,
            in("eax") value as u32,
            in("edx") (value >> 32) as u32,
            options(nostack),
        );
    }
    if fault == 0 { Ok(()) } else { Err(EIO) }
}
