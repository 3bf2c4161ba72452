// SPDX-License-Identifier: GPL-2.0-only
//! Waiting for another word instead (Linux 6.1, `kernel/futex/requeue.c`): what condition
//! variables are made of.

use super::core::{FUTEXES, FutexQ, Futexes, Key, Kind, Place};
use super::pi::{Attempt, PiState, lock_pi_atomic, wait_for};
use super::waitwake::{Deadline, queue_while, sleep_until};
use crate::arch::x86::lib::usercopy::get_user;
use crate::errno::{EAGAIN, EINVAL, ERESTARTNOINTR, ERESTARTSYS, Result};
use alloc::sync::Arc;

/// From which word to which, and how many are woken and moved.
struct Requeue {
    from: Key,
    to: Place,
    wakes: usize,
    moves: usize,
}

impl Requeue {
    /// Whether `n` waiters are all that it asks for.
    fn enough(&self, n: usize) -> bool {
        n >= self.wakes.saturating_add(self.moves)
    }
}

/// Wakes some, lets others wait for the word at `to`; if there is `expected`, only while the
/// first word is that. `pi`: the second is a lock with priority inheritance, and the first to be
/// woken gets it, if it is free.
pub(super) fn futex_requeue(
    [addr, to]: [usize; 2],
    shared: bool,
    [wakes, moves]: [i32; 2],
    expected: Option<u32>,
    pi: bool,
) -> Result<usize> {
    let counts = [wakes, moves].map(usize::try_from);
    let [Ok(wakes), Ok(moves)] = counts else { return Err(EINVAL) };
    if pi && (addr == to || wakes != 1) {
        return Err(EINVAL);
    }
    loop {
        let from = Place::new(addr, shared, false)?.key;
        let r = Requeue { from, to: Place::new(to, shared, pi)?, wakes, moves };
        if pi && from == r.to.key {
            return Err(EINVAL);
        }
        let mut futexes = FUTEXES.lock();
        if let Some(expected) = expected
            && get_user::<u32>(addr)? != expected
        {
            return Err(EAGAIN);
        }
        if !pi {
            return requeue(&mut futexes, &r);
        }
        match requeue_pi(&mut futexes, &r, to)? {
            Ok(n) => return Ok(n),
            Err(attempt) => {
                drop(futexes);
                attempt.pause();
            }
        }
    }
}

fn requeue(futexes: &mut Futexes, r: &Requeue) -> Result<usize> {
    let mut n = 0;
    let mut next = futexes.first(r.from);
    while let Some(at) = next
        && !r.enough(n)
    {
        next = futexes.after(at, r.from);
        if !matches!(futexes.q(at).kind, Kind::Plain) {
            return Err(EINVAL);
        }
        n += 1;
        if n <= r.wakes {
            futexes.wake_one(at);
        } else if r.from != r.to.key {
            futexes.move_to(at, r.to.clone(), Kind::Plain);
        }
    }
    Ok(n)
}

/// The waiter at `at` must be one that waits to be moved to that very lock.
fn check_target(futexes: &Futexes, at: u32, r: &Requeue) -> Result {
    match futexes.q(at).kind {
        Kind::RequeuePi(target) if target == r.to.key => Ok(()),
        _ => Err(EINVAL),
    }
}

/// As [`requeue`] for a lock at `addr`; or what keeps it from being taken.
fn requeue_pi(
    futexes: &mut Futexes,
    r: &Requeue,
    addr: usize,
) -> Result<core::result::Result<usize, Attempt>> {
    let Some(top) = futexes.first(r.from) else { return Ok(Ok(0)) };
    check_target(futexes, top, r)?;
    let task = futexes.q(top).task.clone();
    let (state, n) = match lock_pi_atomic(futexes, addr, r.to.key, &task, r.moves != 0)? {
        Attempt::Taken(state) => {
            futexes.wake_one(top);
            (state, 1)
        }
        Attempt::Wait(state) => (Some(state), 0),
        again => return Ok(Err(again)),
    };
    let Some(state) = state else { return Ok(Ok(n)) };
    let moved = move_to_lock(futexes, r, &state, n);
    state.put(futexes);
    moved.map(Ok)
}

/// Lets waiters wait for the lock; `n` has got it already.
fn move_to_lock(futexes: &mut Futexes, r: &Requeue, state: &Arc<PiState>, mut n: usize) -> Result<usize> {
    let mut next = futexes.first(r.from);
    while let Some(at) = next
        && !r.enough(n)
    {
        next = futexes.after(at, r.from);
        check_target(futexes, at, r)?;
        let task = futexes.q(at).task.clone();
        state.block(futexes, &task)?;
        futexes.move_to(at, r.to.clone(), Kind::Pi(state.clone()));
        n += 1;
    }
    Ok(n)
}

/// Waits at `addr`, while the word there is `val`, to be moved to the lock at `lock`, and returns
/// as its owner (`futex_wait_requeue_pi`).
pub(super) fn futex_wait_requeue_pi(
    addr: usize,
    shared: bool,
    val: u32,
    deadline: Deadline,
    lock: usize,
) -> Result<usize> {
    if addr == lock {
        return Err(EINVAL);
    }
    let target = Place::new(lock, shared, true)?.key;
    let place = Place::new(addr, shared, false)?;
    let same = place.key == target;
    let ticket = queue_while(FutexQ::new(place, u32::MAX, Kind::RequeuePi(target)), addr, val)?;
    if same {
        FUTEXES.lock().unqueue(ticket);
        return Err(EINVAL);
    }
    let moved = || {
        let futexes = FUTEXES.lock();
        futexes.get(ticket).is_none_or(|q| matches!(q.kind, Kind::Pi(_)))
    };
    let r = sleep_until(deadline, moved);
    let mut futexes = FUTEXES.lock();
    let state = match futexes.get(ticket) {
        // Moving took the lock for it.
        None => return Ok(0),
        Some(q) => match &q.kind {
            Kind::Pi(s) => Some(s.clone()),
            _ => None,
        },
    };
    let Some(state) = state else {
        futexes.unqueue(ticket);
        return r.map(|()| 0).map_err(|e| if e == ERESTARTSYS { ERESTARTNOINTR } else { e });
    };
    drop(futexes);
    // Once it was moved the first word has changed: the call cannot be made again.
    wait_for(&state, ticket, lock, deadline).map_err(|e| if e == ERESTARTSYS { EAGAIN } else { e })
}
