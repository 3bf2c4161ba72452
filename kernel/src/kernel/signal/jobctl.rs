// SPDX-License-Identifier: GPL-2.0-only
//! Stopping, waking and ending whole thread groups, and the flag that says that a
//! thread has something to act on (Linux 6.1, `kernel/signal.c`, `do_signal_stop`,
//! `zap_other_threads`, `recalc_sigpending`).

use super::notify::do_notify_parent_cldstop;
use super::siginfo::cld;
use super::sigset::{SIGKILL, SigSet};
use super::state::{SignalStruct, jobctl_bits, signal_flags};
use super::{Siglock, with_siglock};
use crate::errno::{EAGAIN, Result};
use crate::kernel::ptrace::ptrace_trap_notify;
use crate::kernel::sched::{schedule, try_to_wake_up};
use crate::kernel::task::{
    Current, TASK_INTERRUPTIBLE, TASK_RUNNING, TASK_STOPPED, TASK_TRACED, TASK_WAKEKILL, Task, current, pf,
    tif,
};
use alloc::sync::Arc;
use core::sync::atomic::Ordering::{Relaxed, SeqCst};

/// Whether the task has a signal to act on.
#[inline]
pub fn signal_pending(t: &Task) -> bool {
    t.test_flag(tif::SIGPENDING)
}

/// Whether the task is going to die of a signal.
#[inline]
pub fn fatal_signal_pending(t: &Task) -> bool {
    signal_pending(t) && t.sig.pending.set().contains(SIGKILL)
}

/// Whether a thread's `TIF_SIGPENDING` should be set.
#[inline]
fn has_pending(t: &Task) -> bool {
    t.sig.jobctl() & jobctl_bits::PENDING_MASK != 0
        || !t.sig.pending.set().union(t.signal.shared_pending.set()).without(t.sig.blocked()).is_empty()
}

/// Sets `TIF_SIGPENDING` of a thread if there is reason; never clears it, which only
/// the thread itself may do (`recalc_sigpending_tsk`).
pub(in crate::kernel) fn recalc_sigpending_tsk(_: &Siglock, t: &Task) -> bool {
    let pending = has_pending(t);
    if pending {
        t.set_flag(tif::SIGPENDING);
    }
    pending
}

/// Brings the current thread's `TIF_SIGPENDING` up to date, under its siglock.
#[inline]
pub(super) fn recalc_sigpending_locked(_: &Siglock, cur: Current) {
    let pending = has_pending(&cur);
    if pending != cur.test_flag(tif::SIGPENDING) {
        if pending {
            cur.set_flag(tif::SIGPENDING);
        } else {
            cur.clear_flag(tif::SIGPENDING);
        }
    }
}

/// Brings the current thread's `TIF_SIGPENDING` up to date.
pub fn recalc_sigpending() {
    let cur = current();
    with_siglock(&cur, |l| recalc_sigpending_locked(l, cur));
}

/// After unblocking a signal of `t`.
pub(super) fn recalc_sigpending_and_wake(l: &Siglock, t: &Task) {
    if recalc_sigpending_tsk(l, t) {
        signal_wake_up(l, t, false);
    }
}

/// The states from which a signal wakes a thread; a fatal one ends stops, too.
#[inline]
fn wake_mask(l: &Siglock, t: &Task, fatal: bool) -> u32 {
    t.set_flag(tif::SIGPENDING);
    if !fatal {
        return TASK_INTERRUPTIBLE;
    }
    if t.sig.jobctl() & jobctl_bits::PTRACE_FROZEN != 0 {
        // Its tracer lets go of it soon, and looks for this.
        return TASK_INTERRUPTIBLE;
    }
    t.sig.jobctl_clear(l, jobctl_bits::STOPPED | jobctl_bits::TRACED);
    TASK_INTERRUPTIBLE | TASK_WAKEKILL | TASK_TRACED
}

