// SPDX-License-Identifier: GPL-2.0-only
//! Sending: from "this signal for that task" to a thread that will take it
//! (Linux 6.1, `kernel/signal.c`, `send_signal_locked`, `prepare_signal`,
//! `complete_signal`).
//!
//! 1. Effects that happen at once, whatever the receiver wants: a stop signal
//!    drops a pending `SIGCONT`, `SIGCONT` drops stop signals and continues the
//!    group ([`prepare_signal`]).
//! 2. Signals that would have no effect are dropped ([`is_ignored`]).
//! 3. The signal joins the pending set, with its information if there is room.
//! 4. A thread is chosen and woken ([`complete_signal`]); a fatal signal takes the
//!    whole group down right away.

use super::action::{KSigaction, SIG_DFL};
use super::jobctl::{clear_jobctl_pending, kill_group, signal_wake_up, wake_thread};
use super::pending::{QueueLimit, SigPending, Sigqueue};
use super::siginfo::{KernelSiginfo, SI_KERNEL, SI_USER, SigFields};
use super::sigset::{
    KERNEL_COREDUMP, KERNEL_IGNORE, KERNEL_ONLY, KERNEL_STOP, SIGCONT, SIGKILL, SIGRTMIN, SigSet,
    valid_signal,
};
use super::state::{jobctl_bits, rlimit, signal_flags};
use super::{Siglock, with_siglock};
use crate::errno::{EAGAIN, EINVAL, Result};
use crate::kernel::ptrace::ptrace_trap_notify;
use crate::kernel::sched::try_to_wake_up;
use crate::kernel::task::{TASK_STOPPED, TASK_TRACED, Task, current, pf, tif};
use alloc::sync::Arc;
use core::sync::atomic::Ordering::Relaxed;

/// Whose signal it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PidType {
    /// The thread's.
    Pid,
    /// The process's: any of its threads may take it.
    Tgid,
}

/// The information that comes with a signal.
#[derive(Clone, Copy)]
pub enum SendInfo<'a> {
    /// From the current process, as `kill(2)` says it (`SEND_SIG_NOINFO`).
    NoInfo,
    /// From the kernel (`SEND_SIG_PRIV`).
    Priv,
    /// As given.
    Info(&'a KernelSiginfo),
}

impl SendInfo<'_> {
    /// Whether user mode is behind it, so that permission matters (`si_fromuser`).
    pub const fn from_user(self) -> bool {
        match self {
            Self::NoInfo => true,
            Self::Priv => false,
            Self::Info(i) => i.from_user(),
        }
    }

    /// Whether it reaches the first process even if that has not asked for it.
    #[inline]
    const fn is_forced(self) -> bool {
        match self {
            Self::NoInfo => false,
            Self::Priv => true,
            Self::Info(i) => i.si_code == SI_KERNEL && i.has_pid_and_uid(),
        }
    }

    /// Whether it is queued beyond the user's limit: a standard signal that has
    /// information from the kernel or from `kill`.
    #[inline]
    const fn overrides_rlimit(self, sig: i32) -> bool {
        sig < SIGRTMIN
            && match self {
                Self::NoInfo | Self::Priv => true,
                Self::Info(i) => i.si_code >= 0,
            }
    }

    /// Whether the sender must be told that there was no room for the information:
    /// only who queues a real-time signal relies on it.
    #[inline]
    const fn needs_queue(self, sig: i32) -> bool {
        match self {
            Self::NoInfo | Self::Priv => false,
            Self::Info(i) => sig >= SIGRTMIN && i.si_code != SI_USER,
        }
    }

    #[inline]
    fn to_siginfo(self, sig: i32) -> KernelSiginfo {
        match self {
            Self::NoInfo => {
                let cur = current();
                let uid = cur.cred.lock().uid;
                KernelSiginfo::new(sig, SI_USER, SigFields::Kill { pid: cur.tgid, uid })
            }
            Self::Priv => KernelSiginfo::kernel(sig),
            Self::Info(i) => *i,
        }
    }
}

