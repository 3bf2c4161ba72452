// SPDX-License-Identifier: GPL-2.0-only
//! Calls about the process itself and the system (Linux 6.1, `kernel/sys.c`,
//! `arch/x86/kernel/process_64.c` for `arch_prctl`).

use crate::arch::x86::kernel::fpu::xstate::fpu_xstate_prctl;
use crate::arch::x86::kernel::process_64;
use crate::arch::x86::kernel::process_64::prctl::*;
use crate::arch::x86::lib::usercopy::{
    TASK_SIZE_MAX, copy_from_user, copy_to_user, get_user, put_user, strncpy_from_user_cut,
};
use crate::arch::x86::mm::mpx::{mpx_disable_management, mpx_enable_management};
use crate::errno::{EACCES, EFAULT, EINVAL, ENODEV, EPERM, ESRCH, Result};
use crate::fs::proc::file::PollEvents;
use crate::fs::proc::meminfo::file_pages;
use crate::kernel::capability::capable;
use crate::kernel::cred::{Cred, commit_creds};
use crate::kernel::exit::{parent_of, set_child_subreaper};
use crate::kernel::fork::{TASKLIST, find_task};
use crate::kernel::prctl::prctl_settings;
use crate::kernel::sched::loadavg;
use crate::kernel::seccomp::prctl_set_seccomp;
use crate::kernel::signal::rlimit;
use crate::kernel::signal::sigset::valid_signal;
use crate::kernel::syscall_user_dispatch::set_syscall_user_dispatch;
use crate::kernel::task::{Task, current};
use crate::kernel::time::timekeeping::ktime_get;
use crate::locking::IrqLock;
use crate::mm::mm_struct::{SUID_DUMP_DISABLE, SUID_DUMP_USER, with_current_mm};
use crate::mm::page_alloc::{PAGE_SIZE, nr_free_pages, totalram_pages};
use crate::security::commoncap::{Answer, cap_task_prctl};
use alloc::sync::Arc;
use core::sync::atomic::Ordering::Relaxed;
use linux_raw_sys::general::{CAP_SYS_ADMIN, CAP_SYS_RESOURCE};
use linux_raw_sys::prctl as pr;

/// The kernel's release, as `uname -r` shows it.
pub const UTS_RELEASE: &str = "6.1.0-trapline";
/// The kernel's version, as `uname -v` shows it.
pub const UTS_VERSION: &str = concat!("#1 Trapline ", env!("CARGO_PKG_VERSION"));

/// Node and domain name.
static UTS_NAMES: IrqLock<[[u8; 65]; 2]> = IrqLock::new({
    let mut n = [[0; 65]; 2];
    let none = *b"(none)";
    let mut i = 0;
    while i < none.len() {
        n[0][i] = none[i];
        n[1][i] = none[i];
        i += 1;
    }
    n
});

/// They have got other values.
pub static UTS_EVENTS: [PollEvents; 2] = [PollEvents::new(), PollEvents::new()];

fn uts_name(which: usize) -> arrayvec::ArrayVec<u8, 65> {
    let n = *UTS_NAMES.lock();
    n[which].into_iter().take_while(|&b| b != 0).collect()
}

/// The node name, without its padding.
pub fn hostname() -> arrayvec::ArrayVec<u8, 65> {
    uts_name(0)
}

/// The domain name.
pub fn domainname() -> arrayvec::ArrayVec<u8, 65> {
    uts_name(1)
}

/// What the system is called: its name, the node's, release, version, machine, domain.
fn utsname() -> [[u8; 65]; 6] {
    let mut u = [[0u8; 65]; 6];
    let names = *UTS_NAMES.lock();
    let mut set = |i: usize, s: &[u8]| u[i][..s.len()].copy_from_slice(s);
    set(0, b"Linux");
    set(1, &names[0]);
    set(2, UTS_RELEASE.as_bytes());
    set(3, UTS_VERSION.as_bytes());
    // Programs of the 32-bit personality are told of another machine (`override_architecture`).
    let machine: &[u8] =
        if current().personality.load(Relaxed) & PER_MASK == PER_LINUX32 { b"i686" } else { b"x86_64" };
    set(4, machine);
    set(5, &names[1]);
    u
}

