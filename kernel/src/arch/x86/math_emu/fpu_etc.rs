// SPDX-License-Identifier: GPL-2.0-only
//! Signs and kinds of numbers (Linux 6.1, `arch/x86/math-emu/fpu_etc.c`).

use super::control_w::{SW_C0, SW_C2, SW_C3};
use super::fpu_reg::{Class, Reg};
use super::fpu_system::SoftFpu;

impl SoftFpu {
    /// `fchs`, `fabs`: any bits have a sign.
    pub(super) fn change_sign(&mut self, change: impl FnOnce(Reg) -> Reg) {
        match self.st(0) {
            Some(r) => {
                self.write_result(0, change(r), 0, false);
            }
            None => {
                self.write_indefinite(0);
            }
        }
    }

    /// `fxam`: what ST(0) is. An empty register has a sign, too.
    pub(super) fn examine(&mut self) {
        let codes = match self.st(0).map(Reg::class) {
            None => SW_C3 | SW_C0,
            Some(Class::Unsupported) => 0,
            Some(Class::QuietNan | Class::SignallingNan) => SW_C0,
            Some(Class::Normal) => SW_C2,
            Some(Class::Infinity) => SW_C2 | SW_C0,
            Some(Class::Zero) => SW_C3,
            Some(Class::Denormal) => SW_C3 | SW_C2,
        };
        self.set_condition(codes);
        self.set_c1(self.st_bits(0).negative());
    }
}
