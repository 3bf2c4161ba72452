// SPDX-License-Identifier: GPL-2.0-only
//! `ptrace(2)` (Linux 6.1, `kernel/ptrace.c`).
//!
//! | file | what |
//! |---|---|
//! | this one | who traces whom: attach, detach, the end of a tracer |
//! | [`access`] | who may look at whom |
//! | [`stop`] | the tracee's side: it stops, says why, and goes on as it is told |
//! | [`request`] | what a tracer may ask of a stopped tracee |
//!
//! Registers, single steps and breakpoints are the architecture's:
//! [`arch::x86::kernel::ptrace`](crate::arch::x86::kernel::ptrace).
//!
//! A tracee is *stopped* in `TASK_TRACED`. While its tracer works on it, it is *frozen*: not even
//! `SIGKILL` wakes it ([`Tracee`] is the proof).

pub mod access;
pub mod request;
pub mod stop;

pub use access::{PtraceMode, ptrace_may_access};
pub use request::sys_ptrace;
pub use stop::{
    do_jobctl_trap, ptrace_event, ptrace_notify, ptrace_report_syscall_entry, ptrace_report_syscall_exit,
    ptrace_signal,
};

use crate::arch::x86::kernel::step::user_disable_single_step;
use crate::errno::{EIO, EPERM, Result};
use crate::kernel::cred::Cred;
use crate::kernel::exit::{
    ExitState, bury, clear_tracer, next_tracee, notify_and_maybe_reap, parent_of, set_tracer,
};
use crate::kernel::fork::{TASKLIST, TaskListGuard};
use crate::kernel::sched::{schedule, try_to_wake_up};
use crate::kernel::signal::jobctl::{clear_jobctl_pending, set_jobctl_pending};
use crate::kernel::signal::sigset::{SIGCHLD, SIGKILL, SIGSTOP};
use crate::kernel::signal::state::{jobctl_bits, signal_flags};
use crate::kernel::signal::{
    KernelSiginfo, PidType, SendInfo, SigCell, Siglock, fatal_signal_pending, send, with_siglock,
};
use crate::kernel::task::{Current, TASK_INTERRUPTIBLE, TASK_STOPPED, TASK_TRACED, Task, current, pf, tif};
use crate::locking::IrqLock;
use crate::security::commoncap::cap_ptrace_traceme;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use linux_raw_sys::general::CAP_SYS_PTRACE;
use linux_raw_sys::ptrace as nr;

/// Bits of [`PtraceState::flags`] (`PT_*`).
pub mod pt {
    /// There is a tracer.
    pub const PTRACED: u32 = 1;
    /// It came by `PTRACE_SEIZE`.
    pub const SEIZED: u32 = 0x0001_0000;
    /// The options (`PTRACE_O_*`) follow from here.
    pub const OPT_FLAG_SHIFT: u32 = 3;
    /// System call stops say so.
    pub const TRACESYSGOOD: u32 = 1 << OPT_FLAG_SHIFT;
    /// The tracee dies with its tracer.
    pub const EXITKILL: u32 = super::nr::PTRACE_O_EXITKILL << OPT_FLAG_SHIFT;
}

/// A task as a tracee.
#[derive(Default)]
pub struct PtraceState {
    flags: AtomicU32,
    message: AtomicU64,
    last_siginfo: SigCell<Option<KernelSiginfo>>,
    /// Those of who began the tracing, from then: they decide what the tracer may see later.
    tracer_cred: IrqLock<Option<Arc<Cred>>>,
}

