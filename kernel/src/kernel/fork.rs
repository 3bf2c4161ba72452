// SPDX-License-Identifier: GPL-2.0-only
//! Making tasks (Linux 6.1, `kernel/fork.c`, `kernel/pid.c`), and the list of all.

mod clone3;
mod groups;

pub use clone3::sys_clone3;
pub use groups::for_each_in_pgrp;

use crate::arch::x86::ia32::in_compat_syscall;
use crate::arch::x86::kernel::process_64::{self, KernelStack, Thread};
use crate::arch::x86::kernel::step;
use crate::arch::x86::kernel::tls::set_new_tls;
use crate::arch::x86::lib::usercopy::{TASK_SIZE_MAX, put_user};
use crate::arch::x86::ptrace::PtRegs;
use crate::errno::{EAGAIN, EEXIST, EINTR, EINVAL, EPERM, ERESTARTNOINTR, Result};
use crate::fs::file::UnusedFd;
use crate::fs::fs_struct::current_fs;
use crate::fs::{FilesStruct, FsStruct};
use crate::ipc::sem::undo::SysvSem;
use crate::kernel::capability::capable;
use crate::kernel::cred::Cred;
use crate::kernel::exit::{Relations, adopt};
use crate::kernel::futex::TaskFutexes;
use crate::kernel::pid::pidfd_file;
use crate::kernel::prctl::Settings;
use crate::kernel::ptrace::{PtraceState, ptrace_event, ptrace_init_task};
use crate::kernel::rseq::{Rseq, rseq_fork};
use crate::kernel::sched::{SchedEntity, wake_up_new_task};
use crate::kernel::seccomp::{Seccomp, copy_seccomp};
use crate::kernel::signal::{
    Sighand, SignalStruct, TaskSignals, fatal_signal_pending, rlimit, signal_pending, with_siglock,
};
use crate::kernel::task::{Current, OwnCell, Shared, Task, current, pf, pgd_of, tif};
use crate::kernel::time::timekeeping::ktime_get;
use crate::kernel::ucount::{Charge, UcountRlimit};
use crate::kernel::wait::WaitQueue;
use crate::locking::{IrqGuard, IrqLock};
use crate::mm::Mm;
use crate::mm::page_alloc::with_reserve;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::hash::{BuildHasherDefault, Hasher};
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, Ordering};
use hashbrown::{HashMap, HashSet};
use linux_raw_sys::general as nr;
use linux_raw_sys::general::{CAP_SYS_ADMIN, CAP_SYS_RESOURCE};
use linux_raw_sys::ptrace::{
    PTRACE_EVENT_CLONE, PTRACE_EVENT_FORK, PTRACE_EVENT_VFORK, PTRACE_EVENT_VFORK_DONE,
};

/// Pids wrap here (`pid_max`; `/proc/sys/kernel/pid_max`).
pub static PID_MAX: AtomicI32 = AtomicI32::new(32768);
/// Most tasks (`/proc/sys/kernel/threads-max`).
pub static MAX_THREADS: AtomicI32 = AtomicI32::new(i32::MAX);
/// What it may be set to (`sysctl_max_threads`).
pub const MAX_THREADS_RANGE: core::ops::RangeInclusive<i32> = 1..=0x3fff_ffff;
/// The least that it is by itself.
const MIN_THREADS: u64 = 20;

/// How many tasks the memory is good for (`set_max_threads`): their stacks may take an eighth of it.
fn set_max_threads() -> i32 {
    let bytes = crate::mm::page_alloc::totalram_pages() as u64 * 4096;
    let n = bytes / (process_64::THREAD_SIZE as u64 * 8);
    let n = n.clamp(MIN_THREADS, *MAX_THREADS_RANGE.end() as u64) as i32;
    MAX_THREADS.store(n, Ordering::Relaxed);
    n
}

/// After wrapping, pids start here (`RESERVED_PIDS`).
const RESERVED_PIDS: i32 = 300;

