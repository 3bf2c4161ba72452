// SPDX-License-Identifier: GPL-2.0-only
//! Signals (Linux 6.1, `kernel/signal.c`, divided by concept).
//!
//! | file | what |
//! |---|---|
//! | [`sigset`] | numbers, sets, default actions |
//! | [`siginfo`] | what a signal says about its cause, and its layout |
//! | [`pending`] | pending sets and queues, and each user's limit |
//! | [`action`] | `sigaction`, and the table of a process's actions |
//! | [`state`] | what a thread ([`TaskSignals`]) and a thread group ([`SignalStruct`]) keep |
//! | [`send`] | from "this signal for that task" to a thread that will take it |
//! | [`force`] | signals that a thread cannot refuse, raised by its own instruction |
//! | [`fatal`] | what the log says of signals that end a process, if asked to |
//! | [`kill`] | who may signal whom; `kill(2)` and its kin |
//! | [`deliver`] | the thread takes its next signal; default actions |
//! | [`jobctl`] | stop, continue, group exit |
//! | [`notify`] | `SIGCHLD` to the parent |
//! | [`mask`] | blocked signals, and waiting with a mask |
//! | [`altstack`] | `sigaltstack` |
//! | [`syscalls`] | the system calls on actions, masks and pending signals |
//! | [`restart_block`] | how an interrupted call continues |
//!
//! The frame on the user's stack is the architecture's business:
//! [`arch::x86::kernel::signal`](crate::arch::x86::kernel::signal).
//!
//! **Locking.** One lock, the *siglock*, guards all signal state of the processes
//! that share a [`Sighand`]: the actions, pending sets, thread lists, job control.
//! [`with_siglock`] takes it for a task; what lies outside the [`Sighand`] but
//! belongs under its lock is a [`SigCell`], which opens only with the proof of
//! the lock, or an atomic that is written only under it.

pub mod action;
pub mod altstack;
pub mod deliver;
pub mod fatal;
pub mod force;
pub mod jobctl;
pub mod kill;
pub mod mask;
pub mod notify;
pub mod pending;
pub mod restart_block;
pub mod send;
pub mod siginfo;
pub mod sigset;
pub mod state;
pub mod syscalls;

pub use action::{KSigaction, Sighand};
pub use deliver::{KSignal, get_signal};
pub use force::{force_fatal_sig, force_sig, force_sig_fault, force_sig_info, unhandled_signal};
pub use jobctl::{
    begin_core_dump, begin_group_exit, exit_signals, fatal_signal_pending, kill_other_threads,
    recalc_sigpending, signal_group_exit, signal_pending, zap_other_threads,
};
pub use kill::{kill_pgrp, kill_pid};
pub use mask::{set_current_blocked, set_restore_sigmask, set_user_sigmask};
pub use notify::do_notify_parent;
pub use send::{PidType, SendInfo, send_sig, send_sig_info};
pub use siginfo::KernelSiginfo;
pub use sigset::SigSet;
pub use state::{SignalStruct, TaskSignals, rlimit};

use crate::kernel::task::Task;
use crate::locking::SpinLock;
use action::ActionTable;
use core::ops::{Deref, DerefMut};

/// The proof that a task's siglock is held, interrupts being off; leads to the
/// table of actions.
pub struct Siglock<'a> {
    actions: spin::MutexGuard<'a, ActionTable>,
    sighand: &'a Sighand,
}

impl Deref for Siglock<'_> {
    type Target = ActionTable;
    #[inline]
    fn deref(&self) -> &ActionTable {
        &self.actions
    }
}

impl DerefMut for Siglock<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut ActionTable {
        &mut self.actions
    }
}

/// Runs `f` with the siglock of `t` (`lock_task_sighand`). Callable from
/// interrupts. Nothing in `f` may sleep, touch user memory, or take another
/// process's siglock.
#[inline]
pub fn with_siglock<R>(t: &Task, f: impl FnOnce(&mut Siglock<'_>) -> R) -> R {
    // The outer lock turns interrupts off and keeps `t` with this `Sighand`.
    let sighand = t.sighand.lock();
    let actions = sighand.lock_actions();
    f(&mut Siglock { actions, sighand: &sighand })
}

/// Data that the siglock guards although it lies outside the [`Sighand`].
///
/// The proof argument is a reminder, checked by the compiler, to hold *a* siglock;
/// the cell's own lock, never contended under the right one, makes even the wrong
/// one sound.
#[derive(Default)]
pub struct SigCell<T>(SpinLock<T>);

impl<T> SigCell<T> {
    /// A cell holding `v`.
    pub const fn new(v: T) -> Self {
        Self(SpinLock::new(v))
    }
    /// Opens the cell. Not twice at a time.
    #[inline]
    pub fn lock(&self, _proof: &Siglock<'_>) -> spin::MutexGuard<'_, T> {
        self.0.lock()
    }
    /// Opens the cell for something that needs no more of the process's state than
    /// this, with interrupts off.
    pub fn with_irqs_off<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        let irqs = crate::locking::local_irq_save();
        let r = f(&mut self.0.lock());
        crate::locking::local_irq_restore(irqs);
        r
    }
}

/// Runs `f` with a siglock of nobody.
#[cfg(test)]
pub(crate) fn with_test_lock<R>(f: impl FnOnce(&Siglock<'_>) -> R) -> R {
    let s = Sighand::new();
    f(&Siglock { actions: s.lock_actions(), sighand: &s })
}
