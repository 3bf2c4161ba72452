// SPDX-License-Identifier: GPL-2.0-only
//! What all tasks do, for the log (Linux 6.1, `kernel/sched/core.c`, `show_state_filter`,
//! `sched_show_task`).

use crate::arch::x86::kernel::dumpstack::show_stack;
use crate::fs::proc::base::state_char;
use crate::kernel::fork::for_each_process;
use crate::kernel::panic::Comm;
use crate::kernel::task::{TASK_RUNNING, TASK_UNINTERRUPTIBLE, Task};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering::Relaxed;

/// The level of all this.
const KERN_INFO: u8 = 6;

/// Shows every task (`show_state`).
pub fn show_state() {
    show_state_filter(|_| true);
}

/// Shows the tasks that wait for something that no signal ends.
pub fn show_blocked() {
    show_state_filter(|t| t.state.load(Relaxed) & TASK_UNINTERRUPTIBLE != 0);
}

fn show_state_filter(wanted: impl Fn(&Task) -> bool) {
    for_each_process(|leader| {
        // As many as there is memory for; one that ends in the meantime is kept.
        let mut threads: Vec<Arc<Task>> = Vec::new();
        leader.signal.threads.with_irqs_off(|all| {
            if threads.try_reserve(all.len()).is_ok() {
                threads.extend(all.iter().cloned());
            }
        });
        threads.iter().filter(|t| wanted(t)).for_each(|t| sched_show_task(t));
    });
}

/// Shows one task: a line, and its kernel stack.
fn sched_show_task(t: &Task) {
    let comm = t.comm();
    let comm = alloc::format!("{}", Comm(&comm[..comm.len().min(15)]));
    let running = if t.state.load(Relaxed) == TASK_RUNNING { "  running task    " } else { "" };
    let ppid = t.signal.ppid.load(Relaxed);
    // How much of the stack was never used is not known without poison on it.
    crate::pr_info!(
        "task:{comm:<15} state:{}{running} stack:{:<5} pid:{:<5} ppid:{ppid:<6} flags:{:#010x}\n",
        state_char(t),
        0,
        t.pid(),
        t.flags.load(Relaxed)
    );
    show_stack(t, KERN_INFO);
}
