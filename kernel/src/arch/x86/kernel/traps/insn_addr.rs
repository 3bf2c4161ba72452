// SPDX-License-Identifier: GPL-2.0-only
//! Which address did the kernel's faulting instruction mean? For the first line of a #GP
//! oops (Linux 6.1, `arch/x86/kernel/traps.c`, `get_kernel_gp_address`).
//!
//! Decodes just enough of an instruction: prefixes, whether there is a ModRM byte, and the
//! address that it forms. What it does not know gives no hint, never a wrong one.

use crate::arch::x86::ptrace::PtRegs;
use crate::mm::maccess::copy_from_kernel_nofault;

/// Longest instruction.
const MAX_INSN_SIZE: usize = 15;

/// The memory operand of the instruction at `regs.ip`, and whether any of it is not a canonical
/// address.
pub fn gp_address(regs: &PtRegs) -> Option<(u64, bool)> {
    let mut insn = [0; MAX_INSN_SIZE];
    copy_from_kernel_nofault(&mut insn, regs.ip.get() as usize).ok()?;
    let addr = operand_address(&insn, regs)?;
    let last = addr.wrapping_add(7);
    let noncanonical = |a: u64| (a as i64) << 16 >> 16 != a as i64;
    Some((addr, noncanonical(addr) || noncanonical(last)))
}

/// Reads an instruction byte by byte.
struct Bytes<'a> {
    insn: &'a [u8],
    at: usize,
}

impl Bytes<'_> {
    fn next(&mut self) -> Option<u8> {
        let b = *self.insn.get(self.at)?;
        self.at += 1;
        Some(b)
    }
    fn disp8(&mut self) -> Option<u64> {
        Some(self.next()? as i8 as u64)
    }
    fn disp32(&mut self) -> Option<u64> {
        let b = self.insn.get(self.at..self.at + 4)?;
        self.at += 4;
        Some(i32::from_le_bytes(b.try_into().ok()?) as u64)
    }
}

/// Whether a one-byte opcode is followed by ModRM.
fn has_modrm(op: u8) -> bool {
    let arithmetic = op < 0x40 && op & 7 < 4;
    let others = matches!(op, 0x62 | 0x63 | 0x69 | 0x6b | 0x80..=0x8f | 0xc0 | 0xc1 | 0xc4..=0xc7)
        || matches!(op, 0xd0..=0xd3 | 0xd8..=0xdf | 0xf6 | 0xf7 | 0xfe | 0xff);
    arithmetic || others
}

/// Whether an opcode behind 0f is followed by ModRM.
fn has_modrm_0f(op: u8) -> bool {
    !matches!(op, 0x05..=0x09 | 0x0b | 0x0e | 0x30..=0x37 | 0x77 | 0x80..=0x8f | 0xa0..=0xa2 | 0xa8..=0xaa | 0xc8..=0xcf)
}

/// How many bytes of immediate operand follow, for RIP-relative addresses: unknown ones are not
/// decoded.
fn immediate(op: u8, two_byte: bool, reg: u8, op16: bool) -> Option<u64> {
    let imm32 = if op16 { 2 } else { 4 };
    if two_byte {
        return Some(u64::from(matches!(op, 0x70..=0x73 | 0xa4 | 0xac | 0xba | 0xc2 | 0xc4..=0xc6)));
    }
    Some(match op {
        0x80 | 0x82 | 0x83 | 0x6b | 0xc0 | 0xc1 | 0xc6 => 1,
        0x81 | 0x69 | 0xc7 => imm32,
        0xf6 if reg < 2 => 1,
        0xf7 if reg < 2 => imm32,
        0x62 | 0xc4 | 0xc5 => return None,
        _ => 0,
    })
}

/// The general register with a number.
fn register(regs: &PtRegs, n: u8) -> u64 {
    let all = [
        regs.ax.get(),
        regs.cx.get(),
        regs.dx.get(),
        regs.bx.get(),
        regs.sp.get(),
        regs.bp.get(),
        regs.si.get(),
        regs.di.get(),
        regs.r8.get(),
        regs.r9.get(),
        regs.r10.get(),
        regs.r11.get(),
        regs.r12.get(),
        regs.r13.get(),
        regs.r14.get(),
        regs.r15.get(),
    ];
    all[usize::from(n & 15)]
}