/// What decides whether a signal is dropped on arrival.
#[derive(Clone, Copy)]
struct Receiver<'a> {
    action: &'a KSigaction,
    /// Blocked, now or in truth: the action may change before it is unblocked.
    blocked: bool,
    /// Its tracer may want to know even of what is ignored.
    traced: bool,
    /// The first process.
    unkillable: bool,
}

/// Whether a signal would have no effect (`sig_ignored`).
#[inline]
fn is_ignored(r: Receiver<'_>, sig: i32, force: bool) -> bool {
    if r.blocked || (r.traced && sig != SIGKILL) {
        return false;
    }
    if r.unkillable && r.action.handler == SIG_DFL && !(force && KERNEL_ONLY.contains(sig)) {
        return true;
    }
    r.action.ignores(sig)
}

/// What a signal does at once.
#[derive(Debug, PartialEq, Eq)]
enum AtOnce {
    /// The group is dying: no signal matters any more.
    Drop,
    /// The group is dying, but writes a core dump first: this ends that.
    Kill,
    /// Forget a pending `SIGCONT`.
    FlushCont,
    /// Continue the group.
    Continue,
    Nothing,
}

#[inline]
fn at_once(sig: i32, signal_flags: u32, dumping: bool) -> AtOnce {
    if signal_flags & signal_flags::GROUP_EXIT != 0 {
        if dumping && sig == SIGKILL { AtOnce::Kill } else { AtOnce::Drop }
    } else if KERNEL_STOP.contains(sig) {
        AtOnce::FlushCont
    } else if sig == SIGCONT {
        AtOnce::Continue
    } else {
        AtOnce::Nothing
    }
}

/// The effects at generation time; returns whether the signal is to be delivered.
#[inline]
fn prepare_signal(l: &mut Siglock, sig: i32, t: &Task, force: bool) -> bool {
    match at_once(sig, t.signal.flags(), t.signal.core.in_progress()) {
        AtOnce::Drop => return false,
        AtOnce::Kill => return true,
        AtOnce::FlushCont => flush_group(l, t, SigSet::of(SIGCONT)),
        AtOnce::Continue => continue_group(l, t),
        AtOnce::Nothing => {}
    }
    let r = Receiver {
        action: &l[sig],
        blocked: t.sig.blocked().union(t.sig.real_blocked()).contains(sig),
        traced: t.ptrace.traced(),
        unkillable: t.signal.flags() & signal_flags::UNKILLABLE != 0,
    };
    !is_ignored(r, sig, force)
}

/// Forgets signals of a whole group.
#[cold]
fn flush_group(l: &Siglock, t: &Task, mask: SigSet) {
    t.signal.shared_pending.flush(l, mask);
    for t in t.signal.threads.lock(l).iter() {
        t.sig.pending.flush(l, mask);
    }
}

/// `SIGCONT` ends a group stop, finished or not. The first thread to run tells the
/// parent (see `deliver.rs`).
#[cold]
fn continue_group(l: &Siglock, t: &Task) {
    let sig = &t.signal;
    flush_group(l, t, KERNEL_STOP);
    for t in sig.threads.lock(l).iter() {
        clear_jobctl_pending(l, t, jobctl_bits::STOP_PENDING);
        if t.ptrace.seized() {
            ptrace_trap_notify(l, t);
        } else {
            t.sig.jobctl_clear(l, jobctl_bits::STOPPED);
            try_to_wake_up(t, TASK_STOPPED);
        }
    }
    let why = if sig.flags() & signal_flags::STOP_STOPPED != 0 {
        signal_flags::CLD_CONTINUED
    } else if sig.group_stop_count.load(Relaxed) != 0 {
        // As if the stop had finished and then been continued: one SIGCHLD is all
        // that the parent could get of the two.
        signal_flags::CLD_STOPPED
    } else {
        return;
    };
    let flags = sig.flags() & !signal_flags::STOP_MASK;
    sig.store_flags(l, flags | why | signal_flags::STOP_CONTINUED);
    sig.group_stop_count.store(0, Relaxed);
    sig.group_exit_code.store(0, Relaxed);
}

/// What decides whether a thread takes a signal.
#[derive(Clone, Copy, Debug, Default)]
#[allow(clippy::struct_excessive_bools)] // independent facts, not states of one thing
struct Candidate {
    blocks: bool,
    exiting: bool,
    stopped: bool,
    running: bool,
    sigpending: bool,
}

