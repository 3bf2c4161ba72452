// SPDX-License-Identifier: GPL-2.0-only
//! Roots, remainders, exponents: of the instructions that calculate with ST(0) alone, or
//! with ST(1), those that have an exact definition (Linux 6.1,
//! `arch/x86/math-emu/fpu_trig.c`). Logarithms, exponentials and trigonometry are not here.

use super::control_w::{Control, DE, IE, PE, Rounding, SW_C0, SW_C2, SW_C3, ZE};
use super::fpu_reg::{Class, Num, Operand, Reg};
use super::fpu_system::SoftFpu;
use super::reg_arith::{Outcome, nan_result};
use super::reg_round::{Exact, Format, round, to_integer};

/// What is the same for a single operand: NaNs, and denormal numbers that are unmasked.
fn unary(a: Operand, cw: Control, f: impl FnOnce(Reg) -> Outcome) -> Outcome {
    match a.reg.class() {
        Class::Unsupported => return Outcome::INVALID,
        Class::SignallingNan => return Outcome::exact(a.reg.quieted()).and(IE),
        Class::QuietNan => return Outcome::exact(a.reg),
        Class::Zero | Class::Normal | Class::Denormal | Class::Infinity => {}
    }
    with_denormal(a.denormal, cw, || f(a.reg))
}

/// A result that depends on denormal numbers, unless they are unmasked. An invalid
/// operation is told alone.
fn with_denormal(denormal: bool, cw: Control, f: impl FnOnce() -> Outcome) -> Outcome {
    let flags = if denormal { DE } else { 0 };
    let o = f();
    if o.flags & (IE | ZE) != 0 {
        return o;
    }
    if cw.unmasked(flags) != 0 {
        return Outcome::exact(Reg::ZERO).and(flags);
    }
    o.and(flags)
}

/// `fsqrt`
fn sqrt(r: Reg, cw: Control) -> Outcome {
    let Some(n) = r.num() else {
        // -0 is its own root.
        return if r == Reg::infinity(true) { Outcome::INVALID } else { Outcome::exact(r) };
    };
    if n.negative {
        return Outcome::INVALID;
    }
    // sig * 2^(exp - 63) as square * 2^even.
    let shift = if n.exp % 2 == 0 { 63 } else { 64 };
    let square = u128::from(n.sig) << shift;
    let root = square.isqrt();
    let rest = square - root * root;
    // The bit behind the root: is the square above (root + 1/2)^2?
    let sig = root << 64 | u128::from(rest > root) << 63 | u128::from(rest != 0);
    let exp = (n.exp - 63 - shift) / 2 + 63;
    round(&Exact { negative: false, exp, sig }, &Format::register(cw.precision()), cw).into()
}

/// `frndint`
fn round_to_integer(r: Reg, cw: Control) -> Outcome {
    let Some((n, i)) = r.num().and_then(|n| Some((n, to_integer(n, cw.rounding())?))) else {
        return Outcome::exact(r);
    };
    // 2^64 is what the largest ones round up to, and has no bits in `magnitude`; but they
    // are integers.
    let value = Reg::from_integer(n.negative, i.magnitude);
    Outcome { value, flags: if i.inexact { PE } else { 0 }, up: i.up }
}

/// A remainder, and what the condition codes say about it.
struct Remainder {
    value: Outcome,
    /// The quotient's low bits; `None` if there is more to do.
    quotient: Option<u64>,
}

/// `sig * 2^(exp - 63)`, exact.
fn exact(negative: bool, exp: i32, sig: u128, cw: Control) -> Outcome {
    if sig == 0 {
        return Outcome::exact(Reg::zero(negative));
    }
    let shift = sig.leading_zeros();
    let x = Exact { negative, exp: exp + 64 - shift as i32, sig: sig << shift };
    round(&x, &Format::register(64), cw).into()
}

/// `fprem`, and `fprem1`, whose quotient is rounded to the nearest integer.
fn remainder(a: Reg, b: Reg, nearest: bool, cw: Control) -> Remainder {
    let (Some(x), Some(y)) = (a.num(), b.num()) else {
        let invalid = a.class() == Class::Infinity || b.class() == Class::Zero;
        let value = match a.num() {
            _ if invalid => Outcome::INVALID,
            Some(n) => round(&n.into(), &Format::register(64), cw).into(),
            None => Outcome::exact(a),
        };
        return Remainder { value, quotient: Some(0) };
    };
    let distance = x.exp - y.exp;
    if distance >= 64 {
        return partial_remainder(x, y, distance, cw);
    }
    if distance < -1 || distance == -1 && !nearest {
        let value = round(&x.into(), &Format::register(64), cw).into();
        return Remainder { value, quotient: Some(0) };
    }
    // In units of the smaller exponent.
    let (dividend, divisor, exp) = if distance < 0 {
        (u128::from(x.sig), u128::from(y.sig) << 1, x.exp)
    } else {
        (u128::from(x.sig) << distance, u128::from(y.sig), y.exp)
    };
    let (mut quotient, mut rest, mut negative) = (dividend / divisor, dividend % divisor, x.negative);
    if nearest && (2 * rest > divisor || 2 * rest == divisor && quotient & 1 == 1) {
        quotient += 1;
        rest = divisor - rest;
        negative = !negative;
    }
    Remainder { value: exact(negative, exp, rest, cw), quotient: Some(quotient as u64) }
}

