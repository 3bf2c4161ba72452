// SPDX-License-Identifier: GPL-2.0-only
//! What a dying thread leaves behind: locks that it told the kernel of, and its thread id
//! (Linux 6.1, `kernel/futex/core.c`, `exit_robust_list`; `kernel/fork.c`, `mm_release`).

use super::pi::exit_pi_state_list;
use super::waitwake::futex_wake;
use crate::arch::x86::lib::usercopy::{cmpxchg_user, get_user, put_user};
use crate::errno::{EINVAL, EPERM, ESRCH, Result};
use crate::kernel::fork::find_task;
use crate::kernel::ptrace::{PtraceMode, ptrace_may_access};
use crate::kernel::sched::cond_resched;
use crate::kernel::task::{Task, current};
use alloc::sync::Arc;
use core::sync::atomic::Ordering;
use linux_raw_sys::general as nr;

/// Clears the word that a dying thread named, and wakes who waits for that.
pub fn clear_tid(addr: usize) {
    let _ = put_user(addr, &0i32);
    let _ = futex_wake(addr, true, 1, u32::MAX);
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

/// The thread whose list is asked for, if one may know.
fn list_owner(pid: i32) -> Result<Arc<Task>> {
    let t = if pid == 0 { current().to_arc() } else { find_task(pid).ok_or(ESRCH)? };
    if ptrace_may_access(&t, PtraceMode::RealCreds) { Ok(t) } else { Err(EPERM) }
}

/// `get_robust_list(2)`.
pub fn sys_get_robust_list(pid: i32, head: usize, len: usize) -> Result<usize> {
    let t = list_owner(pid)?;
    put_user(len, &(ROBUST_LIST_HEAD as u64))?;
    put_user(head, &t.robust_list.load(Ordering::Relaxed))?;
    Ok(0)
}

/// Size of i386's `struct robust_list_head`.
const COMPAT_ROBUST_LIST_HEAD: usize = 12;

/// i386's `set_robust_list`.
pub fn compat_sys_set_robust_list(head: u32, len: usize) -> Result<usize> {
    if len != COMPAT_ROBUST_LIST_HEAD {
        return Err(EINVAL);
    }
    current().compat_robust_list.store(head, Ordering::Relaxed);
    Ok(0)
}

/// i386's `get_robust_list`.
pub fn compat_sys_get_robust_list(pid: i32, head: usize, len: usize) -> Result<usize> {
    let t = list_owner(pid)?;
    put_user(len, &(COMPAT_ROBUST_LIST_HEAD as u32))?;
    put_user(head, &t.compat_robust_list.load(Ordering::Relaxed))?;
    Ok(0)
}

/// How wide the words of a list are.
#[derive(Clone, Copy)]
enum Words {
    Native,
    Compat,
}

impl Words {
    const fn size(self) -> usize {
        match self {
            Self::Native => size_of::<u64>(),
            Self::Compat => size_of::<u32>(),
        }
    }
    fn get(self, at: usize) -> Result<usize> {
        match self {
            Self::Native => get_user(at),
            Self::Compat => get_user::<u32>(at).map(|w| w as usize),
        }
    }
    /// How far an entry's lock is from it.
    fn offset(self, at: usize) -> Result<usize> {
        match self {
            Self::Native => self.get(at),
            Self::Compat => get_user::<i32>(at).map(|w| w as usize),
        }
    }
    /// Where an entry's lock is.
    fn lock_at(self, entry: usize, offset: usize) -> usize {
        let at = entry.wrapping_add(offset);
        if matches!(self, Self::Compat) { at as u32 as usize } else { at }
    }
    /// A link of the list: the entry's address, and whether its lock is one with priority
    /// inheritance.
    fn fetch_entry(self, at: usize) -> Result<(usize, bool)> {
        let link = self.get(at)?;
        Ok((link & !1, link & 1 != 0))
    }
}

/// A dying thread's lock is marked so, and somebody who waits for it is woken
/// (`handle_futex_death`). `taking`: the thread was about to take it or give it back.
fn handle_futex_death(addr: usize, tid: u32, inherits: bool, taking: bool) -> Result {
    if !addr.is_multiple_of(4) {
        return Err(EINVAL);
    }
    let mut word: u32 = get_user(addr)?;
    // It was given back, and the waiter not woken yet.
    if taking && !inherits && word == 0 {
        let _ = futex_wake(addr, true, 1, u32::MAX);
        return Ok(());
    }
    if word & nr::FUTEX_TID_MASK != tid {
        return Ok(());
    }
    loop {
        let found = cmpxchg_user(addr, word, word & nr::FUTEX_WAITERS | nr::FUTEX_OWNER_DIED)?;
        if found == word {
            break;
        }
        // Somebody began to wait for it.
        word = found;
    }
    if !inherits && word & nr::FUTEX_WAITERS != 0 {
        let _ = futex_wake(addr, true, 1, u32::MAX);
    }
    Ok(())
}

/// Gives up the locks that a dying thread holds (`futex_exit_release`).
pub fn futex_exit_release(t: &Task) {
    release(t, false);
}

/// Gives up the locks that a thread holds which becomes another program
/// (`futex_exec_release`).
pub fn futex_exec_release(t: &Task) {
    release(t, true);
}

/// Marks the locks that the thread told of; those that others wait for go to them. A broken list
/// ends where it is broken (`exit_robust_list`).
fn release(t: &Task, lives: bool) {
    t.futex.begin_exit();
    let head = t.robust_list.swap(0, Ordering::Relaxed) as usize;
    if head != 0 {
        let _ = walk_robust_list(Words::Native, head, t.pid() as u32);
    }
    let compat = t.compat_robust_list.swap(0, Ordering::Relaxed) as usize;
    if compat != 0 {
        let _ = walk_robust_list(Words::Compat, compat, t.pid() as u32);
    }
    exit_pi_state_list(t);
    t.futex.end_exit(lives);
}

fn walk_robust_list(words: Words, head: usize, tid: u32) -> Result {
    let (mut entry, mut inherits) = words.fetch_entry(head)?;
    let offset = words.offset(head + words.size())?;
    let (pending, pending_inherits) = words.fetch_entry(head + 2 * words.size())?;
    for _ in 0..ROBUST_LIST_LIMIT {
        if entry == head {
            break;
        }
        // Read before the lock is given to somebody who may use its memory otherwise.
        let next = words.fetch_entry(entry);
        if entry != pending {
            handle_futex_death(words.lock_at(entry, offset), tid, inherits, false)?;
        }
        (entry, inherits) = next?;
        cond_resched();
    }
    if pending != 0 {
        handle_futex_death(words.lock_at(pending, offset), tid, pending_inherits, true)?;
    }
    Ok(())
}
