// SPDX-License-Identifier: GPL-2.0-only
//! The x87 control and status words (Linux 6.1, `arch/x86/math-emu/control_w.h`,
//! `status_w.h`).

/// Invalid operation.
pub const IE: u16 = 1 << 0;
/// Denormal operand.
pub const DE: u16 = 1 << 1;
/// Division by zero.
pub const ZE: u16 = 1 << 2;
/// Overflow.
pub const OE: u16 = 1 << 3;
/// Underflow.
pub const UE: u16 = 1 << 4;
/// The result is inexact.
pub const PE: u16 = 1 << 5;
/// With [`IE`]: it was the register stack.
pub const SF: u16 = 1 << 6;
/// Both.
pub const STACK_FAULT: u16 = IE | SF;
/// The exceptions, as bits of the status word and, masking them, of the control word.
pub const EXCEPTIONS: u16 = IE | DE | ZE | OE | UE | PE;
/// Exceptions that are found before there is a result: unmasked, they leave the operands.
pub const BEFORE_RESULT: u16 = IE | DE | ZE;

/// An unmasked exception is pending.
pub const SW_SUMMARY: u16 = 1 << 7;
/// Once "busy", now a copy of [`SW_SUMMARY`].
pub const SW_BACKWARD: u16 = 1 << 15;
/// Condition code 0.
pub const SW_C0: u16 = 1 << 8;
/// Condition code 1: rounded up; a stack overflow; a sign.
pub const SW_C1: u16 = 1 << 9;
/// Condition code 2.
pub const SW_C2: u16 = 1 << 10;
/// Condition code 3.
pub const SW_C3: u16 = 1 << 14;
/// The register that is the stack's top.
pub const SW_TOP: u16 = 7 << 11;
/// Where it begins.
pub const SW_TOP_SHIFT: u16 = 11;

/// Which way to round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// To the nearest; to the even one of two.
    Nearest,
    /// Towards minus infinity.
    Down,
    /// Towards plus infinity.
    Up,
    /// Towards zero.
    Zero,
}

/// A control word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Control(pub u16);

impl Control {
    /// What `fldcw` makes of a word: bits without meaning are fixed.
    pub const fn loaded(word: u16) -> Self {
        Self(word & 0x1f3f | 0x40)
    }
    /// The direction of rounding.
    pub const fn rounding(self) -> Rounding {
        match self.0 >> 10 & 3 {
            0 => Rounding::Nearest,
            1 => Rounding::Down,
            2 => Rounding::Up,
            _ => Rounding::Zero,
        }
    }
    /// Bits that a result of `+ - * / sqrt` has (the reserved setting means all of them).
    pub const fn precision(self) -> u32 {
        match self.0 >> 8 & 3 {
            0 => 24,
            2 => 53,
            _ => 64,
        }
    }
    /// Those of some exceptions that are not masked.
    pub const fn unmasked(self, exceptions: u16) -> u16 {
        exceptions & EXCEPTIONS & !self.0
    }
}
