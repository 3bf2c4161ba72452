// SPDX-License-Identifier: GPL-2.0-only
//! Out of memory: the largest process goes, so that the others can go on.
//! After Linux 6.1, `mm/oom_kill.c`.

use crate::kernel::fork::{for_each_process, set_notify_resume};
use crate::kernel::sched::set_current_state;
use crate::kernel::signal::send::do_send_sig_info;
use crate::kernel::signal::sigset::SIGKILL;
use crate::kernel::signal::{PidType, SendInfo, fatal_signal_pending};
use crate::kernel::task::{TASK_KILLABLE, Task, current, pf};
use crate::kernel::time::timekeeping::ktime_get;
use crate::kernel::wait::schedule_hrtimeout;
use crate::mm::page_alloc::{PAGE_SIZE, nr_free_pages, wmark_kernel};
use alloc::string::String;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, Ordering};

/// How much would be gained by killing a process, in pages (`oom_badness`);
/// 0 for those that must stay.
fn badness(t: &Task) -> usize {
    if t.is_global_init() {
        return 0;
    }
    let Some(mm) = t.process_mm() else { return 0 };
    let st = mm.lock();
    st.rss.anon + st.rss.file + st.pt.tables()
}

/// Whether a process is about to let go of its memory: so are all of its threads. One of them may
/// be writing a core dump, and that takes as long as it takes (`__task_will_free_mem`).
fn will_free_mem(t: &Task) -> bool {
    let dying = |t: &Arc<Task>| fatal_signal_pending(t) || t.pf.load(Ordering::Relaxed) & pf::EXITING != 0;
    t.signal.threads.with_irqs_off(|v| v.iter().all(dying))
}

/// What can be done about lack of memory.
enum Victim {
    /// This process is the one to end.
    Chosen(Arc<Task>),
    /// One is about to go already, with what it has.
    Dying,
    /// There is none.
    None,
}

/// Looks for the process to end (`select_bad_process`).
fn select_bad_process() -> Victim {
    let mut worst: Option<(usize, Arc<Task>)> = None;
    let mut dying = false;
    for_each_process(|t| {
        let points = badness(t);
        if points != 0 && will_free_mem(t) {
            dying = true;
        } else if points > worst.as_ref().map_or(0, |w| w.0) {
            worst = Some((points, t.clone()));
        }
    });
    match worst {
        _ if dying => Victim::Dying,
        Some((_, t)) => Victim::Chosen(t),
        None => Victim::None,
    }
}

/// Prints what goes, and kills it (`__oom_kill_process`).
fn oom_kill_process(t: &Arc<Task>) {
    let kb = |pages: usize| pages * PAGE_SIZE / 1024;
    // SIGKILL needs no memory: it cannot fail.
    let kill = |t: &Arc<Task>| {
        let _ = do_send_sig_info(SIGKILL, SendInfo::Priv, t, PidType::Tgid);
    };
    kill(t);
    let Some(mm) = t.process_mm() else { return };
    let (total, rss, tables) = {
        let st = mm.lock();
        (st.stat.total_vm, st.rss, st.pt.tables())
    };
    crate::pr_err!(
        "Out of memory: Killed process {} ({}) total-vm:{}kB, anon-rss:{}kB, file-rss:{}kB, shmem-rss:0kB, UID:{} pgtables:{}kB oom_score_adj:0\n",
        t.tgid,
        String::from_utf8_lossy(&t.comm()),
        kb(total),
        kb(rss.anon),
        kb(rss.file),
        t.cred.lock().uid,
        kb(tables)
    );
    // Who else has this memory would keep it.
    for_each_process(|p| {
        if p.tgid == t.tgid || !p.process_mm().is_some_and(|m| Arc::ptr_eq(&m, &mm)) {
            return;
        }
        if p.is_global_init() {
            crate::pr_info!(
                "oom killer {} ({}) has mm pinned by {} ({})\n",
                t.tgid,
                String::from_utf8_lossy(&t.comm()),
                p.tgid,
                String::from_utf8_lossy(&p.comm())
            );
        } else {
            kill(p);
        }
    });
}

/// Set once there are tasks that can be ended (Linux's `oom_killer_disabled`, inverted).
static ENABLED: AtomicBool = AtomicBool::new(false);
/// The heap took pages from the reserve since [`relieve`] last looked.
static HEAP_PRESSURE: AtomicBool = AtomicBool::new(false);

/// Lets the killer do its work.
pub fn enable() {
    ENABLED.store(true, Ordering::Relaxed);
}

fn heap_is_low() -> bool {
    nr_free_pages() < wmark_kernel() * 3 / 2
}

/// The heap has just grown: if that took a quarter of the reserve, the running task
/// calls [`relieve`] on its way back to user mode. Here nothing can be done, for any
/// lock may be held.
pub fn heap_grew() {
    if heap_is_low() && ENABLED.load(Ordering::Relaxed) {
        HEAP_PRESSURE.store(true, Ordering::Relaxed);
        set_notify_resume(&current());
    }
}

/// How long a task waits for a victim to be gone before it looks again, in nanoseconds.
const PATIENCE: u64 = 1_000_000;
/// How often it does that: a victim that cannot die must not take the others along.
const ATTEMPTS: usize = 1000;

/// Ends a program if the heap has eaten into the reserve, and lets nobody take more
/// until it is gone; if there is none to end, the memory is not in programs' hands and
/// the rest must do.
pub fn relieve() {
    if !HEAP_PRESSURE.swap(false, Ordering::Relaxed) {
        return;
    }
    for _ in 0..ATTEMPTS {
        if !heap_is_low() || fatal_signal_pending(&current()) || !out_of_memory() {
            return;
        }
    }
}

/// Chooses and kills, or waits for one who was killed before; whether there was any
/// (`out_of_memory`, and the pause that `__alloc_pages_may_oom` makes).
pub fn out_of_memory() -> bool {
    match select_bad_process() {
        Victim::Chosen(t) => {
            crate::pr_warn!("{} invoked oom-killer\n", String::from_utf8_lossy(&current().comm()));
            oom_kill_process(&t);
        }
        Victim::Dying => {}
        Victim::None => return false,
    }
    if !fatal_signal_pending(&current()) {
        set_current_state(TASK_KILLABLE);
        schedule_hrtimeout(ktime_get() + PATIENCE);
    }
    true
}

/// A program's page fault found no memory: make some, or end the program. It
/// tries again afterwards (`pagefault_out_of_memory`).
pub fn pagefault_out_of_memory() {
    if !fatal_signal_pending(&current()) && !out_of_memory() {
        crate::kernel::panic::panic(format_args!("System is deadlocked on memory"));
    }
}
