// SPDX-License-Identifier: GPL-2.0-only
//! Classic BPF as seccomp uses it: what a program may consist of, and what it says of a system
//! call (Linux 6.1, `net/core/filter.c`, `bpf_check_classic`; `kernel/seccomp.c`,
//! `seccomp_check_filter`).
//!
//! A checked program ends: jumps go forward only and not beyond its end, which is a `RET`. It
//! reads words of the call's description and of its own sixteen words of memory that it has written.

use crate::errno::{EINVAL, Result};
use linux_raw_sys::ptrace::*;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// `struct sock_filter`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
pub struct Insn {
    /// Class, size or operation, mode or source.
    pub code: u16,
    /// How far a conditional jump goes if it holds.
    pub jt: u8,
    /// And if it does not.
    pub jf: u8,
    /// The operand.
    pub k: u32,
}

/// What a filter sees (`struct seccomp_data`), as words.
pub type Data = [u32; 16];
/// Bytes of it.
const DATA_SIZE: u32 = size_of::<Data>() as u32;

/// A decoded instruction: what seccomp allows, and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Op {
    /// A word of the data.
    LoadData(u32),
    /// A or X becomes a constant.
    Load(Reg, u32),
    /// A or X becomes a word of memory.
    LoadMem(Reg, u32),
    Store(Reg, u32),
    Alu(u32, Source),
    Neg,
    Jump(u32),
    Branch(u32, Source),
    Return(Source),
    Tax,
    Txa,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reg {
    A,
    X,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    K(u32),
    X,
    A,
}

impl Insn {
    /// What it does; `None`: it is not allowed.
    #[inline]
    fn decode(self) -> Option<Op> {
        let (code, k) = (u32::from(self.code), self.k);
        let class = code & 7;
        let source = if code & BPF_X != 0 { Source::X } else { Source::K(k) };
        let operation = code & 0xf0;
        Some(match class {
            BPF_LD | BPF_LDX => {
                let reg = if class == BPF_LD { Reg::A } else { Reg::X };
                match code & !7 {
                    BPF_IMM => Op::Load(reg, k),
                    BPF_MEM => Op::LoadMem(reg, k),
                    BPF_LEN => Op::Load(reg, DATA_SIZE),
                    BPF_ABS if reg == Reg::A => Op::LoadData(k),
                    _ => return None,
                }
            }
            BPF_ST if code == BPF_ST => Op::Store(Reg::A, k),
            BPF_STX if code == BPF_STX => Op::Store(Reg::X, k),
            BPF_ALU if code == BPF_ALU | BPF_NEG => Op::Neg,
            BPF_ALU if code >> 8 == 0 => match operation {
                BPF_ADD | BPF_SUB | BPF_MUL | BPF_DIV | BPF_OR | BPF_AND | BPF_LSH | BPF_RSH | BPF_XOR => {
                    Op::Alu(operation, source)
                }
                _ => return None,
            },
            BPF_JMP if code == BPF_JMP | BPF_JA => Op::Jump(k),
            BPF_JMP if code >> 8 == 0 => match operation {
                BPF_JEQ | BPF_JGT | BPF_JGE | BPF_JSET => Op::Branch(operation, source),
                _ => return None,
            },
            BPF_RET if code == BPF_RET => Op::Return(Source::K(k)),
            BPF_RET if code == BPF_RET | BPF_A => Op::Return(Source::A),
            BPF_MISC if code == BPF_MISC | BPF_TAX => Op::Tax,
            BPF_MISC if code == BPF_MISC | BPF_TXA => Op::Txa,
            _ => return None,
        })
    }
}

/// Whether a program may run.
///
/// # Errors
/// `EINVAL`.
pub fn check(program: &[Insn]) -> Result {
    let n = program.len();
    if n == 0 || n > BPF_MAXINSNS as usize {
        return Err(EINVAL);
    }
    for (pc, insn) in program.iter().enumerate() {
        let left = n - pc - 1;
        let fine = match insn.decode().ok_or(EINVAL)? {
            Op::LoadData(k) => k < DATA_SIZE && k.is_multiple_of(4),
            Op::LoadMem(_, k) | Op::Store(_, k) => k < BPF_MEMWORDS,
            Op::Alu(BPF_DIV, Source::K(k)) => k != 0,
            Op::Alu(BPF_LSH | BPF_RSH, Source::K(k)) => k < 32,
            Op::Jump(k) => (k as usize) < left,
            Op::Branch(..) => usize::from(insn.jt) < left && usize::from(insn.jf) < left,
            _ => true,
        };
        if !fine {
            return Err(EINVAL);
        }
    }
    match program[n - 1].decode() {
        Some(Op::Return(_)) => check_load_and_stores(program),
        _ => Err(EINVAL),
    }
}

