// SPDX-License-Identifier: GPL-2.0-only
//! What becomes of the children of a process that ends, and of the process groups that lose
//! their last parent with it (Linux 6.1, `kernel/exit.c`, `forget_original_parent`,
//! `kill_orphaned_pgrp`).

use super::relations::hand_over;
use super::{TASKLIST, TaskListGuard, adopt, notify_and_maybe_reap, parent_of, real_parent};
use crate::kernel::signal::kill::{check_kill_permission, will_become_orphaned_pgrp};
use crate::kernel::signal::state::signal_flags;
use crate::kernel::signal::{PidType, SendInfo, kill_pgrp, send};
use crate::kernel::task::{Task, current, pf};
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
use linux_raw_sys::general as nr;

/// Whether any process ever asked for orphaned descendants: else it need not be looked for.
static SUBREAPERS: AtomicBool = AtomicBool::new(false);

/// `prctl(PR_SET_CHILD_SUBREAPER)`.
pub fn set_child_subreaper(on: bool) {
    SUBREAPERS.fetch_or(on, Relaxed);
    current().signal.is_child_subreaper.store(on, Relaxed);
}

/// The first thread of the process that is not about to end (`find_alive_thread`).
fn alive_thread(t: &Task) -> Option<Arc<Task>> {
    let alive = |t: &&Arc<Task>| t.pf.load(Relaxed) & pf::EXITING == 0;
    t.signal.threads.with_irqs_off(|v| v.iter().find(alive).cloned())
}

/// Whose children those of `me` become: its nearest ancestor's that wants them, else the
/// first process's (`find_new_reaper`).
fn find_new_reaper(list: &mut TaskListGuard<'_>, me: &Task) -> Option<Arc<Task>> {
    let mut ancestor = if SUBREAPERS.load(Relaxed) { real_parent(list, me) } else { None };
    while let Some(a) = ancestor.filter(|a| !a.is_global_init()) {
        if a.signal.is_child_subreaper.load(Relaxed) && alive_thread(&a).is_some() {
            return Some(a);
        }
        ancestor = a.rel.parent(list);
    }
    list.find(1)
}

/// Gives the current thread's children to another one of its process, or to another process when it
/// has none that goes on.
pub(super) fn forget_original_parent() {
    let cur = current();
    let mut list = TASKLIST.lock();
    let children = cur.rel.take_children(&mut list);
    if children.is_empty() {
        return;
    }
    if let Some(heir) = alive_thread(&cur) {
        children.iter().for_each(|c| hand_over(&mut list, &heir, c));
        drop(list);
        return children.iter().for_each(signal_parent_death);
    }
    let Some(reaper) = find_new_reaper(&mut list, &cur) else { return };
    let thread = alive_thread(&reaper);
    for c in children.iter() {
        adopt(&mut list, &reaper, thread.as_ref().unwrap_or(&reaper), c);
        c.rel.set_exit_signal(nr::SIGCHLD as i32);
    }
    drop(list);
    for c in children.iter() {
        signal_parent_death(c);
        if !c.ptrace.traced() && c.rel.is_zombie() && c.signal.thread_group_empty() {
            notify_and_maybe_reap(c);
        }
        kill_orphaned_pgrp(c, Some(&cur));
    }
}

/// The thread that is the parent of `c` has ended: threads that asked for it get their signal.
fn signal_parent_death(c: &Arc<Task>) {
    let thread = |i| c.signal.threads.with_irqs_off(|v| v.get(i).cloned());
    for t in (0..).map_while(thread) {
        let sig = t.pdeath_signal.load(Relaxed) as i32;
        if sig != 0 && check_kill_permission(sig, SendInfo::NoInfo, &t).is_ok() {
            let _ = send::do_send_sig_info(sig, SendInfo::NoInfo, &t, PidType::Tgid);
        }
    }
}

/// A process group may have just lost the last parent who could continue it: `t`, a member,
/// has ended (its group leader is given), or lost `old_parent`. If it has, and members are
/// stopped, they get `SIGHUP` and `SIGCONT`.
pub(super) fn kill_orphaned_pgrp(t: &Task, old_parent: Option<&Task>) {
    let own_parent = if old_parent.is_none() { parent_of(t) } else { None };
    let Some(parent) = old_parent.or(own_parent.as_deref()) else { return };
    let pgrp = t.signal.pgrp();
    let connects = parent.signal.pgrp() != pgrp && parent.signal.session() == t.signal.session();
    if !connects || !has_stopped_jobs(pgrp) {
        return;
    }
    let ignored = if old_parent.is_none() { Some(t) } else { None };
    if will_become_orphaned_pgrp(pgrp, ignored) {
        let _ = kill_pgrp(pgrp, nr::SIGHUP as i32, true);
        let _ = kill_pgrp(pgrp, nr::SIGCONT as i32, true);
    }
}

fn has_stopped_jobs(pgrp: i32) -> bool {
    let stopped = |t: &Arc<Task>| t.signal.flags() & signal_flags::STOP_STOPPED != 0;
    TASKLIST.lock().pgrp_members(pgrp).any(stopped)
}