impl PtraceState {
    /// `PT_*`; 0 if nobody traces the task.
    #[inline]
    pub fn flags(&self) -> u32 {
        self.flags.load(Relaxed)
    }
    /// Whether somebody traces the task.
    #[inline]
    pub fn traced(&self) -> bool {
        self.flags() != 0
    }
    /// Whether it was seized: it stops in other ways then.
    pub fn seized(&self) -> bool {
        self.flags() & pt::SEIZED != 0
    }
    /// Whether the tracer wants this event (`PTRACE_EVENT_*`; `ptrace_event_enabled`).
    pub fn event_enabled(&self, event: u32) -> bool {
        self.flags() & 1 << (pt::OPT_FLAG_SHIFT + event) != 0
    }
    /// Whether its filters are not to be asked, and no call is forbidden (`PT_SUSPEND_SECCOMP`).
    #[inline]
    pub fn seccomp_suspended(&self) -> bool {
        self.flags() & nr::PTRACE_O_SUSPEND_SECCOMP << pt::OPT_FLAG_SHIFT != 0
    }
    /// Replaces the options (`PTRACE_O_*`).
    fn set_options(&self, options: u32) {
        let mask = nr::PTRACE_O_MASK << pt::OPT_FLAG_SHIFT;
        self.flags.store(self.flags() & !mask | options << pt::OPT_FLAG_SHIFT, Relaxed);
    }
    /// What the last stop had to say beside its siginfo (`PTRACE_GETEVENTMSG`).
    pub fn message(&self) -> u64 {
        self.message.load(Relaxed)
    }
    /// Whether the tracer may trace just anybody, or there is none (`ptracer_capable`).
    pub fn tracer_capable(&self) -> bool {
        self.tracer_cred.lock().as_ref().is_none_or(|c| c.capable(CAP_SYS_PTRACE))
    }
    /// The siginfo of the present stop.
    pub fn last_siginfo(&self) -> &SigCell<Option<KernelSiginfo>> {
        &self.last_siginfo
    }
}

/// A stopped tracee that stays stopped (`ptrace_freeze_traced`). Its registers and its
/// architecture state are its tracer's to read and to write.
pub struct Tracee(Arc<Task>);

impl Tracee {
    /// Freezes `t`, if it is a stopped tracee of the current thread (`ptrace_check_attach`).
    fn freeze(t: Arc<Task>) -> Option<Self> {
        if !is_mine(&t) {
            return None;
        }
        let frozen = with_siglock(&t, |l| {
            let stopped = t.state.load(Relaxed) & TASK_TRACED != 0
                && t.sig.jobctl() & jobctl_bits::LISTENING == 0
                && !fatal_signal_pending(&t);
            if stopped {
                t.sig.jobctl_set(l, jobctl_bits::PTRACE_FROZEN);
            }
            stopped
        });
        frozen.then(|| Self(t))
    }
}

impl core::ops::Deref for Tracee {
    type Target = Arc<Task>;
    fn deref(&self) -> &Arc<Task> {
        &self.0
    }
}

impl Drop for Tracee {
    /// It may be killed again; who tried meanwhile succeeds now (`ptrace_unfreeze_traced`).
    fn drop(&mut self) {
        with_siglock(&self.0, |l| {
            if self.0.sig.jobctl() & jobctl_bits::PTRACE_FROZEN != 0 {
                self.0.sig.jobctl_clear(l, jobctl_bits::PTRACE_FROZEN);
                if fatal_signal_pending(&self.0) {
                    self.0.sig.jobctl_clear(l, jobctl_bits::TRACED);
                    try_to_wake_up(&self.0, TASK_TRACED);
                }
            }
        });
    }
}

/// Whether the current thread traces `t`.
fn is_mine(t: &Task) -> bool {
    t.ptrace.traced() && t.rel.tracer(&mut TASKLIST.lock()).is_some_and(|tracer| current().is(&tracer))
}

/// `tracer` begins to trace `t`, with `flags` and by the right of `cred` (`__ptrace_link`).
fn link(
    list: &mut TaskListGuard<'_>,
    t: &Arc<Task>,
    tracer: &Arc<Task>,
    flags: u32,
    cred: Option<Arc<Cred>>,
) {
    t.ptrace.flags.store(flags, Relaxed);
    *t.ptrace.tracer_cred.lock() = cred;
    set_tracer(list, tracer, t);
}

