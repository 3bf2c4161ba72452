// SPDX-License-Identifier: GPL-2.0-only
//! A tracer's events: fork, vfork, clone, execve, exit; and new tracees.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::ptr::null;
use user::prelude::*;
use user::process::{execve, exit_thread, spawn_thread, vfork_exec};
use user::ptrace::{
    PTRACE_CONT, PTRACE_DETACH, PTRACE_EVENT_CLONE, PTRACE_EVENT_EXEC, PTRACE_EVENT_EXIT, PTRACE_EVENT_FORK,
    PTRACE_EVENT_VFORK, PTRACE_EVENT_VFORK_DONE, PTRACE_O_EXITKILL, PTRACE_O_TRACECLONE, PTRACE_O_TRACEEXEC,
    PTRACE_O_TRACEEXIT, PTRACE_O_TRACEFORK, PTRACE_O_TRACEVFORK, PTRACE_O_TRACEVFORKDONE, PTRACE_SETOPTIONS,
    event, go, message, siginfo, stop, stopped, tell, trace_me,
};
use user::signal::{SIGCHLD, SIGSTOP, SIGTRAP};
use user::start;

expect! { end: exit(0) }
program!(run);

fn run() {
    if start::arg_str(1) == Some("child") {
        exit_group(42);
    }
    forks();
    vforks();
    clones();
    execs();
    exits();
    exit_kill();
}

/// A traced child that has stopped itself, with these options.
fn tracee(options: u32, body: impl FnOnce() -> i32) -> i32 {
    let pid = child(|| {
        let _ = trace_me();
        let _ = kill(getpid(), SIGSTOP);
        body()
    });
    check_eq!(stop(pid), Ok(stopped(SIGSTOP)), "the first stop");
    check_eq!(tell(PTRACE_SETOPTIONS, pid, 0, options as usize), Ok(0), "options {options:#x}");
    pid
}

fn exec_self() -> i32 {
    let Some(me) = start::arg(0) else { return 1 };
    let _ = execve(me, &[me.as_ptr(), c"child".as_ptr(), null()], &[null()]);
    2
}

fn forks() {
    let pid = tracee(PTRACE_O_TRACEFORK, || {
        let grandchild = child(|| 5);
        wait(grandchild).map_or(1, |s| s.0 >> 8)
    });
    check_eq!(go(PTRACE_CONT, pid, 0), Ok(event(PTRACE_EVENT_FORK)), "fork");
    let new = message(pid).unwrap_or(0) as i32;
    check_eq!(siginfo(pid).map(|i| i.code), Ok((PTRACE_EVENT_FORK << 8 | SIGTRAP) as i32), "si_code");
    check_eq!(stop(new), Ok(stopped(SIGSTOP)), "the new one is stopped");
    check_eq!(tell(PTRACE_CONT, pid, 0, 0), Ok(0), "its parent goes on");
    check_eq!(go(PTRACE_CONT, new, 0), Ok(WaitStatus::exited(5).0), "the tracer sees the end first");
    check_eq!(stop(pid), Ok(stopped(SIGCHLD)), "then the parent");
    check_eq!(go(PTRACE_CONT, pid, SIGCHLD), Ok(WaitStatus::exited(5).0), "which waits for it");
}

fn vforks() {
    let pid = tracee(PTRACE_O_TRACEVFORK | PTRACE_O_TRACEVFORKDONE, || {
        let Some(me) = start::arg(0) else { return 1 };
        let argv = [me.as_ptr(), c"child".as_ptr(), null()];
        vfork_exec(me, &argv, &[null()]).and_then(wait).map_or(1, |s| s.0 >> 8)
    });
    check_eq!(go(PTRACE_CONT, pid, 0), Ok(event(PTRACE_EVENT_VFORK)), "vfork");
    let new = message(pid).unwrap_or(0) as i32;
    check_eq!(stop(new), Ok(stopped(SIGSTOP)), "the new one is stopped");
    check_eq!(tell(PTRACE_CONT, pid, 0, 0), Ok(0), "its parent goes on");
    check_eq!(go(PTRACE_CONT, new, 0), Ok(stopped(SIGTRAP)), "execve, for who did not ask");
    check_eq!(siginfo(new).map(|i| (i.code, i.signo)), Ok((0, SIGTRAP as i32)), "as if by kill");
    check_eq!(stop(pid), Ok(event(PTRACE_EVENT_VFORK_DONE)), "vfork is done");
    check_eq!(message(pid), Ok(new as u64), "with this one");
    check_eq!(tell(PTRACE_DETACH, new, 0, 0), Ok(0), "detach");
    check_eq!(go(PTRACE_CONT, pid, 0), Ok(stopped(SIGCHLD)), "its child's end");
    check_eq!(go(PTRACE_CONT, pid, 0), Ok(WaitStatus::exited(42).0), "its own");
}

