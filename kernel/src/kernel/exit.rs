// SPDX-License-Identifier: GPL-2.0-only
//! How tasks end, and how their parents learn of it (Linux 6.1, `kernel/exit.c`).
//!
//! Children hang on the thread that made them, and go to another one of its process when it
//! ends; the process is its thread-group leader, which stays a zombie until the last thread of
//! its group is gone.

mod relations;
mod reparent;
mod slots;
mod wait;

pub use relations::{
    ExitState, Relations, adopt, clear_tracer, delay_group_leader, next_child, next_tracee, notified_parent,
    parent_of, ptrace_reparented, real_parent, replace_leader, set_tracer, tracer_of,
};
pub use reparent::set_child_subreaper;
pub use wait::{sys_wait4, sys_waitid};

use crate::arch::x86::percpu::this_cpu;
use crate::drivers::tty::tty_jobctrl::disassociate_ctty;
use crate::errno::Result;
use crate::ipc::sem::undo::exit_sem;
use crate::kernel::fork::{TASKLIST, TaskListGuard, mm_release};
use crate::kernel::futex::futex_exit_release;
use crate::kernel::panic::{OOPS_COUNT, OOPS_LIMIT, panic};
use crate::kernel::ptrace::{exit_ptrace, ptrace_event};
use crate::kernel::sched::schedule;
use crate::kernel::signal::{begin_group_exit, do_notify_parent, exit_signals};
use crate::kernel::task::{TASK_DEAD, Task, current};
use crate::kernel::time::posix_timers::exit_itimers;
use crate::kernel::ucount::UcountRlimit;
use crate::locking::{irqs_enabled, local_irq_disable, local_irq_enable};
use crate::mm::leave_mm;
use crate::mm::mm_struct::SUID_DUMP_USER;
use alloc::sync::Arc;
use core::sync::atomic::Ordering;
use linux_raw_sys::general as nr;
use linux_raw_sys::ptrace::PTRACE_EVENT_EXIT;

/// Ends the current thread's whole group with wait status `code` (`do_group_exit`).
pub fn do_group_exit(code: i32) -> ! {
    do_exit(begin_group_exit(code))
}

/// Ends the current thread with wait status `code` (`do_exit`).
pub fn do_exit(code: i32) -> ! {
    let cur = current();
    crate::fs::coredump::coredump_task_exit(cur);
    ptrace_event(PTRACE_EVENT_EXIT, code as u64);
    exit_signals(&cur);
    let others_live = others_live(&cur);
    if !others_live {
        // The last thread's code becomes the group's (Linux 6.1, `synchronize_group_exit`).
        begin_group_exit(code);
    }
    if !others_live && cur.is_global_init() {
        let shown = cur.signal.group_exit_code.load(Ordering::Relaxed);
        let shown = if shown != 0 { shown } else { code };
        crate::kernel::panic::panic(format_args!("Attempted to kill init! exitcode=0x{shown:08x}"));
    }
    cur.exit_code.store(code as u32, Ordering::Relaxed);
    if !others_live {
        cur.signal.itimers.cancel_all();
        exit_itimers(cur);
    }
    exit_mm();
    exit_sem(&cur);
    drop(cur.files.lock().take());
    drop(cur.fs.lock().take());
    if !others_live {
        disassociate_ctty();
    }
    exit_notify(others_live);
    local_irq_disable();
    cur.state.store(TASK_DEAD, Ordering::SeqCst);
    schedule();
    unreachable!("a dead task was scheduled")
}

/// Whether the group has other threads that have not come to `do_exit`.
pub fn others_live(cur: &Task) -> bool {
    cur.signal.threads.with_irqs_off(|v| {
        v.iter().any(|t| {
            !core::ptr::eq(Arc::as_ptr(t), cur)
                && t.pf.load(Ordering::Relaxed) & crate::kernel::task::pf::EXITING == 0
        })
    })
}

/// Lets go of the address space.
fn exit_mm() {
    let cur = current();
    futex_exit_release(&cur);
    mm_release(&cur);
    let mm = cur.replace_mm(None);
    if let Some(mm) = &mm {
        cur.user_dumpable.store(mm.dumpable() == SUID_DUMP_USER, Ordering::Relaxed);
        cur.signal.dead.note_mm(mm);
        leave_mm();
    }
    drop(mm);
}

