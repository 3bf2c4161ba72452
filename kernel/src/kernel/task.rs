// SPDX-License-Identifier: GPL-2.0-only
//! `task_struct`: one thread as the kernel knows it.
//!
//! Follows Linux 6.1, `include/linux/sched.h`, divided as ownership divides it:
//! fields that only the task itself writes are atomics or [`OwnCell`]s, shared
//! parts are `Arc`s behind an [`IrqLock`], family links live under the task
//! list's lock (`kernel/fork.rs`), and signal state under the sighand's lock
//! (`kernel/signal`).

use crate::arch::x86::kernel::process_64::{KernelStack, Thread};
use crate::arch::x86::ptrace::PtRegs;
use crate::fs::{FilesStruct, FsStruct};
use crate::kernel::cred::Cred;
use crate::kernel::exit::Relations;
use crate::kernel::prctl::Settings;
use crate::kernel::ptrace::PtraceState;
use crate::kernel::sched::SchedEntity;
use crate::kernel::signal::{Sighand, SignalStruct, TaskSignals};
use crate::locking::{IrqGuard, IrqLock};
use crate::mm::Mm;
use alloc::sync::Arc;
use core::cell::UnsafeCell;
use core::marker::PhantomData;
use core::ops::Deref;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, Ordering};

/// Runnable or running.
pub const TASK_RUNNING: u32 = 0;
/// Sleeping; a signal wakes it.
pub const TASK_INTERRUPTIBLE: u32 = 1;
/// Sleeping; only what it waits for wakes it.
pub const TASK_UNINTERRUPTIBLE: u32 = 2;
/// Stopped by a signal (`__TASK_STOPPED`).
pub const TASK_STOPPED: u32 = 4;
/// Stopped by a tracer.
pub const TASK_TRACED: u32 = 8;
/// Sleeping, and a fatal signal wakes it (or'ed to the other sleeping states).
pub const TASK_WAKEKILL: u32 = 0x100;
/// Will never run again; its memory goes when the last reference does.
pub const TASK_DEAD: u32 = 0x80;
/// Sleeping uninterruptibly except for fatal signals.
pub const TASK_KILLABLE: u32 = TASK_WAKEKILL | TASK_UNINTERRUPTIBLE;

/// Bits of [`Task::flags`] (Linux's `TIF_*`): work to do before user mode runs.
#[allow(missing_docs)]
pub mod tif {
    pub const SIGPENDING: u32 = 1 << 2;
    pub const NEED_RESCHED: u32 = 1 << 3;
    pub const SINGLESTEP: u32 = 1 << 4;
    pub const RESTORE_SIGMASK: u32 = 1 << 5;
    pub const NOTIFY_RESUME: u32 = 1 << 1;
    /// Stop for the tracer around system calls.
    pub const SYSCALL_TRACE: u32 = 1 << 0;
    /// Stop before system calls, and do not do them (Linux's `SYSCALL_WORK_SYSCALL_EMU`).
    pub const SYSCALL_EMU: u32 = 1 << 6;
    /// A single step over a system call ends with it (`SYSCALL_WORK_SYSCALL_EXIT_TRAP`).
    pub const SYSCALL_EXIT_TRAP: u32 = 1 << 7;
    /// It may not make every system call (`SYSCALL_WORK_SECCOMP`).
    pub const SECCOMP: u32 = 1 << 8;
    /// It wants to see its system calls itself.
    pub const SYSCALL_USER_DISPATCH: u32 = 1 << 9;
    /// The trap flag is the tracer's.
    pub const FORCED_TF: u32 = 1 << 24;
    /// The trap flag traps at branches only.
    pub const BLOCKSTEP: u32 = 1 << 25;
    /// The tracer has set debug registers.
    pub const HW_BREAKPOINT: u32 = 1 << 26;
    /// It has registered restartable sequences.
    pub const RSEQ: u32 = 1 << 27;
    pub const NOTSC: u32 = 1 << 16;
    pub const IO_BITMAP: u32 = 1 << 22;
    /// What `fork` passes on.
    pub const INHERITED: u32 = NOTSC | IO_BITMAP;
    /// What a switch from or to a task has to look at.
    pub const CTXSW_WORK: u32 = NOTSC | IO_BITMAP | BLOCKSTEP | HW_BREAKPOINT | RSEQ;
    /// Anything to do before a system call.
    pub const SYSCALL_WORK_ENTER: u32 = SYSCALL_TRACE | SYSCALL_EMU | SECCOMP | SYSCALL_USER_DISPATCH;
    /// Anything to do after one.
    pub const SYSCALL_WORK_EXIT: u32 = SYSCALL_TRACE | SYSCALL_EXIT_TRAP | SYSCALL_USER_DISPATCH;
    /// Anything to do before user mode runs.
    pub const EXIT_PREPARE: u32 = EXIT_WORK | IO_BITMAP;
    /// Anything that keeps `exit_to_user_mode` in its loop.
    pub const EXIT_WORK: u32 = SIGPENDING | NEED_RESCHED | NOTIFY_RESUME;
}

