// SPDX-License-Identifier: GPL-2.0-only
//! What a thread and a thread group keep for signals and job control
//! (Linux 6.1, `include/linux/sched/signal.h`).

use super::altstack::AltStack;
use super::pending::SigPending;
use super::restart_block::RestartBlock;
use super::sigset::SigSet;
use super::{SigCell, Siglock, with_siglock};
use crate::kernel::cred::CredGuard;
use crate::kernel::rusage::{Rusage, Used};
use crate::kernel::task::{Task, current, tif};
use crate::kernel::time::itimer::Itimers;
use crate::kernel::time::posix_cpu_timers::CpuTimers;
use crate::kernel::time::posix_timers::PosixTimers;
use crate::kernel::wait::WaitQueue;
use crate::locking::SpinLock;
use crate::mm::util::push_reserved;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, Ordering::Relaxed};
use linux_raw_sys::general as raw;

/// Bits of [`SignalStruct::flags`] (`SIGNAL_*`).
#[allow(missing_docs)]
pub mod signal_flags {
    /// All threads have stopped.
    pub const STOP_STOPPED: u32 = 0x1;
    /// `SIGCONT` came since the last `wait` with `WCONTINUED`.
    pub const STOP_CONTINUED: u32 = 0x2;
    /// The group is going away with `group_exit_code`.
    pub const GROUP_EXIT: u32 = 0x4;
    /// The parent must be told `CLD_STOPPED`.
    pub const CLD_STOPPED: u32 = 0x10;
    /// The parent must be told `CLD_CONTINUED`.
    pub const CLD_CONTINUED: u32 = 0x20;
    pub const CLD_MASK: u32 = CLD_STOPPED | CLD_CONTINUED;
    /// Gets no signal that it has not asked for: the first process.
    pub const UNKILLABLE: u32 = 0x40;
    pub const STOP_MASK: u32 = CLD_MASK | STOP_STOPPED | STOP_CONTINUED;
}

/// Bits of [`TaskSignals::jobctl`] (`JOBCTL_*`).
#[allow(missing_docs)]
pub mod jobctl_bits {
    /// The signal that stops the group.
    pub const STOP_SIGMASK: u32 = 0xffff;
    /// The last signal dequeued was a stop signal.
    pub const STOP_DEQUEUED: u32 = 1 << 16;
    /// The thread has to stop.
    pub const STOP_PENDING: u32 = 1 << 17;
    /// Its stopping counts in `group_stop_count`.
    pub const STOP_CONSUME: u32 = 1 << 18;
    /// It has to stop for its tracer.
    pub const TRAP_STOP: u32 = 1 << 19;
    /// It has to tell its tracer that its group stops or goes on.
    pub const TRAP_NOTIFY: u32 = 1 << 20;
    /// Its tracer waits until its stop is one for it.
    pub const TRAPPING: u32 = 1 << 21;
    /// It stays stopped, but its tracer is to hear of it (`PTRACE_LISTEN`).
    pub const LISTENING: u32 = 1 << 22;
    /// Its tracer works on it: nothing wakes it.
    pub const PTRACE_FROZEN: u32 = 1 << 24;
    /// It has stopped.
    pub const STOPPED: u32 = 1 << 26;
    /// It has stopped for its tracer.
    pub const TRACED: u32 = 1 << 27;
    pub const TRAP_MASK: u32 = TRAP_STOP | TRAP_NOTIFY;
    /// Keeps the thread from user mode.
    pub const PENDING_MASK: u32 = STOP_PENDING | TRAP_MASK;
}

/// One thread's signal state.
pub struct TaskSignals {
    /// Signals for this thread only.
    pub pending: SigPending,
    /// Written by the thread itself, or under its siglock.
    blocked: AtomicU64,
    /// What was blocked before `rt_sigtimedwait` opened the mask.
    real_blocked: AtomicU64,
    /// What is restored after `sigsuspend`, `ppoll`, … (with `TIF_RESTORE_SIGMASK`).
    saved_sigmask: AtomicU64,
    /// `JOBCTL_*`, under the siglock.
    pub jobctl: AtomicU32,
    /// The alternate stack; the thread's own.
    pub altstack: AltStack,
    /// The interrupted call; the thread's own.
    pub restart_block: SpinLock<RestartBlock>,
    /// Armed timers on the thread's CPU time.
    pub cpu_timers: CpuTimers,
}

