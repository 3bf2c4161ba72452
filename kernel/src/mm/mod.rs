// SPDX-License-Identifier: GPL-2.0-only
//! Linux's `mm/`: physical pages, the kernel heap, address spaces.
mod mm_struct;
pub mod page_alloc;
pub mod slab;
pub mod vmalloc;
pub use mm_struct::Mm;
/// provided by MM
pub mod memory {
    /// provided by MM
    pub fn print_vma_addr(_prefix: &str, _ip: usize) {}
}
