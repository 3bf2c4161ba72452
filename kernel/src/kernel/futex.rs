// SPDX-License-Identifier: GPL-2.0-only
//! Futexes (Linux 6.1, `kernel/futex/`): waiting for a word of user memory to change.
//!
//! A waiter is found by its address space and address; words in memory that
//! processes share are not matched across address spaces yet.

use crate::arch::x86::lib::usercopy::{get_user, put_user};
use crate::errno::{EAGAIN, EINVAL, ENOSYS, EPERM, ERESTARTSYS, ESRCH, ETIMEDOUT, Result};
use crate::kernel::fork::find_task;
use crate::kernel::ptrace::{PtraceMode, ptrace_may_access};
use crate::kernel::sched::{cond_resched, try_to_wake_up};
use crate::kernel::signal::restart_block::set_restart_fn;
use crate::kernel::signal::signal_pending;
use crate::kernel::task::{TASK_INTERRUPTIBLE, TASK_RUNNING, Task, current};
use crate::kernel::time::TimeAbi;
use crate::kernel::time::timekeeping::{ktime_get, ktime_get_real};
use crate::kernel::wait::schedule_hrtimeout;
use crate::locking::IrqLock;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};
use linux_raw_sys::general as nr;

/// Where a futex is: address space and address.
type Key = (usize, usize);

struct Waiter {
    key: IrqLock<Key>,
    bitset: u32,
    task: Arc<Task>,
    woken: AtomicBool,
}

static WAITERS: IrqLock<Vec<Arc<Waiter>>> = IrqLock::new(Vec::new());

fn key(addr: usize) -> Result<Key> {
    if !addr.is_multiple_of(4) {
        return Err(EINVAL);
    }
    Ok((current().get_mm().map_or(0, |mm| Arc::as_ptr(&mm) as usize), addr))
}

fn wake(key: Key, max: usize, bitset: u32) -> usize {
    let mut all = WAITERS.lock();
    let mut n = 0;
    all.retain(|w| {
        if n >= max || *w.key.lock() != key || w.bitset & bitset == 0 {
            return true;
        }
        n += 1;
        w.woken.store(true, Ordering::Release);
        try_to_wake_up(&w.task, TASK_INTERRUPTIBLE);
        false
    });
    n
}

/// Wakes up to `max` waiters on the word at `addr` of the current address space.
pub fn futex_wake(addr: usize, max: usize) -> usize {
    key(addr).map_or(0, |k| wake(k, max, u32::MAX))
}

