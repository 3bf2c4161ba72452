// SPDX-License-Identifier: GPL-2.0-only
//! Waiting for children and tracees (Linux 6.1, `kernel/exit.c`, `do_wait`).

use super::{
    ExitState, TASKLIST, bury, delay_group_leader, next_child, next_tracee, notify_and_maybe_reap,
    ptrace_reparented, tracer_of,
};
use crate::arch::x86::ia32::in_compat_syscall;
use crate::arch::x86::lib::usercopy::{access_ok, put_user};
use crate::errno::{EAGAIN, ECHILD, EFAULT, EINVAL, ERESTARTSYS, ESRCH, Result};
use crate::kernel::fork::find_task;
use crate::kernel::pid::with_pidfd;
use crate::kernel::ptrace::ptrace_unlink;
use crate::kernel::rusage::{Rusage, adopt, put_rusage};
use crate::kernel::sched::schedule;
use crate::kernel::signal::notify::child_status;
use crate::kernel::signal::siginfo::cld;
use crate::kernel::signal::signal_pending;
use crate::kernel::signal::state::{jobctl_bits, signal_flags};
use crate::kernel::task::{TASK_INTERRUPTIBLE, TASK_RUNNING, TASK_TRACED, Task, current};
use alloc::sync::Arc;
use core::sync::atomic::Ordering;
use linux_raw_sys::general as nr;

/// Which children a wait is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Which {
    All,
    Pid(i32),
    Pgrp(i32),
}

/// What a wait found.
struct Found {
    pid: i32,
    uid: u32,
    /// Wait status in `wait4`'s encoding.
    status: i32,
    /// `CLD_*` and its status, for `waitid`.
    code: (i32, i32),
    rusage: Rusage,
}

/// One after the other: `next` gives the first at or behind a place, and its place.
fn each(next: impl Fn(usize) -> Option<(usize, Arc<Task>)>) -> impl Iterator<Item = Arc<Task>> {
    let mut from = 0;
    core::iter::from_fn(move || {
        let (place, t) = next(from)?;
        from = place + 1;
        Some(t)
    })
}

struct WaitOpts {
    which: Which,
    options: u32,
}

impl WaitOpts {
    fn has(&self, o: u32) -> bool {
        self.options & o != 0
    }

    /// Whether `t` is one of those asked for (`eligible_child`). A tracer sees all of its tracees.
    fn eligible(&self, t: &Task, ptrace: bool) -> bool {
        let by_id = match self.which {
            Which::All => true,
            Which::Pid(p) => t.pid() == p,
            Which::Pgrp(g) => t.signal.pgrp() == g,
        };
        let clone_child = t.rel.exit_signal() != nr::SIGCHLD as i32;
        by_id && (ptrace || self.has(nr::__WALL) || clone_child == self.has(nr::__WCLONE))
    }

    /// Whether who hears of a task is asking, or belongs to the process that asks and may be asked for.
    fn is_ours(&self, parent: Option<Arc<Task>>) -> bool {
        let cur = current();
        parent.is_some_and(|p| cur.is(&p) || !self.has(nr::__WNOTHREAD) && p.tgid == cur.tgid)
    }

    /// Looks at one task, a child or a tracee, however many others there are (`do_wait_pid`).
    fn look_at_pid(&self, pid: i32, any: &mut bool) -> Option<Found> {
        let t = find_task(pid)?;
        if t.is_leader()
            && self.is_ours(t.rel.maker(&mut TASKLIST.lock()))
            && let Some(found) = self.look_at(&t, false, any)
        {
            return Some(found);
        }
        let traced = t.ptrace.traced() && self.is_ours(tracer_of(&t));
        if traced { self.look_at(&t, true, any) } else { None }
    }

    /// Looks at all children and tracees once, the current thread's first: what is found, or
    /// whether there is anybody to wait for (`__do_wait`).
    fn scan(&self) -> Result<Option<Found>> {
        let cur = current();
        let mut any = false;
        let found = match self.which {
            Which::Pid(pid) => self.look_at_pid(pid, &mut any),
            _ if self.has(nr::__WNOTHREAD) || cur.signal.thread_group_empty() => {
                self.scan_thread(&cur, &mut any)
            }
            _ => self.scan_threads(&mut any),
        };
        if found.is_some() || any { Ok(found) } else { Err(ECHILD) }
    }

    fn scan_threads(&self, any: &mut bool) -> Option<Found> {
        let threads = &current().signal.threads;
        let (n, own) =
            threads.with_irqs_off(|v| (v.len(), v.iter().position(|t| current().is(t)).unwrap_or(0)));
        (0..n).find_map(|i| {
            let t = threads.with_irqs_off(|v| v.get((own + i) % n).cloned())?;
            self.scan_thread(&t, any)
        })
    }

