// SPDX-License-Identifier: GPL-2.0-only
//! Memory protection extensions: a pointer out of its bounds is SIGSEGV with pointer and bounds,
//! and a bounds table that is missing is made, where the kernel manages them (Linux 3.19 to 5.5).
//! A kernel that does not (Linux 6.1, `nompx`) says so by `prctl`, and has only SIGSEGV for a #BR.
//! Without the extensions the instructions do nothing.
//!
//! QEMU 7.2 reads an SIB byte of these instructions twice: there is a `nop` behind for it to swallow.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::arch::asm;
use core::arch::x86_64::{__cpuid, __cpuid_count};
use user::memory::{MAP_ANONYMOUS, MAP_FIXED, MAP_PRIVATE, PROT_READ, PROT_WRITE};
use user::prelude::*;
use user::signal::SIGSEGV;
use user::{Result, syscall};

expect! { end: exit(0) }
program!(run);

const BNDCSR: u32 = 1 << 4;
const PR_MPX_ENABLE_MANAGEMENT: u32 = 43;
const PR_MPX_DISABLE_MANAGEMENT: u32 = 44;
const SI_KERNEL: i32 = 128;
const SEGV_BNDERR: i32 = 3;

/// XCR0's low half; 0 without XSAVE.
fn xcr0() -> u32 {
    if __cpuid(1).ecx & 1 << 27 == 0 {
        return 0;
    }
    let low: u32;
    // SAFETY: OSXSAVE says that xgetbv exists.
    unsafe { asm!("xgetbv", in("ecx") 0, out("eax") low, out("edx") _) };
    low
}

#[repr(C, align(64))]
struct Area([u64; 512]);

/// Loads BNDCFGU; BNDSTATUS becomes 0.
fn set_bndcfgu(value: u64) {
    let mut area = Area([0; 512]);
    area.0[64] = u64::from(BNDCSR);
    area.0[__cpuid_count(13, 4).ebx as usize / 8] = value;
    // SAFETY: an image with one component, whose effect is on the instructions below.
    unsafe { asm!("xrstor64 [{}]", in(reg) &raw const area, in("eax") BNDCSR, in("edx") 0) };
}

/// BNDCFGU and BNDSTATUS.
fn bndcsr() -> (u64, u64) {
    let mut area = Area([0; 512]);
    // SAFETY: room for every component that there is.
    unsafe { asm!("xsave64 [{}]", in(reg) &raw mut area, in("eax") BNDCSR, in("edx") 0) };
    let at = __cpuid_count(13, 4).ebx as usize / 8;
    (area.0[at], area.0[at + 1])
}

static mut SEEN: Option<(SigInfo, u64, u64, u64)> = None;

/// Keeps what came, and goes on behind the instruction (they all have four bytes).
extern "C" fn handler(_: i32, info: &mut SigInfo, uc: &mut UContext) {
    let m = &mut uc.mcontext;
    // SAFETY: nobody else runs.
    unsafe { SEEN = Some((*info, m.trapno, m.err, m.ip)) };
    m.ip += 4;
}

fn seen() -> Option<(SigInfo, u64, u64, u64)> {
    // SAFETY: nobody else runs; the handler has run.
    unsafe { (&raw mut SEEN).replace(None) }
}

/// Makes bounds of `[lower, upper]` in BND0, and checks `pointer` with the instruction.
macro_rules! check_bounds {
    ($insn:literal, $lower:expr, $upper:expr, $pointer:expr) => {{
        let at: u64;
        // SAFETY: these touch no memory.
        unsafe {
            asm!(
                ".byte 0xf3, 0x0f, 0x1b, 0x04, 0x10", // bndmk bnd0, [rax + rdx]
                "nop",
                "lea {at}, [rip + 2f]",
                "2:", $insn,
                at = out(reg) at, in("rax") $lower, in("rdx") $upper - $lower, in("rcx") $pointer
            );
        }
        (seen(), at)
    }};
}

/// What a failed check must bring.
fn expect_violation(
    got: (Option<(SigInfo, u64, u64, u64)>, u64),
    managed: bool,
    bounds: [u64; 3],
    what: &str,
) {
    let (Some((info, trapno, err, ip)), at) = got else {
        check!(false, "{what}: no signal");
        return;
    };
    check_eq!((trapno, err, ip), (5, 0, at), "{what}: trapno, err, ip");
    let word = |i: usize| info.word(i);
    if managed {
        check_eq!((info.signo, info.errno, info.code), (SIGSEGV as i32, 0, SEGV_BNDERR), "{what}");
        check_eq!([word(0), word(2), word(3)], bounds, "{what}: address, lower, upper");
    } else {
        check_eq!((info.signo, info.errno, info.code), (SIGSEGV as i32, 0, SI_KERNEL), "{what}");
        check_eq!([word(0), word(2), word(3)], [0; 3], "{what}: nothing more");
    }
}

