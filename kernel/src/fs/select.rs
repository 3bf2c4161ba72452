// SPDX-License-Identifier: GPL-2.0-only
//! Waiting for files (Linux 6.1, `fs/select.c`): `poll`, `ppoll`, `select`, `pselect6`.

use crate::arch::x86::lib::usercopy::{copy_from_user, copy_to_user, get_user, put_user};
use crate::errno::{EBADF, EINVAL, ERESTARTNOHAND, Result};
use crate::fs::file::{current_files, fget};
use crate::fs::file_table::{File, POLLERR, POLLHUP, POLLIN, POLLOUT};
use crate::kernel::sched::set_current_state;
use crate::kernel::signal::mask::{restore_saved_sigmask_unless, set_user_sigmask};
use crate::kernel::signal::restart_block::set_restart_fn;
use crate::kernel::signal::{rlimit, signal_pending};
use crate::kernel::task::{TASK_INTERRUPTIBLE, TASK_RUNNING, current};
use crate::kernel::time::timekeeping::ktime_get;
use crate::kernel::wait::schedule_hrtimeout;
use alloc::sync::Arc;
use alloc::vec::Vec;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Not an open file.
const POLLNVAL: u32 = 0x020;

/// `struct pollfd`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable)]
struct PollFd {
    fd: i32,
    events: u16,
    revents: u16,
}

/// Calls `scan` until it finds something, `deadline` passes or a signal comes; the
/// files' queues wake it. Returns what `scan` found; `None` on a signal.
fn wait_for(files: &[Arc<File>], deadline: u64, mut scan: impl FnMut() -> usize) -> Option<usize> {
    let queues = || files.iter().filter_map(|f| f.ops.poll_queue());
    queues().for_each(crate::kernel::wait::WaitQueue::add);
    let cur = current();
    let r = loop {
        set_current_state(TASK_INTERRUPTIBLE);
        let n = scan();
        if n != 0 || ktime_get() >= deadline {
            break Some(n);
        }
        if signal_pending(&cur) {
            break None;
        }
        schedule_hrtimeout(deadline);
    };
    set_current_state(TASK_RUNNING);
    queues().for_each(crate::kernel::wait::WaitQueue::remove);
    r
}

/// Polls once more than there are descriptors to look at; `None` on a signal.
fn do_poll(ufds: usize, n: u32, deadline: u64) -> Result<Option<usize>> {
    if u64::from(n) > current().signal.rlimit_cur(rlimit::NOFILE) {
        return Err(EINVAL);
    }
    let mut fds = alloc::vec![PollFd::default(); n as usize];
    copy_from_user(fds.as_mut_slice().as_mut_bytes(), ufds)?;
    let files: Vec<Option<Arc<File>>> = fds.iter().map(|p| fget(p.fd).ok()).collect();
    let open: Vec<Arc<File>> = files.iter().flatten().cloned().collect();
    let found = wait_for(&open, deadline, || {
        let mut ready = 0;
        for (p, f) in fds.iter_mut().zip(&files) {
            let m = match f {
                Some(f) => f.ops.poll(f) & (u32::from(p.events) | POLLERR | POLLHUP),
                None if p.fd >= 0 => POLLNVAL,
                None => 0,
            };
            p.revents = m as u16;
            ready += usize::from(m != 0);
        }
        ready
    });
    for (i, p) in fds.iter().enumerate() {
        put_user(ufds + i * 8 + 6, &p.revents)?;
    }
    Ok(found)
}

fn restart_poll(a: [u64; 5]) -> Result<usize> {
    poll_until(a[0] as usize, a[1] as u32, a[2])
}

fn poll_until(ufds: usize, n: u32, deadline: u64) -> Result<usize> {
    match do_poll(ufds, n, deadline)? {
        Some(r) => Ok(r),
        None => Err(set_restart_fn(&current(), restart_poll, [ufds as u64, u64::from(n), deadline, 0, 0])),
    }
}

/// `poll(2)`.
pub fn sys_poll(ufds: usize, n: u32, timeout_ms: i32) -> Result<usize> {
    let deadline = if timeout_ms < 0 { u64::MAX } else { ktime_get() + timeout_ms as u64 * 1_000_000 };
    poll_until(ufds, n, deadline)
}

