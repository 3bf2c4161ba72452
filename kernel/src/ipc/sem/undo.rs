// SPDX-License-Identifier: GPL-2.0-only
//! What is done to semaphores is taken back when the process ends, if it said so (Linux 6.1,
//! `ipc/sem.c`, `find_alloc_undo`, `copy_semundo`, `exit_sem`).
//!
//! How much of each semaphore is kept with the set; a process's list knows of which sets, and
//! forgets one that is removed (`freeary`): a list is never longer than there are sets.

use super::{SEM_IDS, SEMVMX, SemArray};
use crate::errno::Result;
use crate::ipc::util::{Ipc, room};
use crate::kernel::task::{Task, current};
use crate::locking::SpinLock;
use crate::mm::util::kvcalloc;
use alloc::collections::BTreeSet;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What threads share that are made with `CLONE_SYSVSEM` (`struct sem_undo_list`).
pub struct UndoList {
    /// What the sets know it by.
    pub id: u64,
    sets: SpinLock<BTreeSet<i32>>,
}

/// What one list takes back of a set (`struct sem_undo`).
pub(super) struct Undo {
    list: Weak<UndoList>,
    /// What is added to each semaphore.
    pub(super) adj: Vec<i16>,
}

/// A task's list, once it needs one.
#[derive(Default)]
pub struct SysvSem(SpinLock<Option<Arc<UndoList>>>);

impl SysvSem {
    /// The current task's list (`get_undo_list`).
    fn get(&self) -> Arc<UndoList> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let new = || Arc::new(UndoList { id: NEXT.fetch_add(1, Relaxed), sets: SpinLock::default() });
        self.0.lock().get_or_insert_with(new).clone()
    }
    /// Calls `f` with the list, if there is one by now.
    pub fn with<T>(&self, f: impl FnOnce(Option<&Arc<UndoList>>) -> T) -> T {
        f(self.0.lock().as_ref())
    }
    /// Shares it with a new thread.
    pub fn share(&self, with: &Self) {
        *with.0.lock() = Some(self.get());
    }
}

/// The place where `set` notes what the current task's list takes back, made if need be; its id.
pub(super) fn find_alloc(set: &mut Ipc<SemArray>) -> Result<u64> {
    let list = current().sysvsem.get();
    if !set.undo.contains_key(&list.id) {
        room()?;
        let adj = kvcalloc(set.len())?;
        list.sets.lock().insert(set.perm.id);
        set.undo.insert(list.id, Undo { list: Arc::downgrade(&list), adj });
    }
    Ok(list.id)
}

/// The set is gone: nobody takes anything of it back (`freeary`).
pub(super) fn forget(set: &Ipc<SemArray>) {
    for undo in set.undo.values() {
        if let Some(list) = undo.list.upgrade() {
            list.sets.lock().remove(&set.perm.id);
        }
    }
}

/// Adds to each value what was taken, within its bounds.
fn take_back(set: &mut SemArray, adj: &[i16], pid: i32) {
    for (sem, adj) in set.sems.iter_mut().zip(adj).filter(|(_, adj)| **adj != 0) {
        sem.val = (sem.val + i32::from(*adj)).clamp(0, SEMVMX);
        sem.pid = pid;
    }
    set.update();
}

/// A task gives up its list: the last one that has it has everything taken back.
pub fn exit_sem(t: &Task) {
    let Some(list) = t.sysvsem.0.lock().take() else { return };
    if Arc::strong_count(&list) > 1 {
        return;
    }
    let sets = core::mem::take(&mut *list.sets.lock());
    for id in sets {
        let mut ids = SEM_IDS.lock();
        let Ok(set) = ids.find(id) else { continue };
        let Some(undo) = set.undo.remove(&list.id) else { continue };
        take_back(set, &undo.adj, t.tgid);
    }
}
