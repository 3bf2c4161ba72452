// SPDX-License-Identifier: GPL-2.0-only
//! An instruction that is executed out of line: which can be, how the copy differs from the
//! original, and what is to be put right after it was stepped over (Linux 4.x and 6.1,
//! `arch/x86/kernel/kprobes/core.c`: `can_boost`, `__copy_instruction`, `resume_execution`).
//!
//! Pure functions of bytes and registers, which the host tests. Decoding is `iced-x86`'s.

use crate::arch::x86::ptrace::{PtRegs, eflags};
use crate::errno::{EILSEQ, EINVAL, Result};
use iced_x86::{Code, Decoder, DecoderOptions, Instruction, Mnemonic, OpKind, Register};

/// Bytes of a slot: the longest instruction, and one to spare.
pub const MAX_INSN_SIZE: usize = 16;

/// How the instruction pointer is to be understood after the copy was executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    /// Relative to the copy: the next instruction, or a relative branch's target.
    Relative,
    /// As it is: a return, or a branch through a register or memory.
    Absolute,
}

/// What else there is to be put right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Special {
    None,
    /// It pushes a return address: the copy's.
    Calls,
    /// It pushes the flags: those of the step.
    PushesFlags,
    /// It sets the interrupt flag itself (`if_modifier`).
    ModifiesIf,
    /// It may take several steps, staying where it is.
    Repeats,
}

impl Special {
    fn of(i: &Instruction) -> Self {
        use Mnemonic as M;
        match i.mnemonic() {
            M::Call => Self::Calls,
            M::Pushf | M::Pushfd | M::Pushfq => Self::PushesFlags,
            M::Cli | M::Popf | M::Popfd | M::Popfq => Self::ModifiesIf,
            _ if i.has_rep_prefix() || i.has_repne_prefix() => Self::Repeats,
            _ => Self::None,
        }
    }
}

/// An instruction's copy, and how to resume behind it (`struct arch_specific_insn`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Insn {
    bytes: [u8; MAX_INSN_SIZE],
    flow: Flow,
    special: Special,
}

/// Decodes the instruction at the beginning of `bytes`, which stands at `at`.
fn decode(bytes: &[u8], at: u64) -> Option<(Instruction, Decoder<'_>)> {
    let mut d = Decoder::with_ip(64, bytes, at, DecoderOptions::NONE);
    let i = d.decode();
    (!i.is_invalid()).then_some((i, d))
}

/// The length of the instruction at the beginning of `bytes`.
pub fn length(bytes: &[u8]) -> Option<usize> {
    decode(bytes, 0).map(|(i, _)| i.len())
}

/// `jmp` or `call` by a distance.
fn relative(i: &Instruction) -> bool {
    matches!(i.code(), Code::Jmp_rel8_64 | Code::Jmp_rel32_64 | Code::Call_rel32_64)
}

/// `jmp` or `call` through a register or memory, in the same segment.
fn indirect(i: &Instruction) -> bool {
    matches!(i.code(), Code::Jmp_rm64 | Code::Call_rm64)
}

/// Whether an instruction must stay where it is: it would leave through the copy's address for
/// good (interrupts, far transfers, transactions), must not be separated from the next (`sti`,
/// a load of SS: they hold off what comes next), would not let the step happen (`hlt`, a write
/// to a debug register), or names a bug by its own address (`ud2`).
fn must_stay(i: &Instruction) -> bool {
    use Mnemonic as M;
    let to = |r: Register| i.op0_kind() == OpKind::Register && i.op0_register() == r;
    let transfer = matches!(i.mnemonic(), M::Jmp | M::Call);
    let far = transfer && !relative(i) && !indirect(i);
    let loads_ss = matches!(i.mnemonic(), M::Mov | M::Pop) && to(Register::SS);
    let debug_register =
        i.op0_kind() == OpKind::Register && (Register::DR0..=Register::DR15).contains(&i.op0_register());
    let leaves = matches!(
        i.mnemonic(),
        M::Int
            | M::Int1
            | M::Int3
            | M::Into
            | M::Iret
            | M::Iretd
            | M::Iretq
            | M::Retf
            | M::Syscall
            | M::Sysret
            | M::Sysretq
            | M::Sysenter
            | M::Sysexit
            | M::Sysexitq
            | M::Rsm
            | M::Xbegin
            | M::Xend
            | M::Xabort
    );
    let special = matches!(
        i.mnemonic(),
        M::Sti | M::Hlt | M::Lss | M::Swapgs | M::Ud0 | M::Ud1 | M::Ud2 | M::Mwait | M::Mwaitx
    );
    far || loads_ss || debug_register || leaves || special
}