/// A relative timeout in user memory; null is for ever.
fn timeout(at: usize, unit: u64) -> Result<u64> {
    if at == 0 {
        return Ok(u64::MAX);
    }
    let [s, frac]: [i64; 2] = get_user(at)?;
    if s < 0 || frac < 0 || unit == 1 && frac >= 1_000_000_000 {
        return Err(EINVAL);
    }
    let ns = (s as u64).saturating_mul(1_000_000_000).saturating_add(frac as u64 * unit);
    Ok(ktime_get().saturating_add(ns))
}

/// Writes back what is left of a timeout.
fn put_remaining(at: usize, deadline: u64, unit: u64) {
    if at != 0 {
        let left = deadline.saturating_sub(ktime_get());
        // As on Linux, a timeout that cannot be written does not change the result.
        let _ = put_user(at, &[left / 1_000_000_000, left % 1_000_000_000 / unit]);
    }
}

/// Ends a wait that may have changed the signal mask.
fn finish(r: Result<Option<usize>>) -> Result<usize> {
    restore_saved_sigmask_unless(matches!(r, Ok(None)));
    r?.ok_or(ERESTARTNOHAND)
}

/// `ppoll(2)`.
pub fn sys_ppoll(ufds: usize, n: u32, ts: usize, mask: usize, masksize: usize) -> Result<usize> {
    let deadline = timeout(ts, 1)?;
    set_user_sigmask(mask, masksize)?;
    let r = do_poll(ufds, n, deadline);
    put_remaining(ts, deadline, 1);
    finish(r)
}

/// Which of the three sets, and what puts a file in it.
const SETS: [u32; 3] = [POLLIN | POLLHUP | POLLERR, POLLOUT | POLLERR, 0x002];

fn do_select(n: i32, sets: [usize; 3], deadline: u64) -> Result<Option<usize>> {
    if n < 0 {
        return Err(EINVAL);
    }
    let n = (n as usize).min(current_files()?.slots().max(64)).min(4096);
    let words = n.div_ceil(64);
    let mut want = [const { Vec::new() }; 3];
    for (w, &at) in want.iter_mut().zip(&sets) {
        *w = alloc::vec![0u64; words];
        if at != 0 {
            copy_from_user(w.as_mut_slice().as_mut_bytes(), at)?;
        }
    }
    let bit = |w: &[u64], i: usize| w[i / 64] >> (i % 64) & 1 != 0;
    let mut files = Vec::new();
    for i in 0..n {
        if want.iter().any(|w| bit(w, i)) {
            files.push((i, fget(i as i32).map_err(|_| EBADF)?));
        }
    }
    let open: Vec<Arc<File>> = files.iter().map(|f| f.1.clone()).collect();
    let mut out = [(); 3].map(|()| alloc::vec![0u64; words]);
    let found = wait_for(&open, deadline, || {
        let mut ready = 0;
        for o in &mut out {
            o.fill(0);
        }
        for (i, f) in &files {
            let m = f.ops.poll(f);
            for s in 0..3 {
                if bit(&want[s], *i) && m & SETS[s] != 0 {
                    out[s][i / 64] |= 1 << (i % 64);
                    ready += 1;
                }
            }
        }
        ready
    });
    if found.is_some() {
        for (o, &at) in out.iter().zip(&sets) {
            if at != 0 {
                copy_to_user(at, o.as_slice().as_bytes())?;
            }
        }
    }
    Ok(found)
}

/// `select(2)`.
pub fn sys_select(n: i32, r: usize, w: usize, e: usize, tv: usize) -> Result<usize> {
    let deadline = timeout(tv, 1000)?;
    let found = do_select(n, [r, w, e], deadline);
    put_remaining(tv, deadline, 1000);
    found?.ok_or(ERESTARTNOHAND)
}

/// `pselect6(2)`.
pub fn sys_pselect6(n: i32, r: usize, w: usize, e: usize, ts: usize, sig: usize) -> Result<usize> {
    let deadline = timeout(ts, 1)?;
    let [mask, size]: [u64; 2] = if sig == 0 { [0, 8] } else { get_user(sig)? };
    set_user_sigmask(mask as usize, size as usize)?;
    let found = do_select(n, [r, w, e], deadline);
    put_remaining(ts, deadline, 1);
    finish(found)
}
