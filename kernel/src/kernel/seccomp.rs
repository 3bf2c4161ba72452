// SPDX-License-Identifier: GPL-2.0-only
//! Programs that give up system calls (Linux 6.1, `kernel/seccomp.c`).
//!
//! A task in this mode has `TIF_SECCOMP`, which is looked at with the other work before a call; who
//! has not pays nothing. [`bpf`] is the language of filters.

pub mod bpf;

use crate::arch::x86::kernel::process_64::set_tsc_mode;
use crate::arch::x86::lib::usercopy::{copy_from_user, copy_to_user, get_user, put_user};
use crate::arch::x86::ptrace::PtRegs;
use crate::arch::x86::syscall::{syscall_get_arch, syscall_get_arguments};
use crate::errno::{EACCES, EFAULT, EINVAL, ENOENT, ENOMEM, ENOSYS, EOPNOTSUPP, ESRCH, Result};
use crate::kernel::capability::capable;
use crate::kernel::exit::{do_exit, others_live};
use crate::kernel::ptrace::ptrace_event;
use crate::kernel::signal::force::{force_exit_sig_info, force_sig_info};
use crate::kernel::signal::siginfo::{KernelSiginfo, SigFields};
use crate::kernel::signal::sigset::{SIGKILL, SIGSYS};
use crate::kernel::signal::{Siglock, fatal_signal_pending, with_siglock};
use crate::kernel::task::{Current, Task, current, tif};
use crate::locking::IrqLock;
use crate::mm::util::kvcalloc;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bpf::{Data, Insn};
use core::sync::atomic::{AtomicU8, AtomicU32, Ordering::Relaxed};
use linux_raw_sys::general::{self, SYS_SECCOMP};
use linux_raw_sys::ptrace::*;
use zerocopy::IntoBytes;

/// A task's `SECCOMP_MODE_*`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Mode {
    /// It may make any call.
    #[default]
    Disabled,
    /// It may read, write and end.
    Strict,
    /// Its filters are asked.
    Filter,
    /// It is going to die.
    Dead,
}

impl Mode {
    const ALL: [Self; 4] = [Self::Disabled, Self::Strict, Self::Filter, Self::Dead];
}

/// The flags of `SECCOMP_SET_MODE_FILTER`: all but those about a listener, which there is none of.
const FILTER_FLAGS: u32 = SECCOMP_FILTER_FLAG_TSYNC
    | SECCOMP_FILTER_FLAG_LOG
    | SECCOMP_FILTER_FLAG_SPEC_ALLOW
    | SECCOMP_FILTER_FLAG_TSYNC_ESRCH;

/// Instructions on the way through all filters of a task (`MAX_INSNS_PER_PATH`).
const MAX_INSNS_PER_PATH: usize = (1 << 18) / size_of::<Insn>();
const MAX_ERRNO: u32 = 4095;

/// A filter, and those that were there before it.
struct Filter {
    prev: Option<Arc<Self>>,
    program: Vec<Insn>,
    /// It was installed with `SECCOMP_FILTER_FLAG_LOG`.
    log: bool,
}

/// A task's filters, the last one first.
fn filters(last: Option<&Arc<Filter>>) -> impl Iterator<Item = &Arc<Filter>> {
    core::iter::successors(last, |f| f.prev.as_ref())
}

impl Drop for Filter {
    fn drop(&mut self) {
        // One after the other: there may be more than the stack can take.
        let mut prev = self.prev.take();
        while let Some(mut f) = prev.and_then(Arc::into_inner) {
            prev = f.prev.take();
        }
    }
}

/// A task's mode and filters.
#[derive(Default)]
pub struct Seccomp {
    mode: AtomicU8,
    count: AtomicU32,
    filter: IrqLock<Option<Arc<Filter>>>,
}

impl Seccomp {
    /// The mode, and how many filters there are.
    pub fn status(&self) -> (Mode, u32) {
        (self.mode(), self.count.load(Relaxed))
    }
    fn mode(&self) -> Mode {
        Mode::ALL[usize::from(self.mode.load(Relaxed))]
    }
    fn set_mode(&self, mode: Mode) {
        self.mode.store(mode as u8, Relaxed);
    }
    fn set_filter(&self, f: Option<Arc<Filter>>, count: u32) {
        let old = core::mem::replace(&mut *self.filter.lock(), f);
        self.count.store(count, Relaxed);
        drop(old);
    }
}

/// A new task may do what its maker may (`copy_seccomp`).
pub fn copy_seccomp(parent: &Task, child: &Task) {
    if parent.test_flag(tif::SECCOMP) {
        share(parent, child);
    }
}