impl Default for TaskSignals {
    fn default() -> Self {
        Self::new()
    }
}

impl TaskSignals {
    /// Nothing pending, nothing blocked.
    pub fn new() -> Self {
        Self {
            pending: SigPending::default(),
            blocked: AtomicU64::new(0),
            real_blocked: AtomicU64::new(0),
            saved_sigmask: AtomicU64::new(0),
            jobctl: AtomicU32::new(0),
            altstack: AltStack::new(),
            restart_block: SpinLock::new(RestartBlock::NONE),
            cpu_timers: CpuTimers::default(),
        }
    }

    /// A new thread's: the mask is inherited, pending signals are not, the alternate
    /// stack only if the child does not share memory with its parent
    /// (`clear_altstack`: `CLONE_VM` without `CLONE_VFORK`).
    pub fn fork(parent: &Self, clear_altstack: bool) -> Self {
        let child = Self::new();
        child.blocked.store(parent.blocked().0, Relaxed);
        child.saved_sigmask.store(parent.saved_sigmask().0, Relaxed);
        if !clear_altstack {
            child.altstack.copy_from(&parent.altstack);
        }
        child
    }

    /// What is blocked.
    #[inline]
    pub fn blocked(&self) -> SigSet {
        SigSet(self.blocked.load(Relaxed))
    }
    /// Replaces what is blocked; under the siglock, by `__set_task_blocked` and its kin.
    #[inline]
    pub(in crate::kernel) fn store_blocked(&self, _: &Siglock, s: SigSet) {
        self.blocked.store(s.0, Relaxed);
    }
    /// What is blocked in truth while `rt_sigtimedwait` waits.
    #[inline]
    pub fn real_blocked(&self) -> SigSet {
        SigSet(self.real_blocked.load(Relaxed))
    }
    pub(super) fn store_real_blocked(&self, _: &Siglock, s: SigSet) {
        self.real_blocked.store(s.0, Relaxed);
    }
    /// What `sigsuspend` and its kin put aside.
    #[inline]
    pub fn saved_sigmask(&self) -> SigSet {
        SigSet(self.saved_sigmask.load(Relaxed))
    }
    pub(super) fn save_sigmask(&self, s: SigSet) {
        self.saved_sigmask.store(s.0, Relaxed);
    }

    /// Job control bits.
    #[inline]
    pub fn jobctl(&self) -> u32 {
        self.jobctl.load(Relaxed)
    }
    pub(in crate::kernel) fn jobctl_set(&self, _: &Siglock, bits: u32) {
        self.jobctl.store(self.jobctl() | bits, Relaxed);
    }
    pub(in crate::kernel) fn jobctl_clear(&self, _: &Siglock, bits: u32) {
        self.jobctl.store(self.jobctl() & !bits, Relaxed);
    }
}

/// Limits on what a process may use, in Linux's numbering.
pub mod rlimit {
    use super::raw;
    macro_rules! limits {
        ($($short:ident = $name:ident),* $(,)?) => {
            $(#[doc = concat!("Linux's `", stringify!($name), "`.")]
            pub const $short: usize = raw::$name as usize;)*
        };
    }
    limits! {
        CPU = RLIMIT_CPU, FSIZE = RLIMIT_FSIZE, DATA = RLIMIT_DATA, STACK = RLIMIT_STACK,
        CORE = RLIMIT_CORE, RSS = RLIMIT_RSS, NPROC = RLIMIT_NPROC, NOFILE = RLIMIT_NOFILE,
        MEMLOCK = RLIMIT_MEMLOCK, AS = RLIMIT_AS, LOCKS = RLIMIT_LOCKS,
        SIGPENDING = RLIMIT_SIGPENDING, MSGQUEUE = RLIMIT_MSGQUEUE, NICE = RLIMIT_NICE,
        RTPRIO = RLIMIT_RTPRIO, RTTIME = RLIMIT_RTTIME,
    }
    /// How many there are.
    pub const NLIMITS: usize = raw::RLIM_NLIMITS as usize;
    /// No limit.
    pub const INFINITY: u64 = u64::MAX;

