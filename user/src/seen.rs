// SPDX-License-Identifier: GPL-2.0-only
//! A handler that keeps what it was given, in order.

use crate::{
    signal::{self, Action, SigInfo},
    ucontext::UContext,
};
use core::{
    cell::UnsafeCell,
    sync::atomic::{AtomicUsize, Ordering},
};

const MAX: usize = 64;

struct Seen(UnsafeCell<[SigInfo; MAX]>);
// SAFETY: a slot is written once, by the handler that took its index, and read after `count` says so.
unsafe impl Sync for Seen {}

static SEEN: Seen = Seen(UnsafeCell::new([SigInfo::ZERO; MAX]));
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// Keeps the siginfo.
pub extern "C" fn handler(_: i32, info: &mut SigInfo, _: &mut UContext) {
    let i = COUNT.fetch_add(1, Ordering::SeqCst);
    if i < MAX {
        // SAFETY: the index is this call's own.
        unsafe { SEEN.0.get().cast::<SigInfo>().add(i).write(*info) };
    }
}

/// Installs the handler; `mask` is blocked while it runs.
pub fn install(sig: u32, flags: u32, mask: u64) {
    let r = signal::sigaction(sig, Action::Handle(handler), flags, mask);
    crate::check!(r.is_ok(), "sigaction({sig}): {r:?}");
}

/// How many signals came since the last [`clear`].
pub fn count() -> usize {
    COUNT.load(Ordering::SeqCst)
}

/// What the `i`th of them brought (all zero if it has not come).
pub fn get(i: usize) -> SigInfo {
    if i >= count().min(MAX) {
        return SigInfo::ZERO;
    }
    // SAFETY: the slot was written before the count went up to where we are now.
    unsafe { SEEN.0.get().cast::<SigInfo>().add(i).read() }
}

/// Forgets all.
pub fn clear() {
    COUNT.store(0, Ordering::SeqCst);
}

/// Their numbers in order, 0 behind the last.
pub fn numbers<const N: usize>() -> [i32; N] {
    core::array::from_fn(|i| get(i).signo)
}
