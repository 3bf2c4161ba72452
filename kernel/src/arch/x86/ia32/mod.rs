// SPDX-License-Identifier: GPL-2.0-only
//! Linux's `arch/x86/ia32/`: what 32-bit code gets that is laid out in its own way.
pub mod ia32_signal;
pub mod siginfo;