    /// The first process's limits (Linux 6.1, `include/asm-generic/resource.h`);
    /// `NPROC` and `SIGPENDING` depend on the memory there is (`fork_init`).
    pub const fn initial(max_threads: u64) -> [(u64, u64); NLIMITS] {
        let mut r = [(INFINITY, INFINITY); NLIMITS];
        r[STACK] = (8 << 20, INFINITY);
        r[CORE] = (0, INFINITY);
        r[NPROC] = (max_threads / 2, max_threads / 2);
        r[NOFILE] = (1024, 4096);
        r[MEMLOCK] = (8 << 20, 8 << 20);
        r[SIGPENDING] = r[NPROC];
        r[MSGQUEUE] = (819_200, 819_200);
        r[NICE] = (0, 0);
        r[RTPRIO] = (0, 0);
        r
    }
}

/// The current process's soft limit on `resource` (see [`mod@rlimit`]).
pub fn rlimit(resource: usize) -> u64 {
    current().signal.rlimit_cur(resource)
}

/// One limit, soft and hard.
#[derive(Default)]
struct Rlimit {
    cur: AtomicU64,
    max: AtomicU64,
}

/// Time used, in nanoseconds.
#[derive(Default)]
pub struct Cputime {
    /// In user mode.
    pub utime: AtomicU64,
    /// In the kernel.
    pub stime: AtomicU64,
}

impl Cputime {
    /// Both times.
    pub fn get(&self) -> (u64, u64) {
        (self.utime.load(Relaxed), self.stime.load(Relaxed))
    }
    /// Adds to both.
    pub fn add(&self, (utime, stime): (u64, u64)) {
        self.utime.fetch_add(utime, Relaxed);
        self.stime.fetch_add(stime, Relaxed);
    }
}

/// A core dump being written (`core_state`).
#[derive(Default)]
pub struct CoreState {
    in_progress: AtomicBool,
    /// Woken by each thread that has come to wait.
    pub arrived: WaitQueue,
    /// Woken when the dump is written.
    pub done: WaitQueue,
}

impl CoreState {
    /// Whether threads that exit have to wait.
    pub fn in_progress(&self) -> bool {
        self.in_progress.load(Relaxed)
    }
    /// One thread is going to write the dump.
    pub fn begin(&self) {
        self.in_progress.store(true, Relaxed);
    }
    /// The dump is written.
    pub fn finish(&self) {
        self.in_progress.store(false, Relaxed);
        self.done.wake_up();
    }
}

/// What the threads of a process share (Linux's `signal_struct`).
#[derive(Default)]
pub struct SignalStruct {
    /// Signals for the process: any thread may take them.
    pub shared_pending: SigPending,
    /// The threads that are not released yet, in the order in which they came.
    pub threads: SigCell<Vec<Arc<Task>>>,
    /// How many there are.
    pub nr_threads: AtomicU32,
    /// The parent process, for those who only want to know its number; 0 for the first process.
    pub ppid: AtomicI32,
    /// Threads that have not entered `do_exit` yet (`live`); the core counts it.
    pub live: AtomicI32,
    /// `SIGNAL_*`, under the siglock.
    pub flags: AtomicU32,
    /// Wait status of the group's exit, or the signal that stopped it.
    pub group_exit_code: AtomicI32,
    /// Threads that still have to stop.
    pub group_stop_count: AtomicU32,
    /// Thread id of the thread that is in `execve` and waits for the others to die, or 0.
    pub group_exec_task: AtomicI32,
    /// Thread id of the thread that got the last group-wide signal.
    pub curr_target: AtomicI32,
    /// Process group; `TaskList::change_pgrp` changes it.
    pub pgrp: AtomicI32,
    /// Session; changes with the group.
    pub session: AtomicI32,
    /// Whether the process leads its session.
    pub leader: AtomicU32,
    /// Whether a process group or a session was named after the process: its number is theirs
    /// as long as they are.
    pub led: AtomicBool,
    /// Whether it takes the orphans among its descendants (`PR_SET_CHILD_SUBREAPER`).
    pub is_child_subreaper: AtomicBool,
    /// Device number of the controlling terminal, or 0.
    pub tty: AtomicU32,
    /// The foreground of the terminal that was taken from the session: its leader's end is still
    /// told to it.
    pub tty_old_pgrp: AtomicI32,
    /// How much sooner than others the process is ended when memory is short, and how much later
    /// it may be without the right to say so (`oom_score_adj`).
    pub oom_score_adj: AtomicI32,
    #[allow(missing_docs)]
    pub oom_score_adj_min: AtomicI32,
    /// How often the process has called `execve` since it was forked: `setpgid` asks, and who
    /// dies as its child (`self_exec_id`).
    pub did_exec: AtomicU32,
    rlim: [Rlimit; rlimit::NLIMITS],
    /// `setitimer`'s timers.
    pub itimers: Itimers,
    /// `timer_create`'s timers.
    pub posix_timers: PosixTimers,
    /// Armed timers on the process's CPU time, its own or others'.
    pub cpu_timers: CpuTimers,
    /// `wait4` sleeps here.
    pub wait_chldexit: WaitQueue,
    /// Who polls a descriptor of the process, since somebody did.
    wait_pidfd: spin::Once<Arc<WaitQueue>>,
    /// `execve` waits here until it is the only thread.
    pub thread_gone: WaitQueue,
    /// Who attaches waits until an `execve` is done.
    pub cred_guard: CredGuard,
    /// A core dump of the process.
    pub core: CoreState,
    /// What threads used that were released, and most memory that was left.
    pub dead: Used,
    /// What children used that were waited for.
    pub children: Used,
}

