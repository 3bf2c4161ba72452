// SPDX-License-Identifier: GPL-2.0-only
//! `SIGCHLD`: what a parent hears of its children (Linux 6.1, `kernel/signal.c`,
//! `do_notify_parent`, `do_notify_parent_cldstop`).

use super::action::{SIG_IGN, sa};
use super::send::{PidType, SendInfo, send_locked};
use super::siginfo::{KernelSiginfo, SigFields, cld};
use super::sigset::{SIGCHLD, SIGCONT, valid_signal};
use super::{Siglock, with_siglock};
use crate::kernel::exit::{notified_parent, parent_of, tracer_of};
use crate::kernel::task::Task;
use alloc::sync::Arc;
use core::sync::atomic::Ordering::Relaxed;

/// Nanoseconds per `clock_t` (`USER_HZ` is 100).
const NSEC_PER_CLOCK: u64 = 10_000_000;

/// How a wait status shows in `siginfo`: (`si_code`, `si_status`).
pub const fn child_status(exit_code: i32) -> (i32, i32) {
    if exit_code & 0x80 != 0 {
        (cld::DUMPED, exit_code & 0x7f)
    } else if exit_code & 0x7f != 0 {
        (cld::KILLED, exit_code & 0x7f)
    } else {
        (cld::EXITED, exit_code >> 8)
    }
}

fn child_info(sig: i32, t: &Task, code: i32, status: i32, (utime, stime): (u64, u64)) -> KernelSiginfo {
    let uid = t.cred.lock().uid;
    let clock = |ns: u64| (ns / NSEC_PER_CLOCK) as i64;
    let fields = SigFields::Chld { pid: t.pid(), uid, status, utime: clock(utime), stime: clock(stime) };
    KernelSiginfo::new(sig, code, fields)
}

/// Whether a parent with this action for `SIGCHLD` leaves no zombies, and whether it
/// still gets the signal.
fn autoreap(handler: usize, flags: u64) -> (bool, bool) {
    let ignored = handler == SIG_IGN;
    (ignored || flags & sa::NOCLDWAIT != 0, !ignored)
}

/// Whether this process leaves no zombies (`ignoring_children`).
pub fn ignores_children(t: &Task) -> bool {
    with_siglock(t, |l| autoreap(l[SIGCHLD].handler, l[SIGCHLD].flags).0)
}

/// Tells the parent that `t`, the last thread of its group, has died, or a tracer that its
/// tracee has, by `sig` (0 or negative: no signal) and by waking it in `wait4`. Returns
/// whether nobody will wait for `t`, so that it can be released at once.
pub fn do_notify_parent(t: &Task, mut sig: i32) -> bool {
    t.signal.notify_pidfd();
    let Some(parent) = notified_parent(t) else {
        return true;
    };
    if sig != SIGCHLD && t.rel.parent_execs() != parent.signal.did_exec.load(Relaxed) {
        sig = SIGCHLD;
    }
    let (code, status) = child_status(t.exit_code.load(Relaxed) as i32);
    let own = (t.utime.load(Relaxed), t.stime.load(Relaxed));
    let dead = t.signal.dead.times.get();
    let info = child_info(sig, t, code, status, (own.0 + dead.0, own.1 + dead.1));
    let reap = with_siglock(&parent, |l| {
        let (mut reap, mut send) = (false, true);
        if sig == SIGCHLD && !t.ptrace.traced() {
            (reap, send) = autoreap(l[SIGCHLD].handler, l[SIGCHLD].flags);
        }
        if send && sig > 0 && valid_signal(sig) {
            notify(l, &info, &parent);
        }
        reap
    });
    parent.signal.wait_chldexit.wake_up();
    reap
}

fn notify(l: &mut Siglock, info: &KernelSiginfo, parent: &Task) {
    // A child's death is not news that could fail: the signal stays pending even if
    // its information had no room.
    let _ = send_locked(l, info.si_signo, SendInfo::Info(info), parent, PidType::Tgid, false);
}

/// Tells the parent that the group of `t` has stopped or continued (`why` is `CLD_*`).
pub fn do_notify_parent_cldstop(t: &Task, why: i32) {
    let leader: Option<Arc<Task>> = t.signal.group_leader();
    let t: &Task = leader.as_deref().unwrap_or(t);
    notify_cldstop(t, why, parent_of(t));
}

/// Tells the tracer of `t` that it has stopped or continued.
pub fn do_notify_tracer(t: &Task, why: i32) {
    notify_cldstop(t, why, tracer_of(t));
}

fn notify_cldstop(t: &Task, why: i32, parent: Option<Arc<Task>>) {
    let Some(parent) = parent else {
        return;
    };
    let status = match why {
        cld::CONTINUED => SIGCONT,
        cld::TRAPPED => t.exit_code.load(Relaxed) as i32 & 0x7f,
        _ => t.signal.group_exit_code.load(Relaxed) & 0x7f,
    };
    let info = child_info(SIGCHLD, t, why, status, (t.utime.load(Relaxed), t.stime.load(Relaxed)));
    with_siglock(&parent, |l| {
        let a = &l[SIGCHLD];
        if a.handler != SIG_IGN && a.flags & sa::NOCLDSTOP == 0 {
            notify(l, &info, &parent);
        }
    });
    // Even without a signal, wait4 may be waiting for just this.
    parent.signal.wait_chldexit.wake_up();
}

#[cfg(test)]
mod tests {
    use super::super::action::SIG_DFL;
    use super::*;

    #[test]
    fn wait_status_becomes_code_and_status() {
        assert_eq!(child_status(42 << 8), (cld::EXITED, 42));
        assert_eq!(child_status(15), (cld::KILLED, 15));
        assert_eq!(child_status(3 | 0x80), (cld::DUMPED, 3));
    }

    #[test]
    fn a_parent_that_does_not_care_leaves_no_zombies() {
        // The oracle's `si_chld`: NOCLDWAIT reaps and signals, SIG_IGN only reaps.
        assert_eq!(autoreap(SIG_IGN, 0), (true, false));
        assert_eq!(autoreap(0x1000, sa::NOCLDWAIT), (true, true));
        assert_eq!(autoreap(SIG_DFL, 0), (false, true));
    }
}
