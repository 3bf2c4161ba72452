// SPDX-License-Identifier: GPL-2.0-only
//! What programs ask and tell the scheduler (Linux 6.1, `kernel/sched/core.c`; `kernel/sys.c`
//! for `getpriority`).
//!
//! Everybody runs in turn on the one CPU: policies and nice values are kept and shown, and
//! change nothing. Real-time policies, which would be a promise, are refused.

use crate::arch::x86::kernel::apic::TICK_NSEC;
use crate::arch::x86::lib::usercopy::{copy_from_user, get_user, put_user};
use crate::errno::{EACCES, EINVAL, EPERM, ESRCH, Result};
use crate::kernel::capability::capable;
use crate::kernel::fork::{TASKLIST, find_task};
use crate::kernel::signal::rlimit;
use crate::kernel::task::{Task, current};
use crate::kernel::time::Timespec;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering::Relaxed;
use linux_raw_sys::general::{
    CAP_SYS_NICE, PRIO_MAX, PRIO_MIN, PRIO_PGRP, PRIO_PROCESS, PRIO_USER, SCHED_BATCH, SCHED_DEADLINE,
    SCHED_FIFO, SCHED_IDLE, SCHED_NORMAL, SCHED_RESET_ON_FORK, SCHED_RR,
};

/// The thread with this id; 0 is the current one.
fn find_process_by_pid(pid: i32) -> Result<Arc<Task>> {
    if pid < 0 {
        return Err(EINVAL);
    }
    if pid == 0 { Ok(current().to_arc()) } else { find_task(pid).ok_or(ESRCH) }
}

/// Whether the current task may change how `t` is scheduled (`check_same_owner`).
fn may_change(t: &Task) -> bool {
    let (me, owner) = (current().cred.get().euid, t.cred.get());
    me == owner.euid || me == owner.uid || capable(CAP_SYS_NICE)
}

/// `sched_yield(2)`.
pub fn sys_sched_yield() -> Result<usize> {
    crate::kernel::sched::yield_now();
    Ok(0)
}

/// `sched_getaffinity(2)`: the one CPU.
pub fn sys_sched_getaffinity(pid: i32, len: usize, mask: usize) -> Result<usize> {
    if len < 8 || !len.is_multiple_of(8) {
        return Err(EINVAL);
    }
    find_process_by_pid(pid).map_err(|_| ESRCH)?;
    put_user(mask, &1u64)?;
    Ok(8)
}

/// `sched_setaffinity(2)`: any set with the one CPU.
pub fn sys_sched_setaffinity(pid: i32, len: u32, mask: usize) -> Result<usize> {
    let mut first = [0u8; 8];
    let n = first.len().min(len as usize);
    copy_from_user(&mut first[..n], mask)?;
    let t = find_process_by_pid(pid).map_err(|_| ESRCH)?;
    if !may_change(&t) {
        return Err(EPERM);
    }
    if first[0] & 1 != 0 { Ok(0) } else { Err(EINVAL) }
}

/// `getcpu(2)`.
pub fn sys_getcpu(cpu: usize, node: usize, _cache: usize) -> Result<usize> {
    for p in [cpu, node] {
        if p != 0 {
            put_user(p, &0u32)?;
        }
    }
    Ok(0)
}

/// The priorities that a policy has.
fn priorities(policy: u32) -> Result<(usize, usize)> {
    match policy {
        SCHED_FIFO | SCHED_RR => Ok((1, 99)),
        SCHED_NORMAL | SCHED_BATCH | SCHED_IDLE | SCHED_DEADLINE => Ok((0, 0)),
        _ => Err(EINVAL),
    }
}

/// `sched_get_priority_min(2)`.
pub fn sys_sched_get_priority_min(policy: u32) -> Result<usize> {
    Ok(priorities(policy)?.0)
}

/// `sched_get_priority_max(2)`.
pub fn sys_sched_get_priority_max(policy: u32) -> Result<usize> {
    Ok(priorities(policy)?.1)
}

/// `sched_getscheduler(2)`.
pub fn sys_sched_getscheduler(pid: i32) -> Result<usize> {
    Ok(find_process_by_pid(pid)?.se.policy.load(Relaxed) as usize)
}

