// SPDX-License-Identifier: GPL-2.0-only
//! A handler scribbles over every register; sigreturn brings all of them back, x87, xmm and ymm too.
#![cfg_attr(target_os = "none", no_std, no_main)]

use user::prelude::*;
use user::signal::SIGUSR1;

expect! { end: exit(0) }
program!(run);

/// What [`round_trip`] loads before and finds after the signal.
#[repr(C, align(64))]
struct State {
    general: [u64; 16],
    flags: u64,
    mxcsr: u32,
    fcw: u32,
    st0: [u8; 16],
    xmm: [[u64; 2]; 16],
    ymm_high: [[u64; 2]; 16],
}

impl State {
    const ZERO: Self = Self {
        general: [0; 16],
        flags: 0,
        mxcsr: 0,
        fcw: 0,
        st0: [0; 16],
        xmm: [[0; 2]; 16],
        ymm_high: [[0; 2]; 16],
    };
}

// rdi: State to load, rsi: State to fill, rdx: whether there is AVX, ecx: pid, r8d: signal.
// r15 points to the state to fill while the signal comes, r14 is the AVX flag; all others are tested.
core::arch::global_asm!(
    ".pushsection .text.round_trip,\"ax\",@progbits",
    ".globl round_trip",
    "round_trip:",
    "push rbx",
    "push rbp",
    "push r12",
    "push r13",
    "push r14",
    "push r15",
    "mov r15, rsi",
    "mov r14, rdx",
    "mov r13, rcx",
    "mov r12, r8",
    "fninit",
    "fldcw [rdi + 140]",
    "ldmxcsr [rdi + 136]",
    "fld tbyte ptr [rdi + 144]",
    ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15",
    "movdqa xmm\\n, [rdi + 160 + 16*\\n]",
    ".endr",
    "test r14, r14",
    "jz 2f",
    ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15",
    "vinsertf128 ymm\\n, ymm\\n, [rdi + 416 + 16*\\n], 1",
    ".endr",
    "2:",
    "mov rbx, [rdi + 8*3]",
    "mov rbp, [rdi + 8*5]",
    "mov rdx, [rdi + 8*2]",
    "mov r8, [rdi + 8*8]",
    "mov r9, [rdi + 8*9]",
    "mov r10, [rdi + 8*10]",
    "mov [r15 + 8*4], rsp",
    "push qword ptr [rdi + 128]",
    "mov rdi, r13",
    "mov rsi, r12",
    "mov eax, 62", // kill(pid, signal)
    "popfq",
    "syscall",
    // Only mov until the flags are saved.
    "mov [r15], rax",
    "mov [r15 + 8*3], rbx",
    "mov [r15 + 8*5], rbp",
    "mov [r15 + 8*2], rdx",
    "mov [r15 + 8*6], rsi",
    "mov [r15 + 8*7], rdi",
    "mov [r15 + 8*8], r8",
    "mov [r15 + 8*9], r9",
    "mov [r15 + 8*10], r10",
    "mov [r15 + 8*12], r12",
    "mov [r15 + 8*13], r13",
    "mov [r15 + 8*15], r15",
    "mov rax, rsp",
    "pushfq",
    "pop qword ptr [r15 + 128]",
    "cld",
    "sub rax, [r15 + 8*4]",
    "mov [r15 + 8*4], rax",
    "stmxcsr [r15 + 136]",
    "fnstcw [r15 + 140]",
    "fstp tbyte ptr [r15 + 144]",
    ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15",
    "movdqa [r15 + 160 + 16*\\n], xmm\\n",
    ".endr",
    "test r14, r14",
    "jz 2f",
    ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15",
    "vextractf128 [r15 + 416 + 16*\\n], ymm\\n, 1",
    ".endr",
    "vzeroupper",
    "2: fninit",
    "push 0x1f80",
    "ldmxcsr [rsp]",
    "pop rax",
    "pop r15",
    "pop r14",
    "pop r13",
    "pop r12",
    "pop rbp",
    "pop rbx",
    "ret",
    // The handler: scribbles over everything and returns to the restorer.
    ".globl scribble",
    "scribble:",
    "mov rax, -1",
    ".irp r, rbx,rcx,rdx,rsi,rdi,rbp,r8,r9,r10,r11,r12,r13,r14,r15",
    "mov \\r, rax",
    ".endr",
    "std",
    "fninit",
    "fldz",
    ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15",
    "pcmpeqd xmm\\n, xmm\\n",
    ".endr",
    "ret",
    ".popsection",
);

unsafe extern "C" {
    fn round_trip(load: &State, fill: &mut State, avx: u64, pid: i64, sig: u64);
    fn scribble();
}

fn has_avx() -> bool {
    let (low, ecx): (u32, u32);
    // SAFETY: cpuid changes nothing else; rbx is kept.
    unsafe {
        core::arch::asm!("mov {keep}, rbx", "cpuid", "mov rbx, {keep}", keep = out(reg) _,
            inout("eax") 1 => _, inout("ecx") 0 => ecx, out("edx") _);
    }
    if ecx >> 27 & 3 != 3 {
        return false;
    }
    // SAFETY: OSXSAVE says that xgetbv exists.
    unsafe { core::arch::asm!("xgetbv", in("ecx") 0, out("eax") low, out("edx") _) };
    low & 6 == 6
}

fn run() {
    let _ = sigaction(SIGUSR1, Action::Address(scribble as *const () as u64), 0, 0);
    let mut load = State { flags: 0x246 | 0x400 | 0x801, mxcsr: 0x5f80, fcw: 0x37e, ..State::ZERO };
    for (i, g) in load.general.iter_mut().enumerate() {
        *g = 0x1111_1111_1111_1111 * i as u64 + 5;
    }
    for i in 0..16 {
        load.xmm[i] = [0x0101 * i as u64, !(i as u64)];
        load.ymm_high[i] = [0xabc0 + i as u64, 0xdef0 + i as u64];
    }
    load.st0[..10].copy_from_slice(&[0, 0, 0, 0, 0, 0, 0, 0x81, 0x05, 0x40]);
    let avx = has_avx();
    for _ in 0..3 {
        let mut after = State::ZERO;
        // SAFETY: the code changes what `after` holds and restores every register that it must.
        unsafe {
            round_trip(&load, &mut after, avx.into(), getpid().into(), u64::from(SIGUSR1));
        }
        compare(&load, &after, avx);
    }
}

fn compare(load: &State, after: &State, avx: bool) {
    let g = &after.general;
    check_eq!(g[0], 0, "rax: the system call's result");
    for (i, name) in [(3, "rbx"), (5, "rbp"), (2, "rdx"), (8, "r8"), (9, "r9"), (10, "r10")] {
        check_eq!(g[i], load.general[i], "{name}");
    }
    check_eq!((g[6], g[7]), (SIGUSR1.into(), getpid() as u64), "rsi, rdi");
    check_eq!((g[12], g[13]), (SIGUSR1.into(), getpid() as u64), "r12, r13");
    check_eq!(g[15], core::ptr::from_ref(after) as u64, "r15");
    check_eq!(g[4], 0, "rsp: how far it is from where it was");
    check_eq!(after.flags, load.flags, "flags, direction flag included");
    check_eq!((after.mxcsr, after.fcw & 0xffff), (load.mxcsr, load.fcw), "mxcsr, x87 control word");
    check_eq!(after.st0, load.st0, "st(0)");
    check_eq!(after.xmm, load.xmm, "xmm registers");
    if avx {
        check_eq!(after.ymm_high, load.ymm_high, "upper halves of the ymm registers");
    }
}
