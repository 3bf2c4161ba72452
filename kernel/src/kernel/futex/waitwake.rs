// SPDX-License-Identifier: GPL-2.0-only
//! Waiting for a word, and waking (Linux 6.1, `kernel/futex/waitwake.c`).

use super::core::{FUTEXES, FutexQ, Kind, Place, Ticket};
use crate::arch::x86::lib::usercopy::{cmpxchg_user, get_user};
use crate::errno::{EAGAIN, EINVAL, ENOMEM, ENOSYS, ERESTARTSYS, ETIMEDOUT, Result};
use crate::kernel::printk::ratelimit;
use crate::kernel::signal::restart_block::set_restart_fn;
use crate::kernel::signal::signal_pending;
use crate::kernel::task::{TASK_INTERRUPTIBLE, TASK_RUNNING, current};
use crate::kernel::time::hrtimer::ClockBase;
use crate::kernel::wait::schedule_hrtimeout_on;
use crate::lib::ratelimit::Ratelimit;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;
use linux_raw_sys::general as nr;

/// When a wait ends at the latest.
#[derive(Clone, Copy)]
pub(super) struct Deadline {
    pub base: ClockBase,
    /// What that clock shows then.
    pub at: u64,
}

impl Deadline {
    /// It does not end by itself.
    pub const NEVER: Self = Self { base: ClockBase::Monotonic, at: u64::MAX };
}

/// Wakes up to `max` waiters for the word at `addr`.
pub(super) fn futex_wake(addr: usize, shared: bool, max: i32, bitset: u32) -> Result<usize> {
    if bitset == 0 {
        return Err(EINVAL);
    }
    let place = Place::new(addr, shared, false)?;
    FUTEXES.lock().wake(place.key, max, bitset)
}

/// Waits until woken, while the word still is `val`.
pub(super) fn futex_wait(
    addr: usize,
    shared: bool,
    val: u32,
    deadline: Deadline,
    bitset: u32,
) -> Result<usize> {
    if bitset == 0 {
        return Err(EINVAL);
    }
    let q = FutexQ::new(Place::new(addr, shared, false)?, bitset, Kind::Plain);
    let ticket = queue_while(q, addr, val)?;
    let r = sleep_until(deadline, || FUTEXES.lock().get(ticket).is_none());
    let woken = !FUTEXES.lock().unqueue(ticket);
    match r {
        _ if woken => Ok(0),
        Err(ERESTARTSYS) if deadline.at != Deadline::NEVER.at => {
            let real = deadline.base == ClockBase::Real;
            let how = u64::from(shared) | u64::from(real) << 1;
            let args = [addr as u64, u64::from(val), deadline.at, u64::from(bitset), how];
            Err(set_restart_fn(&current(), restart_wait, args))
        }
        Err(e) => Err(e),
        Ok(()) => Ok(0),
    }
}

/// Queues a waiter for the word at `addr` if that is `val` (`futex_wait_setup`): from then on it
/// is heard who wakes.
pub(super) fn queue_while(q: FutexQ, addr: usize, val: u32) -> Result<Ticket> {
    let mut futexes = FUTEXES.lock();
    if get_user::<u32>(addr)? != val {
        return Err(EAGAIN);
    }
    futexes.queue(q)
}

/// Sleeps until `done`, a time (`ETIMEDOUT`) or a signal (`ERESTARTSYS`).
pub(super) fn sleep_until(deadline: Deadline, mut done: impl FnMut() -> bool) -> Result {
    let cur = current();
    let r = loop {
        cur.state.store(TASK_INTERRUPTIBLE, Ordering::SeqCst);
        if done() {
            break Ok(());
        }
        if deadline.base.now() >= deadline.at {
            break Err(ETIMEDOUT);
        }
        if signal_pending(&cur) {
            break Err(ERESTARTSYS);
        }
        schedule_hrtimeout_on(deadline.base, deadline.at);
    };
    cur.state.store(TASK_RUNNING, Ordering::SeqCst);
    r
}

fn restart_wait(a: [u64; 5]) -> Result<usize> {
    let base = if a[4] & 2 == 0 { ClockBase::Monotonic } else { ClockBase::Real };
    futex_wait(a[0] as usize, a[4] & 1 != 0, a[1] as u32, Deadline { base, at: a[2] }, a[3] as u32)
}

/// One word of `futex_waitv`.
pub(super) struct Waitv {
    pub addr: usize,
    pub val: u32,
    pub shared: bool,
}

/// Takes the waiters out; the last that was woken (`unqueue_multiple`).
fn unqueue_multiple(tickets: &[Ticket]) -> Option<usize> {
    let mut futexes = FUTEXES.lock();
    let mut woken = None;
    for (i, t) in tickets.iter().enumerate() {
        if !futexes.unqueue(*t) {
            woken = Some(i);
        }
    }
    woken
}

/// Queues a waiter for each word (`futex_wait_multiple_setup`), as far as it comes.
fn queue_multiple(words: &[Waitv], tickets: &mut Vec<Ticket>) -> Result {
    let mut places = Vec::new();
    places.try_reserve_exact(words.len()).map_err(|_| ENOMEM)?;
    for w in words {
        places.push(Place::new(w.addr, w.shared, false)?);
    }
    for (w, place) in words.iter().zip(places) {
        tickets.push(queue_while(FutexQ::new(place, u32::MAX, Kind::Plain), w.addr, w.val)?);
    }
    Ok(())
}

