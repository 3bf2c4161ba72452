// SPDX-License-Identifier: GPL-2.0-only
//! execve by a thread that is not the first: the new program has the process's id and its children,
//! the thread's own id is gone, and a tracer hears which one it was. The rules of membarrier.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::ffi::CStr;
use core::ptr::null;
use core::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use linux_raw_sys::general as abi;
use user::prelude::*;
use user::process::{execve, exit_thread, spawn_thread, wait4};
use user::ptrace::{
    PTRACE_CONT, PTRACE_EVENT_CLONE, PTRACE_EVENT_EXEC, PTRACE_O_EXITKILL, PTRACE_O_TRACECLONE,
    PTRACE_O_TRACEEXEC, PTRACE_SETOPTIONS, event, go, message, stop, stopped, tell, trace_me,
};
use user::signal::{SIGSTOP, pause};
use user::syscall::Result;
use user::time::sleep_ms;
use user::{program, start, syscall};

expect! { end: exit(0) }
program!(run);

/// What this program is called with again.
static AGAIN: AtomicUsize = AtomicUsize::new(0);

extern "C" fn run_program() -> ! {
    let names: [&CStr; 3] = [c"plain", c"parent", c"barriers"];
    let path = start::arg(0).unwrap_or(c"");
    let _ = execve(path, &[path.as_ptr(), names[AGAIN.load(SeqCst)].as_ptr(), null()], &[null()]);
    exit_group(1)
}

/// The first thread waits to be killed, or has gone already.
fn exec_by_thread(again: usize, first_goes: bool) -> ! {
    AGAIN.store(again, SeqCst);
    let _ = spawn_thread(run_program);
    if first_goes {
        exit_thread(3);
    }
    loop {
        let _ = pause();
    }
}

fn again(how: &str) -> i32 {
    check_eq!(gettid(), getpid(), "{how}: the first thread's id");
    if how == "parent" {
        let child = wait4(-1, 0);
        check!(matches!(child, Ok(Some((_, WaitStatus(0x700))))), "its child: {child:?}");
    }
    if how == "barriers" {
        check_eq!(barrier(1 << 3, 0), Err(Errno(EPERM)), "another program has not registered");
    }
    if user::check::failures() == 0 { 42 } else { 1 }
}

fn barrier(command: u32, flags: u32) -> Result {
    // SAFETY: no memory is involved.
    unsafe { syscall!(__NR_membarrier, command, flags, 0) }
}

fn barriers() {
    let e = |n| Err(Errno(n));
    check_eq!(barrier(0, 0), Ok(0x1ff), "what there is");
    check_eq!([barrier(1, 0), barrier(2, 0)], [Ok(0); 2], "for all");
    for command in [3, 5, 7] {
        check_eq!(barrier(1 << command, 0), e(EPERM), "{command}: for who did not register");
        check_eq!(barrier(1 << (command + 1), 0), Ok(0), "{command}: registering");
        check_eq!(barrier(1 << (command + 1), 0), Ok(0), "{command}: again");
        check_eq!(barrier(1 << command, 0), Ok(0), "{command}: for who did");
    }
    check_eq!(barrier(1 << 7, 1), Ok(0), "one CPU");
    check_eq!([barrier(1 << 7, 2), barrier(1 << 3, 1), barrier(0, 1)], [e(EINVAL); 3], "flags");
    check_eq!([barrier(3, 0), barrier(1 << 9, 0)], [e(EINVAL); 2], "no such command");
    let copy = child(|| i32::from(barrier(1 << 3, 0) != Ok(0)));
    check_eq!(wait(copy), Ok(WaitStatus::exited(0)), "a child has registered, too");
    let pid = child(|| exec_by_thread(2, false));
    check_eq!(wait(pid), Ok(WaitStatus::exited(42)), "another program");
}

fn traced() {
    let pid = child(|| {
        let _ = trace_me();
        let _ = kill(getpid(), SIGSTOP);
        exec_by_thread(0, false)
    });
    check_eq!(stop(pid), Ok(stopped(SIGSTOP)), "at first");
    let options = PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL;
    check_eq!(tell(PTRACE_SETOPTIONS, pid, 0, options as usize), Ok(0), "options");
    check_eq!(go(PTRACE_CONT, pid, 0), Ok(event(PTRACE_EVENT_CLONE)), "a thread");
    let tid = message(pid).unwrap_or(0) as i32;
    check_eq!(stop(tid), Ok(stopped(SIGSTOP)), "its first stop");
    // The first thread first: once the other goes on, it may be gone.
    check_eq!((tell(PTRACE_CONT, pid, 0, 0), tell(PTRACE_CONT, tid, 0, 0)), (Ok(0), Ok(0)), "on");
    check_eq!(stop(pid), Ok(event(PTRACE_EVENT_EXEC)), "execve");
    check_eq!(message(pid), Ok(tid as u64), "which thread it was");
    check_eq!(tgkill(pid, tid, 0), Err(Errno(ESRCH)), "it is gone");
    check_eq!(wait4(tid, abi::__WALL), Err(Errno(ECHILD)), "for its tracer, too");
    check_eq!(go(PTRACE_CONT, pid, 0), Ok(WaitStatus::exited(42).0), "the end");
}

fn run() {
    if let Some(how) = start::arg_str(1) {
        exit_group(again(how));
    }
    for first_goes in [false, true] {
        let pid = child(|| exec_by_thread(0, first_goes));
        check_eq!(wait(pid), Ok(WaitStatus::exited(42)), "the first thread goes: {first_goes}");
    }
    let pid = child(|| {
        child(|| {
            sleep_ms(60);
            7
        });
        exec_by_thread(1, false)
    });
    check_eq!(wait(pid), Ok(WaitStatus::exited(42)), "a parent");
    traced();
    barriers();
}