/// Whether each word of memory was written on every way that leads to where it is read
/// (`check_load_and_stores`).
fn check_load_and_stores(program: &[Insn]) -> Result {
    let mut known = crate::mm::util::kvcalloc::<u16>(program.len())?;
    known.fill(u16::MAX);
    let mut valid = 0u16;
    for (pc, insn) in program.iter().enumerate() {
        // What all jumps to here have in common, and the instruction before.
        valid &= known[pc];
        match insn.decode() {
            Some(Op::Store(_, k)) => valid |= 1 << k,
            Some(Op::LoadMem(_, k)) if valid & 1 << k == 0 => return Err(EINVAL),
            Some(Op::Jump(k)) => {
                known[pc + 1 + k as usize] &= valid;
                valid = u16::MAX;
            }
            Some(Op::Branch(..)) => {
                known[pc + 1 + usize::from(insn.jt)] &= valid;
                known[pc + 1 + usize::from(insn.jf)] &= valid;
                valid = u16::MAX;
            }
            _ => {}
        }
    }
    Ok(())
}

/// Runs a checked program.
pub fn run(program: &[Insn], data: &Data) -> u32 {
    let (mut a, mut x, mut mem) = (0u32, 0u32, [0u32; BPF_MEMWORDS as usize]);
    let mut pc = 0;
    while let Some(insn) = program.get(pc) {
        pc += 1;
        let value = |s: Source| match s {
            Source::K(k) => k,
            Source::X => x,
            Source::A => a,
        };
        match insn.decode() {
            Some(Op::LoadData(k)) => a = data[k as usize / 4],
            Some(Op::Load(Reg::A, k)) => a = k,
            Some(Op::Load(Reg::X, k)) => x = k,
            Some(Op::LoadMem(Reg::A, k)) => a = mem[k as usize],
            Some(Op::LoadMem(Reg::X, k)) => x = mem[k as usize],
            Some(Op::Store(Reg::A, k)) => mem[k as usize] = a,
            Some(Op::Store(Reg::X, k)) => mem[k as usize] = x,
            Some(Op::Alu(operation, s)) => match alu(operation, a, value(s)) {
                Some(v) => a = v,
                // Division by zero ends the program.
                None => return 0,
            },
            Some(Op::Neg) => a = a.wrapping_neg(),
            Some(Op::Jump(k)) => pc += k as usize,
            Some(Op::Branch(operation, s)) => {
                pc += usize::from(if holds(operation, a, value(s)) { insn.jt } else { insn.jf });
            }
            Some(Op::Return(s)) => return value(s),
            Some(Op::Tax) => x = a,
            Some(Op::Txa) => a = x,
            None => return 0,
        }
    }
    0
}

#[inline]
fn alu(operation: u32, a: u32, b: u32) -> Option<u32> {
    Some(match operation {
        BPF_ADD => a.wrapping_add(b),
        BPF_SUB => a.wrapping_sub(b),
        BPF_MUL => a.wrapping_mul(b),
        BPF_DIV => a.checked_div(b)?,
        BPF_OR => a | b,
        BPF_AND => a & b,
        // As the x86 instruction counts.
        BPF_LSH => a.wrapping_shl(b),
        BPF_RSH => a.wrapping_shr(b),
        _ => a ^ b,
    })
}