fn violations(managed: bool) {
    set_bndcfgu(1);
    let (low, high) = (0x1_0000u64, 0x1_00ffu64);
    for p in [low, low + 5, high] {
        let (none, _) = check_bounds!(".byte 0xf3, 0x0f, 0x1a, 0x01", low, high, p); // bndcl bnd0, [rcx]
        check!(none.is_none(), "{p:#x} is not too low");
        let (none, _) = check_bounds!(".byte 0xf2, 0x0f, 0x1a, 0x01", low, high, p); // bndcu bnd0, [rcx]
        check!(none.is_none(), "{p:#x} is not too high");
    }
    let got = check_bounds!(".byte 0xf3, 0x0f, 0x1a, 0x01", low, high, low - 1);
    expect_violation(got, managed, [low - 1, low, high], "bndcl of memory");
    check_eq!(bndcsr(), (1, 1), "BNDCFGU and BNDSTATUS");
    let got = check_bounds!(".byte 0xf2, 0x0f, 0x1a, 0x01", low, high, high + 1);
    expect_violation(got, managed, [high + 1, low, high], "bndcu of memory");
    let got = check_bounds!(".byte 0xf2, 0x0f, 0x1a, 0xc1", low, high, high + 9);
    expect_violation(got, managed, [high + 9, low, high], "bndcu of a register");
    let got = check_bounds!(".byte 0xf3, 0x0f, 0x1a, 0xc1", low, high, 0u64);
    expect_violation(got, managed, [0, low, high], "bndcl of a register");
    set_bndcfgu(0);
    let (none, _) = check_bounds!(".byte 0xf3, 0x0f, 0x1a, 0x01", low, high, 0u64);
    check!(none.is_none(), "a check while they are off");
}

fn prctl(option: u32) -> Result {
    // SAFETY: no memory is involved.
    unsafe { syscall!(__NR_prctl, option, 0, 0, 0, 0) }
}

/// The directory: 2 GiB of address space. QEMU 7.2 shifts its address down by eight bits too many;
/// at this one, and with [`LOCATION`], the entry is within it in either case.
const DIRECTORY: usize = 0x2000_0000;
const DIRECTORY_SIZE: usize = 1 << 31;
/// Where the pointer is said to be stored: nobody looks there.
const LOCATION: u64 = 0x3fc0_0000_0000;
const POINTER: u64 = 0x1234_5678;

/// Stores BND0 for a pointer, forgets it, loads it again, and checks with it.
fn through_tables(low: u64, high: u64) -> (Option<(SigInfo, u64, u64, u64)>, u64) {
    let at: u64;
    // SAFETY: the tables are the kernel's to make; nothing else is touched.
    unsafe {
        asm!(
            ".byte 0xf3, 0x0f, 0x1b, 0x04, 0x10, 0x90", // bndmk bnd0, [rax + rdx]
            "mov rax, {location}",
            "mov rdx, {pointer}",
            ".byte 0x0f, 0x1b, 0x04, 0x10, 0x90", // bndstx [rax + rdx], bnd0
            ".byte 0x0f, 0x1a, 0x0c, 0x10, 0x90", // bndldx bnd1, [rax + rdx]
            "lea {at}, [rip + 2f]",
            "2: .byte 0xf2, 0x0f, 0x1a, 0x09",     // bndcu bnd1, [rcx]
            at = out(reg) at, location = in(reg) LOCATION, pointer = in(reg) POINTER,
            inout("rax") low => _, inout("rdx") high - low => _, in("rcx") high + 1
        );
    }
    (seen(), at)
}

fn tables() {
    const MAP_NORESERVE: u32 = 0x4000;
    let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE;
    let prot = PROT_READ | PROT_WRITE;
    // SAFETY: nothing is there.
    let at = unsafe { syscall!(__NR_mmap, DIRECTORY, DIRECTORY_SIZE, prot, flags, -1, 0) };
    check_eq!(at, Ok(DIRECTORY), "the directory");
    check_eq!(prctl(PR_MPX_ENABLE_MANAGEMENT), Err(Errno(ENXIO)), "before they are on");
    set_bndcfgu(DIRECTORY as u64 | 1);
    // Nobody manages yet: a missing table is a plain SIGSEGV, at the instruction.
    let _ = through_tables(0x1000, 0x1fff);
    check_eq!(bndcsr().1 & 3, 2, "BNDSTATUS: a missing table");
    check_eq!(prctl(PR_MPX_ENABLE_MANAGEMENT), Ok(0), "managed");
    set_bndcfgu(DIRECTORY as u64 | 1);
    expect_violation(through_tables(0x1000, 0x1fff), true, [0x2000, 0x1000, 0x1fff], "through a new table");
    expect_violation(
        through_tables(0x3000, 0x3fff),
        true,
        [0x4000, 0x3000, 0x3fff],
        "through the same table",
    );
    check_eq!(prctl(PR_MPX_DISABLE_MANAGEMENT), Ok(0), "no longer managed");
    set_bndcfgu(0);
}

fn run() {
    let r = sigaction(SIGSEGV, Action::Handle(handler), 0, 0);
    check!(r.is_ok(), "sigaction");
    if xcr0() & 0x18 != 0x18 {
        let (none, _) = check_bounds!(".byte 0xf3, 0x0f, 0x1a, 0x01", 0x1000u64, 0x1fffu64, 0u64);
        check!(none.is_none(), "instructions that do nothing");
        return;
    }
    let managed = prctl(PR_MPX_ENABLE_MANAGEMENT) != Err(Errno(EINVAL));
    violations(managed);
    if managed {
        tables();
    }
}
