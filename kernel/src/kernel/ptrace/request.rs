// SPDX-License-Identifier: GPL-2.0-only
//! `ptrace(2)` and what a tracer may ask of a stopped tracee (Linux 6.1, `kernel/ptrace.c`,
//! `ptrace_request`).

use super::{Tracee, pt, ptrace_attach, ptrace_detach, ptrace_signal_wake_up, ptrace_traceme};
use crate::arch::x86::ia32::in_compat_syscall;
use crate::arch::x86::ia32::siginfo::{copy_siginfo_from_user32, to_compat};
use crate::arch::x86::kernel::ptrace::regset::ptrace_regset;
use crate::arch::x86::kernel::ptrace::{arch_ptrace, ia32_arch_ptrace};
use crate::arch::x86::kernel::step::{
    user_disable_single_step, user_enable_block_step, user_enable_single_step,
};
use crate::arch::x86::lib::usercopy::{copy_to_user, get_user, put_user};
use crate::arch::x86::syscall::{syscall_get_arch, syscall_get_arguments};
use crate::errno::{EINVAL, EIO, EPERM, ESRCH, Result};
use crate::kernel::fork::find_task;
use crate::kernel::sched::try_to_wake_up;
use crate::kernel::seccomp::{Mode, seccomp_get_filter, seccomp_get_metadata};
use crate::kernel::signal::jobctl::set_jobctl_pending;
use crate::kernel::signal::siginfo::{SI_MAX_SIZE, copy_siginfo_from_user, copy_siginfo_to_user};
use crate::kernel::signal::sigset::{KERNEL_ONLY, SIGKILL, SIGTRAP, SigSet, valid_signal};
use crate::kernel::signal::state::jobctl_bits;
use crate::kernel::signal::{KernelSiginfo, PidType, SendInfo, send, with_siglock};
use crate::kernel::task::{TASK_TRACED, Task, current, tif};
use crate::mm::Mm;
use crate::mm::mm_struct::SUID_DUMP_USER;
use alloc::sync::Arc;
use core::sync::atomic::Ordering::Relaxed;
use linux_raw_sys::general::CAP_SYS_ADMIN;
use linux_raw_sys::ptrace as nr;
use zerocopy::{Immutable, IntoBytes};

// Requests that `linux-raw-sys` does not name.
const PTRACE_OLDSETOPTIONS: u32 = 21;
const PTRACE_SYSEMU: u32 = 31;
const PTRACE_SYSEMU_SINGLESTEP: u32 = 32;
const PTRACE_SINGLEBLOCK: u32 = 33;
const PTRACE_SYSCALL_INFO_SECCOMP: u32 = 3;
const PTRACE_GET_RSEQ_CONFIGURATION: u32 = 0x420f;

/// A signal number, or 0, that comes as a word.
pub(super) fn valid_data(data: usize) -> Result<u32> {
    match u32::try_from(data) {
        Ok(sig) if sig == 0 || valid_signal(sig as i32) => Ok(sig),
        _ => Err(EIO),
    }
}

/// Whether options (`PTRACE_O_*`) can be set (`check_ptrace_options`). Only root suspends seccomp,
/// and nobody who is subject to it.
///
/// # Errors
/// `EINVAL`, `EPERM`.
pub(super) fn check_options(options: usize) -> Result {
    if options & !(nr::PTRACE_O_MASK as usize) != 0 {
        return Err(EINVAL);
    }
    if options & nr::PTRACE_O_SUSPEND_SECCOMP as usize != 0 {
        let cur = current();
        let subject = cur.seccomp.status().0 != Mode::Disabled || cur.ptrace.seccomp_suspended();
        if subject || !cur.cred.get().capable(CAP_SYS_ADMIN) {
            return Err(EPERM);
        }
    }
    Ok(())
}

/// `ptrace(2)`.
pub fn sys_ptrace(request: usize, pid: i32, addr: usize, data: usize) -> Result<usize> {
    let request = u32::try_from(request).unwrap_or(u32::MAX);
    if request == nr::PTRACE_TRACEME {
        return ptrace_traceme();
    }
    let t = find_task(pid).ok_or(ESRCH)?;
    match request {
        nr::PTRACE_ATTACH | nr::PTRACE_SEIZE => ptrace_attach(&t, request, addr, data),
        nr::PTRACE_KILL | nr::PTRACE_INTERRUPT if !super::is_mine(&t) => Err(ESRCH),
        nr::PTRACE_KILL => {
            let _ = send::do_send_sig_info(SIGKILL, SendInfo::NoInfo, &t, PidType::Pid);
            Ok(0)
        }
        nr::PTRACE_INTERRUPT => ptrace_interrupt(&t),
        _ => {
            let tracee = Tracee::freeze(t).ok_or(ESRCH)?;
            if request == nr::PTRACE_DETACH {
                return ptrace_detach(&tracee, data);
            }
            if is_resume(request) {
                return ptrace_resume(&tracee, request, data);
            }
            if in_compat_syscall() {
                compat_ptrace_request(&tracee, request, addr, data)
            } else {
                ptrace_request(&tracee, request, addr, data)
            }
        }
    }
}

