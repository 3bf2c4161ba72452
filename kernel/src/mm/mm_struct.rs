// SPDX-License-Identifier: GPL-2.0-only
//! placeholder
use crate::errno::Result;
use alloc::sync::Arc;
/// An address space.
pub struct Mm {}
impl Mm {
    /// An empty address space: no user mappings, the kernel's half shared.
    pub fn new() -> Result<Arc<Mm>> {
        todo!()
    }
    /// A copy for `fork`: private pages become copy-on-write in both (`dup_mmap`).
    pub fn fork(&self) -> Result<Arc<Mm>> {
        todo!()
    }
    /// Loads CR3 with this space's page tables (`switch_mm`).
    pub fn activate(&self) {
        todo!()
    }
}
