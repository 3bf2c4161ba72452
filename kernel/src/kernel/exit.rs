// SPDX-License-Identifier: GPL-2.0-only
//! How tasks end, and how their parents learn of it (Linux 6.1, `kernel/exit.c`).
//!
//! Children hang on their parent's thread-group leader; a leader stays a zombie
//! until the last thread of its group is gone, so it is there as long as the
//! process is.

use crate::arch::x86::lib::usercopy::{access_ok, put_user};
use crate::arch::x86::percpu::this_cpu;
use crate::errno::{ECHILD, EFAULT, EINVAL, ERESTARTSYS, ESRCH, Result};
use crate::kernel::fork::{TASKLIST, TaskListGuard, mm_release};
use crate::kernel::panic::{OOPS_COUNT, OOPS_LIMIT, panic};
use crate::kernel::sched::schedule;
use crate::kernel::signal::notify::child_status;
use crate::kernel::signal::siginfo::cld;
use crate::kernel::signal::state::signal_flags;
use crate::kernel::signal::{begin_group_exit, do_notify_parent, exit_signals, kill_pgrp, signal_pending};
use crate::kernel::task::{TASK_DEAD, TASK_INTERRUPTIBLE, TASK_RUNNING, Task, current};
use crate::locking::{irqs_enabled, local_irq_disable, local_irq_enable};
use crate::mm::mm_struct::SUID_DUMP_USER;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicI32, AtomicU32, Ordering};
use linux_raw_sys::general as nr;

/// Dead, waiting for the parent (`EXIT_ZOMBIE`).
const EXIT_ZOMBIE: u32 = 0x20;
/// Dead and released, or about to be (`EXIT_DEAD`).
const EXIT_DEAD: u32 = 0x10;

#[derive(Default)]
struct Links {
    parent: Option<Weak<Task>>,
    children: Vec<Arc<Task>>,
}

/// A task's parent and children, under the task list's lock.
#[derive(Default)]
pub struct Relations {
    links: UnsafeCell<Links>,
    exit_signal: AtomicI32,
    exit_state: AtomicU32,
}

// SAFETY: `links` is reached only with the task list's lock.
unsafe impl Sync for Relations {}
// SAFETY: its content is `Send`.
unsafe impl Send for Relations {}

impl Relations {
    #[allow(clippy::mut_from_ref)]
    fn links<'a>(&'a self, _: &'a mut TaskListGuard<'_>) -> &'a mut Links {
        // SAFETY: the exclusive borrow of the one guard makes this the only access.
        unsafe { &mut *self.links.get() }
    }
    /// The parent process's leader.
    pub fn parent(&self, list: &mut TaskListGuard<'_>) -> Option<Arc<Task>> {
        self.links(list).parent.as_ref().and_then(Weak::upgrade)
    }
    /// The children.
    pub fn children(&self, list: &mut TaskListGuard<'_>) -> Vec<Arc<Task>> {
        self.links(list).children.clone()
    }
    /// Makes `child`, whose relations these are, a child of `parent`.
    pub fn adopt(&self, list: &mut TaskListGuard<'_>, parent: &Arc<Task>, child: &Arc<Task>) {
        self.links(list).parent = Some(Arc::downgrade(parent));
        parent.rel.links(list).children.push(child.clone());
    }
    /// The signal its parent gets when it dies; -1 for a thread that is not the leader.
    pub fn exit_signal(&self) -> i32 {
        self.exit_signal.load(Ordering::Relaxed)
    }
    /// Sets that signal.
    pub fn set_exit_signal(&self, sig: i32) {
        self.exit_signal.store(sig, Ordering::Relaxed);
    }
    /// Whether the task is dead and not yet waited for.
    pub fn is_zombie(&self) -> bool {
        self.exit_state.load(Ordering::Relaxed) & EXIT_ZOMBIE != 0
    }
    /// Whether the task has ended, waited for or not.
    pub fn has_exited(&self) -> bool {
        self.exit_state.load(Ordering::Relaxed) != 0
    }
}

