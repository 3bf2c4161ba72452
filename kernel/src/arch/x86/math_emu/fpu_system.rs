// SPDX-License-Identifier: GPL-2.0-only
//! The soft FPU: registers, their stack, exceptions (Linux 6.1,
//! `arch/x86/math-emu/fpu_system.h`, `errors.c`).

use super::control_w::{
    BEFORE_RESULT, Control, EXCEPTIONS, IE, STACK_FAULT, SW_BACKWARD, SW_C0, SW_C1, SW_C2, SW_C3, SW_SUMMARY,
    SW_TOP, SW_TOP_SHIFT,
};
use super::fpu_reg::{Operand, Reg};
use crate::arch::x86::kernel::fpu::core::FCW_INIT;
use crate::arch::x86::kernel::fpu::regset::{Fxsave, X87};

/// Why an instruction could not be carried out. Nothing has changed then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// An unmasked exception of an earlier one is to be reported first.
    Pending,
    /// Its operand is in a segment that is none.
    Segment,
    /// Its operand, at this address, cannot be read, or written.
    Fault {
        /// The first byte that cannot.
        addr: u64,
        /// Written?
        write: bool,
    },
    /// It is no instruction of the FPU's.
    Invalid,
    /// It is none of those that are emulated.
    Unknown,
}

/// The memory operand of an instruction.
pub trait Memory {
    /// Reads it.
    fn load(&mut self, to: &mut [u8]) -> Result<(), Stop>;
    /// Writes it.
    fn store(&mut self, from: &[u8]) -> Result<(), Stop>;
}

/// What instructions reach besides the FPU.
pub struct Machine<'a> {
    /// EFLAGS.
    pub flags: u64,
    /// RAX.
    pub ax: u64,
    /// The memory operand.
    pub memory: &'a mut dyn Memory,
}

/// The state of the FPU that is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SoftFpu {
    /// The control word.
    pub(super) cwd: u16,
    /// The status word.
    pub(super) swd: u16,
    /// A bit for each physical register that holds a number.
    pub(super) tags: u8,
    /// The last instruction's opcode.
    pub fop: u16,
    /// Its address.
    pub fip: u64,
    /// Its operand's.
    pub fdp: u64,
    /// The physical registers.
    regs: [Reg; 8],
}

impl SoftFpu {
    /// As `fninit` leaves it; registers keep what they hold.
    pub(super) fn init(&mut self) {
        *self = Self { cwd: FCW_INIT, swd: 0, tags: 0, fop: 0, fip: 0, fdp: 0, regs: self.regs };
    }

    /// From an FXSAVE image. Any bits are some state.
    pub fn from_x87(x: &X87) -> Self {
        let mut fpu = Self {
            cwd: Control::loaded(x.cwd).0,
            swd: x.swd,
            tags: x.tags,
            fop: x.fop & 0x7ff,
            fip: x.fip,
            fdp: x.fdp,
            regs: [Reg::ZERO; 8],
        };
        for i in 0..8 {
            fpu.regs[fpu.physical(i)] = Reg::from_bytes(x.st[i]);
        }
        fpu.update_summary();
        fpu
    }

    /// As FXSAVE would store it.
    pub fn to_x87(&self) -> X87 {
        X87 {
            cwd: self.cwd,
            swd: self.swd,
            tags: self.tags,
            fop: self.fop,
            fip: self.fip,
            fdp: self.fdp,
            st: core::array::from_fn(|i| self.regs[self.physical(i)].to_bytes()),
        }
    }

    /// An FXSAVE image with nothing but this state.
    pub(super) fn to_fxsave(&self) -> Fxsave {
        let mut fx = Fxsave::EMPTY;
        fx.set_x87(&self.to_x87());
        fx
    }

