// SPDX-License-Identifier: GPL-2.0-only
//! The doors into the kernel: both end in `_start` with a `BootInfo`.
#[cfg(target_os = "none")]
pub mod pvh;
