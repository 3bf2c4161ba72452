// SPDX-License-Identifier: GPL-2.0-only
//! `semget`, `semop`, `semctl` (Linux 6.1, `ipc/sem.c`).

use super::ops::{Attempt, SEM_UNDO, Sembuf};
use super::undo::find_alloc;
use super::{SEM_IDS, SEMVMX, SemArray, Sleeper, lim, limit, rmid};
use crate::arch::x86::lib::usercopy::{copy_from_user, copy_to_user, get_user, put_user};
use crate::errno::{E2BIG, EAGAIN, EFBIG, EIDRM, EINTR, EINVAL, ENOSPC, ERANGE, Errno, Result};
use crate::ipc::util::{By, Ipc, IpcIds, S_IRUGO, S_IWUGO, cmd, now, room, stat};
use crate::kernel::sched::set_current_state;
use crate::kernel::signal::signal_pending;
use crate::kernel::task::{TASK_INTERRUPTIBLE, TASK_RUNNING, current};
use crate::kernel::time::Timespec;
use crate::kernel::time::timekeeping::ktime_get;
use crate::kernel::wait::schedule_hrtimeout;
use crate::locking::SpinLock;
use crate::mm::util::{kvcalloc, try_push};
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::AtomicUsize;

const GETPID: i32 = 11;
const GETVAL: i32 = 12;
const GETALL: i32 = 13;
const GETNCNT: i32 = 14;
const GETZCNT: i32 = 15;
const SETVAL: i32 = 16;
const SETALL: i32 = 17;
const SEM_STAT: i32 = 18;
const SEM_INFO: i32 = 19;
const SEM_STAT_ANY: i32 = 20;

/// A new set (`newary`).
fn newary(ids: &mut IpcIds<SemArray>, key: i32, nsems: usize, flags: u32) -> Result<i32> {
    if nsems == 0 {
        return Err(EINVAL);
    }
    let used: usize = ids.iter().map(|s| s.len()).sum();
    if used + nsems > limit(lim::SEMMNS) {
        return Err(ENOSPC);
    }
    room()?;
    let sems = kvcalloc(nsems)?;
    let set = SemArray { otime: 0, ctime: now(), sems, pending: Vec::new(), undo: BTreeMap::new() };
    ids.add(key, flags, limit(lim::SEMMNI), set)
}

/// `semget(2)`.
pub fn sys_semget(key: i32, nsems: i32, flags: u32) -> Result<usize> {
    let nsems = usize::try_from(nsems).ok().filter(|&n| n <= limit(lim::SEMMSL)).ok_or(EINVAL)?;
    let large_enough = |s: &Ipc<SemArray>| if nsems > s.len() { Err(EINVAL) } else { Ok(()) };
    let id = SEM_IDS.lock().get(key, flags, large_enough, |ids| newary(ids, key, nsems, flags))?;
    Ok(id as usize)
}

/// Puts the operations into the queue, or does them at once.
fn begin(id: i32, ops: Vec<Sembuf>) -> core::result::Result<Option<Arc<Sleeper>>, Errno> {
    let mut ids = SEM_IDS.lock();
    let set = ids.find(id)?;
    let undo = if ops.iter().any(|op| op.flags & SEM_UNDO != 0) { Some(find_alloc(set)?) } else { None };
    if ops.iter().any(|op| usize::from(op.num) >= set.len()) {
        return Err(EFBIG);
    }
    let alters = ops.iter().any(|op| op.op != 0);
    set.perm.check(if alters { S_IWUGO } else { S_IRUGO })?;
    let pid = current().tgid;
    match set.attempt(&ops, undo, pid) {
        Attempt::Failed(e) => Err(e),
        Attempt::Done => {
            set.otime = now();
            if alters {
                set.update();
            }
            Ok(None)
        }
        Attempt::Blocked(which) => {
            let s = Arc::new(Sleeper {
                task: current().to_arc(),
                ops,
                undo,
                pid,
                blocking: AtomicUsize::new(which),
                done: SpinLock::new(None),
            });
            try_push(&mut set.pending, s.clone())?;
            Ok(Some(s))
        }
    }
}

