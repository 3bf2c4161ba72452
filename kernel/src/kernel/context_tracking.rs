// SPDX-License-Identifier: GPL-2.0-only
//! Context tracking: telling user mode and kernel mode apart at every crossing
//! (Linux 4.x, `kernel/context_tracking.c`, `include/linux/context_tracking.h`).
//!
//! Off unless the command line says `context_tracking=on`; then each crossing costs one
//! test of one static bool. On, each CPU knows in which [`CtxState`] it is, the crossings
//! assert that they come from where they should, and tasks are charged with the time
//! between crossings, to the nanosecond, instead of with ticks (`kernel/sched/cputime.c`,
//! `vtime_user_enter` and its kin).

use core::sync::atomic::{AtomicBool, Ordering};

/// Where a CPU is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum CtxState {
    /// In the kernel.
    Kernel = 0,
    /// In user mode.
    User = 1,
    /// In a virtual machine's guest.
    Guest = 2,
}

impl CtxState {
    fn from_raw(v: u32) -> Self {
        match v {
            1 => Self::User,
            2 => Self::Guest,
            0 | 3.. => Self::Kernel,
        }
    }
}

static ENABLED: AtomicBool = AtomicBool::new(false);

/// Turns tracking on; at boot, before user mode runs (`context_tracking=on`).
pub fn enable() {
    ENABLED.store(true, Ordering::Relaxed);
}

/// Handles `context_tracking=`; false if it is something else.
pub fn setup(name: &str, value: Option<&str>) -> bool {
    if name != "context_tracking" {
        return false;
    }
    ENABLED.store(value == Some("on"), Ordering::Relaxed);
    true
}

/// Whether crossings are tracked.
#[inline(always)]
pub fn context_tracking_is_enabled() -> bool {
    ENABLED.load(Ordering::Relaxed)
}

#[cfg(target_os = "none")]
fn state() -> &'static core::cell::Cell<u32> {
    &crate::arch::x86::percpu::this_cpu().context_tracking_state
}
#[cfg(not(target_os = "none"))]
fn state() -> &'static core::cell::Cell<u32> {
    std::thread_local! {
        static STATE: &'static core::cell::Cell<u32> = Box::leak(Box::new(core::cell::Cell::new(0)));
    }
    STATE.with(|s| *s)
}

/// Where this CPU is (`ct_state`).
pub fn ctx_state() -> CtxState {
    CtxState::from_raw(state().get())
}

/// This CPU is about to leave the kernel for `to`.
#[cold]
pub fn context_tracking_enter(to: CtxState) {
    crate::warn_on_once!(ctx_state() != CtxState::Kernel);
    vtime::charge(vtime::Mode::System);
    state().set(to as u32);
}

/// This CPU has come into the kernel from `from`.
#[cold]
pub fn context_tracking_exit(from: CtxState) {
    crate::warn_on_once!(ctx_state() != from);
    vtime::charge(if from == CtxState::Kernel { vtime::Mode::System } else { vtime::Mode::User });
    state().set(CtxState::Kernel as u32);
}

/// The running task is switched away: its time in the kernel so far is its own
/// (`vtime_task_switch`).
#[inline(always)]
pub fn task_switch() {
    if context_tracking_is_enabled() {
        vtime::charge(vtime::Mode::System);
    }
}

/// Time by crossings.
mod vtime {
    /// Where the time was spent.
    #[derive(Clone, Copy, PartialEq, Eq)]
    pub enum Mode {
        User,
        System,
    }

    /// Charges the running task with the time since the last crossing.
    #[cfg(target_os = "none")]
    #[cold]
    pub fn charge(mode: Mode) {
        use crate::arch::x86::percpu::this_cpu;
        use core::sync::atomic::Ordering::Relaxed;
        let cpu = this_cpu();
        let now = crate::kernel::time::timekeeping::ktime_get();
        let spent = now.saturating_sub(cpu.vtime_start.replace(now));
        let cur = cpu.current();
        let to = if mode == Mode::User { &cur.utime } else { &cur.stime };
        to.fetch_add(spent, Relaxed);
    }
    #[cfg(not(target_os = "none"))]
    pub fn charge(_: Mode) {}
}

/// User mode runs next.
#[inline(always)]
pub fn user_enter() {
    if context_tracking_is_enabled() {
        context_tracking_enter(CtxState::User);
    }
}

/// User mode was left.
#[inline(always)]
pub fn user_exit() {
    if context_tracking_is_enabled() {
        context_tracking_exit(CtxState::User);
    }
}

/// An exception begins: notes that the kernel runs, and returns where the CPU was, for
/// [`exception_exit`].
#[inline(always)]
pub fn exception_enter() -> CtxState {
    if !context_tracking_is_enabled() {
        return CtxState::Kernel;
    }
    let prev = ctx_state();
    if prev != CtxState::Kernel {
        context_tracking_exit(prev);
    }
    prev
}

/// The exception's handler is done. From user mode, the state stays "kernel" until the
/// way out to user mode has done its work (signals, scheduling) and calls [`user_enter`];
/// the documents' kernel had to go back to "user" here and out of it again.
#[inline(always)]
pub fn exception_exit(prev: CtxState) {
    if context_tracking_is_enabled() && prev == CtxState::Guest {
        context_tracking_enter(prev);
    }
}

/// An NMI begins, anywhere: also between user mode and [`user_exit`]. Exceptions in its handlers see
/// the kernel run. Returns where the CPU was, for [`nmi_exit`]; no time is charged
/// (Linux 6.1, `ct_nmi_enter`).
#[inline(always)]
pub fn nmi_enter() -> CtxState {
    if !context_tracking_is_enabled() {
        return CtxState::Kernel;
    }
    CtxState::from_raw(state().replace(CtxState::Kernel as u32))
}

/// The NMI ends where it began.
#[inline(always)]
pub fn nmi_exit(prev: CtxState) {
    if context_tracking_is_enabled() {
        state().set(prev as u32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crossings_change_the_state_only_when_enabled() {
        user_enter();
        assert_eq!(ctx_state(), CtxState::Kernel);
        enable();
        user_enter();
        assert_eq!(ctx_state(), CtxState::User);
        let prev = exception_enter();
        assert_eq!((prev, ctx_state()), (CtxState::User, CtxState::Kernel));
        // A fault inside the handler.
        let inner = exception_enter();
        exception_exit(inner);
        assert_eq!(inner, CtxState::Kernel);
        exception_exit(prev);
        assert_eq!(ctx_state(), CtxState::Kernel);
        user_enter();
        // An NMI at the edge of user mode, whose handler faults.
        let prev = nmi_enter();
        let inner = exception_enter();
        exception_exit(inner);
        assert_eq!((prev, inner, ctx_state()), (CtxState::User, CtxState::Kernel, CtxState::Kernel));
        nmi_exit(prev);
        assert_eq!(ctx_state(), CtxState::User);
        user_exit();
        assert_eq!(ctx_state(), CtxState::Kernel);
        ENABLED.store(false, Ordering::Relaxed);
    }
}
