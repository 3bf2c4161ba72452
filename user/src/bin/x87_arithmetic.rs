// SPDX-License-Identifier: GPL-2.0-only
//! What x87 instructions compute, to the last bit: the same whether the CPU has an FPU or the
//! kernel emulates it (`no387`). Its state is the task's own, is inherited by a child, is new in
//! a new program, and is on a signal's frame; an unmasked exception is reported by the next
//! instruction that waits.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering::SeqCst};
use user::prelude::*;
use user::process::{execve, sched_yield};
use user::signal::{SIGFPE, SIGSEGV, SIGTRAP};
use user::start;
use user::ucontext::fp;

expect! { end: exit(0) }
program!(run);

/// A number as a register holds it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
struct Extended {
    sig: u64,
    se: u16,
}

impl Extended {
    const EMPTY: Self = Self { sig: 0, se: 0 };
    const fn new(se: u16, sig: u64) -> Self {
        Self { sig, se }
    }
}

/// Runs instructions on words at RAX, after `fninit`; the result goes from ST(0) to a register's
/// format. Gives it and the status word, without
/// C1: QEMU's TCG does not tell there which way was rounded.
macro_rules! x87 {
    ($control:literal, $operands:expr; $($insn:literal),*) => {{
        let (operands, control) = ($operands, $control as u16);
        let (mut r, mut status) = (Extended::EMPTY, 0u16);
        // SAFETY: reads the operands, writes the result; the FPU is nobody else's.
        unsafe {
            asm!("fninit", "fldcw word ptr [{c}]", $($insn,)* "fnstsw word ptr [{s}]", "fstp tbyte ptr [{r}]",
                c = in(reg) &raw const control, s = in(reg) &raw mut status, r = in(reg) &raw mut r,
                in("rax") &raw const operands, options(nostack));
        }
        (r, status & 0x45ff)
    }};
}

const INEXACT: u16 = 0x20;

fn arithmetic() {
    let tenths = [0.1f64.to_bits(), 0.2f64.to_bits()];
    let sum = x87!(0x37f, tenths; "fld qword ptr [rax]", "fadd qword ptr [rax + 8]");
    check_eq!(sum, (Extended::new(0x3ffd, 0x9999_9999_9999_9c00), 0), "0.1 + 0.2");
    let third = x87!(0x37f, [3u64]; "fld1", "fidiv dword ptr [rax]");
    check_eq!(third, (Extended::new(0x3ffd, 0xaaaa_aaaa_aaaa_aaab), INEXACT), "1 / 3");
    let third = x87!(0xf7f, [3u64]; "fld1", "fidiv dword ptr [rax]");
    check_eq!(third, (Extended::new(0x3ffd, 0xaaaa_aaaa_aaaa_aaaa), INEXACT), "1 / 3, cut off");
    let third = x87!(0x27f, [3u64]; "fld1", "fidiv dword ptr [rax]");
    check_eq!(third, (Extended::new(0x3ffd, 0xaaaa_aaaa_aaaa_a800), INEXACT), "1 / 3, as a double");
    let root = x87!(0x37f, [2u64]; "fild qword ptr [rax]", "fsqrt");
    check_eq!(root, (Extended::new(0x3fff, 0xb504_f333_f9de_6484), INEXACT), "the root of 2");
    let rest = x87!(0x37f, [2.0f64.to_bits(), 5.5f64.to_bits()]; "fld qword ptr [rax]", "fld qword ptr [rax + 8]", "fprem");
    check_eq!(rest, (Extended::new(0x3fff, 0xc000_0000_0000_0000), 0x4000), "5.5 % 2");
    let product = x87!(0x37f, [20u64]; "fild qword ptr [rax]", "fld1", "2: fmul st(0), st(1)", "fld1",
        "fsubp st(2), st(0)", "fldz", "fucomip st(0), st(2)", "jnz 2b", "fstp st(1)");
    check_eq!(product.0, Extended::new(0x403c, 0x21c3_677c_82b4_0000 << 2), "20!");
    let overflow = x87!(0x37f, [i64::MAX as u64]; "fild qword ptr [rax]", "fld1", "fscale");
    check_eq!(overflow, (Extended::new(0x7fff, 1 << 63), 0x28), "2^(2^63 - 1)");
    let pi = x87!(0xb7f, [0u64]; "fldpi");
    check_eq!(pi.0, Extended::new(0x4000, 0xc90f_daa2_2168_c235), "pi, rounded up");
}

