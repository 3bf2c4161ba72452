// SPDX-License-Identifier: GPL-2.0-only
//! Locks with priority inheritance (Linux 6.1, `kernel/futex/pi.c`,
//! `kernel/locking/rtmutex.c`): the word holds its owner's thread id, so the kernel knows for
//! whom everybody waits, finds circles, and passes the lock on itself.
//!
//! While somebody waits there is a [`PiState`]: the owner, and who waits, the most urgent first.
//! Linux wakes the first of them, who then takes the lock unless somebody more urgent was
//! quicker; here it owns the lock from the moment at which it is given up.

use super::core::{FUTEXES, FutexQ, Futexes, Key, Kind, Place, Ticket};
use super::waitwake::{Deadline, sleep_until};
use crate::arch::x86::lib::usercopy::{cmpxchg_user, get_user};
use crate::errno::{EAGAIN, EDEADLK, EINVAL, EPERM, ERESTARTNOINTR, ERESTARTSYS, ESRCH, Result};
use crate::kernel::fork::find_task;
use crate::kernel::sched::{cond_resched, inherit_priority, try_to_wake_up};
use crate::kernel::task::{TASK_INTERRUPTIBLE, Task, current};
use crate::kernel::wait::WaitQueue;
use crate::locking::SpinLock;
use crate::mm::util::{push_reserved, try_push};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU8, Ordering::Relaxed};
use linux_raw_sys::general::{FUTEX_OWNER_DIED, FUTEX_TID_MASK, FUTEX_WAITERS};

/// How long a chain of owners that wait for others may be (`max_lock_depth`).
const MAX_LOCK_DEPTH: usize = 1024;

/// A lock that somebody waits for (`futex_pi_state`).
pub(super) struct PiState {
    /// Changed with [`FUTEXES`] held only; never two are open at a time.
    inner: SpinLock<PiInner>,
}

struct PiInner {
    owner: Arc<Task>,
    /// The owner before died; the new one has not written itself into the word yet.
    died: bool,
    /// In the order in which they get the lock.
    waiters: Vec<Arc<Task>>,
    /// Waiters' entries that refer to it: the owner's stays until it has woken up.
    attached: usize,
}

/// What a thread has to do with locks (fields of Linux's `task_struct`).
#[derive(Default)]
pub struct TaskFutexes {
    /// `FUTEX_STATE_*`.
    exit_state: AtomicU8,
    /// Opened with [`FUTEXES`] held only.
    pi: SpinLock<TaskPi>,
}

#[derive(Default)]
struct TaskPi {
    /// What it waits for (`pi_blocked_on`), or has got and not noticed yet.
    waiting: Option<Arc<PiState>>,
    /// What it owns and others wait for (`pi_state_list`).
    owned: Vec<Arc<PiState>>,
}

/// Values of [`TaskFutexes::exit_state`].
const FUTEX_STATE_OK: u8 = 0;
const FUTEX_STATE_EXITING: u8 = 1;
const FUTEX_STATE_DEAD: u8 = 2;

/// Who waits for an owner to be through with dying.
static OWNER_EXITS: WaitQueue = WaitQueue::new();

impl TaskFutexes {
    /// The task begins to let go of its locks.
    pub(super) fn begin_exit(&self) {
        self.exit_state.store(FUTEX_STATE_EXITING, Relaxed);
    }
    /// It has none any more, and gets none unless it `lives` on.
    pub(super) fn end_exit(&self, lives: bool) {
        self.exit_state.store(if lives { FUTEX_STATE_OK } else { FUTEX_STATE_DEAD }, Relaxed);
        OWNER_EXITS.wake_up();
    }
    fn wait_for_exit(&self) {
        OWNER_EXITS.wait_event(|| self.exit_state.load(Relaxed) != FUTEX_STATE_EXITING);
    }
}

fn is(a: &Arc<PiState>, b: &Arc<PiState>) -> bool {
    Arc::ptr_eq(a, b)
}

/// Whether a word with `uval` may be that of a lock owned by thread `owner`: a program that
/// writes other things there is refused (`attach_to_pi_state`).
fn consistent(uval: u32, owner: i32) -> bool {
    let tid = uval & FUTEX_TID_MASK;
    tid == owner.cast_unsigned() || tid == 0 && uval & FUTEX_OWNER_DIED != 0
}

