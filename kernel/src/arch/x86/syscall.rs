// SPDX-License-Identifier: GPL-2.0-only
//! What a system call's registers mean (Linux 6.1, `arch/x86/include/asm/syscall.h`).

use crate::arch::x86::ptrace::PtRegs;

/// A call's arguments, of one that came as i386's if `compat`: whole registers, although such a call
/// takes halves of them (`syscall_get_arguments`).
pub fn syscall_get_arguments(regs: &PtRegs, compat: bool) -> [u64; 6] {
    if compat {
        [regs.bx.get(), regs.cx.get(), regs.dx.get(), regs.si.get(), regs.di.get(), regs.bp.get()]
    } else {
        [regs.di.get(), regs.si.get(), regs.dx.get(), regs.r10.get(), regs.r8.get(), regs.r9.get()]
    }
}
