// SPDX-License-Identifier: GPL-2.0-only
//! What filters of system calls see of i386's calls (`int $0x80`), in this program and in children
//! that such a call makes; the strict mode's i386 calls; and who comes first: the tracer, the filter.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::arch::asm;
use core::sync::atomic::{AtomicI32, AtomicU64, Ordering::SeqCst};
use linux_raw_sys::general as abi;
use user::prelude::*;
use user::ptrace::{
    PTRACE_CONT, PTRACE_O_EXITKILL, PTRACE_O_TRACESECCOMP, PTRACE_O_TRACESYSGOOD, PTRACE_SETOPTIONS,
    PTRACE_SYSCALL, UserRegs, event, give, go, registers, stop, stopped, tell, trace_me, x86,
};
use user::seccomp::answer::{ALLOW, ERRNO, TRACE, TRAP};
use user::seccomp::{self, Insn, load, ret, unless_equal};
use user::signal::{SIGKILL, SIGSTOP, SIGSYS, SIGTRAP};
use user::syscall;
use user::syscall::{Result, int80};

expect! { end: exit(0) }
program!(run);

const I386: u32 = 0x4000_0003;
/// Where a filter finds the number, the world, and the first argument's upper half.
const NR: u32 = 0;
const ARCH: u32 = 4;
const ARG0_HIGH: u32 = 20;
/// i386's numbers.
const EXIT32: u32 = 1;
const FORK32: u32 = 2;
const GETPID32: u32 = 20;
const GETPPID32: u32 = 64;

fn install(program: &[Insn]) {
    check_eq!(seccomp::install(program, 0), Ok(0), "a filter");
}

/// What a filter answers to one call of i386's.
fn filter32(call: u32, answer: u32) {
    install(&[load(ARCH), unless_equal(I386, 3), load(NR), unless_equal(call, 1), ret(answer), ret(ALLOW)]);
}

/// The same for a 64-bit one.
fn filter64(call: u32, answer: u32) {
    install(&[
        load(ARCH),
        unless_equal(I386, 1),
        ret(ALLOW),
        load(NR),
        unless_equal(call, 1),
        ret(answer),
        ret(ALLOW),
    ]);
}

fn call32(nr: u32) -> Result {
    // SAFETY: the calls here touch no memory.
    unsafe { int80(nr, [0; 5]) }
}

fn getppid() -> Result {
    // SAFETY: no memory is involved.
    unsafe { syscall!(__NR_getppid) }
}

fn in_child(what: &str, end: WaitStatus, body: impl FnOnce()) {
    let before = user::check::failures();
    let pid = child(|| {
        body();
        i32::from(user::check::failures() != before)
    });
    check_eq!(wait(pid), Ok(end), "{what}");
}

const WELL: WaitStatus = WaitStatus::exited(0);

fn worlds() {
    in_child("i386's calls", WELL, || {
        let parent = getppid();
        filter32(GETPPID32, ERRNO | 5);
        check_eq!(call32(GETPPID32), Err(Errno(5)), "refused");
        check_eq!(call32(GETPID32), Ok(getpid() as usize), "another");
        check_eq!(getppid(), parent, "the same in 64 bits");
        // 64 is semget there.
        // SAFETY: no memory is involved.
        check!(unsafe { syscall!(__NR_semget, -1, 0, 0) } != Err(Errno(5)), "its number in 64 bits");
    });
    in_child("a child by int $0x80", WELL, || {
        filter32(abi::__NR_getppid, ERRNO | 6);
        filter64(abi::__NR_getpgid, ERRNO | 7);
        let pid = call32(FORK32).unwrap_or(0);
        if pid == 0 {
            // SAFETY: no memory is involved.
            let pgid = unsafe { syscall!(__NR_getpgid, 0) };
            exit_group(i32::from(getppid().is_ok()) * 2 + i32::from(pgid == Err(Errno(7))));
        }
        check_eq!(wait(pid as i32), Ok(WaitStatus::exited(3)), "makes calls of its own world");
    });
}

/// A filter sees the upper half of an argument that `int $0x80` does not look at.
fn upper_halves() {
    in_child("upper halves", WELL, || {
        install(&[
            load(NR),
            unless_equal(GETPID32, 3),
            load(ARG0_HIGH),
            unless_equal(0, 1),
            ret(ERRNO | 9),
            ret(ALLOW),
        ]);
        let rax: i64;
        // SAFETY: getpid touches no memory.
        unsafe {
            asm!("xchg rbx, {b}", "int 0x80", "xchg rbx, {b}", b = inout(reg) 5u64 << 32 => _, inout("rax") u64::from(GETPID32) => rax);
        }
        check_eq!(rax, i64::from(getpid()), "with an upper half");
        check_eq!(call32(GETPID32), Err(Errno(9)), "without");
    });
}

static SEEN: [AtomicU64; 4] = [const { AtomicU64::new(0) }; 4];

