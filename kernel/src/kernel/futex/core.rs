// SPDX-License-Identifier: GPL-2.0-only
//! Which word a futex is, and who waits for it (Linux 6.1, `kernel/futex/core.c`).

use crate::arch::x86::lib::usercopy::access_ok;
use crate::errno::{EFAULT, EINVAL, Result};
use crate::kernel::sched::try_to_wake_up;
use crate::kernel::task::{TASK_INTERRUPTIBLE, Task, current};
use crate::locking::IrqLock;
use crate::mm::mm_struct::with_current_mm;
use crate::mm::page_alloc::{PAGE_SIZE, Page};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};

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

/// Where a futex is.
pub(super) struct Place {
    pub key: Key,
    /// Keeps the memory, so that its address means nothing else meanwhile.
    page: Option<Page>,
}

impl Clone for Place {
    fn clone(&self) -> Self {
        Self { key: self.key, page: self.page.clone() }
    }
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
                return Ok(Self { key: Key::Private(space, addr), page: None });
            }
            Ok(match mm.lock().shared_page(addr, write)? {
                None => Self { key: Key::Anon(space, addr), page: None },
                Some(p) => {
                    let at = p.phys() + (addr % PAGE_SIZE) as u64;
                    Self { key: Key::Shared(at), page: Some(p) }
                }
            })
        });
        found.ok_or(EFAULT)?
    }
}

/// A thread that waits (`futex_q`).
pub(super) struct Waiter {
    pub place: IrqLock<Place>,
    bitset: u32,
    task: Arc<Task>,
    woken: AtomicBool,
}

static WAITERS: IrqLock<Vec<Arc<Waiter>>> = IrqLock::new(Vec::new());

impl Waiter {
    /// The current thread, which is going to wait for a word: who wakes it from now on is heard.
    pub fn queue(place: Place, bitset: u32) -> Arc<Self> {
        let (task, woken) = (current().to_arc(), AtomicBool::new(false));
        let w = Arc::new(Self { place: IrqLock::new(place), bitset, task, woken });
        WAITERS.lock().push(w.clone());
        w
    }
    /// Whether it was woken.
    pub fn woken(&self) -> bool {
        self.woken.load(Ordering::Acquire)
    }
    /// It does not wait any more.
    pub fn unqueue(self: &Arc<Self>) {
        WAITERS.lock().retain(|w| !Arc::ptr_eq(w, self));
    }
    fn wake(&self) {
        self.woken.store(true, Ordering::Release);
        try_to_wake_up(&self.task, TASK_INTERRUPTIBLE);
    }
}

/// Goes through the waiters for `key`, in the order in which they came. `each` says what
/// becomes of one, or that it was the last.
fn for_each_waiter(key: Key, mut each: impl FnMut(&Waiter) -> Option<Verdict>) {
    let mut going = true;
    WAITERS.lock().retain(|w| {
        if !going || w.place.lock().key != key {
            return true;
        }
        match each(w) {
            Some(Verdict::Wake) => {
                w.wake();
                false
            }
            Some(Verdict::Keep) => true,
            None => {
                going = false;
                true
            }
        }
    });
}

enum Verdict {
    Wake,
    Keep,
}

/// Wakes waiters that wait for one of `bitset`: `max` of them, but at least one, whatever is
/// asked for, as Linux does. Returns how many.
pub(super) fn wake(key: Key, max: i32, bitset: u32) -> usize {
    let (max, mut n) = (max.max(1) as usize, 0);
    for_each_waiter(key, |w| match () {
        () if n == max => None,
        () if w.bitset & bitset == 0 => Some(Verdict::Keep),
        () => {
            n += 1;
            Some(Verdict::Wake)
        }
    });
    n
}

/// Wakes `wake_max` waiters exactly, and lets `move_max` more wait for another word. Returns
/// how many both were.
pub(super) fn requeue(from: Key, to: &Place, wake_max: usize, move_max: usize) -> usize {
    let mut n = 0;
    for_each_waiter(from, |w| {
        if n >= wake_max.saturating_add(move_max) {
            return None;
        }
        n += 1;
        if n <= wake_max {
            return Some(Verdict::Wake);
        }
        *w.place.lock() = to.clone();
        Some(Verdict::Keep)
    });
    n
}
