// SPDX-License-Identifier: GPL-2.0-only
//! `pt_regs`: the registers an entry saves on the kernel stack.
//!
//! Layout as in Linux 6.1, `arch/x86/include/asm/ptrace.h`: 21 words, 168 bytes,
//! the last five being what the CPU itself pushed.

use core::cell::Cell;
use core::mem::offset_of;
use zerocopy::{FromBytes, IntoBytes, KnownLayout};

/// The saved registers of the interrupted context, lowest address first.
///
/// More than one may know of them at a time: the entry that saved them and all that it calls, the
/// tracer while the thread stops in the middle of that, a breakpoint's handler. So they are cells,
/// and everybody has a `&PtRegs`; `&mut` would promise the compiler that nobody else writes while
/// the thread sleeps. Nobody can get one: the entries hand out shared references (proven beside
/// `idtentry!`), and [`task_pt_regs`](crate::kernel::task::Task::task_pt_regs) is a `*const`.
#[repr(C)]
#[derive(Clone, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout)]
#[allow(missing_docs)]
pub struct PtRegs {
    pub r15: Cell<u64>,
    pub r14: Cell<u64>,
    pub r13: Cell<u64>,
    pub r12: Cell<u64>,
    pub bp: Cell<u64>,
    pub bx: Cell<u64>,
    pub r11: Cell<u64>,
    pub r10: Cell<u64>,
    pub r9: Cell<u64>,
    pub r8: Cell<u64>,
    pub ax: Cell<u64>,
    pub cx: Cell<u64>,
    pub dx: Cell<u64>,
    pub si: Cell<u64>,
    pub di: Cell<u64>,
    /// The system call's number, or an exception's error code on entry; -1 when
    /// no system call is to be restarted.
    pub orig_ax: Cell<u64>,
    pub ip: Cell<u64>,
    pub cs: Cell<u64>,
    pub flags: Cell<u64>,
    pub sp: Cell<u64>,
    pub ss: Cell<u64>,
}

const _: () = {
    assert!(size_of::<PtRegs>() == 168);
    assert!(offset_of!(PtRegs, ax) == 80);
    assert!(offset_of!(PtRegs, orig_ax) == 120);
    assert!(offset_of!(PtRegs, cs) == 136);
};

impl PtRegs {
    /// How many words they are.
    pub const WORDS: usize = size_of::<Self>() / 8;

    /// All zero.
    pub const fn zeroed() -> Self {
        zerocopy::transmute!([0u64; Self::WORDS])
    }
    /// The registers as a row of words, the lowest address first; `user_regs_struct` begins with them.
    pub fn words(&self) -> &[Cell<u64>; Self::WORDS] {
        // SAFETY: the structure is a row of so many cells, without anything between them.
        unsafe { &*core::ptr::from_ref(self).cast() }
    }
    /// Replaces all of them.
    pub fn copy_from(&self, from: &Self) {
        self.words().iter().zip(from.words()).for_each(|(to, from)| to.set(from.get()));
    }
    /// Replaces the five words that the CPU itself takes back.
    pub fn set_iret_frame(&self, frame: [u64; 5]) {
        self.words()[Self::WORDS - 5..].iter().zip(frame).for_each(|(to, word)| to.set(word));
    }
    /// Whether the interrupted context was user mode (`user_mode(regs)`).
    #[inline]
    pub fn user_mode(&self) -> bool {
        self.cs.get() & 3 != 0
    }
    /// Whether it was 64-bit user code (`user_64bit_mode(regs)`).
    pub fn user_64bit_mode(&self) -> bool {
        self.cs.get() == crate::arch::x86::segment::USER_CS as u64
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