/// A pid is its own hash.
#[derive(Default)]
pub struct PidHasher(u64);

impl Hasher for PidHasher {
    fn finish(&self) -> u64 {
        // The table takes its bucket from the low bits and its tag from the high ones.
        self.0.wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
    fn write(&mut self, bytes: &[u8]) {
        for &b in bytes {
            self.0 = self.0 << 8 | u64::from(b);
        }
    }
    fn write_i32(&mut self, v: i32) {
        self.0 = v as u64;
    }
}

/// Every task that has not been released, by thread id (Linux's `tasklist_lock`
/// and the pid hash).
pub struct TaskList {
    by_pid: HashMap<i32, Arc<Task>, BuildHasherDefault<PidHasher>>,
    /// Process groups and sessions whose leaders were released: their numbers are not given
    /// to new tasks. Some may have lost their last members since.
    leaderless: HashSet<i32, BuildHasherDefault<PidHasher>>,
    groups: groups::Groups,
    last_pid: i32,
}

/// The task list. Its lock is taken before any sighand's.
pub static TASKLIST: IrqLock<TaskList> = IrqLock::new(TaskList {
    by_pid: HashMap::with_hasher(BuildHasherDefault::new()),
    leaderless: HashSet::with_hasher(BuildHasherDefault::new()),
    groups: groups::Groups::new(),
    last_pid: 0,
});

/// Holding this means holding the task list's lock.
pub type TaskListGuard<'a> = IrqGuard<'a, TaskList>;

/// Tasks created since boot (`/proc/stat`'s `processes`).
pub static TOTAL_FORKS: AtomicU64 = AtomicU64::new(0);

impl TaskList {
    /// The thread with this id.
    pub fn find(&self, pid: i32) -> Option<Arc<Task>> {
        self.by_pid.get(&pid).cloned()
    }
    /// All threads, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Task>> {
        self.by_pid.values()
    }
    /// Number of threads.
    pub fn len(&self) -> usize {
        self.by_pid.len()
    }
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_pid.is_empty()
    }
    /// Takes a released task off the list. Its number stays taken while a process group or a
    /// session has it.
    pub fn remove(&mut self, pid: i32) -> Option<Arc<Task>> {
        let t = self.by_pid.remove(&pid)?;
        if t.is_leader() {
            self.detach_pgrp(&t);
        }
        if t.signal.led.load(Ordering::Relaxed) && self.is_group(pid) {
            with_reserve(|| self.leaderless.insert(pid));
        }
        Some(t)
    }
    /// Lets two threads have each other's id (`exchange_tids`).
    pub fn exchange_tids(&mut self, a: &Arc<Task>, b: &Arc<Task>) {
        let (x, y) = (a.pid(), b.pid());
        a.tid.store(y, Ordering::Relaxed);
        b.tid.store(x, Ordering::Relaxed);
        for t in [a, b] {
            if let Some(entry) = self.by_pid.get_mut(&t.pid()) {
                *entry = t.clone();
            }
        }
    }
    /// Whether a task, a process group or a session has this number.
    pub fn is_taken(&mut self, pid: i32) -> bool {
        if self.by_pid.contains_key(&pid) {
            return true;
        }
        if !self.leaderless.contains(&pid) {
            return false;
        }
        let taken = self.is_group(pid);
        if !taken {
            self.leaderless.remove(&pid);
        }
        taken
    }
    /// A number for a new task: the one that is wanted, or the next free one (`alloc_pid`).
    fn alloc_pid(&mut self, wanted: Option<i32>) -> Result<i32> {
        let max = PID_MAX.load(Ordering::Relaxed).max(RESERVED_PIDS + 1);
        if let Some(pid) = wanted {
            return if self.is_taken(pid) { Err(EEXIST) } else { Ok(pid) };
        }
        let mut pid = self.last_pid;
        for _ in 0..max {
            pid += 1;
            if pid >= max {
                pid = RESERVED_PIDS;
            }
            if !self.is_taken(pid) {
                self.last_pid = pid;
                return Ok(pid);
            }
        }
        Err(EAGAIN)
    }
}

