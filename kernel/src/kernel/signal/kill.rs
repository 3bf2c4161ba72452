// SPDX-License-Identifier: GPL-2.0-only
//! Who may signal whom, and the system calls that send (Linux 6.1, `kernel/signal.c`,
//! `check_kill_permission`, `kill_something_info`, `do_tkill`; `kernel/exit.c`,
//! `will_become_orphaned_pgrp`).

use super::send::{PidType, SendInfo, do_send_sig_info};
use super::siginfo::{KernelSiginfo, SI_TKILL, SigFields, copy_siginfo_from_user};
use super::sigset::{SIGCONT, valid_signal};
use crate::errno::{EINVAL, EPERM, ESRCH, Result};
use crate::kernel::cred::Cred;
use crate::kernel::exit::parent_of;
use crate::kernel::fork::{find_task, for_each_in_pgrp, for_each_process};
use crate::kernel::task::{Task, current};
use alloc::sync::Arc;
use linux_raw_sys::general::CAP_KILL;

/// Whether the sender's credentials allow it (`kill_ok_by_cred`): one of its real and
/// effective ids is one of the receiver's real and saved ids, or it has `CAP_KILL`.
fn kill_ok_by_cred(sender: &Cred, receiver: &Cred) -> bool {
    let same = |id| id == receiver.suid || id == receiver.uid;
    same(sender.euid) || same(sender.uid) || sender.capable(CAP_KILL)
}

/// Whether the current process may send `sig` to `t`.
pub(in crate::kernel) fn check_kill_permission(sig: i32, info: SendInfo<'_>, t: &Task) -> Result {
    if !valid_signal(sig) {
        return Err(EINVAL);
    }
    let cur = current();
    if !info.from_user() || cur.tgid == t.tgid || kill_ok_by_cred(&cur.cred.get(), &t.cred.get()) {
        return Ok(());
    }
    // Within a session everybody may continue everybody.
    if sig == SIGCONT && t.signal.session() == cur.signal.session() {
        return Ok(());
    }
    Err(EPERM)
}

/// Sends with a permission check; `sig` 0 is the check alone (`group_send_sig_info`).
pub(in crate::kernel) fn checked_send(sig: i32, info: SendInfo<'_>, t: &Task, kind: PidType) -> Result {
    check_kill_permission(sig, info, t)?;
    if sig == 0 { Ok(()) } else { do_send_sig_info(sig, info, t, kind) }
}

/// Sends to the process that has the thread `pid` (`kill_proc_info`).
fn kill_pid_info(sig: i32, info: SendInfo<'_>, pid: i32) -> Result {
    let cur = current();
    if pid == cur.pid() {
        return checked_send(sig, info, &cur, PidType::Tgid);
    }
    let t = find_task(pid).ok_or(ESRCH)?;
    checked_send(sig, info, &t, PidType::Tgid)
}

/// Sends to every process of a process group: success if one got it
/// (`__kill_pgrp_info`).
fn kill_pgrp_info(sig: i32, info: SendInfo<'_>, pgrp: i32) -> Result {
    let mut result = Err(ESRCH);
    for_each_in_pgrp(pgrp, |t| {
        let r = checked_send(sig, info, t, PidType::Tgid);
        if result.is_err() {
            result = r;
        }
    });
    result
}

/// Sends to everybody but the first process and the sender (`kill(-1, …)`).
fn kill_all(sig: i32, info: SendInfo<'_>) -> Result {
    let mut result = Err(ESRCH);
    let own = current().tgid;
    for_each_process(|t| {
        if t.tgid > 1 && t.tgid != own {
            let r = checked_send(sig, info, t, PidType::Tgid);
            // That one of many refused is no news; that the last one did not exist is.
            if r != Err(EPERM) {
                result = r;
            } else if result == Err(ESRCH) {
                result = Ok(());
            }
        }
    });
    result
}

/// Sends a signal to a process, from kernel code.
pub fn kill_pid(pid: i32, sig: i32, private: bool) -> Result {
    kill_pid_info(sig, if private { SendInfo::Priv } else { SendInfo::NoInfo }, pid)
}

/// Sends a signal to a process group, from kernel code (a terminal's `^C`).
pub fn kill_pgrp(pgrp: i32, sig: i32, private: bool) -> Result {
    kill_pgrp_info(sig, if private { SendInfo::Priv } else { SendInfo::NoInfo }, pgrp)
}

/// `kill(2)`.
pub fn sys_kill(pid: i32, sig: i32) -> Result<usize> {
    let info = SendInfo::NoInfo;
    match pid {
        1.. => kill_pid_info(sig, info, pid),
        0 => kill_pgrp_info(sig, info, current().signal.pgrp()),
        -1 => kill_all(sig, info),
        i32::MIN => Err(ESRCH),
        _ => kill_pgrp_info(sig, info, -pid),
    }?;
    Ok(0)
}

