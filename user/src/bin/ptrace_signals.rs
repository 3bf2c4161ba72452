// SPDX-License-Identifier: GPL-2.0-only
//! A tracer sees each signal first: lets it through, drops it, puts another in its place.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use user::prelude::*;
use user::ptrace::{
    PTRACE_CONT, PTRACE_GETSIGMASK, PTRACE_SETSIGINFO, PTRACE_SETSIGMASK, PTRACE_SINGLESTEP, give, go,
    registers, siginfo, stop, stopped, tell, trace_me,
};
use user::signal::{SIGINT, SIGKILL, SIGSTOP, SIGTERM, SIGTRAP, SIGUSR1, SIGUSR2};

expect! { end: exit(0) }
program!(run);

static CODE: AtomicU32 = AtomicU32::new(0);
static COUNT: AtomicU32 = AtomicU32::new(0);
static SENDER: AtomicU32 = AtomicU32::new(0);
static DONE: AtomicBool = AtomicBool::new(false);

extern "C" fn handler(sig: i32, info: &mut SigInfo, _: &mut UContext) {
    COUNT.fetch_add(1, Ordering::Relaxed);
    CODE.store(sig as u32 * 1000 + info.code as u32 % 1000, Ordering::Relaxed);
}

extern "C" fn note_sender(_: i32, info: &mut SigInfo, _: &mut UContext) {
    SENDER.store(info.word(0) as u32, Ordering::Relaxed);
}

/// A signal that a tracer puts in another's place is from the thread that traces.
extern "C" fn tracing_thread() -> ! {
    let me = gettid();
    check!(me != getpid(), "not the leader");
    let pid = child(|| {
        let _ = sigaction(SIGUSR2, Action::Handle(note_sender), 0, 0);
        let _ = trace_me();
        let _ = kill(getpid(), SIGUSR1);
        i32::from(SENDER.load(Ordering::Relaxed) != me as u32)
    });
    check_eq!(stop(pid), Ok(stopped(SIGUSR1)), "a thread's tracee");
    check_eq!(go(PTRACE_CONT, pid, SIGUSR2), Ok(WaitStatus::exited(0).0), "whose signal it is");
    DONE.store(true, Ordering::Relaxed);
    user::process::exit_thread(0)
}

/// A child that stops, and then raises SIGUSR1 `n` times; its exit code is what its handler saw.
fn tracee(n: u32) -> i32 {
    let pid = child(|| {
        for sig in [SIGUSR1, SIGUSR2] {
            let _ = sigaction(sig, Action::Handle(handler), 0, 0);
        }
        let _ = trace_me();
        let _ = kill(getpid(), SIGSTOP);
        for _ in 0..n {
            let _ = kill(getpid(), SIGUSR1);
        }
        (COUNT.load(Ordering::Relaxed) * 100 + CODE.load(Ordering::Relaxed) / 1000) as i32
    });
    check_eq!(stop(pid), Ok(stopped(SIGSTOP)), "the first stop");
    pid
}

fn run() {
    let seen = |n: u32, sig: u32| Ok(WaitStatus::exited((n * 100 + sig) as i32).0);

    let pid = tracee(1);
    check_eq!(go(PTRACE_CONT, pid, 0), Ok(stopped(SIGUSR1)), "the signal is seen");
    let info = siginfo(pid).map(|i| (i.signo, i.code));
    check_eq!(info, Ok((SIGUSR1 as i32, 0)), "its siginfo");
    check_eq!(go(PTRACE_CONT, pid, SIGUSR1), seen(1, SIGUSR1), "let through");

    let pid = tracee(1);
    let _ = go(PTRACE_CONT, pid, 0);
    check_eq!(go(PTRACE_CONT, pid, 0), seen(0, 0), "dropped");

    let pid = tracee(1);
    let _ = go(PTRACE_CONT, pid, 0);
    check_eq!(go(PTRACE_CONT, pid, SIGUSR2), seen(1, SIGUSR2), "another in its place");

    let pid = tracee(1);
    let _ = go(PTRACE_CONT, pid, 0);
    check_eq!(go(PTRACE_CONT, pid, SIGTERM), Ok(SIGTERM as i32), "a fatal one in its place");

    check!(user::process::spawn_thread(tracing_thread).is_ok(), "a thread");
    while !DONE.load(Ordering::Relaxed) {
        user::process::sched_yield();
    }

    // Ignored ones are seen as well.
    let pid = child(|| {
        let _ = sigaction(SIGINT, Action::Ignore, 0, 0);
        let _ = trace_me();
        let _ = kill(getpid(), SIGINT);
        7
    });
    check_eq!(stop(pid), Ok(stopped(SIGINT)), "an ignored signal");
    check_eq!(go(PTRACE_CONT, pid, SIGINT), Ok(WaitStatus::exited(7).0), "ignored in the end");

    step_into_handler();
    changed_siginfo();
    masks();
    kill_while_stopped();
    check_eq!(tell(PTRACE_CONT, getpid(), 0, 0), Err(Errno(ESRCH)), "nobody's tracee");
    check_eq!(tell(PTRACE_CONT, 1 << 22, 0, 0), Err(Errno(ESRCH)), "nobody");
}

