// SPDX-License-Identifier: GPL-2.0-only
//! The scheduler: who runs next (Linux 6.1, `kernel/sched/core.c`).
//!
//! | file | what |
//! |---|---|
//! | [`rt`] | real-time tasks: the most urgent first |
//! | [`fair`] | all others: shares by nice values |
//! | [`syscalls`] | what programs ask and tell the scheduler |
//! | [`loadavg`] | how many ran lately |
//! | [`membarrier`] | that everybody has seen everything |
//!
//! Each priority has a queue of runnable tasks, the running one being the first of its own. User
//! mode is preempted: by the timer when its turn is over, by a more urgent real-time task at once.
//! The kernel is not (Linux's `PREEMPT_NONE`): it gives the CPU away in [`schedule`] only.

pub mod fair;
pub mod loadavg;
pub mod membarrier;
pub mod rt;
pub mod syscalls;

use crate::arch::x86::kernel::process_64;
use crate::arch::x86::percpu::this_cpu;
use crate::kernel::signal::rlimit;
use crate::kernel::task::{TASK_RUNNING, Task, current, tif};
use crate::kernel::time::timekeeping::ktime_get;
use crate::locking::{IrqLock, local_irq_restore, local_irq_save};
use crate::mm::page_alloc::with_reserve;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::cell::Cell;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, Ordering, Ordering::Relaxed};
use fair::{Fair, LEVELS};
use linux_raw_sys::general::{SCHED_FIFO, SCHED_IDLE, SCHED_RR};
use rt::{MAX_RT_PRIO, RR_TIMESLICE, Rt};

/// A fair task's turn in timer ticks.
const TIMESLICE_TICKS: u32 = 1;
/// The priority of nice value 0 (`DEFAULT_PRIO`).
const DEFAULT_PRIO: u32 = MAX_RT_PRIO + 20;
/// The priority of `SCHED_IDLE`.
const IDLE_PRIO: u32 = MAX_RT_PRIO + fair::IDLE_LEVEL as u32;
/// The priority of the idle task, which stands in no queue.
const NOBODY_PRIO: u32 = PRIORITIES as u32;
const PRIORITIES: usize = MAX_RT_PRIO as usize + LEVELS;

/// A task's place in the scheduler.
pub struct SchedEntity {
    /// On the run queue (running or waiting to).
    on_rq: AtomicBool,
    /// Ticks left of its turn; 0: it goes behind the others.
    slice: AtomicU32,
    /// Its queue: the more urgent of what it asked for and what it inherited.
    prio: AtomicU32,
    /// What it inherited from those who wait for its locks.
    boost: AtomicU32,
    /// Ticks that it had as a real-time task since it last slept (`rt.timeout`), if they are limited.
    rt_ticks: AtomicU32,
    /// Times it gave the CPU away, and times it was taken.
    pub nvcsw: AtomicU64,
    #[allow(missing_docs)]
    pub nivcsw: AtomicU64,
    /// `SCHED_*`.
    pub policy: AtomicU32,
    /// The nice value, -20 to 19.
    pub nice: AtomicI32,
    /// Priority under real-time policies, 1 to 99; else 0.
    pub rt_priority: AtomicU32,
    /// Its children do not inherit what only privileged tasks get (`SCHED_RESET_ON_FORK`).
    pub reset_on_fork: AtomicBool,
}

impl Default for SchedEntity {
    fn default() -> Self {
        Self {
            on_rq: AtomicBool::new(false),
            slice: AtomicU32::new(TIMESLICE_TICKS),
            prio: AtomicU32::new(DEFAULT_PRIO),
            boost: AtomicU32::new(NOBODY_PRIO),
            rt_ticks: AtomicU32::new(0),
            nvcsw: AtomicU64::new(0),
            nivcsw: AtomicU64::new(0),
            policy: AtomicU32::new(0),
            nice: AtomicI32::new(0),
            rt_priority: AtomicU32::new(0),
            reset_on_fork: AtomicBool::new(false),
        }
    }
}

/// What a task asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Params {
    /// `SCHED_*`.
    pub policy: u32,
    /// The nice value.
    pub nice: i32,
    /// 1 to 99 under real-time policies; else 0.
    pub rt_priority: u32,
}

impl Params {
    /// Whether the policy is a real-time one.
    pub fn real_time(self) -> bool {
        matches!(self.policy, SCHED_FIFO | SCHED_RR)
    }
    /// Which queue that means (`normal_prio`).
    fn prio(self) -> u32 {
        match self.policy {
            SCHED_FIFO | SCHED_RR => MAX_RT_PRIO - 1 - self.rt_priority,
            SCHED_IDLE => IDLE_PRIO,
            _ => DEFAULT_PRIO.wrapping_add_signed(self.nice),
        }
    }
    /// What a child gets of a task that wants its children reset (`sched_fork`).
    fn reset(self) -> Self {
        match self {
            p if p.real_time() => Self { policy: 0, nice: 0, rt_priority: 0 },
            p => Self { nice: p.nice.max(0), ..p },
        }
    }
}

