// SPDX-License-Identifier: GPL-2.0-only
//! `pt_regs`: the registers an entry saves on the kernel stack.
//!
//! Layout as in Linux 6.1, `arch/x86/include/asm/ptrace.h`: 21 words, 168 bytes,
//! the last five being what the CPU itself pushed.

use core::mem::offset_of;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The saved registers of the interrupted context, lowest address first.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[allow(missing_docs)]
pub struct PtRegs {
    pub r15: u64,
    pub r14: u64,
    pub r13: u64,
    pub r12: u64,
    pub bp: u64,
    pub bx: u64,
    pub r11: u64,
    pub r10: u64,
    pub r9: u64,
    pub r8: u64,
    pub ax: u64,
    pub cx: u64,
    pub dx: u64,
    pub si: u64,
    pub di: u64,
    /// The system call's number, or an exception's error code on entry; -1 when
    /// no system call is to be restarted.
    pub orig_ax: u64,
    pub ip: u64,
    pub cs: u64,
    pub flags: u64,
    pub sp: u64,
    pub ss: u64,
}

const _: () = {
    assert!(size_of::<PtRegs>() == 168);
    assert!(offset_of!(PtRegs, ax) == 80);
    assert!(offset_of!(PtRegs, orig_ax) == 120);
    assert!(offset_of!(PtRegs, cs) == 136);
};

impl PtRegs {
    /// Whether the interrupted context was user mode (`user_mode(regs)`).
    #[inline]
    pub fn user_mode(&self) -> bool {
        self.cs & 3 != 0
    }
    /// Whether it was 64-bit user code (`user_64bit_mode(regs)`).
    pub fn user_64bit_mode(&self) -> bool {
        self.cs == crate::arch::x86::segment::USER_CS as u64
    }
}

/// EFLAGS bits (Linux 6.1, `uapi/asm/processor-flags.h`).
#[allow(missing_docs)]
pub mod eflags {
    pub const CF: u64 = 1 << 0;
    pub const FIXED: u64 = 1 << 1;
    pub const PF: u64 = 1 << 2;
    pub const AF: u64 = 1 << 4;
    pub const ZF: u64 = 1 << 6;
    pub const SF: u64 = 1 << 7;
    pub const TF: u64 = 1 << 8;
    pub const IF: u64 = 1 << 9;
    pub const DF: u64 = 1 << 10;
    pub const OF: u64 = 1 << 11;
    pub const IOPL: u64 = 3 << 12;
    pub const NT: u64 = 1 << 14;
    pub const RF: u64 = 1 << 16;
    pub const VM: u64 = 1 << 17;
    pub const AC: u64 = 1 << 18;
    pub const VIF: u64 = 1 << 19;
    pub const VIP: u64 = 1 << 20;
    pub const ID: u64 = 1 << 21;
}
