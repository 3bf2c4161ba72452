// SPDX-License-Identifier: GPL-2.0-only
//! The x87 registers and no others, by FNSAVE and FRSTOR (`nofxsr`; Linux 6.1,
//! `arch/x86/kernel/fpu/legacy.h`). Images have FXSAVE's layout here as everywhere.

use super::regset::{Fsave, Fxsave};
use core::arch::asm;

/// Saves the registers, which stay as they are, to the x87 part of an image.
#[cold]
pub fn fnsave(fx: &mut Fxsave) {
    let mut f = Fsave::default();
    // SAFETY: stores to room of our own, and loads the same again: FNSAVE empties the
    // registers.
    unsafe { asm!("fnsave [{0}]", "frstor [{0}]", in(reg) &raw mut f, options(nostack)) };
    fx.take_fsave(&f);
}

/// Loads the registers.
#[cold]
pub fn frstor(fx: &Fxsave) {
    let f = fx.to_fsave(0, 0);
    // SAFETY: any bits are some state; FNINIT takes away the exception that FRSTOR would
    // report first.
    unsafe { asm!("fninit", "frstor [{}]", in(reg) &raw const f, options(nostack, readonly)) };
}
