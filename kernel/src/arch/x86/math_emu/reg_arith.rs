// SPDX-License-Identifier: GPL-2.0-only
//! `+ - * /` (Linux 6.1, `arch/x86/math-emu/reg_add_sub.c`, `reg_mul.c`, `reg_divide.c`).
//!
//! Finite numbers are `rustc_apfloat`'s business. It computes in a format of our own, which
//! has the x87's 64 bits and three more, and room for every exponent that a result can
//! have; cut off there, the result and whether it was exact are all that
//! [`round`](super::reg_round::round) needs for any precision, for C1, and for the scaled
//! results of unmasked exceptions, which the crate's 80-bit type cannot tell.

use super::control_w::{Control, DE, IE, Rounding, ZE};
use super::fpu_reg::{Class, Operand, Reg};
use super::reg_round::{Exact, Format, Rounded, round};
use rustc_apfloat::ieee::{IeeeFloat, Semantics};
use rustc_apfloat::{Float, Round, Status, StatusAnd};

/// Which operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Op {
    Add,
    Sub,
    Mul,
    Div,
}

/// What an operation comes to.
#[must_use]
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// The result, if [`flags`](Self::flags) have none that prevents one.
    pub value: Reg,
    /// The exceptions.
    pub flags: u16,
    /// For C1: the magnitude was rounded up.
    pub up: bool,
}

impl Outcome {
    /// An exact result.
    pub const fn exact(value: Reg) -> Self {
        Self { value, flags: 0, up: false }
    }
    /// There is no answer.
    pub const INVALID: Self = Self { value: Reg::INDEFINITE, flags: IE, up: false };
    /// Adds an exception.
    pub const fn and(self, flags: u16) -> Self {
        Self { flags: self.flags | flags, ..self }
    }
}

impl From<Rounded> for Outcome {
    fn from(r: Rounded) -> Self {
        Self { value: r.reg(), flags: r.flags, up: r.up }
    }
}

/// The format in which results are computed.
struct WideS;
impl Semantics for WideS {
    const BITS: usize = 84;
    const EXP_BITS: usize = 17;
}
type Wide = IeeeFloat<WideS>;
const WIDE_BIAS: i32 = 0xffff;
/// Bits of a significand without the integer bit, which is not stored.
const WIDE_FRACTION: u32 = 66;

fn to_wide(r: Reg) -> Wide {
    let sign = u128::from(r.negative()) << 83;
    let Some(n) = r.num() else { return Wide::from_bits(sign) };
    let fraction = (u128::from(n.sig) << (WIDE_FRACTION - 63)) & ((1 << WIDE_FRACTION) - 1);
    Wide::from_bits(sign | ((n.exp + WIDE_BIAS) as u128) << WIDE_FRACTION | fraction)
}

/// The result, unless it is zero.
fn from_wide(r: StatusAnd<Wide>) -> Option<Exact> {
    if r.value.is_zero() {
        return None;
    }
    let bits = r.value.to_bits();
    let fraction = bits & ((1 << WIDE_FRACTION) - 1) | 1 << WIDE_FRACTION;
    let more = u128::from(r.status.contains(Status::INEXACT));
    Some(Exact {
        negative: r.value.is_negative(),
        exp: (bits >> WIDE_FRACTION & 0x1_ffff) as i32 - WIDE_BIAS,
        sig: fraction << (127 - WIDE_FRACTION) | more,
    })
}

/// What comes of operands of which one is a NaN or no number at all.
pub fn nan_result(a: Reg, b: Reg) -> Option<Outcome> {
    use Class::{QuietNan, SignallingNan, Unsupported};
    let value = match (a.class(), b.class()) {
        (Unsupported, _) | (_, Unsupported) => return Some(Outcome::INVALID),
        (QuietNan, QuietNan) | (SignallingNan, SignallingNan) => larger_nan(a, b),
        (QuietNan, _) => a,
        (_, QuietNan) => b,
        (SignallingNan, _) => a,
        (_, SignallingNan) => b,
        _ => return None,
    };
    let signals = [a, b].iter().any(|r| r.class() == SignallingNan);
    Some(Outcome::exact(value.quieted()).and(if signals { IE } else { 0 }))
}

/// Of two NaNs the one with the larger significand, or the positive one.
fn larger_nan(a: Reg, b: Reg) -> Reg {
    match a.sig.cmp(&b.sig) {
        core::cmp::Ordering::Less => b,
        core::cmp::Ordering::Equal if a.negative() => b,
        core::cmp::Ordering::Greater | core::cmp::Ordering::Equal => a,
    }
}