/// The thread with this id (`find_task_by_vpid`).
pub fn find_task(pid: i32) -> Option<Arc<Task>> {
    TASKLIST.lock().find(pid)
}

/// Calls `f` for every process's leader, by ascending pid, without any lock held.
pub fn for_each_process(mut f: impl FnMut(&Arc<Task>)) {
    let mut all: Vec<Arc<Task>> = Vec::new();
    let list = TASKLIST.lock();
    let fits = all.try_reserve(list.len()).is_ok();
    if fits {
        all.extend(list.iter().filter(|t| t.is_leader()).cloned());
    }
    drop(list);
    if fits {
        all.sort_unstable_by_key(|t| t.pid());
        return all.iter().for_each(&mut f);
    }
    // Without memory, which is when the OOM killer asks: slowly, one at a time.
    let next = |after: i32| {
        let list = TASKLIST.lock();
        list.iter().filter(|t| t.is_leader() && t.pid() > after).min_by_key(|t| t.pid()).cloned()
    };
    let mut last = 0;
    while let Some(t) = next(last) {
        last = t.pid();
        f(&t);
    }
}

/// Something that happens once, and that others wait for (`struct completion`).
#[derive(Default)]
pub struct Completion {
    done: AtomicBool,
    wait: WaitQueue,
}

impl Completion {
    /// Not done yet.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }
    /// Done: wakes whoever waits.
    pub fn complete(&self) {
        self.done.store(true, Ordering::Release);
        self.wait.wake_up();
    }
    /// Waits until it is done; false if a fatal signal came first.
    fn wait_killable(&self) -> bool {
        self.wait.wait_event_killable(|| self.done.load(Ordering::Acquire)).is_ok()
    }
}

/// What `clone` was asked for (`struct kernel_clone_args`).
#[derive(Clone, Copy, Debug, Default)]
pub struct CloneArgs {
    /// `CLONE_*`, without the signal in the low byte.
    pub flags: u64,
    /// Signal for the parent when the child dies; 0 for none.
    pub exit_signal: i32,
    /// The child's stack pointer, or 0 for the parent's.
    pub stack: u64,
    /// Where `CLONE_PIDFD` writes.
    pub pidfd: usize,
    /// Where `CLONE_PARENT_SETTID` writes.
    pub parent_tid: usize,
    /// Where `CLONE_CHILD_SETTID` writes and `CLONE_CHILD_CLEARTID` clears.
    pub child_tid: usize,
    /// FS base for `CLONE_SETTLS`; of a call by `int $0x80` a `struct user_desc`'s address.
    pub tls: u64,
    /// The thread id it is to have.
    pub set_tid: Option<i32>,
}

/// There are no namespaces.
pub const CLONE_NAMESPACES: u32 = nr::CLONE_NEWNS
    | nr::CLONE_NEWCGROUP
    | nr::CLONE_NEWUTS
    | nr::CLONE_NEWIPC
    | nr::CLONE_NEWUSER
    | nr::CLONE_NEWPID
    | nr::CLONE_NEWNET;

impl CloneArgs {
    fn has(&self, flag: u32) -> bool {
        self.flags & u64::from(flag) != 0
    }

    /// The combinations that make no sense (Linux 6.1, `copy_process`).
    fn check(&self) -> Result {
        let has = |f| self.has(f);
        if has(nr::CLONE_NEWNS) && has(nr::CLONE_FS)
            || has(nr::CLONE_THREAD) && !has(nr::CLONE_SIGHAND)
            || has(nr::CLONE_SIGHAND) && !has(nr::CLONE_VM)
            || has(nr::CLONE_PIDFD) && has(nr::CLONE_THREAD | nr::CLONE_DETACHED)
            // Descriptor and thread id would go to one place.
            || has(nr::CLONE_PIDFD) && has(nr::CLONE_PARENT_SETTID) && self.pidfd == self.parent_tid
            || self.flags & u64::from(CLONE_NAMESPACES) != 0
        {
            return Err(EINVAL);
        }
        if has(nr::CLONE_PARENT) && current().is_global_init() {
            return Err(EINVAL);
        }
        Ok(())
    }
}

