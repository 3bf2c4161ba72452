// SPDX-License-Identifier: GPL-2.0-only
//! Not one of the set: hostile signal frames. A handler changes its frame in one to three
//! places (selectors, flags, addresses, the extended state's pointer, sizes, header and
//! features, the alternate stack, the mask) and returns. Where that leads is a page of
//! `int3`, or an exception, or the end; the record of it is one line, and every fourth case
//! has no handler for it. `cargo xtask compare fuzz_sigreturn` has two kernels write it.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use user::fuzz::{Options, Rng};
use user::fuzz_frame::{self as frame, AREA, CODE, DATA, STACK};
use user::prelude::*;
use user::process;
use user::ucontext::fp;

program!(run);

static SEED: AtomicU64 = AtomicU64::new(0);
static CASE: AtomicU64 = AtomicU64::new(0);

/// Selectors that exist, that do not, and that a program may not have.
const SELECTORS: &[u16] = &[
    0x33, 0x2b, 0x23, 0, 3, 0x10, 0x13, 0x18, 0x1b, 0x08, 0x0b, 0x20, 0x28, 0x30, 0x38, 0x3b, 0x40, 0x43,
    0x63, 0x6b, 0x7b, 7, 0x0f, 0x87, 0xffff, 0xfff8, 0x3f, 0x2f,
];
/// Addresses of every sort, but none of the first stack: kernels fill that differently.
const ADDRESSES: &[u64] = &[
    0,
    1,
    0x0fff,
    0x5000_0000,
    0x7fff_ffff_f000,
    0x7fff_ffff_ffff,
    0x8000_0000_0000,
    0xffff_7fff_ffff_ffff,
    0xffff_8000_0000_0000,
    0xffff_8880_0000_0000,
    0xffff_ffff_8100_0000,
    0xffff_ffff_ff60_0000,
    u64::MAX,
    0x1_0000_0000,
    DATA as u64,
    (DATA + AREA) as u64,
    (DATA + AREA - 1) as u64,
    (DATA + AREA - 512) as u64,
    STACK as u64,
    (STACK + AREA) as u64,
];
const SIZES: &[u32] =
    &[0, 1, 511, 512, 516, 575, 576, 577, 832, 836, 1024, 2688, 2695, 2696, 2697, 2700, 2704, 4096, u32::MAX];

fn run() {
    frame::run("sigreturn", one_case);
}

fn one_case(o: &Options, case: u64) {
    SEED.store(o.seed, Relaxed);
    CASE.store(case, Relaxed);
    frame::put_code(&[], 0xcc);
    frame::arm(landed);
    if case % 4 == 3 {
        for sig in frame::SIGNALS {
            let _ = sigaction(sig, user::signal::Action::Default, 0, 0);
        }
    }
    frame::begin(edit);
}

/// Where the frame led.
extern "C" fn landed(_: i32, info: &mut SigInfo, uc: &mut UContext) {
    frame::record(format_args!("sigreturn_{} H", CASE.load(Relaxed)), info, uc);
    process::exit_group(0);
}

extern "C" fn edit(_: i32, _: &mut SigInfo, uc: &mut UContext) {
    let mut rng = Rng::new(SEED.load(Relaxed), CASE.load(Relaxed));
    let m = &mut uc.mcontext;
    for register in [
        &mut m.ax, &mut m.bx, &mut m.cx, &mut m.dx, &mut m.si, &mut m.di, &mut m.bp, &mut m.r8, &mut m.r9,
        &mut m.r10, &mut m.r11, &mut m.r12, &mut m.r13, &mut m.r14, &mut m.r15,
    ] {
        *register = rng.next();
    }
    m.sp = (STACK + AREA / 2) as u64;
    m.ip = (CODE + 64) as u64;
    for _ in 0..=rng.below(3) {
        change(&mut rng, uc);
    }
}

