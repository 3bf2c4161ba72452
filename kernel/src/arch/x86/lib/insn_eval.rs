// SPDX-License-Identifier: GPL-2.0-only
//! What an instruction of user mode's means: its bytes, and the addresses that it forms
//! (Linux 6.1, `arch/x86/lib/insn-eval.c`). Decoding is `iced-x86`'s.

use crate::arch::x86::kernel::ldt::{TI_LDT, UserDesc};
use crate::arch::x86::kernel::process_64::Thread;
use crate::arch::x86::lib::usercopy::{TASK_SIZE_MAX, copy_from_user_partial};
use crate::arch::x86::ptrace::PtRegs;
use crate::arch::x86::segment::{GDT_ENTRY_TLS_MIN, USER_CS, USER_DS, USER32_CS};
use crate::kernel::task::{Task, current};
use core::cell::Cell;
use iced_x86::{Decoder, DecoderError, DecoderOptions, Instruction, Register};

/// Longest instruction (`MAX_INSN_SIZE`).
pub const MAX_INSN_SIZE: usize = 15;

/// The descriptor behind a selector that programs can make: of the LDT or of the three
/// thread-local ones.
fn program_descriptor(selector: u16) -> Option<u64> {
    let cur = current();
    descriptor_of(&cur, cur.thread(), selector)
}

/// The same for any task, whose architecture state is `thread`.
pub fn descriptor_of(task: &Task, thread: &Thread, selector: u16) -> Option<u64> {
    if selector & TI_LDT != 0 {
        return task.get_mm()?.ldt.descriptor(selector);
    }
    let n = usize::from(selector >> 3).checked_sub(GDT_ENTRY_TLS_MIN)?;
    Some(thread.tls.get(n)?.get())
}

/// The base of the segment that `selector` names; `None` if it names none
/// (`get_seg_base_limit`).
fn selector_base(selector: u16) -> Option<u64> {
    match selector | 3 {
        USER_CS | USER32_CS | USER_DS => Some(0),
        3 => None,
        s => program_descriptor(s).map(|d| u64::from(UserDesc::from_descriptor(0, d).base_addr)),
    }
}

/// How wide the code at `regs` is: 64, 32 or 16 bits (`insn_get_code_seg_params`).
pub fn code_bits(regs: &PtRegs) -> Option<u32> {
    match regs.cs.get() as u16 {
        USER_CS => Some(64),
        USER32_CS => Some(32),
        s => program_descriptor(s).map(|d| if UserDesc::from_descriptor(0, d).seg_32bit() { 32 } else { 16 }),
    }
}

/// Where the instruction at `regs` is (`insn_get_effective_ip`).
pub fn effective_ip(regs: &PtRegs) -> Option<u64> {
    let base = if code_bits(regs)? == 64 { 0 } else { selector_base(regs.cs.get() as u16)? };
    Some(base.wrapping_add(regs.ip.get()))
}

/// The bytes at `regs`, as many as there are (`insn_fetch_from_user`).
pub fn fetch_from_user(regs: &PtRegs) -> Option<arrayvec::ArrayVec<u8, MAX_INSN_SIZE>> {
    let mut bytes = arrayvec::ArrayVec::from([0; MAX_INSN_SIZE]);
    let ip = effective_ip(regs)? as usize;
    // No copy is begun that would cross the end of user space.
    bytes.truncate(TASK_SIZE_MAX.saturating_sub(ip));
    let left = copy_from_user_partial(&mut bytes, ip);
    bytes.truncate(bytes.len() - left);
    Some(bytes)
}

/// The opcode, behind prefixes: one byte, or two if the first is 0f.
pub fn opcode_of(bytes: &[u8]) -> Option<(u8, Option<u8>)> {
    let prefix =
        |b: u8| matches!(b, 0x26 | 0x2e | 0x36 | 0x3e | 0x40..=0x4f | 0x64..=0x67 | 0xf0 | 0xf2 | 0xf3);
    let at = bytes.iter().position(|&b| !prefix(b))?;
    let second = if bytes[at] == 0x0f { Some(*bytes.get(at + 1)?) } else { None };
    Some((bytes[at], second))
}

