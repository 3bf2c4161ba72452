// SPDX-License-Identifier: GPL-2.0-only
//! A process dumps core while one of its threads stands in PTRACE_EVENT_EXIT: the dump does not
//! wait for it, and the stop outlives the dump. Needs root for `/proc/sys/kernel/core_pattern`,
//! which it puts back.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::arch::asm;
use core::ffi::CStr;
use user::file;
use user::prelude::*;
use user::process::{__WALL, RLIMIT_CORE, WNOHANG, exit_thread, setrlimit, spawn_thread, wait4};
use user::ptrace::{
    PTRACE_CONT, PTRACE_EVENT_CLONE, PTRACE_EVENT_EXIT, PTRACE_O_TRACECLONE, PTRACE_O_TRACEEXIT,
    PTRACE_SETOPTIONS, event, go, message, stop, stopped, tell, trace_me,
};
use user::signal::{SIGILL, SIGSTOP};
use user::time::sleep_ms;

expect! { end: exit(0) }
program!(run);

const PATTERN: &CStr = c"/proc/sys/kernel/core_pattern";
const CORE: &CStr = c"/tmp/trapline.traced.core";

fn run() {
    let mut old = [0; 256];
    let Ok(old) = file::load(PATTERN, &mut old) else { return check!(false, "core_pattern") };
    check!(file::store(PATTERN, CORE.to_bytes()).is_ok(), "core_pattern is set");
    traced();
    check!(file::store(PATTERN, old).is_ok(), "core_pattern is put back");
}

extern "C" fn ends() -> ! {
    exit_thread(3)
}

fn dumps() -> i32 {
    let _ = setrlimit(RLIMIT_CORE, 1 << 24, Some(1 << 24));
    let _ = trace_me();
    let _ = kill(getpid(), SIGSTOP);
    let _ = spawn_thread(ends);
    sleep_ms(50);
    // SAFETY: does not return.
    unsafe { asm!("ud2", options(noreturn)) }
}

fn traced() {
    let pid = child(dumps);
    check_eq!(stop(pid), Ok(stopped(SIGSTOP)), "the first stop");
    let options = PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXIT;
    check_eq!(tell(PTRACE_SETOPTIONS, pid, 0, options as usize), Ok(0), "options");
    check_eq!(go(PTRACE_CONT, pid, 0), Ok(event(PTRACE_EVENT_CLONE)), "a thread");
    let other = message(pid).unwrap_or(0) as i32;
    check_eq!(stop(other), Ok(stopped(SIGSTOP)), "which begins with a stop");
    check_eq!(go(PTRACE_CONT, other, 0), Ok(event(PTRACE_EVENT_EXIT)), "and ends");
    check_eq!(go(PTRACE_CONT, pid, 0), Ok(stopped(SIGILL)), "the leader's fault");
    check_eq!(tell(PTRACE_CONT, pid, 0, SIGILL as usize), Ok(0), "it dumps core");
    // It stops at its own end, if the dump does not wait for ever.
    for _ in 0..3000 {
        if let Ok(Some((_, status))) = wait4(pid, WNOHANG | __WALL) {
            check_eq!(status.0, event(PTRACE_EVENT_EXIT), "the leader ends");
            break;
        }
        sleep_ms(1);
    }
    check_eq!(message(pid), Ok(u64::from(SIGILL) | 0x80), "dumped");
    check_eq!(message(other), Ok(3 << 8), "the other one's stop is what it was");
    check_eq!(go(PTRACE_CONT, other, 0), Ok(SIGILL as i32 | 0x80), "its end");
    check_eq!(go(PTRACE_CONT, pid, 0), Ok(SIGILL as i32 | 0x80), "the leader's");
    check!(file::unlink(CORE).is_ok(), "there is a dump");
}
