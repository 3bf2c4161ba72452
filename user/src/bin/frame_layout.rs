// SPDX-License-Identifier: GPL-2.0-only
//! The frame of a signal: where everything lies, what the handler's registers hold, what is saved.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::sync::atomic::{AtomicU64, Ordering::SeqCst};
use user::prelude::*;
use user::signal::{SIGUSR1, restorer};
use user::ucontext::{FP_XSTATE_MAGIC2, fp};

expect! { end: exit(0) }

// getpid; then registers and flags that the handler is to find or not to find; kill(pid, SIGUSR1).
probe!(
    "mov eax, 39", "syscall", "mov edi, eax", "mov esi, 10", "mov eax, 62",
    "push 0x5f80", "ldmxcsr [rsp]", "push 0x037e", "fninit", "fldcw [rsp]",
    "mov rbx, 0x1122334455667788", "movq xmm3, rbx", "mov ebp, 0xb0b0", "mov r12d, 0xc12", "std", "stc";
    "syscall";
    "cld", "fninit", "push 0x1f80", "ldmxcsr [rsp]"
);
program!(run);

/// What the registers held when the handler was entered.
#[repr(C)]
struct Entry {
    rsp: u64,
    rax: u64,
    rbx: u64,
    rbp: u64,
    r12: u64,
    flags: u64,
    mxcsr: u64,
    fcw: u64,
    xmm3: u64,
    cs: u64,
    ss: u64,
}

core::arch::global_asm!(
    ".pushsection .text.frame_entry,\"ax\",@progbits",
    ".globl frame_entry",
    "frame_entry:",
    "mov r9, rsp",
    "pushfq",
    "pop r10",
    "sub rsp, 104",
    "mov [rsp], r9",
    "mov [rsp + 8], rax",
    "mov [rsp + 16], rbx",
    "mov [rsp + 24], rbp",
    "mov [rsp + 32], r12",
    "mov [rsp + 40], r10",
    "mov qword ptr [rsp + 48], 0",
    "stmxcsr [rsp + 48]",
    "mov qword ptr [rsp + 56], 0",
    "fnstcw [rsp + 56]",
    "movq [rsp + 64], xmm3",
    "mov eax, cs",
    "mov [rsp + 72], rax",
    "mov eax, ss",
    "mov [rsp + 80], rax",
    "mov rcx, rsp",
    "mov rbx, r9",
    "call {look}",
    "mov rsp, rbx",
    "ret",
    ".popsection",
    look = sym look,
);

unsafe extern "C" {
    fn frame_entry();
}

static RAN: AtomicU64 = AtomicU64::new(0);

extern "C" fn look(sig: i32, info: &SigInfo, uc: &UContext, e: &Entry) {
    RAN.fetch_add(1, SeqCst);
    check_eq!(sig, 10, "first argument");
    check_eq!(e.rsp % 16, 8, "rsp modulo 16");
    check_eq!(core::ptr::from_ref(uc) as u64, e.rsp + 8, "ucontext");
    check_eq!(core::ptr::from_ref(info) as u64, e.rsp + 312, "siginfo");
    // SAFETY: the return address is there.
    let back = unsafe { core::ptr::with_exposed_provenance::<u64>(e.rsp as usize).read() };
    check_eq!(back, restorer(), "return address");
    check_eq!((e.rax, e.rbx, e.rbp, e.r12), (0, 0x1122_3344_5566_7788, 0xb0b0, 0xc12), "rax 0, others kept");
    check_eq!(e.flags & !0x8d4, 0x203, "DF is cleared, CF kept");
    check_eq!((e.mxcsr, e.fcw, e.xmm3), (0x1f80, 0x37f, 0), "mxcsr, fcw, xmm3 are fresh");
    check_eq!((e.cs, e.ss), (0x33, 0x2b), "cs, ss");
    saved(uc, info, e);
}

fn saved(uc: &UContext, info: &SigInfo, e: &Entry) {
    let m = &uc.mcontext;
    check_eq!(m.flags & !0x1_08d4, 0x603, "saved flags");
    check_eq!((m.cs, m.ss, m.fs, m.gs), (0x33, 0x2b, 0, 0), "saved selectors");
    check_eq!((m.bx, m.bp, m.r12), (e.rbx, e.rbp, e.r12), "saved registers");
    check_eq!((m.ax, m.di, m.si), (0, getpid() as u64, 10), "saved rax is kill's result");
    check_eq!((uc.link, m.oldmask, m.reserved), (0, 0, [0; 8]), "link, oldmask, reserved");
    let f = uc.fpstate();
    check_eq!(f.0 % 64, 0, "fpstate modulo 64");
    check!(core::ptr::from_ref(info) as u64 + 128 <= f.0, "fpstate above the siginfo");
    let saved = (f.get::<u16>(fp::FCW), f.get::<u32>(fp::MXCSR), f.get::<u64>(fp::XMM0 + 48));
    check_eq!(saved, (0x37e, 0x5f80, e.rbx), "saved fcw, mxcsr, xmm3");
    let mut end = f.0 + 512;
    if uc.has_xsave() {
        let size = f.get::<u32>(fp::XSTATE_SIZE);
        end = f.0 + u64::from(size) + 4;
        check_eq!(f.get::<u32>(fp::EXTENDED_SIZE), size + 4, "extended_size");
        check_eq!(f.get::<u32>(size.into()), FP_XSTATE_MAGIC2, "magic2");
        check_eq!(f.get::<u64>(fp::XCOMP_BV), 0, "not compacted");
        check_eq!(f.get::<u64>(fp::XSTATE_BV) & 2, 2, "SSE state in use");
    }
    let gap = (m.sp - 128).wrapping_sub(end);
    check!(gap < 64, "the red zone stays free and little more: gap {gap}");
}

fn run() {
    let _ = sigaction(SIGUSR1, Action::Address(frame_entry as *const () as u64), 0, 0);
    probe();
    check_eq!(RAN.load(SeqCst), 1, "the handler ran");
}
