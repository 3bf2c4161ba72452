// SPDX-License-Identifier: GPL-2.0-only
//! What entries call in Rust (Linux 6.1, `arch/x86/entry/common.c`,
//! `kernel/entry/common.c`).

use super::syscall_table::{NR_SYSCALLS, SYS_CALL_TABLE};
use crate::arch::x86::kernel::ioport::tss_update_io_bitmap;
use crate::arch::x86::kernel::signal::arch_do_signal_or_restart;
use crate::arch::x86::lib::usercopy::TASK_SIZE_MAX;
use crate::arch::x86::ptrace::{PtRegs, eflags};
use crate::arch::x86::segment::{USER_CS, USER_DS};
use crate::kernel::context_tracking;
use crate::kernel::ptrace::{ptrace_report_syscall_entry, ptrace_report_syscall_exit};
use crate::kernel::rseq::rseq_handle_notify_resume;
use crate::kernel::sched;
use crate::kernel::seccomp::secure_computing;
use crate::kernel::sys_ni::sys_ni_syscall;
use crate::kernel::syscall_user_dispatch::{syscall_user_dispatch, was_dispatched};
use crate::kernel::task::{current, tif};
use crate::locking::{local_irq_disable, local_irq_enable};

/// The `syscall` instruction. Returns whether `sysret` may be used to go back.
pub extern "C" fn do_syscall_64(regs: &PtRegs, nr: i64) -> bool {
    context_tracking::user_exit();
    local_irq_enable();
    if current().test_flag(tif::SYSCALL_WORK_ENTER) {
        return do_traced_syscall(regs);
    }
    do_syscall(regs, nr)
}

/// A system call that somebody looks at before it happens.
#[cold]
#[inline(never)]
fn do_traced_syscall(regs: &PtRegs) -> bool {
    let nr = syscall_trace_enter(regs);
    do_syscall(regs, nr)
}

/// Calls, and prepares the way back.
#[inline(always)]
fn do_syscall(regs: &PtRegs, nr: i64) -> bool {
    // Linux compares as unsigned: a negative number is out of range.
    if (nr as u64) < NR_SYSCALLS as u64 {
        let ret = SYS_CALL_TABLE[nr as usize](regs);
        regs.ax.set(ret as u64);
    } else if nr != -1 {
        // -1 is what a tracer writes that has set the result itself; with any other number it loses what it
        // has set (Linux 6.1, `arch/x86/entry/common.c`, `do_syscall_64`).
        regs.ax.set(sys_ni_syscall(nr as i32, false) as u64);
    }
    syscall_exit_to_user_mode(regs);
    sysret_is_safe(regs)
}

/// Whether the frame is one that `sysret` restores exactly, and safely: it takes
/// RIP from RCX and the flags from R11, faults in kernel mode on a non-canonical
/// RIP (Intel), and cannot set RF or TF (Linux 6.1, `do_syscall_64`).
#[inline]
fn sysret_is_safe(regs: &PtRegs) -> bool {
    regs.cx.get() == regs.ip.get()
        && regs.r11.get() == regs.flags.get()
        && regs.cs.get() == u64::from(USER_CS)
        && regs.ss.get() == u64::from(USER_DS)
        && regs.ip.get() < TASK_SIZE_MAX as u64
        && regs.flags.get() & (eflags::RF | eflags::TF) == 0
}

/// Before user mode runs again after a system call.
pub extern "C" fn syscall_exit_to_user_mode(regs: &PtRegs) {
    local_irq_disable();
    if current().test_flag(tif::EXIT_PREPARE | tif::SYSCALL_WORK_EXIT) {
        syscall_exit_to_user_mode_work(regs);
    }
    context_tracking::user_enter();
}

/// What is to be done before user mode runs after a system call; interrupts are off, before and
/// after.
#[cold]
#[inline(never)]
fn syscall_exit_to_user_mode_work(regs: &PtRegs) {
    let cur = current();
    if cur.test_flag(tif::SYSCALL_WORK_EXIT) {
        local_irq_enable();
        // An emulated call is not there to be stepped over (`report_single_step`).
        let step = cur.test_flag(tif::SYSCALL_EXIT_TRAP) && !cur.test_flag(tif::SYSCALL_EMU);
        let dispatched = cur.test_flag(tif::SYSCALL_USER_DISPATCH) && was_dispatched(cur);
        if !dispatched && (step || cur.test_flag(tif::SYSCALL_TRACE)) {
            ptrace_report_syscall_exit(regs, step);
        }
        local_irq_disable();
    }
    if cur.test_flag(tif::EXIT_PREPARE) {
        exit_to_user_mode_loop(regs);
    }
}

