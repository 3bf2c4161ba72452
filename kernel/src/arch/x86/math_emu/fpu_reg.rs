// SPDX-License-Identifier: GPL-2.0-only
//! A number in an x87 register (Linux 6.1, `arch/x86/math-emu/fpu_emu.h`, `FPU_REG`).

/// What is added to an exponent to store it.
pub const BIAS: i32 = 0x3fff;
const SIGN: u16 = 0x8000;
const EXP_MAX: u16 = 0x7fff;
const INTEGER_BIT: u64 = 1 << 63;
const QUIET_BIT: u64 = 1 << 62;

/// The 80 bits of a register.
#[must_use]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reg {
    /// The significand, its integer bit on top.
    pub sig: u64,
    /// Sign and biased exponent.
    pub se: u16,
}

/// What kind of number it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Zero, of either sign.
    Zero,
    /// An ordinary number.
    Normal,
    /// One with the smallest exponent (with the integer bit set, a "pseudo-denormal").
    Denormal,
    /// Infinity.
    Infinity,
    /// A quiet NaN.
    QuietNan,
    /// A signalling NaN.
    SignallingNan,
    /// What only the 8087 knew: the integer bit is missing.
    Unsupported,
}

/// A finite number that is not zero, taken apart: `sig * 2^(exp - 63)`, the top bit of
/// `sig` set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Num {
    /// The sign.
    pub negative: bool,
    /// The exponent of the top bit.
    pub exp: i32,
    /// The significand.
    pub sig: u64,
}

impl Reg {
    /// +0.
    pub const ZERO: Self = Self { sig: 0, se: 0 };
    /// 1.
    pub const ONE: Self = Self { sig: INTEGER_BIT, se: 0x3fff };
    /// The NaN that stands for "no answer".
    pub const INDEFINITE: Self = Self { sig: INTEGER_BIT | QUIET_BIT, se: SIGN | EXP_MAX };

    /// Zero with a sign.
    pub const fn zero(negative: bool) -> Self {
        Self::ZERO.with_sign(negative)
    }
    /// Infinity with a sign.
    pub const fn infinity(negative: bool) -> Self {
        Self { sig: INTEGER_BIT, se: EXP_MAX }.with_sign(negative)
    }
    /// From memory.
    pub fn from_bytes(b: [u8; 10]) -> Self {
        let (mut sig, mut se) = ([0; 8], [0; 2]);
        sig.copy_from_slice(&b[..8]);
        se.copy_from_slice(&b[8..]);
        Self { sig: u64::from_le_bytes(sig), se: u16::from_le_bytes(se) }
    }
    /// To memory.
    pub fn to_bytes(self) -> [u8; 10] {
        let mut b = [0; 10];
        b[..8].copy_from_slice(&self.sig.to_le_bytes());
        b[8..].copy_from_slice(&self.se.to_le_bytes());
        b
    }
    /// An integer: exact.
    pub const fn from_integer(negative: bool, magnitude: u64) -> Self {
        if magnitude == 0 {
            return Self::zero(negative);
        }
        let shift = magnitude.leading_zeros();
        Self { sig: magnitude << shift, se: (BIAS + 63 - shift as i32) as u16 }.with_sign(negative)
    }
    /// Whether the sign bit is set.
    pub const fn negative(self) -> bool {
        self.se & SIGN != 0
    }
    /// The same with another sign.
    pub const fn with_sign(self, negative: bool) -> Self {
        Self { se: self.se & !SIGN | if negative { SIGN } else { 0 }, ..self }
    }
    /// With the sign turned.
    pub const fn negated(self) -> Self {
        Self { se: self.se ^ SIGN, ..self }
    }
    /// A NaN that does not signal.
    pub const fn quieted(self) -> Self {
        Self { sig: self.sig | QUIET_BIT, ..self }
    }
    /// Its kind.
    pub const fn class(self) -> Class {
        match (self.se & EXP_MAX, self.sig & INTEGER_BIT != 0) {
            (0, _) if self.sig == 0 => Class::Zero,
            (0, _) => Class::Denormal,
            (_, false) => Class::Unsupported,
            (EXP_MAX, _) if self.sig << 1 == 0 => Class::Infinity,
            (EXP_MAX, _) if self.sig & QUIET_BIT != 0 => Class::QuietNan,
            (EXP_MAX, _) => Class::SignallingNan,
            _ => Class::Normal,
        }
    }
    /// Taken apart, if it is finite and not zero.
    pub const fn num(self) -> Option<Num> {
        match self.class() {
            Class::Normal | Class::Denormal => {
                let biased = self.se & EXP_MAX;
                let exp = if biased == 0 { 1 } else { biased as i32 } - BIAS;
                let shift = self.sig.leading_zeros();
                Some(Num { negative: self.negative(), exp: exp - shift as i32, sig: self.sig << shift })
            }
            _ => None,
        }
    }
}

/// A number that an instruction works with. One that comes from a smaller format is no
/// denormal number any more, but counts as one.
#[derive(Clone, Copy, Debug)]
pub struct Operand {
    /// The number.
    pub reg: Reg,
    /// Whether it is, or was, denormal.
    pub denormal: bool,
}

impl From<Reg> for Operand {
    fn from(reg: Reg) -> Self {
        Self { reg, denormal: matches!(reg.class(), Class::Denormal) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes() {
        let class = |se, sig| Reg { sig, se }.class();
        assert_eq!(class(0x8000, 0), Class::Zero);
        assert_eq!(class(0x3fff, 1 << 63), Class::Normal);
        assert_eq!((class(0, 1), class(0, 1 << 63)), (Class::Denormal, Class::Denormal));
        assert_eq!(
            (class(1, 1), class(0x7fff, 0), class(0x7fff, 1)),
            (Class::Unsupported, Class::Unsupported, Class::Unsupported)
        );
        assert_eq!(class(0xffff, 1 << 63), Class::Infinity);
        assert_eq!(class(0x7fff, 3 << 62), Class::QuietNan);
        assert_eq!(class(0x7fff, 1 << 63 | 1), Class::SignallingNan);
    }

    #[test]
    fn integers_and_bytes() {
        assert_eq!(Reg::from_integer(false, 1), Reg::ONE);
        assert_eq!(Reg::from_integer(true, 3), Reg { sig: 3 << 62, se: 0xc000 });
        assert_eq!(Reg::from_bytes(Reg::INDEFINITE.to_bytes()), Reg::INDEFINITE);
        assert_eq!(Reg { sig: 1, se: 0 }.num(), Some(Num { negative: false, exp: -16445, sig: 1 << 63 }));
    }
}
