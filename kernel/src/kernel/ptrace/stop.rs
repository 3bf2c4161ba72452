// SPDX-License-Identifier: GPL-2.0-only
//! The tracee's side: it stops, says why, and goes on as its tracer tells it (Linux 6.1,
//! `kernel/signal.c`, `ptrace_stop`; `include/linux/ptrace.h`, `ptrace_event`).

use super::pt;
use crate::arch::x86::kernel::step::user_single_step_report;
use crate::arch::x86::ptrace::PtRegs;
use crate::kernel::exit::{ptrace_reparented, tracer_of};
use crate::kernel::sched::schedule;
use crate::kernel::signal::jobctl::{clear_jobctl_pending, participate_group_stop, recalc_sigpending_tsk};
use crate::kernel::signal::notify::{do_notify_parent_cldstop, do_notify_tracer};
use crate::kernel::signal::send::send_signal_locked;
use crate::kernel::signal::siginfo::{KernelSiginfo, SI_USER, SigFields, cld};
use crate::kernel::signal::sigset::SIGTRAP;
use crate::kernel::signal::state::{jobctl_bits, signal_flags};
use crate::kernel::signal::{PidType, SendInfo, Siglock, fatal_signal_pending, send_sig, with_siglock};
use crate::kernel::task::{Current, TASK_TRACED, current};
use core::sync::atomic::Ordering::{Relaxed, SeqCst};
use linux_raw_sys::ptrace as nr;

/// Why a thread stops.
struct Stop<'a> {
    /// What `wait` shows of it, above the 0x7f.
    code: i32,
    /// `CLD_*`.
    why: i32,
    /// What `PTRACE_GETEVENTMSG` returns.
    message: u64,
    info: Option<&'a KernelSiginfo>,
}

/// Begins a stop, under the siglock. `None` if there is nobody (any more) to stop for; else
/// whether the group's stop is complete by it.
fn enter_stop(l: &Siglock, cur: Current, s: &Stop<'_>) -> Option<bool> {
    if !cur.ptrace.traced() || fatal_signal_pending(&cur) {
        return None;
    }
    cur.state.store(TASK_TRACED, SeqCst);
    cur.sig.jobctl_set(l, jobctl_bits::TRACED);
    cur.ptrace.message.store(s.message, Relaxed);
    *cur.ptrace.last_siginfo.lock(l) = s.info.copied();
    cur.exit_code.store(s.code as u32, Relaxed);
    let group_done = s.why == cld::STOPPED
        && cur.sig.jobctl() & jobctl_bits::STOP_PENDING != 0
        && participate_group_stop(l, &cur);
    clear_jobctl_pending(l, &cur, jobctl_bits::TRAP_STOP);
    if s.info.is_some_and(|i| i.si_code >> 8 == nr::PTRACE_EVENT_STOP as i32) {
        clear_jobctl_pending(l, &cur, jobctl_bits::TRAP_NOTIFY);
    }
    cur.sig.jobctl_clear(l, jobctl_bits::TRAPPING);
    Some(group_done)
}

/// Stops the current thread for its tracer; returns the signal with which it is to go on, and
/// the siginfo, which the tracer may have replaced (`ptrace_stop`).
fn ptrace_stop(s: &Stop<'_>) -> (i32, Option<KernelSiginfo>) {
    let cur = current();
    let Some(group_done) = with_siglock(&cur, |l| enter_stop(l, cur, s)) else {
        return (s.code, s.info.copied());
    };
    // The tracer hears of every stop, the parent of those of the whole group.
    if cur.ptrace.traced() {
        do_notify_tracer(&cur, s.why);
    }
    if group_done && (!cur.ptrace.traced() || ptrace_reparented(&cur)) {
        do_notify_parent_cldstop(&cur, s.why);
    }
    schedule();
    with_siglock(&cur, |l| {
        let info = cur.ptrace.last_siginfo.lock(l).take();
        cur.ptrace.message.store(0, Relaxed);
        cur.sig.jobctl_clear(l, jobctl_bits::LISTENING | jobctl_bits::PTRACE_FROZEN);
        // A signal that came during the stop has not been looked at.
        recalc_sigpending_tsk(l, &cur);
        (cur.exit_code.swap(0, Relaxed) as i32, info)
    })
}