/// Decodes the instruction whose bytes were fetched at `regs` (`insn_decode_from_regs`);
/// `None` if it is none.
pub fn decode_from_regs(regs: &PtRegs, bytes: &[u8]) -> Option<Instruction> {
    decode_with(regs, bytes, DecoderOptions::MPX)
}

fn decode_with(regs: &PtRegs, bytes: &[u8], options: u32) -> Option<Instruction> {
    let insn = Decoder::with_ip(code_bits(regs)?, bytes, regs.ip.get(), options).decode();
    (!insn.is_invalid()).then_some(insn)
}

/// The same, also of one that a LOCK prefix makes invalid: Linux's decoder does not look at that, and
/// QEMU raises the #GP of the instruction without it.
pub fn decode_any_from_regs(regs: &PtRegs, bytes: &[u8]) -> Option<Instruction> {
    decode_with(regs, bytes, DecoderOptions::MPX | DecoderOptions::NO_INVALID_CHECK)
}

/// Whether the bytes fetched at `regs` end before their instruction does.
pub fn ends_early(regs: &PtRegs, bytes: &[u8]) -> bool {
    let Some(bits) = code_bits(regs) else { return false };
    let mut decoder = Decoder::with_ip(bits, bytes, regs.ip.get(), DecoderOptions::MPX);
    let _ = decoder.decode();
    decoder.last_error() == DecoderError::NoMoreBytes
}

/// The base that a segment register adds, for the running task.
fn segment_base(regs: &PtRegs, segment: Register, bits: u32) -> Option<u64> {
    use crate::arch::x86::kernel::process_64::segments;
    if bits == 64 {
        return Some(match segment {
            Register::FS => segments::fsbase(),
            Register::GS => segments::gsbase(),
            _ => 0,
        });
    }
    let t = segments::selectors();
    match segment {
        Register::CS => selector_base(regs.cs.get() as u16),
        Register::SS => selector_base(regs.ss.get() as u16),
        Register::DS => selector_base(t.ds),
        Register::ES => selector_base(t.es),
        Register::FS => selector_base(t.fs),
        Register::GS => selector_base(t.gs),
        _ => None,
    }
}

/// The user register that a register number of 0 to 15 names.
pub fn gpr(regs: &PtRegs, n: usize) -> Option<&Cell<u64>> {
    Some(match n {
        0 => &regs.ax,
        1 => &regs.cx,
        2 => &regs.dx,
        3 => &regs.bx,
        4 => &regs.sp,
        5 => &regs.bp,
        6 => &regs.si,
        7 => &regs.di,
        8 => &regs.r8,
        9 => &regs.r9,
        10 => &regs.r10,
        11 => &regs.r11,
        12 => &regs.r12,
        13 => &regs.r13,
        14 => &regs.r14,
        15 => &regs.r15,
        _ => return None,
    })
}

/// The number of a general register of 16, 32 or 64 bits, and the bits that it has.
pub fn gpr_of(register: Register) -> Option<(usize, u64)> {
    let banks = [(Register::AX, 0xffff), (Register::EAX, 0xffff_ffff), (Register::RAX, u64::MAX)];
    banks.iter().find_map(|&(first, mask)| {
        let n = (register as usize).checked_sub(first as usize)?;
        (n < 16).then_some((n, mask))
    })
}

/// The linear address of the instruction's memory operand `operand`
/// (`insn_get_addr_ref`); `None` if a segment is not usable.
pub fn addr_ref(insn: &Instruction, operand: u32, regs: &PtRegs, bits: u32) -> Option<u64> {
    let addr = insn.virtual_address(operand, 0, |register, _, _| {
        let Some((n, mask)) = gpr_of(register) else { return segment_base(regs, register, bits) };
        Some(gpr(regs, n)?.get() & mask)
    })?;
    Some(if bits == 64 { addr } else { addr & 0xffff_ffff })
}
