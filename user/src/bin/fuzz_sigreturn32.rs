// SPDX-License-Identifier: GPL-2.0-only
//! Not one of the set: hostile signal frames of i386's. A frame is made by hand, right in all
//! but one to three places (selectors, flags, addresses, the FPU state's pointer, sizes, header
//! and features, the alternate stack, the mask), and `int $0x80` returns from it by `sigreturn`
//! or `rt_sigreturn`. Where that leads is a page of `int3`, or an exception, or the end; see
//! `fuzz_sigreturn`, which does the same with frames of 64 bits.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::arch::asm;
use core::arch::x86_64::{__cpuid, __cpuid_count};
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use user::fuzz::{Options, Rng};
use user::fuzz_frame::{self as frame, AREA, CODE, DATA, STACK};
use user::prelude::*;
use user::process;

program!(run);

static CASE: AtomicU64 = AtomicU64::new(0);

/// Where the frame is, and where its FPU state: FSAVE's image, then FXSAVE's at a multiple of 64.
const FRAME: usize = STACK + AREA / 4;
const FX: usize = STACK + 3 * AREA / 4;
const FSAVE: usize = 112;
/// Of FXSAVE's image: what software may use, and the header behind.
const SW_BYTES: usize = FX + 464;
const HEADER: usize = FX + 512;

/// `sigcontext_32`, in words.
mod word {
    pub const GS: usize = 0;
    pub const DS: usize = 3;
    pub const SP: usize = 7;
    pub const IP: usize = 14;
    pub const CS: usize = 15;
    pub const FLAGS: usize = 16;
    pub const SS: usize = 18;
    pub const FPSTATE: usize = 19;
    pub const OLDMASK: usize = 20;
    pub const ALL: usize = 22;
}

const SELECTORS: &[u32] = &[
    0x33,
    0x2b,
    0x23,
    0,
    3,
    0x10,
    0x13,
    0x18,
    0x1b,
    0x08,
    0x0b,
    0x20,
    0x28,
    0x30,
    0x38,
    0x3b,
    0x40,
    0x43,
    0x63,
    0x6b,
    0x7b,
    7,
    0x0f,
    0x87,
    0xffff,
    0xfff8,
    0x3f,
    0x2f,
    0x1_002b,
    0xffff_0023,
];
const ADDRESSES: &[u32] = &[
    0,
    1,
    0x0fff,
    0x5000_0000,
    0x7fff_ffff,
    0x8000_0000,
    0xc000_0000,
    0xffff_e000,
    u32::MAX - 111,
    u32::MAX,
    DATA as u32,
    (DATA + AREA) as u32,
    (DATA + AREA - 1) as u32,
    (DATA + AREA - 512) as u32,
    (DATA + AREA - 624) as u32,
    STACK as u32,
    (STACK + AREA) as u32,
];
const SIZES: &[u32] = &[
    0,
    1,
    511,
    512,
    516,
    575,
    576,
    577,
    623,
    624,
    628,
    688,
    692,
    832,
    836,
    1024,
    2688,
    2695,
    2696,
    2697,
    2700,
    2704,
    2808,
    2812,
    4096,
    u32::MAX,
];

fn put<T>(at: usize, value: T) {
    // SAFETY: in the areas, which no Rust object owns.
    unsafe { (at as *mut T).write_unaligned(value) };
}

fn get<T: Copy>(at: usize) -> T {
    // SAFETY: as above.
    unsafe { (at as *const T).read_unaligned() }
}

fn run() {
    frame::run("sigreturn32", one_case);
}

fn one_case(o: &Options, case: u64) {
    CASE.store(case, Relaxed);
    let mut rng = Rng::new(o.seed, case);
    frame::put_code(&[], 0xcc);
    frame::arm(landed);
    if case % 4 == 3 {
        for sig in frame::SIGNALS {
            let _ = sigaction(sig, user::signal::Action::Default, 0, 0);
        }
    }
    let rt = rng.one_in(2);
    let context = if rt { FRAME + 144 + 20 } else { FRAME + 8 };
    make_state();
    make_frame(&mut rng, rt, context);
    for _ in 0..=rng.below(3) {
        change(&mut rng, rt, context);
    }
    // The handler's `ret` has taken one word, and for the old frame the restorer's `pop` another.
    if rt { go(FRAME + 4, 173) } else { go(FRAME + 8, 119) }
}

/// Where the frame led.
extern "C" fn landed(_: i32, info: &mut SigInfo, uc: &mut UContext) {
    frame::record(format_args!("sigreturn32_{} H", CASE.load(Relaxed)), info, uc);
    process::exit_group(0);
}

/// Calls with every register known.
fn go(sp: usize, number: u32) -> ! {
    // SAFETY: the stack is left for good; whatever the call does is what is looked for.
    unsafe {
        asm!(
            "mov rsp, rdi", "mov rbx, 0xb1", "mov rbp, 0xb2", "mov rcx, 0xb3", "mov rdx, 0xb4", "mov rsi, 0xb5",
            "mov rdi, 0xb6", "mov r8, 0xb8", "mov r9, 0xb9", "mov r10, 0xba", "mov r11, 0xbb", "mov r12, 0xbc",
            "mov r13, 0xbd", "mov r14, 0xbe", "mov r15, 0xbf", "xor ebp, ebp", "int 0x80", "ud2",
            in("rdi") sp, in("eax") number, options(noreturn)
        )
    }
}

