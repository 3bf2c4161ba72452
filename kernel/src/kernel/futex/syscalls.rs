// SPDX-License-Identifier: GPL-2.0-only
//! `futex(2)` (Linux 6.1, `kernel/futex/syscalls.c`).

use super::waitwake::{futex_requeue, futex_wait, futex_wake, futex_wake_op};
use crate::errno::{EINVAL, ENOSYS, Result};
use crate::kernel::time::TimeAbi;
use crate::kernel::time::timekeeping::{ktime_get, ktime_get_real};
use linux_raw_sys::general as nr;

/// Reads a timeout: a relative one for `FUTEX_WAIT`, else an absolute one.
fn deadline((utime, abi): (usize, TimeAbi), op: u32, realtime: bool) -> Result<u64> {
    if utime == 0 {
        return Ok(u64::MAX);
    }
    let [s, ns] = abi.get(utime)?;
    if s < 0 || !(0..1_000_000_000).contains(&ns) {
        return Err(EINVAL);
    }
    let t = (s as u64).saturating_mul(1_000_000_000).saturating_add(ns as u64);
    let now = ktime_get();
    Ok(match (op, realtime) {
        (nr::FUTEX_WAIT, _) => now.saturating_add(t),
        (_, true) => now.saturating_add(t.saturating_sub(ktime_get_real())),
        (_, false) => t,
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
    let until = if has_timeout(cmd) { deadline(time, cmd, realtime)? } else { u64::MAX };
    if realtime && !matches!(cmd, nr::FUTEX_WAIT_BITSET | nr::FUTEX_WAIT_REQUEUE_PI | nr::FUTEX_LOCK_PI2) {
        return Err(ENOSYS);
    }
    let (both, counts) = ([addr, addr2], [val as i32, time.0 as i32]);
    match cmd {
        nr::FUTEX_WAIT => futex_wait(addr, shared, val, until, u32::MAX),
        nr::FUTEX_WAIT_BITSET => futex_wait(addr, shared, val, until, val3),
        nr::FUTEX_WAKE => futex_wake(addr, shared, val as i32, u32::MAX),
        nr::FUTEX_WAKE_BITSET => futex_wake(addr, shared, val as i32, val3),
        nr::FUTEX_REQUEUE => futex_requeue(both, shared, counts, None),
        nr::FUTEX_CMP_REQUEUE => futex_requeue(both, shared, counts, Some(val3)),
        nr::FUTEX_WAKE_OP => futex_wake_op(both, shared, counts, val3),
        _ => Err(ENOSYS),
    }
}
