// SPDX-License-Identifier: GPL-2.0-only
//! `ioperm`, `iopl` and `prctl(PR_SET_TSC)`: which instructions are allowed then, to whom,
//! and that nobody else gets the right. Needs root, on Linux too.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::arch::asm;
use linux_raw_sys::prctl::{PR_GET_TSC, PR_SET_TSC, PR_TSC_ENABLE, PR_TSC_SIGSEGV};
use user::prelude::*;
use user::signal::SIGSEGV;
use user::syscall;

expect! { end: exit(0) }
program!(run);

/// The POST code port: writing it does nothing.
const POST: u16 = 0x80;

fn out8(port: u16) {
    // SAFETY: at worst a signal.
    unsafe { asm!("out dx, al", in("dx") port, in("al") 0u8, options(nomem, nostack)) };
}

fn out16(port: u16) {
    // SAFETY: as above.
    unsafe { asm!("out dx, ax", in("dx") port, in("ax") 0u16, options(nomem, nostack)) };
}

fn cli_sti() {
    // SAFETY: as above.
    unsafe { asm!("cli", "sti", options(nomem, nostack)) };
}

fn rdtsc() {
    // SAFETY: as above.
    unsafe { asm!("rdtsc", out("eax") _, out("edx") _, options(nomem, nostack)) };
}

/// How a child ends that does `what`.
fn fate(what: impl FnOnce()) -> Result<WaitStatus, Errno> {
    wait(child(|| {
        what();
        0
    }))
}

const FINE: Result<WaitStatus, Errno> = Ok(WaitStatus::exited(0));
const DIES: Result<WaitStatus, Errno> = Ok(WaitStatus::killed(SIGSEGV as i32));

fn ioperm(from: usize, num: usize, on: i32) -> syscall::Result {
    // SAFETY: no memory is involved.
    unsafe { syscall!(__NR_ioperm, from, num, on) }
}

fn iopl(level: u32) -> syscall::Result {
    // SAFETY: no memory is involved.
    unsafe { syscall!(__NR_iopl, level) }
}

fn ports() {
    check_eq!(ioperm(0xffff, 2, 1), Err(Errno(EINVAL)), "beyond the last port");
    check_eq!(ioperm(0, 0, 1), Err(Errno(EINVAL)), "no port");
    check_eq!(ioperm(usize::MAX, 2, 1), Err(Errno(EINVAL)), "an overflow");
    check_eq!(fate(|| out8(POST)), DIES, "out before");
    check_eq!(ioperm(POST.into(), 1, 1), Ok(0), "ioperm");
    out8(POST);
    check_eq!(fate(|| out8(POST)), FINE, "a child has it too");
    check_eq!(fate(|| out8(POST + 1)), DIES, "the next port");
    check_eq!(fate(|| out16(POST)), DIES, "two ports, of which one is allowed");
    let gives_up = fate(|| {
        check_eq!(ioperm(POST.into(), 1, 0), Ok(0), "ioperm off");
        out8(POST);
    });
    check_eq!(gives_up, DIES, "out after giving it up");
    out8(POST);
    check_eq!(ioperm(0, 65536, 0), Ok(0), "ioperm off for all");
    check_eq!(fate(|| out8(POST)), DIES, "out afterwards");
}

fn level() {
    check_eq!(iopl(4), Err(Errno(EINVAL)), "iopl 4");
    check_eq!(fate(cli_sti), DIES, "cli before");
    check_eq!(iopl(3), Ok(0), "iopl 3");
    cli_sti();
    out16(0x80);
    let flags: u64;
    // SAFETY: reads the flags.
    unsafe { asm!("pushfq", "pop {}", out(reg) flags) };
    check_eq!(flags & 0x3200, 0x200, "IF stays, IOPL is emulated");
    check_eq!(fate(cli_sti), FINE, "a child has it too");
    // SAFETY: in a child.
    check_eq!(fate(|| unsafe { asm!("hlt") }), DIES, "hlt");
    check_eq!(iopl(0), Ok(0), "iopl 0");
    check_eq!(fate(cli_sti), DIES, "cli afterwards");
    check_eq!(fate(|| out8(POST)), DIES, "out afterwards");
}

fn time_stamp() {
    let get = || {
        let mut mode = 0u32;
        // SAFETY: the kernel writes one word.
        let r = unsafe { syscall!(__NR_prctl, PR_GET_TSC, &raw mut mode) };
        r.map(|_| mode)
    };
    // SAFETY: no memory is involved.
    let set = |mode: u32| unsafe { syscall!(__NR_prctl, PR_SET_TSC, mode) };
    check_eq!(get(), Ok(PR_TSC_ENABLE), "at first");
    check_eq!(set(7), Err(Errno(EINVAL)), "another mode");
    check_eq!(set(PR_TSC_SIGSEGV), Ok(0), "off");
    check_eq!(get(), Ok(PR_TSC_SIGSEGV), "then");
    check_eq!(fate(rdtsc), DIES, "rdtsc in a child");
    let on_again = fate(|| {
        check_eq!(set(PR_TSC_ENABLE), Ok(0), "on in the child");
        user::process::sched_yield();
        rdtsc();
    });
    check_eq!(on_again, FINE, "rdtsc in a child that turned it on");
    check_eq!(get(), Ok(PR_TSC_SIGSEGV), "the parent's afterwards");
    check_eq!(set(PR_TSC_ENABLE), Ok(0), "on");
    rdtsc();
}

fn run() {
    ports();
    level();
    time_stamp();
}