fn change(rng: &mut Rng, uc: &mut UContext) {
    let m = &mut uc.mcontext;
    match rng.below(20) {
        0 | 1 => m.cs = selector(rng),
        2 | 3 => m.ss = stack_selector(rng),
        4 => (m.cs, m.ss) = (selector(rng), stack_selector(rng)),
        5 => m.flags = rng.next(),
        6 => m.flags ^= 1 << rng.below(22),
        7 => m.ip = rng.pick(ADDRESSES),
        8 => m.sp = rng.pick(ADDRESSES),
        9 => uc.flags = if rng.one_in(2) { rng.below(8) as u64 } else { rng.next() },
        10 => uc.sigmask = rng.next(),
        11 => {
            uc.stack.ss_sp = core::ptr::with_exposed_provenance_mut(rng.pick(ADDRESSES) as usize);
            uc.stack.ss_flags = rng.pick(&[0, 1, 2, 3, 4, i32::MIN, -1]);
            uc.stack.ss_size = rng.pick(SIZES) as usize as _;
        }
        12 => m.gs = selector(rng),
        13 => m.fs = selector(rng),
        14 => m.fpstate = if rng.one_in(2) { rng.pick(ADDRESSES) } else { m.fpstate + (1 << rng.below(12)) },
        15 => move_state(rng, uc),
        _ => change_state(rng, uc),
    }
}

fn selector(rng: &mut Rng) -> u16 {
    if rng.one_in(4) { rng.next() as u16 & 0xff } else { rng.pick(SELECTORS) }
}

/// Not one of the LDT: with espfix64, which Debian's Linux is built without, the error code
/// of an `iret` that refuses it is lost.
fn stack_selector(rng: &mut Rng) -> u16 {
    selector(rng) & !4
}

/// Is the image still where the kernel put it?
fn has_state(uc: &UContext) -> bool {
    uc.has_xsave()
        && uc.mcontext.fpstate.is_multiple_of(64)
        && (0x4000_0000..0x4000_8000).contains(&uc.mcontext.fpstate)
}

/// The image at another place: aligned otherwise, or at the end of what is mapped.
fn move_state(rng: &mut Rng, uc: &mut UContext) {
    if !has_state(uc) {
        return;
    }
    let len = uc.fpstate().get::<u32>(fp::XSTATE_SIZE) as usize + 4;
    let end = DATA + AREA;
    let to = match rng.below(4) {
        0 => (end - len) & !63,
        1 => end - 512,
        2 => DATA + 8 * rng.below(9),
        _ => end - 64 * rng.below(60),
    };
    let room = (end - to).min(len.min(AREA));
    // SAFETY: the kernel's image is `len` long; the area has room for as much.
    unsafe { core::ptr::copy_nonoverlapping(uc.mcontext.fpstate as *const u8, to as *mut u8, room) };
    uc.mcontext.fpstate = to as u64;
}

fn change_state(rng: &mut Rng, uc: &UContext) {
    if !has_state(uc) {
        return;
    }
    let f = uc.fpstate();
    let size = u64::from(f.get::<u32>(fp::XSTATE_SIZE).min(8192));
    let bits =
        [0, 1, 2, 3, 4, 7, 0x18, 0x1f, 0x200, 0x21f, 0x20, u64::MAX, 1 << 63, 1 << rng.below(64), rng.next()];
    match rng.below(14) {
        0 => f.set(fp::MXCSR, rng.next() as u32 & 0xffff),
        1 => f.set(fp::MXCSR, 1u32 << rng.below(32)),
        2 => f.set(fp::FCW, rng.next() as u16),
        3 => f.set(fp::XMM0, rng.next()),
        4 => f.set(fp::MAGIC1, f.get::<u32>(fp::MAGIC1) ^ 1 << rng.below(32)),
        5 => f.set(fp::EXTENDED_SIZE, rng.pick(SIZES)),
        6 => f.set(fp::XSTATE_SIZE, rng.pick(SIZES)),
        7 => f.set(fp::XFEATURES, rng.pick(&bits)),
        8 | 9 => f.set(fp::XSTATE_BV, rng.pick(&bits)),
        10 => f.set(fp::XCOMP_BV, rng.pick(&bits)),
        11 => f.set(fp::HEADER_RESERVED + 8 * rng.below(6) as u64, 1u64 << rng.below(64)),
        12 => f.set(size, rng.next() as u32),
        _ => f.set(576 + 8 * (rng.next() % ((size - 576) / 8).max(1)), rng.next()),
    }
}
