// SPDX-License-Identifier: GPL-2.0-only
//! From an exact result to one that fits: rounding, overflow, underflow (Linux 6.1,
//! `arch/x86/math-emu/reg_round.S`; Intel SDM 1, 8.5.4 to 8.5.6).

use super::control_w::{Control, OE, PE, Rounding, UE};
use super::fpu_reg::{BIAS, Num, Reg};

/// A result with more bits than fit: `sig * 2^(exp - 127)`, the top bit of `sig` set, its
/// lowest bit set also if there was more below it.
#[derive(Clone, Copy, Debug)]
pub struct Exact {
    /// The sign.
    pub negative: bool,
    /// The exponent of the top bit.
    pub exp: i32,
    /// The significand.
    pub sig: u128,
}

impl From<Num> for Exact {
    fn from(n: Num) -> Self {
        Self { negative: n.negative, exp: n.exp, sig: u128::from(n.sig) << 64 }
    }
}

/// What a number must fit into.
#[derive(Clone, Copy, Debug)]
pub struct Format {
    precision: u32,
    min_exp: i32,
    max_exp: i32,
}

impl Format {
    /// A register, of whose significand so many bits are used.
    pub const fn register(precision: u32) -> Self {
        Self { precision, min_exp: 1 - BIAS, max_exp: BIAS }
    }
    /// `float`.
    pub const SINGLE: Self = Self { precision: 24, min_exp: -126, max_exp: 127 };
    /// `double`.
    pub const DOUBLE: Self = Self { precision: 53, min_exp: -1022, max_exp: 1023 };
}

/// What an unmasked overflow or underflow changes the exponent by, to bring it in range.
const SCALE: i32 = 24576;

/// A number that fits.
#[derive(Clone, Copy, Debug)]
pub struct Rounded {
    negative: bool,
    /// As stored: biased.
    exp: i32,
    /// The top bit is the integer bit.
    sig: u64,
    /// The exceptions on the way.
    pub flags: u16,
    /// Its magnitude is larger than the exact one's.
    pub up: bool,
}

/// The top bits of a significand, as they round.
struct Cut {
    sig: u64,
    carry: bool,
    inexact: bool,
    up: bool,
}

fn cut(sig: u128, precision: u32, negative: bool, rounding: Rounding) -> Cut {
    const HALF: u128 = 1 << 127;
    let (kept, rest) = (sig >> (128 - precision), sig << precision);
    let up = match rounding {
        Rounding::Nearest => rest > HALF || rest == HALF && kept & 1 == 1,
        Rounding::Down => negative && rest != 0,
        Rounding::Up => !negative && rest != 0,
        Rounding::Zero => false,
    };
    let kept = kept + u128::from(up);
    let carry = kept >> precision != 0;
    // After a carry only the top bit is set.
    let sig = if carry { 1 << 63 } else { (kept << (64 - precision)) as u64 };
    Cut { sig, carry, inexact: rest != 0, up }
}

/// Shifts right; what falls off is still seen in the lowest bit.
fn shift_right_sticky(sig: u128, by: u32) -> u128 {
    if by >= 128 {
        return 1;
    }
    sig >> by | u128::from(sig & ((1 << by) - 1) != 0)
}

/// Rounds a result to a format.
pub fn round(x: &Exact, format: &Format, cw: Control) -> Rounded {
    let Format { precision, min_exp, max_exp } = *format;
    let c = cut(x.sig, precision, x.negative, cw.rounding());
    let exp = x.exp + i32::from(c.carry);
    let inexact = if c.inexact { PE } else { 0 };
    let done = |exp: i32, flags| Rounded {
        negative: x.negative,
        exp: exp - min_exp + 1,
        sig: c.sig,
        flags: flags | inexact,
        up: c.up,
    };
    if exp > max_exp {
        let scaled = exp - SCALE;
        return match cw.unmasked(OE) != 0 {
            true if scaled <= max_exp => done(scaled, OE),
            // `fscale` can be that far off.
            true => Rounded { sig: 1 << 63, up: true, ..done(max_exp + 1, OE | PE) },
            false => overflow(x.negative, format, cw),
        };
    }
    // Tiny is what is too small once it has been rounded.
    if exp < min_exp {
        let scaled = exp + SCALE;
        return match cw.unmasked(UE) != 0 {
            true if scaled >= min_exp => done(scaled, UE),
            true => Rounded { sig: 0, up: false, ..done(min_exp - 1, UE | PE) },
            false => underflow(x, format, cw),
        };
    }
    done(exp, 0)
}

/// Infinity or the largest number.
fn overflow(negative: bool, format: &Format, cw: Control) -> Rounded {
    let up = match cw.rounding() {
        Rounding::Nearest => true,
        Rounding::Down => negative,
        Rounding::Up => !negative,
        Rounding::Zero => false,
    };
    let largest = format.max_exp - format.min_exp + 1;
    let (exp, sig) = if up { (largest + 1, 1 << 63) } else { (largest, !0 << (64 - format.precision)) };
    Rounded { negative, exp, sig, flags: OE | PE, up }
}