/// Tells a thread that it has a signal (`signal_wake_up`). The thread list must not
/// be open; where it is, use [`wake_thread`].
#[inline]
pub fn signal_wake_up(l: &Siglock, t: &Task, fatal: bool) {
    let mask = wake_mask(l, t, fatal);
    // A thread that runs sees the flag before it returns to user mode, and before it
    // sleeps. Setting the flag and reading the state are in this order for all CPUs.
    if t.state.load(SeqCst) & mask == 0 {
        return;
    }
    let threads = t.signal.threads.lock(l);
    if let Some(t) = threads.iter().find(|x| core::ptr::eq(&raw const ***x, t)) {
        try_to_wake_up(t, mask);
    }
}

/// [`signal_wake_up`] for a thread known by reference count.
#[inline]
pub(super) fn wake_thread(l: &Siglock, t: &Arc<Task>, fatal: bool) {
    let mask = wake_mask(l, t, fatal);
    if t.state.load(SeqCst) != TASK_RUNNING {
        try_to_wake_up(t, mask);
    }
}

/// Makes `SIGKILL` pending for every thread of a group, and wakes them.
pub(super) fn kill_group(l: &Siglock, t: &Task) {
    for t in t.signal.threads.lock(l).iter() {
        kill_thread(l, t);
    }
}

fn kill_thread(l: &Siglock, t: &Arc<Task>) {
    clear_jobctl_pending(l, t, jobctl_bits::PENDING_MASK);
    t.sig.pending.add(l, SIGKILL);
    wake_thread(l, t, true);
}

/// Kills all other threads of the group of `p`; returns how many there are
/// (`zap_other_threads`).
pub fn zap_other_threads(l: &Siglock, p: &Task) -> u32 {
    p.signal.group_stop_count.store(0, Relaxed);
    clear_jobctl_pending(l, p, jobctl_bits::PENDING_MASK);
    let mut count = 0;
    for t in p.signal.threads.lock(l).iter() {
        if core::ptr::eq(&raw const **t, p) {
            continue;
        }
        count += 1;
        if !t.rel.has_exited() {
            kill_thread(l, t);
        }
    }
    count
}

/// Whether the group is on its way out.
#[inline]
pub fn signal_group_exit(sig: &SignalStruct) -> bool {
    sig.flags() & signal_flags::GROUP_EXIT != 0
}

/// Starts the exit of the current thread's group, or joins one that is under way;
/// returns the code to exit with (the beginning of `do_group_exit`).
pub fn begin_group_exit(code: i32) -> i32 {
    let cur = current();
    let sig = &cur.signal;
    with_siglock(&cur, |l| {
        if signal_group_exit(sig) {
            return sig.group_exit_code.load(Relaxed);
        }
        if sig.group_exec_task.load(Relaxed) != 0 {
            return 0;
        }
        sig.group_exit_code.store(code, Relaxed);
        sig.store_flags(l, signal_flags::GROUP_EXIT);
        zap_other_threads(l, &cur);
        code
    })
}

/// The current thread is going to dump core for `sig`: the others are killed, and the
/// group dies of it (`zap_threads`, `zap_process`). False if the group is dying already.
pub fn begin_core_dump(l: &Siglock, cur: Current, sig: i32) -> bool {
    let s = &cur.signal;
    if signal_group_exit(s) || s.group_exec_task.load(Relaxed) != 0 {
        return false;
    }
    s.group_exit_code.store(sig, Relaxed);
    s.store_flags(l, signal_flags::GROUP_EXIT);
    s.group_stop_count.store(0, Relaxed);
    s.core.begin();
    for t in s.threads.lock(l).iter() {
        clear_jobctl_pending(l, t, jobctl_bits::PENDING_MASK);
        // Who ends already is not waited for, and may stand in a stop for its tracer.
        if !cur.is(t) && t.pf.load(Relaxed) & pf::POSTCOREDUMP == 0 {
            kill_thread(l, t);
        }
    }
    // What was on its way to this thread does not interrupt the dump.
    cur.clear_flag(tif::SIGPENDING);
    true
}