/// Whether waking the thread for `sig` makes sense: if not, it either cannot take the
/// signal, or will look at its queues anyway (`wants_signal`).
#[inline]
fn wants_signal(c: Candidate, sig: i32) -> bool {
    !c.blocks && !c.exiting && (sig == SIGKILL || (!c.stopped && (c.running || !c.sigpending)))
}

#[inline]
fn task_wants_signal(t: &Task, sig: i32) -> bool {
    let c = Candidate {
        blocks: t.sig.blocked().contains(sig),
        exiting: t.pf.load(Relaxed) & pf::EXITING != 0,
        stopped: t.state.load(Relaxed) & (TASK_STOPPED | TASK_TRACED) != 0,
        running: current().is(t),
        sigpending: t.test_flag(tif::SIGPENDING),
    };
    wants_signal(c, sig)
}

/// The index of the thread to take a group's signal, looking from `start` around once.
fn choose_thread(n: usize, start: usize, wants: impl Fn(usize) -> bool) -> Option<usize> {
    (0..n).map(|i| (start + i) % n).find(|&i| wants(i))
}

/// Whether a signal with this action ends the process (`sig_fatal`).
#[inline]
fn is_fatal(action: &KSigaction, sig: i32) -> bool {
    action.handler == SIG_DFL && !KERNEL_IGNORE.union(KERNEL_STOP).contains(sig)
}

/// Finds a thread for the signal that was just made pending, and wakes it.
#[inline]
fn complete_signal(l: &mut Siglock, sig: i32, t: &Task, kind: PidType) {
    if task_wants_signal(t, sig) {
        if !take_group_down(l, sig, t, t) {
            signal_wake_up(l, t, sig == SIGKILL);
        }
    } else if kind == PidType::Tgid && !t.signal.thread_group_empty() {
        complete_for_group(l, sig, t);
    }
    // Otherwise the one thread there is dequeues the signal before user mode runs.
}

#[cold]
fn complete_for_group(l: &mut Siglock, sig: i32, t: &Task) {
    let chosen = {
        let threads = t.signal.threads.lock(l);
        let last = t.signal.curr_target.load(Relaxed);
        let start = threads.iter().position(|t| t.pid() == last).unwrap_or(0);
        choose_thread(threads.len(), start, |i| task_wants_signal(&threads[i], sig))
            .map(|i| threads[i].clone())
    };
    let Some(chosen) = chosen else {
        return;
    };
    t.signal.curr_target.store(chosen.pid(), Relaxed);
    if !take_group_down(l, sig, t, &chosen) {
        wake_thread(l, &chosen, sig == SIGKILL);
    }
}

/// If the signal is fatal without a core dump, nobody needs to dequeue it first:
/// starts the group's exit. Returns whether it did.
#[inline]
fn take_group_down(l: &mut Siglock, sig: i32, t: &Task, taker: &Task) -> bool {
    let signal = &t.signal;
    if !is_fatal(&l[sig], sig)
        || signal.flags() & signal_flags::GROUP_EXIT != 0 && !signal.core.in_progress()
        || taker.sig.real_blocked().contains(sig)
        || (t.ptrace.traced() && sig != SIGKILL)
        || KERNEL_COREDUMP.contains(sig)
    {
        return false;
    }
    signal.store_flags(l, signal_flags::GROUP_EXIT);
    signal.group_exit_code.store(sig, Relaxed);
    signal.group_stop_count.store(0, Relaxed);
    kill_group(l, t);
    true
}

/// Queues the information, if the user's limit and the memory allow.
#[inline]
fn queue_info(l: &Siglock, p: &SigPending, sig: i32, t: &Task, info: SendInfo<'_>) -> bool {
    let limit = QueueLimit {
        user: t.cred.lock().ucounts.clone(),
        limit: t.signal.rlimit_cur(rlimit::SIGPENDING),
        override_rlimit: info.overrides_rlimit(sig),
    };
    match info {
        SendInfo::Info(info) => p.enqueue(l, info, limit),
        _ => p.enqueue(l, &info.to_siginfo(sig), limit),
    }
}

