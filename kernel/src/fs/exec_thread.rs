// SPDX-License-Identifier: GPL-2.0-only
//! A program has one thread: `execve` ends all others, and who calls it becomes the first
//! (Linux 6.1, `fs/exec.c`, `de_thread`).

use crate::errno::Result;
use crate::kernel::exit::{release_old_leader, replace_leader};
use crate::kernel::fork::TASKLIST;
use crate::kernel::signal::kill_other_threads;
use crate::kernel::signal::sigset::SIGCHLD;
use crate::kernel::task::{Current, Task};
use alloc::sync::Arc;
use core::sync::atomic::Ordering::Relaxed;

/// Ends the other threads; the current one becomes the leader.
///
/// # Errors
/// `EAGAIN`: the group is dying.
pub(super) fn de_thread(cur: Current) -> Result {
    kill_other_threads(&cur)?;
    if !cur.is_leader()
        && let Some(leader) = cur.signal.group_leader()
    {
        take_identity(cur, &leader);
        release_old_leader(&leader);
    }
    // Whatever the parent asked for was about the old program.
    cur.rel.set_exit_signal(SIGCHLD);
    cur.signal.curr_target.store(cur.pid(), Relaxed);
    Ok(())
}

/// The current thread has the dead leader's id, family and age from now on.
fn take_identity(cur: Current, leader: &Arc<Task>) {
    let me = cur.to_arc();
    let mut list = TASKLIST.lock();
    me.start_time.store(leader.start_time.load(Relaxed), Relaxed);
    list.exchange_tids(&me, leader);
    replace_leader(&mut list, leader, &me);
    me.rel.set_parent_execs(leader.rel.parent_execs());
    leader.rel.set_exit_signal(-1);
}