impl Insn {
    /// The instruction at the beginning of `bytes`, which stands at `from`, as it must read to
    /// do the same at `to`: a RIP-relative operand is reached from there.
    ///
    /// # Errors
    /// `EILSEQ`: no instruction. `EINVAL`: one that must stay where it is, or cannot reach its
    /// operand from there.
    pub fn copy(bytes: &[u8], from: u64, to: u64) -> Result<Self> {
        let (i, d) = decode(bytes, from).ok_or(EILSEQ)?;
        if must_stay(&i) {
            return Err(EINVAL);
        }
        let mut copy = [super::super::alternative::INT3; MAX_INSN_SIZE];
        copy[..i.len()].copy_from_slice(&bytes[..i.len()]);
        if i.is_ip_rel_memory_operand() {
            let at = d.get_constant_offsets(&i).displacement_offset();
            let next = to.wrapping_add(i.len() as u64);
            let distance = i.ip_rel_memory_address().wrapping_sub(next) as i64;
            let distance = i32::try_from(distance).map_err(|_| EINVAL)?;
            copy[at..at + 4].copy_from_slice(&distance.to_le_bytes());
        }
        let absolute = indirect(&i) || i.mnemonic() == Mnemonic::Ret;
        let flow = if absolute { Flow::Absolute } else { Flow::Relative };
        Ok(Self { bytes: copy, flow, special: Special::of(&i) })
    }

    /// The copy's bytes, with breakpoints behind it.
    pub fn bytes(&self) -> &[u8; MAX_INSN_SIZE] {
        &self.bytes
    }

    /// Sends `regs` to the copy at `copy` for one step, with interrupts off; returns the flags
    /// to be restored (`prepare_singlestep`).
    #[cfg_attr(target_os = "none", unsafe(link_section = ".kprobes.text"))]
    pub fn prepare_singlestep(regs: &PtRegs, copy: u64) -> u64 {
        let saved = regs.flags.get() & (eflags::TF | eflags::IF);
        regs.flags.set((regs.flags.get() | eflags::TF) & !eflags::IF);
        regs.ip.set(copy);
        saved
    }

    /// Whether the step has not ended the instruction: a repeated one that stays where it is.
    #[cfg_attr(target_os = "none", unsafe(link_section = ".kprobes.text"))]
    pub fn goes_on(&self, regs: &PtRegs, copy: u64) -> bool {
        self.special == Special::Repeats && regs.ip.get() == copy
    }

