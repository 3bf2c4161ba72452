// SPDX-License-Identifier: GPL-2.0-only
//! An x87 instruction that the kernel does not emulate: where there is an FPU, it works; with
//! `no387` the program dies of it (SIGILL), rather than go on with a wrong number.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::arch::asm;
use user::prelude::*;

expect! { end: exit(0) }
program!(run);

fn run() {
    let mut sine = 0u64;
    // SAFETY: writes the result; the FPU is nobody else's.
    unsafe { asm!("fninit", "fld1", "fsin", "fstp qword ptr [{}]", in(reg) &raw mut sine, options(nostack)) };
    check_eq!(sine, 0x3fea_ed54_8f09_0cee, "the sine of 1");
}