impl SignalStruct {
    /// For the first process, of a machine that is good for so many tasks.
    pub fn new(max_threads: i32) -> Arc<Self> {
        let s = Self::default();
        for (i, (cur, max)) in rlimit::initial(max_threads as u64).into_iter().enumerate() {
            s.set_rlimit(i, cur, max);
        }
        Arc::new(s)
    }

    /// For a new process: limits, process group, session and terminal are
    /// inherited, everything else starts afresh (`copy_signal`).
    pub fn fork(&self) -> Arc<Self> {
        let s = Self::default();
        for i in 0..rlimit::NLIMITS {
            let (cur, max) = self.rlimit(i);
            s.set_rlimit(i, cur, max);
        }
        s.pgrp.store(self.pgrp(), Relaxed);
        s.session.store(self.session(), Relaxed);
        s.tty.store(self.tty.load(Relaxed), Relaxed);
        s.oom_score_adj.store(self.oom_score_adj.load(Relaxed), Relaxed);
        s.oom_score_adj_min.store(self.oom_score_adj_min.load(Relaxed), Relaxed);
        Arc::new(s)
    }

    /// Soft and hard limit `i` (see [`rlimit`]).
    pub fn rlimit(&self, i: usize) -> (u64, u64) {
        (self.rlim[i].cur.load(Relaxed), self.rlim[i].max.load(Relaxed))
    }
    /// Soft limit `i`.
    #[inline]
    pub fn rlimit_cur(&self, i: usize) -> u64 {
        self.rlim[i].cur.load(Relaxed)
    }
    /// Sets limit `i`.
    pub fn set_rlimit(&self, i: usize, cur: u64, max: u64) {
        self.rlim[i].cur.store(cur, Relaxed);
        self.rlim[i].max.store(max, Relaxed);
        if i == rlimit::CPU {
            self.itimers.watch_cpu_limit(cur != rlimit::INFINITY);
        }
    }

    /// Process group id.
    #[inline]
    pub fn pgrp(&self) -> i32 {
        self.pgrp.load(Relaxed)
    }
    /// Session id.
    #[inline]
    pub fn session(&self) -> i32 {
        self.session.load(Relaxed)
    }

    /// `SIGNAL_*`.
    #[inline]
    pub fn flags(&self) -> u32 {
        self.flags.load(Relaxed)
    }
    pub(super) fn store_flags(&self, _: &Siglock, flags: u32) {
        self.flags.store(flags, Relaxed);
    }
    /// Makes it the first process: it gets only signals that it has handlers for.
    pub fn set_unkillable(&self) {
        self.flags.fetch_or(signal_flags::UNKILLABLE, Relaxed);
    }

    /// Adds a new thread to its group (the end of Linux 6.1's `copy_process`).
    pub fn add_thread(&self, l: &Siglock, t: &Arc<Task>) {
        push_reserved(&mut self.threads.lock(l), t.clone());
        self.nr_threads.fetch_add(1, Relaxed);
        if !t.is_leader() {
            super::jobctl::task_join_group_stop(l, t);
            return;
        }
        self.curr_target.store(t.pid(), Relaxed);
        if t.is_global_init() {
            self.set_unkillable();
        }
    }

