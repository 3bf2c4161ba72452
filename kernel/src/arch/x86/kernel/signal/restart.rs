// SPDX-License-Identifier: GPL-2.0-only
//! How an interrupted system call goes on: it fails, or is made again (Linux 6.1,
//! `arch/x86/kernel/signal.c`, `handle_signal` and `arch_do_signal_or_restart`).

use crate::arch::x86::ptrace::PtRegs;
use crate::errno::{EINTR, ERESTART_RESTARTBLOCK, ERESTARTNOHAND, ERESTARTNOINTR, ERESTARTSYS, Errno};
use crate::kernel::task::Current;
use linux_raw_sys::general::__NR_restart_syscall;

/// How a system call goes on that returned one of the kernel's restart errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Restart {
    /// It does not: it returned to stay.
    No,
    /// It fails with `EINTR`.
    Eintr,
    /// It is made again.
    Again,
    /// It goes on through `restart_syscall`.
    ByBlock,
}

/// The decision when a handler is about to run (`handle_signal`).
#[inline]
fn for_handler(ax: u64, sa_restart: bool) -> Restart {
    match restart_error(ax) {
        Some(ERESTART_RESTARTBLOCK | ERESTARTNOHAND) => Restart::Eintr,
        Some(ERESTARTSYS) if !sa_restart => Restart::Eintr,
        Some(ERESTARTSYS | ERESTARTNOINTR) => Restart::Again,
        _ => Restart::No,
    }
}

/// The decision when none is (`arch_do_signal_or_restart`).
#[inline]
fn for_none(ax: u64) -> Restart {
    match restart_error(ax) {
        Some(ERESTARTNOHAND | ERESTARTSYS | ERESTARTNOINTR) => Restart::Again,
        Some(ERESTART_RESTARTBLOCK) => Restart::ByBlock,
        _ => Restart::No,
    }
}

/// The error in RAX, if it is one of the restart errors.
#[inline]
fn restart_error(ax: u64) -> Option<Errno> {
    let e = ax.wrapping_neg();
    (512..=516).contains(&e).then_some(Errno(e as u16))
}

/// Length of `syscall`, and of `int 0x80`.
const SYSCALL_INSN_LEN: u64 = 2;

/// `restart_syscall` for `int 0x80`.
const IA32_NR_RESTART_SYSCALL: u64 = 0;

fn apply_restart(regs: &PtRegs, r: Restart, compat: bool) {
    match r {
        Restart::No => {}
        Restart::Eintr => regs.ax.set(EINTR.as_ret() as u64),
        Restart::Again => {
            regs.ax.set(regs.orig_ax.get());
            regs.ip.set(regs.ip.get().wrapping_sub(SYSCALL_INSN_LEN));
        }
        Restart::ByBlock => {
            regs.ax.set(if compat { IA32_NR_RESTART_SYSCALL } else { u64::from(__NR_restart_syscall) });
            regs.ip.set(regs.ip.get().wrapping_sub(SYSCALL_INSN_LEN));
        }
    }
}

/// What the call has returned: of i386's, and of what a tracer has written as one, only the lower
/// half counts (`syscall_get_error`).
#[inline]
fn call_result(cur: Current, regs: &PtRegs) -> u64 {
    let thread = cur.thread();
    let narrow = thread.compat_syscall.get() || thread.i386_regs_poked.get();
    if narrow { regs.ax.get() as i32 as u64 } else { regs.ax.get() }
}

/// Whether the interrupted context is a system call's (`syscall_get_nr` is not -1).
#[inline]
fn in_syscall(regs: &PtRegs) -> bool {
    regs.orig_ax.get() as u32 != u32::MAX
}

/// Lets the interrupted call fail or be made again once the handler is done.
#[inline]
pub(super) fn with_handler(cur: Current, regs: &PtRegs, sa_restart: bool) {
    if in_syscall(regs) {
        let r = for_handler(call_result(cur, regs), sa_restart);
        apply_restart(regs, r, cur.thread().compat_syscall.get());
    }
}

/// Makes the interrupted call again: no handler runs.
#[inline]
pub(super) fn without_handler(cur: Current, regs: &PtRegs) {
    if in_syscall(regs) {
        apply_restart(regs, for_none(call_result(cur, regs)), cur.thread().compat_syscall.get());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::errno::EFAULT;

    #[test]
    fn restart_rules() {
        let ax = |e: Errno| e.as_ret() as u64;
        let with = |e, r| for_handler(ax(e), r);
        assert_eq!(with(ERESTARTSYS, true), Restart::Again);
        assert_eq!(with(ERESTARTSYS, false), Restart::Eintr);
        assert_eq!(with(ERESTARTNOINTR, false), Restart::Again);
        assert_eq!(with(ERESTARTNOHAND, true), Restart::Eintr);
        assert_eq!(with(ERESTART_RESTARTBLOCK, true), Restart::Eintr);
        assert_eq!(with(EINTR, true), Restart::No);
        let without = |e| for_none(ax(e));
        assert_eq!(without(ERESTARTSYS), Restart::Again);
        assert_eq!(without(ERESTARTNOHAND), Restart::Again);
        assert_eq!(without(ERESTARTNOINTR), Restart::Again);
        assert_eq!(without(ERESTART_RESTARTBLOCK), Restart::ByBlock);
        assert_eq!(without(EFAULT), Restart::No);
        assert_eq!(for_none(512), Restart::No);
    }

    #[test]
    fn restarting_backs_up_over_the_instruction() {
        let r = PtRegs { ax: 1.into(), orig_ax: 35.into(), ip: 0x1002.into(), ..PtRegs::default() };
        apply_restart(&r, Restart::Again, false);
        assert_eq!((r.ax.get(), r.ip.get()), (35, 0x1000));
        apply_restart(&r, Restart::ByBlock, false);
        assert_eq!((r.ax.get(), r.ip.get()), (219, 0xffe));
        apply_restart(&r, Restart::Eintr, false);
        assert_eq!((r.ax.get() as i64, r.ip.get()), (-4, 0xffe));
    }
}
