// SPDX-License-Identifier: GPL-2.0-only
//! From #NM to the instruction and back (Linux 6.1, `arch/x86/math-emu/fpu_entry.c`).

use super::control_w::Rounding;
use super::fpu_arith::{Comparison, has_memory};
use super::fpu_reg::Reg;
use super::fpu_system::{Machine, Memory, SoftFpu, Stop};
use super::reg_arith::Op;
use super::reg_constant::{L2E, L2T, LG2, LN2, PI};
use crate::arch::x86::kernel::fpu::regset::Fsave;
use crate::arch::x86::kernel::traps::{
    do_general_protection, do_invalid_op, do_soft_coprocessor_error, emulation_failed, end_emulated_step,
};
use crate::arch::x86::lib::insn_eval::{
    MAX_INSN_SIZE, addr_ref, code_bits, decode_from_regs, effective_ip, ends_early, fetch_from_user,
    opcode_of,
};
use crate::arch::x86::lib::usercopy::{TASK_SIZE_MAX, copy_from_user_partial, copy_to_user_partial};
use crate::arch::x86::mm::fault::{exc_page_fault, pf};
use crate::arch::x86::ptrace::PtRegs;
use crate::arch::x86::ptrace::eflags::{CF, PF, ZF};
use crate::kernel::printk::ratelimit;
use crate::kernel::task::current;
use crate::lib::ratelimit::Ratelimit;
use iced_x86::{Instruction, Mnemonic};

/// What the emulator is called with (`struct math_emu_info`).
pub struct MathEmuInfo<'a> {
    /// The registers of the task that used the FPU.
    pub regs: &'a PtRegs,
}

/// Instructions that do not wait for an exception to be reported, but for `fwait`.
const fn no_wait(mnemonic: Mnemonic) -> bool {
    matches!(
        mnemonic,
        Mnemonic::Fninit
            | Mnemonic::Fnclex
            | Mnemonic::Fnstsw
            | Mnemonic::Fnstcw
            | Mnemonic::Fnstenv
            | Mnemonic::Fnsave
            | Mnemonic::Fneni
            | Mnemonic::Fndisi
            | Mnemonic::Fnsetpm
    )
}

/// Instructions that are about the FPU's state: they leave no address behind.
const fn is_control(mnemonic: Mnemonic) -> bool {
    no_wait(mnemonic)
        || matches!(mnemonic, Mnemonic::Fldcw | Mnemonic::Fldenv | Mnemonic::Frstor | Mnemonic::Wait)
}

impl SoftFpu {
    /// Carries an instruction out. If it cannot be, the state is as before.
    pub fn execute(&mut self, insn: &Instruction, m: &mut Machine<'_>) -> Result<(), Stop> {
        if self.pending() && !no_wait(insn.mnemonic()) {
            return Err(Stop::Pending);
        }
        let mut next = self.clone();
        next.dispatch(insn, m)?;
        *self = next;
        Ok(())
    }

    fn dispatch(&mut self, insn: &Instruction, m: &mut Machine<'_>) -> Result<(), Stop> {
        match insn.mnemonic() {
            Mnemonic::Fadd | Mnemonic::Fiadd => self.arith(insn, m, Op::Add, false, false),
            Mnemonic::Faddp => self.arith(insn, m, Op::Add, false, true),
            Mnemonic::Fsub | Mnemonic::Fisub => self.arith(insn, m, Op::Sub, false, false),
            Mnemonic::Fsubp => self.arith(insn, m, Op::Sub, false, true),
            Mnemonic::Fsubr | Mnemonic::Fisubr => self.arith(insn, m, Op::Sub, true, false),
            Mnemonic::Fsubrp => self.arith(insn, m, Op::Sub, true, true),
            Mnemonic::Fmul | Mnemonic::Fimul => self.arith(insn, m, Op::Mul, false, false),
            Mnemonic::Fmulp => self.arith(insn, m, Op::Mul, false, true),
            Mnemonic::Fdiv | Mnemonic::Fidiv => self.arith(insn, m, Op::Div, false, false),
            Mnemonic::Fdivp => self.arith(insn, m, Op::Div, false, true),
            Mnemonic::Fdivr | Mnemonic::Fidivr => self.arith(insn, m, Op::Div, true, false),
            Mnemonic::Fdivrp => self.arith(insn, m, Op::Div, true, true),
            Mnemonic::Fld | Mnemonic::Fild | Mnemonic::Fbld => self.load_operand(insn, m),
            Mnemonic::Fst | Mnemonic::Fist => self.store_operand(insn, m, self.control().rounding(), false),
            Mnemonic::Fstp | Mnemonic::Fistp | Mnemonic::Fbstp => {
                self.store_operand(insn, m, self.control().rounding(), true)
            }
            Mnemonic::Fisttp => self.store_operand(insn, m, Rounding::Zero, true),
            _ => self.dispatch_compare(insn, m),
        }
    }

