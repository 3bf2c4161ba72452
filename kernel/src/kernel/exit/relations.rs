// SPDX-License-Identifier: GPL-2.0-only
//! Who is whose parent, and whose tracer.
//!
//! In Linux a task has two parents: the `real_parent` that made it, and the `parent` that
//! hears of it, which is the tracer while there is one. Here the first is the thread
//! [`Relations::maker`] of the process [`Relations::parent`], the second [`notified_parent`].
//! Children are on the list of the thread that made them.

use super::slots::Slots;
use super::{TASKLIST, TaskListGuard};
use crate::kernel::task::Task;
use alloc::sync::{Arc, Weak};
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicI32, AtomicU32, Ordering::Relaxed};

/// How far a task has ended (`task_struct.exit_state`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum ExitState {
    /// It lives.
    Alive = 0,
    /// Dead and released, or about to be (`EXIT_DEAD`).
    Dead = 0x10,
    /// Dead, waiting for its parent or tracer (`EXIT_ZOMBIE`).
    Zombie = 0x20,
}

#[derive(Default)]
struct Links {
    parent: Option<Weak<Task>>,
    /// The thread of the parent that made the task: `PTRACE_TRACEME` makes it the tracer.
    maker: Option<Weak<Task>>,
    /// The task's place among the maker's children.
    place: usize,
    children: Kin,
    tracer: Option<Weak<Task>>,
    /// Its place among the tracer's tracees.
    traced_place: usize,
    tracees: Kin,
}

/// Tasks that hang on another.
pub(super) type Kin = Slots<Arc<Task>>;

/// The children, and a child's place among them; or the same of tracees.
struct Side {
    kin: fn(&mut Links) -> &mut Kin,
    place: fn(&mut Links) -> &mut usize,
}

const CHILDREN: Side = Side { kin: |l| &mut l.children, place: |l| &mut l.place };
const TRACEES: Side = Side { kin: |l| &mut l.tracees, place: |l| &mut l.traced_place };

impl Side {
    #[inline(always)]
    fn add(&self, list: &mut TaskListGuard<'_>, of: &Task, t: &Arc<Task>) {
        let place = (self.kin)(of.rel.links(list)).push(t.clone());
        *(self.place)(t.rel.links(list)) = place;
    }
    #[inline(always)]
    fn remove(&self, list: &mut TaskListGuard<'_>, of: &Task, t: &Task) {
        let place = *(self.place)(t.rel.links(list));
        let kin = (self.kin)(of.rel.links(list));
        let is_there = kin.get_mut(place).is_some_and(|x| core::ptr::eq(Arc::as_ptr(x), t));
        let gone = if is_there { kin.remove(place) } else { None };
        if kin.is_sparse() {
            self.close_ranks(list, of);
        }
        drop(gone);
    }
    #[cold]
    fn close_ranks(&self, list: &mut TaskListGuard<'_>, of: &Task) {
        let mut kin = core::mem::take((self.kin)(of.rel.links(list)));
        kin.close_ranks(|t, place| *(self.place)(t.rel.links(list)) = place);
        *(self.kin)(of.rel.links(list)) = kin;
    }
    fn next(&self, list: &mut TaskListGuard<'_>, of: &Task, from: usize) -> Option<(usize, Arc<Task>)> {
        (self.kin)(of.rel.links(list)).next(from).map(|(place, t)| (place, t.clone()))
    }
}

/// A task's parent and children, its tracer and tracees, under the task list's lock.
#[derive(Default)]
pub struct Relations {
    links: UnsafeCell<Links>,
    exit_signal: AtomicI32,
    /// How often the parent had called `execve` when it made the task (`parent_exec_id`).
    parent_execs: AtomicU32,
    exit_state: AtomicU32,
}

// SAFETY: `links` is reached only with the task list's lock.
unsafe impl Sync for Relations {}
// SAFETY: its content is `Send`.
unsafe impl Send for Relations {}

impl Relations {
    #[inline]
    #[allow(clippy::mut_from_ref)]
    fn links<'a>(&'a self, _: &'a mut TaskListGuard<'_>) -> &'a mut Links {
        // SAFETY: the exclusive borrow of the one guard makes this the only access.
        unsafe { &mut *self.links.get() }
    }
    /// The parent process's leader.
    #[inline]
    pub fn parent(&self, list: &mut TaskListGuard<'_>) -> Option<Arc<Task>> {
        self.links(list).parent.as_ref().and_then(Weak::upgrade)
    }
    /// The thread that made the task.
    pub fn maker(&self, list: &mut TaskListGuard<'_>) -> Option<Arc<Task>> {
        self.links(list).maker.as_ref().and_then(Weak::upgrade)
    }
    /// Takes all children of the thread away.
    pub(super) fn take_children(&self, list: &mut TaskListGuard<'_>) -> Kin {
        core::mem::take(&mut self.links(list).children)
    }

    /// The thread that traces the task.
    pub fn tracer(&self, list: &mut TaskListGuard<'_>) -> Option<Arc<Task>> {
        self.links(list).tracer.as_ref().and_then(Weak::upgrade)
    }

    /// The signal its parent gets when it dies; -1 for a thread that is not the leader.
    pub fn exit_signal(&self) -> i32 {
        self.exit_signal.load(Relaxed)
    }
    /// How often the parent had called `execve` when the task was made: since the next time, it
    /// is another program, which has asked for no other signal than `SIGCHLD`.
    pub fn parent_execs(&self) -> u32 {
        self.parent_execs.load(Relaxed)
    }
    /// Sets that number.
    pub fn set_parent_execs(&self, n: u32) {
        self.parent_execs.store(n, Relaxed);
    }
    /// Sets that signal.
    pub fn set_exit_signal(&self, sig: i32) {
        self.exit_signal.store(sig, Relaxed);
    }
    /// How far it has ended.
    pub fn exit_state(&self) -> ExitState {
        match self.exit_state.load(Relaxed) {
            0 => ExitState::Alive,
            0x20 => ExitState::Zombie,
            _ => ExitState::Dead,
        }
    }
    pub(super) fn set_exit_state(&self, state: ExitState) {
        self.exit_state.store(state as u32, Relaxed);
    }
    /// Whether the task is dead and not yet waited for.
    pub fn is_zombie(&self) -> bool {
        self.exit_state() == ExitState::Zombie
    }
    /// Whether the task has ended, waited for or not.
    pub fn has_exited(&self) -> bool {
        self.exit_state() != ExitState::Alive
    }
}