/// 2.5 and -2.5 as integers, in each of the four ways.
fn rounding() {
    for (mode, want) in [(0u16, [2i16, -2]), (1, [2, -3]), (2, [3, -2]), (3, [2, -2])] {
        let (value, control, mut got) = (2.5f32, 0x37f | mode << 10, [0i16; 2]);
        // SAFETY: as in `x87`.
        unsafe {
            asm!("fninit", "fldcw word ptr [{c}]", "fld dword ptr [{v}]", "fist word ptr [{g}]", "fchs",
                "fistp word ptr [{g} + 2]", c = in(reg) &raw const control, v = in(reg) &raw const value,
                g = in(reg) &raw mut got, options(nostack));
        }
        check_eq!(got, want, "2.5 and -2.5, rounded");
    }
    let (value, mut cut, mut bcd) = (-1_234_567i64, 0i32, [0u8; 10]);
    // SAFETY: as above.
    unsafe {
        asm!("fninit", "fild qword ptr [{v}]", "fld st(0)", "fbstp tbyte ptr [{b}]", "fisttp dword ptr [{c}]",
            v = in(reg) &raw const value, b = in(reg) &raw mut bcd, c = in(reg) &raw mut cut, options(nostack));
    }
    check_eq!((cut, bcd), (-1_234_567, [0x67, 0x45, 0x23, 0x01, 0, 0, 0, 0, 0, 0x80]), "as digits");
}

/// `fcomi` of two numbers: carry, zero, parity.
fn compare(a: f64, b: f64) -> [bool; 3] {
    let flags: u64;
    // SAFETY: as in `x87`.
    unsafe {
        asm!("fninit", "fld qword ptr [{b}]", "fld qword ptr [{a}]", "fucomip st(0), st(1)", "fstp st(0)", "pushfq",
            "pop {f}", a = in(reg) &raw const a, b = in(reg) &raw const b, f = out(reg) flags);
    }
    [0, 6, 2].map(|bit| flags >> bit & 1 != 0)
}

fn comparing() {
    check_eq!(compare(1.0, 2.0), [true, false, false], "1 < 2");
    check_eq!(compare(2.0, 1.0), [false; 3], "2 > 1");
    check_eq!(compare(-0.0, 0.0), [false, true, false], "-0 = 0");
    check_eq!(compare(f64::NAN, 1.0), [true; 3], "no order");
    let smaller = x87!(0x37f, [3.0f64.to_bits()]; "fld1", "fld qword ptr [rax]", "fcomi st(0), st(1)", "fcmovnbe st(0), st(1)");
    check_eq!(smaller.0, Extended::new(0x3fff, 1 << 63), "the smaller of 3 and 1");
}

static FAULT_IP: AtomicU64 = AtomicU64::new(0);
static SEEN: AtomicU64 = AtomicU64::new(0);

/// Checks the record, and masks the exception so that the program can go on.
extern "C" fn fpe(_: i32, info: &mut SigInfo, uc: &mut UContext) {
    const FPE_FLTDIV: u32 = 3;
    let m = &uc.mcontext;
    check_eq!(*info, SigInfo::fault(SIGFPE, FPE_FLTDIV, m.ip), "siginfo");
    check_eq!((m.trapno, m.err), (16, 0), "trapno, err");
    FAULT_IP.store(m.ip, SeqCst);
    SEEN.fetch_add(1, SeqCst);
    let state = uc.fpstate();
    let words: u32 = state.get(0);
    check_eq!(words & 0x0084_007f, 0x0084_007b, "control and status word on the frame");
    state.set(0, 0x037fu16);
    state.set(2, (words >> 16) as u16 & !0x80ff);
}

/// The division is told of by the instruction behind it that waits, here `fwait`.
fn unmasked() {
    let _ = sigaction(SIGFPE, Action::Handle(fpe), 0, 0);
    let (control, waits_at): (u16, u64);
    let (mut left, divide_unmasked) = (0u16, 0x37bu16);
    // SAFETY: as in `x87`; the handler has the program go on at `fwait`.
    unsafe {
        asm!("fninit", "fldcw word ptr [{u}]", "lea {w}, [rip + 2f]", "fld1", "fldz", "fdivp st(1), st(0)",
            "fnstsw ax", "2: fwait", "fnstcw word ptr [{l}]", w = out(reg) waits_at, u = in(reg) &raw const divide_unmasked,
            l = in(reg) &raw mut left, out("ax") control);
    }
    check_eq!(control & 0x8084, 0x8084, "the status word says so before");
    check_eq!((SEEN.load(SeqCst), FAULT_IP.load(SeqCst)), (1, waits_at), "where it was told");
    check_eq!(left, 0x37f, "what the handler left");
}

extern "C" fn segv(_: i32, info: &mut SigInfo, uc: &mut UContext) {
    check_eq!(*info, SigInfo::fault(SIGSEGV, 1, 0x1000_1008), "siginfo");
    check_eq!((uc.mcontext.trapno, uc.mcontext.err, uc.mcontext.cr2), (14, 6, 0x1000_1008), "the fault");
    // The number is on the frame, in ST(0); another one goes to memory that is there.
    let state = uc.fpstate();
    check_eq!((state.get::<u64>(fp::ST0), state.get::<u16>(fp::ST0 + 8)), (PI, 0x4000), "ST(0) on the frame");
    state.set(fp::ST0, PI & !0xffff_ffff);
    uc.mcontext.cx = uc.mcontext.dx;
}