impl PiState {
    /// A lock that `owner` has (`__attach_to_pi_owner`).
    fn new(_: &mut Futexes, owner: &Arc<Task>) -> Result<Arc<Self>> {
        let inner = PiInner { owner: owner.clone(), died: false, waiters: Vec::new(), attached: 0 };
        let s = Arc::new(Self { inner: SpinLock::new(inner) });
        try_push(&mut owner.futex.pi.lock().owned, s.clone())?;
        Ok(s)
    }

    pub fn owner(&self) -> Arc<Task> {
        self.inner.lock().owner.clone()
    }

    /// How urgent the most urgent waiter is.
    fn top_prio(&self) -> Option<u32> {
        self.inner.lock().waiters.first().map(|t| t.se.futex_prio())
    }

    /// Nobody refers to it: its owner has a lock like any other (`put_pi_state`).
    pub fn put(self: &Arc<Self>, _: &mut Futexes) {
        let (unused, owner) = {
            let s = self.inner.lock();
            (s.attached == 0, s.owner.clone())
        };
        if unused {
            owner.futex.pi.lock().owned.retain(|s| !is(s, self));
        }
        inherit(&owner);
    }

    /// Whether `task`, were it to wait, would wait for itself
    /// (`rt_mutex_adjust_prio_chain`).
    fn closes_circle(self: &Arc<Self>, task: &Arc<Task>) -> bool {
        let mut owner = self.owner();
        for _ in 0..MAX_LOCK_DEPTH {
            if Arc::ptr_eq(&owner, task) {
                return true;
            }
            let Some(next) = owner.futex.pi.lock().waiting.clone() else { return false };
            let next = next.owner();
            if Arc::ptr_eq(&next, &owner) {
                return false;
            }
            owner = next;
        }
        true
    }

    /// `task` begins to wait for it (`task_blocks_on_rt_mutex`).
    pub fn block(self: &Arc<Self>, _: &mut Futexes, task: &Arc<Task>) -> Result {
        if self.closes_circle(task) {
            return Err(EDEADLK);
        }
        let prio = task.se.futex_prio();
        let mut s = self.inner.lock();
        s.waiters.try_reserve(1).map_err(|_| crate::errno::ENOMEM)?;
        let at = s.waiters.iter().position(|t| t.se.futex_prio() > prio).unwrap_or(s.waiters.len());
        s.waiters.insert(at, task.clone());
        s.attached += 1;
        let owner = s.owner.clone();
        drop(s);
        task.futex.pi.lock().waiting = Some(self.clone());
        inherit(&owner);
        Ok(())
    }

    /// The owner gives it up, or `died`: the first waiter owns it. False if there is none
    /// (`wake_futex_pi`, `exit_pi_state_list`).
    fn hand_over(self: &Arc<Self>, died: bool) -> bool {
        let mut s = self.inner.lock();
        if s.waiters.is_empty() {
            return false;
        }
        let new = s.waiters.remove(0);
        let old = core::mem::replace(&mut s.owner, new.clone());
        s.died |= died;
        drop(s);
        old.futex.pi.lock().owned.retain(|x| !is(x, self));
        push_reserved(&mut new.futex.pi.lock().owned, self.clone());
        inherit(&old);
        inherit(&new);
        try_to_wake_up(&new, TASK_INTERRUPTIBLE);
        true
    }
}

/// A thread is as urgent as the most urgent of those that wait for what it owns, and so is the
/// one that it waits for itself (`rt_mutex_adjust_prio`).
fn inherit(owner: &Arc<Task>) {
    let mut owner = owner.clone();
    for _ in 0..MAX_LOCK_DEPTH {
        let (top, waiting) = {
            let pi = owner.futex.pi.lock();
            (pi.owned.iter().filter_map(|s| s.top_prio()).min(), pi.waiting.clone())
        };
        if !inherit_priority(&owner, top) {
            return;
        }
        let Some(s) = waiting else { return };
        let next = s.owner();
        if Arc::ptr_eq(&next, &owner) {
            return;
        }
        s.inner.lock().waiters.sort_by_key(|t| t.se.futex_prio());
        owner = next;
    }
}

