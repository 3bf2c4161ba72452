// SPDX-License-Identifier: GPL-2.0-only
//! Linux's `arch/x86/kernel/fpu/`: the registers that the kernel itself never uses.
pub mod core;
pub mod legacy;
pub mod regset;
pub mod signal;
pub mod xstate;