/// Kills all other threads of the current one's group, and waits until they are gone
/// but for a leader that stays as a zombie; `execve` calls it (the first half of
/// Linux 6.1's `de_thread`, `fs/exec.c`). Fails if the group is dying itself.
pub fn kill_other_threads(cur: &Current) -> Result {
    let sig = &cur.signal;
    if sig.thread_group_empty() {
        return Ok(());
    }
    with_siglock(cur, |l| {
        if signal_group_exit(sig) || sig.group_exec_task.load(Relaxed) != 0 {
            return Err(EAGAIN);
        }
        sig.group_exec_task.store(cur.pid(), Relaxed);
        zap_other_threads(l, cur);
        Ok(())
    })?;
    // A leader stays as a zombie; who else is traced, until its tracer has seen it.
    let gone = |t: &Arc<Task>| cur.is(t) || t.is_leader() && t.rel.has_exited();
    let others_gone = || sig.threads.with_irqs_off(|v| v.iter().all(gone));
    let r = sig.thread_gone.wait_event_killable(others_gone);
    sig.group_exec_task.store(0, Relaxed);
    r.map_err(|_| EAGAIN)
}

/// Forgets stop requests of a thread (`task_clear_jobctl_pending`).
pub(in crate::kernel) fn clear_jobctl_pending(l: &Siglock, t: &Task, mut mask: u32) {
    if mask & jobctl_bits::STOP_PENDING != 0 {
        mask |= jobctl_bits::STOP_CONSUME | jobctl_bits::STOP_DEQUEUED;
    }
    if t.sig.jobctl() & mask != 0 {
        t.sig.jobctl_clear(l, mask);
    }
    if t.sig.jobctl() & (jobctl_bits::PENDING_MASK | jobctl_bits::TRAPPING) == jobctl_bits::TRAPPING {
        // There will be no stop that its tracer could wait for.
        t.sig.jobctl_clear(l, jobctl_bits::TRAPPING);
    }
}

/// Asks a thread to stop, unless it is dying (`task_set_jobctl_pending`).
pub(in crate::kernel) fn set_jobctl_pending(l: &Siglock, t: &Task, mask: u32) -> bool {
    if fatal_signal_pending(t) || t.pf.load(Relaxed) & pf::EXITING != 0 {
        return false;
    }
    if mask & jobctl_bits::STOP_SIGMASK != 0 {
        t.sig.jobctl_clear(l, jobctl_bits::STOP_SIGMASK);
    }
    t.sig.jobctl_set(l, mask);
    true
}

/// A new thread takes part in a stop that its group is in, or on its way to
/// (`task_join_group_stop`).
pub(super) fn task_join_group_stop(l: &Siglock, t: &Task) {
    let sig = &t.signal;
    let mut mask = current().sig.jobctl() & jobctl_bits::STOP_SIGMASK;
    let count = sig.group_stop_count.load(Relaxed);
    if count != 0 {
        sig.group_stop_count.store(count + 1, Relaxed);
        mask |= jobctl_bits::STOP_CONSUME;
    } else if sig.flags() & signal_flags::STOP_STOPPED == 0 {
        return;
    }
    if set_jobctl_pending(l, t, mask | jobctl_bits::STOP_PENDING) {
        t.set_flag(tif::SIGPENDING);
    }
}

/// A thread stops, or dies instead of stopping. Returns whether the group's stop is
/// complete by that, so that the parent must know (`task_participate_group_stop`).
pub(in crate::kernel) fn participate_group_stop(l: &Siglock, t: &Task) -> bool {
    let sig = &t.signal;
    let consume = t.sig.jobctl() & jobctl_bits::STOP_CONSUME != 0;
    clear_jobctl_pending(l, t, jobctl_bits::STOP_PENDING);
    if !consume {
        return false;
    }
    let left = sig.group_stop_count.load(Relaxed).saturating_sub(1);
    sig.group_stop_count.store(left, Relaxed);
    let fresh = left == 0 && sig.flags() & signal_flags::STOP_STOPPED == 0;
    if fresh {
        sig.store_flags(l, sig.flags() & !signal_flags::STOP_MASK | signal_flags::STOP_STOPPED);
    }
    fresh
}

