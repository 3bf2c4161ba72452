// SPDX-License-Identifier: GPL-2.0-only
//! Linux's `arch/x86/mm/`: kernel page tables, page faults, exception fixup.
pub mod extable;
pub mod fault;
pub mod fault_oops;
pub mod init;
pub mod mmap;
pub mod mpx;
pub mod pgtable;
pub mod pkeys;
pub mod tlb;