/// The parent process's leader.
pub fn parent_of(t: &Task) -> Option<Arc<Task>> {
    let mut list = TASKLIST.lock();
    if t.is_leader() {
        return t.rel.parent(&mut list);
    }
    let leader = list.find(t.tgid)?;
    leader.rel.parent(&mut list)
}

/// Ends the current thread's whole group with wait status `code` (`do_group_exit`).
pub fn do_group_exit(code: i32) -> ! {
    do_exit(begin_group_exit(code))
}

/// Ends the current thread with wait status `code` (`do_exit`).
pub fn do_exit(code: i32) -> ! {
    let cur = current();
    crate::fs::coredump::coredump_task_exit(cur);
    exit_signals(&cur);
    let others_live = others_live(&cur);
    if !others_live {
        // The last thread's code becomes the group's (Linux 6.1, `synchronize_group_exit`).
        begin_group_exit(code);
    }
    if !others_live && cur.is_global_init() {
        let shown = cur.signal.group_exit_code.load(Ordering::Relaxed);
        let shown = if shown != 0 { shown } else { code };
        crate::kernel::panic::panic(format_args!("Attempted to kill init! exitcode=0x{shown:08x}"));
    }
    cur.exit_code.store(code as u32, Ordering::Relaxed);
    if !others_live {
        cur.signal.itimers.cancel_all();
    }
    exit_mm();
    drop(cur.files.lock().take());
    exit_notify(others_live);
    local_irq_disable();
    cur.state.store(TASK_DEAD, Ordering::SeqCst);
    schedule();
    unreachable!("a dead task was scheduled")
}

/// Whether the group has other threads that have not come to `do_exit`.
fn others_live(cur: &Task) -> bool {
    cur.signal.threads.with_irqs_off(|v| {
        v.iter().any(|t| {
            !core::ptr::eq(Arc::as_ptr(t), cur)
                && t.pf.load(Ordering::Relaxed) & crate::kernel::task::pf::EXITING == 0
        })
    })
}

/// Lets go of the address space.
fn exit_mm() {
    let cur = current();
    mm_release(&cur);
    let mm = cur.mm.lock().take();
    if let Some(mm) = &mm {
        cur.user_dumpable.store(mm.dumpable() == SUID_DUMP_USER, Ordering::Relaxed);
        // SAFETY: the kernel's own tables; user memory is not touched any more.
        unsafe { crate::arch::x86::mm::tlb::load_cr3(crate::arch::x86::mm::init::kernel_pgd()) };
    }
    drop(mm);
}

/// Finds new parents for the children, tells the own parent, and releases the task
/// if nobody will wait for it.
fn exit_notify(others_live: bool) {
    let cur = current();
    if !others_live {
        forget_original_parent();
    }
    cur.rel.exit_state.store(EXIT_ZOMBIE, Ordering::Relaxed);
    if !cur.is_leader() {
        cur.rel.exit_state.store(EXIT_DEAD, Ordering::Relaxed);
        release_task(&cur.to_arc());
        return;
    }
    if cur.signal.thread_group_empty() {
        kill_orphaned_pgrp();
        notify_and_maybe_reap(&cur.to_arc());
    }
}

/// Tells the parent of a dead leader; releases it if the parent does not care.
fn notify_and_maybe_reap(leader: &Arc<Task>) {
    if do_notify_parent(leader, leader.rel.exit_signal()) {
        leader.rel.exit_state.store(EXIT_DEAD, Ordering::Relaxed);
        release_task(leader);
    }
}