/// Waits until somebody has done the operations, or that cannot be any more.
fn sleep(id: i32, s: &Arc<Sleeper>, deadline: u64) -> Result {
    let mut timed_out = false;
    loop {
        set_current_state(TASK_INTERRUPTIBLE);
        if s.done.lock().is_some() || timed_out || signal_pending(&current()) {
            break;
        }
        timed_out = schedule_hrtimeout(deadline);
    }
    set_current_state(TASK_RUNNING);
    let mut ids = SEM_IDS.lock();
    if let Some(how) = *s.done.lock() {
        return how;
    }
    let set = ids.find(id).map_err(|_| EIDRM)?;
    set.pending.retain(|p| !Arc::ptr_eq(p, s));
    Err(if timed_out { EAGAIN } else { EINTR })
}

/// `semtimedop(2)`, `semop(2)` (`do_semtimedop`).
fn do_semtimedop(id: i32, uops: usize, nops: u32, timeout: Option<Timespec>) -> Result<usize> {
    const SIZE: usize = 6;
    let nops = nops as usize;
    if nops > limit(lim::SEMOPM) {
        return Err(E2BIG);
    }
    if nops < 1 {
        return Err(EINVAL);
    }
    let mut bytes = kvcalloc(nops * SIZE)?;
    copy_from_user(&mut bytes, uops)?;
    if id < 0 {
        return Err(EINVAL);
    }
    let deadline = match timeout {
        Some(t) => ktime_get().saturating_add(t.to_ns().ok_or(EINVAL)?),
        None => u64::MAX,
    };
    let mut ops = Vec::new();
    ops.try_reserve_exact(nops).map_err(|_| crate::errno::ENOMEM)?;
    ops.extend(bytes.chunks_exact(SIZE).map(Sembuf::from_bytes));
    match begin(id, ops)? {
        None => Ok(0),
        Some(s) => sleep(id, &s, deadline).map(|()| 0),
    }
}

/// `semop(2)`.
pub fn sys_semop(id: i32, ops: usize, nops: u32) -> Result<usize> {
    do_semtimedop(id, ops, nops, None)
}

/// `semtimedop(2)`.
pub fn sys_semtimedop(id: i32, ops: usize, nops: u32, timeout: usize) -> Result<usize> {
    let timeout = if timeout == 0 { None } else { Some(get_user(timeout)?) };
    do_semtimedop(id, ops, nops, timeout)
}

/// The limits, or what is used, as `struct seminfo` has them; and the highest index.
fn info(used: bool) -> ([i32; 10], usize) {
    let ids = SEM_IDS.lock();
    let n = |which| limit(which) as i32;
    let all = n(lim::SEMMNS);
    let (usz, aem) = if used {
        (ids.in_use() as i32, ids.iter().map(|s| s.len()).sum::<usize>() as i32)
    } else {
        (20, SEMVMX)
    };
    const SEMMNS: i32 = 32000 * 32000;
    let words = [SEMMNS, n(lim::SEMMNI), all, SEMMNS, n(lim::SEMMSL), n(lim::SEMOPM), 500, usz, SEMVMX, aem];
    (words, ids.max_idx())
}

/// What `struct semid64_ds` has behind the permissions.
fn words(s: &Ipc<SemArray>) -> [u64; 13] {
    let mut w = [0; 13];
    (w[6], w[8], w[10]) = (s.otime, s.ctime, s.len() as u64);
    w
}

/// `GETALL`.
fn get_all(id: i32, buf: usize) -> Result<usize> {
    let mut bytes: Vec<u8> = Vec::new();
    {
        let mut ids = SEM_IDS.lock();
        let s = ids.find(id)?;
        s.perm.check(S_IRUGO)?;
        bytes.try_reserve_exact(s.len() * 2).map_err(|_| crate::errno::ENOMEM)?;
        s.sems.iter().for_each(|sem| bytes.extend((sem.val as u16).to_le_bytes()));
    }
    copy_to_user(buf, &bytes)?;
    Ok(0)
}

