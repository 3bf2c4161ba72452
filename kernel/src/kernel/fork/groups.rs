// SPDX-License-Identifier: GPL-2.0-only
//! Who is in which process group and session (Linux 6.1, `kernel/pid.c`, `attach_pid`, `change_pid`,
//! `detach_pid`; `include/linux/pid.h`, `do_each_pid_task`): what is done to a group or a session costs
//! what its members cost, however many others there are.
//!
//! All of a group are of one session (`setpgid` sees to it), so a session is a set of groups: to
//! make and end processes costs nothing for it, only to make and end groups does.

use super::{PidHasher, TASKLIST, TaskList};
use crate::kernel::task::Task;
use crate::mm::page_alloc::with_reserve;
use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use core::hash::BuildHasherDefault;
use core::ops::Bound::{Excluded, Unbounded};
use core::sync::atomic::Ordering::Relaxed;
use hashbrown::HashMap;

type ById<T> = HashMap<i32, T, BuildHasherDefault<PidHasher>>;

/// A process group.
struct Group {
    session: i32,
    /// Its processes.
    members: BTreeSet<i32>,
}

/// The process groups, and the sessions as sets of groups, by number.
pub(super) struct Groups {
    groups: ById<Group>,
    sessions: ById<BTreeSet<i32>>,
}

impl Groups {
    pub(super) const fn new() -> Self {
        Self {
            groups: HashMap::with_hasher(BuildHasherDefault::new()),
            sessions: HashMap::with_hasher(BuildHasherDefault::new()),
        }
    }
    fn attach(&mut self, session: i32, pgrp: i32, tgid: i32) {
        with_reserve(|| {
            let group = self.groups.entry(pgrp).or_insert_with(|| {
                self.sessions.entry(session).or_default().insert(pgrp);
                Group { session, members: BTreeSet::new() }
            });
            debug_assert_eq!(group.session, session, "a group of two sessions");
            group.members.insert(tgid);
        });
    }
    fn detach(&mut self, pgrp: i32, tgid: i32) {
        let Some(group) = self.groups.get_mut(&pgrp) else { return };
        group.members.remove(&tgid);
        if group.members.is_empty() {
            let session = group.session;
            self.groups.remove(&pgrp);
            self.lose(session, pgrp);
        }
    }
    /// A session has a group less.
    fn lose(&mut self, session: i32, pgrp: i32) {
        if let Some(groups) = self.sessions.get_mut(&session) {
            groups.remove(&pgrp);
            if groups.is_empty() {
                self.sessions.remove(&session);
            }
        }
    }
    /// The first member with a higher number than this.
    fn next(&self, pgrp: i32, after: i32) -> Option<i32> {
        self.groups.get(&pgrp)?.members.range((Excluded(after), Unbounded)).next().copied()
    }
    /// The processes of a group.
    fn members(&self, pgrp: i32) -> impl Iterator<Item = &i32> {
        self.groups.get(&pgrp).into_iter().flat_map(|g| &g.members)
    }
    /// The processes of a session.
    fn of_session(&self, session: i32) -> impl Iterator<Item = &i32> {
        self.sessions.get(&session).into_iter().flatten().flat_map(|&pgrp| self.members(pgrp))
    }
    /// Whether a group or a session has this number.
    fn has(&self, id: i32) -> bool {
        self.groups.contains_key(&id) || self.sessions.contains_key(&id)
    }
}

impl TaskList {
    /// A new process is in its group.
    pub(super) fn attach_pgrp(&mut self, leader: &Task) {
        self.groups.attach(leader.signal.session(), leader.signal.pgrp(), leader.tgid);
    }
    /// A process that is released is in none any more.
    pub(super) fn detach_pgrp(&mut self, leader: &Task) {
        self.groups.detach(leader.signal.pgrp(), leader.tgid);
    }
    /// A process goes to another group, and maybe to another session with it.
    pub fn change_pgrp(&mut self, t: &Task, session: i32, pgrp: i32) {
        t.signal.session.store(session, Relaxed);
        let old = t.signal.pgrp.swap(pgrp, Relaxed);
        // One that was released meanwhile is in none.
        if self.find(t.tgid).is_some_and(|l| Arc::ptr_eq(&l.signal, &t.signal)) {
            self.groups.detach(old, t.tgid);
            self.groups.attach(session, pgrp, t.tgid);
        }
    }
    /// Whether a process group has this number.
    pub fn has_pgrp(&self, pgrp: i32) -> bool {
        self.groups.groups.contains_key(&pgrp)
    }
    /// Whether a process group or a session has this number.
    pub(super) fn is_group(&self, id: i32) -> bool {
        self.groups.has(id)
    }
    /// The member of a group with the lowest number above `after`: its leader.
    fn next_in_pgrp(&self, pgrp: i32, after: i32) -> Option<&Arc<Task>> {
        self.by_pid.get(&self.groups.next(pgrp, after)?)
    }
    /// The leaders of a group's processes, by ascending pid.
    pub fn pgrp_members(&self, pgrp: i32) -> impl Iterator<Item = &Arc<Task>> {
        self.groups.members(pgrp).filter_map(|tgid| self.by_pid.get(tgid))
    }
    /// The leaders of a session's processes.
    pub fn session_members(&self, session: i32) -> impl Iterator<Item = &Arc<Task>> {
        self.groups.of_session(session).filter_map(|tgid| self.by_pid.get(tgid))
    }
}

/// Calls `f` for the leader of each process of a group, by ascending pid, without any lock held and
/// without memory.
pub fn for_each_in_pgrp(pgrp: i32, mut f: impl FnMut(&Arc<Task>)) {
    let next = |after| TASKLIST.lock().next_in_pgrp(pgrp, after).cloned();
    let mut last = i32::MIN;
    while let Some(t) = next(last) {
        last = t.tgid;
        f(&t);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_have_who_is_attached_to_them() {
        let mut g = Groups::new();
        for (pgrp, tgid) in [(5, 9), (5, 5), (7, 7), (5, 6)] {
            g.attach(3, pgrp, tgid);
        }
        g.attach(8, 8, 8);
        assert_eq!(g.of_session(3).copied().collect::<Vec<_>>(), [5, 6, 9, 7]);
        let mut seen = Vec::new();
        let mut last = i32::MIN;
        while let Some(n) = g.next(5, last) {
            seen.push(n);
            last = n;
        }
        assert_eq!(seen, [5, 6, 9]);
        g.detach(5, 6);
        assert_eq!(g.next(5, 5), Some(9));
        g.detach(7, 7);
        assert!(!g.has(7) && g.has(3), "a session that its leader has left");
        g.detach(8, 8);
        assert_eq!((g.next(8, 0), g.has(8)), (None, false));
        g.detach(5, 5);
        g.detach(5, 9);
        assert!(!g.has(3) && g.groups.is_empty() && g.sessions.is_empty());
    }
}