/// The program itself, its tracer and its filters look at a system call before it happens. Returns
/// its number, which the tracer may have changed; -1 if there is to be none
/// (`syscall_trace_enter`).
#[cold]
pub fn syscall_trace_enter(regs: &PtRegs) -> i64 {
    let cur = current();
    if cur.test_flag(tif::SYSCALL_USER_DISPATCH) && syscall_user_dispatch(cur, regs) {
        return -1;
    }
    let emulated = cur.test_flag(tif::SYSCALL_EMU);
    if emulated || cur.test_flag(tif::SYSCALL_TRACE) {
        let goes_on = ptrace_report_syscall_entry();
        if emulated || !goes_on {
            return -1;
        }
    }
    if cur.test_flag(tif::SECCOMP) && !secure_computing(regs) {
        return -1;
    }
    i64::from(regs.orig_ax.get() as i32)
}

/// Before user mode runs again after an exception or interrupt; interrupts are off.
pub extern "C" fn prepare_exit_to_usermode(regs: &PtRegs) {
    exit_to_user_mode_prepare(regs);
}

/// What is to be done before user mode runs, for a call whose kind still matters to it;
/// the way out finds nothing left to do. Interrupts are off afterwards.
pub fn exit_to_user_mode_work(regs: &PtRegs) {
    local_irq_disable();
    if current().test_flag(tif::EXIT_PREPARE | tif::SYSCALL_WORK_EXIT) {
        syscall_exit_to_user_mode_work(regs);
    }
}

/// The same after a call that was none: no tracer hears of its end. Interrupts are off afterwards
/// (`irqentry_exit_to_user_mode`).
#[cold]
pub fn exit_without_call(regs: &PtRegs) {
    local_irq_disable();
    if current().test_flag(tif::EXIT_PREPARE) {
        exit_to_user_mode_loop(regs);
    }
}

#[inline]
fn exit_to_user_mode_prepare(regs: &PtRegs) {
    if current().test_flag(tif::EXIT_PREPARE) {
        exit_to_user_mode_loop(regs);
    }
    context_tracking::user_enter();
}

/// Handles what the `TIF_*` flags ask for until none does. Interrupts are off
/// before and after, and whenever the flags are looked at.
#[cold]
fn exit_to_user_mode_loop(regs: &PtRegs) {
    let cur = current();
    while cur.test_flag(tif::EXIT_WORK) {
        local_irq_enable();
        if cur.test_flag(tif::NEED_RESCHED) {
            sched::schedule();
        }
        if cur.test_flag(tif::SIGPENDING) {
            arch_do_signal_or_restart(regs);
        }
        if cur.test_flag(tif::NOTIFY_RESUME) {
            cur.clear_flag(tif::NOTIFY_RESUME);
            resume_user_mode_work(regs);
        }
        local_irq_disable();
    }
    if cur.test_flag(tif::IO_BITMAP) {
        tss_update_io_bitmap();
    }
}

/// What waits for a moment at which no lock is held (`resume_user_mode_work`).
fn resume_user_mode_work(regs: &PtRegs) {
    let cur = current();
    cur.thread().i386_regs_poked.set(false);
    if cur.test_flag(tif::RSEQ) {
        rseq_handle_notify_resume(cur, 0, regs);
    }
    crate::mm::oom_kill::relieve();
}

/// A page fault. CR2 is read before anything else can fault (`exc_page_fault`).
pub extern "C" fn do_page_fault(regs: &PtRegs, error_code: u64) {
    let cr2 = x86_64::registers::control::Cr2::read_raw();
    crate::arch::x86::mm::fault::exc_page_fault(regs, error_code, cr2);
}

/// The first thing a new task does (`schedule_tail`).
pub extern "C" fn schedule_tail() {
    sched::finish_task_switch();
    local_irq_enable();
    let tid_address = current().set_child_tid.load(core::sync::atomic::Ordering::Relaxed);
    if tid_address != 0 {
        let pid = current().pid();
        // As in Linux, a bad address is the caller's loss.
        let _ = crate::arch::x86::lib::usercopy::put_user(tid_address as usize, &pid);
    }
}