impl SchedEntity {
    /// What the task asked for.
    pub fn params(&self) -> Params {
        Params {
            policy: self.policy.load(Relaxed),
            nice: self.nice.load(Relaxed),
            rt_priority: self.rt_priority.load(Relaxed),
        }
    }
    fn set_params(&self, p: Params) {
        self.policy.store(p.policy, Relaxed);
        self.nice.store(p.nice, Relaxed);
        self.rt_priority.store(p.rt_priority, Relaxed);
        self.prio.store(p.prio().min(self.boost.load(Relaxed)), Relaxed);
    }
    /// A new task's: asked for what its parent asked for, unless that is not to be inherited
    /// (`sched_fork`).
    pub fn inherit(&self, from: &Self) {
        let p = from.params();
        self.set_params(if from.reset_on_fork.load(Relaxed) { p.reset() } else { p });
    }
    /// The queue it stands in: the smaller, the more urgent (`task_struct.prio`).
    #[inline]
    pub fn prio(&self) -> u32 {
        self.prio.load(Relaxed)
    }
    /// How urgent it is among those that wait for a lock: all that are not real-time are alike.
    pub fn futex_prio(&self) -> u32 {
        self.prio().min(MAX_RT_PRIO)
    }
    /// Ticks that it had as a real-time task without sleeping, since `RLIMIT_RTTIME` limits them.
    #[inline]
    pub fn rt_ticks(&self) -> u32 {
        self.rt_ticks.load(Relaxed)
    }
    fn recharge(&self) {
        let rr = self.policy.load(Relaxed) == SCHED_RR;
        self.slice.store(if rr { RR_TIMESLICE } else { TIMESLICE_TICKS }, Relaxed);
    }
}

struct RunQueue {
    /// By priority: real-time ones, then the levels of [`Fair`].
    queues: [VecDeque<Arc<Task>>; PRIORITIES],
    rt: Rt,
    fair: Fair,
    nr_running: usize,
    /// Runs when nobody else can.
    idle: Option<Arc<Task>>,
    /// The task that was switched away from and is dead: dropped by the next one.
    dead: Option<Arc<Task>>,
}

/// Context switches since boot.
pub static NR_SWITCHES: AtomicU64 = AtomicU64::new(0);

/// Whether [`RunQueue::dead`] waits for somebody to look; spares most switches a lock.
static SOMEBODY_DIED: AtomicBool = AtomicBool::new(false);

static RQ: IrqLock<RunQueue> = IrqLock::new(RunQueue {
    queues: [const { VecDeque::new() }; PRIORITIES],
    rt: Rt::NEW,
    fair: Fair::NEW,
    nr_running: 0,
    idle: None,
    dead: None,
});

impl RunQueue {
    /// Puts a task into its queue; the running one goes to its beginning.
    #[inline]
    fn put(&mut self, t: Arc<Task>, running: bool) {
        let prio = t.se.prio() as usize;
        let q = &mut self.queues[prio];
        if q.is_empty() {
            match prio.checked_sub(MAX_RT_PRIO as usize) {
                Some(level) => self.fair.add(level),
                None => self.rt.add(prio),
            }
        }
        if q.len() == q.capacity() {
            with_reserve(|| q.reserve(1));
        }
        if running {
            q.push_front(t);
        } else {
            q.push_back(t);
        }
        self.nr_running += 1;
    }

    /// Takes a task out of its queue.
    #[inline]
    fn take(&mut self, t: &Task) -> Option<Arc<Task>> {
        let prio = t.se.prio() as usize;
        let q = &mut self.queues[prio];
        // The running task is the first.
        let t = match q.front() {
            Some(first) if core::ptr::eq(Arc::as_ptr(first), t) => q.pop_front(),
            _ => {
                let i = q.iter().position(|x| core::ptr::eq(Arc::as_ptr(x), t))?;
                q.remove(i)
            }
        };
        if q.is_empty() {
            match prio.checked_sub(MAX_RT_PRIO as usize) {
                Some(level) => self.fair.remove(level),
                None => self.rt.remove(prio),
            }
        }
        self.nr_running -= 1;
        t
    }

