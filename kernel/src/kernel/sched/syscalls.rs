// SPDX-License-Identifier: GPL-2.0-only
//! What programs ask and tell the scheduler (Linux 6.1, `kernel/sched/core.c`; `kernel/sys.c`
//! for `getpriority`).

use super::rt::{MAX_RT_PRIO, RR_TIMESLICE};
use super::{Params, set_params};
use crate::arch::x86::kernel::apic::TICK_NSEC;
use crate::arch::x86::lib::usercopy::{access_ok, copy_from_user, copy_to_user, get_user, put_user};
use crate::errno::{E2BIG, EACCES, EBUSY, EFAULT, EINVAL, EOPNOTSUPP, EPERM, ESRCH, Result};
use crate::kernel::capability::capable;
use crate::kernel::fork::{TASKLIST, find_task};
use crate::kernel::futex::adjust_pi;
use crate::kernel::signal::rlimit;
use crate::kernel::task::{Task, current};
use crate::kernel::time::{TimeAbi, Timespec};
use crate::mm::page_alloc::PAGE_SIZE;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering::Relaxed;
use linux_raw_sys::general::{
    CAP_SYS_NICE, PRIO_MAX, PRIO_MIN, PRIO_PGRP, PRIO_PROCESS, PRIO_USER, SCHED_BATCH, SCHED_DEADLINE,
    SCHED_FIFO, SCHED_FLAG_ALL, SCHED_FLAG_KEEP_PARAMS, SCHED_FLAG_KEEP_POLICY, SCHED_FLAG_RESET_ON_FORK,
    SCHED_FLAG_UTIL_CLAMP_MAX, SCHED_FLAG_UTIL_CLAMP_MIN, SCHED_IDLE, SCHED_NORMAL, SCHED_RESET_ON_FORK,
    SCHED_RR,
};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// The thread with this id; 0 is the current one.
fn find_process_by_pid(pid: i32) -> Result<Arc<Task>> {
    if pid < 0 {
        return Err(EINVAL);
    }
    if pid == 0 { Ok(current().to_arc()) } else { find_task(pid).ok_or(ESRCH) }
}

/// Whether `t` is the current task's user's (`check_same_owner`).
fn check_same_owner(t: &Task) -> bool {
    let (me, owner) = (current().cred.get().euid, t.cred.get());
    me == owner.euid || me == owner.uid
}

/// `sched_yield(2)`.
pub fn sys_sched_yield() -> Result<usize> {
    crate::kernel::sched::yield_now();
    Ok(0)
}

/// `sched_getaffinity(2)`: the one CPU.
pub fn sys_sched_getaffinity(pid: i32, len: u32, mask: usize) -> Result<usize> {
    sched_getaffinity(pid, len, mask, 8)
}

/// i386's, whose sets are made of words of 32 bits.
pub fn compat_sys_sched_getaffinity(pid: i32, len: u32, mask: usize) -> Result<usize> {
    sched_getaffinity(pid, len, mask, 4)
}

fn sched_getaffinity(pid: i32, len: u32, mask: usize, word: u32) -> Result<usize> {
    // Bits are counted in 32 bits.
    if len.wrapping_mul(8) == 0 || !len.is_multiple_of(word) {
        return Err(EINVAL);
    }
    find_process_by_pid(pid).map_err(|_| ESRCH)?;
    // As many bytes as Linux keeps for a set of so few CPUs.
    let n = len.min(8) as usize;
    copy_to_user(mask, &1u64.to_le_bytes()[..n])?;
    Ok(n)
}

