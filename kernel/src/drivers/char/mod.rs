// SPDX-License-Identifier: GPL-2.0-only
//! Linux's `drivers/char/`.
pub mod kmsg;
pub mod mem;
pub mod random;