    /// Takes a released thread out of its group: its time goes to the group's
    /// account, its pending signals are dropped (`__exit_signal`).
    pub fn remove_thread(&self, t: &Task) {
        let mut gone = None;
        with_siglock(t, |l| {
            let mut threads = self.threads.lock(l);
            if let Some(i) = threads.iter().position(|x| core::ptr::eq(&raw const **x, t)) {
                gone = Some(threads.remove(i));
                self.nr_threads.fetch_sub(1, Relaxed);
                self.dead.add(Rusage::of_task(t));
            }
            if self.curr_target.load(Relaxed) == t.pid() {
                self.curr_target.store(threads.first().map_or(0, |x| x.pid()), Relaxed);
            }
            let last = threads.is_empty();
            drop(threads);
            t.sig.pending.flush(l, SigSet::ALL);
            t.clear_flag(tif::SIGPENDING);
            if last {
                self.shared_pending.flush(l, SigSet::ALL);
            }
        });
        t.sig.cpu_timers.cleanup();
        if self.nr_threads.load(Relaxed) == 0 {
            self.itimers.cancel_all();
            self.cpu_timers.cleanup();
        }
        self.thread_gone.wake_up();
        drop(gone);
    }

    /// Who polls a descriptor of the process.
    pub fn wait_pidfd(&self) -> &Arc<WaitQueue> {
        self.wait_pidfd.call_once(Arc::default)
    }
    /// They learn of its end (`do_notify_pidfd`).
    pub fn notify_pidfd(&self) {
        if let Some(q) = self.wait_pidfd.get() {
            q.wake_up();
        }
    }

    /// Whether there is but one thread (`thread_group_empty`).
    #[inline]
    pub fn thread_group_empty(&self) -> bool {
        self.nr_threads.load(Relaxed) <= 1
    }

    /// The thread whose id is the process's, unless it was released.
    pub fn group_leader(&self) -> Option<Arc<Task>> {
        self.threads.with_irqs_off(|v| v.iter().find(|t| t.is_leader()).cloned())
    }

    /// Some thread: the leader if it is there.
    pub fn any_thread(&self) -> Option<Arc<Task>> {
        self.threads.with_irqs_off(|v| v.iter().find(|t| t.is_leader()).or(v.first()).cloned())
    }

    /// User and system time of the whole process (`thread_group_cputime`).
    pub fn cputime(&self) -> (u64, u64) {
        self.threads.with_irqs_off(|v| {
            v.iter().fold(self.dead.times.get(), |(u, s), t| {
                (u + t.utime.load(Relaxed), s + t.stime.load(Relaxed))
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_process_inherits_limits_and_groups_only() {
        let p = SignalStruct::default();
        p.set_rlimit(rlimit::NOFILE, 7, 9);
        p.pgrp.store(5, Relaxed);
        p.session.store(4, Relaxed);
        p.set_unkillable();
        let c = p.fork();
        assert_eq!(c.rlimit(rlimit::NOFILE), (7, 9));
        assert_eq!((c.pgrp(), c.session(), c.flags()), (5, 4, 0));
    }

    #[test]
    fn a_new_thread_inherits_its_mask() {
        super::super::with_test_lock(|l| {
            let p = TaskSignals::new();
            p.store_blocked(l, SigSet::of(5));
            p.pending.add(l, 5);
            p.altstack.set(0x1000, 0x2000, 0);
            let c = TaskSignals::fork(&p, false);
            assert_eq!((c.blocked(), c.pending.set()), (SigSet::of(5), SigSet::EMPTY));
            assert_eq!(c.altstack.get().size, 0x2000);
            assert_eq!(TaskSignals::fork(&p, true).altstack.get().size, 0);
        });
    }

    #[test]
    fn first_limits_are_linuxs() {
        let r = rlimit::initial(1000);
        assert_eq!(r[rlimit::STACK], (8 << 20, u64::MAX));
        assert_eq!(r[rlimit::SIGPENDING], (500, 500));
        assert_eq!(r[rlimit::CORE].0, 0);
    }
}