/// Waits until woken, while the word still is `val`. `deadline`: nanoseconds since boot.
fn futex_wait(addr: usize, val: u32, deadline: u64, bitset: u32) -> Result<usize> {
    if bitset == 0 {
        return Err(EINVAL);
    }
    let k = key(addr)?;
    let cur = current();
    let w =
        Arc::new(Waiter { key: IrqLock::new(k), bitset, task: cur.to_arc(), woken: AtomicBool::new(false) });
    WAITERS.lock().push(w.clone());
    let r = (|| {
        if get_user::<u32>(addr)? != val {
            return Err(EAGAIN);
        }
        loop {
            cur.state.store(TASK_INTERRUPTIBLE, Ordering::SeqCst);
            if w.woken.load(Ordering::Acquire) {
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
    })();
    cur.state.store(TASK_RUNNING, Ordering::SeqCst);
    WAITERS.lock().retain(|x| !Arc::ptr_eq(x, &w));
    match r {
        Err(ERESTARTSYS) if deadline != u64::MAX => {
            let args = [addr as u64, u64::from(val), deadline, u64::from(bitset), 0];
            Err(set_restart_fn(&cur, restart_wait, args))
        }
        r => r,
    }
}

fn restart_wait(a: [u64; 5]) -> Result<usize> {
    futex_wait(a[0] as usize, a[1] as u32, a[2], a[3] as u32)
}

fn requeue(addr: usize, to: usize, wake_max: usize, requeue_max: usize) -> Result<usize> {
    let (from, to) = (key(addr)?, key(to)?);
    let woken = wake(from, wake_max, u32::MAX);
    let all = WAITERS.lock();
    let mut moved = 0;
    for w in all.iter() {
        let mut k = w.key.lock();
        if moved < requeue_max && *k == from {
            *k = to;
            moved += 1;
        }
    }
    Ok(woken + moved)
}

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
    let cmd = op & !(nr::FUTEX_PRIVATE_FLAG | nr::FUTEX_CLOCK_REALTIME);
    match cmd {
        nr::FUTEX_WAIT => futex_wait(addr, val, deadline(time, cmd, realtime)?, u32::MAX),
        nr::FUTEX_WAIT_BITSET => futex_wait(addr, val, deadline(time, cmd, realtime)?, val3),
        nr::FUTEX_WAKE => Ok(wake(key(addr)?, val as usize, u32::MAX)),
        nr::FUTEX_WAKE_BITSET if val3 == 0 => Err(EINVAL),
        nr::FUTEX_WAKE_BITSET => Ok(wake(key(addr)?, val as usize, val3)),
        nr::FUTEX_REQUEUE => requeue(addr, addr2, val as usize, time.0),
        nr::FUTEX_CMP_REQUEUE => {
            if get_user::<u32>(addr)? != val3 {
                return Err(EAGAIN);
            }
            requeue(addr, addr2, val as usize, time.0)
        }
        _ => Err(ENOSYS),
    }
}

/// Clears the word that a dying thread named, and wakes who waits for that.
pub fn clear_tid(addr: usize) {
    let _ = put_user(addr, &0i32);
    futex_wake(addr, 1);
}

/// Size of `struct robust_list_head`: the list's first entry, how far an entry's lock is from
/// it, and a lock that is being taken or given back.
const ROBUST_LIST_HEAD: usize = size_of::<nr::robust_list_head>();
/// Nobody can make the kernel follow a list for ever (`ROBUST_LIST_LIMIT`).
const ROBUST_LIST_LIMIT: usize = 2048;

/// `set_robust_list(2)`.
pub fn sys_set_robust_list(head: usize, len: usize) -> Result<usize> {
    if len != ROBUST_LIST_HEAD {
        return Err(EINVAL);
    }
    current().robust_list.store(head as u64, Ordering::Relaxed);
    Ok(0)
}

/// `get_robust_list(2)`.
pub fn sys_get_robust_list(pid: i32, head: usize, len: usize) -> Result<usize> {
    let t = if pid == 0 { current().to_arc() } else { find_task(pid).ok_or(ESRCH)? };
    if !ptrace_may_access(&t, PtraceMode::RealCreds) {
        return Err(EPERM);
    }
    put_user(len, &(ROBUST_LIST_HEAD as u64))?;
    put_user(head, &t.robust_list.load(Ordering::Relaxed))?;
    Ok(0)
}

/// A link of the list: the entry's address, and whether its lock is one with priority
/// inheritance, which are not there.
fn fetch_entry(at: usize) -> Result<(usize, bool)> {
    let link: usize = get_user::<u64>(at)? as usize;
    Ok((link & !1, link & 1 != 0))
}

/// A dying thread's lock is marked so, and somebody who waits for it is woken
/// (`handle_futex_death`). `taking`: the thread was about to take it or give it back.
fn handle_futex_death(addr: usize, tid: u32, inherits: bool, taking: bool) -> Result {
    if !addr.is_multiple_of(4) {
        return Err(EINVAL);
    }
    let word: u32 = get_user(addr)?;
    // It was given back, and the waiter not woken yet.
    if taking && !inherits && word == 0 {
        futex_wake(addr, 1);
        return Ok(());
    }
    if word & nr::FUTEX_TID_MASK != tid {
        return Ok(());
    }
    // Nobody runs between the two: the kernel is not preempted.
    put_user(addr, &(word & nr::FUTEX_WAITERS | nr::FUTEX_OWNER_DIED))?;
    if !inherits && word & nr::FUTEX_WAITERS != 0 {
        futex_wake(addr, 1);
    }
    Ok(())
}

/// Marks the locks that a thread holds as it dies or becomes another program
/// (`exit_robust_list`). A broken list ends where it is broken.
pub fn exit_robust_list(t: &Task) {
    let head = t.robust_list.swap(0, Ordering::Relaxed) as usize;
    if head != 0 {
        let _ = walk_robust_list(head, t.pid as u32);
    }
}

fn walk_robust_list(head: usize, tid: u32) -> Result {
    let (mut entry, mut inherits) = fetch_entry(head)?;
    let offset = get_user::<u64>(head + 8)? as usize;
    let (pending, pending_inherits) = fetch_entry(head + 16)?;
    for _ in 0..ROBUST_LIST_LIMIT {
        if entry == head {
            break;
        }
        // Read before the lock is given to somebody who may use its memory otherwise.
        let next = fetch_entry(entry);
        if entry != pending {
            handle_futex_death(entry.wrapping_add(offset), tid, inherits, false)?;
        }
        (entry, inherits) = next?;
        cond_resched();
    }
    if pending != 0 {
        handle_futex_death(pending.wrapping_add(offset), tid, pending_inherits, true)?;
    }
    Ok(())
}
