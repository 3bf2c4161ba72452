// SPDX-License-Identifier: GPL-2.0-only
//! The stack grows when it is touched below, a page or a megabyte at a time, up to its limit.
#![cfg_attr(target_os = "none", no_std, no_main)]

use user::prelude::*;
use user::process::{RLIMIT_STACK, setrlimit};
use user::start;

expect! { end: exit(0) }

/// Writes so many bytes below the stack pointer, without moving it.
fn touch_below(distance: usize) {
    // SAFETY: below the red zone nothing is in use; the memory is the stack's to be.
    unsafe {
        core::arch::asm!("mov {p}, rsp", "sub {p}, {d}", "mov byte ptr [{p}], 1",
            p = out(reg) _, d = in(reg) distance, options(nostack));
    }
}

program!(run);

fn depth(n: usize) -> usize {
    let mut frame = [n as u8; 5000];
    let frame = core::hint::black_box(&mut frame);
    if n == 0 { 0 } else { depth(n - 1) + usize::from(frame[4999] == n as u8) }
}

fn run() {
    check_eq!(depth(400), 400, "two megabytes of frames, each intact");
    touch_below(0x40_0000);
    // With a limit of one megabyte more than is used now, the second access is beyond it.
    let used = start::initial_stack();
    check!(used > 0x7000_0000_0000, "stack at {used:#x}");
    let child_with = |limit: u64, distance| {
        child(|| {
            check!(setrlimit(RLIMIT_STACK, limit, None).is_ok(), "setrlimit");
            touch_below(distance);
            0
        })
    };
    let pid = child_with(0x60_0000, 0x50_0000);
    check_eq!(wait(pid), Ok(WaitStatus::exited(0)), "within the limit");
    let pid = child_with(0x48_0000, 0x50_0000);
    check_eq!(wait(pid), Ok(WaitStatus::killed(11)), "beyond the limit");
}