    fn dispatch_compare(&mut self, insn: &Instruction, m: &mut Machine<'_>) -> Result<(), Stop> {
        let (quiet, pops, to_eflags) = match insn.mnemonic() {
            Mnemonic::Fcom | Mnemonic::Ficom => (false, 0, false),
            Mnemonic::Fcomp | Mnemonic::Ficomp => (false, 1, false),
            Mnemonic::Fcompp => (false, 2, false),
            Mnemonic::Fucom => (true, 0, false),
            Mnemonic::Fucomp => (true, 1, false),
            Mnemonic::Fucompp => (true, 2, false),
            Mnemonic::Fcomi => (false, 0, true),
            Mnemonic::Fcomip => (false, 1, true),
            Mnemonic::Fucomi => (true, 0, true),
            Mnemonic::Fucomip => (true, 1, true),
            _ => return self.dispatch_state(insn, m),
        };
        self.compare(insn, m, Comparison { quiet, pops, to_eflags })
    }

    fn dispatch_state(&mut self, insn: &Instruction, m: &mut Machine<'_>) -> Result<(), Stop> {
        match insn.mnemonic() {
            Mnemonic::Fnstsw => self.store_status(insn, m),
            Mnemonic::Fnstcw => m.memory.store(&self.cwd.to_le_bytes()),
            Mnemonic::Fldcw => self.load_control(m),
            Mnemonic::Fnstenv => self.store_environment(insn, m),
            Mnemonic::Fnsave => self.store_state(insn, m),
            Mnemonic::Fldenv => self.load_environment(insn, m),
            Mnemonic::Frstor => self.load_state(insn, m),
            _ => self.dispatch_registers(insn, m),
        }
    }

    /// Those that have no memory operand.
    fn dispatch_registers(&mut self, insn: &Instruction, m: &mut Machine<'_>) -> Result<(), Stop> {
        let rounding = self.control().rounding();
        let (carry, zero, parity) = (m.flags & CF != 0, m.flags & ZF != 0, m.flags & PF != 0);
        match insn.mnemonic() {
            Mnemonic::Fld1 => self.load(Reg::ONE, 0),
            Mnemonic::Fldz => self.load(Reg::ZERO, 0),
            Mnemonic::Fldpi => self.load(PI.rounded(rounding), 0),
            Mnemonic::Fldl2t => self.load(L2T.rounded(rounding), 0),
            Mnemonic::Fldl2e => self.load(L2E.rounded(rounding), 0),
            Mnemonic::Fldlg2 => self.load(LG2.rounded(rounding), 0),
            Mnemonic::Fldln2 => self.load(LN2.rounded(rounding), 0),
            Mnemonic::Fchs => self.change_sign(Reg::negated),
            Mnemonic::Fabs => self.change_sign(|r| r.with_sign(false)),
            Mnemonic::Ftst => self.ftst(m),
            Mnemonic::Fxam => self.examine(),
            Mnemonic::Fsqrt => self.sqrt(),
            Mnemonic::Frndint => self.round_to_integer(),
            Mnemonic::Fscale => self.scale(),
            Mnemonic::Fxtract => self.extract(),
            Mnemonic::Fprem => self.remainder(false),
            Mnemonic::Fprem1 => self.remainder(true),
            Mnemonic::Fxch => self.exchange(insn),
            Mnemonic::Ffree => self.ffree(insn),
            Mnemonic::Ffreep => {
                self.ffree(insn);
                self.pop();
            }
            Mnemonic::Fincstp => self.turn_only(1),
            Mnemonic::Fdecstp => self.turn_only(7),
            Mnemonic::Fcmovb => self.move_if(insn, carry),
            Mnemonic::Fcmove => self.move_if(insn, zero),
            Mnemonic::Fcmovbe => self.move_if(insn, carry || zero),
            Mnemonic::Fcmovu => self.move_if(insn, parity),
            Mnemonic::Fcmovnb => self.move_if(insn, !carry),
            Mnemonic::Fcmovne => self.move_if(insn, !zero),
            Mnemonic::Fcmovnbe => self.move_if(insn, !carry && !zero),
            Mnemonic::Fcmovnu => self.move_if(insn, !parity),
            Mnemonic::Fninit => self.init(),
            Mnemonic::Fnclex => self.clear_exceptions(),
            Mnemonic::Fnop | Mnemonic::Wait | Mnemonic::Fneni | Mnemonic::Fndisi | Mnemonic::Fnsetpm => {}
            _ => return Err(Stop::Unknown),
        }
        Ok(())
    }
}

