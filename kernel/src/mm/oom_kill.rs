// SPDX-License-Identifier: GPL-2.0-only
//! Out of memory: the largest process goes, so that the others can go on.
//! After Linux 6.1, `mm/oom_kill.c`.

use crate::errno::{EACCES, EINVAL, Result};
use crate::fs::seq_file::SeqFile;
use crate::kernel::capability::capable;
use crate::kernel::fork::{for_each_process, set_notify_resume};
use crate::kernel::sched::set_current_state;
use crate::kernel::signal::send::do_send_sig_info;
use crate::kernel::signal::sigset::SIGKILL;
use crate::kernel::signal::{PidType, SendInfo, fatal_signal_pending};
use crate::kernel::task::{TASK_KILLABLE, Task, current, pf};
use crate::kernel::time::timekeeping::ktime_get;
use crate::kernel::wait::schedule_hrtimeout;
use crate::mm::page_alloc::{PAGE_SIZE, nr_free_pages, totalram_pages, wmark_kernel};
use alloc::string::String;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, Ordering};
use linux_raw_sys::general::CAP_SYS_RESOURCE;

/// Who has this is never ended (`OOM_SCORE_ADJ_MIN`).
const OOM_SCORE_ADJ_MIN: i32 = -1000;
const OOM_SCORE_ADJ_MAX: i32 = 1000;

/// How much would be gained by ending a process, in pages, as far as it wants to be ended
/// before others; `None` for those that must stay (`oom_badness`).
fn badness(t: &Task) -> Option<isize> {
    let adj = t.signal.oom_score_adj.load(Ordering::Relaxed);
    if t.is_global_init() || adj == OOM_SCORE_ADJ_MIN {
        return None;
    }
    let mm = t.process_mm()?;
    let st = mm.lock();
    let pages = st.rss.anon + st.rss.file + st.pt.tables();
    Some(pages as isize + adj as isize * (totalram_pages() / 1000) as isize)
}

/// `/proc/PID/oom_score`: 0 to 2000 (`proc_oom_score`).
pub fn show_score(t: &Task, o: &mut SeqFile) -> Result {
    let total = totalram_pages() as isize;
    let score = badness(t).map_or(0, |points| (1000 + points * 1000 / total) * 2 / 3);
    writeln!(o, "{score}");
    Ok(())
}

/// `/proc/PID/oom_score_adj`.
pub fn show_score_adj(t: &Task, o: &mut SeqFile) -> Result {
    writeln!(o, "{}", t.signal.oom_score_adj.load(Ordering::Relaxed));
    Ok(())
}

/// What stands for "never" and "rather" in the old file, and its largest value.
const OOM_DISABLE: i32 = -17;
const OOM_ADJUST_MAX: i32 = 15;

/// `/proc/PID/oom_adj`, which `oom_score_adj` has replaced (Linux 6.1, fs/proc/base.c, `oom_adj_read`).
pub fn show_adj(t: &Task, o: &mut SeqFile) -> Result {
    let adj = match t.signal.oom_score_adj.load(Ordering::Relaxed) {
        OOM_SCORE_ADJ_MAX => OOM_ADJUST_MAX,
        adj => adj * -OOM_DISABLE / OOM_SCORE_ADJ_MAX,
    };
    writeln!(o, "{}", adj.min(OOM_ADJUST_MAX));
    Ok(())
}

/// Writes to it (`oom_adj_write`).
pub fn set_adj(t: &Task, text: &[u8]) -> Result {
    let adj: i32 = core::str::from_utf8(text).map_err(|_| EINVAL)?.trim().parse().map_err(|_| EINVAL)?;
    if adj != OOM_DISABLE && !(-16..=OOM_ADJUST_MAX).contains(&adj) {
        return Err(EINVAL);
    }
    let adj = if adj == OOM_ADJUST_MAX { OOM_SCORE_ADJ_MAX } else { adj * OOM_SCORE_ADJ_MAX / -OOM_DISABLE };
    if adj < t.signal.oom_score_adj.load(Ordering::Relaxed) && !capable(CAP_SYS_RESOURCE) {
        return Err(EACCES);
    }
    t.signal.oom_score_adj.store(adj, Ordering::Relaxed);
    Ok(())
}

