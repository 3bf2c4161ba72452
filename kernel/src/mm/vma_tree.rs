// SPDX-License-Identifier: GPL-2.0-only
//! The mappings of an address space, ordered by address (Linux's `mm_mt`).
//!
//! A tree of two levels: an array of chunks, each an array of up to [`CHUNK`]
//! mappings. A lookup is two bisections; the array of chunks also keeps an upper
//! bound of the gaps within each chunk, so that the search for free address
//! space skips whole chunks, and begins where the last one found that there is
//! nothing above. With Linux's limit of 65530 mappings the upper array has about
//! two thousand entries at most, and a typical process has one chunk, which is a
//! sorted array.

use crate::errno::{ENOMEM, Result};
use crate::mm::mm_struct::Mm;
use crate::mm::slab;
use crate::mm::vma::Vma;
use alloc::sync::Weak;
use alloc::vec::Vec;
use core::num::NonZeroU32;

mod gaps;

/// Most mappings in one chunk.
const CHUNK: usize = if cfg!(test) { 8 } else { 64 };

struct Chunk {
    /// Start of the first mapping.
    first: usize,
    /// No gap before a mapping of this chunk (from the end of its predecessor) is larger.
    gap: usize,
    vmas: Vec<Vma>,
}

/// Where a mapping stands; valid until the tree changes.
///
/// From the lowest bit: a one, eight bits of slot, the chunk; small enough that
/// `Option<Pos>` travels in a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pos(NonZeroU32);

impl Pos {
    #[inline]
    fn new(chunk: usize, slot: usize) -> Self {
        Self(NonZeroU32::MIN | (chunk << 9 | slot << 1) as u32)
    }
    #[inline]
    const fn chunk(self) -> usize {
        (self.0.get() >> 9) as usize
    }
    #[inline]
    const fn slot(self) -> usize {
        (self.0.get() >> 1 & 0xff) as usize
    }
    /// Another slot of the same chunk.
    #[inline]
    fn with_slot(self, slot: usize) -> Self {
        Self::new(self.chunk(), slot)
    }
}

/// Mappings by address; they never overlap.
#[derive(Default)]
pub struct VmaTree {
    /// Whose they are.
    mm: Weak<Mm>,
    chunks: Vec<Chunk>,
    len: usize,
    /// Where the last lookup ended (Linux 5's `vmacache`, one entry).
    last: Option<Pos>,
    /// What the last search for free space learned.
    full: gaps::Full,
}

impl VmaTree {
    /// No mappings.
    pub const fn new(mm: Weak<Mm>) -> Self {
        Self { mm, chunks: Vec::new(), len: 0, last: None, full: gaps::Full::NOTHING }
    }

    /// Makes room for some more mappings, where there may be very many: the array of
    /// chunks is then large. What else growing takes is small.
    ///
    /// # Errors
    /// `ENOMEM`.
    #[inline]
    pub fn try_reserve(&mut self) -> Result {
        self.chunks.try_reserve(4).map_err(|_| ENOMEM)
    }

