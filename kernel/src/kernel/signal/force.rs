// SPDX-License-Identifier: GPL-2.0-only
//! Forced signals: what the current thread's own instruction has raised, and it
//! therefore can neither block nor ignore (Linux 6.1, `kernel/signal.c`,
//! `force_sig_info_to_task`).

use super::action::{KSigaction, SIG_DFL, SIG_IGN, sa};
use super::jobctl::{fatal_signal_pending, recalc_sigpending_and_wake};
use super::send::{PidType, SendInfo, send_signal_locked};
use super::siginfo::KernelSiginfo;
use super::sigset::{SIGSEGV, SigSet};
use super::state::signal_flags;
use super::with_siglock;
use crate::kernel::task::{Task, current};

/// Which action a forced signal meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Handler {
    /// The present one, if the signal is neither blocked nor ignored.
    Current,
    /// Always the default.
    Default,
    /// The default, and nobody may change that any more.
    Exit,
}

/// What forcing a signal changes first.
#[derive(Debug, PartialEq, Eq)]
struct Forced {
    action: KSigaction,
    unblock: bool,
    /// The default action will happen, even to the first process.
    killable: bool,
}

/// A signal that was blocked or ignored loses its handler: the program did not
/// expect the handler to run there, and without it the instruction would fault
/// forever.
#[inline]
fn force_action(action: KSigaction, blocked: bool, handler: Handler) -> Forced {
    let mut a = action;
    if blocked || action.handler == SIG_IGN || handler != Handler::Current {
        a.handler = SIG_DFL;
        if handler == Handler::Exit {
            a.flags |= sa::IMMUTABLE;
        }
    }
    Forced { action: a, unblock: blocked, killable: a.handler == SIG_DFL }
}

#[inline]
fn force_current(info: &KernelSiginfo, handler: Handler) {
    let t = current();
    let sig = info.si_signo;
    with_siglock(&t, |l| {
        let blocked = t.sig.blocked();
        let f = force_action(l[sig], blocked.contains(sig), handler);
        l[sig] = f.action;
        if f.killable && (!t.ptrace.traced() || handler == Handler::Exit) {
            t.signal.store_flags(l, t.signal.flags() & !signal_flags::UNKILLABLE);
        }
        if f.unblock {
            t.sig.store_blocked(l, blocked.without(SigSet::of(sig)));
            recalc_sigpending_and_wake(l, &t);
        }
        // The one way to fail is a full queue of real-time signals; none is forced.
        let _ = send_signal_locked(l, sig, SendInfo::Info(info), &t, PidType::Pid);
    });
}

/// Forces a signal with full information on the current thread.
#[inline]
pub fn force_sig_info(info: &KernelSiginfo) {
    force_current(info, Handler::Current);
}

/// Forces a signal about the address `addr`.
#[inline]
pub fn force_sig_fault(sig: i32, code: i32, addr: u64) {
    force_sig_info(&KernelSiginfo::fault(sig, code, addr));
}

/// Forces a signal without a more specific reason (`SI_KERNEL`).
pub fn force_sig(sig: i32) {
    force_sig_info(&KernelSiginfo::kernel(sig));
}

/// Forces a signal's default action, whatever handler there is.
pub fn force_fatal_sig(sig: i32) {
    force_current(&KernelSiginfo::kernel(sig), Handler::Default);
}

/// As [`force_fatal_sig`], visible only as the way the process ended: no handler
/// set by another thread in the meantime can catch it.
pub fn force_exit_sig(sig: i32) {
    force_current(&KernelSiginfo::kernel(sig), Handler::Exit);
}

/// The same with full information.
pub fn force_exit_sig_info(info: &KernelSiginfo) {
    force_current(info, Handler::Exit);
}

/// The frame for `sig` could not be written: `SIGSEGV`, and if it was that one, there
/// is no handler to be tried again.
pub fn force_sigsegv(sig: i32) {
    if sig == SIGSEGV {
        force_fatal_sig(SIGSEGV);
    } else {
        force_sig(SIGSEGV);
    }
}

/// Whether `sig`, forced on `t`, is worth a line in the log: it will be fatal, and not
/// because the process is dying anyway; a tracer decides that itself.
pub fn unhandled_signal(t: &Task, sig: i32) -> bool {
    if t.is_global_init() {
        return true;
    }
    let handled = with_siglock(t, |l| l[sig].is_handler());
    !handled && !fatal_signal_pending(t) && !t.ptrace.traced()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HANDLER: KSigaction =
        KSigaction { handler: 0x1000, flags: sa::SIGINFO, restorer: 0x2000, mask: SigSet::EMPTY };
    const IGN: KSigaction = KSigaction { handler: SIG_IGN, ..HANDLER };

    #[test]
    fn an_open_handler_runs() {
        let f = force_action(HANDLER, false, Handler::Current);
        assert_eq!(f, Forced { action: HANDLER, unblock: false, killable: false });
    }

    #[test]
    fn blocked_or_ignored_means_death() {
        for (action, blocked) in [(HANDLER, true), (IGN, false), (IGN, true)] {
            let f = force_action(action, blocked, Handler::Current);
            assert_eq!((f.action.handler, f.unblock, f.killable), (SIG_DFL, blocked, true));
            assert_eq!(f.action.flags, sa::SIGINFO);
        }
    }

    #[test]
    fn default_and_exit_spare_no_handler() {
        assert_eq!(force_action(HANDLER, false, Handler::Default).action.handler, SIG_DFL);
        assert_eq!(force_action(HANDLER, false, Handler::Exit).action.flags, sa::SIGINFO | sa::IMMUTABLE);
    }
}
