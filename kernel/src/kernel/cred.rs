// SPDX-License-Identifier: GPL-2.0-only
//! Credentials (Linux 6.1, `kernel/cred.c`): who a task acts as.

use crate::errno::{ERESTARTNOINTR, Result};
use crate::fs::exec::SUID_DUMPABLE;
use crate::kernel::capability::KernelCap;
use crate::kernel::task::current;
use crate::kernel::ucount::{UcountRlimit, Ucounts};
use crate::kernel::wait::WaitQueue;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{
    AtomicBool,
    Ordering::{Acquire, Relaxed, Release},
};

/// User and group ids, and what they may do beside.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct Cred {
    pub uid: u32,
    pub euid: u32,
    pub suid: u32,
    /// What accesses to files are checked with; follows `euid`.
    pub fsuid: u32,
    pub gid: u32,
    pub egid: u32,
    pub sgid: u32,
    pub fsgid: u32,
    /// What the real user has of what is limited by user.
    pub ucounts: Arc<Ucounts>,
    /// Supplementary groups, in order.
    pub groups: Arc<Vec<u32>>,
    /// `SECBIT_*`.
    pub securebits: u32,
    pub cap_inheritable: KernelCap,
    pub cap_permitted: KernelCap,
    pub cap_effective: KernelCap,
    /// What `exec` may give at most.
    pub cap_bset: KernelCap,
    /// What `exec` of an ordinary program keeps.
    pub cap_ambient: KernelCap,
}

impl Cred {
    /// The first process's: root.
    pub fn root() -> Arc<Self> {
        let all = KernelCap::FULL;
        let ucounts = Ucounts::of(0);
        Arc::new(Self { cap_permitted: all, cap_effective: all, cap_bset: all, ucounts, ..Self::default() })
    }
    /// Whether capability `cap` (`CAP_*`) is in effect (`cap_capable`).
    #[inline]
    pub fn capable(&self, cap: u32) -> bool {
        self.cap_effective.has(cap)
    }
    /// Whether accesses to files are made in this group (`in_group_p`).
    pub fn in_group(&self, gid: u32) -> bool {
        gid == self.fsgid || self.groups.binary_search(&gid).is_ok()
    }
    /// Whether `new` can do something that this cannot, or files are accessed as somebody
    /// else: then the process's memory is no longer its user's (`commit_creds`).
    fn becomes_other(&self, new: &Self) -> bool {
        let ids = |c: &Self| [c.euid, c.egid, c.fsuid, c.fsgid];
        ids(self) != ids(new) || !new.cap_permitted.is_subset(self.cap_permitted)
    }
}

/// Held by an `execve` from where it decides what the new program may do to where that is in
/// effect, and by who attaches to the process (`cred_guard_mutex`).
#[derive(Default)]
pub struct CredGuard {
    held: AtomicBool,
    free: WaitQueue,
}

/// Gives it back when dropped.
pub struct CredGuardHeld<'a>(&'a CredGuard);

impl CredGuard {
    /// Takes it.
    ///
    /// # Errors
    /// `ERESTARTNOINTR` if a signal comes first.
    pub fn lock(&self) -> Result<CredGuardHeld<'_>> {
        let took = || !self.held.swap(true, Acquire);
        self.free.wait_event_interruptible(took).map_err(|_| ERESTARTNOINTR)?;
        Ok(CredGuardHeld(self))
    }
}

impl Drop for CredGuardHeld<'_> {
    fn drop(&mut self) {
        self.0.held.store(false, Release);
        self.0.free.wake_up();
    }
}

/// The current task acts as `new` from now on.
pub fn commit_creds(new: Cred) {
    let cur = current();
    let old = cur.cred.get();
    if old.becomes_other(&new) {
        if let Some(mm) = cur.get_mm() {
            mm.set_dumpable(SUID_DUMPABLE.load(Relaxed));
        }
        cur.pdeath_signal.store(0, Relaxed);
    }
    if new.uid != old.uid {
        new.ucounts.inc(UcountRlimit::Nproc, 1);
        old.ucounts.dec(UcountRlimit::Nproc, 1);
    }
    cur.cred.set(Arc::new(new));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_becomes_other_is_not_dumped() {
        let root = (*Cred::root()).clone();
        let same = Cred { uid: 5, suid: 5, ..root.clone() };
        assert!(!root.becomes_other(&same));
        for other in [
            Cred { euid: 5, ..root.clone() },
            Cred { egid: 5, ..root.clone() },
            Cred { fsuid: 5, ..root.clone() },
            Cred { fsgid: 5, ..root.clone() },
        ] {
            assert!(root.becomes_other(&other));
        }
        let less = Cred { cap_permitted: KernelCap::EMPTY, ..root.clone() };
        assert!(!root.becomes_other(&less) && less.becomes_other(&root));
    }

    #[test]
    fn groups_are_found() {
        let c = Cred { fsgid: 3, egid: 9, groups: Arc::new([1, 5, 5, 8].into()), ..Cred::default() };
        assert!([3, 1, 5, 8].iter().all(|&g| c.in_group(g)));
        assert!([0, 9, 7].iter().all(|&g| !c.in_group(g)));
    }
}
