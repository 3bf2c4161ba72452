// SPDX-License-Identifier: GPL-2.0-only
//! Linux's `arch/x86/ia32/`: what 32-bit code gets that is laid out in its own way.
pub mod fs32;
pub mod ia32_signal;
pub mod process32;
pub mod siginfo;
pub mod sigmask32;
pub mod sys_ia32;
pub mod time32;

/// Whether the running task's system call came by `int $0x80`: structures that it passes are
/// i386's (`in_compat_syscall`).
#[inline]
pub fn in_compat_syscall() -> bool {
    crate::kernel::task::current().thread().compat_syscall.get()
}
