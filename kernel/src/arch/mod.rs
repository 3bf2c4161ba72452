// SPDX-License-Identifier: GPL-2.0-only
//! Architectures: x86_64 only.
pub mod x86;
