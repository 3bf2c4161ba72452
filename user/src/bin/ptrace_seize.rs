// SPDX-License-Identifier: GPL-2.0-only
//! Attaching: PTRACE_ATTACH, PTRACE_SEIZE, group stops, PTRACE_LISTEN, and detaching.
#![cfg_attr(target_os = "none", no_std, no_main)]

use user::prelude::*;
use user::process::{WNOHANG, wait4};
use user::ptrace::{
    PTRACE_ATTACH, PTRACE_CONT, PTRACE_DETACH, PTRACE_EVENT_STOP, PTRACE_INTERRUPT, PTRACE_KILL,
    PTRACE_LISTEN, PTRACE_SEIZE, PTRACE_TRACEME, event, go, siginfo, stop, stopped, tell, trace_me,
};
use user::signal::{SIGCONT, SIGKILL, SIGSTOP, SIGTERM, SIGTRAP};
use user::time::sleep_ms;

expect! { end: exit(0) }
program!(run);

fn sleeper() -> i32 {
    let pid = child(|| {
        loop {
            sleep_ms(1000);
        }
    });
    sleep_ms(20);
    pid
}

fn end(pid: i32) {
    check!(kill(pid, SIGKILL).is_ok(), "SIGKILL");
    check_eq!(stop(pid), Ok(SIGKILL as i32), "its end");
}

fn run() {
    attach();
    attach_to_stopped();
    seize();
    listen();
    errors();
}

fn attach() {
    let pid = sleeper();
    check_eq!(tell(PTRACE_ATTACH, pid, 0, 0), Ok(0), "attach");
    check_eq!(stop(pid), Ok(stopped(SIGSTOP)), "it stops");
    check_eq!(tell(PTRACE_ATTACH, pid, 0, 0), Err(Errno(EPERM)), "twice");
    check_eq!(tell(PTRACE_DETACH, pid, 0, 0), Ok(0), "detach");
    check_eq!(wait4(pid, WNOHANG), Ok(None), "it goes on");
    check_eq!(tell(PTRACE_CONT, pid, 0, 0), Err(Errno(ESRCH)), "no tracee any more");
    // Detaching with a signal delivers it.
    check_eq!(tell(PTRACE_ATTACH, pid, 0, 0), Ok(0), "attach again");
    check_eq!(stop(pid), Ok(stopped(SIGSTOP)), "it stops");
    check_eq!(tell(PTRACE_DETACH, pid, 0, SIGTERM as usize), Ok(0), "detach with a signal");
    check_eq!(stop(pid), Ok(SIGTERM as i32), "its end");
}

fn attach_to_stopped() {
    let pid = sleeper();
    check!(kill(pid, SIGSTOP).is_ok(), "SIGSTOP");
    sleep_ms(20);
    check_eq!(tell(PTRACE_ATTACH, pid, 0, 0), Ok(0), "attach");
    let at_once = wait4(pid, WNOHANG).map(|w| w.map(|(_, s)| s.0));
    check_eq!(at_once, Ok(Some(stopped(SIGSTOP))), "stopped already");
    check_eq!(tell(PTRACE_DETACH, pid, 0, 0), Ok(0), "detach");
    sleep_ms(20);
    check_eq!(tell(PTRACE_CONT, pid, 0, 0), Err(Errno(ESRCH)), "no tracee any more");
    end(pid);
}

fn seize() {
    let pid = sleeper();
    check_eq!(tell(PTRACE_SEIZE, pid, 0, 0), Ok(0), "seize");
    check_eq!(wait4(pid, WNOHANG), Ok(None), "it does not stop");
    check_eq!(tell(PTRACE_INTERRUPT, pid, 0, 0), Ok(0), "interrupt");
    check_eq!(stop(pid), Ok(event(PTRACE_EVENT_STOP)), "it stops");
    let code = siginfo(pid).map(|i| i.code);
    check_eq!(code, Ok((PTRACE_EVENT_STOP << 8 | SIGTRAP) as i32), "si_code");
    check_eq!(tell(PTRACE_LISTEN, pid, 0, 0), Ok(0), "listen");
    check_eq!(tell(PTRACE_INTERRUPT, pid, 0, 0), Ok(0), "interrupt a listener");
    check_eq!(stop(pid), Ok(event(PTRACE_EVENT_STOP)), "it stops again");
    check_eq!(tell(PTRACE_CONT, pid, 0, 0), Ok(0), "go on");
    end(pid);
}

/// A seized tracee's group stop is told apart from a signal, and can be kept.
fn listen() {
    let group_stop = stopped(PTRACE_EVENT_STOP << 8 | SIGSTOP);
    let pid = sleeper();
    check_eq!(tell(PTRACE_SEIZE, pid, 0, 0), Ok(0), "seize");
    check!(kill(pid, SIGSTOP).is_ok(), "SIGSTOP");
    check_eq!(stop(pid), Ok(stopped(SIGSTOP)), "the signal");
    check_eq!(go(PTRACE_CONT, pid, SIGSTOP), Ok(group_stop), "the group's stop");
    check_eq!(tell(PTRACE_LISTEN, pid, 0, 0), Ok(0), "listen");
    check_eq!(tell(PTRACE_CONT, pid, 0, 0), Err(Errno(ESRCH)), "a listener is not stopped for us");
    check!(kill(pid, SIGCONT).is_ok(), "SIGCONT");
    check_eq!(stop(pid), Ok(event(PTRACE_EVENT_STOP)), "the group's end of the stop");
    check_eq!(go(PTRACE_CONT, pid, 0), Ok(stopped(SIGCONT)), "the signal");
    check_eq!(tell(PTRACE_DETACH, pid, 0, 0), Ok(0), "detach");
    end(pid);
}

fn errors() {
    check_eq!(tell(PTRACE_SEIZE, getpid(), 0, 0), Err(Errno(EPERM)), "oneself");
    let pid = sleeper();
    check_eq!(tell(PTRACE_SEIZE, pid, 8, 0), Err(Errno(EIO)), "seize with an address");
    check_eq!(tell(PTRACE_SEIZE, pid, 0, 1 << 30), Err(Errno(EIO)), "no such option");
    check_eq!(tell(PTRACE_INTERRUPT, pid, 0, 0), Err(Errno(ESRCH)), "nobody's tracee");
    check_eq!(tell(PTRACE_ATTACH, pid, 0, 0), Ok(0), "attach");
    check_eq!(stop(pid), Ok(stopped(SIGSTOP)), "it stops");
    check_eq!(tell(PTRACE_INTERRUPT, pid, 0, 0), Err(Errno(EIO)), "only who was seized");
    check_eq!(tell(PTRACE_LISTEN, pid, 0, 0), Err(Errno(EIO)), "likewise");
    check_eq!(tell(PTRACE_CONT, pid, 0, 65), Err(Errno(EIO)), "no such signal");
    check_eq!(tell(0x4299, pid, 0, 0), Err(Errno(EIO)), "no such request");
    check_eq!(tell(PTRACE_KILL, pid, 0, 0), Ok(0), "PTRACE_KILL");
    check_eq!(stop(pid), Ok(SIGKILL as i32), "its end");
    let pid = child(|| {
        let first = trace_me().is_ok();
        i32::from(first && tell(PTRACE_TRACEME, 0, 0, 0) == Err(Errno(EPERM)))
    });
    check_eq!(wait(pid), Ok(WaitStatus::exited(1)), "traced once");
}
