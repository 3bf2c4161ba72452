// SPDX-License-Identifier: GPL-2.0-only
//! 32-bit code in a 64-bit process: BOUND and INTO are real there, and handlers installed
//! by `int $0x80` get i386's signal frames, with and without `siginfo`, and return by
//! i386's calls. What was in the x87 registers comes back.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::arch::{asm, global_asm};
use linux_raw_sys::general::{
    MAP_32BIT, MAP_ANONYMOUS, MAP_PRIVATE, PROT_EXEC, PROT_READ, PROT_WRITE, SA_RESTORER, SIGSEGV, SIGTRAP,
    SIGUSR1,
};
use user::prelude::*;
use user::syscall;
use user::syscall::int80;

expect! { end: exit(0) }
program!(run);

// Position-independent; EDI points at `Data` all the while.
global_asm!(
    ".pushsection .text.compat_signals,\"ax\",@progbits",
    ".code32",
    "compat_begin:",
    "compat_main:",
    // A null selector is no data segment in 32-bit code.
    "mov eax, 0x2b",
    "mov ds, eax",
    "fld1",
    "mov eax, 9",
    "compat_bound: bound eax, [edi + 40]",
    "mov eax, 0x7fffffff",
    "add eax, 1",
    "compat_into: into",
    "compat_int3: int3",
    "mov eax, 37",
    "mov ebx, [edi + 48]",
    "mov ecx, 10",
    "int 0x80",
    "compat_killed: mov [edi + 52], eax",
    "fstp dword ptr [edi + 56]",
    ".byte 0xff, 0x6f, 80", // jmp far [edi + 80]
    // handler(sig, info, uc)
    "compat_rt_handler:",
    "mov esi, [esp + 12]",
    "add esi, 20",
    "mov edx, [esp + 8]",
    "mov edx, [edx + 8]",
    "mov eax, [esi - 20]",
    "call compat_note",
    "cmp dword ptr [esi + 48], 5",
    "jne 2f",
    "add dword ptr [esi + 56], 3",
    "2: ret",
    // handler(sig), the sigcontext behind
    "compat_old_handler:",
    "lea esi, [esp + 8]",
    "mov edx, -1",
    "mov eax, -1",
    "call compat_note",
    "ret",
    // The context is at ESI, the code in EDX, the frame's flags in EAX.
    "compat_note:",
    "mov ecx, [edi + 64]",
    "inc dword ptr [edi + 64]",
    "shl ecx, 6",
    "lea ecx, [edi + ecx + 128]",
    "mov [ecx + 4], edx",
    "mov [ecx + 8], eax",
    "mov eax, [esp + 8]",
    "mov [ecx], eax",
    "mov eax, [esi + 48]",
    "mov [ecx + 12], eax",
    "mov eax, [esi + 52]",
    "mov [ecx + 16], eax",
    "mov eax, [esi + 56]",
    "mov [ecx + 20], eax",
    "mov eax, [esi + 60]",
    "mov [ecx + 24], eax",
    "mov eax, [esi + 72]",
    "mov [ecx + 28], eax",
    "lea eax, [esp + 8]",
    "and eax, 15",
    "mov [ecx + 32], eax",
    "mov eax, [esi + 76]",
    "mov edx, [eax + 8]",
    "mov [ecx + 36], edx",
    "mov edx, [eax + 576]",
    "mov [ecx + 40], edx",
    "ret",
    "compat_rt_restorer:",
    "mov eax, 173",
    "int 0x80",
    "compat_old_restorer:",
    "pop eax",
    "mov eax, 119",
    "int 0x80",
    ".code64",
    "compat_back:",
    "mov rsp, [rdi]",
    "jmp qword ptr [rdi + 24]",
    "compat_end:",
    ".popsection",
);

unsafe extern "C" {
    safe static compat_begin: u8;
    safe static compat_main: u8;
    safe static compat_bound: u8;
    safe static compat_into: u8;
    safe static compat_int3: u8;
    safe static compat_killed: u8;
    safe static compat_rt_handler: u8;
    safe static compat_old_handler: u8;
    safe static compat_rt_restorer: u8;
    safe static compat_old_restorer: u8;
    safe static compat_back: u8;
    safe static compat_end: u8;
}

/// What a handler saw in its frame.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Note {
    sig: u32,
    code: i32,
    uc_flags: u32,
    trapno: u32,
    err: u32,
    ip: u32,
    cs: u32,
    ss: u32,
    /// ESP + 4, modulo 16.
    alignment: u32,
    /// FSAVE's tag word.
    tags: u32,
    /// What says that the whole state follows.
    magic: u32,
    rest: [u32; 5],
}

/// The words at EDI.
#[repr(C)]
#[derive(Clone, Copy)]
struct Data {
    rsp: u64,
    saved: [u64; 2],
    /// 64-bit code to go on at.
    resume: u64,
    pad: [u32; 2],
    bounds: [u32; 2],
    pid: u32,
    kill_result: i32,
    st0: f32,
    pad2: u32,
    count: u32,
    pad3: u32,
    /// Where far jumps go: offset and selector.
    enter: [u32; 2],
    leave: [u32; 2],
    pad4: [u32; 10],
    notes: [Note; 4],
}