/// `uname(2)`.
pub fn sys_newuname(name: usize) -> Result<usize> {
    copy_to_user(name, utsname().as_flattened())?;
    Ok(0)
}

/// `uname` as it was before there were domains (i386's 109).
pub fn sys_uname(name: usize) -> Result<usize> {
    copy_to_user(name, utsname()[..5].as_flattened())?;
    Ok(0)
}

/// `uname` as it was before that: names of eight bytes (i386's 59).
pub fn sys_olduname(name: usize) -> Result<usize> {
    const OLD_UTS_LEN: usize = 8;
    let mut old = [[0; OLD_UTS_LEN + 1]; 5];
    for (old, new) in old.iter_mut().zip(&utsname()) {
        old[..OLD_UTS_LEN].copy_from_slice(&new[..OLD_UTS_LEN]);
    }
    copy_to_user(name, old.as_flattened())?;
    Ok(0)
}

/// The kind of system that a personality stands for.
const PER_MASK: u32 = 0xff;
const PER_LINUX32: u32 = 8;

/// Writes to `kernel/hostname`: up to the line's end (Linux 6.1, kernel/utsname_sysctl.c).
pub fn store_hostname(text: &[u8]) -> Result {
    store_uts_name(0, text);
    Ok(())
}

/// The same of the domain name.
///
/// # Errors
/// None.
pub fn store_domainname(text: &[u8]) -> Result {
    store_uts_name(1, text);
    Ok(())
}

fn store_uts_name(which: usize, text: &[u8]) {
    let line = text.split(|&b| b == b'\n' || b == 0).next().unwrap_or(&[]);
    let mut name = [0; 65];
    let len = line.len().min(64);
    name[..len].copy_from_slice(&line[..len]);
    replace_uts_name(which, name);
}

fn replace_uts_name(which: usize, name: [u8; 65]) {
    UTS_NAMES.lock()[which] = name;
    UTS_EVENTS[which].notify();
}

fn set_uts_name(which: usize, name: usize, len: usize) -> Result<usize> {
    if !capable(CAP_SYS_ADMIN) {
        return Err(EPERM);
    }
    if len > 64 {
        return Err(EINVAL);
    }
    let mut n = [0; 65];
    copy_from_user(&mut n[..len], name)?;
    replace_uts_name(which, n);
    Ok(0)
}

/// `sethostname(2)`.
pub fn sys_sethostname(name: usize, len: i32) -> Result<usize> {
    set_uts_name(0, name, usize::try_from(len).map_err(|_| EINVAL)?)
}

/// `setdomainname(2)`.
pub fn sys_setdomainname(name: usize, len: i32) -> Result<usize> {
    set_uts_name(1, name, usize::try_from(len).map_err(|_| EINVAL)?)
}

/// `getpid(2)`.
pub fn sys_getpid() -> Result<usize> {
    Ok(current().tgid as usize)
}

/// `gettid(2)`.
pub fn sys_gettid() -> Result<usize> {
    Ok(current().pid() as usize)
}

/// `getppid(2)`.
pub fn sys_getppid() -> Result<usize> {
    Ok(current().signal.ppid.load(Relaxed) as usize)
}

/// The process with this pid; 0 is the current one.
fn process(pid: i32) -> Result<Arc<Task>> {
    if pid == 0 || pid == current().pid() { Ok(current().to_arc()) } else { find_task(pid).ok_or(ESRCH) }
}

/// `getpgid(2)`.
pub fn sys_getpgid(pid: i32) -> Result<usize> {
    Ok(process(pid)?.signal.pgrp() as usize)
}

