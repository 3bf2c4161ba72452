// SPDX-License-Identifier: GPL-2.0-only
//! Not one of the set: random code. Each case puts random bytes, or bytes that look like
//! instructions, into a page, begins them in a fixed state of all registers, and steps
//! through them one instruction at a time until something other than a step happens. What
//! that was is one line; `cargo xtask compare fuzz_code` has two kernels write it.
//!
//! Calls of the kernel and what reads a clock or random numbers end a case before they are
//! run. Every eighth case then repeats its last instruction without a handler, for the log.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use user::fuzz::{Options, Rng};
use user::fuzz_frame::{self as frame, AREA, CODE, DATA, STACK};
use user::prelude::*;
use user::process;

program!(run);

/// The longest code, and the most steps of a case.
const LENGTH: usize = 48;
const STEPS: u32 = 40;
const TF: u64 = 0x100;
const TRAP_TRACE: i32 = 2;

static SEED: AtomicU64 = AtomicU64::new(0);
static CASE: AtomicU64 = AtomicU64::new(0);
static SHOW: AtomicU32 = AtomicU32::new(0);
static COUNT: AtomicU32 = AtomicU32::new(0);

fn run() {
    frame::run("code", one_case);
}

fn one_case(o: &Options, case: u64) {
    SEED.store(o.seed, Relaxed);
    CASE.store(case, Relaxed);
    SHOW.store(u32::from(o.show), Relaxed);
    let mut rng = Rng::new(o.seed, case);
    let mut code = [0x90; LENGTH];
    match case % 4 {
        0 => code.iter_mut().for_each(|b| *b = rng.next() as u8),
        3 => write_instructions(&mut rng, &mut code[..12]),
        _ => write_instructions(&mut rng, &mut code),
    }
    frame::put_code(&code, 0x90);
    frame::arm(on_signal);
    frame::begin(start);
}

/// Bytes that mostly are instructions.
fn write_instructions(rng: &mut Rng, code: &mut [u8]) {
    let mut left = code.iter_mut();
    let mut put = |byte: u8| left.next().map(|place| *place = byte).is_some();
    while put_one(rng, &mut put) {}
}

fn put_one(rng: &mut Rng, put: &mut impl FnMut(u8) -> bool) -> bool {
    if rng.one_in(5) {
        put(rng.pick(&[0x66, 0xf2, 0xf3, 0xf0, 0x2e, 0x64, 0x65, 0x67]));
    }
    if rng.one_in(2) {
        put(0x40 | rng.below(16) as u8);
    }
    match rng.below(16) {
        0 => {
            put(0x0f);
            put(rng.pick(&[0x38, 0x3a]));
        }
        1 => {
            put(0xc5);
            put(rng.next() as u8);
        }
        2..=7 => {
            put(0x0f);
        }
        _ => {}
    }
    put(rng.next() as u8);
    // A register, or memory at a register: those are the ones that can be reached.
    put(rng.pick(&[0xc0, 0xc0, 0x00, 0x40]) | rng.below(64) as u8);
    let mut more = true;
    for _ in 0..rng.below(5) {
        more = put(rng.pick(&[0, 1, 8, 0x10, 0x7f, 0x80, 0xff, 0x90]));
    }
    more
}

/// The fixed state: some registers point somewhere, others hold numbers.
extern "C" fn start(_: i32, _: &mut SigInfo, uc: &mut UContext) {
    let mut rng = Rng::new(SEED.load(Relaxed) ^ 0x5eed, CASE.load(Relaxed));
    let mut value = || match rng.below(8) {
        0..=3 => (DATA + rng.below(AREA / 16) * 16) as u64,
        4 => rng.next(),
        5 => rng.below(256) as u64,
        6 => (CODE + rng.below(LENGTH)) as u64,
        _ => (STACK + rng.below(AREA)) as u64,
    };
    let m = &mut uc.mcontext;
    for register in [
        &mut m.ax, &mut m.bx, &mut m.cx, &mut m.dx, &mut m.si, &mut m.di, &mut m.bp, &mut m.r8, &mut m.r9,
        &mut m.r10, &mut m.r11, &mut m.r12, &mut m.r13, &mut m.r14, &mut m.r15,
    ] {
        *register = value();
    }
    m.sp = (STACK + AREA / 2) as u64;
    m.ip = CODE as u64;
    m.flags = 0x202 | TF;
    if let Some(why) = why_stop(m.ip) {
        finish(why);
    }
}