extern "C" fn on_sys(_: i32, info: &mut SigInfo, uc: &mut UContext) {
    // SAFETY: `SIGSYS` has these fields.
    let words = unsafe { *core::ptr::from_ref(info).cast::<[u32; 8]>() };
    SEEN[0].store(u64::from(words[1]) << 32 | u64::from(words[2]), SeqCst);
    SEEN[1].store(u64::from(words[4]) | u64::from(words[5]) << 32, SeqCst);
    SEEN[2].store(u64::from(words[6]) << 32 | u64::from(words[7]), SeqCst);
    SEEN[3].store(uc.mcontext.ax, SeqCst);
}

fn trapped() {
    in_child("SIGSYS", WELL, || {
        let _ = sigaction(SIGSYS, Action::Handle(on_sys), 0, 0);
        filter32(GETPPID32, TRAP | 0x77);
        let after: u64;
        // SAFETY: getppid touches no memory.
        unsafe {
            asm!("int 0x80", "2: lea {a}, [rip + 2b]", a = out(reg) after, inout("rax") u64::from(GETPPID32) => _);
        }
        let seen: [u64; 4] = core::array::from_fn(|i| SEEN[i].load(SeqCst));
        check_eq!(seen[0], 0x77 << 32 | 1, "errno and code");
        check_eq!(seen[1], after, "where");
        check_eq!(seen[2], u64::from(GETPPID32) << 32 | u64::from(I386), "which");
        check_eq!(seen[3], u64::from(GETPPID32), "what the handler finds in rax");
    });
}

fn strict() {
    let strictly = |nr: u32, arg: u32| {
        // SAFETY: no memory is involved.
        let _ = unsafe { syscall!(__NR_seccomp, 0, 0, 0) };
        // SAFETY: as above.
        let _ = unsafe { int80(nr, [arg, 0, 0, 0, 0]) };
        exit_group(9)
    };
    in_child("i386's exit", WaitStatus::exited(4), || strictly(EXIT32, 4));
    in_child("i386's getpid", WaitStatus::killed(SIGKILL as i32), || strictly(GETPID32, 0));
    // 60 is exit in 64 bits, and umask there.
    in_child("umask", WaitStatus::killed(SIGKILL as i32), || strictly(60, 0));
}

static CHILD: AtomicI32 = AtomicI32::new(0);

/// Goes on until the next stop, which must be this one; then the call becomes another.
fn next(stop: i32, call: Option<u32>, what: &str) {
    let pid = CHILD.load(SeqCst);
    check_eq!(go(PTRACE_SYSCALL, pid, 0), Ok(stop), "{what}");
    if let Some(nr) = call {
        let r = registers(pid).unwrap_or_default();
        let changed = UserRegs { orig_rax: u64::from(nr), ..r };
        check_eq!(give(x86::PTRACE_SETREGS, pid, 0, &changed), Ok(0), "{what}: another call");
    }
}

/// The tracer comes before the filter, which sees what the tracer has made of the call, and then is
/// asked itself if the filter says so; what it makes of the call then, the filter sees again.
fn order() {
    let pid = child(|| {
        let _ = trace_me();
        install(&[
            load(NR),
            unless_equal(abi::__NR_getppid, 1),
            ret(ERRNO | 5),
            unless_equal(abi::__NR_getpgrp, 1),
            ret(TRACE | 3),
            ret(ALLOW),
        ]);
        let _ = kill(getpid(), SIGSTOP);
        let me = getpid() as usize;
        // SAFETY: no memory is involved.
        let calls = unsafe { [syscall!(__NR_getppid), syscall!(__NR_getpid), syscall!(__NR_getpgrp)] };
        let right = [Ok(me), Err(Errno(5)), Err(Errno(5))];
        calls.iter().zip(&right).fold(0, |n, (a, b)| n * 2 + i32::from(a == b))
    });
    CHILD.store(pid, SeqCst);
    check_eq!(stop(pid), Ok(stopped(SIGSTOP)), "at first");
    let options = PTRACE_O_TRACESECCOMP | PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL;
    check_eq!(tell(PTRACE_SETOPTIONS, pid, 0, options as usize), Ok(0), "options");
    let call = stopped(SIGTRAP | 0x80);
    next(call, None, "getpid");
    next(call, None, "its end");
    next(call, Some(abi::__NR_getpid), "getppid");
    next(call, None, "the other's end");
    next(call, Some(abi::__NR_getppid), "getpid becomes getppid");
    next(call, None, "which is refused");
    next(call, None, "getpgrp");
    next(event(7), Some(abi::__NR_getppid), "the filter asks");
    next(call, None, "and refuses what became of it");
    check_eq!(go(PTRACE_CONT, pid, 0), Ok(WaitStatus::exited(7).0), "what it got");
}

fn run() {
    worlds();
    upper_halves();
    trapped();
    strict();
    order();
}
