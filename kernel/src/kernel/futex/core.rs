// SPDX-License-Identifier: GPL-2.0-only
//! Which word a futex is, and who waits for it (Linux 6.1, `kernel/futex/core.c`).
//!
//! Waiters hang in hash buckets. One lock guards them all, and everything that is known of
//! locks with priority inheritance; Linux has one per bucket, which would matter with more
//! CPUs. User memory may be touched while it is held: a page fault does not sleep here, and
//! nothing that it does wants this lock.

use super::pi::PiState;
use crate::arch::x86::lib::usercopy::access_ok;
use crate::errno::{EFAULT, EINVAL, ENOMEM, Result};
use crate::kernel::sched::try_to_wake_up;
use crate::kernel::task::{TASK_INTERRUPTIBLE, TASK_UNINTERRUPTIBLE, Task, current};
use crate::locking::SpinLock;
use crate::mm::mm_struct::with_current_mm;
use crate::mm::page_alloc::{PAGE_SIZE, Page};
use alloc::sync::Arc;
use alloc::vec::Vec;

/// What makes two words the same (`futex_key`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// `FUTEX_PRIVATE_FLAG`: address space and address.
    Private(usize, usize),
    /// The same, of memory that turned out not to be shared. The two kinds do not meet.
    Anon(usize, usize),
    /// Memory that others may map elsewhere: its physical address.
    Shared(u64),
}

impl Key {
    /// Which bucket waiters for it are in.
    fn bucket(self) -> usize {
        let (a, b) = match self {
            Self::Private(space, addr) => (space, addr),
            Self::Anon(space, addr) => (space, addr ^ 1),
            Self::Shared(at) => (0, at as usize),
        };
        let mixed = (a.rotate_left(32) ^ b).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed >> (usize::BITS - BUCKETS.trailing_zeros())
    }
}

/// Where a futex is.
#[derive(Clone)]
pub(super) struct Place {
    pub key: Key,
    /// Keeps the memory, so that its address means nothing else meanwhile.
    _page: Option<Page>,
}

impl Place {
    /// The word at `addr` of the current address space (`get_futex_key`). `write`: it must be
    /// writable, even if it is only waited for.
    pub fn new(addr: usize, shared: bool, write: bool) -> Result<Self> {
        if !addr.is_multiple_of(4) {
            return Err(EINVAL);
        }
        if !access_ok(addr, 4) {
            return Err(EFAULT);
        }
        let found = with_current_mm(|mm| {
            let space = core::ptr::from_ref(mm) as usize;
            if !shared {
                return Ok(Self { key: Key::Private(space, addr), _page: None });
            }
            Ok(match mm.lock().shared_page(addr, write)? {
                None => Self { key: Key::Anon(space, addr), _page: None },
                Some(p) => {
                    let at = p.phys() + (addr % PAGE_SIZE) as u64;
                    Self { key: Key::Shared(at), _page: Some(p) }
                }
            })
        });
        found.ok_or(EFAULT)?
    }
}

/// What a waiter waits for.
pub(super) enum Kind {
    /// To be woken.
    Plain,
    /// To be moved to this word, which is a lock with priority inheritance.
    RequeuePi(Key),
    /// To own a lock with priority inheritance.
    Pi(Arc<PiState>),
}

/// A thread that waits (`futex_q`).
pub(super) struct FutexQ {
    pub place: Place,
    pub bitset: u32,
    pub kind: Kind,
    pub task: Arc<Task>,
    /// Real-time threads come before the others, the more urgent ones first.
    prio: u32,
}

impl FutexQ {
    /// The current thread, waiting at `place`.
    pub fn new(place: Place, bitset: u32, kind: Kind) -> Self {
        let task = current().to_arc();
        let prio = task.se.futex_prio();
        Self { place, bitset, kind, task, prio }
    }
}

/// What a waiter finds its entry with; it has none any more when it was woken.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ticket {
    at: u32,
    id: u64,
}

/// No entry.
const NIL: u32 = u32::MAX;

struct Node {
    /// `None`: nobody's; `next` leads to another such.
    q: Option<FutexQ>,
    id: u64,
    prev: u32,
    next: u32,
}

const BUCKETS: usize = 256;
/// Room for this many waiters is kept when nobody waits.
const KEEP: usize = 32;

/// All waiters, in buckets by key, each a list in the order in which they are served.
pub(super) struct Futexes {
    nodes: Vec<Node>,
    heads: [u32; BUCKETS],
    tails: [u32; BUCKETS],
    free: u32,
    waiting: usize,
    last_id: u64,
}

/// All waiters.
pub(super) static FUTEXES: SpinLock<Futexes> = SpinLock::new(Futexes::new());

impl Futexes {
    const fn new() -> Self {
        Self {
            nodes: Vec::new(),
            heads: [NIL; BUCKETS],
            tails: [NIL; BUCKETS],
            free: NIL,
            waiting: 0,
            last_id: 0,
        }
    }

    fn node(&mut self, at: u32) -> &mut Node {
        &mut self.nodes[at as usize]
    }

    /// The entry at `at`, which is in use.
    pub fn q(&self, at: u32) -> &FutexQ {
        self.nodes[at as usize].q.as_ref().expect("a waiter's entry")
    }