/// Bits of [`Task::pf`] (Linux's `PF_*`).
#[allow(missing_docs)]
pub mod pf {
    pub const EXITING: u32 = 0x4;
    pub const FORKNOEXEC: u32 = 0x40;
    pub const SIGNALED: u32 = 0x400;
    pub const DUMPCORE: u32 = 0x200;
    /// It became a user who has more processes than the limit allows.
    pub const NPROC_EXCEEDED: u32 = 0x1000;
    pub const POSTCOREDUMP: u32 = 0x8;
    pub const KTHREAD: u32 = 0x0020_0000;
    pub const RANDOMIZE: u32 = 0x0040_0000;
}

/// A cell that only the owning task touches while it runs (or its creator,
/// before it first runs; or its reaper, after it last ran).
#[derive(Default)]
#[repr(transparent)]
pub struct OwnCell<T>(UnsafeCell<T>);

// SAFETY: access goes through `get`, whose contract keeps it to one task at a time.
unsafe impl<T: Send> Sync for OwnCell<T> {}

impl<T> OwnCell<T> {
    /// A cell holding `v`.
    pub const fn new(v: T) -> Self {
        Self(UnsafeCell::new(v))
    }
    /// A pointer to the value.
    ///
    /// Dereferencing it is sound for the owner task itself, for its creator before
    /// it is first scheduled, and for the context switch with interrupts off.
    #[inline]
    pub const fn get(&self) -> *mut T {
        self.0.get()
    }
}

/// An `Arc` that is shared between tasks and replaced as a whole (`files`, `mm`, …).
pub struct Shared<T>(IrqLock<Arc<T>>);

impl<T> Shared<T> {
    /// Wraps `v`.
    pub const fn new(v: Arc<T>) -> Self {
        Self(IrqLock::new(v))
    }
    /// Another reference to the current value.
    #[inline]
    pub fn get(&self) -> Arc<T> {
        self.0.lock().clone()
    }
    /// Replaces the value, returning the old one.
    pub fn set(&self, v: Arc<T>) -> Arc<T> {
        core::mem::replace(&mut *self.0.lock(), v)
    }
    /// Holds the value in place.
    #[inline]
    pub fn lock(&self) -> IrqGuard<'_, Arc<T>> {
        self.0.lock()
    }
}

