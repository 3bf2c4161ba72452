// SPDX-License-Identifier: GPL-2.0-only
//! Instructions that move registers and control words (Linux 6.1,
//! `arch/x86/math-emu/fpu_aux.c`).

use super::control_w::{EXCEPTIONS, SF, SW_BACKWARD, SW_SUMMARY};
use super::fpu_arith::{has_memory, st_index};
use super::fpu_reg::Reg;
use super::fpu_system::{Machine, SoftFpu, Stop};
use iced_x86::Instruction;

impl SoftFpu {
    /// `fnclex`
    pub(super) fn clear_exceptions(&mut self) {
        self.swd &= !(EXCEPTIONS | SF | SW_SUMMARY | SW_BACKWARD);
    }

    /// `fnstsw`
    pub(super) fn store_status(&self, insn: &Instruction, m: &mut Machine<'_>) -> Result<(), Stop> {
        if has_memory(insn) {
            return m.memory.store(&self.swd.to_le_bytes());
        }
        m.ax = m.ax & !0xffff | u64::from(self.swd);
        Ok(())
    }

    /// `fldcw`
    pub(super) fn load_control(&mut self, m: &mut Machine<'_>) -> Result<(), Stop> {
        let mut word = [0; 2];
        m.memory.load(&mut word)?;
        self.set_control(u16::from_le_bytes(word));
        Ok(())
    }

    /// `fxch`
    pub(super) fn exchange(&mut self, insn: &Instruction) {
        let i = st_index(insn, 1);
        let (a, b) = (self.st(0), self.st(i));
        let goes_on =
            if a.is_some() && b.is_some() { self.finish(0, false) } else { self.stack_fault(false) };
        if goes_on {
            self.set_st(0, b.unwrap_or(Reg::INDEFINITE));
            self.set_st(i, a.unwrap_or(Reg::INDEFINITE));
        }
    }

    /// `ffree`
    pub(super) fn ffree(&mut self, insn: &Instruction) {
        self.free(st_index(insn, 0));
        self.set_c1(false);
    }

    /// `fincstp`, `fdecstp`
    pub(super) fn turn_only(&mut self, by: usize) {
        self.set_c1(false);
        self.turn(by);
    }

    /// `fcmovCC`
    pub(super) fn move_if(&mut self, insn: &Instruction, condition: bool) {
        match (self.st(0), self.st(st_index(insn, 1))) {
            (Some(_), Some(value)) if condition => self.set_st(0, value),
            (Some(_), Some(_)) => {}
            _ => {
                self.write_indefinite(0);
            }
        }
    }
}
