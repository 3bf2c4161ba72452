// SPDX-License-Identifier: GPL-2.0-only
//! A tracee's memory and registers, read and written: breakpoints in its code, what its call
//! returns, FPU and debug registers, and what is refused.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::arch::asm;
use user::prelude::*;
use user::ptrace::x86::{
    PTRACE_ARCH_PRCTL, PTRACE_GET_THREAD_AREA, PTRACE_GETFPREGS, PTRACE_SET_THREAD_AREA, PTRACE_SETFPREGS,
    PTRACE_SETREGS,
};
use user::ptrace::{
    OFFSET_DEBUGREG, PTRACE_CONT, PTRACE_GETREGSET, PTRACE_PEEKUSR, PTRACE_POKETEXT, PTRACE_POKEUSR,
    PTRACE_SETREGSET, UserRegs, ask, give, go, peek, registers, stop, stopped, tell, trace_me,
};
use user::signal::{SIGSTOP, SIGTRAP};

expect! { end: exit(0) }
program!(run);

const NT_PRSTATUS: usize = 1;
const NT_PRFPREG: usize = 2;
const NT_X86_XSTATE: usize = 0x202;

#[inline(never)]
extern "C" fn answer() -> i32 {
    core::hint::black_box(41)
}

fn run() {
    breakpoint();
    registers_change();
    fpu();
    debug_registers();
    thread_areas();
    errors();
}

fn tracee(body: impl FnOnce() -> i32) -> i32 {
    let pid = child(|| {
        let _ = trace_me();
        let _ = kill(getpid(), SIGSTOP);
        body()
    });
    check_eq!(stop(pid), Ok(stopped(SIGSTOP)), "the first stop");
    pid
}

/// int3 in read-only code, and the return value changed behind it.
fn breakpoint() {
    let pid = tracee(|| answer());
    let at = answer as *const () as usize;
    let code = peek(pid, at).unwrap_or(0);
    check_eq!(tell(PTRACE_POKETEXT, pid, at, (code & !0xff | 0xcc) as usize), Ok(0), "int3");
    check_eq!(go(PTRACE_CONT, pid, 0), Ok(stopped(SIGTRAP)), "it is hit");
    let mut r = registers(pid).unwrap_or_default();
    check_eq!(r.rip, at as u64 + 1, "behind it");
    check_eq!(tell(PTRACE_POKETEXT, pid, at, code as usize), Ok(0), "the code as it was");
    // Returns 42 to the caller at once.
    r.rip = peek(pid, r.rsp as usize).unwrap_or(0);
    r.rsp += 8;
    r.rax = 42;
    check_eq!(give(PTRACE_SETREGS, pid, 0, &r), Ok(0), "SETREGS");
    check_eq!(go(PTRACE_CONT, pid, 0), Ok(WaitStatus::exited(42).0), "what was returned");
    check_eq!(answer(), 41, "our own code");
}

fn registers_change() {
    let pid = tracee(|| 0);
    let before = registers(pid).unwrap_or_default();
    check_eq!((before.cs, before.ss, before.orig_rax), (0x33, 0x2b, 62), "in kill");
    let mut set: UserRegs = before;
    let mut iov = [core::ptr::from_mut(&mut set) as usize, 1000];
    check_eq!(ask(PTRACE_GETREGSET, pid, NT_PRSTATUS, iov).map(|v| v[1]), Ok(216), "all there is");
    iov[1] = 12;
    check_eq!(give(PTRACE_GETREGSET, pid, NT_PRSTATUS, &iov), Err(Errno(EINVAL)), "half a word");
    for (at, value, want) in [
        (8 * 17, 0x10, Err(Errno(EIO))),
        (8 * 17, 0, Err(Errno(EIO))),
        (8 * 20, 0x18, Err(Errno(EIO))),
        (8 * 25, 0x10, Err(Errno(EIO))),
        (8 * 25, 0x2b, Ok(0)),
        (8 * 21, 1 << 47, Err(Errno(EIO))),
        (8 * 22, 0x1234, Ok(0)),
        (8 * 16, usize::MAX, Ok(0)),
        (4, 0, Err(Errno(EIO))),
        (912, 0, Err(Errno(EIO))),
        (400, 0, Err(Errno(EIO))),
    ] {
        check_eq!(tell(PTRACE_POKEUSR, pid, at, value), want, "POKEUSR({at}, {value:#x})");
    }
    check_eq!(ask(PTRACE_PEEKUSR, pid, 8 * 22, 0u64), Ok(0x1234), "GS base");
    check_eq!(ask(PTRACE_PEEKUSR, pid, 400, 7u64), Ok(0), "nothing is there");
    // Flags that only the kernel sets stay.
    check_eq!(tell(PTRACE_POKEUSR, pid, 8 * 18, usize::MAX), Ok(0), "flags");
    let flags = registers(pid).map(|r| r.eflags);
    check_eq!(flags.map(|f| f & 0x3_7200), Ok(0x1_4200 | before.eflags & 0x3000), "of the kernel");
    check_eq!(give(PTRACE_SETREGS, pid, 0, &before), Ok(0), "as they were");
    check_eq!(go(PTRACE_CONT, pid, 0), Ok(WaitStatus::exited(0).0), "and it goes on");
}