/// The address of the instruction's memory operand, if its ModRM byte names one.
fn operand_address(insn: &[u8], regs: &PtRegs) -> Option<u64> {
    let mut b = Bytes { insn, at: 0 };
    let (mut op16, mut rex) = (false, 0);
    let mut op = loop {
        match b.next()? {
            0x66 => op16 = true,
            0xf0 | 0xf2 | 0xf3 | 0x26 | 0x2e | 0x36 | 0x3e => {}
            // Segment bases and 32-bit addresses: rare, and not worth a guess.
            0x64 | 0x65 | 0x67 => return None,
            v => break v,
        }
    };
    if op & 0xf0 == 0x40 {
        rex = op;
        op = b.next()?;
    }
    let two_byte = op == 0x0f;
    let modrm_follows = if two_byte {
        op = b.next()?;
        if matches!(op, 0x38 | 0x3a) {
            return None;
        }
        has_modrm_0f(op)
    } else {
        has_modrm(op) && !matches!(op, 0x62 | 0xc4 | 0xc5)
    };
    if !modrm_follows {
        return None;
    }
    let modrm = b.next()?;
    let reg = modrm >> 3 & 7;
    memory_operand(&mut b, modrm, rex, regs, |end| {
        let next = regs.ip.get().wrapping_add(end as u64).wrapping_add(immediate(op, two_byte, reg, op16)?);
        Some(next)
    })
}

/// The address that ModRM, SIB and displacement form; `next_ip` tells the address behind the
/// instruction, given where the displacement ends.
fn memory_operand(
    b: &mut Bytes<'_>,
    modrm: u8,
    rex: u8,
    regs: &PtRegs,
    next_ip: impl Fn(usize) -> Option<u64>,
) -> Option<u64> {
    let (mode, rm) = (modrm >> 6, modrm & 7);
    if mode == 3 {
        return None;
    }
    let base = if rm == 4 {
        let sib = b.next()?;
        let (scale, index, base) = (sib >> 6, sib >> 3 & 7 | (rex & 2) << 2, sib & 7);
        let index = if index == 4 { 0 } else { register(regs, index) << scale };
        let base = if base == 5 && mode == 0 { b.disp32()? } else { register(regs, base | (rex & 1) << 3) };
        base.wrapping_add(index)
    } else if rm == 5 && mode == 0 {
        let disp = b.disp32()?;
        return Some(next_ip(b.at)?.wrapping_add(disp));
    } else {
        register(regs, rm | (rex & 1) << 3)
    };
    let disp = match mode {
        0 => 0,
        1 => b.disp8()?,
        _ => b.disp32()?,
    };
    Some(base.wrapping_add(disp))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn regs() -> PtRegs {
        PtRegs {
            ax: 0x8000_0000_0000_0000.into(),
            bx: 0x100.into(),
            cx: 3.into(),
            r12: 0x1200.into(),
            r13: 0x1300.into(),
            bp: 0xb0.into(),
            sp: 0x50.into(),
            ip: 0x1000.into(),
            ..PtRegs::default()
        }
    }

    fn addr(insn: &[u8]) -> Option<u64> {
        operand_address(insn, &regs())
    }

    #[test]
    fn operands() {
        // movsxd rax, dword ptr [rax]: the sample oops.
        assert_eq!(addr(&[0x48, 0x63, 0x00]), Some(0x8000_0000_0000_0000));
        assert_eq!(addr(&[0x48, 0x8b, 0x45, 0xf8]), Some(0xa8)); // mov rax, [rbp-8]
        assert_eq!(addr(&[0x8b, 0x84, 0x8b, 0, 1, 0, 0]), Some(0x100 + 12 + 0x100)); // mov eax, [rbx+rcx*4+0x100]
        assert_eq!(addr(&[0x49, 0x8b, 0x04, 0x24]), Some(0x1200)); // mov rax, [r12]
        assert_eq!(addr(&[0x49, 0x8b, 0x45, 0x00]), Some(0x1300)); // mov rax, [r13]
        assert_eq!(addr(&[0x48, 0x8b, 0x04, 0x24]), Some(0x50)); // mov rax, [rsp]
        assert_eq!(addr(&[0x8b, 0x04, 0x25, 0x78, 0x56, 0x34, 0x12]), Some(0x1234_5678)); // mov eax, [0x12345678]
        assert_eq!(addr(&[0x48, 0x8b, 0x05, 0x10, 0, 0, 0]), Some(0x1017)); // mov rax, [rip+0x10]
        assert_eq!(addr(&[0xc7, 0x05, 0x10, 0, 0, 0, 1, 0, 0, 0]), Some(0x101a)); // mov dword ptr [rip+0x10], 1
        assert_eq!(addr(&[0xf0, 0x0f, 0xb1, 0x13]), Some(0x100)); // lock cmpxchg [rbx], edx
    }

    #[test]
    fn no_operand_no_hint() {
        for insn in [
            &[0x8e, 0xc0][..],
            &[0xf4],
            &[0x0f, 0x32],
            &[0x50],
            &[0x0f, 0x0b],
            &[0x65, 0x8b, 0x03],
            &[0x8b],
            &[],
        ] {
            assert_eq!(addr(insn), None, "{insn:x?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(insn in prop::collection::vec(any::<u8>(), 0..16)) {
            let _ = addr(&insn);
        }
    }
}
