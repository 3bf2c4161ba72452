// SPDX-License-Identifier: GPL-2.0-only
//! Delivery: the current thread, about to return to user mode, takes its next signal
//! (Linux 6.1, `kernel/signal.c`, `get_signal`).

use super::action::{KSigaction, SIG_DFL, SIG_IGN, sa};
use super::altstack::SS_AUTODISARM;
use super::fatal::print_fatal_signal;
use super::force::force_sigsegv;
use super::jobctl::{Stopped, enter_signal_stop, recalc_sigpending_locked, signal_group_exit, sleep_stopped};
use super::mask::set_current_blocked;
use super::notify::{do_notify_parent_cldstop, do_notify_tracer};
use super::send::PidType;
use super::siginfo::{KernelSiginfo, SI_USER, SigFields, cld};
use super::sigset::{
    DefaultAction, KERNEL_ONLY, KERNEL_STOP, SIGALRM, SIGKILL, SIGSTOP, SIGTRAP, SigSet, default_action,
};
use super::state::{jobctl_bits, signal_flags};
use super::{Siglock, with_siglock};
use crate::fs::coredump::do_coredump;
use crate::kernel::exit::{do_group_exit, ptrace_reparented};
use crate::kernel::ptrace::{do_jobctl_trap, ptrace_notify, ptrace_signal};
use crate::kernel::task::{Current, current, pf, tif};
use crate::kernel::trace::{self, SignalAction};
use core::mem::replace;
use core::sync::atomic::Ordering::Relaxed;

/// A signal to be handled, and by what.
#[derive(Clone, Copy, Default)]
pub struct KSignal {
    /// Its information.
    pub info: KernelSiginfo,
    /// The action when it was dequeued.
    pub ka: KSigaction,
}

impl KSignal {
    /// The signal's number.
    #[inline]
    pub fn sig(&self) -> i32 {
        self.info.si_signo
    }
}

/// Takes the next signal of the current thread that `blocked` lets through: its own
/// first, then the process's (`dequeue_signal`).
#[inline]
pub fn dequeue_signal(l: &Siglock, cur: &Current, blocked: SigSet) -> Option<KernelSiginfo> {
    let mut info = KernelSiginfo::default();
    dequeue_into(l, *cur, blocked, &mut info).map(|_| info)
}

/// [`dequeue_signal`] into `info`; whose the signal was.
#[inline]
fn dequeue_into(l: &Siglock, cur: Current, blocked: SigSet, info: &mut KernelSiginfo) -> Option<PidType> {
    let mut kind = Some(PidType::Pid);
    if !cur.sig.pending.dequeue(l, blocked, info) {
        kind = cur.signal.shared_pending.dequeue(l, blocked, info).then_some(PidType::Tgid);
        if kind.is_some() && info.si_signo == SIGALRM {
            cur.signal.itimers.rearm_real();
        }
    }
    recalc_sigpending_locked(l, cur);
    if kind.is_some() && KERNEL_STOP.contains(info.si_signo) {
        // If the siglock is released before the stop, SIGCONT can still cancel it.
        cur.sig.jobctl_set(l, jobctl_bits::STOP_DEQUEUED);
    }
    kind
}

#[inline]
fn dequeue_next(l: &Siglock, cur: Current, info: &mut KernelSiginfo) -> Option<PidType> {
    let blocked = cur.sig.blocked();
    if cur.sig.pending.dequeue_synchronous(l, blocked, info) {
        recalc_sigpending_locked(l, cur);
        return Some(PidType::Pid);
    }
    dequeue_into(l, cur, blocked, info)
}

/// What a look at the pending signals came to; everything but the first two happens
/// without the siglock.
enum Step {
    /// Nothing left to do.
    Done,
    /// A handler has to run.
    Handle,
    /// Tell the parent that the group stopped or continued (`CLD_*`).
    NotifyParent(i32),
    /// The thread has to stop.
    Sleep(Stopped),
    /// A job control signal stops the group, unless the process group is orphaned.
    StopUnlessOrphaned,
    /// The thread has to stop for its tracer.
    Trap,
    /// The tracer has to see the signal, which is from this queue, first.
    ShowTracer(PidType),
    /// The process dies; `news` if it is this signal that ends it.
    Die { news: bool },
}

/// What becomes of a dequeued signal.
#[derive(Debug, PartialEq, Eq)]
enum Disposition {
    Ignore,
    Handler,
    Stop,
    Die,
}

/// Decides from the action, for a process that is `unkillable` or not.
#[inline]
fn disposition(sig: i32, action: &KSigaction, unkillable: bool) -> Disposition {
    match action.handler {
        SIG_IGN => return Disposition::Ignore,
        SIG_DFL => {}
        _ => return Disposition::Handler,
    }
    match default_action(sig) {
        DefaultAction::Ignore => Disposition::Ignore,
        _ if unkillable && !KERNEL_ONLY.contains(sig) => Disposition::Ignore,
        DefaultAction::Stop => Disposition::Stop,
        DefaultAction::Core | DefaultAction::Terminate => Disposition::Die,
    }
}

