// SPDX-License-Identifier: GPL-2.0-only
//! What one inode's locks allow, and how a new one changes them: pure functions of a list.

use crate::errno::{ENOLCK, Result};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

/// The last byte of a lock that has no end (`OFFSET_MAX`).
pub const OFFSET_MAX: i64 = i64::MAX;

/// Whose a lock is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// A process's: its table of descriptors, by address.
    Posix(usize),
    /// An open file's range (`F_OFD_*`), by the file's address.
    Ofd(usize),
    /// An open file's whole (`flock`).
    Flock(usize),
}

/// One lock, or one that somebody wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lock {
    /// Later ones have higher numbers, whatever they are of.
    pub id: u64,
    pub owner: Owner,
    /// The open file that it was asked for by, by address.
    pub file: usize,
    pub write: bool,
    /// First and last byte.
    pub start: i64,
    pub end: i64,
    /// Whose process it is; -1 for open files.
    pub pid: i32,
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// A number that no lock had.
pub fn fresh_id() -> u64 {
    NEXT_ID.fetch_add(1, Ordering::Relaxed)
}

impl Lock {
    fn overlaps(&self, o: &Self) -> bool {
        self.start <= o.end && o.start <= self.end
    }
    /// Whether both cannot be had; locks of one family, since `flock` and `fcntl` know nothing of each other.
    pub fn conflicts(&self, o: &Self) -> bool {
        self.owner != o.owner && (self.write || o.write) && self.overlaps(o)
    }
}

/// An inode's locks.
#[derive(Default)]
pub struct Lists {
    /// `flock`'s, as they came.
    pub flock: Vec<Lock>,
    /// `fcntl`'s: an owner's stand together, by their first byte; owners as they came.
    pub posix: Vec<Lock>,
}

