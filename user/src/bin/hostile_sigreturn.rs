// SPDX-License-Identifier: GPL-2.0-only
//! sigreturn with frames edited in many ways: what is refused, what is taken, what is dropped.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use user::memory::{PROT_READ, PROT_WRITE, map};
use user::prelude::*;
use user::process::exit_group;
use user::signal::{AltStack, SIGSEGV, SIGTRAP, SIGUSR1, sigaltstack};
use user::ucontext::{FpState, UC_STRICT_RESTORE_SS, fp};

expect! { end: exit(0) }

// getpid; kill(pid, SIGUSR1), with a value in xmm0 and mxcsr; what they are afterwards goes into rbx, r12, r13.
probe!(
    "mov eax, 39", "syscall", "mov edi, eax", "mov esi, 10", "mov eax, 62",
    "push 0x5f80", "ldmxcsr [rsp]", "mov rbx, 0x5566778899aabbcc", "movq xmm0, rbx", "mov r14, rsp";
    "syscall";
    "pushfq", "pop r12", "push 0x202", "popfq", "movq rax, xmm0", "stmxcsr [r14]", "mov r13d, [r14]",
    "mov rsp, r14", "xor r12, 0x202", "and r12, 0xfffffffffffff72a", "shl r12, 16", "xor rax, rbx",
    "setnz al", "movzx eax, al", "cmp r13, 0x5f80", "setne cl", "movzx ecx, cl", "lea eax, [rax + 2*rcx]", "or rax, r12"
);
program!(run);

/// What the probe returns: bit 0 xmm0 changed, bit 1 mxcsr changed, from bit 16 on the
/// flags that are not as usual.
const KEPT: u64 = 0;
const CLEARED: u64 = 3;

/// How an edited frame ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    /// The program goes on; what the probe returns.
    Resumes(u64),
    /// SIGSEGV by #GP with this error code.
    Gp(u64),
    /// SIGSEGV because the frame is bad.
    BadFrame,
    /// SIGTRAP behind the next instruction.
    Steps,
}

type Edit = fn(&mut UContext);

const CASES: &[(&str, Edit, Fate)] = &[
    ("nothing", |_| (), Fate::Resumes(KEPT)),
    ("rip non-canonical", |u| u.mcontext.ip = 1 << 62, Fate::Gp(0)),
    ("cs 0", |u| u.mcontext.cs = 0, Fate::Gp(0)),
    ("cs of the kernel", |u| u.mcontext.cs = 0x10, Fate::Gp(0x10)),
    ("cs a data segment", |u| u.mcontext.cs = 0x2b, Fate::Gp(0x28)),
    ("cs beyond the table", |u| u.mcontext.cs = 0xfffb, Fate::Gp(0xfff8)),
    ("cs of a table that is not there", |u| u.mcontext.cs = 7, Fate::Gp(4)),
    ("cs with privilege 0", |u| u.mcontext.cs = 0x30, Fate::Resumes(KEPT)),
    ("ss 0", |u| u.mcontext.ss = 0, Fate::Gp(0)),
    ("ss of the kernel", |u| u.mcontext.ss = 0x18, Fate::Gp(0x18)),
    ("ss a code segment", |u| u.mcontext.ss = 0x33, Fate::Gp(0x30)),
    ("ss beyond the table", |u| u.mcontext.ss = 0xfffb, Fate::Gp(0xfff8)),
    (
        "ss bad, not strict",
        |u| (u.mcontext.ss, u.flags) = (0xfffb, u.flags & !UC_STRICT_RESTORE_SS),
        Fate::Resumes(KEPT),
    ),
    ("all flags but TF", |u| u.mcontext.flags = !0x100, Fate::Resumes(0x4_0400 << 16)),
    ("no flags", |u| u.mcontext.flags = 0, Fate::Resumes(KEPT)),
    ("AC and ID", |u| u.mcontext.flags |= 0x24_0000, Fate::Resumes(0x4_0000 << 16)),
    ("IOPL, VM, NT", |u| u.mcontext.flags |= 0x2_7000, Fate::Resumes(KEPT)),
    ("TF", |u| u.mcontext.flags |= 0x100, Fate::Steps),
    ("no fpstate", |u| u.mcontext.fpstate = 0, Fate::Resumes(CLEARED)),
    ("fpstate misaligned", |u| u.mcontext.fpstate += 1, Fate::BadFrame),
    ("fpstate unmapped", |u| u.mcontext.fpstate = 0x1000, Fate::BadFrame),
    ("fpstate non-canonical", |u| u.mcontext.fpstate = 1 << 63, Fate::BadFrame),
    ("magic1 gone", |u| u.fpstate().set(fp::MAGIC1, 0u32), Fate::Resumes(KEPT)),
    (
        "magic2 gone",
        |u| xsave(u, |f| f.set(u64::from(f.get::<u32>(fp::XSTATE_SIZE)), 0u32)),
        Fate::Resumes(KEPT),
    ),
    ("xstate size 0", |u| u.fpstate().set(fp::XSTATE_SIZE, 0u32), Fate::Resumes(KEPT)),
    ("xstate size huge", |u| u.fpstate().set(fp::XSTATE_SIZE, 0x10000u32), Fate::Resumes(KEPT)),
    ("xmm0 changed", |u| u.fpstate().set(fp::XMM0, 0u64), Fate::Resumes(1)),
    ("signal mask full", |u| u.sigmask = u64::MAX, Fate::Resumes(KEPT)),
    ("uc_stack nonsense", |u| (u.stack.ss_flags, u.stack.ss_size) = (0x1234, 1), Fate::Resumes(KEPT)),
    ("uc_link nonsense", |u| u.link = u64::MAX, Fate::Resumes(KEPT)),
];

