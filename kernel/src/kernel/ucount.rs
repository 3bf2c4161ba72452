// SPDX-License-Identifier: GPL-2.0-only
//! What each user has of things that are limited by user (Linux 6.1, `kernel/ucount.c`,
//! `include/linux/user_namespace.h`, `enum rlimit_type`): one object for all processes of a user,
//! which their credentials lead to, so that counting searches nothing.

use crate::locking::IrqLock;
use crate::mm::page_alloc::with_reserve;
use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A thing that is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UcountRlimit {
    /// Threads (`RLIMIT_NPROC`).
    Nproc,
    /// Bytes that message queues may need (`RLIMIT_MSGQUEUE`).
    Msgqueue,
    /// Queued signals (`RLIMIT_SIGPENDING`).
    Sigpending,
}

const KINDS: usize = UcountRlimit::Sigpending as usize + 1;

/// The counts of one user.
#[derive(Debug, Default)]
pub struct Ucounts {
    uid: u32,
    counts: [AtomicU64; KINDS],
}

/// Every user who has something, or acts.
static USERS: IrqLock<BTreeMap<u32, Weak<Ucounts>>> = IrqLock::new(BTreeMap::new());

impl Ucounts {
    /// Those of a user (`alloc_ucounts`).
    pub fn of(uid: u32) -> Arc<Self> {
        let mut users = USERS.lock();
        if let Some(found) = users.get(&uid).and_then(Weak::upgrade) {
            return found;
        }
        with_reserve(|| {
            let new = Arc::new(Self { uid, counts: Default::default() });
            users.insert(uid, Arc::downgrade(&new));
            new
        })
    }
    /// How much there is.
    #[inline]
    pub fn get(&self, kind: UcountRlimit) -> u64 {
        self.counts[kind as usize].load(Relaxed)
    }
    /// Counts `n` more, and returns how much there is then (`inc_rlimit_ucounts`).
    #[inline]
    pub fn inc(&self, kind: UcountRlimit, n: u64) -> u64 {
        self.counts[kind as usize].fetch_add(n, Relaxed) + n
    }
    /// Counts `n` less (`dec_rlimit_ucounts`).
    #[inline]
    pub fn dec(&self, kind: UcountRlimit, n: u64) {
        self.counts[kind as usize].fetch_sub(n, Relaxed);
    }
    /// Whether there is more than a limit allows (`is_rlimit_overlimit`).
    #[inline]
    pub fn is_overlimit(&self, kind: UcountRlimit, limit: u64) -> bool {
        self.get(kind) > limit
    }
}

impl Drop for Ucounts {
    fn drop(&mut self) {
        let mut users = USERS.lock();
        // A new one may have taken the place already.
        if users.get(&self.uid).is_some_and(|u| core::ptr::eq(u.as_ptr(), self)) {
            users.remove(&self.uid);
        }
    }
}

/// Something on a user's account, until it is dropped.
pub struct Charge {
    user: Arc<Ucounts>,
    kind: UcountRlimit,
    n: u64,
}

impl Charge {
    /// So much more, which may be over the limit: then it is to be dropped.
    #[inline]
    pub fn new(user: Arc<Ucounts>, kind: UcountRlimit, n: u64) -> Self {
        user.inc(kind, n);
        Self { user, kind, n }
    }
    /// Whether the user has more than a limit allows.
    #[inline]
    pub fn is_over(&self, limit: u64) -> bool {
        self.user.is_overlimit(self.kind, limit)
    }
    /// It stays on the account: somebody else takes it off.
    #[inline]
    pub fn keep(mut self) {
        self.n = 0;
    }
}

impl Drop for Charge {
    #[inline]
    fn drop(&mut self) {
        if self.n != 0 {
            self.user.dec(self.kind, self.n);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_one_account_while_somebody_acts_as_the_user() {
        let a = Ucounts::of(901);
        let b = Ucounts::of(901);
        assert!(Arc::ptr_eq(&a, &b) && !Arc::ptr_eq(&a, &Ucounts::of(902)));
        assert_eq!((a.inc(UcountRlimit::Msgqueue, 2), b.inc(UcountRlimit::Msgqueue, 3)), (2, 5));
        a.dec(UcountRlimit::Msgqueue, 5);
        let refused = Charge::new(a.clone(), UcountRlimit::Nproc, 1);
        Charge::new(b, UcountRlimit::Nproc, 1).keep();
        assert!(refused.is_over(1) && !refused.is_over(2));
        assert!(a.is_overlimit(UcountRlimit::Nproc, 1) && !a.is_overlimit(UcountRlimit::Nproc, 2));
        drop(refused);
        assert_eq!((a.get(UcountRlimit::Nproc), a.get(UcountRlimit::Sigpending)), (1, 0));
        drop(a);
        assert!(!USERS.lock().contains_key(&901), "nobody is left");
        assert_eq!(Ucounts::of(901).get(UcountRlimit::Nproc), 0);
    }
}