    fn top(&self) -> usize {
        usize::from((self.swd & SW_TOP) >> SW_TOP_SHIFT)
    }
    /// Turns the stack by so many registers.
    pub(super) fn turn(&mut self, by: usize) {
        let top = (self.top() + by) % 8;
        self.swd = self.swd & !SW_TOP | (top as u16) << SW_TOP_SHIFT;
    }
    fn physical(&self, i: usize) -> usize {
        (self.top() + i) % 8
    }
    /// ST(i), if it holds a number.
    pub(super) fn st(&self, i: usize) -> Option<Reg> {
        let p = self.physical(i);
        (self.tags >> p & 1 != 0).then(|| self.regs[p])
    }
    /// ST(i) as an operand.
    pub(super) fn operand(&self, i: usize) -> Option<Operand> {
        self.st(i).map(Operand::from)
    }
    /// What is in ST(i), also if it counts as empty.
    pub(super) fn st_bits(&self, i: usize) -> Reg {
        self.regs[self.physical(i)]
    }
    /// Puts a number into ST(i).
    pub(super) fn set_st(&mut self, i: usize, value: Reg) {
        let p = self.physical(i);
        self.regs[p] = value;
        self.tags |= 1 << p;
    }
    /// Makes ST(i) empty.
    pub(super) fn free(&mut self, i: usize) {
        self.tags &= !(1 << self.physical(i));
    }
    /// Takes the top of the stack away.
    pub(super) fn pop(&mut self) {
        self.free(0);
        self.turn(1);
    }
    /// Puts a number on top.
    pub(super) fn push(&mut self, value: Reg) {
        self.turn(7);
        self.set_st(0, value);
    }
    /// Puts a loaded number on top, if there is room and no exception against it.
    pub(super) fn load(&mut self, value: Reg, flags: u16) {
        if self.st(7).is_some() {
            if self.stack_fault(true) {
                self.push(Reg::INDEFINITE);
            }
        } else {
            self.finish(flags, false);
            // A denormal number gets in even if it is unmasked.
            if self.control().unmasked(flags & IE) == 0 {
                self.push(value);
            }
        }
    }

    /// The control word.
    pub(super) fn control(&self) -> Control {
        Control(self.cwd)
    }
    /// Sets the control word.
    pub(super) fn set_control(&mut self, word: u16) {
        self.cwd = Control::loaded(word).0;
        self.update_summary();
    }
    /// An unmasked exception is pending.
    pub fn pending(&self) -> bool {
        self.swd & SW_SUMMARY != 0
    }
    /// The status and control words.
    pub fn words(&self) -> (u16, u16) {
        (self.swd, self.cwd)
    }
    /// Whether an exception is pending follows from the others and the mask.
    pub(super) fn update_summary(&mut self) {
        let both = SW_SUMMARY | SW_BACKWARD;
        let pending = self.control().unmasked(self.swd & EXCEPTIONS) != 0;
        self.swd = self.swd & !both | if pending { both } else { 0 };
    }
    /// Condition code 1.
    pub(super) fn c1(&self) -> bool {
        self.swd & SW_C1 != 0
    }
    /// Sets condition code 1.
    pub(super) fn set_c1(&mut self, on: bool) {
        self.swd = self.swd & !SW_C1 | if on { SW_C1 } else { 0 };
    }
    /// Sets the other condition codes.
    pub(super) fn set_condition(&mut self, codes: u16) {
        self.swd = self.swd & !(SW_C0 | SW_C2 | SW_C3) | codes;
    }
    /// Records an instruction's exceptions. Returns whether it may write its result to a
    /// register.
    pub(super) fn finish(&mut self, flags: u16, up: bool) -> bool {
        self.set_c1(up);
        self.swd |= flags;
        self.update_summary();
        self.control().unmasked(flags & BEFORE_RESULT) == 0
    }
    /// Records that a register was empty, or (`overflow`) not. Returns whether the
    /// instruction goes on, with [`Reg::INDEFINITE`] (`FPU_stack_underflow`,
    /// `FPU_stack_overflow`).
    pub(super) fn stack_fault(&mut self, overflow: bool) -> bool {
        self.finish(STACK_FAULT, overflow)
    }
}
