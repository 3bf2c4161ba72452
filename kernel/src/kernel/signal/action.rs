// SPDX-License-Identifier: GPL-2.0-only
//! Signal actions: what a process wants done with each signal
//! (Linux 6.1, `include/linux/signal_types.h`, `kernel/signal.c`, `do_sigaction`).

use super::sigset::{DefaultAction, KERNEL_ONLY, NSIG, SigSet, default_action};
use super::{Siglock, with_siglock};
use crate::errno::{EINVAL, Result};
use crate::kernel::task::{Current, Task};
use crate::kernel::wait::WaitQueue;
use crate::locking::{SpinLock, local_irq_restore, local_irq_save};
use alloc::sync::Arc;
use core::mem::offset_of;
use core::ops::{Index, IndexMut};
use linux_raw_sys::general as raw;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// `SIG_DFL`: the default action.
pub const SIG_DFL: usize = 0;
/// `SIG_IGN`: nothing happens.
pub const SIG_IGN: usize = 1;

/// Bits of `sa_flags`.
#[allow(missing_docs)]
pub mod sa {
    use super::raw;
    pub const NOCLDSTOP: u64 = raw::SA_NOCLDSTOP as u64;
    pub const NOCLDWAIT: u64 = raw::SA_NOCLDWAIT as u64;
    pub const SIGINFO: u64 = raw::SA_SIGINFO as u64;
    pub const EXPOSE_TAGBITS: u64 = raw::SA_EXPOSE_TAGBITS as u64;
    pub const RESTORER: u64 = raw::SA_RESTORER as u64;
    pub const ONSTACK: u64 = raw::SA_ONSTACK as u64;
    pub const RESTART: u64 = raw::SA_RESTART as u64;
    pub const NODEFER: u64 = raw::SA_NODEFER as u64;
    pub const RESETHAND: u64 = raw::SA_RESETHAND as u64;
    /// Kernel only: the action was forced, and user mode may not change it any more.
    pub const IMMUTABLE: u64 = 0x0080_0000;
    /// Kernel only: the handler was set by 32-bit code's call, and gets its kind of frame.
    pub const IA32_ABI: u64 = 0x0200_0000;
    /// What user mode may set; it learns what the kernel supports by reading it back.
    pub const UAPI: u64 =
        NOCLDSTOP | NOCLDWAIT | SIGINFO | EXPOSE_TAGBITS | RESTORER | ONSTACK | RESTART | NODEFER | RESETHAND;
}

/// One signal's action, as `rt_sigaction` passes it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct KSigaction {
    /// `SIG_DFL`, `SIG_IGN`, or the handler's address.
    pub handler: usize,
    /// `SA_*`.
    pub flags: u64,
    /// Where the handler returns to.
    pub restorer: usize,
    /// Blocked besides while the handler runs.
    pub mask: SigSet,
}

const _: () = {
    assert!(size_of::<KSigaction>() == size_of::<raw::kernel_sigaction>());
    assert!(offset_of!(KSigaction, handler) == offset_of!(raw::kernel_sigaction, sa_handler_kernel));
    assert!(offset_of!(KSigaction, flags) == offset_of!(raw::kernel_sigaction, sa_flags));
    assert!(offset_of!(KSigaction, restorer) == offset_of!(raw::kernel_sigaction, sa_restorer));
    assert!(offset_of!(KSigaction, mask) == offset_of!(raw::kernel_sigaction, sa_mask));
};

impl KSigaction {
    /// Whether the signal runs a handler.
    #[inline]
    pub const fn is_handler(&self) -> bool {
        self.handler != SIG_DFL && self.handler != SIG_IGN
    }
    /// Whether a signal with this action has no effect (`sig_handler_ignored`).
    #[inline]
    pub const fn ignores(&self, sig: i32) -> bool {
        self.handler == SIG_IGN
            || self.handler == SIG_DFL && matches!(default_action(sig), DefaultAction::Ignore)
    }
}

/// The actions of all signals, indexed by signal number.
#[derive(Clone)]
pub struct ActionTable([KSigaction; NSIG as usize]);

impl ActionTable {
    const fn new() -> Self {
        const DEFAULT: KSigaction =
            KSigaction { handler: SIG_DFL, flags: 0, restorer: 0, mask: SigSet::EMPTY };
        Self([DEFAULT; NSIG as usize])
    }
    /// What `execve` leaves: signals that were ignored stay so, all others become
    /// default (`flush_signal_handlers`).
    fn flush(&mut self) {
        for a in &mut self.0 {
            let handler = if a.handler == SIG_IGN { SIG_IGN } else { SIG_DFL };
            *a = KSigaction { handler, ..KSigaction::default() };
        }
    }
}

impl Index<i32> for ActionTable {
    type Output = KSigaction;
    #[inline]
    fn index(&self, sig: i32) -> &KSigaction {
        &self.0[(sig - 1) as usize]
    }
}

impl IndexMut<i32> for ActionTable {
    #[inline]
    fn index_mut(&mut self, sig: i32) -> &mut KSigaction {
        &mut self.0[(sig - 1) as usize]
    }
}

/// The actions and the siglock (Linux's `sighand_struct`): shared by the threads of
/// a process, and by processes made with `CLONE_SIGHAND`.
pub struct Sighand {
    /// Taken with interrupts off, by way of [`with_siglock`].
    actions: SpinLock<ActionTable>,
    /// Who waits for signals through a file (`signalfd`), since somebody did.
    signalfd_wqh: spin::Once<Arc<WaitQueue>>,
}

