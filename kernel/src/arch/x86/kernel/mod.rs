// SPDX-License-Identifier: GPL-2.0-only
//! Linux's `arch/x86/kernel/`.
pub mod apic;
pub mod dumpstack;
pub mod fpu;
pub mod process_64;
pub mod signal;
pub mod traps;
pub mod cpu {
    /// stub
    pub fn has_ospke() -> bool {
        false
    }
}
