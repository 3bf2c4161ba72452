// SPDX-License-Identifier: GPL-2.0-only
//! The instructions that User-Mode Instruction Prevention forbids, emulated with made-up
//! results (Linux 6.1, `arch/x86/kernel/umip.c`): SGDT, SIDT, SMSW, SLDT and STR tell
//! where the kernel's tables are, or nothing that matters; some old programs want them.

use crate::arch::x86::lib::insn_eval::{
    addr_ref, code_bits, decode_any_from_regs, fetch_from_user, gpr, gpr_of, opcode_of,
};
use crate::arch::x86::lib::usercopy::copy_to_user_partial;
use crate::arch::x86::ptrace::PtRegs;
use crate::arch::x86::segment::{GDT_ENTRY_LDT, GDT_ENTRY_TSS};
use crate::kernel::printk::{KERN_DEBUG, KERN_ERR, ratelimit, show_unhandled_signals};
use crate::kernel::signal::sigset::SIGSEGV;
use crate::kernel::signal::{force_sig_fault, unhandled_signal};
use crate::kernel::task::current;
use crate::lib::ratelimit::Ratelimit;
use core::sync::atomic::Ordering;
use iced_x86::{Instruction, Mnemonic, OpKind};

/// What SGDT and SIDT say the tables' addresses are; their limits are 0.
const UMIP_DUMMY_GDT_BASE: u64 = 0xffff_ffff_fffe_0000;
const UMIP_DUMMY_IDT_BASE: u64 = 0xffff_ffff_ffff_0000;
/// `SEGV_MAPERR`.
const SEGV_MAPERR: i32 = 1;
/// The error code of a write by user mode to a page that is not there.
const PF_USER_WRITE: u64 = 6;

static RATELIMIT: Ratelimit = Ratelimit::new(2 * 60 * 1000, 5);

/// The instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum UmipInsn {
    Sgdt,
    Sidt,
    Smsw,
    Sldt,
    Str,
}

impl UmipInsn {
    fn of(insn: &Instruction) -> Option<Self> {
        Some(match insn.mnemonic() {
            Mnemonic::Sgdt => Self::Sgdt,
            Mnemonic::Sidt => Self::Sidt,
            Mnemonic::Smsw => Self::Smsw,
            Mnemonic::Sldt => Self::Sldt,
            Mnemonic::Str => Self::Str,
            _ => return None,
        })
    }
    const fn name(self) -> &'static str {
        match self {
            Self::Sgdt => "SGDT",
            Self::Sidt => "SIDT",
            Self::Smsw => "SMSW",
            Self::Sldt => "SLDT",
            Self::Str => "STR",
        }
    }
    /// The result, for a task that has a local descriptor table or not.
    const fn value(self, has_ldt: bool) -> u64 {
        match self {
            Self::Sgdt => UMIP_DUMMY_GDT_BASE,
            Self::Sidt => UMIP_DUMMY_IDT_BASE,
            // `CR0_STATE`: PE, MP, ET, NE, WP, AM, PG.
            Self::Smsw => 0x8005_0033,
            Self::Sldt if has_ldt => (GDT_ENTRY_LDT * 8) as u64,
            Self::Sldt => 0,
            Self::Str => (GDT_ENTRY_TSS * 8) as u64,
        }
    }
    /// What goes to memory, and how many bytes of it (`emulate_umip_insn`).
    fn memory_image(self, has_ldt: bool, bits: u32) -> ([u8; 10], usize) {
        let mut image = [0; 10];
        let value = self.value(has_ldt).to_le_bytes();
        if matches!(self, Self::Sgdt | Self::Sidt) {
            // The limit, which stays 0, then the base.
            let n = if bits == 64 { 8 } else { 4 };
            image[2..2 + n].copy_from_slice(&value[..n]);
            (image, 2 + n)
        } else {
            image[..2].copy_from_slice(&value[..2]);
            (image, 2)
        }
    }
}

/// `umip: COMM[TID] ip:… sp:…: …`, five times in two minutes (`umip_printk`).
fn umip_printk(regs: &PtRegs, level: u8, what: core::fmt::Arguments<'_>) {
    if ratelimit(&RATELIMIT, "umip_printk") {
        let cur = current();
        let comm = cur.comm();
        let name = crate::kernel::panic::Comm(&comm);
        crate::printk!(
            level,
            "umip: {name}[{}] ip:{:x} sp:{:x}: {what}",
            cur.pid(),
            regs.ip.get(),
            regs.sp.get()
        );
    }
}

fn umip_pr_debug(regs: &PtRegs, what: core::fmt::Arguments<'_>) {
    umip_printk(regs, KERN_DEBUG, what);
}

