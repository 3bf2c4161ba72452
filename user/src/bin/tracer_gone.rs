// SPDX-License-Identifier: GPL-2.0-only
//! Stops that the tracer never hears of: it ends before, or the tracee is killed by its process's
//! `execve`. What stands in the stop's code is then no signal that could be sent.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::ptr::null;
use linux_raw_sys::prctl::PR_SET_CHILD_SUBREAPER;
use user::prelude::*;
use user::process::{TRACED, WNOHANG, ZOMBIE, execve, getppid, gettid, spawn_thread, until_state, wait4};
use user::ptrace::{
    PTRACE_CONT, PTRACE_EVENT_CLONE, PTRACE_O_TRACECLONE, PTRACE_O_TRACESYSGOOD, PTRACE_SETOPTIONS,
    PTRACE_SYSCALL, event, go, message, stop, stopped, tell, trace_me,
};
use user::signal::{SIGSTOP, SIGTRAP};
use user::time::sleep_ms;
use user::{start, syscall};

expect! { end: exit(0) }
program!(run);

fn run() {
    if start::arg_str(1) == Some("child") {
        exit_group(42);
    }
    // SAFETY: no memory is involved. Who loses its tracer, which is its parent, is our child then.
    let _ = unsafe { syscall!(__NR_prctl, PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) };
    // 133 is no signal: it goes on. 5 is one.
    check_eq!(tracer_ends(PTRACE_O_TRACESYSGOOD), Ok(WaitStatus::exited(7)), "with TRACESYSGOOD");
    check_eq!(tracer_ends(0), Ok(WaitStatus::killed(SIGTRAP as i32)), "without");
    exec_beside();
}

/// A tracer ends while its tracee is in a system call stop that nobody has waited for. How the
/// tracee ends.
fn tracer_ends(options: u32) -> Result<WaitStatus, Errno> {
    let tracer = child(|| {
        let pid = child(|| {
            let tracer = getppid();
            let _ = trace_me();
            let _ = kill(getpid(), SIGSTOP);
            while getppid() == tracer {
                sleep_ms(1);
            }
            7
        });
        let begun = stop(pid) == Ok(stopped(SIGSTOP))
            && tell(PTRACE_SETOPTIONS, pid, 0, options as usize).is_ok()
            && tell(PTRACE_SYSCALL, pid, 0, 0).is_ok();
        until_state(pid, TRACED);
        i32::from(!begun)
    });
    check_eq!(wait(tracer), Ok(WaitStatus::exited(0)), "the tracer");
    wait(-1)
}

extern "C" fn thread() -> ! {
    loop {
        let _ = gettid();
    }
}

/// One thread stands in a system call stop while the other calls `execve`.
fn exec_beside() {
    let pid = child(|| {
        let _ = trace_me();
        let _ = kill(getpid(), SIGSTOP);
        let _ = spawn_thread(thread);
        let Some(me) = start::arg(0) else { return 1 };
        let _ = execve(me, &[me.as_ptr(), c"child".as_ptr(), null()], &[null()]);
        2
    });
    check_eq!(stop(pid), Ok(stopped(SIGSTOP)), "the first stop");
    let options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE;
    check_eq!(tell(PTRACE_SETOPTIONS, pid, 0, options as usize), Ok(0), "options");
    check_eq!(go(PTRACE_CONT, pid, 0), Ok(event(PTRACE_EVENT_CLONE)), "a thread");
    let other = message(pid).unwrap_or(0) as i32;
    check_eq!(stop(other), Ok(stopped(SIGSTOP)), "the thread begins with a stop");
    check_eq!(tell(PTRACE_SYSCALL, other, 0, 0), Ok(0), "to its next system call");
    until_state(other, TRACED);
    check_eq!(tell(PTRACE_CONT, pid, 0, 0), Ok(0), "the leader goes on");
    until_state(other, ZOMBIE);
    check_eq!(stop(other), Ok(0), "execve ends it");
    check_eq!(stop(pid), Ok(stopped(SIGTRAP)), "execve");
    check_eq!(go(PTRACE_CONT, pid, 0), Ok(WaitStatus::exited(42).0), "the new program");
    check_eq!(wait4(-1, WNOHANG), Err(Errno(ECHILD)), "nobody is left");
}