/// A step, or the end.
extern "C" fn on_signal(sig: i32, info: &mut SigInfo, uc: &mut UContext) {
    let case = CASE.load(Relaxed);
    let steps = COUNT.fetch_add(1, Relaxed);
    if SHOW.load(Relaxed) != 0 {
        frame::show("code", case, uc);
    }
    if sig as u32 == user::signal::SIGTRAP && info.code == TRAP_TRACE {
        uc.mcontext.flags |= TF;
        let ip = uc.mcontext.ip;
        if steps < STEPS && why_stop(ip).is_none() {
            return;
        }
    }
    let why = why_stop(uc.mcontext.ip).unwrap_or("-");
    frame::record(format_args!("code_{case} H n={steps} next={why}"), info, uc);
    if case % 8 != 5 || why != "-" || sig as u32 == user::signal::SIGTRAP {
        process::exit_group(0);
    }
    // Once more, and nobody handles it.
    let _ = sigaction(sig as u32, user::signal::Action::Default, 0, 0);
    let _ = sigaction(user::signal::SIGTRAP, user::signal::Action::Default, 0, 0);
}

fn finish(why: &str) -> ! {
    user::println!("code_{} H n=0 next={why}", CASE.load(Relaxed));
    process::exit_group(0)
}

/// Why the next instruction must not be run, if it must not.
fn why_stop(ip: u64) -> Option<&'static str> {
    let ip = ip as usize;
    if (0x40_0000..0x80_0000).contains(&ip) || (0x7f00_0000_0000..0x7fff_ffff_f000).contains(&ip) {
        return Some("program");
    }
    let here = [CODE, DATA, STACK].into_iter().find(|area| (*area..area + AREA).contains(&ip))?;
    let left = (here + AREA - ip).min(15);
    // SAFETY: within an area.
    let bytes = unsafe { core::slice::from_raw_parts(ip as *const u8, left) };
    let prefix =
        |b: &u8| matches!(b, 0x26 | 0x2e | 0x36 | 0x3e | 0x40..=0x4f | 0x64..=0x67 | 0xf0 | 0xf2 | 0xf3);
    let at = bytes.iter().position(|b| !prefix(b))?;
    let next = |i: usize| bytes.get(at + i).copied().unwrap_or(0);
    match (next(0), next(1), next(2)) {
        (0x0f, 0x05 | 0x34, _) | (0xcd, 0x80, _) => Some("syscall"),
        (0x0f, 0x31, _) | (0x0f, 0x01, 0xf9) => Some("clock"),
        (0x0f, 0xc7, modrm) if modrm >= 0xf0 => Some("random"),
        // QEMU 7.2 lets user mode set EFLAGS.VM with it; Linux then never comes back.
        (0xcf, ..) => Some("iret"),
        // Without VEX these end QEMU 7.2 itself.
        (0x0f, 0x38, op) if vex_only_38(op) => Some("emulator"),
        (0x0f, 0x3a, 0x00..=0x07 | 0x18..=0x1f | 0x30..=0x3f | 0x43..=0x5f) => Some("emulator"),
        // So do bit operations on a locked register.
        (0x0f, 0xa3 | 0xab | 0xb3 | 0xba | 0xbb, 0xc0..) if bytes[..at].contains(&0xf0) => Some("emulator"),
        // FSGSBASE is off here and on there.
        (0x0f, 0xae, 0xc0..=0xdf) if bytes[..at].contains(&0xf3) => Some("fsgsbase"),
        _ => None,
    }
}

/// Opcodes of the `0F 38` map that exist only with a VEX prefix.
const fn vex_only_38(op: u8) -> bool {
    matches!(op, 0x0c..=0x0f | 0x13 | 0x16 | 0x18..=0x1a | 0x2c..=0x2f | 0x36 | 0x45..=0x7f | 0x84..=0xbf)
}