/// Fills the parts of a task that do not depend on how it is made.
struct Parts {
    mm: Option<Arc<Mm>>,
    files: Arc<FilesStruct>,
    fs: Option<Arc<FsStruct>>,
    cred: Arc<Cred>,
    signal: Arc<SignalStruct>,
    sighand: Arc<Sighand>,
    sig: TaskSignals,
    thread: Thread,
    stack: KernelStack,
    comm: [u8; 16],
}

fn new_task(pid: i32, tgid: i32, p: Parts) -> Arc<Task> {
    Arc::new(Task {
        tid: AtomicI32::new(pid),
        tgid,
        state: AtomicU32::new(crate::kernel::task::TASK_UNINTERRUPTIBLE),
        flags: AtomicU32::new(0),
        pf: AtomicU32::new(pf::FORKNOEXEC),
        se: SchedEntity::default(),
        thread: OwnCell::new(p.thread),
        stack: p.stack,
        mm_pgd: AtomicU64::new(pgd_of(p.mm.as_ref())),
        mm: IrqLock::new(p.mm),
        files: IrqLock::new(Some(p.files)),
        fs: IrqLock::new(p.fs),
        cred: Shared::new(p.cred),
        signal: p.signal,
        sighand: Shared::new(p.sighand),
        sig: p.sig,
        rel: Relations::default(),
        ptrace: PtraceState::default(),
        comm: IrqLock::new(p.comm),
        clear_child_tid: AtomicU64::new(0),
        set_child_tid: AtomicU64::new(0),
        vfork_done: IrqLock::new(None),
        pdeath_signal: AtomicU32::new(0),
        robust_list: AtomicU64::new(0),
        compat_robust_list: AtomicU32::new(0),
        futex: TaskFutexes::default(),
        sysvsem: SysvSem::default(),
        rseq: Rseq::default(),
        seccomp: Seccomp::default(),
        no_new_privs: AtomicBool::new(false),
        user_dumpable: AtomicBool::new(false),
        settings: Settings::default(),
        personality: AtomicU32::new(0),
        exit_code: AtomicU32::new(0),
        utime: AtomicU64::new(0),
        stime: AtomicU64::new(0),
        min_flt: AtomicU64::new(0),
        start_time: AtomicU64::new(ktime_get()),
    })
}

/// The boot task: it becomes the idle task (pid 0, `init_task`).
pub fn init_task(stack_top: usize) -> Result<Arc<Task>> {
    let mut comm = [0; 16];
    comm[..9].copy_from_slice(b"swapper/0");
    let t = new_task(
        0,
        0,
        Parts {
            mm: None,
            files: FilesStruct::new(),
            fs: Some(FsStruct::new()),
            cred: Cred::root(),
            signal: SignalStruct::new(set_max_threads()),
            sighand: Sighand::new(),
            sig: TaskSignals::new(),
            thread: Thread::new()?,
            stack: KernelStack::from_static(stack_top),
            comm,
        },
    );
    // SAFETY: boot has left that room (`start_kernel`).
    unsafe { t.task_pt_regs().cast_mut().write(PtRegs::zeroed()) };
    t.state.store(crate::kernel::task::TASK_RUNNING, Ordering::Relaxed);
    Ok(t)
}