/// `getpgrp(2)`.
pub fn sys_getpgrp() -> Result<usize> {
    Ok(current().signal.pgrp() as usize)
}

/// `getsid(2)`.
pub fn sys_getsid(pid: i32) -> Result<usize> {
    Ok(process(pid)?.signal.session() as usize)
}

/// `setsid(2)`.
pub fn sys_setsid() -> Result<usize> {
    let cur = current();
    let sig = &cur.signal;
    let mut list = TASKLIST.lock();
    let taken = list.pgrp_members(cur.tgid).any(|t| t.tgid != cur.tgid);
    if sig.leader.load(Relaxed) != 0 || sig.pgrp() == cur.tgid || taken {
        return Err(EPERM);
    }
    sig.led.store(true, Relaxed);
    sig.leader.store(1, Relaxed);
    list.change_pgrp(&cur, cur.tgid, cur.tgid);
    sig.tty.store(0, Relaxed);
    Ok(cur.tgid as usize)
}

/// `setpgid(2)`.
pub fn sys_setpgid(pid: i32, pgid: i32) -> Result<usize> {
    let cur = current();
    let pid = if pid == 0 { cur.tgid } else { pid };
    let pgid = if pgid == 0 { pid } else { pgid };
    if pgid < 0 {
        return Err(EINVAL);
    }
    let t = find_task(pid).ok_or(ESRCH)?;
    if !t.is_leader() {
        return Err(EINVAL);
    }
    let session = cur.signal.session();
    if parent_of(&t).is_some_and(|p| p.tgid == cur.tgid) && t.tgid != cur.tgid {
        if t.signal.session() != session {
            return Err(EPERM);
        }
        if t.signal.did_exec.load(Relaxed) != 0 {
            return Err(EACCES);
        }
    } else if t.tgid != cur.tgid {
        return Err(ESRCH);
    }
    if t.signal.leader.load(Relaxed) != 0 {
        return Err(EPERM);
    }
    let mut list = TASKLIST.lock();
    if pgid != pid {
        let found = list.pgrp_members(pgid).any(|g| g.signal.session() == session);
        if !found {
            return Err(EPERM);
        }
    }
    if pgid == t.tgid {
        t.signal.led.store(true, Relaxed);
    }
    list.change_pgrp(&t, session, pgid);
    Ok(0)
}

/// Most descriptors that `RLIMIT_NOFILE` may allow (`/proc/sys/fs/nr_open`).
pub const NR_OPEN: u64 = 1 << 20;

/// Whether one process may see and set the limits of another (`check_prlimit_permission`).
fn may_limit(me: &Cred, them: &Cred) -> bool {
    let uids = [them.euid, them.suid, them.uid] == [me.uid; 3];
    let gids = [them.egid, them.sgid, them.gid] == [me.gid; 3];
    uids && gids || me.capable(CAP_SYS_RESOURCE)
}

/// `prlimit64(2)`.
pub fn sys_prlimit64(pid: i32, resource: u32, new: usize, old: usize) -> Result<usize> {
    let change: Option<[u64; 2]> = if new == 0 { None } else { Some(get_user(new)?) };
    let before = do_prlimit(pid, resource as usize, change)?;
    if old != 0 {
        put_user(old, &before)?;
    }
    Ok(0)
}

/// Changes a limit of a process, if it is to be changed; returns what it was: soft and hard.
pub fn do_prlimit(pid: i32, resource: usize, change: Option<[u64; 2]>) -> Result<[u64; 2]> {
    let t = process(pid)?;
    if resource >= rlimit::NLIMITS {
        return Err(EINVAL);
    }
    let cur = current();
    if t.tgid != cur.tgid && !may_limit(&cur.cred.get(), &t.cred.get()) {
        return Err(EPERM);
    }
    let before = t.signal.rlimit(resource);
    if let Some([soft, hard]) = change {
        if soft > hard {
            return Err(EINVAL);
        }
        // No table may grow beyond this (`sysctl_nr_open`).
        if resource == rlimit::NOFILE && hard > NR_OPEN {
            return Err(EPERM);
        }
        if hard > before.1 && !capable(CAP_SYS_RESOURCE) {
            return Err(EPERM);
        }
        t.signal.set_rlimit(resource, soft, hard);
    }
    Ok([before.0, before.1])
}

