// SPDX-License-Identifier: GPL-2.0-only
//! Wait queues: sleeping until a condition holds (Linux 6.1, `kernel/sched/wait.c`).

use crate::errno::{ERESTARTSYS, Result};
use crate::kernel::sched::{schedule, set_current_state, try_to_wake_up};
use crate::kernel::signal::{fatal_signal_pending, signal_pending};
use crate::kernel::task::{
    Current, TASK_INTERRUPTIBLE, TASK_KILLABLE, TASK_RUNNING, TASK_UNINTERRUPTIBLE, Task, current,
};
use crate::kernel::time::hrtimer::{ClockBase, HrTimer, TimerFn};
use crate::kernel::time::timekeeping::ktime_get;
use crate::locking::IrqLock;
use crate::mm::util::{push_reserved, try_push};
use alloc::sync::Arc;
use alloc::vec::Vec;

/// What is called instead of a task being woken (`wait_queue_func_t`).
pub trait WaitFn: Send + Sync {
    /// Something happened: `events` are the `POLL*` bits of what, or 0 if the waker does not say.
    /// Under the queue's lock, and from interrupts. Returns whether this may count as the one
    /// waiter that an exclusive wake-up is for.
    fn wake(self: Arc<Self>, events: u32) -> bool;
}

/// Who waits.
enum Who {
    Task(Arc<Task>),
    Call(Arc<dyn WaitFn>),
}

struct Waiter {
    who: Who,
    /// Of those who say so only one is woken at a time.
    exclusive: bool,
}

impl Waiter {
    fn is(&self, cur: Current) -> bool {
        matches!(&self.who, Who::Task(t) if cur.is(t))
    }
}

/// Tasks waiting for something. Waking is allowed from interrupts.
#[derive(Default)]
pub struct WaitQueue(IrqLock<Vec<Waiter>>);

impl WaitQueue {
    /// An empty queue.
    pub const fn new() -> Self {
        Self(IrqLock::new(Vec::new()))
    }

    /// Adds the current task; pair with [`WaitQueue::remove`].
    pub fn add(&self) {
        push_reserved(&mut self.0.lock(), Waiter { who: Who::Task(current().to_arc()), exclusive: false });
    }

