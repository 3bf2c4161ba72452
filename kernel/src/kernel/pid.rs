// SPDX-License-Identifier: GPL-2.0-only
//! Descriptors of processes (Linux 6.1, `kernel/pid.c`, `pidfd_open`, `pidfd_getfd`;
//! `kernel/fork.c`, `pidfd_fops`; `kernel/signal.c`, `pidfd_send_signal`).

use crate::arch::x86::ia32::in_compat_syscall;
use crate::arch::x86::ia32::siginfo::copy_siginfo_from_user32;
use crate::arch::x86::lib::usercopy::get_user;
use crate::errno::{EBADF, EINVAL, EPERM, ESRCH, Result};
use crate::fs::anon_inodes::anon_inode_getfile;
use crate::fs::file::{fd_install, fget};
use crate::fs::file_table::{Abilities, File, FileOps, Seeking, poll};
use crate::fs::select::PollTable;
use crate::fs::seq_file::SeqFile;
use crate::kernel::fork::find_task;
use crate::kernel::ptrace::{PtraceMode, ptrace_may_access};
use crate::kernel::signal::kill::{check_forged, checked_send};
use crate::kernel::signal::siginfo::copy_siginfo_from_user;
use crate::kernel::signal::{KernelSiginfo, PidType, SendInfo, SignalStruct};
use crate::kernel::task::Task;
use alloc::sync::Arc;
use linux_raw_sys::general::{O_CLOEXEC, O_NONBLOCK};

/// What a process's descriptor is about. The process may be gone: its number is not another's
/// for that.
pub struct PidFd {
    signal: Arc<SignalStruct>,
    pid: i32,
}

impl PidFd {
    /// The process's leader, unless it was waited for.
    pub fn task(&self) -> Result<Arc<Task>> {
        self.signal.group_leader().ok_or(ESRCH)
    }
    /// Its number, unless it was waited for (`pid_nr`).
    pub fn pid(&self) -> i32 {
        self.pid
    }
    /// Whether all of it has ended (`thread_group_exited`).
    fn exited(&self) -> bool {
        let alive = |t: Arc<Task>| !t.rel.has_exited() || !self.signal.thread_group_empty();
        !self.signal.group_leader().is_some_and(alive)
    }
}

impl FileOps for PidFd {
    fn abilities(&self) -> Abilities {
        Abilities { seeking: Seeking::Never, reads: false, writes: false, ..Abilities::DEFAULT }
    }
    fn poll(&self, _: &File, table: &mut PollTable) -> Option<u32> {
        table.wait(self.signal.wait_pidfd());
        Some(if self.exited() { poll::IN | poll::RDNORM } else { 0 })
    }
    fn show_fdinfo(&self, _: &File, out: &mut SeqFile) {
        let pid = if self.task().is_ok() { self.pid } else { -1 };
        writeln!(out, "Pid:\t{pid}\nNSpid:\t{pid}");
    }
    fn as_any(&self) -> Option<&dyn core::any::Any> {
        Some(self)
    }
}

/// An open file that stands for the process of `leader`; of `flags` it takes `O_NONBLOCK`.
pub fn pidfd_file(leader: &Task, flags: u32) -> Arc<File> {
    let op = PidFd { signal: leader.signal.clone(), pid: leader.pid() };
    anon_inode_getfile("[pidfd]", Arc::new(op), flags)
}

/// Runs `f` with the process of a descriptor and the file's flags; `EBADF` if it is none of a
/// process (`pidfd_get_pid`).
pub fn with_pidfd<R>(fd: i32, f: impl FnOnce(&PidFd, &File) -> Result<R>) -> Result<R> {
    let file = fget(fd)?;
    f(file.op.as_any().and_then(|a| a.downcast_ref()).ok_or(EBADF)?, &file)
}

/// `pidfd_open(2)`.
pub fn sys_pidfd_open(pid: i32, flags: u32) -> Result<usize> {
    if flags & !O_NONBLOCK != 0 || pid <= 0 {
        return Err(EINVAL);
    }
    let t = find_task(pid).ok_or(ESRCH)?;
    if !t.is_leader() {
        return Err(EINVAL);
    }
    Ok(fd_install(pidfd_file(&t, flags), O_CLOEXEC)? as usize)
}

/// Runs `f` with a process and its number, by a descriptor of it or by one of its directory in
/// `/proc` (`pidfd_to_pid`).
fn with_process(fd: i32, f: impl FnOnce(Result<Arc<Task>>, i32) -> Result) -> Result {
    let file = fget(fd)?;
    if let Some(p) = file.op.as_any().and_then(|a| a.downcast_ref::<PidFd>()) {
        return f(p.task(), p.pid);
    }
    let pid = file.inode.ops.tgid().ok_or(EBADF)?;
    f(find_task(pid).ok_or(ESRCH), pid)
}

/// The signal as the program says that it is.
fn made_up(sig: i32, uinfo: usize) -> Result<KernelSiginfo> {
    let named: i32 = get_user(uinfo)?;
    let read = if in_compat_syscall() { copy_siginfo_from_user32 } else { copy_siginfo_from_user };
    let info = read(named, uinfo)?;
    if named == sig { Ok(info) } else { Err(EINVAL) }
}

/// `pidfd_send_signal(2)`: what a program makes up must be for the signal that it names.
pub fn sys_pidfd_send_signal(fd: i32, sig: i32, uinfo: usize, flags: u32) -> Result<usize> {
    if flags != 0 {
        return Err(EINVAL);
    }
    with_process(fd, |task, pid| {
        if uinfo == 0 {
            return checked_send(sig, SendInfo::NoInfo, &*task?, PidType::Tgid);
        }
        let info = made_up(sig, uinfo)?;
        check_forged(&info, pid)?;
        checked_send(sig, SendInfo::Info(&info), &*task?, PidType::Tgid)
    })?;
    Ok(0)
}

/// `pidfd_getfd(2)`: a file that another process has open, for who may trace it.
pub fn sys_pidfd_getfd(pidfd: i32, fd: i32, flags: u32) -> Result<usize> {
    if flags != 0 {
        return Err(EINVAL);
    }
    let t = with_pidfd(pidfd, |p, _| p.task())?;
    if !ptrace_may_access(&t, PtraceMode::RealCreds) {
        return Err(EPERM);
    }
    let files = t.files.lock().clone();
    // One that has ended is gone as far as its files go (`__pidfd_fget`, since a later 6.1).
    let file = files.ok_or(ESRCH)?.fget_raw(fd)?;
    Ok(fd_install(file, O_CLOEXEC)? as usize)
}