/// `sched_setaffinity(2)`: any set with the one CPU.
pub fn sys_sched_setaffinity(pid: i32, len: u32, mask: usize) -> Result<usize> {
    let mut first = [0u8; 8];
    let n = first.len().min(len as usize);
    copy_from_user(&mut first[..n], mask)?;
    let t = find_process_by_pid(pid).map_err(|_| ESRCH)?;
    if !check_same_owner(&t) && !capable(CAP_SYS_NICE) {
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

/// Whether the current task may have `t` run so (`user_check_sched_setscheduler`): without
/// privilege nobody becomes more urgent than the limits allow.
fn user_check(t: &Task, new: Params, reset_on_fork: bool) -> Result {
    let old = t.se.params();
    let limit = |r| t.signal.rlimit_cur(r);
    let unkind = new.nice < old.nice && !is_nice_reduction(t, new.nice);
    let urgent = new.policy != old.policy && limit(rlimit::RTPRIO) == 0
        || new.rt_priority > old.rt_priority && u64::from(new.rt_priority) > limit(rlimit::RTPRIO);
    let leaves_idle = old.policy == SCHED_IDLE && new.policy != SCHED_IDLE;
    let privileged = match new.policy {
        SCHED_FIFO | SCHED_RR => urgent,
        SCHED_DEADLINE => true,
        _ => unkind,
    } || leaves_idle && !is_nice_reduction(t, old.nice)
        || !check_same_owner(t)
        || t.se.reset_on_fork.load(Relaxed) && !reset_on_fork;
    if privileged && !capable(CAP_SYS_NICE) { Err(EPERM) } else { Ok(()) }
}

/// What a call asks for; `None`: what there is.
struct Request {
    policy: Option<u32>,
    nice: i32,
    rt_priority: u32,
    /// `SCHED_FLAG_*`.
    flags: u64,
    /// Runtime, deadline and period.
    deadline: [u64; 3],
}

/// Whether `SCHED_DEADLINE`'s times make sense (`__checkparam_dl`).
fn checkparam_dl([runtime, deadline, period]: [u64; 3]) -> bool {
    let period = if period == 0 { deadline } else { period };
    deadline != 0
        && runtime >= 1024
        && (deadline | period) >> 63 == 0
        && (runtime..=period).contains(&deadline)
}

/// Changes how a thread is scheduled (`__sched_setscheduler`).
fn set_scheduler(t: &Arc<Task>, r: &Request) -> Result<usize> {
    let old = t.se.params();
    let reset = match r.policy {
        None => t.se.reset_on_fork.load(Relaxed),
        Some(_) => r.flags & u64::from(SCHED_FLAG_RESET_ON_FORK) != 0,
    };
    let new = Params { policy: r.policy.unwrap_or(old.policy), nice: r.nice, rt_priority: r.rt_priority };
    priorities(new.policy)?;
    let deadline = new.policy == SCHED_DEADLINE;
    if r.flags & !u64::from(SCHED_FLAG_ALL) != 0
        || new.rt_priority >= MAX_RT_PRIO
        || deadline && !checkparam_dl(r.deadline)
        || new.real_time() != (new.rt_priority != 0)
    {
        return Err(EINVAL);
    }
    user_check(t, new, reset)?;
    if r.flags & u64::from(SCHED_FLAG_UTIL_CLAMP_MIN | SCHED_FLAG_UTIL_CLAMP_MAX) != 0 {
        return Err(EOPNOTSUPP);
    }
    if deadline {
        // No time is promised to anybody.
        return Err(EBUSY);
    }
    t.se.reset_on_fork.store(reset, Relaxed);
    // A real-time task keeps the nice value that it will have again.
    let new = if new.real_time() { Params { nice: old.nice, ..new } } else { new };
    // Who keeps the parameters keeps the policy, too.
    if new != old && r.flags & u64::from(SCHED_FLAG_KEEP_PARAMS) == 0 {
        set_params(t, new);
        adjust_pi(t);
    }
    Ok(0)
}

/// `sched_getscheduler(2)`.
pub fn sys_sched_getscheduler(pid: i32) -> Result<usize> {
    let t = find_process_by_pid(pid)?;
    let reset = if t.se.reset_on_fork.load(Relaxed) { SCHED_RESET_ON_FORK } else { 0 };
    Ok((t.se.params().policy | reset) as usize)
}

/// `sched_getparam(2)`.
pub fn sys_sched_getparam(pid: i32, param: usize) -> Result<usize> {
    if param == 0 {
        return Err(EINVAL);
    }
    let t = find_process_by_pid(pid)?;
    put_user(param, &t.se.params().rt_priority)?;
    Ok(0)
}

/// `sched_setparam(2)`.
pub fn sys_sched_setparam(pid: i32, param: usize) -> Result<usize> {
    setscheduler(pid, None, param)
}

/// `sched_setscheduler(2)`.
pub fn sys_sched_setscheduler(pid: i32, policy: i32, param: usize) -> Result<usize> {
    let policy = u32::try_from(policy).map_err(|_| EINVAL)?;
    setscheduler(pid, Some(policy), param)
}

fn setscheduler(pid: i32, policy: Option<u32>, param: usize) -> Result<usize> {
    if param == 0 || pid < 0 {
        return Err(EINVAL);
    }
    let priority: i32 = get_user(param)?;
    let t = find_process_by_pid(pid)?;
    let reset = policy.is_some_and(|p| p & SCHED_RESET_ON_FORK != 0);
    let request = Request {
        policy: policy.map(|p| p & !SCHED_RESET_ON_FORK),
        nice: t.se.params().nice,
        rt_priority: priority.cast_unsigned(),
        flags: if reset { SCHED_FLAG_RESET_ON_FORK.into() } else { 0 },
        deadline: [0; 3],
    };
    set_scheduler(&t, &request)
}

/// `struct sched_attr`.
#[repr(C)]
#[derive(Clone, Copy, Default, FromBytes, IntoBytes, Immutable)]
struct SchedAttr {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    /// Of `SCHED_DEADLINE`: runtime, deadline and period.
    deadline: [u64; 3],
    util: [u32; 2],
}

/// Its size when it was new, and now (`SCHED_ATTR_SIZE_VER0`, `VER1`).
const SCHED_ATTR_SIZE_VER0: usize = 48;
const SCHED_ATTR_SIZE: usize = 56;
const _: () = assert!(size_of::<SchedAttr>() == SCHED_ATTR_SIZE);

/// Reads the structure, of whatever size (`sched_copy_attr`).
fn copy_attr(at: usize) -> Result<SchedAttr> {
    let size = match get_user::<u32>(at)? as usize {
        0 => SCHED_ATTR_SIZE_VER0,
        n => n,
    };
    let too_big = || {
        let _ = put_user(at, &(SCHED_ATTR_SIZE as u32));
        Err(E2BIG)
    };
    if !(SCHED_ATTR_SIZE_VER0..=PAGE_SIZE).contains(&size) {
        return too_big();
    }
    for i in SCHED_ATTR_SIZE..size {
        if get_user::<u8>(at + i)? != 0 {
            return too_big();
        }
    }
    let mut attr = SchedAttr::default();
    copy_from_user(&mut attr.as_mut_bytes()[..size.min(SCHED_ATTR_SIZE)], at)?;
    let clamps = u64::from(SCHED_FLAG_UTIL_CLAMP_MIN | SCHED_FLAG_UTIL_CLAMP_MAX);
    if attr.flags & clamps != 0 && size < SCHED_ATTR_SIZE {
        return Err(EINVAL);
    }
    attr.nice = attr.nice.clamp(PRIO_MIN, PRIO_MAX as i32 - 1);
    Ok(attr)
}

/// `sched_setattr(2)`.
pub fn sys_sched_setattr(pid: i32, at: usize, flags: u32) -> Result<usize> {
    if at == 0 || pid < 0 || flags != 0 {
        return Err(EINVAL);
    }
    let mut attr = copy_attr(at)?;
    if attr.policy.cast_signed() < 0 {
        return Err(EINVAL);
    }
    let t = find_process_by_pid(pid)?;
    if attr.flags & u64::from(SCHED_FLAG_KEEP_PARAMS) != 0 {
        get_params(&t, &mut attr);
    }
    let keep = attr.flags & u64::from(SCHED_FLAG_KEEP_POLICY) != 0;
    let request = Request {
        policy: (!keep).then_some(attr.policy),
        nice: attr.nice,
        rt_priority: attr.priority,
        flags: attr.flags,
        deadline: attr.deadline,
    };
    set_scheduler(&t, &request)
}

fn get_params(t: &Task, attr: &mut SchedAttr) {
    let p = t.se.params();
    if p.real_time() {
        attr.priority = p.rt_priority;
    } else {
        attr.nice = p.nice;
    }
}

/// `sched_getattr(2)`.
pub fn sys_sched_getattr(pid: i32, at: usize, size: u32, flags: u32) -> Result<usize> {
    let size = size as usize;
    if at == 0 || pid < 0 || !(SCHED_ATTR_SIZE_VER0..=PAGE_SIZE).contains(&size) || flags != 0 {
        return Err(EINVAL);
    }
    let t = find_process_by_pid(pid)?;
    let n = size.min(SCHED_ATTR_SIZE);
    let mut attr = SchedAttr { size: n as u32, policy: t.se.params().policy, ..SchedAttr::default() };
    if t.se.reset_on_fork.load(Relaxed) {
        attr.flags = SCHED_FLAG_RESET_ON_FORK.into();
    }
    get_params(&t, &mut attr);
    if !access_ok(at, size) {
        return Err(EFAULT);
    }
    copy_to_user(at, &attr.as_bytes()[..n])?;
    Ok(0)
}

/// `sched_rr_get_interval(2)`: how long a turn is; under `SCHED_FIFO` there is no such thing.
pub fn sys_sched_rr_get_interval(pid: i32, interval: usize) -> Result<usize> {
    sched_rr_get_interval(pid, interval, TimeAbi::Time64)
}

/// The same with a time of either width.
pub fn sched_rr_get_interval(pid: i32, interval: usize, abi: TimeAbi) -> Result<usize> {
    let ticks = match find_process_by_pid(pid)?.se.params().policy {
        SCHED_RR => RR_TIMESLICE,
        SCHED_FIFO => 0,
        _ => 1,
    };
    Timespec::from_ns(TICK_NSEC * u64::from(ticks)).put(interval, abi).map(|()| 0)
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

/// Whether the limit lets the task be as unkind as this (`is_nice_reduction`).
fn is_nice_reduction(t: &Task, nice: i32) -> bool {
    let ceiling = (20 - nice) as u64;
    ceiling <= t.signal.rlimit_cur(rlimit::NICE)
}

/// i386's `nice`.
pub fn sys_nice(increment: i32) -> Result<usize> {
    const NICE_WIDTH: i32 = PRIO_MAX as i32 - PRIO_MIN;
    let t = current().to_arc();
    let old = t.se.params();
    let increment = increment.clamp(-NICE_WIDTH, NICE_WIDTH);
    let nice = (old.nice + increment).clamp(PRIO_MIN, PRIO_MAX as i32 - 1);
    if increment < 0 && !is_nice_reduction(&t, nice) && !capable(CAP_SYS_NICE) {
        return Err(EPERM);
    }
    set_params(&t, Params { nice, ..old });
    Ok(0)
}

/// `setpriority(2)` (`set_one_prio`).
pub fn sys_setpriority(which: u32, who: i32, nice: i32) -> Result<usize> {
    let nice = nice.clamp(PRIO_MIN, PRIO_MAX as i32 - 1);
    let mut result = Ok(0);
    for t in targets(which, who)? {
        let old = t.se.params();
        if !check_same_owner(&t) && !capable(CAP_SYS_NICE) {
            result = Err(EPERM);
        } else if nice < old.nice && !is_nice_reduction(&t, nice) && !capable(CAP_SYS_NICE) {
            result = Err(EACCES);
        } else {
            set_params(&t, Params { nice, ..old });
        }
    }
    result
}