/// `sched_getparam(2)`.
pub fn sys_sched_getparam(pid: i32, param: usize) -> Result<usize> {
    if param == 0 {
        return Err(EINVAL);
    }
    find_process_by_pid(pid)?;
    put_user(param, &0i32)?;
    Ok(0)
}

/// `sched_setparam(2)`.
pub fn sys_sched_setparam(pid: i32, param: usize) -> Result<usize> {
    set_scheduler(pid, None, param)
}

/// `sched_setscheduler(2)`.
pub fn sys_sched_setscheduler(pid: i32, policy: i32, param: usize) -> Result<usize> {
    let policy = u32::try_from(policy).map_err(|_| EINVAL)?;
    set_scheduler(pid, Some(policy), param)
}

fn set_scheduler(pid: i32, policy: Option<u32>, param: usize) -> Result<usize> {
    if param == 0 || pid < 0 {
        return Err(EINVAL);
    }
    let priority: i32 = get_user(param)?;
    let t = find_process_by_pid(pid)?;
    let policy = policy.unwrap_or_else(|| t.se.policy.load(Relaxed)) & !SCHED_RESET_ON_FORK;
    let (min, max) = priorities(policy)?;
    if !usize::try_from(priority).is_ok_and(|p| (min..=max).contains(&p)) || policy == SCHED_DEADLINE {
        return Err(EINVAL);
    }
    let real_time = matches!(policy, SCHED_FIFO | SCHED_RR);
    if !may_change(&t) || real_time && !capable(CAP_SYS_NICE) {
        return Err(EPERM);
    }
    if real_time {
        return Err(EINVAL);
    }
    t.se.policy.store(policy, Relaxed);
    Ok(0)
}

/// `sched_rr_get_interval(2)`: the time slice.
pub fn sys_sched_rr_get_interval(pid: i32, interval: usize) -> Result<usize> {
    find_process_by_pid(pid)?;
    put_user(interval, &Timespec::from_ns(TICK_NSEC))?;
    Ok(0)
}

/// The threads that `which` and `who` of `getpriority` name.
fn targets(which: u32, who: i32) -> Result<Vec<Arc<Task>>> {
    let cur = current();
    let who_or = |own: i32| if who == 0 { own } else { who };
    let uid = if who == 0 { cur.cred.get().uid } else { who as u32 };
    let wanted = |t: &Task| match which {
        PRIO_PROCESS => t.pid() == who_or(cur.pid()),
        PRIO_PGRP => t.signal.pgrp() == who_or(cur.signal.pgrp()),
        _ => t.cred.lock().uid == uid,
    };
    if which > PRIO_USER {
        return Err(EINVAL);
    }
    let mut found = Vec::new();
    for t in TASKLIST.lock().iter().filter(|t| wanted(t)) {
        crate::mm::util::try_push(&mut found, t.clone())?;
    }
    if found.is_empty() { Err(ESRCH) } else { Ok(found) }
}

/// `getpriority(2)`: 20 for nice value 0, up to 40 for -20.
pub fn sys_getpriority(which: u32, who: i32) -> Result<usize> {
    let nices = targets(which, who)?.into_iter().map(|t| 20 - t.se.nice.load(Relaxed));
    Ok(nices.max().unwrap_or(20) as usize)
}

/// Whether the current task may make itself or its like as unkind as this (`can_nice`).
fn can_nice(t: &Task, nice: i32) -> bool {
    let ceiling = (20 - nice) as u64;
    ceiling <= t.signal.rlimit_cur(rlimit::NICE) || capable(CAP_SYS_NICE)
}

/// `setpriority(2)`: kept, and shown.
pub fn sys_setpriority(which: u32, who: i32, nice: i32) -> Result<usize> {
    let nice = nice.clamp(PRIO_MIN, PRIO_MAX as i32 - 1);
    let mut result = Ok(0);
    for t in targets(which, who)? {
        let owner = t.cred.get();
        let me = current().cred.get().euid;
        if me != owner.euid && me != owner.uid && !capable(CAP_SYS_NICE) {
            result = Err(EPERM);
        } else if nice < t.se.nice.load(Relaxed) && !can_nice(&t, nice) {
            result = Err(EACCES);
        } else {
            t.se.nice.store(nice, Relaxed);
        }
    }
    result
}
