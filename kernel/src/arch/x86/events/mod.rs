// SPDX-License-Identifier: GPL-2.0-only
//! Linux's `arch/x86/events/`, as far as it needs no performance counters.
pub mod core;
