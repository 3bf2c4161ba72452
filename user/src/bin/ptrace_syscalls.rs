// SPDX-License-Identifier: GPL-2.0-only
//! System call stops: what is called with what, changed, skipped, emulated.
#![cfg_attr(target_os = "none", no_std, no_main)]

use user::prelude::*;
use user::process::getppid;
use user::ptrace::x86::PTRACE_SYSEMU;
use user::ptrace::{
    PTRACE_CONT, PTRACE_GET_SYSCALL_INFO, PTRACE_O_TRACESYSGOOD, PTRACE_POKEUSR, PTRACE_SETOPTIONS,
    PTRACE_SYSCALL, go, message, ptrace, registers, siginfo, stop, stopped, tell, trace_me,
};
use user::signal::{SIGSTOP, SIGTRAP};

expect! { end: exit(0) }
program!(run);

const ORIG_RAX: usize = 15 * 8;
const RAX: usize = 10 * 8;
const GETPPID: u64 = 110;
const GETPID: usize = 39;
const SYSGOOD: u32 = SIGTRAP | 0x80;

/// A child that stops, then calls getppid and exits with its low bits.
fn tracee(options: u32) -> i32 {
    let pid = child(|| {
        let _ = trace_me();
        let _ = kill(getpid(), SIGSTOP);
        getppid() & 0x7f
    });
    check_eq!(stop(pid), Ok(stopped(SIGSTOP)), "the first stop");
    check_eq!(tell(PTRACE_SETOPTIONS, pid, 0, options as usize), Ok(0), "options");
    // The stop was behind the end of kill.
    let code = if options == 0 { SIGTRAP } else { SYSGOOD };
    check_eq!(go(PTRACE_SYSCALL, pid, 0), Ok(stopped(code)), "getppid begins");
    pid
}

/// How much there is to know of a call, and the first eleven words of it.
fn info(pid: i32) -> (usize, [u64; 11]) {
    let mut words = [0u64; 11];
    // SAFETY: the kernel writes at most 88 bytes.
    let n = unsafe { ptrace(PTRACE_GET_SYSCALL_INFO, pid, 88, words.as_mut_ptr() as usize) };
    (n.unwrap_or(0), words)
}

/// A call's number is its lower half, and so is the result of one of i386's.
fn halves() {
    let pid = tracee(PTRACE_O_TRACESYSGOOD);
    check_eq!(tell(PTRACE_POKEUSR, pid, ORIG_RAX, 0xffff_ffff), Ok(0), "a number of 32 bits");
    check_eq!(info(pid).1[3], u64::MAX, "has a sign");
    check_eq!(tell(PTRACE_POKEUSR, pid, ORIG_RAX, GETPID), Ok(0), "another call");
    let child = pid & 0x7f;
    check_eq!(go(PTRACE_CONT, pid, 0), Ok(WaitStatus::exited(child).0), "is what is done");

    let pid = user::process::child(|| {
        let _ = trace_me();
        let _ = kill(getpid(), SIGSTOP);
        let r: i32;
        // SAFETY: i386's getppid.
        unsafe { core::arch::asm!("int 0x80", inlateout("eax") 64 => r, in("rcx") 0x1_2345_6789u64) };
        -r
    });
    check_eq!(stop(pid), Ok(stopped(SIGSTOP)), "the first stop");
    check_eq!(tell(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESYSGOOD as usize), Ok(0), "options");
    check_eq!(go(PTRACE_SYSCALL, pid, 0), Ok(stopped(SYSGOOD)), "int 0x80");
    let (n, w) = info(pid);
    check_eq!((n, w[0], w[3]), (80, 0x4000_0003 << 32 | 1, 64), "its info");
    check_eq!(w[5], 0x1_2345_6789, "the second argument is the whole register");
    check_eq!(go(PTRACE_SYSCALL, pid, 0), Ok(stopped(SYSGOOD)), "it ends");
    check_eq!(tell(PTRACE_POKEUSR, pid, RAX, 0xffff_fffe), Ok(0), "with a result of 32 bits");
    let (n, w) = info(pid);
    check_eq!((n, w[0] as u8, w[3] as i64, w[4] as u8), (33, 2, -2, 1), "which is an error");
    check_eq!(go(PTRACE_CONT, pid, 0), Ok(WaitStatus::exited(2).0), "the child sees it");
}