/// Gives the current process's children to init.
fn forget_original_parent() {
    let mut list = TASKLIST.lock();
    let (Some(me), Some(reaper)) = (list.find(current().tgid), list.find(1)) else { return };
    let children = core::mem::take(&mut me.rel.links(&mut list).children);
    for c in &children {
        c.rel.adopt(&mut list, &reaper, c);
        c.rel.set_exit_signal(nr::SIGCHLD as i32);
    }
    drop(list);
    for c in children {
        let sig = c.pdeath_signal.load(Ordering::Relaxed);
        if sig != 0 {
            let _ = crate::kernel::signal::send::do_send_sig_info(
                sig as i32,
                crate::kernel::signal::SendInfo::NoInfo,
                &c,
                crate::kernel::signal::PidType::Tgid,
            );
        }
        if c.rel.is_zombie() && c.signal.thread_group_empty() {
            notify_and_maybe_reap(&c);
        }
    }
}

/// If the current process's death orphans a process group with stopped members, they
/// get `SIGHUP` and `SIGCONT` (`kill_orphaned_pgrp`).
fn kill_orphaned_pgrp() {
    use crate::kernel::signal::kill::is_pgrp_orphaned;
    let pgrp = current().signal.pgrp();
    let mut stopped = false;
    crate::kernel::fork::for_each_process(|t| {
        stopped |= t.signal.pgrp() == pgrp && t.signal.flags() & signal_flags::STOP_STOPPED != 0;
    });
    if stopped && is_pgrp_orphaned(pgrp) {
        let _ = kill_pgrp(pgrp, nr::SIGHUP as i32, true);
        let _ = kill_pgrp(pgrp, nr::SIGCONT as i32, true);
    }
}

/// Takes a dead task off all lists (`release_task`). When it was the last thread but a
/// dead leader, the leader's parent hears of it now.
fn release_task(t: &Arc<Task>) {
    let leader = {
        let mut list = TASKLIST.lock();
        list.remove(t.pid);
        if let Some(p) = t.rel.parent(&mut list) {
            p.rel.links(&mut list).children.retain(|c| !Arc::ptr_eq(c, t));
        }
        if t.is_leader() { None } else { list.find(t.tgid) }
    };
    t.signal.remove_thread(t);
    if let Some(l) = leader
        && l.rel.is_zombie()
        && l.signal.thread_group_empty()
    {
        notify_and_maybe_reap(&l);
    }
}

/// Ends a task that the kernel cannot go on with, after an oops (`make_task_dead`).
pub fn make_task_dead(sig: i32) -> ! {
    use crate::arch::x86::kernel::irq::in_interrupt;
    let cur = current();
    if in_interrupt() {
        panic(format_args!("Aiee, killing interrupt handler!"));
    }
    if cur.pid == 0 {
        panic(format_args!("Attempted to kill the idle task!"));
    }
    let name = cur.comm();
    let comm = alloc::string::String::from_utf8_lossy(&name);
    if !irqs_enabled() {
        crate::pr_info!("note: {comm}[{}] exited with irqs disabled\n", cur.pid);
        local_irq_enable();
    }
    let count = this_cpu().preempt_count.get();
    if count != 0 {
        crate::pr_info!("note: {comm}[{}] exited with preempt_count {count}\n", cur.pid);
        this_cpu().preempt_count.set(0);
    }
    // Each may have left a reference or a lock behind.
    let oopses = OOPS_COUNT.fetch_add(1, Ordering::Relaxed) + 1;
    let limit = OOPS_LIMIT.load(Ordering::Relaxed);
    if limit != 0 && oopses >= limit {
        panic(format_args!("Oopsed too often (kernel.oops_limit is {limit})"));
    }
    do_exit(sig)
}

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
    rusage: (u64, u64),
}

struct WaitOpts {
    which: Which,
    options: u32,
}

impl WaitOpts {
    fn has(&self, o: u32) -> bool {
        self.options & o != 0
    }

    /// Whether `t` is one of the children asked for (`eligible_child`).
    fn eligible(&self, t: &Task) -> bool {
        let by_id = match self.which {
            Which::All => true,
            Which::Pid(p) => t.pid == p,
            Which::Pgrp(g) => t.signal.pgrp() == g,
        };
        let clone_child = t.rel.exit_signal() != nr::SIGCHLD as i32;
        by_id && (self.has(nr::__WALL) || clone_child == self.has(nr::__WCLONE))
    }