/// One thread.
pub struct Task {
    /// Thread id: [`Task::pid`].
    pub tid: AtomicI32,
    /// Thread group id: what `getpid` returns.
    pub tgid: i32,
    /// `TASK_*`.
    pub state: AtomicU32,
    /// `TIF_*` bits.
    pub flags: AtomicU32,
    /// `PF_*` bits.
    pub pf: AtomicU32,
    /// Run-queue membership and time slice.
    pub se: SchedEntity,
    /// Architecture state: saved stack pointer, segment bases, last trap, FPU.
    pub thread: OwnCell<Thread>,
    /// The kernel stack; `pt_regs` of the user context are at its top.
    pub stack: KernelStack,
    /// The user address space; `None` for kernel threads and after `exit_mm`.
    pub mm: IrqLock<Option<Arc<Mm>>>,
    /// Its page tables, 0 without one: for NMIs, which take no lock.
    pub(super) mm_pgd: AtomicU64,
    /// Open files; `None` after `exit_files`.
    pub files: IrqLock<Option<Arc<FilesStruct>>>,
    /// Root, working directory and umask; `None` after `exit_fs`.
    pub fs: IrqLock<Option<Arc<FsStruct>>>,
    /// Credentials.
    pub cred: Shared<Cred>,
    /// What the thread group shares (Linux's `signal_struct`).
    pub signal: Arc<SignalStruct>,
    /// Signal actions and the lock over all signal state.
    pub sighand: Shared<Sighand>,
    /// This thread's own signal state.
    pub sig: TaskSignals,
    /// Parent and children, under the task list's lock.
    pub rel: Relations,
    /// This thread as a tracee.
    pub ptrace: PtraceState,
    /// Command name, as in `/proc/PID/comm`: up to 15 bytes and a NUL.
    pub comm: IrqLock<[u8; 16]>,
    /// `set_tid_address`: where to write 0 and wake when the thread exits.
    pub clear_child_tid: AtomicU64,
    /// `set_robust_list`: the locks in user memory that it may hold.
    pub robust_list: AtomicU64,
    /// The same of `int $0x80`: a list of 32-bit pointers.
    pub compat_robust_list: AtomicU32,
    /// Locks with priority inheritance that it has or waits for.
    pub futex: crate::kernel::futex::TaskFutexes,
    /// What is taken back of System V semaphores when it ends.
    pub sysvsem: crate::ipc::sem::undo::SysvSem,
    /// `rseq(2)`.
    pub rseq: crate::kernel::rseq::Rseq,
    /// `seccomp(2)`.
    pub seccomp: crate::kernel::seccomp::Seccomp,
    /// `CLONE_CHILD_SETTID`: where to write the thread id when it first runs.
    pub set_child_tid: AtomicU64,
    /// Who waits in `vfork` for this task to let go of the shared memory.
    pub vfork_done: IrqLock<Option<Arc<crate::kernel::fork::Completion>>>,
    /// `prctl(PR_SET_PDEATHSIG)`.
    pub pdeath_signal: AtomicU32,
    /// `prctl(PR_SET_NO_NEW_PRIVS)`: `exec` gives it nothing that it does not have.
    pub no_new_privs: AtomicBool,
    /// Once it has no memory any more: whether that was its user's
    /// ([`ptrace_may_access`](crate::kernel::ptrace::ptrace_may_access)).
    pub user_dumpable: AtomicBool,
    /// What `prctl(2)` keeps.
    pub settings: Settings,
    /// `personality(2)`.
    pub personality: AtomicU32,
    /// Wait status (`wait4` encoding), valid once the task is a zombie.
    pub exit_code: AtomicU32,
    /// User time in nanoseconds.
    pub utime: AtomicU64,
    /// System time in nanoseconds.
    pub stime: AtomicU64,
    /// Page faults that needed no disk.
    pub min_flt: AtomicU64,
    /// When it started, nanoseconds since boot.
    pub start_time: AtomicU64,
}

/// For [`Task::mm_pgd`].
pub(super) fn pgd_of(mm: Option<&Arc<Mm>>) -> u64 {
    mm.map_or(0, |mm| mm.pgd())
}

