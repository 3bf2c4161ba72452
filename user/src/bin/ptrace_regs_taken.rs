// SPDX-License-Identifier: GPL-2.0-only
//! Registers that a tracer replaces while the kernel is in the midst of delivering a signal or ending
//! a call: the frame shows the new ones, lies on the new stack, and a call with a result is not made
//! again.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::arch::asm;
use user::prelude::*;
use user::ptrace::x86::PTRACE_SETREGS;
use user::ptrace::{
    PTRACE_CONT, PTRACE_O_TRACESYSGOOD, PTRACE_SETOPTIONS, PTRACE_SYSCALL, UserRegs, give, go, registers,
    stop, stopped, tell, trace_me,
};
use user::signal::{SIGSTOP, SIGTRAP, SIGUSR1, pause};

expect! { end: exit(0) }
program!(run);

const CF: u64 = 1;
/// A call's number at its end: there is none.
const NO_CALL: u64 = u64::MAX;
/// Numbers of calls.
const RT_SIGRETURN: u64 = 15;
const PAUSE: u64 = 34;
/// What is put into register `i`.
const fn pattern(i: u64) -> u64 {
    0x1111_2222_3333_0000 + i
}

/// The tracee's other stack.
#[repr(C, align(4096))]
struct Stack(core::cell::UnsafeCell<[u8; 32768]>);
// SAFETY: the tracee alone uses it, as a stack.
unsafe impl Sync for Stack {}
static STACK: Stack = Stack(core::cell::UnsafeCell::new([0; 32768]));

fn stack() -> core::ops::Range<u64> {
    let at = STACK.0.get() as u64;
    at..at + 32768
}

/// The general registers but the stack pointer, each with its pattern.
fn patterns(r: &mut UserRegs) {
    let all = [
        &mut r.r8, &mut r.r9, &mut r.r10, &mut r.r11, &mut r.r12, &mut r.r13, &mut r.r14, &mut r.r15,
        &mut r.rdi, &mut r.rsi, &mut r.rbp, &mut r.rbx, &mut r.rdx, &mut r.rax, &mut r.rcx,
    ];
    (0..).zip(all).for_each(|(i, r)| *r = pattern(i));
}

/// Ends the process: what the frame holds of the tracer's.
extern "C" fn look(_: i32, _: &mut SigInfo, uc: &mut UContext) {
    let m = &uc.mcontext;
    let got =
        [m.r8, m.r9, m.r10, m.r11, m.r12, m.r13, m.r14, m.r15, m.di, m.si, m.bp, m.bx, m.dx, m.ax, m.cx];
    (0..).zip(got).for_each(|(i, got)| {
        check_eq!(got, pattern(i), "register {i}");
    });
    check_eq!(m.sp, stack().end - 256, "the stack pointer");
    check_eq!(m.flags & CF, CF, "the carry flag");
    check!(stack().contains(&(core::ptr::from_ref(m) as u64)), "the frame is on the new stack");
    exit_group(if user::check::failures() == 0 { 9 } else { 1 })
}

extern "C" fn nothing(_: i32, _: &mut SigInfo, _: &mut UContext) {}

fn tracee(handler: extern "C" fn(i32, &mut SigInfo, &mut UContext), body: impl FnOnce() -> i32) -> i32 {
    let pid = child(|| {
        let _ = sigaction(SIGUSR1, Action::Handle(handler), 0, 0);
        let _ = trace_me();
        let _ = kill(getpid(), SIGSTOP);
        body()
    });
    check_eq!(stop(pid), Ok(stopped(SIGSTOP)), "the first stop");
    pid
}

/// Changes the registers of a stopped tracee.
fn change(pid: i32, f: impl FnOnce(&mut UserRegs)) {
    let mut r = registers(pid).unwrap_or_default();
    f(&mut r);
    check_eq!(give(PTRACE_SETREGS, pid, 0, &r), Ok(0), "SETREGS");
}

/// The stop before a handler runs.
fn before_a_handler() {
    let pid = tracee(look, || {
        let _ = kill(getpid(), SIGUSR1);
        0
    });
    check_eq!(go(PTRACE_CONT, pid, 0), Ok(stopped(SIGUSR1)), "the signal");
    change(pid, |r| {
        patterns(r);
        r.rsp = stack().end - 256;
        r.eflags |= CF;
        r.orig_rax = NO_CALL;
    });
    check_eq!(go(PTRACE_CONT, pid, SIGUSR1), Ok(WaitStatus::exited(9).0), "all was in the frame");
}

/// A call that a signal has interrupted would be made again, were it not for the tracer's result.
fn instead_of_a_restart() {
    for (sig, what) in [(0, "the signal dropped"), (SIGUSR1, "handled")] {
        let pid = tracee(nothing, || match pause() {
            Ok(n) => n as i32,
            Err(Errno(e)) => e as i32,
        });
        check_eq!(go(PTRACE_SYSCALL, pid, 0), Ok(stopped(SIGTRAP)), "{what}: a call");
        check_eq!(registers(pid).map(|r| r.orig_rax), Ok(PAUSE), "{what}: which");
        check_eq!(tell(PTRACE_CONT, pid, 0, 0), Ok(0), "on");
        check_eq!(kill(pid, SIGUSR1), Ok(0), "a signal");
        check_eq!(stop(pid), Ok(stopped(SIGUSR1)), "{what}: seen");
        change(pid, |r| (r.rax, r.orig_rax) = (77, NO_CALL));
        check_eq!(go(PTRACE_CONT, pid, sig), Ok(WaitStatus::exited(77).0), "{what}: the result");
    }
}

/// `raise(SIGUSR1)` with 1 in R12; what is there afterwards.
fn raise_with_a_register() -> i32 {
    let r12: u64;
    // SAFETY: a signal to oneself; the handler returns.
    unsafe {
        asm!("syscall", inout("rax") 62u64 => _, in("rdi") getpid() as u64, in("rsi") u64::from(SIGUSR1),
            out("rcx") _, out("r11") _, inout("r12") 1u64 => r12);
    }
    r12 as i32
}

/// The end of `rt_sigreturn`, which has itself replaced them.
fn behind_sigreturn() {
    let pid = tracee(nothing, raise_with_a_register);
    check_eq!(tell(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESYSGOOD as usize), Ok(0), "options");
    check_eq!(go(PTRACE_CONT, pid, 0), Ok(stopped(SIGUSR1)), "the signal");
    check_eq!(go(PTRACE_SYSCALL, pid, SIGUSR1), Ok(stopped(SIGTRAP | 0x80)), "the handler's end");
    check_eq!(registers(pid).map(|r| r.orig_rax), Ok(RT_SIGRETURN), "which call");
    check_eq!(go(PTRACE_SYSCALL, pid, 0), Ok(stopped(SIGTRAP | 0x80)), "its end");
    check_eq!(registers(pid).map(|r| (r.r12, r.orig_rax)), Ok((1, NO_CALL)), "what it has put back");
    change(pid, |r| r.r12 = 5);
    check_eq!(go(PTRACE_CONT, pid, 0), Ok(WaitStatus::exited(5).0), "the tracer's");
}

fn run() {
    before_a_handler();
    instead_of_a_restart();
    behind_sigreturn();
}