/// Tells a tracee to look at its job control bits (`ptrace_signal_wake_up`).
fn ptrace_signal_wake_up(l: &Siglock, t: &Arc<Task>, resume: bool) {
    t.set_flag(tif::SIGPENDING);
    let mut mask = TASK_INTERRUPTIBLE;
    if resume {
        t.sig.jobctl_clear(l, jobctl_bits::TRACED);
        mask |= TASK_TRACED;
    }
    try_to_wake_up(t, mask);
}

/// A seized tracee has to say that its group stops or goes on (`ptrace_trap_notify`).
pub(in crate::kernel) fn ptrace_trap_notify(l: &Siglock, t: &Arc<Task>) {
    set_jobctl_pending(l, t, jobctl_bits::TRAP_NOTIFY);
    ptrace_signal_wake_up(l, t, t.sig.jobctl() & jobctl_bits::LISTENING != 0);
}

/// Nobody traces `t` any more: it goes on, or stops with its group (`__ptrace_unlink`).
pub fn ptrace_unlink(t: &Arc<Task>) {
    t.clear_flag(tif::SYSCALL_TRACE | tif::SYSCALL_EMU);
    clear_tracer(&mut TASKLIST.lock(), t);
    drop(t.ptrace.tracer_cred.lock().take());
    with_siglock(t, |l| {
        t.ptrace.flags.store(0, Relaxed);
        clear_jobctl_pending(l, t, jobctl_bits::TRAP_MASK);
        t.sig.jobctl_clear(l, jobctl_bits::TRAPPING);
        let stops = t.signal.flags() & signal_flags::STOP_STOPPED != 0
            || t.signal.group_stop_count.load(Relaxed) != 0;
        if stops && t.pf.load(Relaxed) & pf::EXITING == 0 {
            t.sig.jobctl_set(l, jobctl_bits::STOP_PENDING);
            if t.sig.jobctl() & jobctl_bits::STOP_SIGMASK == 0 {
                t.sig.jobctl_set(l, SIGSTOP as u32);
            }
        }
        if t.sig.jobctl() & jobctl_bits::STOP_PENDING != 0 || t.state.load(Relaxed) & TASK_TRACED != 0 {
            ptrace_signal_wake_up(l, t, true);
        }
    });
}

/// Ends the tracing of `t`, which may be a zombie that only its tracer has kept
/// (`__ptrace_detach`).
fn detach(t: &Arc<Task>) {
    ptrace_unlink(t);
    if t.rel.exit_state() != ExitState::Zombie {
        return;
    }
    if !t.is_leader() {
        bury(t);
    } else if t.signal.thread_group_empty() {
        if parent_of(t).is_some_and(|p| p.tgid == current().tgid) {
            // The parent was its tracer and has heard of it; does it care?
            if crate::kernel::signal::notify::ignores_children(&current()) {
                current().signal.wait_chldexit.wake_up();
                bury(t);
            }
        } else {
            notify_and_maybe_reap(t);
        }
    }
}

/// The current thread ends: its tracees are free, or die with it.
pub fn exit_ptrace(cur: Current) {
    // Each is taken off the list.
    while let Some((_, t)) = next_tracee(&cur, 0) {
        if t.ptrace.flags() & pt::EXITKILL != 0 {
            let _ = send::do_send_sig_info(SIGKILL, SendInfo::Priv, &t, PidType::Tgid);
        }
        detach(&t);
    }
}

