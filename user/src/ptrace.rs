// SPDX-License-Identifier: GPL-2.0-only
//! `ptrace(2)`, and stopped children.

use crate::process::wait4;
use crate::status::WaitStatus;
use crate::{Result, signal::SigInfo, syscall};
pub use linux_raw_sys::ptrace::*;

/// Requests of x86 that `linux-raw-sys` does not name.
#[allow(missing_docs)]
pub mod x86 {
    pub const PTRACE_GETREGS: u32 = 12;
    pub const PTRACE_SETREGS: u32 = 13;
    pub const PTRACE_GETFPREGS: u32 = 14;
    pub const PTRACE_SETFPREGS: u32 = 15;
    pub const PTRACE_GETFPXREGS: u32 = 18;
    pub const PTRACE_SETFPXREGS: u32 = 19;
    pub const PTRACE_GET_THREAD_AREA: u32 = 25;
    pub const PTRACE_SET_THREAD_AREA: u32 = 26;
    pub const PTRACE_ARCH_PRCTL: u32 = 30;
    pub const PTRACE_SYSEMU: u32 = 31;
}

/// `struct user_regs_struct`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct UserRegs {
    pub r15: u64,
    pub r14: u64,
    pub r13: u64,
    pub r12: u64,
    pub rbp: u64,
    pub rbx: u64,
    pub r11: u64,
    pub r10: u64,
    pub r9: u64,
    pub r8: u64,
    pub rax: u64,
    pub rcx: u64,
    pub rdx: u64,
    pub rsi: u64,
    pub rdi: u64,
    pub orig_rax: u64,
    pub rip: u64,
    pub cs: u64,
    pub eflags: u64,
    pub rsp: u64,
    pub ss: u64,
    pub fs_base: u64,
    pub gs_base: u64,
    pub ds: u64,
    pub es: u64,
    pub fs: u64,
    pub gs: u64,
}

/// `struct user`: where its debug registers are.
pub const OFFSET_DEBUGREG: usize = 848;

/// The raw call.
///
/// # Safety
/// What `data` points to must be what the request reads or writes.
pub unsafe fn ptrace(request: u32, pid: i32, addr: usize, data: usize) -> Result {
    // SAFETY: by the caller.
    unsafe { syscall!(__NR_ptrace, request, pid, addr, data) }
}

/// A request whose `data` is a number.
pub fn tell(request: u32, pid: i32, addr: usize, data: usize) -> Result {
    // SAFETY: the kernel takes no pointer, or refuses it.
    unsafe { ptrace(request, pid, addr, data) }
}

/// A request that fills a value.
pub fn ask<T>(request: u32, pid: i32, addr: usize, mut value: T) -> Result<T> {
    // SAFETY: the kernel writes a value of this type.
    unsafe { ptrace(request, pid, addr, core::ptr::from_mut(&mut value) as usize) }.map(|_| value)
}

/// A request that reads a value.
pub fn give<T>(request: u32, pid: i32, addr: usize, value: &T) -> Result {
    // SAFETY: the kernel reads a value of this type.
    unsafe { ptrace(request, pid, addr, core::ptr::from_ref(value) as usize) }
}

/// This process's parent traces it from now on.
pub fn trace_me() -> Result {
    tell(PTRACE_TRACEME, 0, 0, 0)
}

/// A word of the tracee's memory.
pub fn peek(pid: i32, addr: usize) -> Result<u64> {
    ask(PTRACE_PEEKDATA, pid, addr, 0u64)
}

/// The tracee's registers.
pub fn registers(pid: i32) -> Result<UserRegs> {
    ask(x86::PTRACE_GETREGS, pid, 0, UserRegs::default())
}

/// The siginfo of the tracee's stop.
pub fn siginfo(pid: i32) -> Result<SigInfo> {
    ask(PTRACE_GETSIGINFO, pid, 0, SigInfo::ZERO)
}

/// The message of the tracee's stop.
pub fn message(pid: i32) -> Result<u64> {
    ask(PTRACE_GETEVENTMSG, pid, 0, 0u64)
}

/// Goes on with `request`, and waits for the next stop or the end: the raw status.
pub fn go(request: u32, pid: i32, sig: u32) -> Result<i32> {
    tell(request, pid, 0, sig as usize)?;
    stop(pid)
}

/// Waits for the next stop or the end: the raw status.
pub fn stop(pid: i32) -> Result<i32> {
    wait4(pid, linux_raw_sys::general::__WALL).map(|w| w.map_or(-1, |(_, WaitStatus(s))| s))
}

/// The raw status of a stop with `code` (a signal, or `SIGTRAP` below an event).
pub const fn stopped(code: u32) -> i32 {
    (code << 8 | 0x7f) as i32
}

/// The raw status of a stop for an event.
pub const fn event(event: u32) -> i32 {
    stopped(event << 8 | crate::signal::SIGTRAP)
}