    /// Who runs next (`pick_next_task`).
    #[inline]
    fn first(&self) -> &Arc<Task> {
        let prio = if self.rt.any() { self.next_prio() } else { self.next_fair() };
        let first = prio.and_then(|p| self.queues[p].front());
        first.or(self.idle.as_ref()).expect("init_idle comes before the first schedule")
    }
    #[inline]
    fn next_fair(&self) -> Option<usize> {
        self.fair.next().map(|level| level + MAX_RT_PRIO as usize)
    }
    /// The same if there are real-time tasks.
    #[cold]
    fn next_prio(&self) -> Option<usize> {
        let fair = if self.rt.throttled() { self.next_fair() } else { None };
        Some(fair.unwrap_or_else(|| self.rt.next()))
    }
}

/// Declares the boot task to be the idle task.
pub fn init_idle(idle: Arc<Task>) {
    idle.se.prio.store(NOBODY_PRIO, Relaxed);
    RQ.lock().idle = Some(idle);
}

/// Puts a new task on the run queue (`wake_up_new_task`).
pub fn wake_up_new_task(t: &Arc<Task>) {
    t.state.store(TASK_RUNNING, Ordering::Relaxed);
    enqueue(&mut RQ.lock(), t);
}

#[inline]
fn enqueue(rq: &mut RunQueue, t: &Arc<Task>) {
    if !t.se.on_rq.swap(true, Ordering::Relaxed) {
        rq.put(t.clone(), false);
        if this_cpu().has_current() {
            check_preempt_curr(&t.se);
        }
    }
}

/// Whether a task that can run now takes the CPU from the one that does: a real-time one if it is
/// more urgent, any from the idle task and `SCHED_IDLE` ones.
#[inline]
fn check_preempt_curr(woken: &SchedEntity) {
    let (cur, prio) = (current(), woken.prio());
    let running = cur.se.prio();
    if prio < running && (prio < MAX_RT_PRIO || running >= IDLE_PRIO) {
        cur.set_flag(tif::NEED_RESCHED);
    }
}

/// Changes what a task asks for (`__sched_setscheduler`, `set_user_nice`).
pub fn set_params(t: &Arc<Task>, p: Params) {
    change(&mut RQ.lock(), t, || t.se.set_params(p));
}

/// Makes a task as urgent as `prio`, if that is more than it is by itself; returns whether that
/// changes anything (`rt_mutex_setprio`).
pub fn inherit_priority(t: &Arc<Task>, prio: Option<u32>) -> bool {
    // Nobody is more urgent among tasks that are not real-time.
    let boost = prio.filter(|p| *p < MAX_RT_PRIO).unwrap_or(NOBODY_PRIO);
    if t.se.boost.swap(boost, Relaxed) == boost {
        return false;
    }
    change(&mut RQ.lock(), t, || t.se.set_params(t.se.params()));
    true
}

/// Lets a task's queue change.
fn change(rq: &mut RunQueue, t: &Arc<Task>, how: impl FnOnce()) {
    let cur = current();
    let taken = rq.take(t);
    how();
    t.se.recharge();
    if let Some(t) = taken {
        let running = cur.is(&t);
        rq.put(t, running);
    }
    if cur.is(t) {
        cur.set_flag(tif::NEED_RESCHED);
    } else if t.se.on_rq.load(Relaxed) {
        check_preempt_curr(&t.se);
    }
}

/// Makes `t` runnable if its state is one of `mask` (`try_to_wake_up`);
/// returns whether it was woken. Callable from interrupts.
pub fn try_to_wake_up(t: &Arc<Task>, mask: u32) -> bool {
    let mut rq = RQ.lock();
    if t.state.load(Ordering::Relaxed) & mask == 0 {
        return false;
    }
    t.state.store(TASK_RUNNING, Ordering::Relaxed);
    t.se.rt_ticks.store(0, Relaxed);
    enqueue(&mut rq, t);
    true
}

/// Wakes a sleeping task, interruptible or not (`wake_up_process`).
pub fn wake_up_process(t: &Arc<Task>) -> bool {
    use crate::kernel::task::{TASK_INTERRUPTIBLE, TASK_UNINTERRUPTIBLE};
    try_to_wake_up(t, TASK_INTERRUPTIBLE | TASK_UNINTERRUPTIBLE)
}

/// Announces that the current task is about to sleep in `state`. Follow it by a
/// check of what is waited for, then [`schedule`]; a wake-up in between is not lost.
pub fn set_current_state(state: u32) {
    current().state.store(state, Ordering::SeqCst);
}

/// In a long loop of the kernel's that holds no lock: lets others run whose turn it is
/// (`cond_resched`).
#[inline]
pub fn cond_resched() {
    if current().test_flag(tif::NEED_RESCHED) {
        schedule();
    }
}

