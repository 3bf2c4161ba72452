// SPDX-License-Identifier: GPL-2.0-only
//! Linux's `arch/x86/entry/`: the way into the kernel and back out.
pub mod syscall_table;
