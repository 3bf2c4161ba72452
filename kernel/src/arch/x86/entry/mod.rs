// SPDX-License-Identifier: GPL-2.0-only
//! Linux's `arch/x86/entry/`: the way into the kernel and back out.
mod calling;
pub mod common;
pub mod entry_64;
mod entry_64_compat;
mod entry_64_nmi;
pub mod syscall_32;
pub mod syscall_table;
pub mod vdso;
pub mod vsyscall_64;