/// `PTRACE_INTERRUPT`: a seized tracee stops, whatever it does.
fn ptrace_interrupt(t: &Arc<Task>) -> Result<usize> {
    if !t.ptrace.seized() {
        return Err(EIO);
    }
    with_siglock(t, |l| {
        if set_jobctl_pending(l, t, jobctl_bits::TRAP_STOP) {
            ptrace_signal_wake_up(l, t, t.sig.jobctl() & jobctl_bits::LISTENING != 0);
        }
    });
    Ok(0)
}

fn is_resume(request: u32) -> bool {
    matches!(
        request,
        nr::PTRACE_CONT
            | nr::PTRACE_SYSCALL
            | nr::PTRACE_SINGLESTEP
            | PTRACE_SINGLEBLOCK
            | PTRACE_SYSEMU
            | PTRACE_SYSEMU_SINGLESTEP
    )
}

/// The tracee goes on, with the signal `data` (`ptrace_resume`).
fn ptrace_resume(t: &Tracee, request: u32, data: usize) -> Result<usize> {
    let sig = valid_data(data)?;
    let set = |on: bool, flag: u32| if on { t.set_flag(flag) } else { t.clear_flag(flag) };
    set(request == nr::PTRACE_SYSCALL, tif::SYSCALL_TRACE);
    set(matches!(request, PTRACE_SYSEMU | PTRACE_SYSEMU_SINGLESTEP), tif::SYSCALL_EMU);
    match request {
        PTRACE_SINGLEBLOCK => user_enable_block_step(t),
        nr::PTRACE_SINGLESTEP | PTRACE_SYSEMU_SINGLESTEP => user_enable_single_step(t),
        _ => user_disable_single_step(t),
    }
    with_siglock(t, |l| {
        t.exit_code.store(sig, Relaxed);
        t.sig.jobctl_clear(l, jobctl_bits::TRACED);
        try_to_wake_up(t, TASK_TRACED);
    });
    Ok(0)
}

/// What does not make the tracee go on.
fn ptrace_request(t: &Tracee, request: u32, addr: usize, data: usize) -> Result<usize> {
    if let Some(r) = arch_ptrace(t, request, addr, data) {
        return r;
    }
    match request {
        nr::PTRACE_GETREGSET | nr::PTRACE_SETREGSET => {
            let [base, len]: [u64; 2] = get_user(data)?;
            let write = request == nr::PTRACE_SETREGSET;
            let len = ptrace_regset(t, write, addr, base as usize, len as usize)?;
            put_user(data + 8, &(len as u64)).map(|()| 0)
        }
        nr::PTRACE_GETEVENTMSG => put_user(data, &t.ptrace.message()).map(|()| 0),
        nr::PTRACE_GETSIGINFO => copy_siginfo_to_user(data, &last_siginfo(t)?).map(|()| 0),
        nr::PTRACE_SETSIGINFO => setsiginfo(t, copy_siginfo_from_user(get_user(data)?, data)?),
        _ => common_request(t, request, addr, data),
    }
}

/// The same of a tracer whose structures are i386's (`compat_ptrace_request`).
fn compat_ptrace_request(t: &Tracee, request: u32, addr: usize, data: usize) -> Result<usize> {
    if let Some(r) = ia32_arch_ptrace(t, request, addr, data) {
        return r;
    }
    match request {
        nr::PTRACE_PEEKTEXT | nr::PTRACE_PEEKDATA => put_user(data, &peek::<4>(t, addr)?).map(|()| 0),
        nr::PTRACE_POKETEXT | nr::PTRACE_POKEDATA => poke(t, addr, &(data as u32).to_le_bytes()),
        nr::PTRACE_GETREGSET | nr::PTRACE_SETREGSET => {
            let [base, len]: [u32; 2] = get_user(data)?;
            let write = request == nr::PTRACE_SETREGSET;
            let len = ptrace_regset(t, write, addr, base as usize, len as usize)?;
            put_user(data + 4, &(len as u32)).map(|()| 0)
        }
        nr::PTRACE_GETEVENTMSG => put_user(data, &(t.ptrace.message() as u32)).map(|()| 0),
        nr::PTRACE_GETSIGINFO => put_user(data, &to_compat(&last_siginfo(t)?)).map(|()| 0),
        nr::PTRACE_SETSIGINFO => setsiginfo(t, copy_siginfo_from_user32(get_user(data)?, data)?),
        _ => common_request(t, request, addr, data),
    }
}