/// What the last step, outside the siglock, has found out.
#[derive(Clone, Copy)]
enum Resume {
    Nothing,
    /// The job control signal does not come from an orphan's terminal.
    Stop,
    /// The tracer lets the signal through.
    Seen,
}

/// Takes the next signal that is to be acted on into `k`; else what comes before it. `stop`: the
/// one in `k` stops the group.
#[inline]
fn next_signal(l: &mut Siglock, cur: Current, k: &mut KSignal, stop: bool) -> Option<Step> {
    let sig = &cur.signal;
    if stop && let Some(s) = enter_signal_stop(l, cur, k.sig()) {
        return Some(Step::Sleep(s));
    }
    if signal_group_exit(sig) || sig.group_exec_task.load(Relaxed) != 0 {
        return Some(join_group_exit(l, cur, k));
    }
    let jobctl = cur.sig.jobctl();
    if jobctl & jobctl_bits::PENDING_MASK != 0 {
        if jobctl & jobctl_bits::STOP_PENDING != 0
            && let Some(s) = enter_signal_stop(l, cur, 0)
        {
            return Some(Step::Sleep(s));
        }
        if cur.sig.jobctl() & jobctl_bits::TRAP_MASK != 0 {
            return Some(Step::Trap);
        }
    }
    let Some(kind) = dequeue_next(l, cur, &mut k.info) else { return Some(Step::Done) };
    if cur.ptrace.traced() && tracer_sees(l, cur, k.sig()) {
        return Some(Step::ShowTracer(kind));
    }
    None
}

/// Looks at the pending signals until there is something to do.
#[inline]
fn next_step(l: &mut Siglock, cur: Current, k: &mut KSignal, resume: Resume) -> Step {
    let sig = &cur.signal;
    let (mut stop, mut seen) = match resume {
        Resume::Nothing => (false, false),
        Resume::Stop => (true, false),
        Resume::Seen => (false, true),
    };
    if !stop && !seen && sig.flags() & signal_flags::CLD_MASK != 0 {
        // SIGCONT has continued the group; the first thread to get here says so.
        let continued = sig.flags() & signal_flags::CLD_CONTINUED != 0;
        sig.store_flags(l, sig.flags() & !signal_flags::CLD_MASK);
        return Step::NotifyParent(if continued { cld::CONTINUED } else { cld::STOPPED });
    }
    loop {
        if !replace(&mut seen, false)
            && let Some(step) = next_signal(l, cur, k, replace(&mut stop, false))
        {
            return step;
        }
        let signo = k.sig();
        let unkillable = sig.flags() & signal_flags::UNKILLABLE != 0;
        let action = &mut l[signo];
        match disposition(signo, action, unkillable) {
            Disposition::Ignore => trace_deliver(cur, &k.info, SignalAction::Ignore),
            Disposition::Handler => {
                k.ka = *action;
                if action.flags & sa::RESETHAND != 0 {
                    action.handler = SIG_DFL;
                }
                return Step::Handle;
            }
            Disposition::Stop => {
                trace_deliver(cur, &k.info, SignalAction::Stop);
                stop = true;
                if signo != SIGSTOP {
                    return Step::StopUnlessOrphaned;
                }
            }
            Disposition::Die => return Step::Die { news: true },
        }
    }
}

/// Whether the tracer sees the signal before anything happens.
#[cold]
fn tracer_sees(l: &Siglock, cur: Current, sig: i32) -> bool {
    if sig == SIGKILL || l[sig].flags & sa::IMMUTABLE != 0 {
        return false;
    }
    // A tracer may turn any signal into one that stops.
    cur.sig.jobctl_set(l, jobctl_bits::STOP_DEQUEUED);
    true
}

#[inline]
fn trace_deliver(cur: Current, info: &KernelSiginfo, action: SignalAction) {
    trace::signal_deliver(&cur, info, cur.pt_regs(), action);
}

/// Takes the current thread's next signal that has a handler into `k`; default actions
/// happen in here. Returns false if there is no signal (any more), and not at all
/// if one was fatal.
#[inline]
pub fn get_signal(cur: &Current, k: &mut KSignal) -> bool {
    if !cur.test_flag(tif::SIGPENDING) {
        return false;
    }
    let mut resume = Resume::Nothing;
    loop {
        match with_siglock(cur, |l| next_step(l, *cur, k, replace(&mut resume, Resume::Nothing))) {
            Step::Done => return false,
            Step::Handle => {
                trace_deliver(*cur, &k.info, SignalAction::Handler);
                return true;
            }
            Step::NotifyParent(why) => notify_of_group(*cur, why),
            Step::Sleep(s) => sleep_stopped(*cur, &s),
            Step::StopUnlessOrphaned => {
                if !super::kill::is_pgrp_orphaned(cur.signal.pgrp()) {
                    resume = Resume::Stop;
                }
            }
            Step::Trap => do_jobctl_trap(),
            Step::ShowTracer(kind) => {
                if let Some(info) = ptrace_signal(k.info, kind) {
                    k.info = info;
                    resume = Resume::Seen;
                }
            }
            Step::Die { news } => {
                if news {
                    let core = matches!(default_action(k.sig()), DefaultAction::Core);
                    trace_deliver(*cur, &k.info, if core { SignalAction::Core } else { SignalAction::Kill });
                }
                die(*cur, &k.info)
            }
        }
    }
}

