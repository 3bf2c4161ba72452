// SPDX-License-Identifier: GPL-2.0-only
//! Who waits for a lock, and for whom: a tree below each lock. Who would be in the way of another who
//! waits already stands below that one, so that nobody is woken in vain (`__locks_insert_block`).

use super::list::{Lock, Owner, fresh_id};
use crate::errno::{EDEADLK, ENOLCK, Result};
use crate::kernel::wait::WaitQueue;
use crate::locking::SpinLock;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;

/// A lock that somebody wants.
pub struct Request {
    pub lock: Lock,
    wait: WaitQueue,
    /// Who is in its way (`fl_blocker`).
    blocker: SpinLock<Option<Blocker>>,
}

struct Blocker {
    /// Where it stands among those who wait.
    key: (u64, u64),
    owner: Owner,
    /// If that one waits, too.
    request: Option<Arc<Request>>,
}

/// One who waits: for which lock or request, since when, and who.
struct Entry {
    key: (u64, u64),
    request: Arc<Request>,
}

/// All who wait, in the order of their keys.
#[derive(Default)]
pub struct Blocked(Vec<Entry>);

static BLOCKED: SpinLock<Blocked> = SpinLock::new(Blocked(Vec::new()));

impl Request {
    /// A request that nobody is in the way of yet.
    pub fn new(lock: Lock) -> Arc<Self> {
        Arc::new(Self {
            lock: Lock { id: fresh_id(), ..lock },
            wait: WaitQueue::new(),
            blocker: SpinLock::new(None),
        })
    }
    /// Sleeps until it is worth another try.
    ///
    /// # Errors
    /// `ERESTARTSYS` by a signal.
    pub fn wait(&self) -> Result {
        self.wait.wait_event_interruptible(|| self.blocker.lock().is_none())
    }
}

impl Blocked {
    /// Those who wait for this lock or request, in order.
    fn below(&self, id: u64) -> Range<usize> {
        let start = self.0.partition_point(|e| e.key.0 < id);
        start..start + self.0[start..].partition_point(|e| e.key.0 == id)
    }

    /// All who wait for this one are to try again (`__locks_wake_up_blocks`).
    fn wake(&mut self, id: u64) {
        let range = self.below(id);
        for e in self.0.drain(range) {
            *e.request.blocker.lock() = None;
            e.request.wait.wake_up();
        }
    }

    /// Puts a request below a lock that is in its way.
    fn insert(&mut self, holder: &Lock, request: &Arc<Request>) -> Result {
        self.0.try_reserve(1).map_err(|_| ENOLCK)?;
        let (mut id, mut owner, mut parent) = (holder.id, holder.owner, None);
        while let Some(e) = self.0[self.below(id)].iter().find(|e| e.request.lock.conflicts(&request.lock)) {
            (id, owner, parent) = (e.request.lock.id, e.request.lock.owner, Some(e.request.clone()));
        }
        let key = (id, fresh_id());
        *request.blocker.lock() = Some(Blocker { key, owner, request: parent });
        self.0.insert(self.below(id).end, Entry { key, request: request.clone() });
        // Those who wait for it may be in nobody else's way.
        self.wake(request.lock.id);
        Ok(())
    }

    /// Who waits for a request waits for the lock that it has become (`locks_move_blocks`).
    fn follow(&mut self, request: u64, lock: u64) {
        let Range { start, end } = self.below(request);
        for e in &mut self.0[start..end] {
            e.key.0 = lock;
            if let Some(b) = &mut *e.request.blocker.lock() {
                (b.key.0, b.request) = (lock, None);
            }
        }
        // No other number is as high.
        self.0[start..].rotate_left(end - start);
    }

    /// It is not waited for any more, nor does it wait (`locks_delete_block`).
    fn remove(&mut self, request: &Request) {
        self.wake(request.lock.id);
        let blocker = request.blocker.lock().take();
        if let Some(b) = blocker
            && let Ok(at) = self.0.binary_search_by_key(&b.key, |e| e.key)
        {
            self.0.remove(at);
        }
    }

    /// Whether `waiter` may not wait for `holder`: that one waits for it, through whomever. Of open
    /// files, which are nobody's, nothing is known (`posix_locks_deadlock`).
    fn deadlock(&self, waiter: Owner, mut holder: Owner) -> bool {
        const LONGEST_CHAIN: usize = 11;
        for _ in 0..LONGEST_CHAIN {
            let waits = |e: &&Entry| {
                e.request.lock.owner == holder
                    && matches!(&*e.request.blocker.lock(), Some(b) if matches!(b.owner, Owner::Posix(_)))
            };
            let Some(e) = self.0.iter().find(waits) else { return false };
            holder = root_owner(&e.request);
            if holder == waiter {
                return true;
            }
        }
        false
    }
}