fn share(from: &Task, to: &Task) {
    let (mode, count) = from.seccomp.status();
    let filter = from.seccomp.filter.lock().clone();
    to.seccomp.set_filter(filter, count);
    to.seccomp.set_mode(mode);
    to.set_flag(tif::SECCOMP);
}

/// What filters see of the call that the current task makes (`populate_seccomp_data`).
fn describe(cur: Current, regs: &PtRegs) -> Data {
    let compat = cur.thread().compat_syscall.get();
    let args = syscall_get_arguments(regs, compat);
    let mut d = [0; 16];
    d[0] = regs.orig_ax.get() as u32;
    d[1] = syscall_get_arch(compat);
    for (to, from) in d[2..].chunks_exact_mut(2).zip([regs.ip.get()].iter().chain(&args)) {
        to.copy_from_slice(&[*from as u32, (*from >> 32) as u32]);
    }
    d
}

/// The strictest answer of all filters (`seccomp_run_filters`).
fn run_filters(cur: Current, data: &Data) -> u32 {
    let last = cur.seccomp.filter.lock().clone();
    let action = |answer: u32| (answer & SECCOMP_RET_ACTION_FULL).cast_signed();
    filters(last.as_ref()).fold(SECCOMP_RET_ALLOW, |answer, f| {
        let this = bpf::run(&f.program, data);
        if action(this) < action(answer) { this } else { answer }
    })
}

/// The current task is about to make a system call: whether it may. If not, the registers hold
/// its result, or a signal is on its way (`__secure_computing`).
#[cold]
pub fn secure_computing(regs: &PtRegs) -> bool {
    let cur = current();
    if cur.ptrace.seccomp_suspended() {
        return true;
    }
    match cur.seccomp.mode() {
        Mode::Strict => {
            strict(cur, regs.orig_ax.get() as u32);
            true
        }
        Mode::Filter => seccomp_filter(cur, regs, false),
        Mode::Disabled => true,
        Mode::Dead => do_exit(SIGKILL),
    }
}

/// Only reading, writing and the ends of threads and handlers.
fn strict(cur: Current, call: u32) {
    let compat = cur.thread().compat_syscall.get();
    let allowed = if compat {
        [3, 4, 1, 119]
    } else {
        [general::__NR_read, general::__NR_write, general::__NR_exit, general::__NR_rt_sigreturn]
    };
    if !allowed.contains(&call) {
        cur.seccomp.set_mode(Mode::Dead);
        do_exit(SIGKILL);
    }
}

/// Does what the filters say. `again`: the tracer has changed the call
/// (`__seccomp_filter`).
fn seccomp_filter(cur: Current, regs: &PtRegs, again: bool) -> bool {
    let answer = run_filters(cur, &describe(cur, regs));
    let data = answer & SECCOMP_RET_DATA;
    match answer & SECCOMP_RET_ACTION_FULL {
        SECCOMP_RET_ALLOW | SECCOMP_RET_LOG => return true,
        SECCOMP_RET_ERRNO => regs.ax.set(u64::from(data.min(MAX_ERRNO)).wrapping_neg()),
        SECCOMP_RET_TRAP => {
            let info = sigsys(cur, regs, data);
            regs.ax.set(regs.orig_ax.get());
            force_sig_info(&info);
        }
        SECCOMP_RET_TRACE if again => return true,
        SECCOMP_RET_TRACE => return ask_tracer(cur, regs, data),
        // There is nobody who listens.
        SECCOMP_RET_USER_NOTIF => regs.ax.set(ENOSYS.as_ret() as u64),
        action => kill(cur, regs, action, data),
    }
    false
}

/// `SIGSYS` about this call.
fn sigsys(cur: Current, regs: &PtRegs, reason: u32) -> KernelSiginfo {
    let compat = cur.thread().compat_syscall.get();
    let (syscall, arch) = (regs.orig_ax.get() as i32, syscall_get_arch(compat));
    let mut info = KernelSiginfo::new(
        SIGSYS,
        SYS_SECCOMP as i32,
        SigFields::Sys { call_addr: regs.ip.get(), syscall, arch },
    );
    info.si_errno = reason.cast_signed();
    info
}

/// The thread dies, or with the last one the process, with a core dump.
fn kill(cur: Current, regs: &PtRegs, action: u32, data: u32) {
    cur.seccomp.set_mode(Mode::Dead);
    if action == SECCOMP_RET_KILL_THREAD && others_live(&cur) {
        do_exit(SIGSYS);
    }
    let info = sigsys(cur, regs, data);
    regs.ax.set(regs.orig_ax.get());
    force_exit_sig_info(&info);
}