/// One step of several: takes 32 to 63 bits off the distance.
fn partial_remainder(x: Num, y: Num, distance: i32, cw: Control) -> Remainder {
    let bits = 32 + distance % 32;
    let rest = (u128::from(x.sig) << bits) % u128::from(y.sig);
    Remainder { value: exact(x.negative, y.exp + distance - bits, rest, cw), quotient: None }
}

/// `fscale`: `a * 2^trunc(b)`
fn scale(a: Reg, b: Reg, cw: Control) -> Outcome {
    let minus = b.negative();
    match (a.class(), b.class()) {
        (Class::Zero, Class::Infinity) if !minus => return Outcome::INVALID,
        (Class::Infinity, Class::Infinity) if minus => return Outcome::INVALID,
        (_, Class::Infinity) if minus => return Outcome::exact(Reg::zero(a.negative())),
        (_, Class::Infinity) => return Outcome::exact(Reg::infinity(a.negative())),
        _ => {}
    }
    let Some(n) = a.num() else { return Outcome::exact(a) };
    // More than this makes anything overflow.
    const LIMIT: u64 = 1 << 18;
    let by = b.num().map_or(0, |b| to_integer(b, Rounding::Zero).map_or(LIMIT, |i| i.magnitude.min(LIMIT)));
    let by = if minus { -(by as i32) } else { by as i32 };
    round(&Num { exp: n.exp + by, ..n }.into(), &Format::register(64), cw).into()
}

impl SoftFpu {
    fn on_top(&mut self, f: impl FnOnce(Reg, Control) -> Outcome) {
        let cw = self.control();
        match self.operand(0) {
            Some(a) => {
                let o = unary(a, cw, |r| f(r, cw));
                self.write_result(0, o.value, o.flags, o.up);
            }
            None => {
                self.write_indefinite(0);
            }
        }
    }

    /// `fsqrt`
    pub(super) fn sqrt(&mut self) {
        self.on_top(sqrt);
    }

    /// `frndint`
    pub(super) fn round_to_integer(&mut self) {
        self.on_top(round_to_integer);
    }

    /// `fscale`
    pub(super) fn scale(&mut self) {
        let cw = self.control();
        let (Some(a), Some(b)) = (self.operand(0), self.operand(1)) else {
            self.write_indefinite(0);
            return;
        };
        let o = nan_result(a.reg, b.reg)
            .unwrap_or_else(|| with_denormal(a.denormal || b.denormal, cw, || scale(a.reg, b.reg, cw)));
        self.write_result(0, o.value, o.flags, o.up);
    }

    /// `fprem`, `fprem1`
    pub(super) fn remainder(&mut self, nearest: bool) {
        let cw = self.control();
        // Whatever happens, there is no more to do, unless it is said below.
        self.swd &= !SW_C2;
        let (Some(a), Some(b)) = (self.operand(0), self.operand(1)) else {
            self.write_indefinite(0);
            return;
        };
        let mut quotient = None;
        let o = nan_result(a.reg, b.reg).unwrap_or_else(|| {
            with_denormal(a.denormal || b.denormal, cw, || {
                let r = remainder(a.reg, b.reg, nearest, cw);
                quotient = Some(r.quotient);
                r.value
            })
        });
        if !self.write_result(0, o.value, o.flags, false) {
            return;
        }
        let Some(q) = quotient.filter(|_| o.flags & IE == 0) else { return };
        let bit = |n: u32, code: u16| if q.unwrap_or(0) >> n & 1 != 0 { code } else { 0 };
        let more = if q.is_none() { SW_C2 } else { 0 };
        self.set_condition(bit(2, SW_C0) | bit(1, SW_C3) | more);
        self.set_c1(q.unwrap_or(0) & 1 != 0);
    }

    /// `fxtract`: the exponent, and on top of it the significand.
    pub(super) fn extract(&mut self) {
        let Some(a) = self.operand(0) else {
            if self.write_indefinite(0) {
                self.push(Reg::INDEFINITE);
            }
            return;
        };
        if self.st(7).is_some() {
            if self.stack_fault(true) {
                self.set_st(0, Reg::INDEFINITE);
                self.push(Reg::INDEFINITE);
            }
            return;
        }
        let mut significand = Reg::INDEFINITE;
        let o = unary(a, self.control(), |r| {
            let (exponent, top, flags) = parts(r);
            significand = top;
            Outcome::exact(exponent).and(flags)
        });
        if matches!(a.reg.class(), Class::QuietNan | Class::SignallingNan) {
            significand = o.value;
        }
        if self.write_result(0, o.value, o.flags, false) {
            self.push(significand);
        }
    }
}

/// Exponent and significand.
fn parts(r: Reg) -> (Reg, Reg, u16) {
    match r.num() {
        Some(n) => {
            let exponent = Reg::from_integer(n.exp < 0, n.exp.unsigned_abs().into());
            (exponent, Reg { sig: n.sig, ..Reg::ONE }.with_sign(n.negative), 0)
        }
        None if r.class() == Class::Zero => (Reg::infinity(true), r, ZE),
        None => (Reg::infinity(false), r, 0),
    }
}
