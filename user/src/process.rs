// SPDX-License-Identifier: GPL-2.0-only
//! Processes and threads.

use crate::{Errno, Result, file, signal::SigInfo, status::WaitStatus, syscall, text::Text, time::sleep_ms};
use core::ffi::{CStr, c_char};
use core::fmt::Write;
use linux_raw_sys::general as abi;

pub use abi::{__WALL, WCONTINUED, WEXITED, WNOHANG, WNOWAIT, WSTOPPED};
pub use abi::{RLIMIT_CORE, RLIMIT_NOFILE, RLIMIT_SIGPENDING, RLIMIT_STACK};

/// Ends the whole process.
pub fn exit_group(code: i32) -> ! {
    loop {
        // SAFETY: nothing runs afterwards.
        let _ = unsafe { syscall!(__NR_exit_group, code) };
    }
}

/// Ends this thread.
pub fn exit_thread(code: i32) -> ! {
    loop {
        // SAFETY: nothing runs on this thread afterwards.
        let _ = unsafe { syscall!(__NR_exit, code) };
    }
}

/// `fork(2)`: 0 in the child.
pub fn fork() -> Result<i32> {
    // SAFETY: the child has a copy of everything.
    unsafe { syscall!(__NR_fork) }.map(|pid| pid as i32)
}

/// Forks a child that runs `body` and exits with what it returns; gives its pid (or -1).
pub fn child(body: impl FnOnce() -> i32) -> i32 {
    match fork() {
        Ok(0) => exit_group(body()),
        Ok(pid) => pid,
        Err(e) => {
            crate::check::fail(format_args!("fork: {e}"));
            -1
        }
    }
}

/// `wait4(2)`: who, and how. `Ok(None)` if `WNOHANG` found nobody.
pub fn wait4(pid: i32, options: u32) -> Result<Option<(i32, WaitStatus)>> {
    let mut status = 0;
    let out = core::ptr::from_mut(&mut status);
    // SAFETY: the kernel writes the status.
    match unsafe { syscall!(__NR_wait4, pid, out, options, 0) }? {
        0 => Ok(None),
        who => Ok(Some((who as i32, WaitStatus(status)))),
    }
}

/// Waits for a child's end, through interruptions.
pub fn wait(pid: i32) -> Result<WaitStatus> {
    loop {
        match wait4(pid, 0) {
            Ok(Some((_, status))) => return Ok(status.without_core()),
            Err(Errno(abi_errno)) if abi_errno == linux_raw_sys::errno::EINTR => {}
            Ok(None) => {}
            Err(e) => return Err(e),
        }
    }
}

/// `waitid(2)` for one child.
pub fn waitid(pid: i32, options: u32) -> Result<SigInfo> {
    let mut info = SigInfo::ZERO;
    let out = core::ptr::from_mut(&mut info);
    // SAFETY: the kernel writes the siginfo.
    unsafe { syscall!(__NR_waitid, abi::P_PID, pid, out, options, 0) }?;
    Ok(info)
}

/// `execve(2)`; returns only if it failed. The arrays end with a null pointer.
pub fn execve(path: &CStr, argv: &[*const c_char], envp: &[*const c_char]) -> Errno {
    debug_assert!(argv.last().is_some_and(|p| p.is_null()));
    debug_assert!(envp.last().is_some_and(|p| p.is_null()));
    // SAFETY: path and arrays are readable and terminated; on success nothing of ours is left.
    let r = unsafe { syscall!(__NR_execve, path.as_ptr(), argv.as_ptr(), envp.as_ptr()) };
    r.err().unwrap_or(Errno(0))
}

/// `vfork(2)` and `execve(2)` in one: the child borrows our stack, so both are in one asm block.
/// If the exec fails the child exits with 127.
pub fn vfork_exec(path: &CStr, argv: &[*const c_char], envp: &[*const c_char]) -> Result<i32> {
    let pid: isize;
    // SAFETY: the child touches no memory: it calls execve with what the registers hold, or exits.
    unsafe {
        core::arch::asm!(
            "mov eax, {vfork}", "syscall", "test rax, rax", "jnz 2f",
            "mov eax, {execve}", "syscall",
            "mov edi, 127", "mov eax, {exit}", "syscall", "ud2",
            "2:",
            vfork = const abi::__NR_vfork, execve = const abi::__NR_execve,
            exit = const abi::__NR_exit,
            in("rdi") path.as_ptr(), in("rsi") argv.as_ptr(), in("rdx") envp.as_ptr(),
            out("rax") pid, out("rcx") _, out("r11") _, options(nostack));
    }
    if pid < 0 { Err(Errno(-pid as u32)) } else { Ok(pid as i32) }
}

/// `getpid(2)`.
pub fn getpid() -> i32 {
    // SAFETY: no memory is involved.
    unsafe { syscall!(__NR_getpid) }.map_or(-1, |p| p as i32)
}

/// `getppid(2)`.
pub fn getppid() -> i32 {
    // SAFETY: no memory is involved.
    unsafe { syscall!(__NR_getppid) }.map_or(-1, |p| p as i32)
}

