// SPDX-License-Identifier: GPL-2.0-only
//! Who maps a file (Linux 6.1, `struct address_space.i_mmap`, `mm/interval_tree.c`): what is done to
//! all mappings of one file costs what these cost, however many processes and mappings there are.
//!
//! Every mapping knows its entry, so that to make, copy and end one searches nothing. In Linux the
//! entries are a tree by the part of the file that is mapped; here all of the file's are looked at.

use crate::locking::SpinLock;
use crate::mm::mm_struct::Mm;
use crate::mm::page_alloc::{PAGE_SIZE, with_reserve};
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;

/// More room than this is given back when nobody maps the file any more.
const FEW: usize = 16;

/// A mapping: whose, and where. A free entry is nobody's, and has the number of the next free one.
struct Entry {
    mm: Weak<Mm>,
    start: usize,
}

/// So many entries stand together: a page. However many there are, one more needs no more than that
/// at a time, which the kernel's reserve has.
const BLOCK: usize = PAGE_SIZE / size_of::<Entry>();

/// A list of entries.
#[derive(Default)]
struct Entries(Vec<Vec<Entry>>);

impl Entries {
    #[cfg(test)]
    fn len(&self) -> usize {
        self.0.last().map_or(0, |last| (self.0.len() - 1) * BLOCK + last.len())
    }
    #[inline]
    fn get_mut(&mut self, n: usize) -> Option<&mut Entry> {
        self.0.get_mut(n / BLOCK)?.get_mut(n % BLOCK)
    }
    #[inline]
    fn push(&mut self, e: Entry) {
        match self.0.last_mut() {
            Some(last) if last.len() < last.capacity() => last.push(e),
            Some(last) if last.len() < BLOCK => with_reserve(|| last.push(e)),
            _ => with_reserve(|| self.0.push(alloc::vec![e])),
        }
    }
    /// All go, and most of their room.
    fn clear(&mut self) {
        self.0.truncate(1);
        if let Some(first) = self.0.first_mut() {
            first.clear();
            with_reserve(|| first.shrink_to(FEW));
        }
    }
    /// From the `from`th on.
    fn iter_from(&self, from: usize) -> impl Iterator<Item = (usize, &Entry)> {
        let blocks = self.0.get(from / BLOCK..).unwrap_or(&[]);
        (from..).zip(blocks.iter().flatten().skip(from % BLOCK))
    }
}

#[derive(Default)]
struct Inner {
    entries: Entries,
    /// The first free entry; their number if there is none.
    free: usize,
    len: usize,
    writable: usize,
    /// How often a mapping came to be, or began elsewhere.
    changes: u64,
}

/// The mappings of a file: none at first.
#[derive(Default)]
pub struct IMmap(SpinLock<Inner>);

/// Which entry is a mapping's: none of a file without [`IMmap`], nor of a mapping that is not in its
/// address space, as a copy of one.
#[derive(Debug)]
pub struct Slot(u32);

impl Slot {
    /// No entry.
    pub const NONE: Self = Self(u32::MAX);
}

impl Clone for Slot {
    fn clone(&self) -> Self {
        Self::NONE
    }
}