/// Sends with an explicit `force`: whether it reaches the first process
/// (`__send_signal_locked`). `SIGCHLD` is sent with `force` false.
#[inline]
pub(super) fn send_locked(
    l: &mut Siglock,
    sig: i32,
    info: SendInfo<'_>,
    t: &Task,
    kind: PidType,
    force: bool,
) -> Result {
    if !prepare_signal(l, sig, t, force) {
        return Ok(());
    }
    let p = if kind == PidType::Pid { &t.sig.pending } else { &t.signal.shared_pending };
    // One standard signal of a kind is enough.
    if sig < SIGRTMIN && p.set().contains(sig) {
        return Ok(());
    }
    // SIGKILL's information is never read.
    let queued = sig == SIGKILL || queue_info(l, p, sig, t, info);
    if !queued && info.needs_queue(sig) {
        return Err(EAGAIN);
    }
    l.sighand.signalfd_notify();
    p.add(l, sig);
    complete_signal(l, sig, t, kind);
    Ok(())
}

/// Sends a signal under the siglock of `t` (`send_signal_locked`).
#[inline]
pub fn send_signal_locked(l: &mut Siglock, sig: i32, info: SendInfo<'_>, t: &Task, kind: PidType) -> Result {
    send_locked(l, sig, info, t, kind, info.is_forced())
}

/// Sends a timer's signal in the place that it has; false if the signal is ignored
/// (`send_sigqueue`).
pub fn send_sigqueue(
    l: &mut Siglock,
    q: &Arc<Sigqueue>,
    info: &KernelSiginfo,
    t: &Task,
    kind: PidType,
) -> bool {
    let sig = info.si_signo;
    if !prepare_signal(l, sig, t, false) {
        return false;
    }
    if !q.count_overrun(l) {
        let p = if kind == PidType::Pid { &t.sig.pending } else { &t.signal.shared_pending };
        l.sighand.signalfd_notify();
        p.enqueue_timer(l, info, q);
        p.add(l, sig);
        complete_signal(l, sig, t, kind);
    }
    true
}

/// Sends a signal without asking for permission (`do_send_sig_info`).
#[inline]
pub fn do_send_sig_info(sig: i32, info: SendInfo<'_>, t: &Task, kind: PidType) -> Result {
    with_siglock(t, |l| send_signal_locked(l, sig, info, t, kind))
}

/// Sends a signal to one thread, from kernel code (`send_sig_info`). What comes from a stop that
/// its tracer has not ended is not always a signal.
///
/// # Errors
/// `EINVAL` for what is none.
fn send_to_thread(sig: i32, info: SendInfo<'_>, t: &Task) -> Result {
    if !valid_signal(sig) {
        return Err(EINVAL);
    }
    do_send_sig_info(sig, info, t, PidType::Pid)
}

/// Sends a signal with information to one thread, from kernel code.
pub fn send_sig_info(sig: i32, info: &KernelSiginfo, t: &Task) -> Result {
    send_to_thread(sig, SendInfo::Info(info), t)
}

/// Sends a signal to one thread, from kernel code: on behalf of the kernel if
/// `private`, else of the current process.
pub fn send_sig(sig: i32, t: &Task, private: bool) -> Result {
    send_to_thread(sig, if private { SendInfo::Priv } else { SendInfo::NoInfo }, t)
}

#[cfg(test)]
mod tests {
    use super::super::action::SIG_IGN;
    use super::super::sigset::{SIGCHLD, SIGSEGV, SIGSTOP, SIGTERM, SIGTSTP, SIGUSR1};
    use super::*;

    const DFL: KSigaction = KSigaction { handler: SIG_DFL, flags: 0, restorer: 0, mask: SigSet::EMPTY };
    const IGN: KSigaction = KSigaction { handler: SIG_IGN, ..DFL };
    const HANDLER: KSigaction = KSigaction { handler: 0x1000, ..DFL };

