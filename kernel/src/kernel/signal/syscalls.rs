// SPDX-License-Identifier: GPL-2.0-only
//! The system calls on actions, masks and pending signals (Linux 6.1,
//! `kernel/signal.c`).

use super::action::{KSigaction, do_sigaction};
use super::deliver::dequeue_signal;
use super::jobctl::{recalc_sigpending_locked, signal_pending};
use super::mask::{set_blocked_locked, set_current_blocked, sigsuspend};
use super::siginfo::{KernelSiginfo, copy_siginfo_to_user};
use super::sigset::{KERNEL_ONLY, SIGSETSIZE, SigSet};
use super::with_siglock;
use crate::arch::x86::lib::usercopy::{copy_to_user, get_user, put_user};
use crate::errno::{EAGAIN, EFAULT, EINTR, EINVAL, ERESTARTNOHAND, Result};
use crate::kernel::sched::{schedule, set_current_state};
use crate::kernel::task::{Current, TASK_INTERRUPTIBLE, TASK_RUNNING, current};
use crate::kernel::time::Timespec;
use crate::kernel::time::timekeeping::ktime_get;
use crate::kernel::wait::schedule_hrtimeout;
use linux_raw_sys::general::{SIG_BLOCK, SIG_SETMASK, SIG_UNBLOCK};
use zerocopy::IntoBytes;

/// `rt_sigaction(2)`.
pub fn sys_rt_sigaction(sig: i32, act: usize, oact: usize, sigsetsize: usize) -> Result<usize> {
    if sigsetsize != SIGSETSIZE {
        return Err(EINVAL);
    }
    let new: Option<KSigaction> = if act == 0 { None } else { Some(get_user(act)?) };
    let old = do_sigaction(&current(), sig, new.as_ref())?;
    if oact != 0 {
        put_user(oact, &old)?;
    }
    Ok(0)
}

/// What a request does to a mask.
fn apply_mask(old: SigSet, how: i32, set: SigSet) -> Result<SigSet> {
    match how as u32 {
        SIG_BLOCK => Ok(old.union(set)),
        SIG_UNBLOCK => Ok(old.without(set)),
        SIG_SETMASK => Ok(set),
        _ => Err(EINVAL),
    }
}

/// `rt_sigprocmask(2)`.
pub fn sys_rt_sigprocmask(how: i32, nset: usize, oset: usize, sigsetsize: usize) -> Result<usize> {
    if sigsetsize != SIGSETSIZE {
        return Err(EINVAL);
    }
    let old = current().sig.blocked();
    if nset != 0 {
        let set: SigSet = get_user(nset)?;
        set_current_blocked(apply_mask(old, how, set.without(KERNEL_ONLY))?);
    }
    if oset != 0 {
        put_user(oset, &old)?;
    }
    Ok(0)
}

/// What is pending and blocked.
pub fn do_sigpending() -> SigSet {
    let cur = current();
    cur.sig.pending.set().union(cur.signal.shared_pending.set()).and(cur.sig.blocked())
}

/// `rt_sigpending(2)`.
pub fn sys_rt_sigpending(uset: usize, sigsetsize: usize) -> Result<usize> {
    if sigsetsize > SIGSETSIZE {
        return Err(EINVAL);
    }
    copy_to_user(uset, &do_sigpending().as_bytes()[..sigsetsize])?;
    Ok(0)
}

/// Sleeps until a signal is pending.
pub(super) fn wait_for_signal(cur: Current) {
    while !signal_pending(&cur) {
        set_current_state(TASK_INTERRUPTIBLE);
        schedule();
    }
    set_current_state(TASK_RUNNING);
}

/// `rt_sigsuspend(2)`.
pub fn sys_rt_sigsuspend(unewset: usize, sigsetsize: usize) -> Result<usize> {
    if sigsetsize != SIGSETSIZE {
        return Err(EINVAL);
    }
    sigsuspend(get_user(unewset)?);
    Err(ERESTARTNOHAND)
}

/// `pause(2)`.
// What `/proc/PID/wchan` shows of who waits here.
#[inline(never)]
pub fn sys_pause() -> Result<usize> {
    wait_for_signal(current());
    Err(ERESTARTNOHAND)
}

/// Waits up to `timeout` nanoseconds (`None`: forever) for a signal that `others`
/// does not block (`do_sigtimedwait`).
pub fn sigtimedwait(cur: Current, others: SigSet, timeout: Option<u64>) -> Result<KernelSiginfo> {
    let poll = timeout == Some(0);
    let first = with_siglock(&cur, |l| {
        let info = dequeue_signal(l, &cur, others);
        if info.is_none() && !poll {
            // A signal of the set wakes this thread, although it stays blocked in truth
            // and thus is not dropped for being ignored.
            let blocked = cur.sig.blocked();
            cur.sig.store_real_blocked(l, blocked);
            cur.sig.store_blocked(l, blocked.and(others));
            recalc_sigpending_locked(l, cur);
        }
        info
    });
    if let Some(info) = first {
        return Ok(info);
    }
    if poll {
        return Err(EAGAIN);
    }
    set_current_state(TASK_INTERRUPTIBLE);
    let expired = schedule_hrtimeout(timeout.map_or(u64::MAX, |t| ktime_get().saturating_add(t)));
    let info = with_siglock(&cur, |l| {
        set_blocked_locked(l, cur, cur.sig.real_blocked());
        cur.sig.store_real_blocked(l, SigSet::EMPTY);
        dequeue_signal(l, &cur, others)
    });
    info.ok_or(if expired { EAGAIN } else { EINTR })
}

/// `rt_sigtimedwait(2)`.
pub fn sys_rt_sigtimedwait(uthese: usize, uinfo: usize, uts: usize, sigsetsize: usize) -> Result<usize> {
    if sigsetsize != SIGSETSIZE {
        return Err(EINVAL);
    }
    let these: SigSet = get_user(uthese)?;
    let timeout = if uts == 0 {
        None
    } else {
        let ts: Timespec = get_user(uts)?;
        Some(ts.to_ns().ok_or(EINVAL)?)
    };
    let info = sigtimedwait(current(), these.without(KERNEL_ONLY).not(), timeout)?;
    if uinfo != 0 {
        copy_siginfo_to_user(uinfo, &info).map_err(|_| EFAULT)?;
    }
    Ok(info.si_signo as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_are_added_taken_away_or_replaced() {
        let (a, b) = (SigSet(0b0110), SigSet(0b0011));
        assert_eq!(apply_mask(a, 0, b), Ok(SigSet(0b0111)));
        assert_eq!(apply_mask(a, 1, b), Ok(SigSet(0b0100)));
        assert_eq!(apply_mask(a, 2, b), Ok(b));
        assert_eq!(apply_mask(a, 9, b), Err(EINVAL));
    }
}
