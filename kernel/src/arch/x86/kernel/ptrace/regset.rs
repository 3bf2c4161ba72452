// SPDX-License-Identifier: GPL-2.0-only
//! Sets of registers, each known by the type of its note in a core dump (Linux 6.1,
//! `arch/x86/kernel/ptrace.c`, `x86_64_regsets`, `x86_32_regsets`; `kernel/ptrace.c`,
//! `ptrace_regset`).
//!
//! A thread that runs 64-bit code has 64-bit registers, any other one those of i386. Who reads
//! them has to see by their length which it got.

use super::fpregs::{
    fpregs_get, fpregs_set, xfpregs_get, xfpregs_set, xstate_size, xstateregs_get, xstateregs_set,
};
use super::ia32::{USER_REGS32, genregs32_get, genregs32_set};
use super::{Stopped, USER_REGS, set_user_regs};
use crate::arch::x86::kernel::fpu::regset::Fsave;
use crate::arch::x86::kernel::fpu::xstate::{FXSAVE_SIZE, use_fxsr};
use crate::arch::x86::kernel::ioport::IO_BITMAP_BYTES;
use crate::arch::x86::kernel::ldt::UserDesc;
use crate::arch::x86::kernel::tls::{TLS_ENTRIES, regset_tls_active, regset_tls_get, regset_tls_set};
use crate::arch::x86::lib::usercopy::{copy_from_user, copy_to_user};
use crate::arch::x86::ptrace::PtRegs;
use crate::errno::{EINVAL, ENXIO, EOPNOTSUPP, Result};
use crate::kernel::ptrace::Tracee;
use crate::mm::util::kvcalloc;
use alloc::vec::Vec;
use zerocopy::IntoBytes;

/// General registers; in a core dump with more about the thread.
pub const NT_PRSTATUS: u32 = 1;
/// x87 registers; in 64-bit code the SSE registers with them.
pub const NT_PRFPREG: u32 = 2;
/// Both, in 32-bit code.
pub const NT_PRXFPREG: u32 = 0x46e6_2b7f;
const NT_386_TLS: u32 = 0x200;
const NT_386_IOPERM: u32 = 0x201;
const NT_X86_XSTATE: u32 = 0x202;