/// Makes pid 1, which starts in `f` and goes to user mode when `f` has set up its
/// registers (`rest_init`, `user_mode_thread`).
pub fn user_mode_thread(f: extern "C" fn(u64)) -> Result<Arc<Task>> {
    let cur = current();
    let pid = TASKLIST.lock().alloc_pid(None)?;
    let mut comm = [0; 16];
    comm[..7].copy_from_slice(b"swapper");
    let t = new_task(
        pid,
        pid,
        Parts {
            mm: None,
            files: FilesStruct::new(),
            fs: cur.fs.lock().clone(),
            cred: Cred::root(),
            signal: SignalStruct::new(MAX_THREADS.load(Ordering::Relaxed)),
            sighand: Sighand::new(),
            sig: TaskSignals::new(),
            thread: Thread::new()?,
            stack: KernelStack::new()?,
            comm,
        },
    );
    process_64::init_stack(&t, PtRegs::default(), Some((f, 0)));
    let mut list = TASKLIST.lock();
    with_siglock(&t, |l| t.signal.add_thread(l, &t));
    list.by_pid.insert(pid, t.clone());
    list.attach_pgrp(&t);
    drop(list);
    t.cred.lock().ucounts.inc(UcountRlimit::Nproc, 1);
    wake_up_new_task(&t);
    Ok(t)
}

/// One thread more of the current user's, if there may be (`RLIMIT_NPROC`): root has no limit, nor
/// who may exceed limits.
fn check_nproc(cur: Current) -> Result<Charge> {
    let charge = Charge::new(cur.cred.lock().ucounts.clone(), UcountRlimit::Nproc, 1);
    if charge.is_over(cur.signal.rlimit_cur(rlimit::NPROC))
        && cur.cred.lock().uid != 0
        && !capable(CAP_SYS_RESOURCE)
        && !capable(CAP_SYS_ADMIN)
    {
        return Err(EAGAIN);
    }
    cur.pf.fetch_and(!pf::NPROC_EXCEEDED, Ordering::Relaxed);
    Ok(charge)
}

