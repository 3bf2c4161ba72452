// SPDX-License-Identifier: GPL-2.0-only
//! Signal system calls. A handler is an `extern "C" fn(sig, &mut SigInfo, &mut UContext)`.

pub use crate::ucontext::SigInfo;
use crate::{Result, syscall, ucontext::UContext};
use core::mem::{offset_of, size_of};
use linux_raw_sys::general as abi;

pub use abi::{
    SIG_BLOCK, SIG_SETMASK, SIG_UNBLOCK, SIGALRM, SIGBUS, SIGCHLD, SIGCONT, SIGFPE, SIGHUP, SIGILL, SIGINT,
    SIGIO, SIGKILL, SIGPIPE, SIGPROF, SIGQUIT, SIGSEGV, SIGSTOP, SIGSYS, SIGTERM, SIGTRAP, SIGTSTP, SIGTTIN,
    SIGTTOU, SIGURG, SIGUSR1, SIGUSR2, SIGVTALRM, SIGWINCH, SS_AUTODISARM, SS_DISABLE, SS_ONSTACK,
};

core::arch::global_asm!(
    ".pushsection .text.trapline_restorer,\"ax\",@progbits",
    ".globl trapline_restorer",
    "trapline_restorer:",
    "mov eax, 15",
    "syscall",
    "ud2",
    ".popsection",
);

unsafe extern "C" {
    fn trapline_restorer();
}

/// The address of the code that a handler returns to: it calls `rt_sigreturn`.
pub fn restorer() -> u64 {
    trapline_restorer as *const () as u64
}

/// A function that handles a signal.
pub type Handler = extern "C" fn(i32, &mut SigInfo, &mut UContext);

/// What a signal does.
#[derive(Clone, Copy)]
pub enum Action {
    /// `SIG_DFL`.
    Default,
    /// `SIG_IGN`.
    Ignore,
    /// Calls a handler.
    Handle(Handler),
    /// Whatever is at this address, be it code or not.
    Address(u64),
}

/// The kernel's `struct sigaction`.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KernelSigaction {
    /// 0 (default), 1 (ignore) or the handler.
    pub handler: u64,
    /// `SA_*`.
    pub flags: u64,
    /// Where the handler returns to.
    pub restorer: u64,
    /// Signals blocked while the handler runs.
    pub mask: u64,
}

const _: () = {
    use abi::kernel_sigaction as k;
    assert!(size_of::<KernelSigaction>() == size_of::<k>());
    assert!(offset_of!(KernelSigaction, handler) == offset_of!(k, sa_handler_kernel));
    assert!(offset_of!(KernelSigaction, flags) == offset_of!(k, sa_flags));
    assert!(offset_of!(KernelSigaction, restorer) == offset_of!(k, sa_restorer));
    assert!(offset_of!(KernelSigaction, mask) == offset_of!(k, sa_mask));
};

/// A set with one signal.
pub const fn bit(sig: u32) -> u64 {
    1 << (sig - 1)
}

/// `rt_sigaction(2)`; `SA_SIGINFO | SA_RESTORER` are always added. Returns the old action.
pub fn sigaction(sig: u32, action: Action, flags: u32, mask: u64) -> Result<KernelSigaction> {
    let handler = match action {
        Action::Default => 0,
        Action::Ignore => 1,
        Action::Handle(f) => f as usize as u64,
        Action::Address(a) => a,
    };
    let flags = u64::from(flags | abi::SA_SIGINFO | abi::SA_RESTORER);
    sigaction_raw(sig, Some(&KernelSigaction { handler, flags, restorer: restorer(), mask }))
}

/// `rt_sigaction(2)` as the kernel sees it.
pub fn sigaction_raw(sig: u32, new: Option<&KernelSigaction>) -> Result<KernelSigaction> {
    let mut old = KernelSigaction { handler: 0, flags: 0, restorer: 0, mask: 0 };
    let new = new.map_or(core::ptr::null(), core::ptr::from_ref);
    // SAFETY: the kernel reads one structure and writes the other.
    unsafe { syscall!(__NR_rt_sigaction, sig, new, core::ptr::from_mut(&mut old), 8) }?;
    Ok(old)
}

/// `rt_sigprocmask(2)`; returns the old mask.
pub fn sigprocmask(how: u32, set: u64) -> Result<u64> {
    let mut old = 0u64;
    let (new, out) = (core::ptr::from_ref(&set), core::ptr::from_mut(&mut old));
    // SAFETY: the kernel reads one word and writes the other.
    unsafe { syscall!(__NR_rt_sigprocmask, how, new, out, 8) }?;
    Ok(old)
}