/// A denormal number, zero, or the smallest normal number.
fn underflow(x: &Exact, format: &Format, cw: Control) -> Rounded {
    let sig = shift_right_sticky(x.sig, (format.min_exp - x.exp) as u32);
    let c = cut(sig, format.precision, x.negative, cw.rounding());
    let flags = if c.inexact { UE | PE } else { 0 };
    let exp = i32::from(c.sig >> 63 != 0);
    Rounded { negative: x.negative, exp, sig: c.sig, flags, up: c.up }
}

impl Rounded {
    /// As a register.
    pub fn reg(&self) -> Reg {
        Reg { sig: self.sig, se: self.exp as u16 }.with_sign(self.negative)
    }
    /// As a `float`.
    pub fn single(&self) -> u32 {
        u32::from(self.negative) << 31 | (self.exp as u32) << 23 | (self.sig >> 40) as u32 & 0x007f_ffff
    }
    /// As a `double`.
    pub fn double(&self) -> u64 {
        u64::from(self.negative) << 63 | (self.exp as u64) << 52 | self.sig >> 11 & 0x000f_ffff_ffff_ffff
    }
}

/// What becomes of a significand without its fraction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Integer {
    /// The magnitude.
    pub magnitude: u64,
    /// There was a fraction.
    pub inexact: bool,
    /// The magnitude is larger than the number's.
    pub up: bool,
}

/// Rounds to an integer, of up to 64 bits; `None` if it has more.
pub fn to_integer(n: Num, rounding: Rounding) -> Option<Integer> {
    if n.exp > 63 {
        return None;
    }
    // The units are bit 64.
    let fixed = shift_right_sticky(u128::from(n.sig) << 64, (63 - n.exp) as u32);
    let (whole, rest) = ((fixed >> 64) as u64, fixed as u64);
    let up = match rounding {
        Rounding::Nearest => rest > 1 << 63 || rest == 1 << 63 && whole & 1 == 1,
        Rounding::Down => n.negative && rest != 0,
        Rounding::Up => !n.negative && rest != 0,
        Rounding::Zero => false,
    };
    let magnitude = whole.checked_add(u64::from(up))?;
    Some(Integer { magnitude, inexact: rest != 0, up })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEAREST: Control = Control(0x37f);

    fn exact(exp: i32, sig: u128) -> Exact {
        Exact { negative: false, exp, sig }
    }

    #[test]
    fn ties_go_to_even() {
        let one = 1u128 << 127;
        let half_ulp = 1u128 << 63;
        let r = round(&exact(0, one | half_ulp), &Format::register(64), NEAREST);
        assert_eq!((r.reg(), r.flags, r.up), (Reg::ONE, PE, false));
        let r = round(&exact(0, one | half_ulp | 1), &Format::register(64), NEAREST);
        assert_eq!((r.reg().sig, r.up), (1 << 63 | 1, true));
    }

    #[test]
    fn the_largest_and_the_smallest() {
        let all = u128::MAX;
        let r = round(&exact(16383, all), &Format::register(64), NEAREST);
        assert_eq!((r.reg(), r.flags, r.up), (Reg::infinity(false), OE | PE, true));
        let r = round(&exact(16384, all), &Format::register(53), Control(0xe7f));
        assert_eq!((r.reg().sig, r.reg().se, r.flags), (!0 << 11, 0x7ffe, OE | PE));
        // Rounding makes it the smallest normal number, which is not tiny.
        let r = round(&exact(-16383, all), &Format::register(64), NEAREST);
        assert_eq!((r.reg(), r.flags), (Reg { sig: 1 << 63, se: 1 }, PE));
        let r = round(&exact(-16383, 1 << 127), &Format::register(64), NEAREST);
        assert_eq!((r.reg(), r.flags), (Reg { sig: 1 << 62, se: 0 }, 0));
        // Unmasked, underflow is told of even an exact result, which comes scaled.
        let r = round(&exact(-16383, 1 << 127), &Format::register(64), Control(0x36f));
        assert_eq!((r.reg().se, r.flags), ((24576 - 16383 + BIAS) as u16, UE));
    }

    #[test]
    fn to_memory_formats() {
        let third = Exact { negative: true, exp: -2, sig: (u128::MAX / 3 * 2) | 1 };
        assert_eq!(round(&third, &Format::DOUBLE, NEAREST).double(), (-1.0f64 / 3.0).to_bits());
        assert_eq!(round(&third, &Format::SINGLE, NEAREST).single(), (-1.0f32 / 3.0).to_bits());
        assert_eq!(round(&exact(-149, 1 << 127), &Format::SINGLE, NEAREST).single(), 1);
    }

    #[test]
    fn integers() {
        let n = |exp, sig| Num { negative: false, exp, sig };
        let two_and_half = n(1, 5 << 61);
        assert_eq!(
            to_integer(two_and_half, Rounding::Nearest),
            Some(Integer { magnitude: 2, inexact: true, up: false })
        );
        assert_eq!(
            to_integer(two_and_half, Rounding::Up),
            Some(Integer { magnitude: 3, inexact: true, up: true })
        );
        assert_eq!(
            to_integer(n(-200, 1 << 63), Rounding::Up),
            Some(Integer { magnitude: 1, inexact: true, up: true })
        );
        assert_eq!(
            to_integer(n(63, u64::MAX), Rounding::Zero),
            Some(Integer { magnitude: u64::MAX, inexact: false, up: false })
        );
        assert_eq!(to_integer(n(64, 1 << 63), Rounding::Zero), None);
    }
}