    /// A node that is nobody's.
    fn take_free(&mut self) -> Result<u32> {
        if self.free == NIL {
            self.nodes.try_reserve(1).map_err(|_| ENOMEM)?;
            self.nodes.push(Node { q: None, id: 0, prev: NIL, next: NIL });
            return Ok((self.nodes.len() - 1) as u32);
        }
        let at = self.free;
        self.free = self.node(at).next;
        Ok(at)
    }

    /// Links node `at`, whose entry has `prio`, behind those that are as urgent.
    fn link(&mut self, at: u32, bucket: usize, prio: u32) {
        let mut prev = self.tails[bucket];
        while prev != NIL && self.q(prev).prio > prio {
            prev = self.node(prev).prev;
        }
        let next = if prev == NIL { self.heads[bucket] } else { self.node(prev).next };
        let n = self.node(at);
        (n.prev, n.next) = (prev, next);
        *if prev == NIL { &mut self.heads[bucket] } else { &mut self.node(prev).next } = at;
        *if next == NIL { &mut self.tails[bucket] } else { &mut self.node(next).prev } = at;
    }

    fn unlink(&mut self, at: u32) {
        let bucket = self.q(at).place.key.bucket();
        let (prev, next) = (self.node(at).prev, self.node(at).next);
        *if prev == NIL { &mut self.heads[bucket] } else { &mut self.node(prev).next } = next;
        *if next == NIL { &mut self.tails[bucket] } else { &mut self.node(next).prev } = prev;
    }

    /// Adds a waiter (`futex_queue`).
    pub fn queue(&mut self, q: FutexQ) -> Result<Ticket> {
        let at = self.take_free()?;
        let (bucket, prio) = (q.place.key.bucket(), q.prio);
        self.last_id += 1;
        let id = self.last_id;
        let n = self.node(at);
        (n.q, n.id) = (Some(q), id);
        self.link(at, bucket, prio);
        self.waiting += 1;
        Ok(Ticket { at, id })
    }

    /// Takes the entry at `at` out.
    pub fn remove(&mut self, at: u32) -> Option<FutexQ> {
        self.unlink(at);
        let free = self.free;
        let n = self.node(at);
        n.next = free;
        let q = n.q.take();
        self.free = at;
        self.waiting -= 1;
        if self.waiting == 0 && self.nodes.len() > KEEP {
            (self.nodes, self.free) = (Vec::new(), NIL);
        }
        q
    }

    /// The waiter's entry, unless it was woken.
    pub fn get(&self, t: Ticket) -> Option<&FutexQ> {
        self.nodes.get(t.at as usize).filter(|n| n.id == t.id)?.q.as_ref()
    }

    /// The waiter does not wait any more (`futex_unqueue`); false if it was woken.
    pub fn unqueue(&mut self, t: Ticket) -> bool {
        self.get(t).is_some() && self.remove(t.at).is_some()
    }

    /// Lets the waiter at `at` wait for something else.
    pub fn move_to(&mut self, at: u32, place: Place, kind: Kind) {
        self.unlink(at);
        let bucket = place.key.bucket();
        let mut prio = 0;
        if let Some(q) = &mut self.node(at).q {
            (q.place, q.kind, prio) = (place, kind, q.prio);
        }
        self.link(at, bucket, prio);
    }

    /// The next waiter for `key` in a bucket, from `at` on.
    fn seek(&self, mut at: u32, key: Key) -> Option<u32> {
        while at != NIL && self.q(at).place.key != key {
            at = self.nodes[at as usize].next;
        }
        (at != NIL).then_some(at)
    }

    /// The first waiter for `key` (`futex_top_waiter`).
    pub fn first(&self, key: Key) -> Option<u32> {
        self.seek(self.heads[key.bucket()], key)
    }

    /// The one behind `at`, which waits for the same.
    pub fn after(&self, at: u32, key: Key) -> Option<u32> {
        self.seek(self.nodes[at as usize].next, key)
    }

    /// Takes a waiter's entry out, and lets it run.
    pub fn wake_one(&mut self, at: u32) {
        if let Some(q) = self.remove(at) {
            try_to_wake_up(&q.task, TASK_INTERRUPTIBLE | TASK_UNINTERRUPTIBLE);
        }
    }

    /// Wakes waiters that wait for one of `bitset`: `max` of them, but at least one, whatever
    /// is asked for, as Linux does. Returns how many. Who waits for a lock with priority
    /// inheritance is not woken so.
    pub fn wake(&mut self, key: Key, max: i32, bitset: u32) -> Result<usize> {
        let (max, mut n) = (max.max(1) as usize, 0);
        let mut next = self.first(key);
        while let Some(at) = next
            && n < max
        {
            next = self.after(at, key);
            let q = self.q(at);
            if !matches!(q.kind, Kind::Plain) {
                return Err(EINVAL);
            }
            if q.bitset & bitset != 0 {
                self.wake_one(at);
                n += 1;
            }
        }
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_spread_over_the_buckets() {
        let mut used = [0u32; BUCKETS];
        for i in 0..4096 {
            used[Key::Private(0xffff_c900_0001_2340, 0x7fff_0000 + i * 4).bucket()] += 1;
        }
        assert!(used.iter().all(|&n| n < 64), "{used:?}");
        assert_ne!(Key::Private(1, 8), Key::Anon(1, 8));
    }
}
