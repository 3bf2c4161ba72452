// SPDX-License-Identifier: GPL-2.0-only
//! Filters of system calls: the few instructions that tests write them with.

use crate::syscall::Result;
use core::ptr::from_ref;
use linux_raw_sys::ptrace::*;
pub use linux_raw_sys::ptrace::{sock_filter as Insn, sock_fprog as Prog};

/// What a filter answers (`SECCOMP_RET_*`).
pub mod answer {
    pub use linux_raw_sys::ptrace::{
        SECCOMP_RET_ALLOW as ALLOW, SECCOMP_RET_ERRNO as ERRNO, SECCOMP_RET_KILL_PROCESS as KILL_PROCESS,
        SECCOMP_RET_KILL_THREAD as KILL_THREAD, SECCOMP_RET_LOG as LOG, SECCOMP_RET_TRACE as TRACE,
        SECCOMP_RET_TRAP as TRAP, SECCOMP_RET_USER_NOTIF as USER_NOTIF,
    };
}

/// Loads a word of `struct seccomp_data` into A.
pub const fn load(offset: u32) -> Insn {
    Insn { code: (BPF_LD | BPF_ABS) as u16, jt: 0, jf: 0, k: offset }
}
/// Skips `jf` instructions if A is not `k`.
pub const fn unless_equal(k: u32, jf: u8) -> Insn {
    Insn { code: (BPF_JMP | BPF_JEQ) as u16, jt: 0, jf, k }
}
/// Answers.
pub const fn ret(k: u32) -> Insn {
    Insn { code: BPF_RET as u16, jt: 0, jf: 0, k }
}

/// `seccomp(2)`.
pub fn seccomp(op: u32, flags: u32, args: usize) -> Result {
    // SAFETY: the kernel reads the arguments.
    unsafe { crate::syscall!(__NR_seccomp, op, flags, args) }
}

/// Installs a filter.
pub fn install(program: &[Insn], flags: u32) -> Result {
    let p = Prog { len: program.len() as u16, filter: program.as_ptr().cast_mut() };
    seccomp(SECCOMP_SET_MODE_FILTER, flags, from_ref(&p) as usize)
}