fn run() {
    let me = getpid() & 0x7f;
    let pid = tracee(PTRACE_O_TRACESYSGOOD);
    check_eq!(message(pid), Ok(1), "the beginning");
    check_eq!(siginfo(pid).map(|i| i.code), Ok(SYSGOOD as i32), "si_code");
    let r = registers(pid).unwrap_or_default();
    check_eq!((r.orig_rax, r.rax as i64), (GETPPID, -(ENOSYS as i64)), "number and result so far");
    let (n, w) = info(pid);
    check_eq!((n, w[0], w[1], w[2], w[3]), (80, 0xc000_003e << 32 | 1, r.rip, r.rsp, GETPPID), "its info");
    check_eq!(go(PTRACE_SYSCALL, pid, 0), Ok(stopped(SYSGOOD)), "it ends");
    check_eq!(message(pid), Ok(2), "the end");
    let (n, w) = info(pid);
    check_eq!((n, w[0] as u8, w[3], w[4] as u8), (33, 2, getpid() as u64, 0), "its info");
    check_eq!(tell(PTRACE_POKEUSR, pid, RAX, 99), Ok(0), "another result");
    check_eq!(go(PTRACE_CONT, pid, 0), Ok(WaitStatus::exited(99).0), "is what the child sees");

    let pid = tracee(0);
    check_eq!(tell(PTRACE_POKEUSR, pid, ORIG_RAX, GETPID), Ok(0), "another call");
    let child = pid & 0x7f;
    check_eq!(go(PTRACE_CONT, pid, 0), Ok(WaitStatus::exited(child).0), "is what is done");

    let pid = tracee(PTRACE_O_TRACESYSGOOD);
    check_eq!(tell(PTRACE_POKEUSR, pid, ORIG_RAX, usize::MAX), Ok(0), "no call");
    check_eq!(go(PTRACE_SYSCALL, pid, 0), Ok(stopped(SYSGOOD)), "it ends");
    check_eq!(registers(pid).map(|r| r.rax as i64), Ok(-(ENOSYS as i64)), "without a result");
    check_eq!(tell(PTRACE_POKEUSR, pid, RAX, 55), Ok(0), "the tracer's");
    check_eq!(go(PTRACE_CONT, pid, 0), Ok(WaitStatus::exited(55).0), "is what the child sees");

    // What the tracer puts into RAX at the beginning stays only if there is no call at all.
    for (number, want) in [(usize::MAX, 44), (4000, -(ENOSYS as i64)), (1 << 30, -(ENOSYS as i64))] {
        let pid = tracee(PTRACE_O_TRACESYSGOOD);
        check_eq!(tell(PTRACE_POKEUSR, pid, ORIG_RAX, number), Ok(0), "number {number}");
        check_eq!(tell(PTRACE_POKEUSR, pid, RAX, 44), Ok(0), "a result before the call");
        check_eq!(go(PTRACE_SYSCALL, pid, 0), Ok(stopped(SYSGOOD)), "it ends");
        check_eq!(registers(pid).map(|r| r.rax as i64), Ok(want), "what is left of it ({number})");
        check_eq!(tell(PTRACE_POKEUSR, pid, RAX, 3), Ok(0), "the tracer's");
        check_eq!(go(PTRACE_CONT, pid, 0), Ok(WaitStatus::exited(3).0), "is what the child sees");
    }

    halves();

    let pid = tracee(PTRACE_O_TRACESYSGOOD);
    check_eq!(go(PTRACE_SYSCALL, pid, 0), Ok(stopped(SYSGOOD)), "getppid ends");
    check_eq!(registers(pid).map(|r| r.rax as i32 & 0x7f), Ok(me), "with this");
    check_eq!(go(PTRACE_SYSEMU, pid, 0), Ok(stopped(SYSGOOD)), "exit_group begins");
    check_eq!(registers(pid).map(|r| r.orig_rax), Ok(231), "it is the one");
    check_eq!(go(PTRACE_SYSEMU, pid, 0), Ok(stopped(SYSGOOD)), "and is not done");
    check_eq!(registers(pid).map(|r| r.orig_rax), Ok(231), "so it comes again");
    check_eq!(go(PTRACE_CONT, pid, 0), Ok(WaitStatus::exited(me).0), "until it is");
}
