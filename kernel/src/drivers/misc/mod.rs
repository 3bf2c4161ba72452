// SPDX-License-Identifier: GPL-2.0-only
//! Linux's `drivers/misc/`.
pub mod lkdtm;