/// The group has stopped or continued: the parent must know, and the leader's tracer.
#[cold]
fn notify_of_group(cur: Current, why: i32) {
    do_notify_parent_cldstop(&cur, why);
    if let Some(leader) = cur.signal.group_leader()
        && ptrace_reparented(&leader)
    {
        do_notify_tracer(&leader, why);
    }
}

/// The default action that ends the process.
#[cold]
fn die(cur: Current, info: &KernelSiginfo) -> ! {
    cur.pf.fetch_or(pf::SIGNALED, Relaxed);
    if matches!(default_action(info.si_signo), DefaultAction::Core) {
        print_fatal_signal(cur, info.si_signo);
        do_coredump(info);
    }
    do_group_exit(info.si_signo)
}

/// The group is dying already. The thread that finds the signal that did it in a
/// queue is the one to report it.
#[cold]
fn join_group_exit(l: &Siglock, cur: Current, k: &mut KSignal) -> Step {
    let sig = &cur.signal;
    let fatal = sig.group_exit_code.load(Relaxed) & 0x7f;
    let only = |sig| SigSet::of(sig).not();
    let mut news = false;
    if fatal != 0 {
        news = sig.shared_pending.dequeue(l, only(fatal), &mut k.info);
        if !news && (fatal != SIGKILL || sig.thread_group_empty()) {
            news = cur.sig.pending.dequeue(l, only(fatal), &mut k.info);
        }
    }
    cur.sig.pending.del(l, SIGKILL);
    recalc_sigpending_locked(l, cur);
    if !news {
        k.info = KernelSiginfo::new(SIGKILL, SI_USER, SigFields::Kill { pid: 0, uid: 0 });
    }
    Step::Die { news }
}

/// The handler's frame is written, or could not be; `stepping`: the tracer asked for a step
/// (`signal_setup_done`).
#[inline]
pub fn signal_setup_done(failed: bool, k: &KSignal, stepping: bool) {
    if failed {
        force_sigsegv(k.sig());
        return;
    }
    signal_delivered(k);
    if stepping {
        // The step that the tracer asked for ends before the handler's first instruction.
        ptrace_notify(SIGTRAP as u32, 0);
    }
}

/// The handler will run: with its mask blocked, and without an alternate stack that
/// disarms itself.
#[inline]
fn signal_delivered(k: &KSignal) {
    let cur = current();
    // The frame holds the mask that was saved.
    if cur.test_flag(tif::RESTORE_SIGMASK) {
        cur.clear_flag(tif::RESTORE_SIGMASK);
    }
    let mut blocked = cur.sig.blocked().union(k.ka.mask);
    if k.ka.flags & sa::NODEFER == 0 {
        blocked = blocked.union(SigSet::of(k.sig()));
    }
    set_current_blocked(blocked);
    if cur.sig.altstack.get().flags & SS_AUTODISARM != 0 {
        cur.sig.altstack.reset();
    }
}

#[cfg(test)]
mod tests {
    use super::super::sigset::{SIGCHLD, SIGSEGV, SIGTERM, SIGTSTP};
    use super::*;

    #[test]
    fn dispositions() {
        let dfl = KSigaction::default();
        let ign = KSigaction { handler: SIG_IGN, ..dfl };
        let handler = KSigaction { handler: 0x1000, ..dfl };
        assert_eq!(disposition(SIGTERM, &dfl, false), Disposition::Die);
        assert_eq!(disposition(SIGSEGV, &dfl, false), Disposition::Die);
        assert_eq!(disposition(SIGCHLD, &dfl, false), Disposition::Ignore);
        assert_eq!(disposition(SIGTSTP, &dfl, false), Disposition::Stop);
        assert_eq!(disposition(SIGSTOP, &dfl, true), Disposition::Stop);
        assert_eq!(disposition(SIGTERM, &dfl, true), Disposition::Ignore);
        assert_eq!(disposition(SIGKILL, &dfl, true), Disposition::Die);
        assert_eq!(disposition(SIGTERM, &ign, false), Disposition::Ignore);
        assert_eq!(disposition(SIGTERM, &handler, true), Disposition::Handler);
    }
}
