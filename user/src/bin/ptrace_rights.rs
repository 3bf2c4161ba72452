// SPDX-License-Identifier: GPL-2.0-only
//! Who may trace whom, and see what: a program that its user may not read, PTRACE_TRACEME under a
//! parent that can do less, the tracer's rights at the time when it attached, and attaching to a
//! process that is about to become root's. Needs root.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::ffi::CStr;
use core::ptr::null;
use linux_raw_sys::prctl::PR_SET_DUMPABLE;
use user::prelude::*;
use user::process::{WNOHANG, become_user, execve, spawn_thread, wait4};
use user::ptrace::{
    PTRACE_CONT, PTRACE_EVENT_EXIT, PTRACE_O_TRACEEXIT, PTRACE_POKEDATA, PTRACE_SEIZE, event, go, peek,
    registers, stop, stopped, tell, trace_me,
};
use user::signal::SIGTRAP;
use user::time::sleep_ms;
use user::{file, start, syscall};

expect! { end: exit(0) }
program!(run);

const COPY: &CStr = c"/tmp/ptrace_rights.copy";

static mut IMAGE: [u8; 1 << 18] = [0; 1 << 18];

fn run() {
    if start::arg_str(1) == Some("euid") {
        sleep_ms(100);
        // SAFETY: no memory is involved.
        let root = unsafe { syscall!(__NR_geteuid) } == Ok(0);
        exit_group(40 + i32::from(root));
    }
    // SAFETY: nobody else uses it.
    let image = unsafe { &mut *core::ptr::addr_of_mut!(IMAGE) };
    let copied = file::load(c"/proc/self/exe", image).and_then(|all| file::put(COPY, all, 0o755));
    check!(copied.is_ok(), "a copy");
    apart("reading a program", unreadable);
    apart("PTRACE_TRACEME", trace_me_rights);
    apart("rights at the time", rights_then);
    apart("attaching during execve", exec_and_attach);
    let _ = file::unlink(COPY);
}

/// In a process of its own: ids are given up for good.
fn apart(what: &str, body: impl FnOnce()) {
    let pid = child(|| {
        body();
        i32::from(user::check::failures() != 0)
    });
    check_eq!(wait(pid), Ok(WaitStatus::exited(0)), "{what}");
}

fn chmod(mode: u32) {
    // SAFETY: the path is a C string. The mode is not subject to the umask.
    let r = unsafe { syscall!(__NR_chmod, COPY.as_ptr(), mode) };
    check_eq!(r, Ok(0), "chmod {mode:o}");
}

/// Becomes the copy, which says whether it is root.
fn exec_copy() -> i32 {
    let e = execve(COPY, &[COPY.as_ptr(), c"euid".as_ptr(), null()], &[null()]);
    check!(false, "exec: {e}");
    1
}

/// What a tracer reads and writes of a program with this mode, at its entry.
fn look(mode: u32) -> (Result<(), Errno>, Result<(), Errno>) {
    let pid = child(|| {
        let _ = trace_me();
        exec_copy()
    });
    check_eq!(stop(pid), Ok(stopped(SIGTRAP)), "execve, {mode:o}");
    let rip = registers(pid).map_or(0, |r| r.rip as usize);
    check!(rip != 0, "registers are seen always");
    let word = peek(pid, rip);
    let written = tell(PTRACE_POKEDATA, pid, rip, word.unwrap_or(0) as usize);
    check_eq!(go(PTRACE_CONT, pid, 0), Ok(WaitStatus::exited(40 + i32::from(is_root())).0), "its end");
    (word.map(|_| ()), written.map(|_| ()))
}

fn is_root() -> bool {
    user::process::getuid() == 0
}

/// Who may only run a program does not get to see it by tracing it.
fn unreadable() {
    let (none, all) = ((Err(Errno(EIO)), Err(Errno(EIO))), (Ok(()), Ok(())));
    chmod(0o711);
    check_eq!(look(0o711), all, "root");
    let _ = become_user(1000);
    check_eq!(look(0o711), none, "not readable");
}

/// A child with root's capabilities, whose parent has given up its own.
fn trace_me_rights() {
    let (from, to) = file::pipe(0).unwrap_or((-1, -1));
    let pid = child(|| {
        check_eq!(file::read(from, &mut [0]), Ok(1), "the parent is somebody else now");
        check_eq!(trace_me(), Err(Errno(EPERM)), "traced by who can do less");
        let _ = become_user(1000);
        check_eq!(trace_me(), Ok(0), "by who can do as much");
        i32::from(user::check::failures() != 0)
    });
    let _ = become_user(1000);
    let _ = file::write(to, &[0]);
    check_eq!(wait(pid), Ok(WaitStatus::exited(0)), "the child");
}

/// A tracer that was root when it attached does not keep a program from becoming root's.
fn rights_then() {
    chmod(0o4755);
    let program = || {
        let _ = become_user(1000);
        // SAFETY: no memory is involved.
        let _ = unsafe { syscall!(__NR_prctl, PR_SET_DUMPABLE, 1, 0, 0, 0) };
        sleep_ms(50);
        exec_copy()
    };
    let pid = child(program);
    sleep_ms(20);
    check_eq!(tell(PTRACE_SEIZE, pid, 0, 0), Ok(0), "root attaches");
    let _ = become_user(1000);
    check_eq!(wait(pid), Ok(WaitStatus::exited(41)), "traced by who was root");
    let pid = child(program);
    sleep_ms(20);
    check_eq!(tell(PTRACE_SEIZE, pid, 0, 0), Ok(0), "its user attaches");
    check_eq!(wait(pid), Ok(WaitStatus::exited(40)), "traced by who was not");
}

extern "C" fn thread() -> ! {
    loop {
        sleep_ms(1000);
    }
}

/// `execve` of a set-id program waits until the process's other thread has ended, which stands in a
/// stop. Who attaches meanwhile waits, and then may not.
fn exec_and_attach() {
    chmod(0o4755);
    let _ = become_user(1000);
    let (tid_from, tid_to) = file::pipe(0).unwrap_or((-1, -1));
    let (go_from, go_to) = file::pipe(0).unwrap_or((-1, -1));
    let pid = child(|| {
        // SAFETY: no memory is involved.
        let _ = unsafe { syscall!(__NR_prctl, PR_SET_DUMPABLE, 1, 0, 0, 0) };
        let _ = file::write(tid_to, &spawn_thread(thread).unwrap_or(0).to_le_bytes());
        let _ = file::read(go_from, &mut [0]);
        exec_copy()
    });
    let mut tid = [0; 4];
    check_eq!(file::read(tid_from, &mut tid), Ok(4), "a thread");
    let tid = i32::from_le_bytes(tid);
    check_eq!(tell(PTRACE_SEIZE, tid, 0, PTRACE_O_TRACEEXIT as usize), Ok(0), "seize the thread");
    let _ = file::write(go_to, &[0]);
    check_eq!(stop(tid), Ok(event(PTRACE_EVENT_EXIT)), "execve ends it");
    let other = child(|| match tell(PTRACE_SEIZE, pid, 0, 0) {
        Ok(_) => 99,
        Err(e) => e.0 as i32,
    });
    sleep_ms(50);
    check_eq!(wait4(other, WNOHANG), Ok(None), "who attaches waits");
    check_eq!(go(PTRACE_CONT, tid, 0), Ok(0), "the thread ends");
    check_eq!(wait(other), Ok(WaitStatus::exited(EPERM as i32)), "not to root's process");
    check_eq!(wait(pid), Ok(WaitStatus::exited(41)), "which that is");
}
