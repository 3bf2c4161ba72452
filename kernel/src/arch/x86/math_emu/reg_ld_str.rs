// SPDX-License-Identifier: GPL-2.0-only
//! Between registers and the formats in memory (Linux 6.1,
//! `arch/x86/math-emu/reg_ld_str.c`).

use super::control_w::{Control, IE, PE, Rounding};
use super::fpu_reg::{BIAS, Class, Operand, Reg};
use super::fpu_system::{Machine, Memory, Stop};
use super::reg_round::{Format, round, to_integer};
use iced_x86::{Instruction, MemorySize};

/// A number as it goes to memory.
#[derive(Clone, Copy, Debug)]
pub struct Stored<T> {
    /// Its bits.
    pub bits: T,
    /// The exceptions.
    pub flags: u16,
    /// Rounded up.
    pub up: bool,
}

impl<T> Stored<T> {
    const fn exact(bits: T) -> Self {
        Self { bits, flags: 0, up: false }
    }
    const fn invalid(bits: T) -> Self {
        Self { bits, flags: IE, up: false }
    }
}

/// Bytes of the memory operand.
pub fn load<const N: usize>(memory: &mut dyn Memory) -> Result<[u8; N], Stop> {
    let mut bytes = [0; N];
    memory.load(&mut bytes)?;
    Ok(bytes)
}

/// The number that is an instruction's memory operand.
pub fn load_number(insn: &Instruction, m: &mut Machine<'_>) -> Result<Operand, Stop> {
    let signed = |v: i64| Reg::from_integer(v < 0, v.unsigned_abs()).into();
    Ok(match insn.memory_size() {
        MemorySize::Float32 => from_single(u32::from_le_bytes(load(m.memory)?)),
        MemorySize::Float64 => from_double(u64::from_le_bytes(load(m.memory)?)),
        // A copy, whatever it is.
        MemorySize::Float80 => Operand { reg: Reg::from_bytes(load(m.memory)?), denormal: false },
        MemorySize::Int16 => signed(i16::from_le_bytes(load(m.memory)?).into()),
        MemorySize::Int32 => signed(i32::from_le_bytes(load(m.memory)?).into()),
        MemorySize::Int64 => signed(i64::from_le_bytes(load(m.memory)?)),
        MemorySize::Bcd => Operand { reg: from_bcd(load(m.memory)?), denormal: false },
        _ => return Err(Stop::Unknown),
    })
}

/// A smaller format's number: sign, biased exponent, of `bias` and at most `max`, and its
/// fraction, topmost.
fn widen(negative: bool, exp: i32, bias: i32, max: i32, fraction: u64) -> Operand {
    let number = |exp: i32, sig: u64, denormal| Operand {
        reg: Reg { sig, se: (exp - bias + BIAS) as u16 }.with_sign(negative),
        denormal,
    };
    let sig = 1 << 63 | fraction >> 1;
    if exp == max {
        let reg = Reg { sig, se: 0x7fff }.with_sign(negative);
        Operand { reg, denormal: false }
    } else if exp != 0 {
        number(exp, sig, false)
    } else if fraction == 0 {
        Reg::zero(negative).into()
    } else {
        let shift = fraction.leading_zeros();
        number(-(shift as i32), fraction << shift, true)
    }
}

/// A `float`; a signalling NaN stays one.
pub fn from_single(v: u32) -> Operand {
    widen(v >> 31 != 0, (v >> 23 & 0xff) as i32, 127, 0xff, u64::from(v) << 41)
}

/// A `double`.
pub fn from_double(v: u64) -> Operand {
    widen(v >> 63 != 0, (v >> 52 & 0x7ff) as i32, 1023, 0x7ff, v << 12)
}

/// To a `float`.
pub fn to_single(r: Reg, cw: Control) -> Stored<u32> {
    let sign = u32::from(r.negative()) << 31;
    let special = |sig: u64| sign | 0x7f80_0000 | (sig >> 40) as u32 & 0x007f_ffff;
    match narrow(r, &Format::SINGLE, cw) {
        Narrow::Zero => Stored::exact(sign),
        Narrow::Special(sig, flags) => Stored { bits: special(sig), flags, up: false },
        Narrow::Unsupported => Stored::invalid(0xffc0_0000),
        Narrow::Rounded(n) => Stored { bits: n.single(), flags: n.flags, up: n.up },
    }
}

/// To a `double`.
pub fn to_double(r: Reg, cw: Control) -> Stored<u64> {
    let sign = u64::from(r.negative()) << 63;
    let special = |sig: u64| sign | 0x7ff0_0000_0000_0000 | sig >> 11 & 0x000f_ffff_ffff_ffff;
    match narrow(r, &Format::DOUBLE, cw) {
        Narrow::Zero => Stored::exact(sign),
        Narrow::Special(sig, flags) => Stored { bits: special(sig), flags, up: false },
        Narrow::Unsupported => Stored::invalid(0xfff8_0000_0000_0000),
        Narrow::Rounded(n) => Stored { bits: n.double(), flags: n.flags, up: n.up },
    }
}