/// The present FPU state as a 32-bit frame has it.
fn make_state() {
    put(FX - FSAVE, [0xffff_037fu32, 0xffff_0000, 0xffff_ffff, 0, 0x23, 0, 0xffff_002b]);
    put(FX - 4, 0u32);
    let xsave = __cpuid(1).ecx & 1 << 27 != 0;
    if !xsave {
        // SAFETY: room of 512 bytes.
        unsafe { asm!("fxsave64 [{}]", in(reg) FX) };
        return;
    }
    let xcr0: u32;
    // SAFETY: OSXSAVE is set; the area has room for all components.
    unsafe {
        asm!("xgetbv", in("ecx") 0, out("eax") xcr0, out("edx") _);
        asm!("xsave64 [{}]", in(reg) FX, in("eax") u32::MAX, in("edx") u32::MAX);
    }
    let size = __cpuid_count(13, 0).ebx;
    put(SW_BYTES, [0x4650_5853u32, FSAVE as u32 + size + 4, xcr0, 0, size]);
    put(FX + size as usize, 0x4650_5845u32);
}

fn make_frame(rng: &mut Rng, rt: bool, context: usize) {
    let mut c = [0u32; word::ALL];
    for w in &mut c[4..12] {
        *w = rng.next() as u32;
    }
    c[2] = 0x2b;
    c[word::DS] = 0x2b;
    c[word::SP] = (STACK + AREA / 2) as u32;
    c[word::IP] = (CODE + 64) as u32;
    c[word::CS] = 0x23;
    c[word::FLAGS] = 0x202;
    c[word::SS] = 0x2b;
    c[word::FPSTATE] = if rng.one_in(8) { 0 } else { (FX - FSAVE) as u32 };
    put(context, c);
    if rt {
        // Flags, link; a stack that is none; behind the context the mask.
        put(FRAME + 144, [1u32, 0, 0, 2, 0]);
        put(context + 88, 0u64);
    } else {
        put(FRAME + 720, 0u32);
    }
}

fn change(rng: &mut Rng, rt: bool, context: usize) {
    let at = |w: usize| context + 4 * w;
    match rng.below(18) {
        0 | 1 => put(at(word::CS), selector(rng)),
        2 | 3 => put(at(word::SS), selector(rng) & !4),
        4 => {
            put(at(word::CS), selector(rng));
            put(at(word::SS), selector(rng) & !4);
        }
        5 => put(at(word::FLAGS), rng.next() as u32),
        6 => put(at(word::FLAGS), get::<u32>(at(word::FLAGS)) ^ 1 << rng.below(22)),
        7 => put(at(word::IP), rng.pick(ADDRESSES)),
        8 => put(at(word::SP), rng.pick(ADDRESSES)),
        9 | 10 => put(at(word::GS + rng.below(4)), selector(rng)),
        11 => put(at(word::OLDMASK), rng.next() as u32),
        12 if rt => put(context + 88, rng.next()),
        12 => put(FRAME + 720, rng.next() as u32),
        13 if rt => {
            put(FRAME + 152, [rng.pick(ADDRESSES), rng.pick(&[0, 1, 2, 3, 4, 1 << 31]), rng.pick(SIZES)]);
        }
        14 => put(at(word::FPSTATE), rng.pick(ADDRESSES)),
        15 => put(at(word::FPSTATE), get::<u32>(at(word::FPSTATE)).wrapping_add(1 << rng.below(12))),
        _ => change_state(rng),
    }
}

fn selector(rng: &mut Rng) -> u32 {
    if rng.one_in(4) { rng.next() as u32 & 0xff } else { rng.pick(SELECTORS) }
}

fn change_state(rng: &mut Rng) {
    let size = get::<u32>(SW_BYTES + 16).clamp(576, 3000) as usize;
    let bits =
        [0, 1, 2, 3, 4, 7, 0x18, 0x1f, 0x200, 0x21f, 0x20, u64::MAX, 1 << 63, 1 << rng.below(64), rng.next()];
    match rng.below(15) {
        0 => put(FX + 24, rng.next() as u32 & 0xffff),
        1 => put(FX + 24, 1u32 << rng.below(32)),
        2 => put(FX, rng.next() as u16),
        3 => put(FX + 160, rng.next()),
        4 => put(SW_BYTES, get::<u32>(SW_BYTES) ^ 1 << rng.below(32)),
        5 => put(SW_BYTES + 4, rng.pick(SIZES)),
        6 => put(SW_BYTES + 16, rng.pick(SIZES)),
        7 => put(SW_BYTES + 8, rng.pick(&bits)),
        8 | 9 => put(HEADER, rng.pick(&bits)),
        10 => put(HEADER + 8, rng.pick(&bits)),
        11 => put(HEADER + 16 + 8 * rng.below(6), 1u64 << rng.below(64)),
        12 => put(FX + size, rng.next() as u32),
        // FSAVE's image: control, status, tags, registers.
        13 => put(FX - FSAVE + 4 * rng.below(27), rng.next() as u32),
        _ => put(FX - 4, rng.next() as u32),
    }
}
