// SPDX-License-Identifier: GPL-2.0-only
//! How epolls may watch each other: without loops, not deep, and not by so many ways that one
//! event wakes too much (Linux 6.1, `fs/eventpoll.c`, `ep_loop_check`, `reverse_path_check`).

use super::{EpItem, EventPoll, epoll_of};
use crate::errno::{EINVAL, ELOOP, Result};
use crate::fs::file_table::File;
use crate::locking::SpinLock;
use crate::mm::util::try_push;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// How deep epolls may be in each other (`EP_MAX_NESTS`).
const MAX_NESTS: u32 = 4;
/// By how many ways of each length a file may be reached; one step may be taken freely.
const PATH_LIMITS: [u32; MAX_NESTS as usize + 1] = [1000, 500, 100, 50, 10];

/// Held while a search goes on; its number.
static SEARCH: SpinLock<u64> = SpinLock::new(0);

/// What a search has found out about an epoll already.
#[derive(Default)]
pub(super) struct LoopMark {
    search: AtomicU64,
    depth: AtomicU32,
}

impl LoopMark {
    fn known(&self, search: u64) -> Option<u32> {
        (self.search.load(Relaxed) == search).then(|| self.depth.load(Relaxed))
    }
    fn note(&self, search: u64, depth: u32) {
        self.search.store(search, Relaxed);
        self.depth.store(depth, Relaxed);
    }
}

/// The epoll of a file that an item is about.
fn epoll_in(item: &EpItem) -> Option<Arc<EventPoll>> {
    let file = item.file.upgrade()?;
    epoll_of(&file).cloned()
}

/// How deep it goes below `ep`; more than [`MAX_NESTS`] if `into` is there, too (`ep_loop_check_proc`).
fn depth_below(ep: &EventPoll, into: &EventPoll, depth: u32, search: u64) -> Result<u32> {
    if let Some(known) = ep.mark.known(search) {
        return Ok(known);
    }
    ep.mark.note(search, 0);
    let mut inside = Vec::new();
    for inner in ep.items.lock().values().filter_map(|i| epoll_in(i)) {
        try_push(&mut inside, inner)?;
    }
    let mut deepest = 0;
    for inner in inside {
        let found = if core::ptr::eq(&raw const *inner, into) || depth > MAX_NESTS {
            MAX_NESTS + 1
        } else {
            depth_below(&inner, into, depth + 1, search)? + 1
        };
        deepest = deepest.max(found);
        if deepest > MAX_NESTS {
            break;
        }
    }
    ep.mark.note(search, deepest);
    Ok(deepest)
}

/// Runs `f` with the items that watch an epoll's file.
fn watchers(ep: &EventPoll, mut f: impl FnMut(&EpItem)) {
    if let Some(file) = ep.file.get().and_then(Weak::upgrade) {
        file.f_ep.lock().iter().for_each(|i| f(i));
    }
}

/// How far it goes up from `ep` (`ep_get_upwards_depth_proc`).
fn depth_above(ep: &EventPoll, search: u64) -> u32 {
    if let Some(known) = ep.mark.known(search) {
        return known;
    }
    let mut highest = 0;
    watchers(ep, |i| highest = highest.max(depth_above(&i.ep, search) + 1));
    ep.mark.note(search, highest);
    highest
}

/// `ELOOP` unless `ep` may watch `inner` (`ep_loop_check`).
pub(super) fn check_nesting(ep: &EventPoll, inner: &EventPoll) -> Result {
    let mut search = SEARCH.lock();
    *search += 1;
    let below = depth_below(inner, ep, 0, *search)?;
    let fits = below <= MAX_NESTS && below + 1 + depth_above(ep, *search) <= MAX_NESTS;
    if fits { Ok(()) } else { Err(ELOOP) }
}

/// Counts the ways up from items of a file, whose length is `nests` (`reverse_path_check_proc`).
fn count_paths(items: &[Arc<EpItem>], nests: usize, count: &mut [u32; PATH_LIMITS.len()]) -> Result {
    if nests >= PATH_LIMITS.len() {
        return Err(EINVAL);
    }
    for i in items {
        let file = i.ep.file.get().and_then(Weak::upgrade);
        let above = file.as_ref().map(|f| f.f_ep.lock());
        match above {
            Some(above) if !above.is_empty() => count_paths(&above, nests + 1, count)?,
            _ if nests == 0 => {}
            _ => {
                count[nests] += 1;
                if count[nests] > PATH_LIMITS[nests] {
                    return Err(EINVAL);
                }
            }
        }
    }
    Ok(())
}

fn check_file(file: &File) -> Result {
    count_paths(&file.f_ep.lock(), 0, &mut [0; PATH_LIMITS.len()])
}

/// Whether the files that `ep` watches, with `file` as a new one, are not reached by too many ways.
pub(super) fn reverse_path_check(ep: &EventPoll, file: &Arc<File>) -> Result {
    let mut nested = false;
    watchers(ep, |_| nested = true);
    let Some(inner) = epoll_of(file) else {
        return if nested { check_file(file) } else { Ok(()) };
    };
    let mut search = SEARCH.lock();
    *search += 1;
    let mut leaves = Vec::new();
    collect_leaves(inner, *search, &mut leaves)?;
    leaves.iter().try_for_each(|f| check_file(f))
}

/// The files below an epoll that are none themselves.
fn collect_leaves(ep: &EventPoll, search: u64, leaves: &mut Vec<Arc<File>>) -> Result {
    if ep.mark.known(search).is_some() {
        return Ok(());
    }
    ep.mark.note(search, 0);
    let mut files = Vec::new();
    for i in ep.items.lock().values() {
        if let Some(f) = i.file.upgrade() {
            try_push(&mut files, f)?;
        }
    }
    for f in files {
        match epoll_of(&f) {
            Some(inner) => collect_leaves(inner, search, leaves)?,
            None => try_push(leaves, f)?,
        }
    }
    Ok(())
}