    /// [`WaitQueue::add`], where a program chooses how often it stands in a queue.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn try_add(&self) -> Result {
        try_push(&mut self.0.lock(), Waiter { who: Who::Task(current().to_arc()), exclusive: false })
    }

    /// [`WaitQueue::add`] for a task of which one is enough
    /// (`__add_wait_queue_exclusive`).
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn try_add_exclusive(&self) -> Result {
        try_push(&mut self.0.lock(), Waiter { who: Who::Task(current().to_arc()), exclusive: true })
    }

    /// Adds something to be called; pair with [`WaitQueue::remove_call`].
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn try_add_call(&self, f: &Arc<dyn WaitFn>, exclusive: bool) -> Result {
        try_push(&mut self.0.lock(), Waiter { who: Who::Call(f.clone()), exclusive })
    }

    /// Takes the current task off (once).
    pub fn remove(&self) {
        let mut q = self.0.lock();
        let cur = current();
        // Mostly there is nobody else.
        if q.last().is_some_and(|w| w.is(cur)) {
            q.pop();
        } else if let Some(i) = q.iter().position(|w| w.is(cur)) {
            q.remove(i);
        }
    }

    /// Takes off what is called (once): it is not called any more.
    pub fn remove_call(&self, f: &Arc<dyn WaitFn>) {
        let mut q = self.0.lock();
        let at = q.iter().rposition(|w| matches!(&w.who, Who::Call(c) if Arc::ptr_eq(c, f)));
        let gone = at.map(|i| q.remove(i));
        drop(q);
        drop(gone);
    }

    /// Wakes everyone, in the order in which they came; of the exclusive ones, one.
    pub fn wake_up(&self) {
        self.wake_up_poll(0);
    }

    /// [`WaitQueue::wake_up`], saying what has happened (`POLL*` bits).
    pub fn wake_up_poll(&self, events: u32) {
        let q = self.0.lock();
        let mut one_is_awake = false;
        for w in q.iter() {
            if w.exclusive && one_is_awake {
                continue;
            }
            let woken = match &w.who {
                Who::Task(t) => try_to_wake_up(t, TASK_INTERRUPTIBLE | TASK_UNINTERRUPTIBLE),
                Who::Call(f) => f.clone().wake(events),
            };
            one_is_awake |= w.exclusive && woken;
        }
    }

    /// Whether anybody waits.
    pub fn is_active(&self) -> bool {
        !self.0.lock().is_empty()
    }

    fn wait(&self, state: u32, mut cond: impl FnMut() -> bool, interrupted: impl Fn() -> bool) -> Result {
        if cond() { Ok(()) } else { self.wait_checked(state, cond, interrupted) }
    }

    /// [`WaitQueue::wait`] for a condition that was just found not to hold.
    fn wait_checked(
        &self,
        state: u32,
        mut cond: impl FnMut() -> bool,
        interrupted: impl Fn() -> bool,
    ) -> Result {
        self.add();
        let r = loop {
            set_current_state(state);
            if cond() {
                break Ok(());
            }
            if interrupted() {
                break Err(ERESTARTSYS);
            }
            schedule();
        };
        set_current_state(TASK_RUNNING);
        self.remove();
        r
    }

    /// Sleeps until `cond` holds, or a signal comes (`ERESTARTSYS`).
    pub fn wait_event_interruptible(&self, cond: impl FnMut() -> bool) -> Result {
        self.wait(TASK_INTERRUPTIBLE, cond, || signal_pending(&current()))
    }

    /// The same, for a caller who has just seen that `cond` does not hold.
    pub fn sleep_interruptible(&self, cond: impl FnMut() -> bool) -> Result {
        self.wait_checked(TASK_INTERRUPTIBLE, cond, || signal_pending(&current()))
    }

    /// Sleeps until `cond` holds; only a fatal signal ends it early (`ERESTARTSYS`).
    pub fn wait_event_killable(&self, cond: impl FnMut() -> bool) -> Result {
        self.wait(TASK_KILLABLE, cond, || fatal_signal_pending(&current()))
    }

    /// Sleeps until `cond` holds, whatever signals come.
    pub fn wait_event(&self, cond: impl FnMut() -> bool) {
        let _ = self.wait(TASK_UNINTERRUPTIBLE, cond, || false);
    }

    /// Sleeps until `cond` holds (`Ok(true)`), `deadline` (nanoseconds since boot)
    /// passes (`Ok(false)`), or a signal comes (`ERESTARTSYS`).
    pub fn wait_event_interruptible_until(
        &self,
        deadline: u64,
        mut cond: impl FnMut() -> bool,
    ) -> Result<bool> {
        let sleeper = SleepTimer::start(ClockBase::Monotonic, deadline);
        let mut met = false;
        let r = self.wait_event_interruptible(|| {
            met = cond();
            met || ktime_get() >= deadline
        });
        sleeper.cancel();
        r.map(|()| met)
    }
}

/// Wakes a task at a time (`hrtimer_sleeper`).
struct SleepTimer {
    timer: Arc<HrTimer>,
    _wake: Arc<dyn TimerFn>,
}

struct Wake(Arc<Task>);

impl TimerFn for Wake {
    fn expired(&self, _now: u64) -> Option<u64> {
        try_to_wake_up(&self.0, TASK_INTERRUPTIBLE | TASK_UNINTERRUPTIBLE);
        None
    }
}

impl SleepTimer {
    fn start(base: ClockBase, deadline: u64) -> Self {
        let wake: Arc<dyn TimerFn> = Arc::new(Wake(current().to_arc()));
        let timer = HrTimer::new();
        if deadline != u64::MAX {
            timer.start_on(base, deadline, &wake);
        }
        Self { timer, _wake: wake }
    }
    fn cancel(&self) {
        self.timer.cancel();
    }
}

/// Sleeps until `deadline` (nanoseconds since boot) or a wake-up, in the state
/// set by [`set_current_state`] (`schedule_hrtimeout`). Returns whether the time
/// has passed.
pub fn schedule_hrtimeout(deadline: u64) -> bool {
    schedule_hrtimeout_on(ClockBase::Monotonic, deadline)
}

/// [`schedule_hrtimeout`] by any clock: a sleep by the wall clock ends earlier or later when that
/// is set (`schedule_hrtimeout_range_clock`).
pub fn schedule_hrtimeout_on(base: ClockBase, deadline: u64) -> bool {
    if deadline == u64::MAX {
        schedule();
        set_current_state(TASK_RUNNING);
        return false;
    }
    let sleeper = SleepTimer::start(base, deadline);
    if base.now() < deadline {
        schedule();
    }
    sleeper.cancel();
    set_current_state(TASK_RUNNING);
    base.now() >= deadline
}