impl Task {
    /// Thread id (`pid` in Linux's `task_struct`). A thread that calls `execve` gets the leader's.
    #[inline]
    pub fn pid(&self) -> i32 {
        self.tid.load(Ordering::Relaxed)
    }
    /// Where the registers are that user mode was left with. To look at them is sound while the task does not run,
    /// and for itself ([`Current::pt_regs`]).
    #[inline]
    pub fn task_pt_regs(&self) -> *const PtRegs {
        (self.stack.top() - size_of::<PtRegs>()) as *const PtRegs
    }
    /// Whether any of `bits` (`TIF_*`) is set.
    #[inline]
    pub fn test_flag(&self, bits: u32) -> bool {
        self.flags.load(Ordering::Relaxed) & bits != 0
    }
    /// Sets `TIF_*` bits.
    #[inline]
    pub fn set_flag(&self, bits: u32) {
        self.flags.fetch_or(bits, Ordering::Relaxed);
    }
    /// Clears `TIF_*` bits.
    #[inline]
    pub fn clear_flag(&self, bits: u32) {
        self.flags.fetch_and(!bits, Ordering::Relaxed);
    }
    /// The address space is another one, or none from now on; returns the former.
    pub fn replace_mm(&self, mm: Option<Arc<Mm>>) -> Option<Arc<Mm>> {
        self.mm_pgd.store(pgd_of(mm.as_ref()), Ordering::Relaxed);
        core::mem::replace(&mut *self.mm.lock(), mm)
    }
    /// The page tables of the address space; 0 without one. Good in any context.
    pub fn mm_pgd(&self) -> u64 {
        self.mm_pgd.load(Ordering::Relaxed)
    }
    /// The address space, if there is one.
    pub fn get_mm(&self) -> Option<Arc<Mm>> {
        self.mm.lock().clone()
    }
    /// The address space of the process, which this thread may have left already: that of the
    /// first thread that has one (`find_lock_task_mm`).
    pub fn process_mm(&self) -> Option<Arc<Mm>> {
        let others = || self.signal.threads.with_irqs_off(|v| v.iter().find_map(|t| t.get_mm()));
        self.get_mm().or_else(others)
    }
    /// The command name without its padding.
    pub fn comm(&self) -> arrayvec::ArrayVec<u8, 16> {
        let c = *self.comm.lock();
        c.iter().copied().take_while(|&b| b != 0).collect()
    }
    /// Whether this is the thread group's leader.
    pub fn is_leader(&self) -> bool {
        self.pid() == self.tgid
    }
    /// Whether this is the first process (`is_global_init`).
    pub fn is_global_init(&self) -> bool {
        self.tgid == 1
    }
}

/// The running task. Cannot leave the CPU it was obtained on, nor be stored:
/// it is good for as long as this code runs.
#[derive(Clone, Copy)]
pub struct Current(NonNull<Task>, PhantomData<*const ()>);

impl Current {
    /// Wraps the task pointer of this CPU.
    ///
    /// # Safety
    /// `p` must be the running task.
    pub const unsafe fn from_raw(p: NonNull<Task>) -> Self {
        Self(p, PhantomData)
    }
    /// A counted reference.
    pub fn to_arc(self) -> Arc<Task> {
        // SAFETY: every task lives in an `Arc`, and the running one is alive.
        unsafe {
            Arc::increment_strong_count(self.0.as_ptr());
            Arc::from_raw(self.0.as_ptr())
        }
    }
    /// Whether `t` is this task.
    pub fn is(self, t: &Task) -> bool {
        core::ptr::eq(self.0.as_ptr(), t)
    }
    /// This task's architecture state.
    #[inline]
    pub fn thread(&self) -> &Thread {
        // SAFETY: only the running task reaches its own `Thread`, whose fields are cells.
        unsafe { &*self.thread.get() }
    }
    /// The registers that user mode was left with, last.
    #[inline]
    pub fn pt_regs(&self) -> &PtRegs {
        // SAFETY: at the top of the own stack, and cells.
        unsafe { &*self.task_pt_regs() }
    }
}

impl Deref for Current {
    type Target = Task;
    #[inline]
    fn deref(&self) -> &Task {
        // SAFETY: the running task is alive while it runs.
        unsafe { self.0.as_ref() }
    }
}

/// The running task.
#[inline]
pub fn current() -> Current {
    crate::arch::x86::percpu::this_cpu().current()
}