/// Writes to it: who may not change resources' limits may only make it larger than what who may
/// left (Linux 6.1, fs/proc/base.c, `oom_score_adj_write`, `__set_oom_adj`).
pub fn set_score_adj(t: &Task, text: &[u8]) -> Result {
    let text = core::str::from_utf8(text).map_err(|_| EINVAL)?;
    let adj: i32 = text.trim().parse().map_err(|_| EINVAL)?;
    if !(OOM_SCORE_ADJ_MIN..=OOM_SCORE_ADJ_MAX).contains(&adj) {
        return Err(EINVAL);
    }
    let least = &t.signal.oom_score_adj_min;
    let may = capable(CAP_SYS_RESOURCE);
    if adj < least.load(Ordering::Relaxed) && !may {
        return Err(EACCES);
    }
    t.signal.oom_score_adj.store(adj, Ordering::Relaxed);
    if may {
        least.store(adj, Ordering::Relaxed);
    }
    Ok(())
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
    let mut worst: Option<(isize, Arc<Task>)> = None;
    let mut dying = false;
    for_each_process(|t| {
        let Some(points) = badness(t) else { return };
        if will_free_mem(t) {
            dying = true;
        } else if worst.as_ref().is_none_or(|w| points >= w.0) {
            worst = Some((points, t.clone()));
        }
    });
    match worst {
        _ if dying => Victim::Dying,
        Some((_, t)) => Victim::Chosen(t),
        None => Victim::None,
    }
}

/// Says who found no memory, and who has it (`dump_header`, `dump_tasks`). Programs' memory is
/// all that is waited for: a page of zeroes that can be moved.
fn dump_header() {
    let cur = current();
    crate::pr_warn!(
        "{} invoked oom-killer: gfp_mask=0x140dca(GFP_HIGHUSER_MOVABLE|__GFP_COMP|__GFP_ZERO), order=0, oom_score_adj={}\n",
        String::from_utf8_lossy(&cur.comm()),
        cur.signal.oom_score_adj.load(Ordering::Relaxed)
    );
    crate::mm::show_mem::show_mem();
    crate::pr_info!("Tasks state (memory values in pages):\n");
    crate::pr_info!("[  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name\n");
    for_each_process(|t| {
        let Some(mm) = t.process_mm() else { return };
        let (total, rss, tables) = {
            let st = mm.lock();
            (st.stat.total_vm, st.rss.anon + st.rss.file, st.pt.tables() * PAGE_SIZE)
        };
        let (uid, adj) = (t.cred.lock().uid, t.signal.oom_score_adj.load(Ordering::Relaxed));
        crate::pr_info!(
            "[{:7}] {uid:5} {:5} {total:8} {rss:8} {tables:8} {:8}         {adj:5} {}\n",
            t.pid(),
            t.tgid,
            0,
            String::from_utf8_lossy(&t.comm())
        );
    });
}

/// One line about the choice (`dump_oom_summary`).
fn dump_oom_summary(t: &Task) {
    crate::pr_info!(
        "oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,global_oom,task_memcg=/,task={},pid={},uid={}\n",
        String::from_utf8_lossy(&t.comm()),
        t.tgid,
        t.cred.lock().uid
    );
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
        "Out of memory: Killed process {} ({}) total-vm:{}kB, anon-rss:{}kB, file-rss:{}kB, shmem-rss:0kB, UID:{} pgtables:{}kB oom_score_adj:{}\n",
        t.tgid,
        String::from_utf8_lossy(&t.comm()),
        kb(total),
        kb(rss.anon),
        kb(rss.file),
        t.cred.lock().uid,
        kb(tables),
        t.signal.oom_score_adj.load(Ordering::Relaxed)
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
            dump_header();
            dump_oom_summary(&t);
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