/// A thread's own urgency has changed: if it waits for a lock, its place among those who do has, and
/// the owner's urgency (`rt_mutex_adjust_pi`).
pub fn adjust_pi(t: &Arc<Task>) {
    let _futexes = FUTEXES.lock();
    let waiting = t.futex.pi.lock().waiting.clone();
    let Some(s) = waiting else { return };
    let owner = s.owner();
    if Arc::ptr_eq(&owner, t) {
        return;
    }
    s.inner.lock().waiters.sort_by_key(|t| t.se.futex_prio());
    inherit(&owner);
}

/// What an attempt to take a lock came to.
pub(super) enum Attempt {
    /// The lock is the thread's; others are going to wait for it, if there is a state.
    Taken(Option<Arc<PiState>>),
    /// It is somebody else's.
    Wait(Arc<PiState>),
    /// The word changed meanwhile.
    Again,
    /// Its owner is dying.
    OwnerExits(Arc<Task>),
}

impl Attempt {
    /// Waits until another attempt makes sense.
    pub fn pause(&self) {
        if let Self::OwnerExits(t) = self {
            t.futex.wait_for_exit();
        }
        cond_resched();
    }
}

/// Takes the lock for `task` if it is free, else sees whom to wait for, and that it has to tell
/// when it gives it up (`futex_lock_pi_atomic`). `waited_for`: others will wait for it at once.
pub(super) fn lock_pi_atomic(
    futexes: &mut Futexes,
    addr: usize,
    key: Key,
    task: &Arc<Task>,
    waited_for: bool,
) -> Result<Attempt> {
    let uval: u32 = get_user(addr)?;
    let tid = task.pid().cast_unsigned();
    if uval & FUTEX_TID_MASK == tid {
        return Err(EDEADLK);
    }
    if let Some(at) = futexes.first(key) {
        let Kind::Pi(s) = &futexes.q(at).kind else { return Err(EINVAL) };
        return if consistent(uval, s.owner().pid()) { Ok(Attempt::Wait(s.clone())) } else { Err(EINVAL) };
    }
    let free = uval & FUTEX_TID_MASK == 0;
    let waiters = if waited_for || !free { FUTEX_WAITERS } else { 0 };
    let new = if free { uval & FUTEX_OWNER_DIED | tid } else { uval } | waiters;
    if cmpxchg_user(addr, uval, new)? != uval {
        return Ok(Attempt::Again);
    }
    if !free {
        return attach_to_pi_owner(futexes, addr, new);
    }
    Ok(Attempt::Taken(if waited_for { Some(PiState::new(futexes, task)?) } else { None }))
}

/// The first waiter: the owner is whom the word names.
fn attach_to_pi_owner(futexes: &mut Futexes, addr: usize, uval: u32) -> Result<Attempt> {
    let owner = find_task((uval & FUTEX_TID_MASK).cast_signed());
    let state = owner.as_ref().map_or(FUTEX_STATE_DEAD, |t| t.futex.exit_state.load(Relaxed));
    match owner {
        Some(t) if state == FUTEX_STATE_OK => Ok(Attempt::Wait(PiState::new(futexes, &t)?)),
        Some(t) if state == FUTEX_STATE_EXITING => Ok(Attempt::OwnerExits(t)),
        // It may have gone just now, and marked the word.
        _ if get_user::<u32>(addr)? != uval => Ok(Attempt::Again),
        _ => Err(ESRCH),
    }
}

/// Locks (`FUTEX_LOCK_PI`), or tries to.
pub(super) fn futex_lock_pi(addr: usize, shared: bool, deadline: Deadline, trylock: bool) -> Result<usize> {
    let me = current().to_arc();
    let (state, ticket) = loop {
        let place = Place::new(addr, shared, true)?;
        let mut futexes = FUTEXES.lock();
        let attempt = lock_pi_atomic(&mut futexes, addr, place.key, &me, false)?;
        match attempt {
            Attempt::Taken(_) => return Ok(0),
            Attempt::Wait(s) => {
                let queued = if trylock { Err(EAGAIN) } else { enqueue(&mut futexes, place, &s, &me) };
                if queued.is_err() {
                    s.put(&mut futexes);
                }
                break (s, queued?);
            }
            Attempt::Again | Attempt::OwnerExits(_) => {
                drop(futexes);
                attempt.pause();
            }
        }
    };
    wait_for(&state, ticket, addr, deadline).map_err(|e| if e == ERESTARTSYS { ERESTARTNOINTR } else { e })
}