/// What is the same for both.
fn common_request(t: &Tracee, request: u32, addr: usize, data: usize) -> Result<usize> {
    match request {
        nr::PTRACE_PEEKTEXT | nr::PTRACE_PEEKDATA => put_user(data, &peek::<8>(t, addr)?).map(|()| 0),
        nr::PTRACE_POKETEXT | nr::PTRACE_POKEDATA => poke(t, addr, &data.to_le_bytes()),
        nr::PTRACE_SETOPTIONS | PTRACE_OLDSETOPTIONS => {
            check_options(data)?;
            t.ptrace.set_options(data as u32);
            Ok(0)
        }
        nr::PTRACE_PEEKSIGINFO => peeksiginfo(t, addr, data),
        nr::PTRACE_GETSIGMASK => getsigmask(t, addr, data),
        nr::PTRACE_SETSIGMASK => setsigmask(t, addr, data),
        nr::PTRACE_GET_SYSCALL_INFO => get_syscall_info(t, addr, data),
        PTRACE_GET_RSEQ_CONFIGURATION => get_rseq_configuration(t, addr, data),
        nr::PTRACE_LISTEN => listen(t),
        nr::PTRACE_SECCOMP_GET_FILTER => seccomp_get_filter(t, addr as u64, data),
        nr::PTRACE_SECCOMP_GET_METADATA => seccomp_get_metadata(t, addr, data),
        _ => Err(EIO),
    }
}

/// The tracee's memory, if it is its user's, or the tracer may see just anybody's
/// (`ptrace_access_vm`).
fn memory(t: &Tracee) -> Result<Arc<Mm>> {
    let seen = |mm: &Arc<Mm>| mm.dumpable() == SUID_DUMP_USER || t.ptrace.tracer_capable();
    t.get_mm().filter(seen).ok_or(EIO)
}

fn peek<const N: usize>(t: &Tracee, addr: usize) -> Result<[u8; N]> {
    let mut word = [0; N];
    if memory(t)?.access_read(addr, &mut word) == N { Ok(word) } else { Err(EIO) }
}

fn poke(t: &Tracee, addr: usize, word: &[u8]) -> Result<usize> {
    if memory(t)?.access_write(addr, word) == word.len() { Ok(0) } else { Err(EIO) }
}

/// Replaces the siginfo of the present stop.
fn setsiginfo(t: &Tracee, info: KernelSiginfo) -> Result<usize> {
    last_siginfo(t)?;
    with_siglock(t, |l| *t.ptrace.last_siginfo().lock(l) = Some(info));
    Ok(0)
}

/// The siginfo of the present stop: `EINVAL` if it is one of the whole group.
fn last_siginfo(t: &Tracee) -> Result<KernelSiginfo> {
    with_siglock(t, |l| *t.ptrace.last_siginfo().lock(l)).ok_or(EINVAL)
}

/// `PTRACE_LISTEN`: the tracee stays stopped, and tells what happens to its group.
fn listen(t: &Tracee) -> Result<usize> {
    if !t.ptrace.seized() {
        return Err(EIO);
    }
    with_siglock(t, |l| {
        let code = t.ptrace.last_siginfo().lock(l).map(|i| i.si_code);
        if code.is_none_or(|c| c >> 8 != nr::PTRACE_EVENT_STOP as i32) {
            return Err(EIO);
        }
        t.sig.jobctl_set(l, jobctl_bits::LISTENING);
        if t.sig.jobctl() & jobctl_bits::TRAP_NOTIFY != 0 {
            ptrace_signal_wake_up(l, t, true);
        }
        Ok(0)
    })
}

