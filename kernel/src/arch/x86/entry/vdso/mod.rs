// SPDX-License-Identifier: GPL-2.0-only
//! Linux's `arch/x86/entry/vdso/`: the kernel's side of the vDSO. What runs in programs is the
//! crate `vdso`.
pub mod vma;
