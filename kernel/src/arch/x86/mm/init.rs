// SPDX-License-Identifier: GPL-2.0-only
//! placeholder

/// Where all of physical memory is mapped (`__PAGE_OFFSET`).
pub const PAGE_OFFSET: usize = 0xffff_8880_0000_0000;

/// Address of physical memory in the direct map (`__va`).
#[inline(always)]
pub fn phys_to_virt(phys: u64) -> *mut u8 {
    (PAGE_OFFSET as u64 + phys) as *mut u8
}

/// Physical address of a direct-map address (`__pa`).
#[inline(always)]
pub fn virt_to_phys(p: *const u8) -> u64 {
    p as u64 - PAGE_OFFSET as u64
}

/// Physical address of the kernel's own top-level page table (`swapper_pg_dir`).
/// Its upper 256 entries are complete when the first `Mm` is made and never change
/// afterwards: a new address space copies them.
pub fn kernel_pgd() -> u64 {
    todo!()
}