/// Lets go of tracees and children, tells the own parent or tracer, and releases the task if
/// nobody will wait for it.
fn exit_notify(others_live: bool) {
    let cur = current();
    exit_ptrace(cur);
    reparent::forget_original_parent();
    if !others_live && let Some(leader) = cur.signal.group_leader() {
        reparent::kill_orphaned_pgrp(&leader, None);
    }
    cur.rel.set_exit_state(ExitState::Zombie);
    let me = cur.to_arc();
    if cur.ptrace.traced() {
        let whole = cur.is_leader() && cur.signal.thread_group_empty() && !ptrace_reparented(&cur);
        let sig = if whole { cur.rel.exit_signal() } else { nr::SIGCHLD as i32 };
        if do_notify_parent(&cur, sig) {
            bury(&me);
        }
    } else if !cur.is_leader() {
        bury(&me);
    } else if cur.signal.thread_group_empty() {
        notify_and_maybe_reap(&me);
    }
    if cur.signal.group_exec_task.load(Ordering::Relaxed) != 0 {
        // A leader stays, but the thread in `execve` waits for no more than its end.
        cur.signal.thread_gone.wake_up();
    }
}

/// Releases a task that nobody will wait for.
pub fn bury(t: &Arc<Task>) {
    t.rel.set_exit_state(ExitState::Dead);
    release_task(t);
}

/// Releases a dead leader whose place another thread has taken; a tracer need not wait for it.
pub fn release_old_leader(t: &Arc<Task>) {
    if let Some(tracer) = tracer_of(t) {
        tracer.signal.wait_chldexit.wake_up();
    }
    bury(t);
}

/// Tells the parent of a dead leader; releases it if the parent does not care.
pub fn notify_and_maybe_reap(leader: &Arc<Task>) {
    if do_notify_parent(leader, leader.rel.exit_signal()) {
        bury(leader);
    }
}

/// Takes a dead task off all lists (`release_task`). When it was the last thread but a
/// dead leader, the leader's parent hears of it now.
fn release_task(t: &Arc<Task>) {
    t.cred.lock().ucounts.dec(UcountRlimit::Nproc, 1);
    let leader = {
        let mut list = TASKLIST.lock();
        list.remove(t.pid());
        relations::abandon(&mut list, t);
        clear_tracer(&mut list, t);
        if t.is_leader() { None } else { list.find(t.tgid) }
    };
    t.signal.remove_thread(t);
    if let Some(l) = leader
        && l.rel.is_zombie()
        && l.signal.thread_group_empty()
    {
        notify_and_maybe_reap(&l);
    }
}

/// Ends a task that the kernel cannot go on with, after an oops (`make_task_dead`).
pub fn make_task_dead(sig: i32) -> ! {
    use crate::arch::x86::kernel::irq::in_interrupt;
    let cur = current();
    if in_interrupt() {
        panic(format_args!("Aiee, killing interrupt handler!"));
    }
    if cur.pid() == 0 {
        panic(format_args!("Attempted to kill the idle task!"));
    }
    let name = cur.comm();
    let comm = alloc::string::String::from_utf8_lossy(&name);
    if !irqs_enabled() {
        crate::pr_info!("note: {comm}[{}] exited with irqs disabled\n", cur.pid());
        local_irq_enable();
    }
    let count = this_cpu().preempt_count.get();
    if count != 0 {
        crate::pr_info!("note: {comm}[{}] exited with preempt_count {count}\n", cur.pid());
        this_cpu().preempt_count.set(0);
    }
    // Each may have left a reference or a lock behind.
    let oopses = OOPS_COUNT.fetch_add(1, Ordering::Relaxed) + 1;
    let limit = OOPS_LIMIT.load(Ordering::Relaxed);
    if limit != 0 && oopses >= limit {
        panic(format_args!("Oopsed too often (kernel.oops_limit is {limit})"));
    }
    do_exit(sig)
}

/// `exit(2)`.
pub fn sys_exit(code: i32) -> Result<usize> {
    do_exit((code & 0xff) << 8)
}

/// `exit_group(2)`.
pub fn sys_exit_group(code: i32) -> Result<usize> {
    do_group_exit((code & 0xff) << 8)
}