    /// Looks at the children of one thread, and at its tracees (`do_wait_thread`, `ptrace_do_wait`).
    fn scan_thread(&self, t: &Task, any: &mut bool) -> Option<Found> {
        each(|from| next_child(t, from))
            .find_map(|c| self.look_at(&c, false, any))
            .or_else(|| each(|from| next_tracee(t, from)).find_map(|c| self.look_at(&c, true, any)))
    }

    /// What there is to say of `t`, if it is asked for; `any` says whether there will be something.
    fn look_at(&self, t: &Arc<Task>, ptrace: bool, any: &mut bool) -> Option<Found> {
        if !self.eligible(t, ptrace) || t.rel.exit_state() == ExitState::Dead {
            return None;
        }
        let (found, keep_waiting) = self.consider(t, ptrace);
        *any |= keep_waiting;
        found
    }

    /// What there is to say of `t`, and else whether there will be something
    /// (`wait_consider_task`). `ptrace`: it is asked for as a tracee.
    fn consider(&self, t: &Arc<Task>, mut ptrace: bool) -> (Option<Found>, bool) {
        if !ptrace && t.ptrace.traced() && !ptrace_reparented(t) {
            // Our own tracee: what it says as such comes first.
            ptrace = true;
        }
        let mut keep_waiting = true;
        if t.rel.is_zombie() {
            if !delay_group_leader(t) {
                if ptrace || !t.ptrace.traced() {
                    // It will neither stop nor go on any more.
                    return (self.has(nr::WEXITED).then(|| self.wait_task_zombie(t)), false);
                }
            } else if ptrace && !self.has(nr::WCONTINUED | nr::WEXITED) {
                keep_waiting = false;
            }
        }
        (self.wait_task_stopped(t, ptrace).or_else(|| self.wait_task_continued(t)), keep_waiting)
    }

    fn wait_task_stopped(&self, t: &Arc<Task>, ptrace: bool) -> Option<Found> {
        let keep = self.has(nr::WNOWAIT);
        if ptrace {
            let traced = t.state.load(Ordering::Relaxed) & TASK_TRACED != 0
                && t.sig.jobctl() & jobctl_bits::LISTENING == 0;
            let code = t.exit_code.load(Ordering::Relaxed) as i32;
            if !traced || code == 0 {
                return None;
            }
            if !keep {
                t.exit_code.store(0, Ordering::Relaxed);
            }
            return Some(found(t, (code << 8) | 0x7f, (cld::TRAPPED, code)));
        }
        let sig = &t.signal;
        if !self.has(nr::WUNTRACED) || sig.flags() & signal_flags::STOP_STOPPED == 0 {
            return None;
        }
        let code = sig.group_exit_code.load(Ordering::Relaxed);
        if code == 0 {
            return None;
        }
        if !keep {
            sig.group_exit_code.store(0, Ordering::Relaxed);
        }
        Some(found(t, (code << 8) | 0x7f, (cld::STOPPED, code)))
    }

    fn wait_task_continued(&self, t: &Arc<Task>) -> Option<Found> {
        let sig = &t.signal;
        if !self.has(nr::WCONTINUED) || sig.flags() & signal_flags::STOP_CONTINUED == 0 {
            return None;
        }
        if !self.has(nr::WNOWAIT) {
            sig.flags.fetch_and(!signal_flags::STOP_CONTINUED, Ordering::Relaxed);
        }
        Some(found(t, 0xffff, (cld::CONTINUED, nr::SIGCONT as i32)))
    }

    fn wait_task_zombie(&self, t: &Arc<Task>) -> Found {
        let sig = &t.signal;
        let group = sig.flags() & signal_flags::GROUP_EXIT != 0;
        let status = if group {
            sig.group_exit_code.load(Ordering::Relaxed)
        } else {
            t.exit_code.load(Ordering::Relaxed) as i32
        };
        let f = found(t, status, child_status(status));
        if self.has(nr::WNOWAIT) {
            return f;
        }
        if t.is_leader() && ptrace_reparented(t) {
            // The tracer has seen it; now it is the parent's turn (`EXIT_TRACE`).
            ptrace_unlink(t);
            notify_and_maybe_reap(t);
            return f;
        }
        if t.is_leader() {
            adopt(sig);
        }
        bury(t);
        f
    }
}

fn found(t: &Task, status: i32, code: (i32, i32)) -> Found {
    Found { pid: t.pid(), uid: t.cred.get().uid, status, code, rusage: Rusage::of_both(t) }
}