impl IMmap {
    /// One more mapping, in `mm` at `start`; through a writable one others can be written to.
    #[inline]
    pub fn link(&self, mm: &Weak<Mm>, start: usize, writable: bool) -> Slot {
        let mut i = self.0.lock();
        let i = &mut *i;
        let (n, e) = (i.free, Entry { mm: mm.clone(), start });
        if let Some(free) = i.entries.get_mut(n) {
            i.free = free.start;
            *free = e;
        } else {
            i.entries.push(e);
            i.free = n + 1;
        }
        i.len += 1;
        i.changes += 1;
        i.writable += usize::from(writable);
        Slot(n as u32)
    }
    /// One less.
    #[inline]
    pub fn unlink(&self, slot: &Slot, writable: bool) {
        let mut i = self.0.lock();
        let i = &mut *i;
        i.len -= 1;
        i.writable -= usize::from(writable);
        if i.len == 0 {
            i.free = 0;
            i.entries.clear();
        } else if let Some(e) = i.entries.get_mut(slot.0 as usize) {
            *e = Entry { mm: Weak::new(), start: i.free };
            i.free = slot.0 as usize;
        }
    }
    /// A mapping begins elsewhere in its address space.
    pub fn moved(&self, slot: &Slot, start: usize) {
        let mut i = self.0.lock();
        if let Some(e) = i.entries.get_mut(slot.0 as usize) {
            e.start = start;
        }
        i.changes += 1;
    }
    /// Whether somebody may write it through a shared mapping (`i_mmap_writable`).
    pub fn is_mapped_writable(&self) -> bool {
        self.0.lock().writable != 0
    }
    /// Calls `f` with all mappings, whose address spaces' locks it may take. While it waits for one, others may be
    /// split or moved to entries that were passed already: then all are looked at again, but not for ever.
    pub fn for_each(&self, mut f: impl FnMut(&Mm, usize)) {
        const PASSES: usize = 10;
        for _ in 0..PASSES {
            let (mut from, changes) = (0, self.0.lock().changes);
            while let Some((next, mm, start)) = self.next(from) {
                from = next;
                f(&mm, start);
            }
            if self.0.lock().changes == changes {
                return;
            }
        }
    }
    /// The first mapping from the `from`th entry on, and the number of the entry behind it. Whoever
    /// looks takes the address space's lock only after this one's is free, and finds out whether the
    /// mapping is still there.
    fn next(&self, from: usize) -> Option<(usize, Arc<Mm>, usize)> {
        let i = self.0.lock();
        i.entries.iter_from(from).find_map(|(n, e)| Some((n + 1, e.mm.upgrade()?, e.start)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn starts(m: &IMmap) -> Vec<usize> {
        let i = m.0.lock();
        let mut free = Vec::new();
        let mut n = i.free;
        while n < i.entries.len() {
            free.push(n);
            n = i.entries.iter_from(n).next().map_or(usize::MAX, |(_, e)| e.start);
        }
        assert_eq!((n, free.len() + i.len), (i.entries.len(), i.entries.len()), "the free ones are a list");
        let used = i.entries.iter_from(0).filter(|(n, _)| !free.contains(n));
        used.map(|(_, e)| e.start).collect()
    }

    #[test]
    fn there_may_be_very_many() {
        let (m, mm) = (IMmap::default(), Weak::new());
        let all = 3 * BLOCK + 5;
        let slots: Vec<Slot> = (0..all).map(|n| m.link(&mm, n, false)).collect();
        assert_eq!(starts(&m), (0..all).collect::<Vec<_>>());
        assert_eq!(m.0.lock().entries.0.iter().map(Vec::capacity).max(), Some(BLOCK));
        m.unlink(&slots[2 * BLOCK], false);
        m.moved(&slots[BLOCK - 1], 7777);
        assert!(starts(&m).contains(&7777) && !starts(&m).contains(&(2 * BLOCK)));
        assert_eq!(m.link(&mm, 8888, false).0 as usize, 2 * BLOCK);
        for (n, s) in slots.iter().enumerate() {
            assert_eq!(m.0.lock().len, all - n);
            m.unlink(s, false);
        }
        assert!(starts(&m).is_empty() && m.0.lock().entries.0.len() <= 1);
    }

    #[test]
    fn entries_are_used_again() {
        let (m, mm) = (IMmap::default(), Weak::new());
        let mut slots: Vec<Slot> = (0..5).map(|n| m.link(&mm, 100 + n, n == 3)).collect();
        assert!(m.is_mapped_writable());
        m.unlink(&slots.remove(3), true);
        m.unlink(&slots.remove(0), false);
        assert!(!m.is_mapped_writable());
        assert_eq!(starts(&m), [101, 102, 104]);
        m.moved(&slots[1], 200);
        slots.push(m.link(&mm, 7, false));
        assert_eq!(starts(&m), [7, 101, 200, 104]);
        slots.push(m.link(&mm, 8, false));
        slots.push(m.link(&mm, 9, true));
        assert_eq!(starts(&m), [7, 101, 200, 8, 104, 9]);
        let last = slots.pop();
        for s in &slots {
            m.unlink(s, false);
        }
        assert_eq!(starts(&m), [9]);
        m.unlink(&last.unwrap_or(Slot::NONE), true);
        assert_eq!((starts(&m), m.is_mapped_writable()), (vec![], false));
        m.link(&mm, 1, false);
        assert_eq!(starts(&m), [1]);
    }
}
