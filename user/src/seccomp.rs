// SPDX-License-Identifier: GPL-2.0-only
//! Filters of system calls: the few instructions that tests write them with.

use crate::syscall::Result;
use core::ptr::from_ref;

/// What a filter answers (`SECCOMP_RET_*`).
#[allow(missing_docs)]
pub mod answer {
    pub const KILL_PROCESS: u32 = 0x8000_0000;
    pub const KILL_THREAD: u32 = 0;
    pub const TRAP: u32 = 0x0003_0000;
    pub const ERRNO: u32 = 0x0005_0000;
    pub const USER_NOTIF: u32 = 0x7fc0_0000;
    pub const TRACE: u32 = 0x7ff0_0000;
    pub const LOG: u32 = 0x7ffc_0000;
    pub const ALLOW: u32 = 0x7fff_0000;
}

/// `struct sock_filter`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Insn {
    /// What it does.
    pub code: u16,
    /// How many instructions a condition that holds skips.
    pub jt: u8,
    /// And one that does not.
    pub jf: u8,
    /// Its number.
    pub k: u32,
}

/// Loads a word of `struct seccomp_data` into A.
pub const fn load(offset: u32) -> Insn {
    Insn { code: 0x20, jt: 0, jf: 0, k: offset }
}
/// Skips `jf` instructions if A is not `k`.
pub const fn unless_equal(k: u32, jf: u8) -> Insn {
    Insn { code: 0x15, jt: 0, jf, k }
}
/// Answers.
pub const fn ret(k: u32) -> Insn {
    Insn { code: 6, jt: 0, jf: 0, k }
}

/// `struct sock_fprog`.
#[repr(C)]
pub struct Prog {
    /// How many instructions there are.
    pub len: u16,
    /// Where.
    pub filter: *const Insn,
}

/// `seccomp(2)`.
pub fn seccomp(op: u32, flags: u32, args: usize) -> Result {
    // SAFETY: the kernel reads the arguments.
    unsafe { crate::syscall!(__NR_seccomp, op, flags, args) }
}

/// Installs a filter.
pub fn install(program: &[Insn], flags: u32) -> Result {
    let p = Prog { len: program.len() as u16, filter: program.as_ptr() };
    seccomp(1, flags, from_ref(&p) as usize)
}