/// The child loads XMM3 and stops; the tracer reads it and puts another value there.
fn fpu() {
    let pid = child(|| {
        let _ = trace_me();
        let mut low: u64 = 0x1111_2222_3333_4444;
        // SAFETY: kill(getpid(), SIGSTOP) between two moves.
        unsafe {
            asm!("movq xmm3, {low}", "syscall", "movq {low}, xmm3", low = inout(reg) low,
                inout("rax") 62usize => _, in("rdi") getpid(), in("rsi") 19usize,
                out("rcx") _, out("r11") _, out("xmm3") _);
        }
        i32::from(low == 0x5555_6666_7777_8888)
    });
    check_eq!(stop(pid), Ok(stopped(SIGSTOP)), "the first stop");
    let mut fx = ask(PTRACE_GETFPREGS, pid, 0, [0u64; 64]).unwrap_or([0; 64]);
    check_eq!(fx[20 + 6], 0x1111_2222_3333_4444, "XMM3");
    // Is there an XSAVE that the kernel uses?
    if core::arch::x86_64::__cpuid(1).ecx & 1 << 27 != 0 {
        whole_state(pid);
    }
    fx[20 + 6] = 0x5555_6666_7777_8888;
    fx[3] |= 0xffff_0000;
    check_eq!(give(PTRACE_SETFPREGS, pid, 0, &fx), Err(Errno(EINVAL)), "a bad MXCSR");
    fx[3] &= !0xffff_0000;
    let iov = [core::ptr::from_mut(&mut fx) as usize, 512];
    check_eq!(give(PTRACE_SETREGSET, pid, NT_PRFPREG, &iov), Ok(0), "PRFPREG");
    check_eq!(go(PTRACE_CONT, pid, 0), Ok(WaitStatus::exited(1).0), "the child has the new value");
}

/// The whole XSAVE image, and images that are refused.
fn whole_state(pid: i32) {
    let mut image = [0u64; 512];
    let xstate = (&raw mut image).cast::<u64>();
    let iov = [xstate as usize, 4096];
    let size = ask(PTRACE_GETREGSET, pid, NT_X86_XSTATE, iov).map(|v| v[1]);
    check!(size.is_ok_and(|n| n >= 576), "the whole state: {size:?}");
    // SAFETY: words of the image, which the kernel has written.
    let word = |i: usize| unsafe { xstate.add(i).read_volatile() };
    check_eq!(word(26), 0x1111_2222_3333_4444, "XMM3 in it");
    check!(word(64) & 2 != 0, "SSE is in use");
    let iov = [iov[0], size.unwrap_or(0)];
    // SAFETY: likewise; the kernel reads it.
    let put = |i: usize, value: u64| unsafe { xstate.add(i).write_volatile(value) };
    // Only PKRU is in use: what else is in the image counts for nothing.
    let (features, pattern) = (word(64), 0x9999_8888_7777_6666);
    put(64, features & 1 << 9);
    for i in [4, 26, 72] {
        put(i, pattern);
    }
    check_eq!(give(PTRACE_SETREGSET, pid, NT_X86_XSTATE, &iov), Ok(0), "hardly anything in use");
    let fx = ask(PTRACE_GETFPREGS, pid, 0, [7u64; 64]).unwrap_or([7; 64]);
    check_eq!((fx[0], fx[3] as u32, fx[4], fx[26]), (0x37f, 0x1f80, 0, 0), "initial values");
    check!(ask(PTRACE_GETREGSET, pid, NT_X86_XSTATE, iov).is_ok(), "the whole state again");
    check_eq!((word(0), word(3) as u32, word(4), word(26)), (0x37f, 0x1f80, 0, 0), "likewise");
    check_eq!((word(64), word(72)), (features & 1 << 9, 0), "what is in use, and AVX's part");
    put(65, 1);
    check_eq!(give(PTRACE_SETREGSET, pid, NT_X86_XSTATE, &iov), Err(Errno(EINVAL)), "a compacted image");
    let short = [iov[0], 512];
    check_eq!(give(PTRACE_SETREGSET, pid, NT_X86_XSTATE, &short), Err(Errno(EFAULT)), "half an image");
}