/// Whose the lock is that a request waits for in the end.
fn root_owner(request: &Arc<Request>) -> Owner {
    let mut at = request.clone();
    loop {
        let up = match &*at.blocker.lock() {
            Some(Blocker { request: Some(up), .. }) => up.clone(),
            Some(b) => return b.owner,
            None => return at.lock.owner,
        };
        at = up;
    }
}

/// Has a request wait for a lock.
///
/// # Errors
/// `EDEADLK` if it would wait for itself; `ENOLCK` without memory.
pub fn block(holder: &Lock, request: &Arc<Request>) -> Result {
    let mut all = BLOCKED.lock();
    let waiter = request.lock.owner;
    if matches!(waiter, Owner::Posix(_)) {
        all.wake(request.lock.id);
        if all.deadlock(waiter, holder.owner) {
            return Err(EDEADLK);
        }
    }
    all.insert(holder, request)
}

/// A lock went, or less of it is left.
pub fn wake_blocked(id: u64) {
    BLOCKED.lock().wake(id);
}

/// A request was granted, as a lock of its own.
pub fn follow(request: &Request, lock: u64) {
    BLOCKED.lock().follow(request.lock.id, lock);
}

/// A request is done with.
pub fn unblock(request: &Request) {
    BLOCKED.lock().remove(request);
}

/// Tells of each who waits for a lock, and for whom that one stands in the way, before the next one; how
/// deep below the lock.
///
/// # Errors
/// `ENOMEM`.
pub fn for_each_blocked(id: u64, mut f: impl FnMut(&Lock, usize)) -> Result {
    let all = BLOCKED.lock();
    let mut path: Vec<Range<usize>> = Vec::new();
    let mut next = all.below(id);
    loop {
        if !next.is_empty() {
            crate::mm::util::try_push(&mut path, next)?;
        }
        let level = path.len();
        let Some(at) = path.last_mut() else { return Ok(()) };
        if let Some(i) = at.next() {
            let lock = &all.0[i].request.lock;
            f(lock, level);
            next = all.below(lock.id);
        } else {
            path.pop();
            next = 0..0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::list::tests::lock;
    use super::*;

    fn request(owner: usize, write: bool, start: i64, end: i64) -> Arc<Request> {
        Request::new(lock(owner, write, start, end))
    }
    fn held(owner: usize, write: bool, start: i64, end: i64) -> Lock {
        Lock { id: fresh_id(), ..lock(owner, write, start, end) }
    }
    fn waits(r: &Request) -> bool {
        r.blocker.lock().is_some()
    }

    #[test]
    fn who_is_in_the_way_of_who_waits_stands_above() {
        let mut all = Blocked::default();
        let l = held(1, true, 0, 99);
        let (a, b) = (request(2, true, 0, 9), request(3, true, 50, 59));
        let (below_a, below_b) = (request(4, true, 5, 5), request(5, false, 55, 55));
        for r in [&a, &b, &below_a, &below_b] {
            all.insert(&l, r).unwrap();
        }
        assert_eq!(
            (all.below(l.id).len(), all.below(a.lock.id).len(), all.below(b.lock.id).len()),
            (2, 1, 1)
        );
        // The lock goes: those right below it try again, the others wait on.
        all.wake(l.id);
        assert!(!waits(&a) && !waits(&b) && waits(&below_a) && waits(&below_b));
        // One gets it, and is waited for as before.
        let now = held(2, true, 0, 9);
        all.follow(a.lock.id, now.id);
        all.remove(&a);
        assert!(all.below(now.id).len() == 1 && waits(&below_a));
        // The other gives up.
        all.remove(&b);
        assert!(!waits(&below_b) && all.0.len() == 1);
        all.wake(now.id);
        assert!(!waits(&below_a) && all.0.is_empty());
    }

    #[test]
    fn circles_are_found() {
        let mut all = Blocked::default();
        let o = Owner::Posix;
        // 1 waits for 2, and 2, behind 4, for 3.
        let (two, three) = (held(2, true, 0, 0), held(3, true, 1, 1));
        all.insert(&two, &request(1, true, 0, 0)).unwrap();
        all.insert(&three, &request(4, true, 1, 1)).unwrap();
        all.insert(&three, &request(2, true, 1, 1)).unwrap();
        assert!(all.deadlock(o(3), o(1)) && all.deadlock(o(3), o(2)) && all.deadlock(o(3), o(4)));
        assert!(!all.deadlock(o(5), o(1)) && !all.deadlock(o(1), o(3)));
    }
}