/// What a register becomes in a smaller format.
enum Narrow {
    Zero,
    /// Infinity or a quiet NaN, with this significand.
    Special(u64, u16),
    Unsupported,
    Rounded(super::reg_round::Rounded),
}

fn narrow(r: Reg, format: &Format, cw: Control) -> Narrow {
    match (r.class(), r.num()) {
        (Class::Unsupported, _) => Narrow::Unsupported,
        (Class::SignallingNan, _) => Narrow::Special(r.quieted().sig, IE),
        (_, Some(n)) => Narrow::Rounded(round(&n.into(), format, cw)),
        (Class::Zero, None) => Narrow::Zero,
        (_, None) => Narrow::Special(r.sig, 0),
    }
}

/// To a signed integer of so many bits; one that does not fit becomes the smallest.
pub fn to_signed(r: Reg, bits: u32, rounding: Rounding) -> Stored<u64> {
    let indefinite = Stored::invalid(1 << (bits - 1));
    match (r.class(), r.num()) {
        (Class::Zero, _) => Stored::exact(0),
        (_, None) => indefinite,
        (_, Some(n)) => {
            let Some(i) = to_integer(n, rounding) else { return indefinite };
            let limit = (1 << (bits - 1)) - u64::from(!n.negative);
            if i.magnitude > limit {
                return indefinite;
            }
            let value = if n.negative { i.magnitude.wrapping_neg() } else { i.magnitude };
            Stored { bits: value, flags: if i.inexact { PE } else { 0 }, up: i.up }
        }
    }
}

/// The largest number of 18 digits.
const BCD_MAX: u64 = 999_999_999_999_999_999;
const BCD_INDEFINITE: [u8; 10] = [0, 0, 0, 0, 0, 0, 0, 0xc0, 0xff, 0xff];

/// To 18 decimal digits and a sign.
pub fn to_bcd(r: Reg, rounding: Rounding) -> Stored<[u8; 10]> {
    let mut out = [0; 10];
    if r.negative() {
        out[9] = 0x80;
    }
    let integer = match (r.class(), r.num()) {
        (Class::Zero, _) => return Stored::exact(out),
        (_, None) => None,
        (_, Some(n)) => to_integer(n, rounding).filter(|i| i.magnitude <= BCD_MAX),
    };
    let Some(i) = integer else { return Stored::invalid(BCD_INDEFINITE) };
    let mut left = i.magnitude;
    for byte in &mut out[..9] {
        *byte = (left % 10) as u8 | ((left / 10 % 10) << 4) as u8;
        left /= 100;
    }
    Stored { bits: out, flags: if i.inexact { PE } else { 0 }, up: i.up }
}

/// From 18 decimal digits and a sign.
fn from_bcd(b: [u8; 10]) -> Reg {
    let digits = b[..9].iter().rev().flat_map(|byte| [byte >> 4, byte & 15]);
    let magnitude = digits.fold(0u64, |n, d| n.wrapping_mul(10).wrapping_add(d.into()));
    Reg::from_integer(b[9] & 0x80 != 0, magnitude)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CW: Control = Control(0x37f);

    #[test]
    fn doubles_there_and_back() {
        for v in [0.0, -0.0, 1.5, -1e300, 5e-324, 1e-310, f64::INFINITY] {
            let s = to_double(from_double(v.to_bits()).reg, CW);
            assert_eq!((s.bits, s.flags), (v.to_bits(), 0), "{v}");
        }
        assert!(from_double(1).denormal && !from_double(0).denormal);
    }

    #[test]
    fn integers_that_do_not_fit() {
        let r = Reg::from_integer(false, 0x8000);
        assert_eq!(
            (to_signed(r, 16, Rounding::Nearest).bits, to_signed(r, 16, Rounding::Nearest).flags),
            (0x8000, IE)
        );
        assert_eq!(to_signed(r.negated(), 16, Rounding::Nearest).flags, 0);
        assert_eq!(to_signed(r, 32, Rounding::Nearest).bits, 0x8000);
    }

    #[test]
    fn decimals() {
        let r = Reg::from_integer(true, 1_234_567);
        let s = to_bcd(r, Rounding::Nearest);
        assert_eq!(s.bits, [0x67, 0x45, 0x23, 0x01, 0, 0, 0, 0, 0, 0x80]);
        assert_eq!(from_bcd(s.bits), r);
        assert_eq!(to_bcd(Reg::from_integer(false, BCD_MAX + 1), Rounding::Nearest).flags, IE);
    }
}
