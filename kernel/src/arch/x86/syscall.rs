// SPDX-License-Identifier: GPL-2.0-only
//! What a system call's registers mean (Linux 6.1, `arch/x86/include/asm/syscall.h`).

use crate::arch::x86::ptrace::PtRegs;
use linux_raw_sys::ptrace::{AUDIT_ARCH_I386, AUDIT_ARCH_X86_64};

/// A call's arguments, of one that came as i386's if `compat`: whole registers, although such a call
/// takes halves of them (`syscall_get_arguments`).
pub fn syscall_get_arguments(regs: &PtRegs, compat: bool) -> [u64; 6] {
    if compat {
        [regs.bx.get(), regs.cx.get(), regs.dx.get(), regs.si.get(), regs.di.get(), regs.bp.get()]
    } else {
        [regs.di.get(), regs.si.get(), regs.dx.get(), regs.r10.get(), regs.r8.get(), regs.r9.get()]
    }
}

/// Whose a call's number is, of one that came as i386's if `compat` (`syscall_get_arch`).
pub fn syscall_get_arch(compat: bool) -> u32 {
    if compat { AUDIT_ARCH_I386 } else { AUDIT_ARCH_X86_64 }
}