/// The tracer decides, and may change the call.
fn ask_tracer(cur: Current, regs: &PtRegs, data: u32) -> bool {
    if !cur.ptrace.event_enabled(PTRACE_EVENT_SECCOMP) {
        regs.ax.set(ENOSYS.as_ret() as u64);
        return false;
    }
    ptrace_event(PTRACE_EVENT_SECCOMP, data.into());
    // A tracer that says -1 has set the result itself.
    let skipped = (regs.orig_ax.get() as i32).is_negative();
    !fatal_signal_pending(&cur) && !skipped && seccomp_filter(cur, regs, true)
}

/// Whether the task may get this mode (`seccomp_may_assign_mode`).
fn may_assign_mode(cur: Current, wanted: Mode) -> Result {
    let now = cur.seccomp.mode();
    if now == Mode::Disabled || now == wanted { Ok(()) } else { Err(EINVAL) }
}

fn set_mode_strict() -> Result<usize> {
    let cur = current();
    may_assign_mode(cur, Mode::Strict)?;
    // No clocks.
    set_tsc_mode(2)?;
    cur.seccomp.set_mode(Mode::Strict);
    cur.set_flag(tif::SECCOMP);
    Ok(0)
}

/// Reads and checks a filter: `struct sock_fprog` is at `at`
/// (`seccomp_prepare_user_filter`).
fn prepare_user_filter(at: usize, log: bool) -> Result<Filter> {
    let cur = current();
    let (len, filter) = if cur.thread().compat_syscall.get() {
        let [len, filter]: [u32; 2] = get_user(at)?;
        (len as u16, filter as usize)
    } else {
        let [len, filter]: [u64; 2] = get_user(at)?;
        (len as u16, filter as usize)
    };
    let len = usize::from(len);
    if len == 0 || len > BPF_MAXINSNS as usize {
        return Err(EINVAL);
    }
    if !cur.no_new_privs.load(Relaxed) && !capable(general::CAP_SYS_ADMIN) {
        return Err(EACCES);
    }
    if filter == 0 {
        return Err(EINVAL);
    }
    let mut program = kvcalloc::<Insn>(len)?;
    copy_from_user(program.as_mut_slice().as_mut_bytes(), filter)?;
    bpf::check(&program)?;
    Ok(Filter { prev: None, program, log })
}

/// How many instructions there are, with what each filter costs besides.
fn path_len(new: &Filter, old: Option<&Arc<Filter>>) -> usize {
    new.program.len() + filters(old).map(|f| f.program.len() + 4).sum::<usize>()
}

fn set_mode_filter(flags: u32, at: usize) -> Result<usize> {
    if flags & !FILTER_FLAGS != 0 {
        return Err(EINVAL);
    }
    let cur = current();
    let mut new = prepare_user_filter(at, flags & SECCOMP_FILTER_FLAG_LOG != 0)?;
    may_assign_mode(cur, Mode::Filter)?;
    let old = cur.seccomp.filter.lock().clone();
    if path_len(&new, old.as_ref()) > MAX_INSNS_PER_PATH {
        return Err(ENOMEM);
    }
    let tsync = flags & SECCOMP_FILTER_FLAG_TSYNC != 0;
    if tsync && let Some(tid) = with_siglock(&cur, |l| cannot_sync(l, cur)) {
        return if flags & SECCOMP_FILTER_FLAG_TSYNC_ESRCH != 0 { Err(ESRCH) } else { Ok(tid as usize) };
    }
    new.prev = old;
    cur.seccomp.set_filter(Some(Arc::new(new)), cur.seccomp.count.load(Relaxed) + 1);
    cur.seccomp.set_mode(Mode::Filter);
    cur.set_flag(tif::SECCOMP);
    if tsync {
        with_siglock(&cur, |l| sync_threads(l, cur));
    }
    Ok(0)
}

/// A thread that has filters that the current one has not (`seccomp_can_sync_threads`).
fn cannot_sync(l: &Siglock<'_>, cur: Current) -> Option<i32> {
    let threads = cur.signal.threads.lock(l);
    threads.iter().filter(|t| !cur.is(t)).find(|t| !may_sync(cur, t)).map(|t| t.pid())
}