/// Waits for any of the words to be woken, while all still are what they should be; returns
/// which one was (`futex_wait_multiple`).
pub(super) fn futex_wait_multiple(words: &[Waitv], deadline: Deadline) -> Result<usize> {
    let mut tickets = Vec::new();
    tickets.try_reserve_exact(words.len()).map_err(|_| ENOMEM)?;
    let any_woken = |tickets: &[Ticket]| {
        let futexes = FUTEXES.lock();
        tickets.iter().any(|t| futexes.get(*t).is_none())
    };
    let r = queue_multiple(words, &mut tickets).and_then(|()| sleep_until(deadline, || any_woken(&tickets)));
    match (unqueue_multiple(&tickets), r) {
        (Some(i), _) => Ok(i),
        (None, Err(e)) => Err(e),
        (None, Ok(())) => Ok(0),
    }
}
/// What `FUTEX_WAKE_OP` does with its second word, and then asks of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct WordOp {
    op: u32,
    arg: i32,
    cmp: u32,
    cmp_arg: i32,
}

impl WordOp {
    /// Takes `FUTEX_OP()` apart (`futex_atomic_op_inuser`); the argument of a shift may be
    /// out of range.
    fn decode(encoded: u32) -> (Self, bool) {
        let signed_12 = |v: u32| (v << 20).cast_signed() >> 20;
        let op = encoded >> 28;
        let mut arg = signed_12(encoded >> 12);
        let shift = op & nr::FUTEX_OP_OPARG_SHIFT != 0;
        let odd = shift && !(0..32).contains(&arg);
        if shift {
            arg = 1 << (arg & 31);
        }
        let (cmp, cmp_arg) = (encoded >> 24 & 15, signed_12(encoded));
        (Self { op: op & !nr::FUTEX_OP_OPARG_SHIFT, arg, cmp, cmp_arg }, odd)
    }

    fn apply(self, old: u32) -> Result<u32> {
        let arg = self.arg.cast_unsigned();
        match self.op {
            nr::FUTEX_OP_SET => Ok(arg),
            nr::FUTEX_OP_ADD => Ok(old.wrapping_add(arg)),
            nr::FUTEX_OP_OR => Ok(old | arg),
            nr::FUTEX_OP_ANDN => Ok(old & !arg),
            nr::FUTEX_OP_XOR => Ok(old ^ arg),
            _ => Err(ENOSYS),
        }
    }

    fn holds(self, old: u32) -> Result<bool> {
        let (old, arg) = (old.cast_signed(), self.cmp_arg);
        match self.cmp {
            nr::FUTEX_OP_CMP_EQ => Ok(old == arg),
            nr::FUTEX_OP_CMP_NE => Ok(old != arg),
            nr::FUTEX_OP_CMP_LT => Ok(old < arg),
            nr::FUTEX_OP_CMP_LE => Ok(old <= arg),
            nr::FUTEX_OP_CMP_GT => Ok(old > arg),
            nr::FUTEX_OP_CMP_GE => Ok(old >= arg),
            _ => Err(ENOSYS),
        }
    }
}

/// Complaints about shifts that are out of range.
static SHIFTS: Ratelimit = Ratelimit::new(5000, 10);

/// Changes a word of user memory at once; returns what it was.
fn change_word(addr: usize, op: WordOp) -> Result<u32> {
    let mut old: u32 = get_user(addr)?;
    loop {
        let found = cmpxchg_user(addr, old, op.apply(old)?)?;
        if found == old {
            return Ok(old);
        }
        old = found;
    }
}

/// Changes the second word, wakes waiters for the first, and if the second one was as `encoded`
/// says, waiters for that, too.
pub(super) fn futex_wake_op(
    [addr, addr2]: [usize; 2],
    shared: bool,
    [max, max2]: [i32; 2],
    encoded: u32,
) -> Result<usize> {
    let first = Place::new(addr, shared, false)?;
    let second = Place::new(addr2, shared, true)?;
    let (op, odd) = WordOp::decode(encoded);
    if odd {
        let name = current().comm();
        let name = crate::kernel::panic::Comm(&name);
        let by = (encoded << 8).cast_signed() >> 20;
        if ratelimit(&SHIFTS, "futex_atomic_op_inuser") {
            crate::pr_info!("futex_wake_op: {name} tries to shift op by {by}; fix this program\n");
        }
    }
    op.apply(0)?;
    let mut futexes = FUTEXES.lock();
    let both = op.holds(change_word(addr2, op)?)?;
    let mut n = futexes.wake(first.key, max, u32::MAX)?;
    if both {
        n += futexes.wake(second.key, max2, u32::MAX)?;
    }
    Ok(n)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(op: u32, arg: i32, cmp: u32, cmp_arg: i32) -> u32 {
        op << 28 | cmp << 24 | (arg.cast_unsigned() & 0xfff) << 12 | cmp_arg.cast_unsigned() & 0xfff
    }

    #[test]
    fn operations_are_decoded_with_their_signs() {
        let (o, odd) = WordOp::decode(encode(nr::FUTEX_OP_ADD, -3, nr::FUTEX_OP_CMP_LT, -2048));
        assert_eq!((o, odd), (WordOp { op: 1, arg: -3, cmp: 2, cmp_arg: -2048 }, false));
        assert_eq!((o.apply(2), o.holds(0), o.holds(0x8000_0000)), (Ok(u32::MAX), Ok(false), Ok(true)));
        let (o, odd) = WordOp::decode(encode(nr::FUTEX_OP_OR | nr::FUTEX_OP_OPARG_SHIFT, 31, 0, 7));
        assert_eq!((o.apply(1), o.holds(7), odd), (Ok(0x8000_0001), Ok(true), false));
        let (o, odd) = WordOp::decode(encode(nr::FUTEX_OP_XOR | nr::FUTEX_OP_OPARG_SHIFT, 33, 6, 0));
        assert_eq!((o.apply(3), o.holds(0), odd), (Ok(1), Err(ENOSYS), true));
        assert_eq!(WordOp::decode(encode(5, 0, 0, 0)).0.apply(0), Err(ENOSYS));
    }
}
