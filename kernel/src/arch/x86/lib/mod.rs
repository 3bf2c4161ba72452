// SPDX-License-Identifier: GPL-2.0-only
//! Linux's `arch/x86/lib/`.
pub mod insn_eval;
pub mod msr;
pub mod usercopy;
