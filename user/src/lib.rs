// SPDX-License-Identifier: GPL-2.0-only
//! Runtime of Trapline's user programs: ordinary static Linux executables
//! without a libc.
//!
//! | module | what |
//! |---|---|
//! | [`start`] | `_start`, arguments, environment, auxiliary vector, panic |
//! | [`syscall`] | the `syscall` instruction, [`Errno`] |
//! | [`process`], [`signal`], [`file`], [`memory`], [`time`], [`timer`], [`ptrace`] | thin wrappers, one per system call |
//! | [`event`] | what there is to wait for: epoll, eventfd, signalfd, timerfd |
//! | [`pty`] | pseudoterminals, and what terminals are told and asked |
//! | [`seccomp`] | filters of system calls |
//! | [`ucontext`] | what a signal handler is given |
//! | [`vdso`] | the vDSO as a dynamic linker and an unwinder see it |
//! | [`probe`] | the instruction under test and its label |
//! | [`expect`] | the macro by which a program states what must happen to it |
//! | [`note`], [`pattern`], [`status`], [`text`] | pure: the note's parser, log patterns, wait statuses, fixed-size text |
//! | [`report`] | the handler that tells `/init` what a signal brought |
//! | [`seen`] | a handler that keeps what it was given |
//! | [`check`] | assertions that print what differed and go on |
//! | [`runner`] | what `/init` is made of |
//! | [`compat`] | 32-bit code in a 64-bit process |
//! | [`bench`] | what the measuring programs share |
//! | [`errnos`] | every system call with arguments that mean nothing |
//! | [`fuzz`] | random numbers, options and children of the fuzzers |
//! | [`fuzz_frame`] | what the fuzzers of code and frames share: fixed memory, the record, the log |
//!
//! Everything here also compiles for the host, where the pure modules have
//! their unit tests; programs run only when built for `x86_64-unknown-none`.
#![no_std]

#[cfg(test)]
extern crate std;

pub mod bench;
pub mod check;
pub mod compat;
pub mod errnos;
pub mod event;
pub mod expect;
pub mod file;
pub mod fuzz;
pub mod fuzz_frame;
pub mod io;
pub mod memory;
pub mod note;
pub mod pattern;
pub mod probe;
pub mod process;
pub mod ptrace;
pub mod pty;
pub mod report;
pub mod runner;
pub mod seccomp;
pub mod seen;
pub mod signal;
pub mod start;
pub mod status;
pub mod syscall;
pub mod text;
pub mod time;
pub mod timer;
pub mod ucontext;
pub mod vdso;

pub use syscall::{Errno, Result};

/// What most programs need.
pub mod prelude {
    pub use crate::process::{child, exit_group, fork, getpid, gettid, wait};
    pub use crate::signal::{Action, SigInfo, bit, kill, sigaction, sigprocmask_set, tgkill};
    pub use crate::status::WaitStatus;
    pub use crate::syscall::Errno;
    pub use crate::ucontext::UContext;
    pub use crate::{check, check_eq, code_log, expect, gp_log, probe, program, segfault_log, trap_log};
    pub use linux_raw_sys::errno::*;
    pub use linux_raw_sys::general::{SA_NODEFER, SA_ONSTACK, SA_RESETHAND, SA_RESTART, SA_SIGINFO};
}
