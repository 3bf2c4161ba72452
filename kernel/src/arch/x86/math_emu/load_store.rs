// SPDX-License-Identifier: GPL-2.0-only
//! Loads and stores, of numbers and of the FPU's whole state (Linux 6.1,
//! `arch/x86/math-emu/load_store.c`).

use super::control_w::{EXCEPTIONS, IE, OE, PE, Rounding, UE};
use super::fpu_arith::{has_memory, st_index};
use super::fpu_reg::{Class, Operand, Reg};
use super::fpu_system::{Machine, SoftFpu, Stop};
use super::reg_ld_str::{load, load_number, to_bcd, to_double, to_signed, to_single};
use crate::arch::x86::kernel::fpu::regset::Fsave;
use iced_x86::{Instruction, MemorySize};
use zerocopy::{FromBytes, IntoBytes};

/// Bytes of an environment, and of FSAVE's whole image.
const ENV: usize = 28;
const STATE: usize = size_of::<Fsave>();

/// What a store puts into memory.
struct Image {
    bytes: [u8; 10],
    len: usize,
    flags: u16,
    up: bool,
}

impl SoftFpu {
    /// `fld`, `fild`, `fbld`
    pub(super) fn load_operand(&mut self, insn: &Instruction, m: &mut Machine<'_>) -> Result<(), Stop> {
        if has_memory(insn) {
            let Operand { reg, denormal } = load_number(insn, m)?;
            let is_copy = insn.memory_size() == MemorySize::Float80;
            let (value, flags) = if is_copy { (reg, 0) } else { loaded(reg, denormal) };
            self.load(value, flags);
            return Ok(());
        }
        match self.st(st_index(insn, 0)) {
            Some(value) => self.load(value, 0),
            None => {
                if self.stack_fault(false) {
                    self.push(Reg::INDEFINITE);
                }
            }
        }
        Ok(())
    }

    /// `fst`, `fstp` to a register
    fn store_register(&mut self, i: usize) -> bool {
        match self.st(0) {
            Some(value) => self.write_result(i, value, 0, false),
            None => self.write_indefinite(i),
        }
    }

    /// `fst`, `fist`, `fbstp`, and those that pop; `rounding` for integers.
    pub(super) fn store_operand(
        &mut self,
        insn: &Instruction,
        m: &mut Machine<'_>,
        rounding: Rounding,
        pop: bool,
    ) -> Result<(), Stop> {
        let stored = if has_memory(insn) {
            self.store_memory(insn.memory_size(), m, rounding)?
        } else {
            self.store_register(st_index(insn, 0))
        };
        if stored && pop {
            self.pop();
        }
        Ok(())
    }

    fn store_memory(
        &mut self,
        size: MemorySize,
        m: &mut Machine<'_>,
        rounding: Rounding,
    ) -> Result<bool, Stop> {
        let value = self.st(0);
        // An empty register is stored as a NaN is.
        let image = self.image(size, value.unwrap_or(Reg::INDEFINITE), rounding)?;
        let stored = if value.is_none() {
            self.stack_fault(false)
        } else {
            // Unmasked, these leave memory alone, too: there is no rounded result then.
            let unstorable = self.control().unmasked(image.flags & (OE | UE));
            let flags = if unstorable != 0 { image.flags & !PE } else { image.flags };
            self.finish(flags, image.up && unstorable == 0) && unstorable == 0
        };
        if stored {
            m.memory.store(&image.bytes[..image.len])?;
        }
        Ok(stored)
    }

    fn image(&self, size: MemorySize, r: Reg, rounding: Rounding) -> Result<Image, Stop> {
        let mut bytes = [0; 10];
        let (len, flags, up) = match size {
            MemorySize::Float32 => {
                let s = to_single(r, self.control());
                bytes[..4].copy_from_slice(&s.bits.to_le_bytes());
                (4, s.flags, s.up)
            }
            MemorySize::Float64 => {
                let s = to_double(r, self.control());
                bytes[..8].copy_from_slice(&s.bits.to_le_bytes());
                (8, s.flags, s.up)
            }
            MemorySize::Float80 => {
                bytes = r.to_bytes();
                (10, 0, false)
            }
            MemorySize::Bcd => {
                let s = to_bcd(r, rounding);
                bytes = s.bits;
                (10, s.flags, s.up)
            }
            _ => {
                let len = match size {
                    MemorySize::Int16 => 2,
                    MemorySize::Int32 => 4,
                    MemorySize::Int64 => 8,
                    _ => return Err(Stop::Unknown),
                };
                let s = to_signed(r, len * 8, rounding);
                bytes[..8].copy_from_slice(&s.bits.to_le_bytes());
                (len as usize, s.flags, s.up)
            }
        };
        Ok(Image { bytes, len, flags, up })
    }