extern "C" fn thread() -> ! {
    exit_thread(3)
}

fn clones() {
    let pid = tracee(PTRACE_O_TRACECLONE, || {
        let _ = spawn_thread(thread);
        user::time::sleep_ms(50);
        6
    });
    check_eq!(go(PTRACE_CONT, pid, 0), Ok(event(PTRACE_EVENT_CLONE)), "clone");
    let new = message(pid).unwrap_or(0) as i32;
    check_eq!(stop(new), Ok(stopped(SIGSTOP)), "the new thread is stopped");
    check_eq!(tell(PTRACE_CONT, pid, 0, 0), Ok(0), "its leader goes on");
    check_eq!(go(PTRACE_CONT, new, 0), Ok(WaitStatus::exited(3).0), "the thread's own end");
    check_eq!(stop(pid), Ok(WaitStatus::exited(6).0), "the process's");
}

fn execs() {
    let pid = tracee(0, exec_self);
    check_eq!(go(PTRACE_CONT, pid, 0), Ok(stopped(SIGTRAP)), "execve");
    check_eq!(go(PTRACE_CONT, pid, 0), Ok(WaitStatus::exited(42).0), "and its end");
    let pid = tracee(PTRACE_O_TRACEEXEC, exec_self);
    check_eq!(go(PTRACE_CONT, pid, 0), Ok(event(PTRACE_EVENT_EXEC)), "execve, asked for");
    check_eq!(message(pid), Ok(pid as u64), "which thread it was");
    check_eq!(go(PTRACE_CONT, pid, 0), Ok(WaitStatus::exited(42).0), "and its end");
}

fn exits() {
    let pid = tracee(PTRACE_O_TRACEEXIT, || 9);
    check_eq!(go(PTRACE_CONT, pid, 0), Ok(event(PTRACE_EVENT_EXIT)), "exit");
    check_eq!(message(pid), Ok(9 << 8), "with what");
    check_eq!(go(PTRACE_CONT, pid, 0), Ok(WaitStatus::exited(9).0), "and the end");
    check_eq!(tell(PTRACE_SETOPTIONS, pid, 0, 0), Err(Errno(ESRCH)), "it is gone");
    let pid = tracee(0, || 0);
    check_eq!(tell(PTRACE_SETOPTIONS, pid, 0, 1 << 30), Err(Errno(EINVAL)), "no such option");
    check_eq!(go(PTRACE_CONT, pid, 0), Ok(WaitStatus::exited(0).0), "and the end");
}

/// The tracer ends: its tracee does, too.
fn exit_kill() {
    let (from, to) = user::file::pipe(0).unwrap_or((-1, -1));
    let tracer = child(|| {
        let pid = tracee(PTRACE_O_EXITKILL, || {
            loop {
                user::time::sleep_ms(1000);
            }
        });
        let _ = tell(PTRACE_CONT, pid, 0, 0);
        let _ = user::file::write(to, &pid.to_le_bytes());
        0
    });
    let mut bytes = [0; 4];
    check_eq!(user::file::read(from, &mut bytes), Ok(4), "the tracee's id");
    check_eq!(wait(tracer), Ok(WaitStatus::exited(0)), "the tracer");
    // The tracee has the other end of the pipe, as long as it lives.
    let _ = user::file::close(to);
    check_eq!(user::file::read(from, &mut bytes), Ok(0), "the tracee of a dead tracer dies");
    let _ = user::file::close(from);
}