/// `SETALL`.
fn set_all(id: i32, buf: usize) -> Result<usize> {
    let len = {
        let mut ids = SEM_IDS.lock();
        let s = ids.find(id)?;
        s.perm.check(S_IWUGO)?;
        s.len()
    };
    let mut bytes = kvcalloc(len * 2)?;
    copy_from_user(&mut bytes, buf)?;
    let value = |pair: &[u8]| i32::from(u16::from_le_bytes([pair[0], pair[1]]));
    if bytes.chunks_exact(2).any(|pair| value(pair) > SEMVMX) {
        return Err(ERANGE);
    }
    let mut ids = SEM_IDS.lock();
    let s = ids.find_again(id)?;
    let pid = current().tgid;
    for (sem, pair) in s.sems.iter_mut().zip(bytes.chunks_exact(2)) {
        (sem.val, sem.pid) = (value(pair), pid);
    }
    s.undo.values_mut().for_each(|undo| undo.adj.fill(0));
    s.ctime = now();
    s.update();
    Ok(0)
}

/// `SETVAL`: nobody takes anything back any more of this one.
fn set_val(id: i32, which: i32, val: i32) -> Result<usize> {
    if !(0..=SEMVMX).contains(&val) {
        return Err(ERANGE);
    }
    let mut ids = SEM_IDS.lock();
    let s = ids.find(id)?;
    let which = usize::try_from(which).ok().filter(|&n| n < s.len()).ok_or(EINVAL)?;
    s.perm.check(S_IWUGO)?;
    s.undo.values_mut().for_each(|undo| undo.adj[which] = 0);
    (s.sems[which].val, s.sems[which].pid) = (val, current().tgid);
    s.ctime = now();
    s.update();
    Ok(0)
}

/// What there is to ask about one semaphore.
fn get(id: i32, which: i32, command: i32) -> Result<usize> {
    let mut ids = SEM_IDS.lock();
    let s = ids.find(id)?;
    s.perm.check(S_IRUGO)?;
    let which = usize::try_from(which).ok().filter(|&n| n < s.len()).ok_or(EINVAL)?;
    Ok(match command {
        GETVAL => s.sems[which].val as usize,
        GETPID => s.sems[which].pid as usize,
        _ => s.count(which, command == GETZCNT),
    })
}

fn set(id: i32, buf: usize) -> Result<usize> {
    let words: [u64; 13] = get_user(buf)?;
    let mut ids = SEM_IDS.lock();
    let s = ids.find_owned(id)?;
    s.perm.update(&words)?;
    s.ctime = now();
    Ok(0)
}

/// `semctl(2)`.
pub fn sys_semctl(id: i32, which: i32, command: i32, arg: usize) -> Result<usize> {
    if id < 0 {
        return Err(EINVAL);
    }
    match command {
        cmd::IPC_INFO | SEM_INFO => {
            let (words, highest) = info(command == SEM_INFO);
            put_user(arg, &words)?;
            Ok(highest)
        }
        cmd::IPC_STAT => stat(&SEM_IDS, (id, By::Id), arg, words),
        SEM_STAT => stat(&SEM_IDS, (id, By::Index), arg, words),
        SEM_STAT_ANY => stat(&SEM_IDS, (id, By::AnyIndex), arg, words),
        GETALL => get_all(id, arg),
        SETALL => set_all(id, arg),
        GETVAL | GETPID | GETNCNT | GETZCNT => get(id, which, command),
        SETVAL => set_val(id, which, arg as i32),
        cmd::IPC_SET => set(id, arg),
        cmd::IPC_RMID => rmid(id).map(|()| 0),
        _ => Err(EINVAL),
    }
}