    /// The state as FSAVE has it. Selectors are not told any more, as on current CPUs.
    fn fsave_image(&self) -> Fsave {
        let mut f = self.to_fxsave().to_fsave(0, 0);
        f.fcs |= u32::from(self.fop) << 16;
        f.fos |= 0xffff_0000;
        f
    }

    /// `fnstenv`: then all exceptions are masked.
    pub(super) fn store_environment(&mut self, insn: &Instruction, m: &mut Machine<'_>) -> Result<(), Stop> {
        let f = self.fsave_image();
        match insn.memory_size() {
            MemorySize::FpuEnv14 => m.memory.store(&env_16bit(&f))?,
            _ => m.memory.store(&f.as_bytes()[..ENV])?,
        }
        self.set_control(self.cwd | EXCEPTIONS);
        Ok(())
    }

    /// `fnsave`: then the FPU is as new.
    pub(super) fn store_state(&mut self, insn: &Instruction, m: &mut Machine<'_>) -> Result<(), Stop> {
        let f = self.fsave_image();
        if insn.memory_size() == MemorySize::FpuState94 {
            let mut b = [0; STATE - ENV + 14];
            b[..14].copy_from_slice(&env_16bit(&f));
            b[14..].copy_from_slice(&f.as_bytes()[ENV..]);
            m.memory.store(&b)?;
        } else {
            m.memory.store(f.as_bytes())?;
        }
        self.init();
        Ok(())
    }

    /// `fldenv`: the registers stay what they are.
    pub(super) fn load_environment(&mut self, insn: &Instruction, m: &mut Machine<'_>) -> Result<(), Stop> {
        let mut f = self.fsave_image();
        if insn.memory_size() == MemorySize::FpuEnv14 {
            take_env_16bit(&mut f, &load::<14>(m.memory)?);
        } else {
            f.as_mut_bytes()[..ENV].copy_from_slice(&load::<ENV>(m.memory)?);
        }
        // The image has them in the stack's order, which may be another one now.
        let top = |swd: u32| (swd >> 11 & 7) as usize;
        let turn = top(f.swd) + 8 - top(u32::from(self.swd));
        f.st = core::array::from_fn(|i| f.st[(i + turn) % 8]);
        self.take_fsave(&f);
        Ok(())
    }

    /// `frstor`
    pub(super) fn load_state(&mut self, insn: &Instruction, m: &mut Machine<'_>) -> Result<(), Stop> {
        let f = if insn.memory_size() == MemorySize::FpuState94 {
            let b = load::<{ STATE - ENV + 14 }>(m.memory)?;
            let mut f = self.fsave_image();
            let (env, registers) = b.split_at(14);
            take_env_16bit(&mut f, env);
            f.as_mut_bytes()[ENV..].copy_from_slice(registers);
            f
        } else {
            let Ok(f) = Fsave::read_from_bytes(&load::<STATE>(m.memory)?) else { return Err(Stop::Unknown) };
            f
        };
        self.take_fsave(&f);
        Ok(())
    }

    fn take_fsave(&mut self, f: &Fsave) {
        let mut fx = self.to_fxsave();
        fx.take_fsave(f);
        *self = Self::from_x87(&fx.x87());
    }
}

/// What `fld` makes of a number of another format: a signalling NaN does not get in.
fn loaded(reg: Reg, denormal: bool) -> (Reg, u16) {
    match reg.class() {
        Class::SignallingNan => (reg.quieted(), IE),
        _ => (reg, if denormal { super::control_w::DE } else { 0 }),
    }
}

/// The environment as 16-bit protected mode has it.
fn env_16bit(f: &Fsave) -> [u8; 14] {
    let words = [f.cwd, f.swd, f.twd, f.fip, f.fcs, f.foo, f.fos];
    let mut b = [0; 14];
    for (to, w) in b.chunks_exact_mut(2).zip(words) {
        to.copy_from_slice(&(w as u16).to_le_bytes());
    }
    b
}

fn take_env_16bit(f: &mut Fsave, b: &[u8]) {
    let fields = [&mut f.cwd, &mut f.swd, &mut f.twd, &mut f.fip, &mut f.fcs, &mut f.foo, &mut f.fos];
    for (field, w) in fields.into_iter().zip(b.chunks_exact(2)) {
        *field = u16::from_le_bytes([w[0], w[1]]).into();
    }
}