/// `getrlimit(2)`.
pub fn sys_getrlimit(resource: u32, rlim: usize) -> Result<usize> {
    if rlim == 0 {
        return Err(EFAULT);
    }
    sys_prlimit64(0, resource, 0, rlim)
}

/// `setrlimit(2)`.
pub fn sys_setrlimit(resource: u32, rlim: usize) -> Result<usize> {
    if rlim == 0 {
        return Err(EFAULT);
    }
    sys_prlimit64(0, resource, rlim, 0)
}

/// `times(2)`, in hundredths of a second.
pub fn sys_times(buf: usize) -> Result<usize> {
    let (now, words) = do_times();
    if buf != 0 {
        put_user(buf, &words)?;
    }
    Ok(now as usize)
}

/// The time, and what the process and its children have used, in hundredths of a second.
pub fn do_times() -> (u64, [u64; 4]) {
    let clock = |ns: u64| ns / 10_000_000;
    let (u, s) = current().signal.cputime();
    let (cu, cs) = current().signal.children.times.get();
    (clock(ktime_get()), [u, s, cu, cs].map(clock))
}

/// `sysinfo(2)`.
pub fn sys_sysinfo(info: usize) -> Result<usize> {
    put_user(info, &do_sysinfo())?;
    Ok(0)
}

/// The words of a `struct sysinfo`.
pub fn do_sysinfo() -> [u64; 14] {
    let mut w = [0u64; 14];
    w[0] = ktime_get() / 1_000_000_000;
    w[1..4].copy_from_slice(&loadavg::for_sysinfo());
    w[4] = (totalram_pages() * PAGE_SIZE) as u64;
    w[5] = (nr_free_pages() * PAGE_SIZE) as u64;
    w[6] = (file_pages() * PAGE_SIZE) as u64;
    w[10] = TASKLIST.lock().len() as u64;
    // mem_unit, after totalhigh and freehigh.
    w[13] = 1;
    w
}

