// SPDX-License-Identifier: GPL-2.0-only
//! The tree of mappings against a model that is plainly right: one entry per page.

use super::*;
use crate::mm::i_mmap::Slot;
use crate::mm::page_alloc::PAGE_SIZE;
use crate::mm::vma::{Backing, STACK_GUARD_GAP, VmFlags};
use proptest::prelude::*;

fn vma(start: usize, pages: usize, flags: u64) -> Vma {
    Vma {
        start: start * PAGE_SIZE,
        end: (start + pages) * PAGE_SIZE,
        flags: VmFlags::from_bits_retain(flags),
        pgoff: start as u64,
        backing: Backing::Anon,
        anon_vma: false,
        slot: Slot::NONE,
    }
}

/// Bounds in pages and flags of every mapping.
fn shape(t: &VmaTree) -> Vec<(usize, usize, u64)> {
    t.iter().map(|v| (v.start / PAGE_SIZE, v.end / PAGE_SIZE, v.flags.bits())).collect()
}

/// As `do_munmap` does it, without splitting more than necessary.
fn unmap(t: &mut VmaTree, start: usize, pages: usize) {
    let (start, end) = (start * PAGE_SIZE, (start + pages) * PAGE_SIZE);
    let mut next = t.lower_bound(start);
    while let Some(p) = next.filter(|&p| t.get(p).start < end) {
        let v = t.get(p);
        let (from, to) = (v.start.max(start), v.end.min(end));
        next = match (v.start < from, to < v.end) {
            (false, false) => t.remove_at(p).1,
            (false, true) => {
                t.set_start(p, to);
                Some(p)
            }
            (true, false) => {
                t.set_end(p, from);
                t.next(p)
            }
            (true, true) => t.punch_hole(p, from, to),
        };
    }
    let behind = next.map(|p| t.get(p).start);
    assert_eq!(behind, t.lower_bound(end).map(|p| t.get(p).start));
}

#[test]
fn find_returns_the_first_that_ends_above() {
    let mut t = VmaTree::new(Weak::new());
    t.insert(vma(10, 2, 1));
    t.insert(vma(20, 2, 1));
    let start_of = |t: &mut VmaTree, page: usize| {
        let p = t.find(page * PAGE_SIZE);
        p.map(|p| t.get(p).start / PAGE_SIZE)
    };
    assert_eq!(start_of(&mut t, 0), Some(10));
    assert_eq!(start_of(&mut t, 11), Some(10));
    assert_eq!(start_of(&mut t, 12), Some(20));
    assert_eq!(start_of(&mut t, 21), Some(20));
    assert_eq!(start_of(&mut t, 22), None);
    assert!(t.find_containing(12 * PAGE_SIZE).is_none());
}

#[test]
fn merging_joins_neighbours_of_one_kind_only() {
    let mut t = VmaTree::new(Weak::new());
    t.insert_merged(vma(10, 2, 3));
    t.insert_merged(vma(14, 2, 3));
    t.insert_merged(vma(12, 2, 3));
    assert_eq!(shape(&t), [(10, 16, 3)]);
    t.insert_merged(vma(16, 1, 1));
    assert_eq!(shape(&t), [(10, 16, 3), (16, 17, 1)]);
    // Same flags, but the page offsets do not continue.
    let mut odd = vma(17, 1, 1);
    odd.pgoff = 99;
    t.insert_merged(odd);
    assert_eq!(t.len(), 3);
}

#[test]
fn splitting_keeps_page_offsets() {
    let mut t = VmaTree::new(Weak::new());
    t.insert(vma(10, 10, 3));
    unmap(&mut t, 13, 2);
    assert_eq!(shape(&t), [(10, 13, 3), (15, 20, 3)]);
    assert_eq!(t.iter().map(|v| v.pgoff).collect::<Vec<_>>(), [10, 15]);
}

#[test]
fn a_stack_keeps_its_guard_gap() {
    let mut t = VmaTree::new(Weak::new());
    t.insert(vma(0x10000, 0x10, VmFlags::GROWSDOWN.bits()));
    let got = t.gap_topdown(PAGE_SIZE, PAGE_SIZE, 0x10000 * PAGE_SIZE).unwrap();
    assert_eq!(got, 0x10000 * PAGE_SIZE - STACK_GUARD_GAP - PAGE_SIZE);
    let low = (0x10000 - 10) * PAGE_SIZE;
    assert_eq!(t.gap_bottomup(PAGE_SIZE, low, usize::MAX / 2), Some(0x10010 * PAGE_SIZE));
}

