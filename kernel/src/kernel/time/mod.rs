// SPDX-License-Identifier: GPL-2.0-only
//! Linux's `kernel/time/`: the clocks, and timers on them.
pub mod hrtimer;
pub mod timekeeping;