    fn to(action: &KSigaction) -> Receiver<'_> {
        Receiver { action, blocked: false, traced: false, unkillable: false }
    }

    #[test]
    fn ignored_signals_are_dropped_unless_blocked() {
        assert!(is_ignored(to(&IGN), SIGTERM, false));
        assert!(is_ignored(to(&DFL), SIGCHLD, false));
        assert!(!is_ignored(Receiver { blocked: true, ..to(&IGN) }, SIGTERM, false));
        assert!(!is_ignored(Receiver { blocked: true, ..to(&DFL) }, SIGCHLD, false));
        assert!(!is_ignored(Receiver { traced: true, ..to(&IGN) }, SIGTERM, false));
        assert!(!is_ignored(to(&DFL), SIGTERM, false) && !is_ignored(to(&HANDLER), SIGCHLD, false));
    }

    #[test]
    fn init_gets_only_what_it_asked_for() {
        let init = |action| Receiver { unkillable: true, ..to(action) };
        assert!(is_ignored(init(&DFL), SIGTERM, false));
        assert!(is_ignored(init(&DFL), SIGKILL, false));
        assert!(is_ignored(init(&DFL), SIGTERM, true));
        assert!(!is_ignored(init(&DFL), SIGKILL, true));
        assert!(!is_ignored(init(&HANDLER), SIGTERM, false));
    }

    #[test]
    fn stop_and_continue_act_at_once() {
        assert_eq!(at_once(SIGTSTP, 0, false), AtOnce::FlushCont);
        assert_eq!(at_once(SIGSTOP, 0, false), AtOnce::FlushCont);
        assert_eq!(at_once(SIGCONT, 0, false), AtOnce::Continue);
        assert_eq!(at_once(SIGTERM, 0, false), AtOnce::Nothing);
        assert_eq!(at_once(SIGKILL, signal_flags::GROUP_EXIT, false), AtOnce::Drop);
        assert_eq!(at_once(SIGKILL, signal_flags::GROUP_EXIT, true), AtOnce::Kill);
        assert_eq!(at_once(SIGTERM, signal_flags::GROUP_EXIT, true), AtOnce::Drop);
    }

    #[test]
    fn a_thread_takes_what_it_can_and_has_not_seen() {
        let idle = Candidate::default();
        assert!(wants_signal(idle, SIGTERM));
        assert!(!wants_signal(Candidate { blocks: true, ..idle }, SIGTERM));
        assert!(!wants_signal(Candidate { exiting: true, ..idle }, SIGKILL));
        assert!(!wants_signal(Candidate { stopped: true, ..idle }, SIGTERM));
        assert!(wants_signal(Candidate { stopped: true, ..idle }, SIGKILL));
        assert!(!wants_signal(Candidate { sigpending: true, ..idle }, SIGTERM));
        assert!(wants_signal(Candidate { sigpending: true, running: true, ..idle }, SIGTERM));
    }

    #[test]
    fn the_search_for_a_thread_goes_round_once() {
        assert_eq!(choose_thread(4, 2, |_| true), Some(2));
        assert_eq!(choose_thread(4, 2, |i| i < 2), Some(0));
        assert_eq!(choose_thread(4, 2, |_| false), None);
        assert_eq!(choose_thread(0, 0, |_| true), None);
    }

    #[test]
    fn fatal_means_default_and_not_harmless() {
        assert!(is_fatal(&DFL, SIGTERM) && is_fatal(&DFL, SIGSEGV) && is_fatal(&DFL, 34));
        assert!(!is_fatal(&DFL, SIGCHLD) && !is_fatal(&DFL, SIGTSTP) && !is_fatal(&HANDLER, SIGTERM));
    }

    #[test]
    fn limits_bind_only_what_may_be_refused() {
        let queue = |code| KernelSiginfo::new(0, code, SigFields::Rt { pid: 1, uid: 0, value: 0 });
        assert!(SendInfo::NoInfo.overrides_rlimit(SIGUSR1) && !SendInfo::NoInfo.overrides_rlimit(34));
        assert!(!SendInfo::Info(&queue(-1)).overrides_rlimit(SIGUSR1));
        assert!(SendInfo::Info(&queue(1)).overrides_rlimit(SIGSEGV));
        assert!(SendInfo::Info(&queue(-1)).needs_queue(34));
        assert!(!SendInfo::Info(&queue(-1)).needs_queue(SIGUSR1));
        assert!(!SendInfo::Info(&queue(SI_USER)).needs_queue(34) && !SendInfo::NoInfo.needs_queue(34));
    }
}
