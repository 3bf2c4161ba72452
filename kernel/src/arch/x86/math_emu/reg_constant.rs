// SPDX-License-Identifier: GPL-2.0-only
//! The constants that have an instruction (Linux 6.1, `arch/x86/math-emu/reg_constant.c`).

use super::control_w::Rounding;
use super::fpu_reg::Reg;

/// A positive constant whose bits behind the 64th are not zero: cut off, and whether the
/// nearest number is the next one.
#[derive(Clone, Copy, Debug)]
pub struct Constant {
    cut: Reg,
    nearest_is_up: bool,
}

const fn constant(se: u16, sig: u64, nearest_is_up: bool) -> Constant {
    Constant { cut: Reg { sig, se }, nearest_is_up }
}

/// log2(10)
pub const L2T: Constant = constant(0x4000, 0xd49a_784b_cd1b_8afe, false);
/// log2(e)
pub const L2E: Constant = constant(0x3fff, 0xb8aa_3b29_5c17_f0bb, true);
/// pi
pub const PI: Constant = constant(0x4000, 0xc90f_daa2_2168_c234, true);
/// log10(2)
pub const LG2: Constant = constant(0x3ffd, 0x9a20_9a84_fbcf_f798, true);
/// ln(2)
pub const LN2: Constant = constant(0x3ffe, 0xb172_17f7_d1cf_79ab, true);

impl Constant {
    /// Rounded.
    pub const fn rounded(self, rounding: Rounding) -> Reg {
        let up = match rounding {
            Rounding::Nearest => self.nearest_is_up,
            Rounding::Up => true,
            Rounding::Down | Rounding::Zero => false,
        };
        Reg { sig: self.cut.sig + up as u64, ..self.cut }
    }
}
