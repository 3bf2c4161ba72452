// SPDX-License-Identifier: GPL-2.0-only
//! What a system call's registers mean (Linux 6.1, `arch/x86/include/asm/syscall.h`).

use crate::arch::x86::ptrace::PtRegs;

/// A call's arguments, of one that came as i386's if `compat`: whole registers, although such a call
/// takes halves of them (`syscall_get_arguments`).
pub fn syscall_get_arguments(regs: &PtRegs, compat: bool) -> [u64; 6] {
    if compat {
        [regs.bx, regs.cx, regs.dx, regs.si, regs.di, regs.bp]
    } else {
        [regs.di, regs.si, regs.dx, regs.r10, regs.r8, regs.r9]
    }
}
