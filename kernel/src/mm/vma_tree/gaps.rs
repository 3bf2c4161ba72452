// SPDX-License-Identifier: GPL-2.0-only
//! Looking for free address space between mappings.

use super::{Chunk, Pos, VmaTree};

/// What a search from the top has found to be full: no free range of `len` bytes or more below `high`
/// ends above `below`. (Linux 2.6 kept a `free_area_cache` and `cached_hole_size` for the same end.)
#[derive(Clone, Copy, Default)]
pub(super) struct Full {
    high: usize,
    len: usize,
    below: usize,
}

impl Full {
    /// Nothing is known (no search has this `high`).
    pub(super) const NOTHING: Self = Self { high: 0, len: 0, below: 0 };

    /// A gap of so many bytes has come to be before `end`.
    #[inline]
    pub(super) fn note(&mut self, end: usize, gap: usize) {
        if gap >= self.len && end > self.below {
            self.below = end;
        }
    }

    /// Where a search for `len` bytes below `high` may begin.
    fn start(&self, len: usize, high: usize) -> usize {
        if self.high == high && len >= self.len { self.below.min(high) } else { high }
    }

    /// Nothing was found above `below`. What is known of smaller ranges is worth more.
    fn learn(&mut self, len: usize, high: usize, below: usize) {
        if self.high != high || len <= self.len {
            *self = Self { high, len, below };
        }
    }
}

impl VmaTree {
    /// The last mapping that starts below `addr`.
    fn last_starting_below(&self, addr: usize) -> Option<Pos> {
        let c = self.chunks.partition_point(|c| c.first < addr).checked_sub(1)?;
        let s = self.chunks[c].vmas.partition_point(|v| v.start < addr) - 1;
        Some(Pos::new(c, s))
    }

    /// The highest free range of `len` bytes within `[low, high)`, leaving stacks
    /// their guard gap (`vm_unmapped_area` with `VM_UNMAPPED_AREA_TOPDOWN`).
    pub fn gap_topdown(&mut self, len: usize, low: usize, high: usize) -> Option<usize> {
        let found = self.search_down(len, low, self.full.start(len, high));
        if let Some(at) = found {
            self.full.learn(len, high, at + len);
        }
        found
    }

    fn search_down(&mut self, len: usize, low: usize, high: usize) -> Option<usize> {
        let mut p = self.last_starting_below(high);
        let above = match p {
            Some(q) => self.next(q),
            None => (self.len != 0).then_some(Pos::new(0, 0)),
        };
        // Free space, if there is any before `p`'s successor, ends at `top`.
        let mut top = above.map_or(high, |a| self.get(a).start_gap().min(high));
        while let Some(q) = p {
            let v = self.get(q);
            if let Some(start) = top.checked_sub(len)
                && start >= v.end.max(low)
            {
                return Some(start);
            }
            if v.start <= low {
                return None;
            }
            top = top.min(v.start_gap());
            p = self.prev(q);
            while let Some(r) = p
                && r.chunk() != q.chunk()
                && self.chunk_is_dense(r.chunk(), len, top)
            {
                let first = r.with_slot(0);
                top = top.min(self.get(first).start_gap());
                p = self.prev(first);
            }
        }
        top.checked_sub(len).filter(|&start| start >= low)
    }

    /// Whether no gap in chunk `c`, nor between it and `top`, can hold `len`
    /// bytes. Makes the chunk's bound exact when it is of no help.
    fn chunk_is_dense(&mut self, c: usize, len: usize, top: usize) -> bool {
        let last_end = |c: &Chunk| c.vmas.last().map_or(0, |v| v.end);
        if top.saturating_sub(last_end(&self.chunks[c])) >= len {
            return false;
        }
        if self.chunks[c].gap >= len {
            let mut end = c.checked_sub(1).map_or(0, |b| last_end(&self.chunks[b]));
            let chunk = &mut self.chunks[c];
            chunk.gap = 0;
            for v in &chunk.vmas {
                chunk.gap = chunk.gap.max(v.start - end);
                end = v.end;
            }
        }
        self.chunks[c].gap < len
    }

    /// The lowest free range of `len` bytes within `[low, high)`, leaving stacks
    /// their guard gap (`vm_unmapped_area` without `VM_UNMAPPED_AREA_TOPDOWN`).
    pub fn gap_bottomup(&self, len: usize, low: usize, high: usize) -> Option<usize> {
        let mut at = low;
        let mut p = self.lower_bound(low);
        while let Some(q) = p {
            let v = self.get(q);
            if at.checked_add(len)? <= v.start_gap().min(high) {
                return Some(at);
            }
            if v.end >= high {
                return None;
            }
            at = at.max(v.end);
            p = self.next(q);
            // Skip chunks without a large enough gap.
            if let Some(n) = p
                && n.slot() == 0
            {
                let mut c = n.chunk();
                while c < self.chunks.len() && self.chunks[c].gap < len {
                    at = self.chunks[c].vmas.last().map_or(at, |v| v.end);
                    c += 1;
                }
                p = (c < self.chunks.len()).then_some(Pos::new(c, 0));
            }
        }
        (at.checked_add(len)? <= high).then_some(at)
    }
}