/// A memory operand of the running task's.
struct UserOperand(u64);

/// How many of `len` bytes at `addr` lie in user space, if some do and some do not. No copy is
/// begun then, so that it does not say where it faults.
const fn part_in_user_space(addr: u64, len: usize) -> Option<usize> {
    match (TASK_SIZE_MAX as u64).checked_sub(addr) {
        Some(room @ 1..) if room < len as u64 => Some(room as usize),
        _ => None,
    }
}

impl UserOperand {
    /// What an access to `len` bytes ends with of which the last `left` could not be copied.
    fn result(&self, len: usize, left: usize, write: bool) -> Result<(), Stop> {
        match left {
            0 => Ok(()),
            _ => Err(Stop::Fault { addr: self.0 + (len - left) as u64, write }),
        }
    }
}

impl Memory for UserOperand {
    fn load(&mut self, to: &mut [u8]) -> Result<(), Stop> {
        let len = to.len();
        let part = part_in_user_space(self.0, len).unwrap_or(len);
        let left = copy_from_user_partial(&mut to[..part], self.0 as usize);
        self.result(len, left + len - part, false)
    }
    fn store(&mut self, from: &[u8]) -> Result<(), Stop> {
        let len = from.len();
        if let Some(part) = part_in_user_space(self.0, len) {
            // It will not be stored: the first page may fault before the end of user space does.
            let mut there = [0; MAX_OPERAND];
            let left = copy_from_user_partial(&mut there[..part.min(MAX_OPERAND)], self.0 as usize);
            return self.result(len, left + len - part, true);
        }
        self.result(len, copy_to_user_partial(self.0 as usize, from), true)
    }
}

/// The largest operand: FSAVE's.
const MAX_OPERAND: usize = size_of::<Fsave>();

/// Whether the bytes end before the instruction does.
fn is_cut_off(regs: &PtRegs, bytes: &[u8]) -> bool {
    bytes.len() < MAX_INSN_SIZE && ends_early(regs, bytes)
}

/// The opcode as FSAVE has it: three bits of the first byte, and the second.
fn opcode(bytes: &[u8]) -> u16 {
    let first = bytes.iter().position(|b| b & 0xf8 == 0xd8).unwrap_or(0);
    let byte = |i: usize| u16::from(bytes.get(i).copied().unwrap_or(0));
    (byte(first) & 7) << 8 | byte(first + 1)
}

