// SPDX-License-Identifier: GPL-2.0-only
//! Linux's `kernel/`: tasks, scheduling, signals, time, printk.

#[macro_use]
pub mod printk;
pub mod capability;
pub mod context_tracking;
pub mod cred;
pub mod exit;
pub mod fork;
pub mod futex;
pub mod kallsyms;
pub mod kcmp;
pub mod kprobes;
pub mod kunit;
pub mod notifier;
pub mod panic;
pub mod pid;
pub mod ptrace;
pub mod reboot;
pub mod rseq;
pub mod sched;
pub mod sched_show;
pub mod seccomp;
pub mod setid;
pub mod signal;
pub mod sys;
pub mod sys_ni;
pub mod syscall_user_dispatch;
pub mod task;
pub mod time;
pub mod trace;
pub mod uid16;
pub mod unshare;
pub mod wait;
pub mod watchdog;
pub mod watchdog_hld;