#[test]
fn fifty_thousand_mappings() {
    let mut t = VmaTree::new(Weak::new());
    for i in 0..50_000 {
        t.insert_merged(vma(2 + 2 * i, 1, 1));
    }
    assert_eq!(t.len(), 50_000);
    assert_eq!(t.gap_topdown(PAGE_SIZE, 0, 60_000 * PAGE_SIZE), Some(59_999 * PAGE_SIZE));
    // No room for two pages anywhere but at the bottom.
    assert_eq!(t.gap_topdown(2 * PAGE_SIZE, 0, 100_001 * PAGE_SIZE), Some(0));
    let p = t.lower_bound(40_000 * PAGE_SIZE).unwrap();
    t.remove(p);
    assert_eq!(t.gap_topdown(2 * PAGE_SIZE, 0, 100_001 * PAGE_SIZE), Some(40_000 * PAGE_SIZE));
    assert_eq!(t.gap_bottomup(2 * PAGE_SIZE, 2 * PAGE_SIZE, 100_001 * PAGE_SIZE), Some(39_999 * PAGE_SIZE));
}

/// One page of the model: its flags if mapped.
type Model = Vec<Option<u64>>;
const PAGES: usize = 400;

#[derive(Clone, Debug)]
enum Op {
    Map(usize, usize, u64),
    Unmap(usize, usize),
    Protect(usize, usize, u64),
    GapDown(usize, usize, usize),
    GapUp(usize, usize, usize),
}

fn op() -> impl Strategy<Value = Op> {
    let range = || (0..PAGES, 1usize..12);
    prop_oneof![
        4 => (range(), 1u64..4).prop_map(|((s, n), f)| Op::Map(s, n, f)),
        2 => range().prop_map(|(s, n)| Op::Unmap(s, n)),
        2 => (range(), 1u64..4).prop_map(|((s, n), f)| Op::Protect(s, n, f)),
        // Mostly from the same top, as programs search: what one search learns, the next one uses.
        4 => (1usize..9).prop_map(|n| Op::GapDown(n, 0, PAGES)),
        1 => (1usize..9, 0..PAGES, 0..PAGES).prop_map(|(n, a, b)| Op::GapDown(n, a.min(b), a.max(b))),
        1 => (1usize..9, 0..PAGES, 0..PAGES).prop_map(|(n, a, b)| Op::GapUp(n, a.min(b), a.max(b))),
    ]
}

fn free(m: &Model, at: usize, n: usize) -> bool {
    m[at..at + n].iter().all(Option::is_none)
}

fn protect(t: &mut VmaTree, start: usize, n: usize, flags: u64) {
    let (s, e) = (start * PAGE_SIZE, (start + n) * PAGE_SIZE);
    t.split_at(s);
    t.split_at(e);
    let mut at = s;
    while let Some(p) = t.find_intersection(at, e) {
        t.get_mut(p).flags = VmFlags::from_bits_retain(flags);
        at = t.get(p).end;
        t.merge_around(p);
    }
}

/// Maximal runs of equal pages, which is what a fully merged tree holds.
fn runs(m: &Model) -> Vec<(usize, usize, u64)> {
    let mut out: Vec<(usize, usize, u64)> = Vec::new();
    for (i, p) in m.iter().enumerate() {
        let Some(f) = *p else { continue };
        match out.last_mut() {
            Some(l) if l.1 == i && l.2 == f => l.1 = i + 1,
            _ => out.push((i, i + 1, f)),
        }
    }
    out
}

fn step(t: &mut VmaTree, m: &mut Model, o: &Op) {
    match *o {
        Op::Map(s, n, f) => {
            let n = n.min(PAGES - s);
            unmap(t, s, n);
            t.insert_merged(vma(s, n, f));
            m[s..s + n].fill(Some(f));
        }
        Op::Unmap(s, n) => {
            let n = n.min(PAGES - s);
            unmap(t, s, n);
            m[s..s + n].fill(None);
        }
        Op::Protect(s, n, f) => {
            let n = n.min(PAGES - s);
            protect(t, s, n, f);
            m[s..s + n].iter_mut().filter(|p| p.is_some()).for_each(|p| *p = Some(f));
        }
        Op::GapDown(n, lo, hi) => {
            let want = (lo..=hi.saturating_sub(n)).rev().find(|&a| a + n <= hi && free(m, a, n));
            let got = t.gap_topdown(n * PAGE_SIZE, lo * PAGE_SIZE, hi * PAGE_SIZE);
            assert_eq!(got, want.map(|a| a * PAGE_SIZE));
        }
        Op::GapUp(n, lo, hi) => {
            let want = (lo..=hi.saturating_sub(n)).find(|&a| a + n <= hi && free(m, a, n));
            let got = t.gap_bottomup(n * PAGE_SIZE, lo * PAGE_SIZE, hi * PAGE_SIZE);
            assert_eq!(got, want.map(|a| a * PAGE_SIZE));
        }
    }
}

proptest! {
    #[test]
    fn agrees_with_a_page_array(ops in prop::collection::vec(op(), 1..300)) {
        let mut t = VmaTree::new(Weak::new());
        let mut m: Model = vec![None; PAGES];
        for o in &ops {
            step(&mut t, &mut m, o);
            prop_assert_eq!(shape(&t), runs(&m));
            prop_assert_eq!(t.len(), t.iter().count());
        }
        #[allow(clippy::needless_range_loop)]
        for page in 0..PAGES {
            let p = t.find_containing(page * PAGE_SIZE);
            prop_assert_eq!(p.map(|p| t.get(p).flags.bits()), m[page]);
        }
    }
}