/// Waits for a child (`do_wait`). `None`: with `WNOHANG` there is nothing yet.
fn do_wait(o: &WaitOpts) -> Result<Option<Found>> {
    let cur = current();
    let queue = &cur.signal.wait_chldexit;
    queue.add();
    let r = loop {
        cur.state.store(TASK_INTERRUPTIBLE, Ordering::SeqCst);
        match o.scan() {
            Ok(None) if o.has(nr::WNOHANG) => break Ok(None),
            Ok(None) => {}
            r => break r,
        }
        if signal_pending(&cur) {
            break Err(ERESTARTSYS);
        }
        schedule();
    };
    cur.state.store(TASK_RUNNING, Ordering::SeqCst);
    queue.remove();
    r
}

/// `wait4(2)`.
pub fn sys_wait4(pid: i32, status: usize, options: u32, rusage: usize) -> Result<usize> {
    const VALID: u32 =
        nr::WNOHANG | nr::WUNTRACED | nr::WCONTINUED | nr::__WNOTHREAD | nr::__WCLONE | nr::__WALL;
    if options & !VALID != 0 {
        return Err(EINVAL);
    }
    if pid == i32::MIN {
        return Err(ESRCH);
    }
    let which = match pid {
        -1 => Which::All,
        0 => Which::Pgrp(current().signal.pgrp()),
        p if p < 0 => Which::Pgrp(-p),
        p => Which::Pid(p),
    };
    let Some(f) = do_wait(&WaitOpts { which, options: options | nr::WEXITED })? else { return Ok(0) };
    if status != 0 {
        put_user(status, &f.status)?;
    }
    if rusage != 0 {
        put_rusage(rusage, f.rusage)?;
    }
    Ok(f.pid as usize)
}

/// What `waitid` is asked to wait for (`kernel_waitid`).
fn waitid_opts(idtype: i32, id: i32, options: u32) -> Result<WaitOpts> {
    const VALID: u32 = nr::WNOHANG
        | nr::WNOWAIT
        | nr::WEXITED
        | nr::WUNTRACED
        | nr::WCONTINUED
        | nr::__WNOTHREAD
        | nr::__WCLONE
        | nr::__WALL;
    if options & !VALID != 0 || options & (nr::WEXITED | nr::WUNTRACED | nr::WCONTINUED) == 0 {
        return Err(EINVAL);
    }
    let which = match (idtype as u32, id) {
        (nr::P_ALL, _) => Which::All,
        (nr::P_PID, p) if p > 0 => Which::Pid(p),
        (nr::P_PGID, 0) => Which::Pgrp(current().signal.pgrp()),
        (nr::P_PGID, g) if g > 0 => Which::Pgrp(g),
        (nr::P_PIDFD, fd) if fd >= 0 => return pidfd_opts(fd, options),
        _ => return Err(EINVAL),
    };
    Ok(WaitOpts { which, options })
}

/// The process of a descriptor; one that does not wait makes this one not wait either.
fn pidfd_opts(fd: i32, options: u32) -> Result<WaitOpts> {
    with_pidfd(fd, |p, f| {
        // A number that is free may be another child's by now.
        p.task().map_err(|_| ECHILD)?;
        let nowait = if f.nonblock() { nr::WNOHANG } else { 0 };
        Ok(WaitOpts { which: Which::Pid(p.pid()), options: options | nowait })
    })
}

/// `waitid(2)`. The information is written even if there is an error, as zeroes then.
pub fn sys_waitid(idtype: i32, id: i32, infop: usize, options: u32, rusage: usize) -> Result<usize> {
    let waited = waitid_opts(idtype, id, options).and_then(|o| {
        let found = do_wait(&o)?;
        // Who asked to wait is told that the descriptor does not.
        if found.is_none() && options & nr::WNOHANG == 0 { Err(EAGAIN) } else { Ok(found) }
    });
    if let Ok(Some(f)) = &waited
        && rusage != 0
    {
        put_rusage(rusage, f.rusage)?;
    }
    if infop != 0 {
        if !access_ok(infop, 128) {
            return Err(EFAULT);
        }
        let found = waited.as_ref().ok().and_then(Option::as_ref);
        let (signo, code, ids) =
            found.map_or((0, 0, [0; 3]), |f| (nr::SIGCHLD as i32, f.code.0, [f.pid, f.uid as i32, f.code.1]));
        put_user(infop, &[signo, 0, code])?;
        // i386 has no hole before the ids.
        put_user(infop + if in_compat_syscall() { 12 } else { 16 }, &ids)?;
    }
    waited.map(|_| 0)
}