    /// Makes room for a copy of `old`.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn try_reserve_like(&mut self, old: &Self) -> Result {
        slab::room_for(old.len * size_of::<Vma>() * 2)?;
        self.chunks.try_reserve(old.len.div_ceil(CHUNK) + 1).map_err(|_| ENOMEM)
    }

    /// Number of mappings (`map_count`).
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The mapping at `p`.
    #[inline]
    pub fn get(&self, p: Pos) -> &Vma {
        &self.chunks[p.chunk()].vmas[p.slot()]
    }

    /// The mapping at `p`, to change anything but its bounds.
    #[inline]
    pub fn get_mut(&mut self, p: Pos) -> &mut Vma {
        &mut self.chunks[p.chunk()].vmas[p.slot()]
    }

    fn at(&self, chunk: usize, slot: usize) -> Option<&Vma> {
        self.chunks.get(chunk)?.vmas.get(slot)
    }

    /// The first mapping that ends above `addr` (`find_vma`); it may start above it.
    #[inline]
    pub fn find(&mut self, addr: usize) -> Option<Pos> {
        if let Some(p) = self.last
            && let Some(v) = self.at(p.chunk(), p.slot())
            && v.start <= addr
            && addr < v.end
        {
            return Some(p);
        }
        self.find_anew(addr)
    }

    fn find_anew(&mut self, addr: usize) -> Option<Pos> {
        let p = self.lower_bound(addr);
        if p.is_some() {
            self.last = p;
        }
        p
    }

    /// The first mapping that ends above `addr`, without touching the cache.
    pub fn lower_bound(&self, addr: usize) -> Option<Pos> {
        // The last chunk that starts at or below `addr` holds the answer, or it is
        // the first of the next chunk.
        let c = match self.chunks.len() {
            0 => return None,
            1 => 0,
            _ => self.chunks.partition_point(|c| c.first <= addr).saturating_sub(1),
        };
        let chunk = self.chunks.get(c)?;
        if addr < chunk.first {
            return Some(Pos::new(c, 0));
        }
        let s = chunk.vmas.partition_point(|v| v.end <= addr);
        if s < chunk.vmas.len() {
            Some(Pos::new(c, s))
        } else if c + 1 < self.chunks.len() {
            Some(Pos::new(c + 1, 0))
        } else {
            None
        }
    }

    /// The mapping that holds `addr`.
    #[inline]
    pub fn find_containing(&mut self, addr: usize) -> Option<Pos> {
        self.find(addr).filter(|&p| self.get(p).start <= addr)
    }

    /// The first mapping that intersects `[start, end)`.
    pub fn find_intersection(&self, start: usize, end: usize) -> Option<Pos> {
        self.lower_bound(start).filter(|&p| self.get(p).start < end)
    }

    /// The mapping after `p`.
    #[inline]
    pub fn next(&self, p: Pos) -> Option<Pos> {
        if self.at(p.chunk(), p.slot() + 1).is_some() {
            Some(p.with_slot(p.slot() + 1))
        } else if p.chunk() + 1 < self.chunks.len() {
            Some(Pos::new(p.chunk() + 1, 0))
        } else {
            None
        }
    }

    /// The mapping before `p`.
    #[inline]
    pub fn prev(&self, p: Pos) -> Option<Pos> {
        if p.slot() > 0 {
            Some(p.with_slot(p.slot() - 1))
        } else if p.chunk() > 0 {
            let chunk = p.chunk() - 1;
            Some(Pos::new(chunk, self.chunks[chunk].vmas.len() - 1))
        } else {
            None
        }
    }

    /// The last mapping.
    pub fn last(&self) -> Option<Pos> {
        let chunk = self.chunks.len().checked_sub(1)?;
        Some(Pos::new(chunk, self.chunks[chunk].vmas.len() - 1))
    }

    /// The mapping before `next`, or the last one (`find_vma_prev`'s second half).
    pub fn prev_of(&self, next: Option<Pos>) -> Option<Pos> {
        match next {
            Some(n) => self.prev(n),
            None => self.last(),
        }
    }

    /// All mappings, lowest first.
    pub fn iter(&self) -> impl Iterator<Item = &Vma> {
        self.chunks.iter().flat_map(|c| c.vmas.iter())
    }

    /// All mappings, to change anything but their bounds.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Vma> {
        self.chunks.iter_mut().flat_map(|c| c.vmas.iter_mut())
    }

    /// End of whatever precedes `p`.
    fn prev_end(&self, p: Pos) -> usize {
        self.prev(p).map_or(0, |q| self.get(q).end)
    }

    /// Widens the bound of the chunk of `p` to the gap now before `p`.
    fn note_gap(&mut self, p: Option<Pos>) {
        let Some(p) = p else { return self.full = gaps::Full::NOTHING };
        let start = self.get(p).start;
        let gap = start - self.prev_end(p);
        self.full.note(start, gap);
        let c = &mut self.chunks[p.chunk()];
        if c.gap < gap {
            c.gap = gap;
        }
    }

    /// Adds a mapping that overlaps none; does not merge.
    pub fn insert(&mut self, v: Vma) -> Pos {
        self.insert_before(self.lower_bound(v.start), v)
    }

    /// Adds a mapping before `next`, its successor (`None`: it is the highest).
    fn insert_before(&mut self, next: Option<Pos>, mut v: Vma) -> Pos {
        let Some(p) = next.or_else(|| self.last().map(|l| l.with_slot(l.slot() + 1))) else {
            return self.insert_first(v);
        };
        let chunk = &mut self.chunks[p.chunk()];
        if chunk.vmas.len() == CHUNK {
            self.split_chunk(p.chunk());
            return self.insert(v);
        }
        if p.slot() == 0 {
            chunk.first = v.start;
        }
        let at_end = p.slot() == chunk.vmas.len();
        v.link(&self.mm);
        chunk.vmas.insert(p.slot(), v);
        self.len += 1;
        // The gap before the new mapping was part of its successor's, which the
        // chunk knows of if it has the successor.
        if at_end {
            self.note_gap(Some(p));
        }
        p
    }

    #[cold]
    fn insert_first(&mut self, mut v: Vma) -> Pos {
        self.len = 1;
        v.link(&self.mm);
        let mut vmas = Vec::with_capacity(8);
        let (first, gap) = (v.start, v.start);
        vmas.push(v);
        self.chunks.push(Chunk { first, gap, vmas });
        Pos::new(0, 0)
    }

    /// Makes two chunks of a full one.
    #[cold]
    fn split_chunk(&mut self, c: usize) {
        let tail = self.chunks[c].vmas.split_off(CHUNK / 2);
        let (first, gap) = (tail[0].start, self.chunks[c].gap);
        self.chunks.insert(c + 1, Chunk { first, gap, vmas: tail });
        self.last = None;
    }

    /// Adds a mapping above all others; does not merge. For copying a tree.
    pub fn append(&mut self, mut v: Vma) {
        match self.chunks.last_mut() {
            Some(c) if c.vmas.len() < CHUNK => {
                c.gap = c.gap.max(v.start - c.vmas.last().map_or(0, |l| l.end));
                v.link(&self.mm);
                c.vmas.push(v);
                self.len += 1;
            }
            _ => {
                self.insert(v);
            }
        }
    }

    /// Takes a mapping out.
    pub fn remove(&mut self, p: Pos) -> Vma {
        self.remove_at(p).0
    }

    /// Takes a mapping out; also returns where its successor now is.
    pub fn remove_at(&mut self, p: Pos) -> (Vma, Option<Pos>) {
        let c = p.chunk();
        let mut v = self.chunks[c].vmas.remove(p.slot());
        v.unlink();
        self.len -= 1;
        self.last = None;
        let next = if self.chunks[c].vmas.is_empty() {
            self.chunks.remove(c);
            (c < self.chunks.len()).then_some(Pos::new(c, 0))
        } else {
            self.chunks[c].first = self.chunks[c].vmas[0].start;
            if (p.slot()) < self.chunks[c].vmas.len() {
                Some(p)
            } else {
                (c + 1 < self.chunks.len()).then_some(Pos::new(p.chunk() + 1, 0))
            }
        };
        self.note_gap(next);
        (v, next)
    }

    /// Cuts `[start, end)`, strictly inside the mapping at `p`, out of it. Returns
    /// where the upper part now is.
    pub fn punch_hole(&mut self, p: Pos, start: usize, end: usize) -> Option<Pos> {
        let mut front = self.get_mut(p).split_off_front(end);
        self.get(p).relink();
        front.end = start;
        if p.slot() == 0 {
            self.chunks[p.chunk()].first = end;
        }
        let front = self.insert_before(Some(p), front);
        let upper = self.next(front);
        self.note_gap(upper);
        upper
    }

    /// Moves the start of a mapping; the new range must overlap no other.
    /// `pgoff` follows.
    pub fn set_start(&mut self, p: Pos, start: usize) {
        let v = self.get_mut(p);
        let shrinks = start > v.start;
        if shrinks {
            v.pgoff = v.pgoff_of(start);
        } else {
            v.pgoff = v.pgoff.wrapping_sub(((v.start - start) / crate::mm::page_alloc::PAGE_SIZE) as u64);
        }
        v.start = start;
        v.relink();
        if p.slot() == 0 {
            self.chunks[p.chunk()].first = start;
        }
        if shrinks {
            self.note_gap(Some(p));
        }
    }

    /// Moves the end of a mapping; the new range must overlap no other.
    pub fn set_end(&mut self, p: Pos, end: usize) {
        let v = self.get_mut(p);
        let shrinks = end < v.end;
        v.end = end;
        if shrinks {
            self.note_gap(self.next(p));
        }
    }

    /// Splits the mapping that has `addr` strictly inside, if there is one.
    pub fn split_at(&mut self, addr: usize) {
        if let Some(p) = self.lower_bound(addr)
            && self.get(p).start < addr
        {
            let front = self.get_mut(p).split_off_front(addr);
            self.get(p).relink();
            if p.slot() == 0 {
                self.chunks[p.chunk()].first = addr;
            }
            self.insert(front);
        }
    }

    /// Adds a mapping, merging it with its neighbours where Linux would
    /// (`vma_merge`). Returns where its first byte now is.
    pub fn insert_merged(&mut self, v: Vma) -> Pos {
        self.insert_merged_before(self.lower_bound(v.start), v)
    }

    /// As [`VmaTree::insert_merged`], where the successor is known.
    pub fn insert_merged_before(&mut self, next: Option<Pos>, v: Vma) -> Pos {
        debug_assert!(next.is_none_or(|n| self.get(n).start >= v.end));
        let prev = self.prev_of(next).filter(|&p| self.get(p).can_merge(&v));
        let mergeable_next = next.filter(|&n| v.can_merge(self.get(n)));
        match (prev, mergeable_next) {
            (Some(p), Some(n)) => {
                let n = self.remove(n);
                self.absorb(p, n.end, v.anon_vma || n.anon_vma);
                p
            }
            (Some(p), None) => {
                self.absorb(p, v.end, v.anon_vma);
                p
            }
            (None, Some(n)) => {
                let start = v.start;
                self.get_mut(n).anon_vma |= v.anon_vma;
                self.set_start(n, start);
                n
            }
            (None, None) => self.insert_before(next, v),
        }
    }

    fn absorb(&mut self, p: Pos, end: usize, anon_vma: bool) {
        self.get_mut(p).anon_vma |= anon_vma;
        self.set_end(p, end);
    }

    /// Merges the mapping at `p` with its neighbours where possible; returns where it is now.
    #[inline]
    pub fn merge_around(&mut self, p: Pos) -> Pos {
        let vmas = &self.chunks[p.chunk()].vmas;
        let (v, s) = (&vmas[p.slot()], p.slot());
        // Nearly always both neighbours are in the chunk, and do not match.
        if let Some(n) = vmas.get(s + 1)
            && !v.can_merge(n)
            && s > 0
            && !vmas[s - 1].can_merge(v)
        {
            return p;
        }
        self.do_merge_around(p)
    }

    fn do_merge_around(&mut self, mut p: Pos) -> Pos {
        if let Some(n) = self.next(p)
            && self.get(p).can_merge(self.get(n))
        {
            let n = self.remove(n);
            self.absorb(p, n.end, n.anon_vma);
        }
        if let Some(q) = self.prev(p)
            && self.get(q).can_merge(self.get(p))
        {
            let v = self.remove(p);
            self.absorb(q, v.end, v.anon_vma);
            p = q;
        }
        p
    }
}

impl Drop for VmaTree {
    fn drop(&mut self) {
        self.iter_mut().for_each(Vma::unlink);
    }
}

#[cfg(test)]
#[path = "vma_tree_tests.rs"]
mod tests;