/// `PTRACE_PEEKSIGINFO`: copies of queued signals' information; returns how many.
fn peeksiginfo(t: &Tracee, args: usize, to: usize) -> Result<usize> {
    let [off, flags_and_nr]: [u64; 2] = get_user(args)?;
    let (flags, n) = (flags_and_nr as u32, (flags_and_nr >> 32) as i32);
    if flags & !nr::PTRACE_PEEKSIGINFO_SHARED != 0 || n < 0 {
        return Err(EINVAL);
    }
    let shared = flags & nr::PTRACE_PEEKSIGINFO_SHARED != 0;
    let pending = if shared { &t.signal.shared_pending } else { &t.sig.pending };
    let mut done = 0;
    while done < n as usize {
        let Some(at) = usize::try_from(off).ok().and_then(|o| o.checked_add(done)) else { break };
        let Some(info) = with_siglock(t, |l| pending.nth(l, at)) else { break };
        let to = to + done * SI_MAX_SIZE;
        let copied = if in_compat_syscall() {
            put_user(to, &to_compat(&info))
        } else {
            copy_siginfo_to_user(to, &info)
        };
        if let Err(e) = copied {
            return if done > 0 { Ok(done) } else { Err(e) };
        }
        done += 1;
    }
    Ok(done)
}

fn getsigmask(t: &Tracee, size: usize, to: usize) -> Result<usize> {
    if size != size_of::<SigSet>() {
        return Err(EINVAL);
    }
    let set = if t.test_flag(tif::RESTORE_SIGMASK) { t.sig.saved_sigmask() } else { t.sig.blocked() };
    put_user(to, &set.0)?;
    Ok(0)
}

fn setsigmask(t: &Tracee, size: usize, from: usize) -> Result<usize> {
    if size != size_of::<SigSet>() {
        return Err(EINVAL);
    }
    let set = SigSet(get_user(from)?).without(KERNEL_ONLY);
    // Every tracee looks at its signals when it goes on.
    with_siglock(t, |l| t.sig.store_blocked(l, set));
    t.clear_flag(tif::RESTORE_SIGMASK);
    Ok(0)
}

/// `PTRACE_GET_RSEQ_CONFIGURATION`: where the tracee has registered, size and signature.
fn get_rseq_configuration(t: &Tracee, room: usize, to: usize) -> Result<usize> {
    let (at, sig) = t.rseq.get();
    let words = [at as u64, u64::from(sig) << 32 | 32, 0];
    copy_to_user(to, &words.as_bytes()[..room.min(24)])?;
    Ok(24)
}

/// `struct ptrace_syscall_info`: as much as there is to say of a call.
#[repr(C)]
#[derive(Default, IntoBytes, Immutable)]
struct SyscallInfo {
    op: u8,
    _pad: [u8; 3],
    arch: u32,
    ip: u64,
    sp: u64,
    /// Entry: the number and six arguments, for a filter that asks what it says. Exit: the result,
    /// and whether it is an error.
    rest: [u64; 8],
}

/// `PTRACE_GET_SYSCALL_INFO`: returns how much there is, and copies what there is room for.
fn get_syscall_info(t: &Tracee, room: usize, to: usize) -> Result<usize> {
    let regs = t.regs();
    let compat = t.arch_thread().compat_syscall.get();
    let mut info = SyscallInfo {
        arch: syscall_get_arch(compat),
        ip: regs.ip.get(),
        sp: regs.sp.get(),
        ..SyscallInfo::default()
    };
    let code = last_siginfo(t).map_or(0, |i| i.si_code);
    let by_filter = code == SIGTRAP | (nr::PTRACE_EVENT_SECCOMP as i32) << 8;
    let in_call = code == SIGTRAP | 0x80;
    let mut size = 24;
    match t.ptrace.message() as u32 {
        message if by_filter || in_call && message == nr::PTRACE_EVENTMSG_SYSCALL_ENTRY => {
            let op = if by_filter { PTRACE_SYSCALL_INFO_SECCOMP } else { nr::PTRACE_SYSCALL_INFO_ENTRY };
            info.op = op as u8;
            // The number is an `int` (`syscall_get_nr`).
            info.rest[0] = i64::from(regs.orig_ax.get() as i32) as u64;
            info.rest[1..7].copy_from_slice(&syscall_get_arguments(regs, compat));
            info.rest[7] = message.into();
            size = if by_filter { 84 } else { 80 };
        }
        nr::PTRACE_EVENTMSG_SYSCALL_EXIT if in_call => {
            info.op = nr::PTRACE_SYSCALL_INFO_EXIT as u8;
            // Of i386's calls only the lower half is looked at (`syscall_get_error`).
            let error = if compat { i64::from(regs.ax.get() as i32) } else { regs.ax.get() as i64 };
            let failed = (-4095..0).contains(&error);
            info.rest[0] = if failed { error as u64 } else { regs.ax.get() };
            info.rest[1] = u64::from(failed);
            size = 33;
        }
        _ => {}
    }
    copy_to_user(to, &info.as_bytes()[..size.min(room)])?;
    Ok(size)
}

const _: () = assert!(size_of::<SyscallInfo>() == 88 && pt::TRACESYSGOOD == 8);