impl Sighand {
    /// All actions default.
    pub fn new() -> Arc<Self> {
        Self::with_actions(ActionTable::new())
    }

    fn with_actions(table: ActionTable) -> Arc<Self> {
        Arc::new(Self { actions: SpinLock::new(table), signalfd_wqh: spin::Once::new() })
    }

    /// Who waits for signals through a file.
    pub fn signalfd_wqh(&self) -> &Arc<WaitQueue> {
        self.signalfd_wqh.call_once(Arc::default)
    }
    /// A signal is there for them (`signalfd_notify`).
    #[inline]
    pub(super) fn signalfd_notify(&self) {
        if let Some(q) = self.signalfd_wqh.get() {
            q.wake_up();
        }
    }

    /// Takes the lock; interrupts must be off.
    #[inline]
    pub(super) fn lock_actions(&self) -> spin::MutexGuard<'_, ActionTable> {
        self.actions.lock()
    }

    fn with_irqs_off<R>(&self, f: impl FnOnce(&mut ActionTable) -> R) -> R {
        let irqs = local_irq_save();
        let r = f(&mut self.actions.lock());
        local_irq_restore(irqs);
        r
    }

    /// A copy for `fork` without `CLONE_SIGHAND`.
    pub fn fork(&self) -> Arc<Self> {
        let table = self.with_irqs_off(|t| t.clone());
        Self::with_actions(table)
    }

    /// A copy whose handlers are gone: signals that were ignored stay so (`CLONE_CLEAR_SIGHAND`).
    pub fn fork_cleared(&self) -> Arc<Self> {
        let copy = self.fork();
        copy.flush_handlers_on_exec();
        copy
    }

    /// For `execve`: handlers are gone with the old program.
    pub fn flush_handlers_on_exec(&self) {
        self.with_irqs_off(ActionTable::flush);
    }
}

/// Gives the current task a `Sighand` of its own if it shares one with another
/// process; `execve` calls it once the thread is the only one (`unshare_sighand`).
pub fn unshare_sighand(cur: &Current) {
    let old = cur.sighand.get();
    // One reference is the task's, one is ours.
    if Arc::strong_count(&old) > 2 {
        cur.sighand.set(old.fork());
    }
}

/// Sets and returns the action of `sig` (`do_sigaction`).
pub fn do_sigaction(cur: &Current, sig: i32, act: Option<&KSigaction>) -> Result<KSigaction> {
    if !(1..=NSIG).contains(&sig) || (act.is_some() && KERNEL_ONLY.contains(sig)) {
        return Err(EINVAL);
    }
    with_siglock(cur, |l| {
        let mut old = l[sig];
        if old.flags & sa::IMMUTABLE != 0 {
            return Err(EINVAL);
        }
        old.flags &= sa::UAPI;
        if let Some(act) = act {
            // `sigaction_compat_abi`.
            let abi = if cur.thread().compat_syscall.get() { sa::IA32_ABI } else { 0 };
            l[sig] =
                KSigaction { flags: act.flags & sa::UAPI | abi, mask: act.mask.without(KERNEL_ONLY), ..*act };
            if l[sig].ignores(sig) {
                flush_ignored(l, cur, sig);
            }
        }
        Ok(old)
    })
}

/// An action that ignores the signal also drops the pending ones, blocked or not.
#[cold]
fn flush_ignored(l: &Siglock, t: &Task, sig: i32) {
    let mask = SigSet::of(sig);
    t.signal.shared_pending.flush(l, mask);
    for t in t.signal.threads.lock(l).iter() {
        t.sig.pending.flush(l, mask);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::signal::sigset::{SIGCHLD, SIGCONT, SIGHUP, SIGTSTP};

    #[test]
    fn user_visible_flags_are_those_that_linux_reads_back() {
        // The oracle's `rules` probe.
        assert_eq!(sa::UAPI, 0xdc00_0807);
        assert_eq!(sa::UAPI & sa::IMMUTABLE, 0);
    }

    #[test]
    fn ignoring_depends_on_action_and_default() {
        let dfl = KSigaction::default();
        let ign = KSigaction { handler: SIG_IGN, ..dfl };
        let handler = KSigaction { handler: 0x401000, ..dfl };
        assert!(dfl.ignores(SIGCHLD) && dfl.ignores(SIGCONT));
        assert!(!dfl.ignores(SIGHUP) && !dfl.ignores(SIGTSTP));
        assert!(ign.ignores(SIGHUP) && !handler.ignores(SIGCHLD));
        assert!(handler.is_handler() && !ign.is_handler() && !dfl.is_handler());
    }

    #[test]
    fn exec_keeps_only_ignored_signals() {
        let s = Sighand::new();
        s.with_irqs_off(|t| {
            t[SIGHUP] = KSigaction { handler: 0x1000, flags: sa::ONSTACK, restorer: 5, mask: SigSet::ALL };
            t[SIGCHLD] = KSigaction { handler: SIG_IGN, flags: sa::RESTART, restorer: 5, mask: SigSet::ALL };
        });
        let child = s.fork();
        child.flush_handlers_on_exec();
        child.with_irqs_off(|t| {
            assert_eq!(t[SIGHUP], KSigaction::default());
            assert_eq!(t[SIGCHLD], KSigaction { handler: SIG_IGN, ..KSigaction::default() });
        });
        s.with_irqs_off(|t| assert_eq!(t[SIGHUP].handler, 0x1000));
    }
}