#[inline]
fn holds(operation: u32, a: u32, b: u32) -> bool {
    match operation {
        BPF_JEQ => a == b,
        BPF_JGT => a > b,
        BPF_JGE => a >= b,
        _ => a & b != 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    fn insn(code: u32, k: u32) -> Insn {
        Insn { code: code as u16, jt: 0, jf: 0, k }
    }
    fn ret(k: u32) -> Insn {
        insn(BPF_RET, k)
    }
    fn branch(code: u32, k: u32, jt: u8, jf: u8) -> Insn {
        Insn { code: (BPF_JMP | code) as u16, jt, jf, k }
    }

    #[test]
    fn what_is_no_program() {
        let bad = |p: &[Insn]| assert_eq!(check(p), Err(EINVAL), "{p:?}");
        bad(&[]);
        bad(&vec![ret(0); 4097]);
        bad(&[insn(BPF_LD | BPF_IMM, 1)]);
        bad(&[insn(BPF_LD | BPF_ABS, 64), ret(0)]);
        bad(&[insn(BPF_LD | BPF_ABS, 2), ret(0)]);
        bad(&[insn(BPF_LDX | BPF_ABS, 0), ret(0)]);
        bad(&[insn(BPF_LD | BPF_MEM, 0), ret(0)]);
        bad(&[insn(BPF_ST, 16), ret(0)]);
        bad(&[insn(BPF_ALU | BPF_DIV, 0), ret(0)]);
        bad(&[insn(BPF_ALU | 0x90, 3), ret(0)]);
        bad(&[insn(BPF_ALU | BPF_LSH, 32), ret(0)]);
        bad(&[insn(BPF_JMP | BPF_JA, 1), ret(0)]);
        bad(&[branch(BPF_JEQ, 0, 1, 0), ret(0)]);
        bad(&[insn(BPF_RET | BPF_X, 0)]);
        bad(&[insn(0xffff, 0), ret(0)]);
        // One way does not write what is read.
        bad(&[branch(BPF_JEQ, 0, 1, 0), insn(BPF_ST, 3), insn(BPF_LD | BPF_MEM, 3), ret(0)]);
        assert_eq!(check(&vec![ret(0); 4096]), Ok(()));
    }

    #[test]
    fn a_filter_as_programs_write_them() {
        let p = [
            insn(BPF_LD | BPF_ABS, 4),
            branch(BPF_JEQ, 0xc000_003e, 1, 0),
            ret(0x8000_0000),
            insn(BPF_LD | BPF_ABS, 0),
            branch(BPF_JEQ, 39, 0, 1),
            ret(0x0005_0000 | 1),
            ret(0x7fff_0000),
        ];
        assert_eq!(check(&p), Ok(()));
        let data = |nr, arch| [nr, arch, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(run(&p, &data(39, 0xc000_003e)), 0x0005_0001);
        assert_eq!(run(&p, &data(40, 0xc000_003e)), 0x7fff_0000);
        assert_eq!(run(&p, &data(39, 0x4000_0003)), 0x8000_0000);
    }

    #[test]
    fn division_by_nothing_ends_it() {
        let p = [insn(BPF_LD | BPF_IMM, 7), insn(BPF_ALU | BPF_DIV | BPF_X, 0), ret(5)];
        assert_eq!((check(&p), run(&p, &[0; 16])), (Ok(()), 0));
    }

    /// Codes that mean something, more often than not.
    fn any_insn() -> impl Strategy<Value = Insn> {
        let codes: Vec<u16> = (0..=255u16).filter(|c| insn((*c).into(), 1).decode().is_some()).collect();
        let code = prop_oneof![20 => prop::sample::select(codes), 1 => any::<u16>()];
        let k = prop_oneof![3 => 0u32..70, 1 => any::<u32>()];
        (code, 0u8..6, 0u8..6, k).prop_map(|(code, jt, jf, k)| Insn { code, jt, jf, k })
    }

    /// Another way to run: registers of 64 bits, no decoding, and memory that knows whether it was
    /// written. `None`: the program did what it must not.
    fn model(p: &[Insn], data: &Data) -> Option<u32> {
        let (mut a, mut x, mut mem, mut pc) = (0u64, 0u64, [None; 16], 0usize);
        for _ in 0..p.len() {
            let i = p.get(pc)?;
            pc += 1;
            let b = if i.code & 8 != 0 { x } else { u64::from(i.k) };
            match i.code {
                0x20 => a = u64::from(*data.get(i.k as usize / 4)?),
                0x00 => a = u64::from(i.k),
                0x01 => x = u64::from(i.k),
                0x60 => a = (*mem.get(i.k as usize)?)?,
                0x61 => x = (*mem.get(i.k as usize)?)?,
                0x80 => a = 64,
                0x81 => x = 64,
                0x02 => *mem.get_mut(i.k as usize)? = Some(a),
                0x03 => *mem.get_mut(i.k as usize)? = Some(x),
                0x04 | 0x0c => a = (a + b) & 0xffff_ffff,
                0x14 | 0x1c => a = (a + (1 << 32) - b) & 0xffff_ffff,
                0x24 | 0x2c => a = (a * b) & 0xffff_ffff,
                0x34 | 0x3c if b == 0 => return Some(0),
                0x34 | 0x3c => a /= b,
                0x44 | 0x4c => a |= b,
                0x54 | 0x5c => a &= b,
                0x64 | 0x6c => a = a << (b & 31) & 0xffff_ffff,
                0x74 | 0x7c => a >>= b & 31,
                0x84 => a = ((1 << 32) - a) & 0xffff_ffff,
                0xa4 | 0xac => a ^= b,
                0x05 => pc += i.k as usize,
                0x15 | 0x1d => pc += usize::from(if a == b { i.jt } else { i.jf }),
                0x25 | 0x2d => pc += usize::from(if a > b { i.jt } else { i.jf }),
                0x35 | 0x3d => pc += usize::from(if a >= b { i.jt } else { i.jf }),
                0x45 | 0x4d => pc += usize::from(if a & b == 0 { i.jf } else { i.jt }),
                0x06 => return Some(i.k),
                0x16 => return Some(a as u32),
                0x07 => x = a,
                0x87 => a = x,
                _ => return None,
            }
        }
        None
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]
        #[test]
        fn checked_programs_end_and_do_what_they_say(
            mut p in prop::collection::vec(any_insn(), 1..24),
            data in any::<[u32; 16]>(),
        ) {
            p.push(insn(BPF_RET | BPF_A, 0));
            if check(&p).is_ok() {
                prop_assert_eq!(Some(run(&p, &data)), model(&p, &data));
            }
        }

        #[test]
        fn nothing_makes_the_checker_fall(p in prop::collection::vec(
            (any::<u16>(), any::<u8>(), any::<u8>(), any::<u32>()), 0..12)) {
            let p: Vec<Insn> = p.into_iter().map(|(code, jt, jf, k)| Insn { code, jt, jf, k }).collect();
            let _ = check(&p);
        }
    }
}