/// Gives the CPU to the next runnable task. If the current one is not runnable
/// (see [`set_current_state`]), it comes back after being woken.
pub fn schedule() {
    let irqs = local_irq_save();
    let cur = current();
    cur.clear_flag(tif::NEED_RESCHED);
    let next = pick_next();
    let np: *const Task = Arc::as_ptr(&next);
    if cur.is(&next) {
        local_irq_restore(irqs);
        return;
    }
    NR_SWITCHES.fetch_add(1, Ordering::Relaxed);
    // The run queue (or whoever will wake it) keeps the next task alive; the
    // previous one keeps itself alive through `dead` or its family.
    drop(next);
    // SAFETY: both tasks are alive, interrupts are off.
    unsafe { process_64::switch_to(&cur, np) };
    finish_task_switch();
    local_irq_restore(irqs);
}

/// Whatever runs first after a switch: lets go of a task that died.
pub fn finish_task_switch() {
    if SOMEBODY_DIED.load(Ordering::Relaxed) {
        SOMEBODY_DIED.store(false, Ordering::Relaxed);
        let dead = RQ.lock().dead.take();
        drop(dead);
    }
}

/// Chooses who runs, leaving the current task on the queue if it still can run.
fn pick_next() -> Arc<Task> {
    let cur = current();
    let mut rq = RQ.lock();
    let state = cur.state.load(Ordering::SeqCst);
    let interruptible_and_signalled =
        state & crate::kernel::task::TASK_INTERRUPTIBLE != 0 && cur.test_flag(tif::SIGPENDING);
    if state == TASK_RUNNING || interruptible_and_signalled {
        cur.state.store(TASK_RUNNING, Ordering::Relaxed);
        if cur.se.slice.load(Relaxed) == 0 {
            cur.se.recharge();
            let q = cur.se.prio() as usize;
            // The idle task stands in no queue.
            if q < PRIORITIES && rq.queues[q].len() > 1 {
                rq.queues[q].rotate_left(1);
            }
        }
    } else if let Some(me) = rq.take(&cur) {
        cur.se.nvcsw.fetch_add(1, Ordering::Relaxed);
        me.se.on_rq.store(false, Ordering::Relaxed);
        if state == crate::kernel::task::TASK_DEAD {
            rq.dead = Some(me);
            SOMEBODY_DIED.store(true, Ordering::Relaxed);
        }
    }
    let next = rq.first().clone();
    if state == TASK_RUNNING && !cur.is(&next) {
        cur.se.nivcsw.fetch_add(1, Ordering::Relaxed);
    }
    next
}

/// Gives others a turn (`sched_yield`).
pub fn yield_now() {
    current().se.slice.store(0, Relaxed);
    schedule();
}

/// The timer tick: charges the current task, and ends its turn (`scheduler_tick`).
pub fn scheduler_tick() {
    static WARNED: AtomicBool = AtomicBool::new(false);
    let cur = current();
    let prio = cur.se.prio() as usize;
    let mut rq = RQ.lock();
    let throttled = rq.rt.tick(ktime_get(), prio < MAX_RT_PRIO as usize);
    if prio == NOBODY_PRIO as usize {
        return;
    }
    let n = rq.queues[prio].len();
    if let Some(level) = prio.checked_sub(MAX_RT_PRIO as usize) {
        rq.fair.charge(level, n);
    }
    drop(rq);
    // (Linux 6.1, kernel/sched/rt.c, `watchdog`.)
    if prio < MAX_RT_PRIO as usize && cur.signal.rlimit_cur(rlimit::RTTIME) != rlimit::INFINITY {
        cur.se.rt_ticks.fetch_add(1, Relaxed);
    }
    // Under SCHED_FIFO there is no end to it.
    let endless = prio < MAX_RT_PRIO as usize && cur.se.policy.load(Relaxed) != SCHED_RR;
    if !endless {
        let left = cur.se.slice.load(Relaxed).saturating_sub(1);
        cur.se.slice.store(left, Relaxed);
        if left == 0 {
            cur.set_flag(tif::NEED_RESCHED);
        }
    }
    if throttled {
        cur.set_flag(tif::NEED_RESCHED);
        if !WARNED.swap(true, Relaxed) {
            crate::pr_warn!("sched: RT throttling activated\n");
        }
    }
}

/// Number of tasks that want the CPU.
pub fn nr_running() -> usize {
    RQ.lock().nr_running
}

/// Keeps the running CPU's idea of who runs; used once at boot.
pub fn set_boot_task(t: &Arc<Task>) {
    this_cpu().current_task.set(Arc::as_ptr(t));
    let _: &Cell<u64> = &this_cpu().top_of_stack;
    this_cpu().top_of_stack.set(t.stack.top() as u64);
}
