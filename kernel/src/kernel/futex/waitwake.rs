// SPDX-License-Identifier: GPL-2.0-only
//! Waiting for a word, and waking (Linux 6.1, `kernel/futex/waitwake.c`, `requeue.c`).

use super::core::{Place, Waiter, requeue, wake};
use crate::arch::x86::lib::usercopy::{cmpxchg_user, get_user};
use crate::errno::{EAGAIN, EINVAL, ENOSYS, ERESTARTSYS, ETIMEDOUT, Result};
use crate::kernel::printk::ratelimit;
use crate::kernel::signal::restart_block::set_restart_fn;
use crate::kernel::signal::signal_pending;
use crate::kernel::task::{TASK_INTERRUPTIBLE, TASK_RUNNING, current};
use crate::kernel::time::timekeeping::ktime_get;
use crate::kernel::wait::schedule_hrtimeout;
use crate::lib::ratelimit::Ratelimit;
use core::sync::atomic::Ordering;
use linux_raw_sys::general as nr;

/// Wakes up to `max` waiters for the word at `addr`.
pub(super) fn futex_wake(addr: usize, shared: bool, max: i32, bitset: u32) -> Result<usize> {
    if bitset == 0 {
        return Err(EINVAL);
    }
    let place = Place::new(addr, shared, false)?;
    Ok(wake(place.key, max, bitset))
}

/// Waits until woken, while the word still is `val`. `deadline`: nanoseconds since boot.
pub(super) fn futex_wait(addr: usize, shared: bool, val: u32, deadline: u64, bitset: u32) -> Result<usize> {
    if bitset == 0 {
        return Err(EINVAL);
    }
    let cur = current();
    let w = Waiter::queue(Place::new(addr, shared, false)?, bitset);
    let r = wait_while(&w, addr, val, deadline);
    cur.state.store(TASK_RUNNING, Ordering::SeqCst);
    w.unqueue();
    match r {
        Err(ERESTARTSYS) if deadline != u64::MAX => {
            let args = [addr as u64, u64::from(val), deadline, u64::from(bitset), shared.into()];
            Err(set_restart_fn(&cur, restart_wait, args))
        }
        r => r,
    }
}

fn wait_while(w: &Waiter, addr: usize, val: u32, deadline: u64) -> Result<usize> {
    let cur = current();
    if get_user::<u32>(addr)? != val {
        return Err(EAGAIN);
    }
    loop {
        cur.state.store(TASK_INTERRUPTIBLE, Ordering::SeqCst);
        if w.woken() {
            return Ok(0);
        }
        if ktime_get() >= deadline {
            return Err(ETIMEDOUT);
        }
        if signal_pending(&cur) {
            return Err(ERESTARTSYS);
        }
        schedule_hrtimeout(deadline);
    }
}

fn restart_wait(a: [u64; 5]) -> Result<usize> {
    futex_wait(a[0] as usize, a[4] != 0, a[1] as u32, a[2], a[3] as u32)
}

/// Wakes some, lets others wait for the word at `to`; if there is `expected`, only while the
/// first word is that.
pub(super) fn futex_requeue(
    [addr, to]: [usize; 2],
    shared: bool,
    [wake_max, move_max]: [i32; 2],
    expected: Option<u32>,
) -> Result<usize> {
    let counts = [wake_max, move_max].map(usize::try_from);
    let [Ok(wake_max), Ok(move_max)] = counts else { return Err(EINVAL) };
    let from = Place::new(addr, shared, false)?;
    let to = Place::new(to, shared, false)?;
    if let Some(expected) = expected
        && get_user::<u32>(addr)? != expected
    {
        return Err(EAGAIN);
    }
    Ok(requeue(from.key, &to, wake_max, move_max))
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
    let both = op.holds(change_word(addr2, op)?)?;
    let mut n = wake(first.key, max, u32::MAX);
    if both {
        n += wake(second.key, max2, u32::MAX);
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