fn debug_registers() {
    let pid = tracee(|| 0);
    let dr = |n: usize, value: usize| tell(PTRACE_POKEUSR, pid, OFFSET_DEBUGREG + 8 * n, value);
    check_eq!(dr(0, 0x40_0001), Ok(0), "any address of user mode");
    check_eq!(dr(7, 0xd_0001), Err(Errno(EINVAL)), "four bytes there are misaligned");
    check_eq!(dr(7, 0x2_0001), Err(Errno(EINVAL)), "I/O");
    check_eq!(dr(7, 0x4_0001), Err(Errno(EINVAL)), "two bytes of an instruction");
    check_eq!(dr(4, 0), Err(Errno(EIO)), "DR4");
    check_eq!(dr(7, 0x1_0001), Ok(0), "one byte, written");
    check_eq!(ask(PTRACE_PEEKUSR, pid, OFFSET_DEBUGREG + 56, 0u64), Ok(0x1_0001), "DR7");
    check_eq!(ask(PTRACE_PEEKUSR, pid, OFFSET_DEBUGREG, 0u64), Ok(0x40_0001), "DR0");
    check_eq!(ask(PTRACE_PEEKUSR, pid, OFFSET_DEBUGREG + 48, 0u64), Ok(0xffff_0ff0), "DR6");
    check_eq!(go(PTRACE_CONT, pid, 0), Ok(WaitStatus::exited(0).0), "and it goes on");
}

/// The three descriptors of `set_thread_area`, which a 64-bit tracee can have as well.
fn thread_areas() {
    const FS: usize = 8 * 25;
    const FS_BASE: usize = 8 * 21;
    let pid = tracee(|| {
        // SAFETY: reads a segment register.
        let fs: u16 = unsafe {
            let fs: u16;
            asm!("mov {0:x}, fs", out(reg) fs, options(nomem, nostack));
            fs
        };
        i32::from(fs) - 0x60
    });
    let area = |number: usize, words: [u32; 4]| give(PTRACE_SET_THREAD_AREA, pid, number, &words);
    let shown = |number: usize| ask(PTRACE_GET_THREAD_AREA, pid, number, [7u32; 4]);
    // Flags: 32 bits, data, usable, limit in pages.
    let flat = [99, 0x1234_5000, 0xf_ffff, 0x51];
    check_eq!(shown(12), Ok([12, 0, 0, 0x28]), "nothing there yet");
    check_eq!(area(12, flat), Ok(0), "set");
    check_eq!(shown(12), Ok([12, 0x1234_5000, 0xf_ffff, 0x51]), "and seen");
    check_eq!(shown(13), Ok([13, 0, 0, 0x28]), "the next one is empty");
    for number in [11, 15, 0x1_0000_000f, 0x10_000f] {
        check_eq!(area(number, flat), Err(Errno(EINVAL)), "no such descriptor: {number:#x}");
        check_eq!(shown(number), Err(Errno(EINVAL)), "likewise");
    }
    check_eq!(area(usize::MAX, flat), Err(Errno(EIO)), "a negative number");
    check_eq!(shown(usize::MAX), Err(Errno(EIO)), "likewise");
    check_eq!(area(12, [0, 0, 0xf_ffff, 0x50]), Err(Errno(EINVAL)), "16 bits");
    check_eq!(tell(PTRACE_SET_THREAD_AREA, pid, 12, 8), Err(Errno(EFAULT)), "nothing to read");
    check_eq!(tell(PTRACE_GET_THREAD_AREA, pid, 12, 8), Err(Errno(EFAULT)), "nowhere to write");
    check_eq!(tell(PTRACE_POKEUSR, pid, FS, 0x63), Ok(0), "FS names it");
    check_eq!(area(12, [0, 0x2000, 0xf_ffff, 0x51]), Ok(0), "moved");
    check_eq!(ask(PTRACE_PEEKUSR, pid, FS_BASE, 0u64), Ok(0x2000), "with its register");
    check_eq!(go(PTRACE_CONT, pid, 0), Ok(WaitStatus::exited(3).0), "the tracee has loaded it");
}

fn errors() {
    let pid = tracee(|| 0);
    check_eq!(peek(pid, 0), Err(Errno(EIO)), "nothing is mapped there");
    check_eq!(tell(PTRACE_POKETEXT, pid, 0, 0), Err(Errno(EIO)), "likewise");
    check_eq!(peek(pid, usize::MAX - 3), Err(Errno(EIO)), "in the kernel");
    check_eq!(ask(PTRACE_ARCH_PRCTL, pid, 0, 0u64).is_err(), true, "no such prctl");
    let iov = [0usize; 2];
    check_eq!(give(PTRACE_GETREGSET, pid, 0x999, &iov), Err(Errno(EINVAL)), "no such set");
    check_eq!(go(PTRACE_CONT, pid, 0), Ok(WaitStatus::exited(0).0), "and it goes on");
}