/// The result could not be stored: a page fault as the instruction itself would have
/// raised (`force_sig_info_umip_fault`), in the log only by this.
fn force_sig_info_umip_fault(regs: &PtRegs, addr: u64) {
    let cur = current();
    let t = cur.thread();
    t.cr2.set(addr);
    t.error_code.set(PF_USER_WRITE);
    t.trap_nr.set(14);
    force_sig_fault(SIGSEGV, SEGV_MAPERR, addr);
    if show_unhandled_signals().load(Ordering::Relaxed) && unhandled_signal(&cur, SIGSEGV) {
        umip_printk(regs, KERN_ERR, format_args!("segfault in emulation. error{PF_USER_WRITE:x}\n"));
    }
}

/// Emulates the instruction that raised a #GP, if it is one of these. Returns whether it
/// was: then the program goes on behind it, or has a signal coming.
#[cold]
pub fn fixup_umip_exception(regs: &PtRegs) -> bool {
    let Some(bytes) = fetch_from_user(regs) else { return false };
    // Most of what raises #GP is something else, and decoding takes a while.
    if !matches!(opcode_of(&bytes), Some((0x0f, Some(0x00 | 0x01)))) {
        return false;
    }
    let (Some(bits), Some(insn)) = (code_bits(regs), decode_any_from_regs(regs, &bytes)) else {
        return false;
    };
    let Some(which) = UmipInsn::of(&insn) else { return false };
    umip_pr_debug(regs, format_args!("{} instruction cannot be used by applications.\n", which.name()));
    umip_pr_debug(regs, format_args!("For now, expensive software emulation returns the result.\n"));
    let has_ldt = current().get_mm().is_some_and(|mm| mm.ldt.is_there());
    if insn.op0_kind() == OpKind::Register {
        let Some((n, mask)) = gpr_of(insn.op0_register()) else { return false };
        let Some(r) = gpr(regs, n) else { return false };
        // Only as many bytes as the operand has: what is above them stays.
        r.set(r.get() & !mask | which.value(has_ldt) & mask);
    } else {
        let Some(addr) = addr_ref(&insn, 0, regs, bits) else { return false };
        let (image, len) = which.memory_image(has_ldt, bits);
        if copy_to_user_partial(addr as usize, &image[..len]) != 0 {
            force_sig_info_umip_fault(regs, addr);
            return true;
        }
    }
    regs.ip.set(regs.ip.get().wrapping_add(insn.len() as u64));
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use iced_x86::{Decoder, DecoderOptions};

    fn decode(bits: u32, bytes: &[u8]) -> Option<UmipInsn> {
        UmipInsn::of(&Decoder::new(bits, bytes, DecoderOptions::NONE).decode())
    }

    #[test]
    fn which_instructions() {
        assert_eq!(decode(64, &[0x0f, 0x01, 0x00]), Some(UmipInsn::Sgdt));
        assert_eq!(decode(32, &[0x0f, 0x01, 0x08]), Some(UmipInsn::Sidt));
        assert_eq!(decode(64, &[0x0f, 0x01, 0xe0]), Some(UmipInsn::Smsw));
        assert_eq!(decode(64, &[0x0f, 0x00, 0xc0]), Some(UmipInsn::Sldt));
        assert_eq!(decode(64, &[0x41, 0x0f, 0x00, 0xc8]), Some(UmipInsn::Str));
        // VMCALL shares SGDT's opcode; LGDT and HLT are none of them.
        assert_eq!(decode(64, &[0x0f, 0x01, 0xc1]), None);
        assert_eq!(decode(64, &[0x0f, 0x01, 0x10]), None);
        assert_eq!(decode(64, &[0xf4]), None);
    }

    #[test]
    fn opcodes_behind_prefixes() {
        assert_eq!(opcode_of(&[0x66, 0x41, 0x0f, 0x01, 0xe0]), Some((0x0f, Some(1))));
        assert_eq!(opcode_of(&[0xf4]), Some((0xf4, None)));
        assert_eq!((opcode_of(&[0x0f]), opcode_of(&[0x66]), opcode_of(&[])), (None, None, None));
    }

    #[test]
    fn what_goes_to_memory() {
        let (image, len) = UmipInsn::Sgdt.memory_image(false, 64);
        assert_eq!((len, u64::from_le_bytes(image[2..].try_into().unwrap())), (10, UMIP_DUMMY_GDT_BASE));
        assert_eq!(UmipInsn::Sidt.memory_image(false, 32).1, 6);
        assert_eq!(UmipInsn::Smsw.memory_image(false, 64), ([0x33, 0, 0, 0, 0, 0, 0, 0, 0, 0], 2));
        assert_eq!(
            (UmipInsn::Sldt.value(false), UmipInsn::Sldt.value(true), UmipInsn::Str.value(false)),
            (0, 0x50, 0x40)
        );
    }
}