/// A kind of registers (`struct user_regset`).
pub struct UserRegset {
    /// Its name: the type of its note.
    pub note: u32,
    /// Bytes of one of them.
    size: usize,
    /// Bytes of all of them.
    len: fn() -> usize,
    /// Whether there is anything to dump of a thread.
    pub active: fn(Stopped<'_>) -> bool,
    /// All of them.
    pub get: fn(Stopped<'_>) -> Result<Vec<u8>>,
    /// Changes the first bytes; `None` if they cannot be changed.
    set: Option<fn(&Tracee, &[u8]) -> Result>,
}

/// The sets of one architecture (`struct user_regset_view`).
pub struct UserRegsetView {
    /// Its number in ELF files (`EM_*`).
    pub machine: u16,
    /// The general ones first.
    pub sets: &'static [UserRegset],
}

const ALWAYS: fn(Stopped<'_>) -> bool = |_| true;

const XSTATE: UserRegset = UserRegset {
    note: NT_X86_XSTATE,
    size: 8,
    len: xstate_size,
    active: |_| xstate_size() != 0,
    get: xstateregs_get,
    set: Some(xstateregs_set),
};

/// I/O ports: a set bit forbids.
const fn ioperm(size: usize) -> UserRegset {
    UserRegset {
        note: NT_386_IOPERM,
        size,
        len: || IO_BITMAP_BYTES,
        active: |t| t.thread().io.has_bitmap(),
        get: |t| t.thread().io.with_bitmap(|bits| bytes(bits.ok_or(ENXIO)?)),
        set: None,
    }
}

/// What 64-bit code has.
pub static X86_64: UserRegsetView = UserRegsetView {
    machine: 62,
    sets: &[
        UserRegset {
            note: NT_PRSTATUS,
            size: 8,
            len: || USER_REGS * 8,
            active: ALWAYS,
            get: |t| bytes(t.user_regs().as_bytes()),
            set: Some(|t, bytes| {
                let (words, _) = bytes.as_chunks();
                let mut all = [0; USER_REGS];
                all.iter_mut().zip(words).for_each(|(to, w)| *to = u64::from_le_bytes(*w));
                set_user_regs(t, &all[..words.len()])
            }),
        },
        UserRegset {
            note: NT_PRFPREG,
            size: 8,
            len: || FXSAVE_SIZE,
            active: ALWAYS,
            get: xfpregs_get,
            set: Some(xfpregs_set),
        },
        XSTATE,
        ioperm(8),
    ],
};

/// What other code has.
pub static X86_32: UserRegsetView = UserRegsetView {
    machine: 3,
    sets: &[
        UserRegset {
            note: NT_PRSTATUS,
            size: 4,
            len: || USER_REGS32 * 4,
            active: ALWAYS,
            get: |t| bytes(genregs32_get(t).as_bytes()),
            set: Some(|t, bytes| {
                let (words, _) = bytes.as_chunks();
                words.iter().enumerate().try_for_each(|(i, w)| genregs32_set(t, i, u32::from_le_bytes(*w)))
            }),
        },
        UserRegset {
            note: NT_PRFPREG,
            size: 4,
            len: || size_of::<Fsave>(),
            active: ALWAYS,
            get: fpregs_get,
            set: Some(fpregs_set),
        },
        UserRegset {
            note: NT_PRXFPREG,
            size: 4,
            len: || FXSAVE_SIZE,
            active: |_| use_fxsr(),
            get: xfpregs_get,
            set: Some(xfpregs_set),
        },
        XSTATE,
        UserRegset {
            note: NT_386_TLS,
            size: size_of::<UserDesc>(),
            len: || TLS_ENTRIES * size_of::<UserDesc>(),
            active: |t| regset_tls_active(t.thread()),
            get: |t| bytes(regset_tls_get(t.thread()).as_bytes()),
            set: Some(|t, bytes| regset_tls_set(t.arch_thread(), bytes)),
        },
        ioperm(4),
    ],
};

/// A copy that may fail.
pub(super) fn bytes(b: &[u8]) -> Result<Vec<u8>> {
    let mut v: Vec<u8> = kvcalloc(b.len())?;
    v.copy_from_slice(b);
    Ok(v)
}

/// What a thread has whose registers are `regs` (`task_user_regset_view`).
pub fn task_user_regset_view(regs: &PtRegs) -> &'static UserRegsetView {
    if regs.user_64bit_mode() { &X86_64 } else { &X86_32 }
}

impl UserRegset {
    /// Copies the first `len` bytes to user mode (`copy_regset_to_user`).
    fn copy_to_user(&self, t: &Tracee, len: usize, to: usize) -> Result {
        copy_to_user(to, &(self.get)(t.stopped())?[..len])
    }
    /// Takes the first `len` bytes from user mode (`copy_regset_from_user`).
    fn copy_from_user(&self, t: &Tracee, len: usize, from: usize) -> Result {
        let set = self.set.ok_or(EOPNOTSUPP)?;
        let mut bytes: Vec<u8> = kvcalloc(len)?;
        copy_from_user(&mut bytes, from)?;
        set(t, &bytes)
    }
}

impl UserRegsetView {
    fn find(&self, note: u32) -> Result<&UserRegset> {
        self.sets.iter().find(|s| s.note == note).ok_or(EINVAL)
    }
    /// Copies a whole set to user mode.
    pub fn get(&self, t: &Tracee, note: u32, to: usize) -> Result {
        let set = self.find(note)?;
        set.copy_to_user(t, (set.len)(), to)
    }
    /// Takes a whole set from user mode.
    pub fn set(&self, t: &Tracee, note: u32, from: usize) -> Result {
        let set = self.find(note)?;
        set.copy_from_user(t, (set.len)(), from)
    }
}

/// `PTRACE_GETREGSET` (or `PTRACE_SETREGSET`: `write`) with a buffer of `len` bytes; returns how many
/// were looked at (`ptrace_regset`).
pub fn ptrace_regset(t: &Tracee, write: bool, note: usize, buf: usize, len: usize) -> Result<usize> {
    let set = task_user_regset_view(t.regs()).find(note as u32)?;
    if !len.is_multiple_of(set.size) {
        return Err(EINVAL);
    }
    let len = len.min((set.len)());
    if write { set.copy_from_user(t, len, buf) } else { set.copy_to_user(t, len, buf) }?;
    Ok(len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_have_whole_members() {
        for view in [&X86_64, &X86_32] {
            assert_eq!(view.sets[0].note, NT_PRSTATUS);
            for set in view.sets {
                assert!((set.len)().is_multiple_of(set.size));
            }
        }
        let lens = |view: &UserRegsetView| [0, 1].map(|i| (view.sets[i].len)());
        assert_eq!((lens(&X86_64), lens(&X86_32)), ([216, 512], [68, 108]));
    }

    #[test]
    fn the_code_decides() {
        let view = |cs: u64| task_user_regset_view(&PtRegs { cs: cs.into(), ..PtRegs::default() }).machine;
        assert_eq!((view(0x33), view(0x23), view(7)), (62, 3, 3));
    }
}