/// Replaces the mask; returns the old one.
pub fn sigprocmask_set(set: u64) -> u64 {
    sigprocmask(SIG_SETMASK, set).unwrap_or(u64::MAX)
}

/// The mask as it is.
pub fn sigmask() -> u64 {
    sigprocmask(SIG_BLOCK, 0).unwrap_or(u64::MAX)
}

/// `rt_sigpending(2)`.
pub fn sigpending() -> u64 {
    let mut set = 0u64;
    // SAFETY: the kernel writes one word.
    let r = unsafe { syscall!(__NR_rt_sigpending, core::ptr::from_mut(&mut set), 8) };
    r.map_or(u64::MAX, |_| set)
}

/// `rt_sigsuspend(2)`.
pub fn sigsuspend(mask: u64) -> Result {
    // SAFETY: the kernel reads one word.
    unsafe { syscall!(__NR_rt_sigsuspend, core::ptr::from_ref(&mask), 8) }
}

/// `rt_sigtimedwait(2)`.
pub fn sigtimedwait(set: u64, timeout: Option<&crate::time::Timespec>) -> Result<SigInfo> {
    let mut info = SigInfo::ZERO;
    let timeout = timeout.map_or(core::ptr::null(), core::ptr::from_ref);
    let out = core::ptr::from_mut(&mut info);
    // SAFETY: the kernel reads the set and the time, and writes the siginfo.
    unsafe { syscall!(__NR_rt_sigtimedwait, core::ptr::from_ref(&set), out, timeout, 8) }?;
    Ok(info)
}

/// `kill(2)`.
pub fn kill(pid: i32, sig: u32) -> Result {
    // SAFETY: no memory is involved.
    unsafe { syscall!(__NR_kill, pid, sig) }
}

/// `tkill(2)`.
pub fn tkill(tid: i32, sig: u32) -> Result {
    // SAFETY: no memory is involved.
    unsafe { syscall!(__NR_tkill, tid, sig) }
}

/// `tgkill(2)`.
pub fn tgkill(tgid: i32, tid: i32, sig: u32) -> Result {
    // SAFETY: no memory is involved.
    unsafe { syscall!(__NR_tgkill, tgid, tid, sig) }
}

/// Sends a signal to this very thread.
pub fn raise(sig: u32) {
    let sent = tgkill(crate::process::getpid(), crate::process::gettid(), sig);
    crate::check_eq!(sent, Ok(0), "tgkill to self");
}

/// `rt_sigqueueinfo(2)`.
pub fn sigqueueinfo(pid: i32, sig: u32, info: &SigInfo) -> Result {
    // SAFETY: the kernel reads the siginfo.
    unsafe { syscall!(__NR_rt_sigqueueinfo, pid, sig, core::ptr::from_ref(info)) }
}

/// `rt_tgsigqueueinfo(2)`.
pub fn tgsigqueueinfo(tgid: i32, tid: i32, sig: u32, info: &SigInfo) -> Result {
    // SAFETY: the kernel reads the siginfo.
    unsafe { syscall!(__NR_rt_tgsigqueueinfo, tgid, tid, sig, core::ptr::from_ref(info)) }
}

/// `pause(2)`.
pub fn pause() -> Result {
    // SAFETY: no memory is involved.
    unsafe { syscall!(__NR_pause) }
}

/// The settings of the alternate signal stack.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AltStack {
    /// Its lowest address.
    pub sp: u64,
    /// `SS_*`.
    pub flags: u32,
    /// Its size.
    pub size: u64,
}

/// `sigaltstack(2)`: sets, if asked to, and returns what was set before.
pub fn sigaltstack(new: Option<AltStack>) -> Result<AltStack> {
    let stack = |a: AltStack| abi::stack_t {
        ss_sp: core::ptr::with_exposed_provenance_mut(a.sp as usize),
        ss_flags: a.flags as i32,
        ss_size: a.size,
    };
    let new = new.map(stack);
    let mut old = stack(AltStack { sp: 0, flags: 0, size: 0 });
    let new = new.as_ref().map_or(core::ptr::null(), core::ptr::from_ref);
    // SAFETY: the kernel reads one structure and writes the other.
    unsafe { syscall!(__NR_sigaltstack, new, core::ptr::from_mut(&mut old)) }?;
    Ok(AltStack { sp: old.ss_sp as u64, flags: old.ss_flags as u32, size: old.ss_size })
}