/// `prctl(2)`, as far as names, death signals, privileges and dumps go.
pub fn sys_prctl(option: u32, a2: usize, a3: usize, a4: usize, a5: usize) -> Result<usize> {
    let cur = current();
    match cap_task_prctl(&cur.cred.get(), option, [a2, a3, a4, a5])? {
        Some(Answer::Value(n)) => return Ok(n),
        Some(Answer::Change(new)) => {
            commit_creds(new);
            return Ok(0);
        }
        None => {}
    }
    match option {
        pr::PR_SET_NAME => {
            let mut name = [0u8; 16];
            let s = strncpy_from_user_cut(a2, 15)?;
            name[..s.len()].copy_from_slice(&s);
            *cur.comm.lock() = name;
        }
        pr::PR_GET_NAME => {
            let name = *cur.comm.lock();
            copy_to_user(a2, &name)?;
        }
        pr::PR_SET_PDEATHSIG => {
            if a2 != 0 && !valid_signal(i32::try_from(a2).map_err(|_| EINVAL)?) {
                return Err(EINVAL);
            }
            cur.pdeath_signal.store(a2 as u32, Relaxed);
        }
        pr::PR_GET_PDEATHSIG => put_user(a2, &cur.pdeath_signal.load(Relaxed))?,
        pr::PR_GET_TSC => put_user(a2, &process_64::get_tsc_mode())?,
        pr::PR_SET_TSC => process_64::set_tsc_mode(a2)?,
        pr::PR_GET_DUMPABLE => return Ok(cur.get_mm().map_or(0, |mm| mm.dumpable().into())),
        pr::PR_SET_DUMPABLE => {
            let value = [SUID_DUMP_DISABLE, SUID_DUMP_USER].into_iter().find(|&v| usize::from(v) == a2);
            let value = value.ok_or(EINVAL)?;
            with_current_mm(|mm| mm.set_dumpable(value));
        }
        pr::PR_SET_NO_NEW_PRIVS if [a2, a3, a4, a5] == [1, 0, 0, 0] => {
            cur.no_new_privs.store(true, Relaxed);
        }
        pr::PR_GET_NO_NEW_PRIVS if [a2, a3, a4, a5] == [0; 4] => {
            return Ok(usize::from(cur.no_new_privs.load(Relaxed)));
        }
        pr::PR_MPX_ENABLE_MANAGEMENT | pr::PR_MPX_DISABLE_MANAGEMENT => {
            if [a2, a3, a4, a5] != [0; 4] {
                return Err(EINVAL);
            }
            let mm = cur.get_mm().ok_or(EINVAL)?;
            let enable = option == pr::PR_MPX_ENABLE_MANAGEMENT;
            if enable { mpx_enable_management(&mm) } else { mpx_disable_management(&mm) }?;
        }
        pr::PR_SET_CHILD_SUBREAPER => set_child_subreaper(a2 != 0),
        pr::PR_GET_CHILD_SUBREAPER => {
            put_user(a2, &i32::from(cur.signal.is_child_subreaper.load(Relaxed)))?;
        }
        pr::PR_GET_SECCOMP => return Ok(cur.seccomp.status().0 as usize),
        pr::PR_SET_SECCOMP => return prctl_set_seccomp(a2, a3),
        pr::PR_SET_SYSCALL_USER_DISPATCH => {
            return set_syscall_user_dispatch(a2, a3 as u64, a4 as u64, a5);
        }
        _ => return prctl_settings(option, [a2, a3, a4, a5]),
    }
    Ok(0)
}

/// `arch_prctl` of i386's: what both have (`do_arch_prctl_common`).
pub fn compat_sys_arch_prctl(code: u32, arg: usize) -> Result<usize> {
    match code {
        ARCH_GET_CPUID | ARCH_SET_CPUID => sys_arch_prctl(code, arg),
        _ => fpu_xstate_prctl(code, arg),
    }
}

/// `arch_prctl(2)`: the FS and GS bases, and what the CPU does in user mode.
pub fn sys_arch_prctl(code: u32, addr: usize) -> Result<usize> {
    use crate::arch::x86::kernel::process_64::segments;
    let cur = current();
    let t = cur.thread();
    match code {
        ARCH_SET_FS | ARCH_SET_GS if addr >= TASK_SIZE_MAX => return Err(EPERM),
        ARCH_SET_FS => {
            segments::set_user_fs(t, addr as u64);
        }
        ARCH_SET_GS => {
            segments::set_user_gs(t, addr as u64);
        }
        ARCH_GET_FS => put_user(addr, &segments::fsbase())?,
        ARCH_GET_GS => put_user(addr, &segments::gsbase())?,
        // The instruction works, and cannot be made to fault.
        ARCH_GET_CPUID => return Ok(1),
        ARCH_SET_CPUID => return Err(ENODEV),
        ARCH_MAP_VDSO_64 => return crate::arch::x86::entry::vdso::vma::prctl_map_vdso(addr),
        _ => return fpu_xstate_prctl(code, addr),
    }
    Ok(0)
}

/// `personality(2)`: Linux's own, with or without address randomisation.
pub fn sys_personality(p: u32) -> Result<usize> {
    let cur = current();
    let old = cur.personality.load(Relaxed);
    if p != u32::MAX {
        cur.personality.store(p, Relaxed);
    }
    Ok(old as usize)
}