/// `PTRACE_TRACEME`: the thread that made this one becomes its tracer.
fn ptrace_traceme() -> Result<usize> {
    let cur = current();
    let mut list = TASKLIST.lock();
    if cur.ptrace.traced() {
        return Err(EPERM);
    }
    let maker = if cur.is_leader() { cur.rel.maker(&mut list) } else { None };
    let alive = |t: &Arc<Task>| t.pf.load(Relaxed) & pf::EXITING == 0;
    let tracer =
        maker.filter(alive).or_else(|| crate::kernel::exit::real_parent(&mut list, &cur)).filter(alive);
    if let Some(tracer) = tracer {
        let cred = cur.cred.get();
        if !cap_ptrace_traceme(&tracer.cred.get(), &cred) {
            return Err(EPERM);
        }
        link(&mut list, &cur.to_arc(), &tracer, pt::PTRACED, Some(cred));
    }
    Ok(0)
}

/// `PTRACE_ATTACH` and `PTRACE_SEIZE`.
fn ptrace_attach(t: &Arc<Task>, request: u32, addr: usize, options: usize) -> Result<usize> {
    let seize = request == nr::PTRACE_SEIZE;
    let mut flags = pt::PTRACED;
    if seize {
        if addr != 0 || options & !(nr::PTRACE_O_MASK as usize) != 0 {
            return Err(EIO);
        }
        request::check_options(options)?;
        flags |= pt::SEIZED | (options as u32) << pt::OPT_FLAG_SHIFT;
    }
    if t.pf.load(Relaxed) & pf::KTHREAD != 0 || t.tgid == current().tgid {
        return Err(EPERM);
    }
    {
        let _no_exec = t.signal.cred_guard.lock()?;
        if !ptrace_may_access(t, PtraceMode::RealCreds) {
            return Err(EPERM);
        }
        let mut list = TASKLIST.lock();
        if t.rel.has_exited() || t.ptrace.traced() {
            return Err(EPERM);
        }
        link(&mut list, t, &current().to_arc(), flags, Some(current().cred.get()));
    }
    if !seize {
        let _ = send::do_send_sig_info(SIGSTOP, SendInfo::Priv, t, PidType::Pid);
    }
    with_siglock(t, |l| {
        // Stopped already: it becomes a tracee's stop, unseen by others.
        let bits = jobctl_bits::TRAP_STOP | jobctl_bits::TRAPPING;
        if t.state.load(Relaxed) & TASK_STOPPED != 0 && set_jobctl_pending(l, t, bits) {
            t.sig.jobctl_clear(l, jobctl_bits::STOPPED);
            t.set_flag(tif::SIGPENDING);
            try_to_wake_up(t, TASK_STOPPED | TASK_INTERRUPTIBLE);
        }
    });
    while t.sig.jobctl() & jobctl_bits::TRAPPING != 0 && !fatal_signal_pending(&current()) {
        schedule();
    }
    Ok(0)
}

/// A new thread of a traced one is traced as well, if the tracer or `CLONE_PTRACE` says so; it
/// begins with a stop (`ptrace_init_task`).
pub fn ptrace_init_task(list: &mut TaskListGuard<'_>, t: &Arc<Task>, trace: bool) {
    let cur = current();
    if !trace || !cur.ptrace.traced() {
        return;
    }
    let Some(tracer) = cur.rel.tracer(list) else { return };
    let cred = cur.ptrace.tracer_cred.lock().clone();
    link(list, t, &tracer, cur.ptrace.flags(), cred);
    with_siglock(t, |l| {
        if t.ptrace.seized() {
            set_jobctl_pending(l, t, jobctl_bits::TRAP_STOP);
        } else {
            t.sig.pending.add(l, SIGSTOP);
        }
    });
    t.set_flag(tif::SIGPENDING);
}

/// `PTRACE_DETACH`.
fn ptrace_detach(t: &Tracee, data: usize) -> Result<usize> {
    let sig = request::valid_data(data)?;
    user_disable_single_step(t);
    t.exit_code.store(sig, Relaxed);
    detach(t);
    Ok(0)
}

const _: () = assert!(SIGCHLD == 17 && nr::PTRACE_O_MASK >> 20 == 3);
