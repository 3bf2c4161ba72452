// SPDX-License-Identifier: GPL-2.0-only
//! The instructions that calculate and compare (Linux 6.1, `arch/x86/math-emu/fpu_arith.c`,
//! `reg_compare.c`).

use super::control_w::STACK_FAULT;
use super::fpu_reg::{Operand, Reg};
use super::fpu_system::{Machine, SoftFpu, Stop};
use super::reg_arith::{Op, arith};
use super::reg_compare::{compare, condition_codes};
use super::reg_ld_str::load_number;
use crate::arch::x86::ptrace::eflags::{AF, CF, OF, PF, SF, ZF};
use core::cmp::Ordering;
use iced_x86::{Instruction, OpKind, Register};

/// The register ST(i) that an operand is.
pub fn st_index(insn: &Instruction, operand: u32) -> usize {
    (insn.op_register(operand) as usize).wrapping_sub(Register::ST0 as usize) % 8
}

/// Whether the instruction has an operand in memory.
pub fn has_memory(insn: &Instruction) -> bool {
    insn.op_count() > 0 && insn.op0_kind() == OpKind::Memory
}

/// A comparison.
#[derive(Clone, Copy, Debug)]
pub struct Comparison {
    /// Quiet NaNs are no exception.
    pub quiet: bool,
    /// Registers to take off the stack.
    pub pops: usize,
    /// The answer goes to EFLAGS, not to the condition codes.
    pub to_eflags: bool,
}

impl SoftFpu {
    /// `dest = dest op source`, or, reversed, `source op dest`.
    pub(super) fn arith(
        &mut self,
        insn: &Instruction,
        m: &mut Machine<'_>,
        op: Op,
        reversed: bool,
        pop: bool,
    ) -> Result<(), Stop> {
        let (dest, source) = if has_memory(insn) {
            (0, Some(load_number(insn, m)?))
        } else {
            (st_index(insn, 0), self.operand(st_index(insn, 1)))
        };
        let written = match (self.operand(dest), source) {
            (Some(a), Some(b)) => {
                let o =
                    if reversed { arith(op, b, a, self.control()) } else { arith(op, a, b, self.control()) };
                self.write_result(dest, o.value, o.flags, o.up)
            }
            _ => self.write_indefinite(dest),
        };
        if written && pop {
            self.pop();
        }
        Ok(())
    }

    /// Writes a result, unless one of its exceptions prevents it.
    pub(super) fn write_result(&mut self, dest: usize, value: Reg, flags: u16, up: bool) -> bool {
        let write = self.finish(flags, up);
        if write {
            self.set_st(dest, value);
        }
        write
    }

    /// An operand was missing.
    pub(super) fn write_indefinite(&mut self, dest: usize) -> bool {
        let write = self.stack_fault(false);
        if write {
            self.set_st(dest, Reg::INDEFINITE);
        }
        write
    }

    /// Compares ST(0).
    pub(super) fn compare(
        &mut self,
        insn: &Instruction,
        m: &mut Machine<'_>,
        how: Comparison,
    ) -> Result<(), Stop> {
        let other = if has_memory(insn) {
            Some(load_number(insn, m)?)
        } else {
            // `fcompp` and `fucompp` do not name their operands.
            self.operand(if insn.op_count() == 0 { 1 } else { st_index(insn, insn.op_count() - 1) })
        };
        self.compare_with(other, m, how);
        Ok(())
    }

    /// Compares ST(0) with zero.
    pub(super) fn ftst(&mut self, m: &mut Machine<'_>) {
        let how = Comparison { quiet: false, pops: 0, to_eflags: false };
        self.compare_with(Some(Reg::ZERO.into()), m, how);
    }

    fn compare_with(&mut self, other: Option<Operand>, m: &mut Machine<'_>, how: Comparison) {
        let (order, flags) = match (self.operand(0), other) {
            (Some(a), Some(b)) => compare(a, b, how.quiet),
            _ => (None, STACK_FAULT),
        };
        // The answer is given also if an exception is unmasked; the stack stays then.
        let goes_on = if how.to_eflags {
            m.flags = m.flags & !(OF | SF | ZF | AF | PF | CF) | eflags_of(order);
            // C1 is left alone, unless it is to say which end of the stack it was.
            let c1 = self.c1() && flags & STACK_FAULT != STACK_FAULT;
            self.finish(flags, c1)
        } else {
            self.set_condition(condition_codes(order));
            self.finish(flags, false)
        };
        if goes_on {
            (0..how.pops).for_each(|_| self.pop());
        }
    }
}

/// How `fcomi` tells an order.
const fn eflags_of(order: Option<Ordering>) -> u64 {
    match order {
        Some(Ordering::Greater) => 0,
        Some(Ordering::Less) => CF,
        Some(Ordering::Equal) => ZF,
        None => ZF | PF | CF,
    }
}