/// The current thread begins to wait for the lock at `place`.
fn enqueue(futexes: &mut Futexes, place: Place, s: &Arc<PiState>, me: &Arc<Task>) -> Result<Ticket> {
    let ticket = futexes.queue(FutexQ::new(place, u32::MAX, Kind::Pi(s.clone())))?;
    s.block(futexes, me).inspect_err(|_| {
        futexes.unqueue(ticket);
    })?;
    Ok(ticket)
}

/// Sleeps until the current thread, which waits for the lock at `addr`, owns it.
pub(super) fn wait_for(s: &Arc<PiState>, ticket: Ticket, addr: usize, deadline: Deadline) -> Result<usize> {
    let me = current();
    let r = sleep_until(deadline, || me.is(&s.inner.lock().owner));
    let mut futexes = FUTEXES.lock();
    let (mine, died) = {
        let mut inner = s.inner.lock();
        let mine = me.is(&inner.owner);
        if !mine {
            inner.waiters.retain(|t| !me.is(t));
        }
        inner.attached -= 1;
        (mine, mine && core::mem::take(&mut inner.died))
    };
    // Before anybody else sees the word.
    let fixed = if died { take_over(addr, me.pid().cast_unsigned()) } else { Ok(()) };
    me.futex.pi.lock().waiting = None;
    futexes.unqueue(ticket);
    s.put(&mut futexes);
    fixed?;
    if mine { Ok(0) } else { r.map(|()| 0) }
}

/// The new owner writes itself into the word of a lock whose owner died
/// (`fixup_pi_state_owner`).
fn take_over(addr: usize, tid: u32) -> Result {
    let mut word: u32 = get_user(addr)?;
    loop {
        let found = cmpxchg_user(addr, word, tid | FUTEX_WAITERS | FUTEX_OWNER_DIED)?;
        if found == word {
            return Ok(());
        }
        word = found;
    }
}

/// Gives a lock up that somebody waits for (`FUTEX_UNLOCK_PI`).
pub(super) fn futex_unlock_pi(addr: usize, shared: bool) -> Result<usize> {
    let me = current();
    loop {
        let uval: u32 = get_user(addr)?;
        if uval & FUTEX_TID_MASK != me.pid().cast_unsigned() {
            return Err(EPERM);
        }
        let key = Place::new(addr, shared, true)?.key;
        let futexes = FUTEXES.lock();
        let Some(at) = futexes.first(key) else {
            return if cmpxchg_user(addr, uval, 0)? == uval { Ok(0) } else { Err(EAGAIN) };
        };
        let Kind::Pi(s) = &futexes.q(at).kind else { return Err(EINVAL) };
        let heir = {
            let inner = s.inner.lock();
            if !me.is(&inner.owner) {
                return Err(EINVAL);
            }
            inner.waiters.first().map(|t| t.pid().cast_unsigned())
        };
        let heir = heir.ok_or(EINVAL)?;
        let found = cmpxchg_user(addr, uval, heir | FUTEX_WAITERS)?;
        if found == uval {
            s.hand_over(false);
            return Ok(0);
        }
        // Somebody has begun to wait.
        if found & FUTEX_TID_MASK != uval {
            return Err(EINVAL);
        }
    }
}

/// The locks that a dying thread has not given up go to who waits for them
/// (`exit_pi_state_list`).
pub(super) fn exit_pi_state_list(t: &Task) {
    let _futexes = FUTEXES.lock();
    let owned = core::mem::take(&mut t.futex.pi.lock().owned);
    for s in &owned {
        s.hand_over(true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_a_lock_can_have() {
        assert!(consistent(5, 5) && consistent(5 | FUTEX_WAITERS, 5));
        assert!(consistent(5 | FUTEX_WAITERS | FUTEX_OWNER_DIED, 5));
        assert!(consistent(FUTEX_OWNER_DIED, 5) && consistent(FUTEX_OWNER_DIED | FUTEX_WAITERS, 5));
        assert!(!consistent(0, 5) && !consistent(FUTEX_WAITERS, 5) && !consistent(6, 5));
    }
}