/// Its significand.
const PI: u64 = 0xc90f_daa2_2168_c235;

/// An operand that is not there: nothing has happened when the signal comes.
fn operand_fault() {
    let _ = sigaction(SIGSEGV, Action::Handle(segv), 0, 0);
    let (mut out, mut tags) = (0u64, [0u32; 7]);
    // SAFETY: as in `x87`; the handler mends RCX.
    unsafe {
        asm!("fninit", "fldpi", "fstp qword ptr [rcx]", "fnstenv [{t}]", t = in(reg) &raw mut tags,
            inout("rcx") 0x1000_1008u64 => _, in("rdx") &raw mut out, options(nostack));
    }
    check_eq!((out, tags[2] & 0xffff), (0x4009_21fb_5440_0000, 0xffff), "stored, and popped once");
}

static STEPS: AtomicU64 = AtomicU64::new(0);
static STOPS: [AtomicU64; 4] = [const { AtomicU64::new(0) }; 4];

extern "C" fn trap(_: i32, info: &mut SigInfo, uc: &mut UContext) {
    const TRAP_TRACE: u32 = 2;
    let n = STEPS.fetch_add(1, SeqCst) as usize;
    check_eq!(*info, SigInfo::fault(SIGTRAP, TRAP_TRACE, uc.mcontext.ip), "siginfo of a step");
    check_eq!((uc.mcontext.trapno, uc.mcontext.err), (1, 0), "trapno, err");
    if let Some(stop) = STOPS.get(n) {
        stop.store(uc.mcontext.ip, SeqCst);
    } else {
        uc.mcontext.flags &= !0x100;
    }
}

/// A step over each instruction ends behind it.
fn single_step() {
    let _ = sigaction(SIGTRAP, Action::Handle(trap), 0, 0);
    let begin: u64;
    // SAFETY: as in `x87`; the handler ends the stepping.
    unsafe {
        asm!("fninit", "lea {b}, [rip + 2f]", "pushfq", "or dword ptr [rsp], 0x100", "popfq", "2: fld1", "fchs",
            "nop", "fstp st(0)", "nop", "nop", b = out(reg) begin);
    }
    let stops = [0, 1, 2, 3].map(|i| STOPS[i].load(SeqCst).wrapping_sub(begin));
    check_eq!(stops, [2, 4, 5, 7], "where the steps ended");
}

/// ST(0), and the control word.
fn look() -> (Extended, u16) {
    let (mut r, mut control) = (Extended::EMPTY, 0u16);
    // SAFETY: as in `x87`.
    unsafe {
        asm!("fnstcw word ptr [{c}]", "fld st(0)", "fstp tbyte ptr [{r}]", c = in(reg) &raw mut control, r = in(reg) &raw mut r,
            options(nostack));
    }
    (r, control)
}

fn fill(value: u64) {
    let control = 0x37f | (value as u16 & 3) << 10;
    // SAFETY: as in `x87`.
    unsafe {
        asm!("fninit", "fldcw word ptr [{c}]", "fild qword ptr [{v}]", c = in(reg) &raw const control, v = in(reg) &raw const value,
            options(nostack));
    }
}

/// Whether the registers are a new program's.
fn is_new() -> bool {
    let mut env = [0u32; 7];
    // SAFETY: as in `x87`.
    unsafe { asm!("fnstenv [{}]", in(reg) &raw mut env, options(nostack)) };
    env[..3].iter().map(|w| w & 0xffff).eq([0x37f, 0, 0xffff])
}

fn keeps(value: u64) -> i32 {
    fill(value);
    let mine = look();
    for _ in 0..50 {
        sched_yield();
        if look() != mine {
            return 1;
        }
    }
    0
}

fn of_the_task() {
    let children: [i32; 3] = core::array::from_fn(|i| child(|| keeps(i as u64 + 2)));
    check_eq!(keeps(77), 0, "the parent's registers");
    for pid in children {
        check_eq!(wait(pid), Ok(WaitStatus::exited(0)), "a child's registers");
    }
    fill(5);
    let mine = look();
    let inherits = child(|| i32::from(look() != mine));
    check_eq!(wait(inherits), Ok(WaitStatus::exited(0)), "a child inherits them");
    let new = child(|| {
        let argv = [c"x87_arithmetic".as_ptr(), c"new".as_ptr(), core::ptr::null()];
        let _ = execve(c"/proc/self/exe", &argv, &[core::ptr::null()]);
        2
    });
    check_eq!(wait(new), Ok(WaitStatus::exited(0)), "a new program's");
    check_eq!(look(), mine, "the parent's in the end");
}

fn run() {
    check!(is_new(), "a new program's registers");
    if start::arg_str(1) == Some("new") {
        return;
    }
    arithmetic();
    rounding();
    comparing();
    unmasked();
    operand_fault();
    single_step();
    of_the_task();
}