/// `gettid(2)`.
pub fn gettid() -> i32 {
    // SAFETY: no memory is involved.
    unsafe { syscall!(__NR_gettid) }.map_or(-1, |p| p as i32)
}

/// `getuid(2)`.
pub fn getuid() -> u32 {
    // SAFETY: no memory is involved.
    unsafe { syscall!(__NR_getuid) }.map_or(u32::MAX, |p| p as u32)
}

/// Gives up root for good: this user and group id, all three of each.
pub fn become_user(id: u32) -> Result {
    // SAFETY: no memory is involved.
    unsafe {
        syscall!(__NR_setresgid, id, id, id)?;
        syscall!(__NR_setresuid, id, id, id)
    }
}

/// `setpgid(2)`.
pub fn setpgid(pid: i32, pgid: i32) -> Result {
    // SAFETY: no memory is involved.
    unsafe { syscall!(__NR_setpgid, pid, pgid) }
}

/// `sched_yield(2)`.
pub fn sched_yield() {
    // SAFETY: no memory is involved.
    let _ = unsafe { syscall!(__NR_sched_yield) };
}

/// Sets a resource limit (the hard limit too, unless `hard` says otherwise); returns the old one.
pub fn setrlimit(what: u32, soft: u64, hard: Option<u64>) -> Result<abi::rlimit64> {
    let mut old = abi::rlimit64 { rlim_cur: 0, rlim_max: 0 };
    let new = abi::rlimit64 { rlim_cur: soft, rlim_max: hard.unwrap_or(soft) };
    let (new, out) = (core::ptr::from_ref(&new), core::ptr::from_mut(&mut old));
    // SAFETY: the kernel reads one structure and writes the other.
    unsafe { syscall!(__NR_prlimit64, 0, what, new, out) }?;
    Ok(old)
}

/// Reads a resource limit.
pub fn getrlimit(what: u32) -> Result<abi::rlimit64> {
    let mut old = abi::rlimit64 { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel writes the structure.
    unsafe { syscall!(__NR_prlimit64, 0, what, 0, core::ptr::from_mut(&mut old)) }?;
    Ok(old)
}

core::arch::global_asm!(
    ".pushsection .text.trapline_clone,\"ax\",@progbits",
    ".globl trapline_clone",
    // rdi flags, rsi stack top, rdx entry
    "trapline_clone:",
    "mov r9, rdx",
    "xor edx, edx",
    "xor r10d, r10d",
    "xor r8d, r8d",
    "mov eax, 56",
    "syscall",
    "test rax, rax",
    "jnz 2f",
    "xor ebp, ebp",
    "call r9",
    "ud2",
    "2: ret",
    ".popsection",
);

unsafe extern "C" {
    fn trapline_clone(flags: u64, stack_top: u64, entry: extern "C" fn() -> !) -> isize;
}

/// What a thread shares with the others of its process.
pub const THREAD_FLAGS: u32 = abi::CLONE_VM
    | abi::CLONE_FS
    | abi::CLONE_FILES
    | abi::CLONE_SIGHAND
    | abi::CLONE_THREAD
    | abi::CLONE_SYSVSEM;

/// Starts a thread of this process on a fresh stack of 64 KiB (never freed).
pub fn spawn_thread(entry: extern "C" fn() -> !) -> Result<i32> {
    let stack = thread_stack()?;
    // SAFETY: nobody else has the stack.
    unsafe { spawn_thread_on(stack, entry) }
}

/// Asleep, in a stop for its tracer, ended (`/proc/PID/stat`).
pub const ASLEEP: &str = ") S ";
#[allow(missing_docs)]
pub const TRACED: &str = ") t ";
#[allow(missing_docs)]
pub const ZOMBIE: &str = ") Z ";

/// Waits until a task has come there, be the machine ever so slow.
pub fn until_state(pid: i32, state: &str) {
    let mut path = Text::<32>::new();
    let _ = write!(path, "/proc/{pid}/stat\0");
    let path = CStr::from_bytes_until_nul(path.as_str().as_bytes()).unwrap_or(c"");
    let mut buf = [0; 512];
    while let Ok(text) = file::load(path, &mut buf)
        && !core::str::from_utf8(text).is_ok_and(|t| t.contains(state))
    {
        sleep_ms(1);
    }
}

/// The top of a fresh stack of 64 KiB.
pub fn thread_stack() -> Result<usize> {
    const STACK: usize = 0x10000;
    crate::memory::map(STACK, crate::memory::PROT_READ | crate::memory::PROT_WRITE).map(|at| at + STACK)
}

/// Starts a thread of this process on a stack that ends here.
///
/// # Safety
/// The stack is one, and no thread that is there uses it.
pub unsafe fn spawn_thread_on(stack_top: usize, entry: extern "C" fn() -> !) -> Result<i32> {
    // SAFETY: the new thread has a stack of its own and never returns.
    let tid = unsafe { trapline_clone(THREAD_FLAGS.into(), stack_top as u64, entry) };
    if tid < 0 { Err(Errno(-tid as u32)) } else { Ok(tid as i32) }
}
