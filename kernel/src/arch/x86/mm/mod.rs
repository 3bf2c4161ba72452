// SPDX-License-Identifier: GPL-2.0-only
//! Linux's `arch/x86/mm/`: kernel page tables, page faults, exception fixup.
pub mod extable;
pub mod fault;
pub mod init;