/// Sends to one thread; `tgid` 0 or less is any process (`do_send_specific`).
fn send_specific(tgid: i32, pid: i32, sig: i32, info: &KernelSiginfo) -> Result<usize> {
    let cur = current();
    let info = SendInfo::Info(info);
    if pid == cur.pid() && (tgid <= 0 || tgid == cur.tgid) {
        checked_send(sig, info, &cur, PidType::Pid)?;
        return Ok(0);
    }
    let t: Arc<Task> = find_task(pid).ok_or(ESRCH)?;
    if tgid > 0 && t.tgid != tgid {
        return Err(ESRCH);
    }
    checked_send(sig, info, &t, PidType::Pid)?;
    Ok(0)
}

fn do_tkill(tgid: i32, pid: i32, sig: i32) -> Result<usize> {
    let cur = current();
    let uid = cur.cred.lock().uid;
    let fields = SigFields::Kill { pid: cur.tgid, uid };
    send_specific(tgid, pid, sig, &KernelSiginfo::new(sig, SI_TKILL, fields))
}

/// `tgkill(2)`.
pub fn sys_tgkill(tgid: i32, pid: i32, sig: i32) -> Result<usize> {
    if pid <= 0 || tgid <= 0 { Err(EINVAL) } else { do_tkill(tgid, pid, sig) }
}

/// `tkill(2)`.
pub fn sys_tkill(pid: i32, sig: i32) -> Result<usize> {
    if pid <= 0 { Err(EINVAL) } else { do_tkill(0, pid, sig) }
}

/// Only to itself may a thread pretend that the kernel, `kill` or `tgkill` sent a signal.
pub(in crate::kernel) fn check_forged(info: &KernelSiginfo, pid: i32) -> Result {
    let forged = info.si_code >= 0 || info.si_code == SI_TKILL;
    if forged && current().pid() != pid { Err(EPERM) } else { Ok(()) }
}

/// `rt_sigqueueinfo(2)`.
pub fn sys_rt_sigqueueinfo(pid: i32, sig: i32, uinfo: usize) -> Result<usize> {
    do_rt_sigqueueinfo(pid, sig, &copy_siginfo_from_user(sig, uinfo)?)
}

/// Sends what a program has made up.
pub fn do_rt_sigqueueinfo(pid: i32, sig: i32, info: &KernelSiginfo) -> Result<usize> {
    check_forged(info, pid)?;
    kill_pid_info(sig, SendInfo::Info(info), pid)?;
    Ok(0)
}

/// `rt_tgsigqueueinfo(2)`.
pub fn sys_rt_tgsigqueueinfo(tgid: i32, pid: i32, sig: i32, uinfo: usize) -> Result<usize> {
    do_rt_tgsigqueueinfo(tgid, pid, sig, &copy_siginfo_from_user(sig, uinfo)?)
}

/// Sends what a program has made up to a thread.
pub fn do_rt_tgsigqueueinfo(tgid: i32, pid: i32, sig: i32, info: &KernelSiginfo) -> Result<usize> {
    if pid <= 0 || tgid <= 0 {
        return Err(EINVAL);
    }
    check_forged(info, pid)?;
    send_specific(tgid, pid, sig, info)
}

/// Whether no process of the group but `ignored` has a parent outside it in the same session,
/// so that nobody would continue it.
pub fn will_become_orphaned_pgrp(pgrp: i32, ignored: Option<&Task>) -> bool {
    let mut orphaned = true;
    for_each_in_pgrp(pgrp, |t| {
        let alive = !t.rel.has_exited() || !t.signal.thread_group_empty();
        if !alive || ignored.is_some_and(|i| core::ptr::eq(i, Arc::as_ptr(t))) {
            return;
        }
        if let Some(p) = parent_of(t)
            && !p.is_global_init()
            && p.signal.pgrp() != pgrp
            && p.signal.session() == t.signal.session()
        {
            orphaned = false;
        }
    });
    orphaned
}

/// Whether the process group is orphaned (`is_current_pgrp_orphaned`).
pub fn is_pgrp_orphaned(pgrp: i32) -> bool {
    will_become_orphaned_pgrp(pgrp, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_decide_who_may_signal_whom() {
        let cred = |uid, euid, suid| Cred { uid, euid, suid, ..Cred::default() };
        assert!(kill_ok_by_cred(&Cred::root(), &cred(1, 1, 1)));
        assert!(!kill_ok_by_cred(&cred(5, 0, 5), &cred(1, 1, 1)));
        assert!(kill_ok_by_cred(&cred(5, 5, 5), &cred(5, 0, 0)));
        assert!(kill_ok_by_cred(&cred(5, 5, 5), &cred(0, 0, 5)));
        assert!(kill_ok_by_cred(&cred(7, 5, 5), &cred(7, 1, 1)));
        // The receiver's effective id does not count, nor does the sender's saved one.
        assert!(!kill_ok_by_cred(&cred(5, 5, 5), &cred(1, 5, 1)));
        assert!(!kill_ok_by_cred(&cred(5, 5, 1), &cred(1, 1, 1)));
    }
}
