// SPDX-License-Identifier: GPL-2.0-only
//! Looking at other tasks (Linux 6.1, `kernel/ptrace.c`).

use crate::kernel::cred::Cred;
use crate::kernel::task::{Task, current};
use crate::mm::mm_struct::SUID_DUMP_USER;
use crate::security::commoncap::cap_ptrace_access_check;
use core::sync::atomic::Ordering::Relaxed;
use linux_raw_sys::general::CAP_SYS_PTRACE;

/// Who asks for access to a task, and so with which ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PtraceMode {
    /// A file of `/proc`: the ids for files (`PTRACE_MODE_FSCREDS`).
    FsCreds,
    /// A system call: the real ids (`PTRACE_MODE_REALCREDS`).
    RealCreds,
}

/// Whether the current task may see what `task` has in its memory, its files and its
/// registers (`ptrace_may_access`): its own process always, others if all their ids are its
/// own, they can do nothing that it cannot, and their memory is their user's.
pub fn ptrace_may_access(task: &Task, mode: PtraceMode) -> bool {
    let cur = current();
    if cur.tgid == task.tgid {
        return true;
    }
    let dumpable = match task.get_mm() {
        Some(mm) => mm.dumpable() == SUID_DUMP_USER,
        None => task.user_dumpable.load(Relaxed),
    };
    creds_allow(&cur.cred.get(), &task.cred.get(), mode, dumpable)
}

fn creds_allow(caller: &Cred, target: &Cred, mode: PtraceMode, dumpable: bool) -> bool {
    let by_file = mode == PtraceMode::FsCreds;
    let (uid, gid) = if by_file { (caller.fsuid, caller.fsgid) } else { (caller.uid, caller.gid) };
    let uids = [target.euid, target.suid, target.uid] == [uid; 3];
    let gids = [target.egid, target.sgid, target.gid] == [gid; 3];
    let privileged = caller.capable(CAP_SYS_PTRACE);
    (privileged || uids && gids && dumpable) && cap_ptrace_access_check(caller, target, by_file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_dumpability_decide() {
        use PtraceMode::{FsCreds, RealCreds};
        let user = |id| Cred { uid: id, euid: id, suid: id, fsuid: id, ..Cred::default() };
        let root = Cred::root();
        assert!(creds_allow(&user(5), &user(5), FsCreds, true));
        assert!(!creds_allow(&user(5), &user(5), FsCreds, false));
        assert!(!creds_allow(&user(5), &user(6), FsCreds, true));
        assert!(!creds_allow(&user(5), &Cred { suid: 0, ..user(5) }, FsCreds, true));
        assert!(creds_allow(&root, &user(5), FsCreds, false));
        assert!(!creds_allow(&user(0), &root, FsCreds, true));
        // A call asks with the real ids.
        let seteuid = Cred { euid: 6, fsuid: 6, ..user(5) };
        assert!(creds_allow(&seteuid, &user(6), FsCreds, true));
        assert!(!creds_allow(&seteuid, &user(6), RealCreds, true));
    }
}