/// Emulates the instruction. On success `regs` are those behind it.
fn emulate(regs: &PtRegs, bytes: &[u8]) -> Result<(), Stop> {
    // CR0.EM makes MMX and SSE invalid. QEMU's TCG looks at CR0.TS first.
    if matches!(opcode_of(bytes), Some((0x0f, second)) if second != Some(0xae)) {
        return Err(Stop::Invalid);
    }
    let insn = decode_from_regs(regs, bytes).ok_or(Stop::Unknown)?;
    let bits = code_bits(regs).ok_or(Stop::Unknown)?;
    let addr = if has_memory(&insn) { addr_ref(&insn, 0, regs, bits).ok_or(Stop::Segment)? } else { 0 };
    let mut operand = UserOperand(addr);
    let cur = current();
    let fpu_image = &cur.thread().fpu;
    let mut fpu = fpu_image.soft();
    let mut m = Machine { flags: regs.flags.get(), ax: regs.ax.get(), memory: &mut operand };
    fpu.execute(&insn, &mut m)?;
    let Machine { flags, ax, .. } = m;
    regs.flags.set(flags);
    regs.ax.set(ax);
    if !is_control(insn.mnemonic()) {
        (fpu.fop, fpu.fip) = (opcode(&bytes[..insn.len()]), regs.ip.get());
        if has_memory(&insn) {
            fpu.fdp = addr;
        }
    }
    fpu_image.set_soft(&fpu);
    regs.ip.set(regs.ip.get().wrapping_add(insn.len() as u64));
    if bits != 64 {
        regs.ip.update(|v| v & 0xffff_ffff);
    }
    Ok(())
}

static RATELIMIT: Ratelimit = Ratelimit::new(5000, 10);

/// Whether the CPU's page tables could have such an address.
const fn is_canonical(addr: u64) -> bool {
    (addr << 16).cast_signed() >> 16 == addr.cast_signed()
}

/// Says which instruction it was.
fn log_unknown(regs: &PtRegs, bytes: &[u8]) {
    if !ratelimit(&RATELIMIT, "math_emulate") {
        return;
    }
    let (cur, comm) = (current(), current().comm());
    let name = crate::kernel::panic::Comm(&comm);
    crate::pr_info!("math_emulate: {name}[{}] ip:{:x}: no emulation of", cur.pid(), regs.ip.get());
    for b in &bytes[..bytes.len().min(8)] {
        crate::pr_cont!(" {b:02x}");
    }
    crate::pr_cont!("\n");
}

/// The FPU that user mode wanted to use is not there: does what it would have done.
#[cold]
pub fn math_emulate(info: &mut MathEmuInfo<'_>) {
    // If its segment is gone, the CPU will find that out by itself.
    let (Some(ip), Some(bytes)) = (effective_ip(info.regs), fetch_from_user(info.regs)) else { return };
    if is_cut_off(info.regs, &bytes) {
        // The CPU has read it, but the kernel cannot: it is not there any more, or only to be run.
        let addr = ip.wrapping_add(bytes.len() as u64);
        return exc_page_fault(info.regs, pf::USER, addr);
    }
    match emulate(info.regs, &bytes) {
        Ok(()) => end_emulated_step(info.regs),
        Err(Stop::Pending) => do_soft_coprocessor_error(info.regs, current().thread().fpu.soft().words()),
        Err(Stop::Invalid) => do_invalid_op(info.regs, 0),
        Err(Stop::Segment) => do_general_protection(info.regs, 0),
        Err(Stop::Fault { addr, .. }) if !is_canonical(addr) => do_general_protection(info.regs, 0),
        Err(Stop::Fault { addr, write }) => {
            exc_page_fault(info.regs, pf::USER | if write { pf::WRITE } else { 0 }, addr);
        }
        Err(Stop::Unknown) => {
            log_unknown(info.regs, &bytes);
            emulation_failed();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operands_may_cross_the_end_of_user_space() {
        let end = TASK_SIZE_MAX as u64;
        assert_eq!(part_in_user_space(end - 4, 8), Some(4));
        assert_eq!(part_in_user_space(end - 1, 2), Some(1));
        assert_eq!(part_in_user_space(end - 8, 8), None);
        assert_eq!(part_in_user_space(end, 8), None);
        assert_eq!(part_in_user_space(u64::MAX, 8), None);
    }
}