/// Cases that only a CPU with XSAVE knows.
const XSAVE_CASES: &[(&str, Edit, Fate)] = &[
    ("xstate_bv unknown", |u| u.fpstate().set(fp::XSTATE_BV, u64::MAX), Fate::BadFrame),
    ("xsave header reserved", |u| u.fpstate().set(fp::HEADER_RESERVED, 1u64), Fate::BadFrame),
    ("xstate_bv 0", |u| u.fpstate().set(fp::XSTATE_BV, 0u64), Fate::Resumes(1)),
    ("xfeatures 0", |u| u.fpstate().set(fp::XFEATURES, 0u64), Fate::Resumes(CLEARED)),
];

fn xsave(u: &UContext, edit: fn(FpState)) {
    if u.has_xsave() {
        edit(u.fpstate());
    }
}

static CASE: AtomicUsize = AtomicUsize::new(0);
static HAS_XSAVE: AtomicUsize = AtomicUsize::new(0);

fn case() -> &'static (&'static str, Edit, Fate) {
    let i = CASE.load(SeqCst);
    CASES.get(i).unwrap_or_else(|| &XSAVE_CASES[i - CASES.len()])
}

extern "C" fn edit(_: i32, _: &mut SigInfo, uc: &mut UContext) {
    case().1(uc);
}

/// A signal that the edited frame brought.
extern "C" fn fallen(sig: i32, info: &mut SigInfo, uc: &mut UContext) {
    let (what, _, want) = *case();
    let m = &uc.mcontext;
    let (fate, trapno, expected) = match want {
        Fate::Gp(_) => (Fate::Gp(m.err), 13, SigInfo::fault(SIGSEGV, 128, 0)),
        Fate::BadFrame => (Fate::BadFrame, 0, SigInfo::fault(SIGSEGV, 128, 0)),
        Fate::Steps => (Fate::Steps, 1, SigInfo::fault(SIGTRAP, 2, m.ip)),
        Fate::Resumes(_) => (Fate::BadFrame, 0, SigInfo::ZERO),
    };
    check_eq!(fate, want, "{what}: signal {sig}, err {:#x}", m.err);
    check_eq!(m.trapno, trapno, "{what}: trapno");
    check_eq!(*info, expected, "{what}: siginfo");
    user::start::finish()
}

fn attempt(i: usize) {
    CASE.store(i, SeqCst);
    let pid = child(|| {
        let sp = map(0x10000, PROT_READ | PROT_WRITE).unwrap_or(0) as u64;
        check!(sigaltstack(Some(AltStack { sp, flags: 0, size: 0x10000 })).is_ok(), "sigaltstack");
        for sig in [4, 5, 7, 8, 11] {
            let _ = sigaction(sig, Action::Handle(fallen), SA_ONSTACK, 0);
        }
        let _ = sigaction(SIGUSR1, Action::Handle(edit), 0, 0);
        let (what, _, want) = *case();
        check_eq!(Fate::Resumes(probe()), want, "{what}");
        user::start::finish()
    });
    check_eq!(wait(pid), Ok(WaitStatus::exited(0)), "{}", case().0);
}

extern "C" fn look(_: i32, _: &mut SigInfo, uc: &mut UContext) {
    HAS_XSAVE.store(usize::from(uc.has_xsave()), SeqCst);
}

fn run() {
    let _ = sigaction(SIGUSR1, Action::Handle(look), 0, 0);
    probe();
    for i in 0..CASES.len() {
        attempt(i);
    }
    if HAS_XSAVE.load(SeqCst) == 1 {
        for i in 0..XSAVE_CASES.len() {
            attempt(CASES.len() + i);
        }
    } else {
        user::println!("  skipped: {} cases that need XSAVE", XSAVE_CASES.len());
    }
    if user::check::failures() > 0 {
        exit_group(1);
    }
}
