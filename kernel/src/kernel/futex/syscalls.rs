// SPDX-License-Identifier: GPL-2.0-only
//! `futex(2)` (Linux 6.1, `kernel/futex/syscalls.c`).

use super::pi::{futex_lock_pi, futex_unlock_pi};
use super::requeue::{futex_requeue, futex_wait_requeue_pi};
use super::waitwake::{Deadline, Waitv, futex_wait, futex_wait_multiple, futex_wake, futex_wake_op};
use crate::arch::x86::lib::usercopy::get_user;
use crate::errno::{EINVAL, ENOMEM, ENOSYS, Result};
use crate::kernel::time::TimeAbi;
use crate::kernel::time::hrtimer::ClockBase;
use crate::kernel::time::timekeeping::ktime_get;
use alloc::vec::Vec;
use linux_raw_sys::general as nr;

/// Reads a timeout: a relative one for `FUTEX_WAIT`, else an absolute one.
fn deadline((utime, abi): (usize, TimeAbi), op: u32, realtime: bool) -> Result<Deadline> {
    if utime == 0 {
        return Ok(Deadline::NEVER);
    }
    let [s, ns] = abi.get(utime)?;
    if s < 0 || !(0..1_000_000_000).contains(&ns) {
        return Err(EINVAL);
    }
    let t = (s as u64).saturating_mul(1_000_000_000).saturating_add(ns as u64);
    Ok(match (op, realtime) {
        (nr::FUTEX_WAIT, _) => Deadline { base: ClockBase::Monotonic, at: ktime_get().saturating_add(t) },
        (nr::FUTEX_LOCK_PI, _) | (_, true) => Deadline { base: ClockBase::Real, at: t },
        (_, false) => Deadline { base: ClockBase::Monotonic, at: t },
    })
}

/// Whether the command's fourth argument is a time (`futex_cmd_has_timeout`).
fn has_timeout(cmd: u32) -> bool {
    matches!(
        cmd,
        nr::FUTEX_WAIT
            | nr::FUTEX_WAIT_BITSET
            | nr::FUTEX_LOCK_PI
            | nr::FUTEX_LOCK_PI2
            | nr::FUTEX_WAIT_REQUEUE_PI
    )
}

/// `futex(2)`.
pub fn sys_futex(addr: usize, op: u32, val: u32, utime: usize, addr2: usize, val3: u32) -> Result<usize> {
    futex(addr, op, val, (utime, TimeAbi::Time64), addr2, val3)
}

/// [`sys_futex`] with a time of either width.
pub fn futex(
    addr: usize,
    op: u32,
    val: u32,
    time: (usize, TimeAbi),
    addr2: usize,
    val3: u32,
) -> Result<usize> {
    let realtime = op & nr::FUTEX_CLOCK_REALTIME != 0;
    let shared = op & nr::FUTEX_PRIVATE_FLAG == 0;
    let cmd = op & !(nr::FUTEX_PRIVATE_FLAG | nr::FUTEX_CLOCK_REALTIME);
    let until = if has_timeout(cmd) { deadline(time, cmd, realtime)? } else { Deadline::NEVER };
    if realtime && !matches!(cmd, nr::FUTEX_WAIT_BITSET | nr::FUTEX_WAIT_REQUEUE_PI | nr::FUTEX_LOCK_PI2) {
        return Err(ENOSYS);
    }
    let (both, counts) = ([addr, addr2], [val as i32, time.0 as i32]);
    match cmd {
        nr::FUTEX_WAIT => futex_wait(addr, shared, val, until, u32::MAX),
        nr::FUTEX_WAIT_BITSET => futex_wait(addr, shared, val, until, val3),
        nr::FUTEX_WAKE => futex_wake(addr, shared, val as i32, u32::MAX),
        nr::FUTEX_WAKE_BITSET => futex_wake(addr, shared, val as i32, val3),
        nr::FUTEX_REQUEUE => futex_requeue(both, shared, counts, None, false),
        nr::FUTEX_CMP_REQUEUE => futex_requeue(both, shared, counts, Some(val3), false),
        nr::FUTEX_WAKE_OP => futex_wake_op(both, shared, counts, val3),
        nr::FUTEX_LOCK_PI | nr::FUTEX_LOCK_PI2 => futex_lock_pi(addr, shared, until, false),
        nr::FUTEX_TRYLOCK_PI => futex_lock_pi(addr, shared, Deadline::NEVER, true),
        nr::FUTEX_UNLOCK_PI => futex_unlock_pi(addr, shared),
        nr::FUTEX_WAIT_REQUEUE_PI => futex_wait_requeue_pi(addr, shared, val, until, addr2),
        nr::FUTEX_CMP_REQUEUE_PI => futex_requeue(both, shared, counts, Some(val3), true),
        _ => Err(ENOSYS),
    }
}

/// How a `futex_waitv` entry may be marked.
const FUTEXV_WAITER_MASK: u32 = nr::FUTEX_32 | nr::FUTEX_PRIVATE_FLAG;

/// Reads the array of `futex_waitv` (`futex_parse_waitv`).
fn parse_waitv(array: usize, n: usize) -> Result<Vec<Waitv>> {
    let mut words = Vec::new();
    words.try_reserve_exact(n).map_err(|_| ENOMEM)?;
    for i in 0..n {
        let [val, addr, flags]: [u64; 3] = get_user(array.wrapping_add(i * 24))?;
        let (flags, reserved) = (flags as u32, flags >> 32);
        if flags & !FUTEXV_WAITER_MASK != 0 || reserved != 0 || flags & nr::FUTEX_32 == 0 {
            return Err(EINVAL);
        }
        let shared = flags & nr::FUTEX_PRIVATE_FLAG == 0;
        words.push(Waitv { addr: addr as usize, val: val as u32, shared });
    }
    Ok(words)
}

/// `futex_waitv(2)`.
pub fn sys_futex_waitv(array: usize, n: u32, flags: u32, time: usize, clock: i32) -> Result<usize> {
    if flags != 0 || n == 0 || n > nr::FUTEX_WAITV_MAX || array == 0 {
        return Err(EINVAL);
    }
    let realtime = match clock.cast_unsigned() {
        nr::CLOCK_REALTIME => true,
        nr::CLOCK_MONOTONIC => false,
        _ if time != 0 => return Err(EINVAL),
        _ => false,
    };
    let until = deadline((time, TimeAbi::Time64), nr::FUTEX_WAIT_BITSET, realtime)?;
    futex_wait_multiple(&parse_waitv(array, n as usize)?, until)
}