/// Copies the current task as `args` say; the copy is not running yet (`copy_process`).
fn copy_process(args: &CloneArgs, trace: bool) -> Result<Arc<Task>> {
    args.check()?;
    let cur = current();
    if signal_pending(&cur) {
        return Err(ERESTARTNOINTR);
    }
    if args.has(nr::CLONE_SETTLS) && !in_compat_syscall() && args.tls >= TASK_SIZE_MAX as u64 {
        return Err(EPERM);
    }
    let parent_pf = cur.pf.load(Ordering::Relaxed);
    let nproc = check_nproc(cur)?;
    if TASKLIST.lock().len() as i64 >= i64::from(MAX_THREADS.load(Ordering::Relaxed)) {
        return Err(EAGAIN);
    }
    let mm = match cur.get_mm() {
        Some(mm) if args.has(nr::CLONE_VM) => Some(mm),
        Some(mm) => Some(mm.fork()?),
        None => None,
    };
    let files = cur.files.lock().clone().unwrap_or_default();
    let shares_vm_only = args.has(nr::CLONE_VM) && !args.has(nr::CLONE_VFORK);
    let parts = Parts {
        mm,
        files: if args.has(nr::CLONE_FILES) { files } else { files.fork()? },
        fs: Some(if args.has(nr::CLONE_FS) { current_fs() } else { current_fs().fork() }),
        cred: cur.cred.get(),
        signal: if args.has(nr::CLONE_THREAD) { cur.signal.clone() } else { cur.signal.fork() },
        sighand: match () {
            () if args.has(nr::CLONE_SIGHAND) => cur.sighand.get(),
            () if args.flags & nr::CLONE_CLEAR_SIGHAND != 0 => cur.sighand.get().fork_cleared(),
            () => cur.sighand.get().fork(),
        },
        // Linux resets the alternate stack when memory is shared, except for vfork.
        sig: TaskSignals::fork(&cur.sig, shares_vm_only),
        thread: cur.thread().fork()?,
        stack: KernelStack::new()?,
        comm: *cur.comm.lock(),
    };
    let regs = cur.pt_regs().clone();
    regs.ax.set(0);
    if args.stack != 0 {
        regs.sp.set(args.stack);
    }
    step::forget_single_step(&cur, &regs);
    if args.has(nr::CLONE_SETTLS) {
        if in_compat_syscall() {
            set_new_tls(&parts.thread, args.tls as usize)?;
        } else {
            parts.thread.fsindex.set(0);
            parts.thread.fsbase.set(args.tls);
        }
    }
    let pidfd = reserve_pidfd(args)?;
    let mut list = TASKLIST.lock();
    let pid = list.alloc_pid(args.set_tid)?;
    let tgid = if args.has(nr::CLONE_THREAD) { cur.tgid } else { pid };
    let t = new_task(pid, tgid, parts);
    process_64::init_stack(&t, regs, None);
    t.personality.store(cur.personality.load(Ordering::Relaxed), Ordering::Relaxed);
    t.se.inherit(&cur.se);
    if args.has(nr::CLONE_SYSVSEM) {
        cur.sysvsem.share(&t.sysvsem);
    }
    t.settings.inherit(&cur.settings);
    t.no_new_privs.store(cur.no_new_privs.load(Ordering::Relaxed), Ordering::Relaxed);
    t.set_flag(cur.flags.load(Ordering::Relaxed) & tif::INHERITED);
    t.pf.fetch_or(parent_pf & (pf::RANDOMIZE | pf::NPROC_EXCEEDED), Ordering::Relaxed);
    if !args.has(nr::CLONE_VM) {
        rseq_fork(&cur, &t);
    }
    if args.has(nr::CLONE_CHILD_SETTID) {
        t.set_child_tid.store(args.child_tid as u64, Ordering::Relaxed);
    }
    if args.has(nr::CLONE_CHILD_CLEARTID) {
        t.clear_child_tid.store(args.child_tid as u64, Ordering::Relaxed);
    }
    copy_seccomp(&cur, &t);
    if !link(&mut list, &t, args) {
        drop(list);
        return Err(EINTR);
    }
    nproc.keep();
    ptrace_init_task(&mut list, &t, trace);
    drop(list);
    if let Some(fd) = pidfd {
        fd.install(pidfd_file(&t, 0));
    }
    Ok(t)
}

/// A descriptor for the new process, if it is to have one; the program knows its number.
fn reserve_pidfd(args: &CloneArgs) -> Result<Option<UnusedFd>> {
    if !args.has(nr::CLONE_PIDFD) {
        return Ok(None);
    }
    let fd = UnusedFd::get(nr::O_CLOEXEC)?;
    put_user(args.pidfd, &fd.fd())?;
    Ok(Some(fd))
}

/// Gives the new task its place in its thread group, its parent, and its place in the list; false
/// if its maker is being killed: with the siglock, the new task either gets what kills the group,
/// or does not come to be.
fn link(list: &mut TaskListGuard<'_>, t: &Arc<Task>, args: &CloneArgs) -> bool {
    let cur = current();
    let joined = with_siglock(&cur, |l| {
        let alive = !fatal_signal_pending(&cur);
        if alive {
            t.signal.add_thread(l, t);
        }
        alive
    });
    if !joined {
        return false;
    }
    if t.is_leader() {
        let leader = list.find(cur.tgid);
        let execs = cur.signal.did_exec.load(Ordering::Relaxed);
        let (maker, parent, sig, execs) = match leader {
            // A sibling of the process.
            Some(l) if args.has(nr::CLONE_PARENT) => {
                (l.rel.maker(list), l.rel.parent(list), l.rel.exit_signal(), l.rel.parent_execs())
            }
            l => (Some(cur.to_arc()), l, args.exit_signal, execs),
        };
        // They may have changed since the copy was made.
        t.signal.pgrp.store(cur.signal.pgrp(), Ordering::Relaxed);
        t.signal.session.store(cur.signal.session(), Ordering::Relaxed);
        list.attach_pgrp(t);
        t.rel.set_exit_signal(sig);
        t.rel.set_parent_execs(execs);
        if let Some(p) = parent {
            adopt(list, &p, maker.as_ref().unwrap_or(&p), t);
        }
    } else {
        t.rel.set_exit_signal(-1);
    }
    with_reserve(|| list.by_pid.insert(t.pid(), t.clone()));
    TOTAL_FORKS.fetch_add(1, Ordering::Relaxed);
    true
}