/// Takes what `new` covers from its owner's locks, and adds it unless it is to be unlocked; neighbours of
/// one kind become one, which is the first of them (`posix_lock_inode`). `changed` is told whose place it
/// takes, or is cut; the number that it got is returned, if it is one of its own.
///
/// # Errors
/// `ENOLCK` without memory.
pub fn apply(
    list: &mut Vec<Lock>,
    new: &Lock,
    unlock: bool,
    mut changed: impl FnMut(u64),
) -> Result<Option<u64>> {
    const MOST: usize = 3;
    list.try_reserve(MOST).map_err(|_| ENOLCK)?;
    let own = |l: &&Lock| l.owner == new.owner;
    let first = list.iter().position(|l| l.owner == new.owner).unwrap_or(list.len());
    let before = |l: &&Lock| own(l) && l.end < new.start.saturating_sub(1);
    let from = first + list[first..].iter().take_while(before).count();
    let touched = |l: &&Lock| own(l) && l.start <= new.end.saturating_add(1);
    let to = from + list[from..].iter().take_while(touched).count();

    let (mut left, mut right) = (None, None);
    // What it is to be: an older one, or one of its own.
    let (mut whole, mut is_new) = (Lock { id: 0, ..*new }, !unlock);
    for old in &list[from..to] {
        if !unlock && old.write == new.write {
            let (start, end) = (whole.start.min(old.start), whole.end.max(old.end));
            if whole.id == 0 {
                (whole, is_new) = (*old, false);
            } else {
                changed(old.id);
            }
            (whole.start, whole.end) = (start, end);
            continue;
        }
        let (sticks_out, goes_on) = (old.start < new.start, old.end > new.end);
        if old.overlaps(new) {
            changed(old.id);
        }
        if sticks_out {
            left = Some(Lock { end: old.end.min(new.start - 1), ..*old });
        }
        if goes_on {
            right = Some(Lock { start: old.start.max(new.end + 1), ..*old });
        }
        if !sticks_out && !goes_on && whole.id == 0 {
            whole.id = fresh_id();
        }
    }
    if whole.id == 0 {
        whole.id = fresh_id();
    }
    // Of one that is cut in two, the second is the old one.
    if let (Some(l), Some(r)) = (&mut left, &right)
        && l.id == r.id
    {
        l.id = fresh_id();
    }
    list.drain(from..to);
    for l in [right, (!unlock).then_some(whole), left].into_iter().flatten() {
        list.insert(from, l);
    }
    Ok(is_new.then_some(whole.id))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::errno::Result;
    use proptest::prelude::*;

    pub fn lock(owner: usize, write: bool, start: i64, end: i64) -> Lock {
        Lock { id: 0, owner: Owner::Posix(owner), file: 0, write, start, end, pid: owner as i32 }
    }
    fn seen(list: &[Lock]) -> Vec<(i32, bool, i64, i64)> {
        list.iter().map(|l| (l.pid, l.write, l.start, l.end)).collect()
    }
    /// Applies it; the number that it got, and whose waiters are told.
    fn put(list: &mut Vec<Lock>, new: Lock, unlock: bool) -> (Option<u64>, Vec<u64>) {
        let mut told = Vec::new();
        let r: Result<_> = apply(list, &new, unlock, |id| told.push(id));
        (r.unwrap(), told)
    }

    #[test]
    fn readers_share_and_writers_do_not() {
        let r = lock(1, false, 0, 9);
        assert!(!r.conflicts(&lock(2, false, 0, 9)));
        assert!(r.conflicts(&lock(2, true, 9, 20)) && lock(2, true, 9, 20).conflicts(&r));
        assert!(!r.conflicts(&lock(2, true, 10, 20)) && !r.conflicts(&lock(1, true, 0, 9)));
    }

    #[test]
    fn ranges_are_cut_and_joined() {
        let mut l = Vec::new();
        let (first, told) = put(&mut l, lock(1, true, 0, 99), false);
        assert_eq!((l[0].id, told), (first.unwrap(), Vec::new()));
        // The second half is the old one.
        let (none, told) = put(&mut l, lock(1, true, 40, 59), true);
        assert_eq!(seen(&l), [(1, true, 0, 39), (1, true, 60, 99)]);
        assert!(none.is_none() && l[1].id == first.unwrap() && l[0].id > l[1].id && told == [l[1].id]);
        put(&mut l, lock(1, false, 30, 69), false);
        assert_eq!(seen(&l), [(1, true, 0, 29), (1, false, 30, 69), (1, true, 70, 99)]);
        let middle = l[1].id;
        // What is joined to another is that one.
        let (none, told) = put(&mut l, lock(1, false, 70, 79), false);
        assert_eq!(seen(&l), [(1, true, 0, 29), (1, false, 30, 79), (1, true, 80, 99)]);
        assert!(none.is_none() && l[1].id == middle && told == [first.unwrap()]);
        put(&mut l, lock(2, false, 5, 6), false);
        put(&mut l, lock(1, true, 0, OFFSET_MAX), true);
        assert_eq!(seen(&l), [(2, false, 5, 6)]);
    }

    #[test]
    fn one_kind_takes_the_place_of_another() {
        let mut l = Vec::new();
        put(&mut l, lock(1, true, 10, 19), false);
        put(&mut l, lock(1, false, 20, 29), false);
        let (old, reads) = (l[0].id, l[1].id);
        // The first that is covered makes room for a new one, which takes the neighbour in.
        let (new, told) = put(&mut l, lock(1, false, 10, 19), false);
        assert_eq!(seen(&l), [(1, false, 10, 29)]);
        assert_eq!((Some(l[0].id), told), (new, [old, reads].into()));
    }

    proptest! {
        /// What is locked, byte by byte, is what was asked for last; in order, and neighbours of one kind
        /// are one.
        #[test]
        fn lists_say_what_was_asked(ops in proptest::collection::vec((0i64..20, 0i64..20, 0u8..3), 0..30)) {
            let (mut list, mut bytes) = (Vec::new(), [0u8; 20]);
            put(&mut list, lock(2, true, 0, 19), false);
            for (a, b, what) in ops {
                let (start, end) = (a.min(b), a.max(b));
                let (new, _) = put(&mut list, lock(1, what == 2, start, end), what == 0);
                bytes[start as usize..=end as usize].fill(what);
                let own: Vec<Lock> = list.iter().filter(|l| l.pid == 1).copied().collect();
                for (i, want) in bytes.iter().enumerate() {
                    let at: Vec<&Lock> = own.iter().filter(|l| (l.start..=l.end).contains(&(i as i64))).collect();
                    let is = match at[..] { [] => 0, [l] => 1 + u8::from(l.write), _ => 9 };
                    prop_assert_eq!(is, *want);
                }
                for w in own.windows(2) {
                    prop_assert!(w[0].end + i64::from(w[0].write == w[1].write) < w[1].start);
                    prop_assert!(w[0].id != w[1].id);
                }
                prop_assert!(new.is_none_or(|id| own.iter().any(|l| l.id == id)));
                prop_assert_eq!(list.len(), own.len() + 1);
            }
        }
    }
}
