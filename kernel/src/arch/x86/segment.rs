// SPDX-License-Identifier: GPL-2.0-only
//! Segment selectors: Linux 6.1's GDT (`arch/x86/include/asm/segment.h`).

/// 32-bit kernel code (GDT entry 1).
pub const KERNEL32_CS: u16 = 8;
/// Kernel code (GDT entry 2).
pub const KERNEL_CS: u16 = 2 * 8;
/// Kernel data (GDT entry 3).
pub const KERNEL_DS: u16 = 3 * 8;
/// 32-bit user code (GDT entry 4): `0x23`.
pub const USER32_CS: u16 = 4 * 8 + 3;
/// User data (GDT entry 5): `0x2b`.
pub const USER_DS: u16 = 5 * 8 + 3;
/// 64-bit user code (GDT entry 6): `0x33`.
pub const USER_CS: u16 = 6 * 8 + 3;
/// Task state segment (GDT entries 8 and 9).
pub const GDT_ENTRY_TSS: usize = 8;
/// Local descriptor table (GDT entries 10 and 11).
pub const GDT_ENTRY_LDT: usize = 10;
/// First of the three thread-local storage segments (GDT entry 12).
pub const GDT_ENTRY_TLS_MIN: usize = 12;
/// Per-CPU data segment, whose limit user mode reads the CPU number from (GDT entry 15).
pub const GDT_ENTRY_CPUNODE: usize = 15;
/// Number of GDT entries.
pub const GDT_ENTRIES: usize = 16;