/// Asks all threads to stop because of `sig`. False if the stop was cancelled since
/// the signal was dequeued.
fn initiate_group_stop(l: &Siglock, cur: Current, signo: i32) -> bool {
    let sig = &cur.signal;
    if cur.sig.jobctl() & jobctl_bits::STOP_DEQUEUED == 0
        || signal_group_exit(sig)
        || sig.group_exec_task.load(Relaxed) != 0
    {
        return false;
    }
    if sig.flags() & signal_flags::STOP_STOPPED == 0 {
        sig.group_exit_code.store(signo, Relaxed);
    }
    let gstop = signo as u32 | jobctl_bits::STOP_PENDING | jobctl_bits::STOP_CONSUME;
    let mut count = u32::from(set_jobctl_pending(l, &cur, gstop));
    for t in sig.threads.lock(l).iter() {
        let stopped = t.state.load(Relaxed) & TASK_STOPPED != 0;
        if !cur.is(t) && !stopped && set_jobctl_pending(l, t, gstop) {
            count += 1;
            if t.ptrace.seized() {
                ptrace_trap_notify(l, t);
            } else {
                wake_thread(l, t, false);
            }
        }
    }
    sig.group_stop_count.store(count, Relaxed);
    true
}

/// Whether the parent must hear of a stop.
pub(super) struct Stopped {
    complete: bool,
}

/// Begins or joins a group stop, and marks the current thread as stopped. `None` if
/// there is no stop any more, or it is to be a tracee's. Without the siglock, go on with [`sleep_stopped`].
pub(super) fn enter_signal_stop(l: &Siglock, cur: Current, signo: i32) -> Option<Stopped> {
    if cur.sig.jobctl() & jobctl_bits::STOP_PENDING == 0 && !initiate_group_stop(l, cur, signo) {
        return None;
    }
    if cur.ptrace.traced() {
        // Its tracer sees the stop first: `do_jobctl_trap`.
        set_jobctl_pending(l, &cur, jobctl_bits::TRAP_STOP);
        return None;
    }
    let complete = participate_group_stop(l, &cur);
    cur.sig.jobctl_set(l, jobctl_bits::STOPPED);
    // Under the siglock: a SIGCONT or SIGKILL after this finds the state, and one
    // before it has cleared the stop.
    cur.state.store(TASK_STOPPED | TASK_WAKEKILL, SeqCst);
    Some(Stopped { complete })
}

/// Sleeps until `SIGCONT` or `SIGKILL`.
pub(super) fn sleep_stopped(cur: Current, s: &Stopped) {
    if s.complete {
        do_notify_parent_cldstop(&cur, cld::STOPPED);
    }
    schedule();
}

/// The current thread begins to exit: from now on it takes no group signals, and
/// those that it was woken for go to another thread (`exit_signals`).
pub fn exit_signals(cur: &Current) {
    let sig = &cur.signal;
    if sig.thread_group_empty() || signal_group_exit(sig) {
        cur.pf.fetch_or(pf::EXITING, Relaxed);
        return;
    }
    let stop_complete = with_siglock(cur, |l| {
        cur.pf.fetch_or(pf::EXITING, Relaxed);
        if !signal_pending(cur) {
            return false;
        }
        retarget_shared_pending(l, *cur, cur.sig.blocked().not());
        cur.sig.jobctl() & jobctl_bits::STOP_PENDING != 0 && participate_group_stop(l, cur)
    });
    if stop_complete {
        do_notify_parent_cldstop(cur, cld::STOPPED);
    }
}

/// The current thread will not take these group signals any more: lets others know
/// that they have to (`retarget_shared_pending`).
pub(super) fn retarget_shared_pending(l: &Siglock, cur: Current, which: SigSet) {
    let mut retarget = cur.signal.shared_pending.set().and(which);
    for t in cur.signal.threads.lock(l).iter() {
        if retarget.is_empty() {
            break;
        }
        if cur.is(t) || t.pf.load(Relaxed) & pf::EXITING != 0 || retarget.without(t.sig.blocked()).is_empty()
        {
            continue;
        }
        retarget = retarget.and(t.sig.blocked());
        if !signal_pending(t) {
            wake_thread(l, t, false);
        }
    }
}