/// The event by which a tracer hears of a new task, if it wants to; else 0.
fn traced_event(args: &CloneArgs) -> u32 {
    let event = match args {
        a if a.has(nr::CLONE_UNTRACED) => return 0,
        a if a.has(nr::CLONE_VFORK) => PTRACE_EVENT_VFORK,
        a if a.exit_signal != nr::SIGCHLD as i32 => PTRACE_EVENT_CLONE,
        _ => PTRACE_EVENT_FORK,
    };
    if current().ptrace.event_enabled(event) { event } else { 0 }
}

/// Makes and starts a task; returns its id to the caller (`kernel_clone`).
pub fn kernel_clone(args: &CloneArgs) -> Result<usize> {
    let trace = traced_event(args);
    let t = copy_process(args, trace != 0 || args.has(nr::CLONE_PTRACE))?;
    if args.has(nr::CLONE_PARENT_SETTID) {
        let _ = put_user(args.parent_tid, &t.pid());
    }
    let vfork = args.has(nr::CLONE_VFORK).then(Completion::new);
    if let Some(c) = &vfork {
        *t.vfork_done.lock() = Some(c.clone());
    }
    let pid = t.pid();
    wake_up_new_task(&t);
    drop(t);
    if trace != 0 {
        ptrace_event(trace, pid as u64);
    }
    if let Some(c) = vfork
        && c.wait_killable()
    {
        ptrace_event(PTRACE_EVENT_VFORK_DONE, pid as u64);
    }
    Ok(pid as usize)
}

/// The current task lets go of its memory: wakes a parent that waits in `vfork`, and
/// clears the thread id that `set_tid_address` named (`mm_release`). Its locks were given up.
pub fn mm_release(t: &Task) {
    let addr = t.clear_child_tid.swap(0, Ordering::Relaxed) as usize;
    if addr != 0 && t.get_mm().is_some_and(|mm| Arc::strong_count(&mm) > 2) {
        crate::kernel::futex::clear_tid(addr);
    }
    if let Some(c) = t.vfork_done.lock().take() {
        c.complete();
    }
}

/// `fork(2)`.
pub fn sys_fork() -> Result<usize> {
    kernel_clone(&CloneArgs { exit_signal: nr::SIGCHLD as i32, ..CloneArgs::default() })
}

/// `vfork(2)`.
pub fn sys_vfork() -> Result<usize> {
    kernel_clone(&CloneArgs {
        flags: u64::from(nr::CLONE_VFORK | nr::CLONE_VM),
        exit_signal: nr::SIGCHLD as i32,
        ..CloneArgs::default()
    })
}

/// `clone(2)`.
pub fn sys_clone(flags: u64, stack: u64, parent_tid: usize, child_tid: usize, tls: u64) -> Result<usize> {
    kernel_clone(&CloneArgs {
        flags: flags & 0xffff_ff00,
        exit_signal: (flags & 0xff) as i32,
        stack,
        pidfd: parent_tid,
        parent_tid,
        child_tid,
        tls,
        set_tid: None,
    })
}

/// `set_tid_address(2)`.
pub fn sys_set_tid_address(addr: u64) -> Result<usize> {
    current().clear_child_tid.store(addr, Ordering::Relaxed);
    Ok(current().pid() as usize)
}

/// Asks the running task to look at its flags before it returns to user mode.
pub fn set_notify_resume(t: &Task) {
    t.set_flag(tif::NOTIFY_RESUME);
}
