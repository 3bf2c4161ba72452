// SPDX-License-Identifier: GPL-2.0-only
//! Linux's `kernel/time/`: the clocks, and timers on them.
pub mod clock;
pub mod clocksource;
pub mod hrtimer;
pub mod itimer;
pub mod nanosleep;
pub mod ntp;
pub mod posix_cpu_timers;
pub mod posix_timers;
mod time_types;
pub mod timekeeping;
pub mod vsyscall;

pub use time_types::{TimeAbi, Timespec, Timeval};
