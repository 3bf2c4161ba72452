// SPDX-License-Identifier: GPL-2.0-only
//! Semaphores in sets (Linux 6.1, `ipc/sem.c`).
//!
//! | file | what |
//! |---|---|
//! | [`ops`] | the operations of one `semop`: all of them at once, or none |
//! | [`undo`] | what is taken back when a process ends |
//! | [`syscalls`] | the calls |

pub mod ops;
pub mod syscalls;
pub mod undo;

use super::util::{Ipc, IpcIds, now};
use crate::errno::{EIDRM, Errno, Result};
use crate::kernel::sched::wake_up_process;
use crate::kernel::task::Task;
use crate::locking::SpinLock;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use ops::{Attempt, Sembuf};

/// Largest value of a semaphore, and of what is taken back.
pub const SEMVMX: i32 = 32767;
/// Limits, as `/proc/sys/kernel/sem` has them: semaphores of a set, of all sets, operations of a call,
/// sets.
pub static SEM_LIMITS: [AtomicUsize; 4] = [
    AtomicUsize::new(32000),
    AtomicUsize::new(1_024_000_000),
    AtomicUsize::new(500),
    AtomicUsize::new(32000),
];

/// One of [`SEM_LIMITS`].
pub fn limit(which: usize) -> usize {
    SEM_LIMITS[which].load(Relaxed)
}
#[allow(missing_docs)]
pub mod lim {
    pub const SEMMSL: usize = 0;
    pub const SEMMNS: usize = 1;
    pub const SEMOPM: usize = 2;
    pub const SEMMNI: usize = 3;
}

/// One semaphore.
#[derive(Clone, Copy, Default)]
pub struct Sem {
    /// Its value.
    pub val: i32,
    /// Who changed it last.
    pub pid: i32,
}

/// Who waits until its operations can be done (`struct sem_queue`).
pub struct Sleeper {
    task: Arc<Task>,
    ops: Vec<Sembuf>,
    /// Whose list takes the operations back ([`undo::UndoList::id`]).
    undo: Option<u64>,
    pid: i32,
    /// Which operation cannot be done.
    blocking: AtomicUsize,
    /// How it ended.
    done: SpinLock<Option<core::result::Result<(), Errno>>>,
}

impl Sleeper {
    fn alters(&self) -> bool {
        self.ops.iter().any(|op| op.op != 0)
    }
    fn finish(&self, how: core::result::Result<(), Errno>) {
        *self.done.lock() = Some(how);
        wake_up_process(&self.task);
    }
}

/// A set (`struct sem_array`).
#[allow(missing_docs)]
pub struct SemArray {
    pub otime: u64,
    pub ctime: u64,
    sems: Vec<Sem>,
    /// In the order in which they came.
    pending: Vec<Arc<Sleeper>>,
    /// What each list of undo operations does to each semaphore.
    undo: BTreeMap<u64, undo::Undo>,
}

impl SemArray {
    /// How many semaphores there are.
    pub fn len(&self) -> usize {
        self.sems.len()
    }
    /// Never: a set of none is not made.
    pub fn is_empty(&self) -> bool {
        self.sems.is_empty()
    }

    /// Lets those go on who can, since values have changed (`do_smart_update`): first who waits for a
    /// zero, then the others, and again as long as they change something.
    fn update(&mut self) {
        let mut again = true;
        while again {
            again = false;
            for alters in [false, true] {
                let mut i = 0;
                while let Some(s) = self.pending.get(i).cloned() {
                    if s.alters() != alters {
                        i += 1;
                        continue;
                    }
                    match self.attempt(&s.ops, s.undo, s.pid) {
                        Attempt::Blocked(which) => {
                            s.blocking.store(which, Relaxed);
                            i += 1;
                        }
                        Attempt::Done => {
                            self.otime = now();
                            self.pending.remove(i);
                            s.finish(Ok(()));
                            // Who comes before may go on by what this one has changed.
                            again |= alters;
                        }
                        Attempt::Failed(e) => {
                            self.pending.remove(i);
                            s.finish(Err(e));
                        }
                    }
                }
            }
        }
    }

    /// Does all of these operations, or none.
    fn attempt(&mut self, list: &[Sembuf], undo: Option<u64>, pid: i32) -> Attempt {
        let adj = undo.and_then(|id| self.undo.get_mut(&id));
        ops::perform(&mut self.sems, adj.map_or(&mut [], |undo| &mut undo.adj[..]), list, pid)
    }

    /// How many wait for a semaphore to grow, or to become zero (`count_semcnt`).
    fn count(&self, which: usize, zero: bool) -> usize {
        let waits = |s: &&Arc<Sleeper>| {
            let op = s.ops.get(s.blocking.load(Relaxed));
            op.is_some_and(|op| usize::from(op.num) == which && (op.op == 0) == zero)
        };
        self.pending.iter().filter(waits).count()
    }

    /// Everybody who waits is told that the set is gone (`freeary`).
    fn expunge(&self) {
        self.pending.iter().for_each(|s| s.finish(Err(EIDRM)));
    }
}

static SEM_IDS: SpinLock<IpcIds<SemArray>> = SpinLock::new(IpcIds::NONE);

/// Calls `f` for every set.
pub fn for_each(f: impl FnMut(&Ipc<SemArray>)) {
    SEM_IDS.lock().iter().for_each(f);
}

/// Takes a set away.
fn rmid(id: i32) -> Result {
    let mut ids = SEM_IDS.lock();
    let gone = ids.remove_owned(id)?;
    undo::forget(&gone);
    gone.expunge();
    Ok(())
}