fn may_sync(cur: Current, t: &Task) -> bool {
    match t.seccomp.mode() {
        Mode::Disabled => true,
        Mode::Filter => {
            let theirs = t.seccomp.filter.lock().clone();
            let mine = cur.seccomp.filter.lock().clone();
            theirs.is_none_or(|theirs| filters(mine.as_ref()).any(|f| Arc::ptr_eq(&theirs, f)))
        }
        Mode::Strict | Mode::Dead => false,
    }
}

/// The other threads get the current one's filters (`seccomp_sync_threads`).
fn sync_threads(l: &Siglock<'_>, cur: Current) {
    for t in cur.signal.threads.lock(l).iter().filter(|t| !cur.is(t)) {
        share(&cur, t);
        if cur.no_new_privs.load(Relaxed) {
            t.no_new_privs.store(true, Relaxed);
        }
    }
}

fn get_action_avail(at: usize) -> Result<usize> {
    match get_user::<u32>(at)? {
        SECCOMP_RET_KILL_PROCESS
        | SECCOMP_RET_KILL_THREAD
        | SECCOMP_RET_TRAP
        | SECCOMP_RET_ERRNO
        | SECCOMP_RET_USER_NOTIF
        | SECCOMP_RET_TRACE
        | SECCOMP_RET_LOG
        | SECCOMP_RET_ALLOW => Ok(0),
        _ => Err(EOPNOTSUPP),
    }
}

/// Whether the current task may look at others' filters: it may do anything, and has none itself.
fn may_see_filters() -> Result {
    let may = capable(general::CAP_SYS_ADMIN) && current().seccomp.mode() == Mode::Disabled;
    if may { Ok(()) } else { Err(EACCES) }
}

/// The filter of a task that was installed as number `n` (`get_nth_filter`).
fn get_nth_filter(t: &Task, n: u64) -> Result<Arc<Filter>> {
    if t.seccomp.mode() != Mode::Filter {
        return Err(EINVAL);
    }
    let last = t.seccomp.filter.lock().clone();
    let count = filters(last.as_ref()).count() as u64;
    let back = count.checked_sub(n).and_then(|left| left.checked_sub(1)).ok_or(ENOENT)?;
    filters(last.as_ref()).nth(back as usize).cloned().ok_or(ENOENT)
}

/// `PTRACE_SECCOMP_GET_FILTER`: a filter's instructions, if they are wanted; returns how many
/// (`seccomp_get_filter`).
pub fn seccomp_get_filter(t: &Task, n: u64, to: usize) -> Result<usize> {
    may_see_filters()?;
    let f = get_nth_filter(t, n)?;
    if to != 0 {
        copy_to_user(to, f.program.as_slice().as_bytes())?;
    }
    Ok(f.program.len())
}

/// `PTRACE_SECCOMP_GET_METADATA`: a filter's flags, in a `struct seccomp_metadata` of `size` bytes,
/// which says which (`seccomp_get_metadata`).
pub fn seccomp_get_metadata(t: &Task, size: usize, at: usize) -> Result<usize> {
    may_see_filters()?;
    let size = size.min(16);
    if size < 8 {
        return Err(EINVAL);
    }
    let n: u64 = get_user(at)?;
    let f = get_nth_filter(t, n)?;
    let words = [n, if f.log { u64::from(SECCOMP_FILTER_FLAG_LOG) } else { 0 }];
    copy_to_user(at, &words.as_bytes()[..size])?;
    Ok(size)
}

/// `seccomp(2)`.
pub fn sys_seccomp(operation: u32, flags: u32, args: usize) -> Result<usize> {
    match operation {
        SECCOMP_SET_MODE_STRICT if flags == 0 && args == 0 => set_mode_strict(),
        SECCOMP_SET_MODE_FILTER => set_mode_filter(flags, args),
        SECCOMP_GET_ACTION_AVAIL if flags == 0 => get_action_avail(args),
        // Notification, answer, and what a filter sees.
        SECCOMP_GET_NOTIF_SIZES if flags == 0 => {
            put_user(args, &[80u16, 24, 64]).map_err(|_| EFAULT)?;
            Ok(0)
        }
        _ => Err(EINVAL),
    }
}

/// `prctl(PR_SET_SECCOMP)`.
///
/// # Errors
/// As [`sys_seccomp`].
pub fn prctl_set_seccomp(wanted: usize, filter: usize) -> Result<usize> {
    match u32::try_from(wanted) {
        Ok(SECCOMP_MODE_STRICT) => set_mode_strict(),
        Ok(SECCOMP_MODE_FILTER) => set_mode_filter(0, filter),
        _ => Err(EINVAL),
    }
}
