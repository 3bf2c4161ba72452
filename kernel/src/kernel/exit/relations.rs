// SPDX-License-Identifier: GPL-2.0-only
//! Who is whose parent, and whose tracer.
//!
//! In Linux a task has two parents: the `real_parent` that made it, and the `parent` that
//! hears of it, which is the tracer while there is one. Here the first is
//! [`Relations::parent`], the second [`notified_parent`].

use super::{TASKLIST, TaskListGuard};
use crate::kernel::task::Task;
use crate::mm::util::push_reserved;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
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
    children: Vec<Arc<Task>>,
    tracer: Option<Weak<Task>>,
    tracees: Vec<Arc<Task>>,
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
    /// Notes which thread made the task.
    pub fn set_maker(&self, list: &mut TaskListGuard<'_>, maker: &Arc<Task>) {
        self.links(list).maker = Some(Arc::downgrade(maker));
    }
    /// Whether this thread made the task.
    pub fn made_by(&self, list: &mut TaskListGuard<'_>, maker: &Task) -> bool {
        self.links(list).maker.as_ref().is_some_and(|m| core::ptr::eq(m.as_ptr(), maker))
    }
    /// The child with this index.
    pub fn nth_child(&self, list: &mut TaskListGuard<'_>, n: usize) -> Option<Arc<Task>> {
        self.links(list).children.get(n).cloned()
    }
    /// Takes all children away.
    pub(super) fn take_children(&self, list: &mut TaskListGuard<'_>) -> Vec<Arc<Task>> {
        core::mem::take(&mut self.links(list).children)
    }
    /// Makes `child`, whose relations these are, a child of `parent`.
    pub fn adopt(&self, list: &mut TaskListGuard<'_>, parent: &Arc<Task>, child: &Arc<Task>) {
        self.links(list).parent = Some(Arc::downgrade(parent));
        child.signal.ppid.store(parent.tgid, Relaxed);
        push_reserved(&mut parent.rel.links(list).children, child.clone());
    }
    /// Takes `child`, whose relations these are, from its parent.
    pub(super) fn abandon(&self, list: &mut TaskListGuard<'_>, child: &Arc<Task>) {
        if let Some(p) = self.parent(list) {
            p.rel.links(list).children.retain(|c| !Arc::ptr_eq(c, child));
        }
    }

    /// The thread that traces the task.
    pub fn tracer(&self, list: &mut TaskListGuard<'_>) -> Option<Arc<Task>> {
        self.links(list).tracer.as_ref().and_then(Weak::upgrade)
    }
    /// The tracee with this index.
    pub fn nth_tracee(&self, list: &mut TaskListGuard<'_>, n: usize) -> Option<Arc<Task>> {
        self.links(list).tracees.get(n).cloned()
    }
    /// `tracer` begins to trace `child`, whose relations these are.
    pub fn set_tracer(&self, list: &mut TaskListGuard<'_>, tracer: &Arc<Task>, child: &Arc<Task>) {
        self.links(list).tracer = Some(Arc::downgrade(tracer));
        push_reserved(&mut tracer.rel.links(list).tracees, child.clone());
    }
    /// Nobody traces `child`, whose relations these are, any more.
    pub fn clear_tracer(&self, list: &mut TaskListGuard<'_>, child: &Arc<Task>) {
        let tracer = self.tracer(list);
        self.links(list).tracer = None;
        if let Some(t) = tracer {
            t.rel.links(list).tracees.retain(|c| !Arc::ptr_eq(c, child));
        }
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

/// `thread` takes the place of `leader` in the family: parent and children.
pub fn replace_leader(list: &mut TaskListGuard<'_>, leader: &Arc<Task>, thread: &Arc<Task>) {
    let children = leader.rel.take_children(list);
    for c in &children {
        c.rel.links(list).parent = Some(Arc::downgrade(thread));
    }
    let maker = leader.rel.links(list).maker.take();
    let parent = leader.rel.links(list).parent.take();
    if let Some(p) = parent.as_ref().and_then(Weak::upgrade) {
        for c in p.rel.links(list).children.iter_mut().filter(|c| Arc::ptr_eq(c, leader)) {
            *c = thread.clone();
        }
    }
    let links = thread.rel.links(list);
    (links.children, links.maker, links.parent) = (children, maker, parent);
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