/// `child` is now one of `thread`'s, of the process that `parent` leads.
pub fn adopt(list: &mut TaskListGuard<'_>, parent: &Arc<Task>, thread: &Arc<Task>, child: &Arc<Task>) {
    let links = child.rel.links(list);
    links.parent = Some(Arc::downgrade(parent));
    links.maker = Some(Arc::downgrade(thread));
    child.signal.ppid.store(parent.tgid, Relaxed);
    CHILDREN.add(list, thread, child);
}

/// Another thread of the same process has the child from now on.
pub(super) fn hand_over(list: &mut TaskListGuard<'_>, heir: &Arc<Task>, child: &Arc<Task>) {
    child.rel.links(list).maker = Some(Arc::downgrade(heir));
    CHILDREN.add(list, heir, child);
}

/// Takes a child from the thread that has it.
pub(super) fn abandon(list: &mut TaskListGuard<'_>, child: &Task) {
    if let Some(maker) = child.rel.maker(list) {
        CHILDREN.remove(list, &maker, child);
    }
}

/// The first of a thread's children that is in this place or behind it, and its place.
pub fn next_child(t: &Task, from: usize) -> Option<(usize, Arc<Task>)> {
    CHILDREN.next(&mut TASKLIST.lock(), t, from)
}

/// The same of those that it traces.
pub fn next_tracee(t: &Task, from: usize) -> Option<(usize, Arc<Task>)> {
    TRACEES.next(&mut TASKLIST.lock(), t, from)
}

/// `tracer` begins to trace `child`.
pub fn set_tracer(list: &mut TaskListGuard<'_>, tracer: &Arc<Task>, child: &Arc<Task>) {
    child.rel.links(list).tracer = Some(Arc::downgrade(tracer));
    TRACEES.add(list, tracer, child);
}

/// Nobody traces `child` any more.
pub fn clear_tracer(list: &mut TaskListGuard<'_>, child: &Task) {
    let tracer = child.rel.tracer(list);
    child.rel.links(list).tracer = None;
    if let Some(t) = tracer {
        TRACEES.remove(list, &t, child);
    }
}

/// `thread` takes the place of `leader` in the family: parent and children. It has the children of
/// all other threads already, which are dead.
pub fn replace_leader(list: &mut TaskListGuard<'_>, leader: &Arc<Task>, thread: &Arc<Task>) {
    for c in leader.rel.take_children(list).iter() {
        hand_over(list, thread, c);
    }
    let children = core::mem::take(&mut thread.rel.links(list).children);
    for c in children.iter() {
        c.rel.links(list).parent = Some(Arc::downgrade(thread));
    }
    let links = leader.rel.links(list);
    let (maker, parent, place) = (links.maker.take(), links.parent.take(), links.place);
    if let Some(m) = maker.as_ref().and_then(Weak::upgrade)
        && let Some(own) = m.rel.links(list).children.get_mut(place).filter(|c| Arc::ptr_eq(c, leader))
    {
        *own = thread.clone();
    }
    let links = thread.rel.links(list);
    (links.children, links.maker, links.parent, links.place) = (children, maker, parent, place);
}

/// The parent process's leader (`real_parent`).
#[inline]
pub fn parent_of(t: &Task) -> Option<Arc<Task>> {
    let mut list = TASKLIST.lock();
    real_parent(&mut list, t)
}

/// [`parent_of`], with the task list's lock.
#[inline]
pub fn real_parent(list: &mut TaskListGuard<'_>, t: &Task) -> Option<Arc<Task>> {
    if t.is_leader() {
        return t.rel.parent(list);
    }
    let leader = list.find(t.tgid)?;
    leader.rel.parent(list)
}

/// The thread that traces `t`.
pub fn tracer_of(t: &Task) -> Option<Arc<Task>> {
    if !t.ptrace.traced() {
        return None;
    }
    t.rel.tracer(&mut TASKLIST.lock())
}

/// Who hears of what happens to `t`: its tracer, else its parent (`task_struct.parent`).
pub fn notified_parent(t: &Task) -> Option<Arc<Task>> {
    tracer_of(t).or_else(|| parent_of(t))
}

/// Whether the tracer of `t` belongs to another process than its parent
/// (`ptrace_reparented`).
pub fn ptrace_reparented(t: &Task) -> bool {
    let Some(tracer) = tracer_of(t) else { return false };
    parent_of(t).is_none_or(|p| p.tgid != tracer.tgid)
}

/// Whether `t` leads a process that still has other threads: it is not waited for yet
/// (`delay_group_leader`).
pub fn delay_group_leader(t: &Task) -> bool {
    t.is_leader() && !t.signal.thread_group_empty()
}