/// A step with a signal ends at the handler's first instruction.
fn step_into_handler() {
    let pid = tracee(1);
    let _ = go(PTRACE_CONT, pid, 0);
    check_eq!(go(PTRACE_SINGLESTEP, pid, SIGUSR1), Ok(stopped(SIGTRAP)), "a step with a signal");
    let at = registers(pid).map(|r| (r.rip, r.rdi, r.eflags & 0x100));
    check_eq!(at, Ok((handler as *const () as u64, u64::from(SIGUSR1), 0)), "where it ends");
    check_eq!(siginfo(pid).map(|i| i.code), Ok(SIGTRAP as i32), "and how it looks");
    check_eq!(go(PTRACE_SINGLESTEP, pid, 0), Ok(stopped(SIGTRAP)), "one more step");
    check_eq!(siginfo(pid).map(|i| i.code), Ok(2), "TRAP_TRACE");
    check_eq!(go(PTRACE_CONT, pid, 0), Ok(WaitStatus::exited(110).0), "the handler ran");
}

fn changed_siginfo() {
    let pid = tracee(1);
    let _ = go(PTRACE_CONT, pid, 0);
    check_eq!(go(PTRACE_CONT, pid, 0), Ok(WaitStatus::exited(0).0), "nothing seen");
    let pid = child(|| {
        let _ = sigaction(SIGUSR1, Action::Handle(handler), 0, 0);
        let _ = trace_me();
        let _ = kill(getpid(), SIGUSR1);
        (CODE.load(Ordering::Relaxed) % 1000) as i32
    });
    check_eq!(stop(pid), Ok(stopped(SIGUSR1)), "the signal");
    let mut info = siginfo(pid).unwrap_or(SigInfo::ZERO);
    info.code = 77;
    check!(give(PTRACE_SETSIGINFO, pid, 0, &info).is_ok(), "SETSIGINFO");
    check_eq!(go(PTRACE_CONT, pid, SIGUSR1), Ok(WaitStatus::exited(77).0), "the handler's si_code");
}

fn masks() {
    let pid = tracee(1);
    let mask = user::ptrace::ask(PTRACE_GETSIGMASK, pid, 8, u64::MAX);
    check_eq!(mask, Ok(0), "nothing blocked");
    check_eq!(give(PTRACE_SETSIGMASK, pid, 8, &u64::MAX), Ok(0), "SETSIGMASK");
    let mask = user::ptrace::ask(PTRACE_GETSIGMASK, pid, 8, 0u64);
    check_eq!(mask, Ok(!(bit(SIGKILL) | bit(SIGSTOP))), "but these two");
    check_eq!(give(PTRACE_SETSIGMASK, pid, 4, &0u64), Err(Errno(EINVAL)), "of another size");
    check_eq!(go(PTRACE_CONT, pid, 0), Ok(WaitStatus::exited(0).0), "blocked, hence not seen");
}

fn kill_while_stopped() {
    let pid = tracee(0);
    check!(kill(pid, SIGKILL).is_ok(), "SIGKILL");
    check_eq!(stop(pid), Ok(SIGKILL as i32), "wakes even a tracee");
}