/// Results that need no arithmetic. `Sub` has become `Add`.
fn special(op: Op, a: Reg, b: Reg, cw: Control) -> Option<Outcome> {
    use Class::{Infinity, Zero};
    let negative = a.negative() != b.negative();
    let value = match (op, a.class(), b.class()) {
        (Op::Add, Infinity, Infinity) if negative => return Some(Outcome::INVALID),
        (Op::Add, Infinity, _) => a,
        (Op::Add, _, Infinity) => b,
        (Op::Add, Zero, Zero) if negative => Reg::zero(cw.rounding() == Rounding::Down),
        (Op::Add, Zero, Zero) => a,
        (Op::Mul, Infinity, Zero)
        | (Op::Mul, Zero, Infinity)
        | (Op::Div, Infinity, Infinity)
        | (Op::Div, Zero, Zero) => return Some(Outcome::INVALID),
        (Op::Mul | Op::Div, Infinity, _) | (Op::Mul, _, Infinity) => Reg::infinity(negative),
        (Op::Mul | Op::Div, Zero, _) | (Op::Mul, _, Zero) | (Op::Div, _, Infinity) => Reg::zero(negative),
        (Op::Div, _, Zero) => return Some(Outcome::exact(Reg::infinity(negative)).and(ZE)),
        _ => return None,
    };
    Some(Outcome::exact(value))
}

/// `a op b`.
pub fn arith(op: Op, a: Operand, b: Operand, cw: Control) -> Outcome {
    let denormal = if a.denormal || b.denormal { DE } else { 0 };
    let (a, b) = (a.reg, b.reg);
    if let Some(o) = nan_result(a, b) {
        return o;
    }
    let (op, b) = if op == Op::Sub { (Op::Add, b.negated()) } else { (op, b) };
    let special = special(op, a, b, cw);
    if let Some(o) = special
        && o.flags != 0
    {
        return o;
    }
    if cw.unmasked(denormal) != 0 {
        return Outcome::exact(Reg::ZERO).and(denormal);
    }
    special.unwrap_or_else(|| finite(op, to_wide(a), to_wide(b), cw)).and(denormal)
}

fn finite(op: Op, a: Wide, b: Wide, cw: Control) -> Outcome {
    let exact = from_wide(match op {
        Op::Add | Op::Sub => a.add_r(b, Round::TowardZero),
        Op::Mul => a.mul_r(b, Round::TowardZero),
        Op::Div => a.div_r(b, Round::TowardZero),
    });
    match exact {
        Some(x) => round(&x, &Format::register(cw.precision()), cw).into(),
        // Only a difference of equal numbers is zero.
        None => Outcome::exact(Reg::zero(cw.rounding() == Rounding::Down)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::x86::math_emu::control_w::{OE, PE};

    const CW: Control = Control(0x37f);

    fn n(v: i64) -> Operand {
        Reg::from_integer(v < 0, v.unsigned_abs()).into()
    }

    #[test]
    fn small_integers() {
        assert_eq!(arith(Op::Add, n(2), n(3), CW).value, n(5).reg);
        assert_eq!(arith(Op::Sub, n(2), n(3), CW).value, n(-1).reg);
        assert_eq!(arith(Op::Mul, n(-4), n(3), CW).value, n(-12).reg);
        assert_eq!(arith(Op::Div, n(12), n(-4), CW).value, n(-3).reg);
        assert_eq!(arith(Op::Sub, n(3), n(3), CW).value, Reg::ZERO);
        assert_eq!(arith(Op::Sub, n(3), n(3), Control(0x77f)).value, Reg::zero(true));
    }

    #[test]
    fn a_third() {
        let o = arith(Op::Div, n(1), n(3), CW);
        assert_eq!((o.value, o.flags, o.up), (Reg { sig: 0xaaaa_aaaa_aaaa_aaab, se: 0x3ffd }, PE, true));
        let o = arith(Op::Div, n(1), n(3), Control(0x07f));
        assert_eq!((o.value.sig, o.up), (0xaaaa_ab00_0000_0000, true));
    }

    #[test]
    fn exceptions() {
        let huge = Operand::from(Reg { sig: u64::MAX, se: 0x7ffe });
        let tiny = Operand::from(Reg { sig: 1, se: 0 });
        assert_eq!(arith(Op::Mul, huge, huge, CW).flags, OE | PE);
        assert_eq!(arith(Op::Div, n(1), n(0), CW).flags, ZE);
        assert_eq!(arith(Op::Div, n(0), n(0), CW).value, Reg::INDEFINITE);
        assert_eq!(arith(Op::Add, tiny, tiny, CW).flags, DE);
        assert_eq!(arith(Op::Add, tiny, tiny, Control(0x37d)).flags, DE);
    }
}
