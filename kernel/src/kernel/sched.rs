// SPDX-License-Identifier: GPL-2.0-only
//! The scheduler: who runs next.
//!
//! One queue of runnable tasks, served in turn with a time slice. User mode is
//! preempted by the timer; the kernel is not (Linux's `PREEMPT_NONE`): it gives
//! the CPU away in [`schedule`] only. After Linux 6.1, `kernel/sched/core.c`.

pub mod membarrier;

use crate::arch::x86::kernel::process_64;
use crate::arch::x86::percpu::this_cpu;
use crate::kernel::task::{TASK_RUNNING, Task, current, tif};
use crate::locking::{IrqLock, local_irq_restore, local_irq_save};
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::cell::Cell;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, Ordering};

/// Time slice in timer ticks.
const TIMESLICE_TICKS: u32 = 1;

/// A task's place in the scheduler.
#[derive(Default)]
pub struct SchedEntity {
    /// On the run queue (running or waiting to).
    on_rq: AtomicBool,
    /// Ticks left of the slice.
    slice: AtomicU32,
    /// Times it gave the CPU away, and times it was taken.
    pub nvcsw: AtomicU64,
    #[allow(missing_docs)]
    pub nivcsw: AtomicU64,
    /// `SCHED_*`, as it was asked for; everybody runs in turn.
    pub policy: AtomicU32,
    /// The nice value, -20 to 19.
    pub nice: AtomicI32,
}

impl SchedEntity {
    /// A new task's: asked for what its parent asked for.
    pub fn inherit(&self, from: &Self) {
        self.policy.store(from.policy.load(Ordering::Relaxed), Ordering::Relaxed);
        self.nice.store(from.nice.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}

impl SchedEntity {
    /// How urgent a thread is among those that wait for a lock: all alike.
    pub fn futex_prio(&self) -> u32 {
        let _ = self;
        100
    }
}

/// Makes a task as urgent as `prio`, if that is more than it is by itself; returns whether that
/// changes anything (`rt_mutex_setprio`).
pub fn inherit_priority(_t: &Arc<Task>, _prio: Option<u32>) -> bool {
    false
}

struct RunQueue {
    queue: VecDeque<Arc<Task>>,
    /// Runs when nobody else can.
    idle: Option<Arc<Task>>,
    /// The task that was switched away from and is dead: dropped by the next one.
    dead: Option<Arc<Task>>,
}

/// Context switches since boot.
pub static NR_SWITCHES: AtomicU64 = AtomicU64::new(0);

/// Whether [`RunQueue::dead`] waits for somebody to look; spares most switches a lock.
static SOMEBODY_DIED: AtomicBool = AtomicBool::new(false);

static RQ: IrqLock<RunQueue> = IrqLock::new(RunQueue { queue: VecDeque::new(), idle: None, dead: None });

/// Declares the boot task to be the idle task.
pub fn init_idle(idle: Arc<Task>) {
    RQ.lock().idle = Some(idle);
}

/// Puts a new task on the run queue (`wake_up_new_task`).
pub fn wake_up_new_task(t: &Arc<Task>) {
    t.state.store(TASK_RUNNING, Ordering::Relaxed);
    enqueue(&mut RQ.lock(), t);
}

fn enqueue(rq: &mut RunQueue, t: &Arc<Task>) {
    if !t.se.on_rq.swap(true, Ordering::Relaxed) {
        t.se.slice.store(TIMESLICE_TICKS, Ordering::Relaxed);
        rq.queue.push_back(t.clone());
        if this_cpu().has_current() && current().pid() == 0 {
            current().set_flag(tif::NEED_RESCHED);
        }
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
    if cur.pid() != 0 {
        // The front of the queue is the current task itself while it is on it.
        let me = match rq.queue.front() {
            Some(t) if cur.is(t) => rq.queue.pop_front(),
            _ => rq.queue.iter().position(|t| cur.is(t)).and_then(|i| rq.queue.remove(i)),
        };
        if let Some(me) = me {
            if state == TASK_RUNNING || interruptible_and_signalled {
                if state == TASK_RUNNING {
                    cur.se.nivcsw.fetch_add(1, Ordering::Relaxed);
                }
                cur.state.store(TASK_RUNNING, Ordering::Relaxed);
                me.se.slice.store(TIMESLICE_TICKS, Ordering::Relaxed);
                rq.queue.push_back(me);
            } else {
                cur.se.nvcsw.fetch_add(1, Ordering::Relaxed);
                me.se.on_rq.store(false, Ordering::Relaxed);
                if state == crate::kernel::task::TASK_DEAD {
                    rq.dead = Some(me);
                    SOMEBODY_DIED.store(true, Ordering::Relaxed);
                }
            }
        }
    }
    match rq.queue.front() {
        Some(t) => t.clone(),
        None => rq.idle.clone().expect("init_idle comes before the first schedule"),
    }
}

/// Gives others a turn (`sched_yield`).
pub fn yield_now() {
    schedule();
}

/// The timer tick: charges the current task and ends its slice (`scheduler_tick`).
pub fn scheduler_tick() {
    let cur = current();
    if cur.pid() == 0 {
        return;
    }
    let left = cur.se.slice.load(Ordering::Relaxed).saturating_sub(1);
    cur.se.slice.store(left, Ordering::Relaxed);
    if left == 0 {
        cur.set_flag(tif::NEED_RESCHED);
    }
}

/// Number of tasks that want the CPU.
pub fn nr_running() -> usize {
    RQ.lock().queue.len()
}

/// Keeps the running CPU's idea of who runs; used once at boot.
pub fn set_boot_task(t: &Arc<Task>) {
    this_cpu().current_task.set(Arc::as_ptr(t));
    let _: &Cell<u64> = &this_cpu().top_of_stack;
    this_cpu().top_of_stack.set(t.stack.top() as u64);
}