    /// Looks at all children once: what is found, or whether there is anybody to
    /// wait for.
    fn scan(&self) -> Result<Option<Found>> {
        let mut list = TASKLIST.lock();
        let Some(me) = list.find(current().tgid) else { return Err(ECHILD) };
        let children = me.rel.children(&mut list);
        drop(list);
        let mut any = false;
        for t in children
            .iter()
            .filter(|t| self.eligible(t) && t.rel.exit_state.load(Ordering::Relaxed) != EXIT_DEAD)
        {
            any = true;
            if let Some(f) = self.consider(t) {
                return Ok(Some(f));
            }
        }
        if any { Ok(None) } else { Err(ECHILD) }
    }

    fn consider(&self, t: &Arc<Task>) -> Option<Found> {
        if t.rel.is_zombie() && t.signal.thread_group_empty() {
            return self.has(nr::WEXITED).then(|| self.wait_task_zombie(t));
        }
        let sig = &t.signal;
        if self.has(nr::WUNTRACED) && sig.flags() & signal_flags::STOP_STOPPED != 0 {
            let code = sig.group_exit_code.load(Ordering::Relaxed);
            if code != 0 {
                if !self.has(nr::WNOWAIT) {
                    sig.group_exit_code.store(0, Ordering::Relaxed);
                }
                return Some(found(t, (code << 8) | 0x7f, (cld::STOPPED, code)));
            }
        }
        if self.has(nr::WCONTINUED) && sig.flags() & signal_flags::STOP_CONTINUED != 0 {
            if !self.has(nr::WNOWAIT) {
                sig.flags.fetch_and(!signal_flags::STOP_CONTINUED, Ordering::Relaxed);
            }
            return Some(found(t, 0xffff, (cld::CONTINUED, nr::SIGCONT as i32)));
        }
        None
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
        if !self.has(nr::WNOWAIT) {
            t.rel.exit_state.store(EXIT_DEAD, Ordering::Relaxed);
            let children = &current().signal.children;
            children.add(sig.cputime());
            children.add(sig.children.get());
            release_task(t);
        }
        f
    }
}

fn found(t: &Task, status: i32, code: (i32, i32)) -> Found {
    let (u, s) = t.signal.cputime();
    let (cu, cs) = t.signal.children.get();
    Found { pid: t.pid, uid: t.cred.get().uid, status, code, rusage: (u + cu, s + cs) }
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

/// `struct rusage` with the times that are known.
pub fn rusage_words((utime, stime): (u64, u64)) -> [u64; 18] {
    let mut w = [0; 18];
    for (i, ns) in [(0, utime), (2, stime)] {
        w[i] = ns / 1_000_000_000;
        w[i + 1] = ns % 1_000_000_000 / 1000;
    }
    w
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
        put_user(rusage, &rusage_words(f.rusage))?;
    }
    Ok(f.pid as usize)
}

/// `waitid(2)`.
pub fn sys_waitid(idtype: i32, id: i32, infop: usize, options: u32, rusage: usize) -> Result<usize> {
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
        _ => return Err(EINVAL),
    };
    let f = do_wait(&WaitOpts { which, options })?;
    if let Some(f) = &f
        && rusage != 0
    {
        put_user(rusage, &rusage_words(f.rusage))?;
    }
    if infop != 0 {
        if !access_ok(infop, 128) {
            return Err(EFAULT);
        }
        let (signo, code, ids) =
            f.map_or((0, 0, [0; 3]), |f| (nr::SIGCHLD as i32, f.code.0, [f.pid, f.uid as i32, f.code.1]));
        put_user(infop, &[signo, 0, code])?;
        put_user(infop + 16, &ids)?;
    }
    Ok(0)
}

/// `exit(2)`.
pub fn sys_exit(code: i32) -> Result<usize> {
    do_exit((code & 0xff) << 8)
}

/// `exit_group(2)`.
pub fn sys_exit_group(code: i32) -> Result<usize> {
    do_group_exit((code & 0xff) << 8)
}