    /// After the step: makes `regs` what they would be had the instruction been executed at
    /// `orig`. The word on top of the stack is `tos`; `saved` is what
    /// [`prepare_singlestep`](Self::prepare_singlestep) returned (`resume_execution`).
    #[cfg_attr(target_os = "none", unsafe(link_section = ".kprobes.text"))]
    pub fn resume_execution(&self, regs: &PtRegs, tos: &mut u64, orig: u64, copy: u64, saved: u64) {
        let moved = orig.wrapping_sub(copy);
        regs.flags.update(|v| v & !eflags::TF);
        match self.special {
            Special::ModifiesIf => regs.flags.update(|v| v | saved & eflags::TF),
            Special::None | Special::Repeats => regs.flags.update(|v| v | saved),
            Special::Calls => {
                regs.flags.update(|v| v | saved);
                *tos = tos.wrapping_add(moved);
            }
            Special::PushesFlags => {
                regs.flags.update(|v| v | saved);
                *tos = *tos & !(eflags::TF | eflags::IF) | saved;
            }
        }
        match self.flow {
            Flow::Relative => regs.ip.set(regs.ip.get().wrapping_add(moved)),
            Flow::Absolute => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ORIG: u64 = 0xffff_ffff_8012_3456;
    const COPY: u64 = 0xffff_ffff_8010_1000;

    fn copy(bytes: &[u8]) -> Result<Insn> {
        Insn::copy(bytes, ORIG, COPY)
    }

    /// Registers and stack as they are after the copy was stepped over, resumed.
    fn resumed(bytes: &[u8], ip: u64, flags: u64, tos: u64, saved: u64) -> (u64, u64, u64) {
        let regs = PtRegs { ip: ip.into(), flags: flags.into(), ..PtRegs::default() };
        let mut tos = tos;
        copy(bytes).unwrap().resume_execution(&regs, &mut tos, ORIG, COPY, saved);
        (regs.ip.get(), regs.flags.get(), tos)
    }

    #[test]
    fn straight_code_goes_on_behind_the_original() {
        // push rbp
        assert_eq!(resumed(&[0x55], COPY + 1, 0x102, 7, 0x200), (ORIG + 1, 0x202, 7));
        // jne +5, taken and not.
        assert_eq!(resumed(&[0x75, 5], COPY + 7, 0x102, 7, 0).0, ORIG + 7);
        assert_eq!(resumed(&[0x75, 5], COPY + 2, 0x102, 7, 0).0, ORIG + 2);
    }

    #[test]
    fn transfers() {
        // call +0x100: the return address is the original's, and so is the target's base.
        let (ip, _, tos) = resumed(&[0xe8, 0, 1, 0, 0], COPY + 0x105, 2, COPY + 5, 0x200);
        assert_eq!((ip, tos), (ORIG + 0x105, ORIG + 5));
        // call rax: only the return address.
        let (ip, _, tos) = resumed(&[0xff, 0xd0], 0x1234, 2, COPY + 2, 0x200);
        assert_eq!((ip, tos), (0x1234, ORIG + 2));
        // jmp rax; ret; ret 8: nothing.
        for b in [&[0xff, 0xe0][..], &[0xc3], &[0xc2, 8, 0]] {
            assert_eq!(resumed(b, 0x1234, 2, 99, 0x200), (0x1234, 0x202, 99));
        }
    }

    #[test]
    fn flags_are_those_before_the_step() {
        // pushfq: what was pushed has the step's TF, and not the IF of before.
        assert_eq!(resumed(&[0x9c], COPY + 1, 0x102, 0x146, 0x200), (ORIG + 1, 0x202, 0x246));
        // cli and popfq say themselves what IF is.
        assert_eq!(resumed(&[0xfa], COPY + 1, 0x102, 0, 0x200).1, 0x002);
        assert_eq!(resumed(&[0x9d], COPY + 1, 0x202, 0, 0).1, 0x202);
        let regs = PtRegs { ip: ORIG.into(), flags: 0x246.into(), ..PtRegs::default() };
        assert_eq!(Insn::prepare_singlestep(&regs, COPY), 0x200);
        assert_eq!((regs.ip.get(), regs.flags.get()), (COPY, 0x146));
    }

    #[test]
    fn rip_relative_operands_are_reached_from_the_copy() {
        // mov rax, [rip + 0x10]; cmp dword ptr [rip + 0x10], 0x11223344
        for (bytes, at) in [
            (&[0x48, 0x8b, 0x05, 0x10, 0, 0, 0][..], 3),
            (&[0x81, 0x3d, 0x10, 0, 0, 0, 0x44, 0x33, 0x22, 0x11], 2),
        ] {
            let c = copy(bytes).unwrap();
            let disp = i32::from_le_bytes(c.bytes()[at..at + 4].try_into().unwrap());
            let len = bytes.len() as u64;
            assert_eq!((COPY + len).wrapping_add(disp as u64), ORIG + len + 0x10);
            assert_eq!(c.bytes()[at + 4..bytes.len()], bytes[at + 4..]);
        }
        // Too far away.
        assert_eq!(Insn::copy(&[0x48, 0x8b, 0x05, 0x10, 0, 0, 0], 0x1000 << 20, COPY), Err(EINVAL));
    }

    #[test]
    fn some_must_stay() {
        for b in [
            &[0xcc][..],               // int3
            &[0xcd, 0x80],             // int 0x80
            &[0xf1],                   // int1
            &[0x48, 0xcf],             // iretq
            &[0xcb],                   // retf
            &[0x0f, 0x05],             // syscall
            &[0x48, 0x0f, 0x07],       // sysretq
            &[0x0f, 0x01, 0xf8],       // swapgs
            &[0xfb],                   // sti
            &[0xf4],                   // hlt
            &[0x8e, 0xd0],             // mov ss, ax
            &[0x0f, 0x23, 0xf8],       // mov dr7, rax
            &[0x0f, 0x0b],             // ud2
            &[0xff, 0x28],             // jmp far [rax]
            &[0xff, 0x18],             // call far [rax]
            &[0xc7, 0xf8, 0, 0, 0, 0], // xbegin
        ] {
            assert_eq!(copy(b), Err(EINVAL), "{b:02x?}");
        }
        assert_eq!(copy(&[0x06]), Err(EILSEQ));
        assert_eq!(copy(&[]), Err(EILSEQ));
    }

    #[test]
    fn repeated_instructions_take_several_steps() {
        let i = copy(&[0xf3, 0xa4]).unwrap();
        let at = |ip: u64| PtRegs { ip: ip.into(), ..PtRegs::default() };
        assert!(i.goes_on(&at(COPY), COPY));
        assert!(!i.goes_on(&at(COPY + 2), COPY));
        // A loop onto itself is a step each time.
        assert!(!copy(&[0xeb, 0xfe]).unwrap().goes_on(&at(COPY), COPY));
    }

    proptest! {
        /// Whatever is copied decodes to the same instruction, at its new place.
        #[test]
        fn copies_mean_the_same(bytes: [u8; 15]) {
            if let Ok(c) = copy(&bytes) {
                let (a, _) = decode(&bytes, ORIG).unwrap();
                let (b, _) = decode(c.bytes(), COPY).unwrap();
                prop_assert_eq!((a.code(), a.len()), (b.code(), b.len()));
                if a.is_ip_rel_memory_operand() {
                    prop_assert_eq!(a.ip_rel_memory_address(), b.ip_rel_memory_address());
                }
            }
        }
    }
}
