// SPDX-License-Identifier: GPL-2.0-only
//! Who is in which process group (Linux 6.1, `kernel/pid.c`, `attach_pid`, `change_pid`,
//! `detach_pid`; `include/linux/pid.h`, `do_each_pid_task`): what is done to a group costs what the
//! group's members cost, however many others there are.

use super::{PidHasher, TASKLIST, TaskList};
use crate::kernel::task::Task;
use crate::mm::page_alloc::with_reserve;
use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use core::hash::BuildHasherDefault;
use core::ops::Bound::{Excluded, Unbounded};
use core::sync::atomic::Ordering::Relaxed;
use hashbrown::HashMap;

/// The processes of each group, by number.
pub(super) struct Groups(HashMap<i32, BTreeSet<i32>, BuildHasherDefault<PidHasher>>);

impl Groups {
    pub(super) const fn new() -> Self {
        Self(HashMap::with_hasher(BuildHasherDefault::new()))
    }
    fn attach(&mut self, pgrp: i32, tgid: i32) {
        with_reserve(|| self.0.entry(pgrp).or_default().insert(tgid));
    }
    fn detach(&mut self, pgrp: i32, tgid: i32) {
        if let Some(members) = self.0.get_mut(&pgrp) {
            members.remove(&tgid);
            if members.is_empty() {
                self.0.remove(&pgrp);
            }
        }
    }
    /// The first member with a higher number than this.
    fn next(&self, pgrp: i32, after: i32) -> Option<i32> {
        self.0.get(&pgrp)?.range((Excluded(after), Unbounded)).next().copied()
    }
}

impl TaskList {
    /// A new process is in its group.
    pub(super) fn attach_pgrp(&mut self, leader: &Task) {
        self.groups.attach(leader.signal.pgrp(), leader.tgid);
    }
    /// A process that is released is in none any more.
    pub(super) fn detach_pgrp(&mut self, leader: &Task) {
        self.groups.detach(leader.signal.pgrp(), leader.tgid);
    }
    /// A process goes to another group.
    pub fn change_pgrp(&mut self, t: &Task, pgrp: i32) {
        let old = t.signal.pgrp.swap(pgrp, Relaxed);
        // One that was released meanwhile is in none.
        if self.find(t.tgid).is_some_and(|l| Arc::ptr_eq(&l.signal, &t.signal)) {
            self.groups.detach(old, t.tgid);
            self.groups.attach(pgrp, t.tgid);
        }
    }
    /// Whether a process group has this number.
    pub fn has_pgrp(&self, pgrp: i32) -> bool {
        self.groups.0.contains_key(&pgrp)
    }
    /// The member of a group with the lowest number above `after`: its leader.
    fn next_in_pgrp(&self, pgrp: i32, after: i32) -> Option<&Arc<Task>> {
        self.by_pid.get(&self.groups.next(pgrp, after)?)
    }
    /// The leaders of a group's processes, by ascending pid.
    pub fn pgrp_members(&self, pgrp: i32) -> impl Iterator<Item = &Arc<Task>> {
        self.groups.0.get(&pgrp).into_iter().flatten().filter_map(|tgid| self.by_pid.get(tgid))
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
            g.attach(pgrp, tgid);
        }
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
        assert!(!g.0.contains_key(&7));
        g.detach(8, 8);
        assert_eq!(g.next(8, 0), None);
    }
}