/// Runs `code` as 32-bit code.
///
/// # Safety
/// All three are below 4 GiB, and `code` comes back through `leave`.
#[inline(never)]
unsafe fn call32(data: usize, stack: usize, code: usize) {
    // SAFETY: what the other code may change is declared or put back.
    unsafe {
        asm!(
            "mov [rdi], rsp",
            "mov [rdi + 8], rbx",
            "mov [rdi + 16], rbp",
            "lea rax, [rip + 2f]",
            "mov [rdi + 24], rax",
            "mov rsp, rsi",
            "mov [rdi + 72], edx",
            // jmp far [rdi + 72]: TCG's far return would read the stack as the kernel.
            ".byte 0xff, 0x6f, 72",
            "2: mov rbx, [rdi + 8]",
            "mov rbp, [rdi + 16]",
            inout("rdi") data => _, inout("rsi") stack => _, inout("rdx") code => _,
            out("rax") _, out("rcx") _, out("r8") _, out("r9") _, out("r10") _, out("r11") _,
            out("r12") _, out("r13") _, out("r14") _, out("r15") _,
            out("st(0)") _, out("st(1)") _, out("st(2)") _, out("st(3)") _,
            out("st(4)") _, out("st(5)") _, out("st(6)") _, out("st(7)") _,
        );
    }
}

fn run() {
    // SAFETY: a new mapping.
    let map = unsafe {
        let prot = PROT_READ | PROT_WRITE | PROT_EXEC;
        syscall!(__NR_mmap, 0, 0x1_0000, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0)
    };
    let Ok(code) = map else {
        check!(false, "memory below 4 GiB: {map:?}");
        return;
    };
    let (scratch, data, stack) = (code + 0x1000, code + 0x2000, code + 0xf000);
    let begin = &raw const compat_begin as usize;
    let at = |label: *const u8| (code + label as usize - begin) as u32;
    // SAFETY: our own memory.
    unsafe {
        let len = &raw const compat_end as usize - begin;
        core::ptr::copy_nonoverlapping(begin as *const u8, code as *mut u8, len);
        let d = &mut *(data as *mut Data);
        (d.bounds, d.pid) = ([5, 6], getpid() as u32);
        (d.enter, d.leave) = ([0, 0x23], [at(&raw const compat_back), 0x33]);
    }
    let flags = SA_RESTORER;
    // SAFETY: the kernel reads and writes the scratch memory.
    let install = |nr: u32, sig: u32, action: [u32; 5]| unsafe {
        (scratch as *mut [u32; 5]).write(action);
        let r = int80(nr, [sig, scratch as u32, scratch as u32 + 32, 8, 0]);
        check_eq!(r, Ok(0), "install {sig}");
    };
    let rt = [at(&raw const compat_rt_handler), flags | SA_SIGINFO, at(&raw const compat_rt_restorer), 0, 0];
    install(174, SIGSEGV, rt);
    install(174, SIGTRAP, rt);
    install(
        67,
        SIGUSR1,
        [at(&raw const compat_old_handler), 0, flags, at(&raw const compat_old_restorer), 0],
    );
    install(174, SIGSEGV, rt);
    // SAFETY: just written by the kernel.
    let old = unsafe { *((scratch + 32) as *const [u32; 5]) };
    check_eq!(old, rt, "what rt_sigaction reads back");

    // SAFETY: as `call32` wants it.
    let d = unsafe {
        call32(data, stack, at(&raw const compat_main) as usize);
        *(data as *const Data)
    };
    check_eq!(d.count, 4, "handlers");
    check_eq!((d.kill_result, d.st0.to_bits()), (0, 0x3f80_0000), "kill, and the value in ST0");
    // OSXSAVE: the frames say that they have more than FXSAVE's part.
    let xsave = core::arch::x86_64::__cpuid(1).ecx >> 27 & 1;
    let note = |sig: u32, trapno: u32, ip: u32| Note {
        sig,
        code: 0x80,
        uc_flags: xsave,
        trapno,
        err: 0,
        ip,
        cs: 0x23,
        ss: 0x2b,
        alignment: 0,
        tags: 0xffff_3fff,
        magic: 0x4650_5853,
        rest: [0; 5],
    };
    check_eq!(d.notes[0], note(SIGSEGV, 5, at(&raw const compat_bound)), "bound");
    check_eq!(d.notes[1], note(SIGSEGV, 4, at(&raw const compat_into) + 1), "into");
    check_eq!(d.notes[2], note(SIGTRAP, 3, at(&raw const compat_int3) + 1), "int3");
    let killed = Note { code: -1, uc_flags: u32::MAX, ..note(SIGUSR1, 3, at(&raw const compat_killed)) };
    check_eq!(d.notes[3], killed, "kill");
    // The thread's altstack, as i386 reads and sets it.
    // SAFETY: as above.
    unsafe {
        (scratch as *mut [u32; 3]).write([stack as u32 - 0x4000, 0, 0x4000]);
        check_eq!(int80(186, [scratch as u32, 0, 0, 0, 0]), Ok(0), "sigaltstack");
        check_eq!(int80(186, [0, scratch as u32 + 12, 0, 0, 0]), Ok(0), "sigaltstack back");
        let [a, b] = *(scratch as *const [[u32; 3]; 2]);
        check_eq!(a, b, "the stack");
    }
}
