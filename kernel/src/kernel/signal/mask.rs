// SPDX-License-Identifier: GPL-2.0-only
//! What a thread blocks, and masks that hold only while it waits (Linux 6.1,
//! `kernel/signal.c`, `set_current_blocked`; `include/linux/sched/signal.h`).

use super::jobctl::{recalc_sigpending_locked, retarget_shared_pending, signal_pending};
use super::sigset::{KERNEL_ONLY, SIGSETSIZE, SigSet};
use super::{Siglock, with_siglock};
use crate::arch::x86::lib::usercopy::get_user;
use crate::errno::{EINVAL, Result};
use crate::kernel::task::{Current, current, tif};

/// Blocks exactly `set` in the current thread, except what cannot be blocked.
#[inline]
pub fn set_current_blocked(set: SigSet) {
    let cur = current();
    let set = set.without(KERNEL_ONLY);
    // Nobody else changes it: if it is as it should be, there is nothing to look at.
    if cur.sig.blocked() != set {
        with_siglock(&cur, |l| set_blocked_locked(l, cur, set));
    }
}

/// [`set_current_blocked`] under the siglock (`__set_task_blocked`).
pub(super) fn set_blocked_locked(l: &Siglock, cur: Current, set: SigSet) {
    if signal_pending(&cur) && !cur.signal.thread_group_empty() {
        retarget_shared_pending(l, cur, set.without(cur.sig.blocked()));
    }
    cur.sig.store_blocked(l, set);
    recalc_sigpending_locked(l, cur);
}

/// Waits with `set` blocked: the old mask comes back after the wait, or after the
/// handler that ended it. Returns when a signal is pending, having asked for that.
pub fn sigsuspend(set: SigSet) {
    let cur = current();
    cur.sig.save_sigmask(cur.sig.blocked());
    set_current_blocked(set);
    super::syscalls::wait_for_signal(cur);
    cur.set_flag(tif::RESTORE_SIGMASK);
}

/// Blocks `set` until the system call returns; the old mask comes back then, or
/// after the handler that interrupted it (what `ppoll` and `pselect6` want).
pub fn set_restore_sigmask(set: SigSet) {
    let cur = current();
    cur.set_flag(tif::RESTORE_SIGMASK);
    cur.sig.save_sigmask(cur.sig.blocked());
    set_current_blocked(set);
}

/// [`set_restore_sigmask`] with the mask at `umask`, or nothing if that is null
/// (`set_user_sigmask`).
pub fn set_user_sigmask(umask: usize, sigsetsize: usize) -> Result {
    if umask == 0 {
        return Ok(());
    }
    if sigsetsize != SIGSETSIZE {
        return Err(EINVAL);
    }
    set_restore_sigmask(get_user(umask)?);
    Ok(())
}

/// The call is over. If it was interrupted, the mask stays for the handler to find
/// and is restored on the way to user mode; otherwise it is restored now
/// (`restore_saved_sigmask_unless`).
pub fn restore_saved_sigmask_unless(interrupted: bool) {
    if !interrupted {
        restore_saved_sigmask();
    }
}

/// Puts the saved mask back, if one is saved.
#[inline]
pub fn restore_saved_sigmask() {
    let cur = current();
    if cur.test_flag(tif::RESTORE_SIGMASK) {
        cur.clear_flag(tif::RESTORE_SIGMASK);
        set_current_blocked(cur.sig.saved_sigmask());
    }
}

/// The mask that a signal frame has to save: the one from before the wait.
#[inline]
pub fn sigmask_to_save(cur: Current) -> SigSet {
    if cur.test_flag(tif::RESTORE_SIGMASK) { cur.sig.saved_sigmask() } else { cur.sig.blocked() }
}