/// A stop with a siginfo that carries the code (`ptrace_do_notify`).
fn do_notify(sig: i32, code: i32, why: i32, message: u64) -> i32 {
    let cur = current();
    let fields = SigFields::Kill { pid: cur.pid(), uid: cur.cred.lock().uid };
    let info = KernelSiginfo::new(sig, code, fields);
    ptrace_stop(&Stop { code, why, message, info: Some(&info) }).0
}

/// Stops with `SIGTRAP` and `code` above it (`ptrace_notify`); returns the signal to go on with.
pub fn ptrace_notify(code: u32, message: u64) -> i32 {
    do_notify(SIGTRAP, code as i32, cld::TRAPPED, message)
}

/// Reports an event that the tracer has asked for. Who traces in the old way learns of an
/// `execve` by a `SIGTRAP` (`ptrace_event`).
pub fn ptrace_event(event: u32, message: u64) {
    let cur = current();
    if !cur.ptrace.traced() {
        return;
    }
    if cur.ptrace.event_enabled(event) {
        ptrace_notify(event << 8 | SIGTRAP as u32, message);
    } else if event == nr::PTRACE_EVENT_EXEC && !cur.ptrace.seized() {
        let _ = send_sig(SIGTRAP, &cur, false);
    }
}

/// A system call stop. Returns false if the thread is going to die.
fn report_syscall(message: u32) -> bool {
    let cur = current();
    if !cur.ptrace.traced() {
        return true;
    }
    let good = if cur.ptrace.flags() & pt::TRACESYSGOOD != 0 { 0x80 } else { 0 };
    let sig = ptrace_notify(SIGTRAP as u32 | good, u64::from(message));
    if sig != 0 {
        let _ = send_sig(sig, &cur, true);
    }
    !fatal_signal_pending(&cur)
}

/// Before a system call; false if it must not happen (`ptrace_report_syscall_entry`).
pub fn ptrace_report_syscall_entry() -> bool {
    report_syscall(nr::PTRACE_EVENTMSG_SYSCALL_ENTRY)
}

/// After a system call; `step`: by its end a single step is complete
/// (`ptrace_report_syscall_exit`).
pub fn ptrace_report_syscall_exit(regs: &PtRegs, step: bool) {
    if step {
        user_single_step_report(regs);
    } else {
        report_syscall(nr::PTRACE_EVENTMSG_SYSCALL_EXIT);
    }
}

/// The thread has to stop with its group, or because its tracer says so (`do_jobctl_trap`).
pub fn do_jobctl_trap() {
    let cur = current();
    let mut sig = (cur.sig.jobctl() & jobctl_bits::STOP_SIGMASK) as i32;
    if cur.ptrace.seized() {
        let signal = &cur.signal;
        if signal.group_stop_count.load(Relaxed) == 0 && signal.flags() & signal_flags::STOP_STOPPED == 0 {
            sig = SIGTRAP;
        }
        do_notify(sig, sig | (nr::PTRACE_EVENT_STOP << 8) as i32, cld::STOPPED, 0);
    } else {
        ptrace_stop(&Stop { code: sig, why: cld::STOPPED, message: 0, info: None });
    }
}

/// A signal is about to be delivered: the tracer sees it, and may change or drop it
/// (`ptrace_signal`). `kind` is the queue that it came from.
pub fn ptrace_signal(mut info: KernelSiginfo, kind: PidType) -> Option<KernelSiginfo> {
    let cur = current();
    let stop = Stop { code: info.si_signo, why: cld::TRAPPED, message: 0, info: Some(&info) };
    let (sig, changed) = ptrace_stop(&stop);
    if sig == 0 {
        return None;
    }
    info = changed.unwrap_or(info);
    if sig != info.si_signo {
        let (pid, uid) = tracer_of(&cur).map_or((0, 0), |tracer| (tracer.pid(), tracer.cred.lock().uid));
        info = KernelSiginfo::new(sig, SI_USER, SigFields::Kill { pid, uid });
    }
    let requeued = with_siglock(&cur, |l| {
        let later = cur.sig.blocked().contains(sig) || fatal_signal_pending(&cur);
        if later {
            let _ = send_signal_locked(l, sig, SendInfo::Info(&info), &cur, kind);
        }
        later
    });
    (!requeued).then_some(info)
}
