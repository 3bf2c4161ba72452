// SPDX-License-Identifier: GPL-2.0-only
//! Comparing (Linux 6.1, `arch/x86/math-emu/reg_compare.c`).

use super::control_w::{DE, IE, SW_C0, SW_C2, SW_C3};
use super::fpu_reg::{Class, Operand, Reg};
use core::cmp::Ordering;

/// The order of two numbers, `None` if a NaN is among them, and the exceptions. `quiet`:
/// a quiet NaN is none.
pub fn compare(a: Operand, b: Operand, quiet: bool) -> (Option<Ordering>, u16) {
    let classes = [a.reg.class(), b.reg.class()];
    if classes.iter().any(|c| matches!(c, Class::Unsupported | Class::SignallingNan)) {
        return (None, IE);
    }
    if classes.contains(&Class::QuietNan) {
        return (None, if quiet { 0 } else { IE });
    }
    let denormal = if a.denormal || b.denormal { DE } else { 0 };
    (Some(order(a.reg, b.reg)), denormal)
}

fn order(a: Reg, b: Reg) -> Ordering {
    let magnitude = |r: Reg| match r.num() {
        Some(n) => (n.exp, n.sig),
        None if r.class() == Class::Zero => (i32::MIN, 0),
        None => (i32::MAX, 0),
    };
    let (ma, mb) = (magnitude(a), magnitude(b));
    if ma.1 == 0 && ma == mb && ma.0 == i32::MIN {
        return Ordering::Equal;
    }
    match (a.negative(), b.negative()) {
        (false, false) => ma.cmp(&mb),
        (true, true) => mb.cmp(&ma),
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
    }
}

/// The condition codes that say so.
pub const fn condition_codes(order: Option<Ordering>) -> u16 {
    match order {
        Some(Ordering::Greater) => 0,
        Some(Ordering::Less) => SW_C0,
        Some(Ordering::Equal) => SW_C3,
        None => SW_C3 | SW_C2 | SW_C0,
    }
}
