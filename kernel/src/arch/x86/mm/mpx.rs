// SPDX-License-Identifier: GPL-2.0-only
//! Memory Protection Extensions: pointers with bounds (Linux 4.x, `arch/x86/mm/mpx.c`, which
//! 5.6 has removed; the documents' `do_bounds`).
//!
//! A program enables them for itself, in BNDCFGU, and checks with `bndcl` and `bndcu`. What a
//! check finds is #BR, and BNDSTATUS says which:
//!
//! * 1: a pointer is out of its bounds: `SIGSEGV`, `SEGV_BNDERR`, with pointer and bounds.
//! * 2: a bounds table is missing, where a pointer's bounds are to be kept: if the program has
//!   asked for it (`prctl(PR_MPX_ENABLE_MANAGEMENT)`), it gets one and goes on.
//! * 0: it was not a check, but `bound`, or `int $5`.
//!
//! `nompx` takes the extensions from the CPU.

use crate::arch::x86::kernel::fpu::xstate::{read_xsave_field, xfeature, xfeatures};
use crate::arch::x86::lib::insn_eval::{addr_ref, code_bits, decode_from_regs, fetch_from_user, gpr, gpr_of};
use crate::arch::x86::lib::usercopy::{get_user, put_user};
use crate::arch::x86::ptrace::PtRegs;
use crate::errno::{EFAULT, EINVAL, ENXIO, Result};
use crate::kernel::signal::KernelSiginfo;
use crate::kernel::signal::siginfo::{SEGV_BNDERR, SigFields};
use crate::kernel::signal::sigset::SIGSEGV;
use crate::kernel::task::current;
use crate::mm::mm_struct::Mm;
use core::sync::atomic::{AtomicUsize, Ordering};
use iced_x86::{Instruction, Mnemonic, OpKind, Register};
use linux_raw_sys::general::{MAP_ANONYMOUS, MAP_PRIVATE, PROT_READ, PROT_WRITE};

/// BNDCFGU: the extensions are on.
const BNDCFG_ENABLE: u64 = 1;
/// BNDCFGU and BNDSTATUS: the address in them.
const BNDCFG_ADDR: u64 = !0xfff;
const BNDSTA_ERROR_CODE: u64 = 3;
/// An entry of the directory leads to a table.
const BD_ENTRY_VALID: u64 = 1;
/// A directory covers the user's half: 2^28 entries of 8 bytes.
const BD_SIZE: u64 = 1 << 31;
/// A table: 2^17 entries of 32 bytes.
const BT_SIZE: usize = 4 << 20;

/// Where the program's bounds directory is, if the kernel keeps its tables.
pub struct BoundsDirectory(AtomicUsize);

/// None.
const MPX_INVALID_BOUNDS_DIR: usize = usize::MAX;

impl BoundsDirectory {
    /// None.
    pub const fn new() -> Self {
        Self(AtomicUsize::new(MPX_INVALID_BOUNDS_DIR))
    }

    /// A child's.
    #[must_use]
    pub fn copy(&self) -> Self {
        Self(AtomicUsize::new(self.0.load(Ordering::Relaxed)))
    }

    fn get(&self) -> Option<u64> {
        let at = self.0.load(Ordering::Relaxed);
        (at != MPX_INVALID_BOUNDS_DIR).then_some(at as u64)
    }
}

impl Default for BoundsDirectory {
    fn default() -> Self {
        Self::new()
    }
}

/// What BNDCFGU and BNDSTATUS are for the running task (`struct mpx_bndcsr`); `None` without
/// the extensions, or if both are as at the beginning.
fn bndcsr() -> Option<[u64; 2]> {
    if xfeatures() & xfeature::BNDCSR == 0 {
        return None;
    }
    let mut b = [0; 16];
    read_xsave_field(xfeature::BNDCSR, 0, &mut b)?;
    Some([0, 8].map(|at| word(&b, at)))
}

fn word(b: &[u8; 16], at: usize) -> u64 {
    u64::from_le_bytes(b[at..at + 8].try_into().unwrap_or_default())
}

/// What a #BR of user mode's was.
pub enum Bounds {
    /// Not the extensions' matter, or nobody's who could be told more.
    Other,
    /// A table was missing, and is there now.
    Handled,
    /// The signal.
    Violation(KernelSiginfo),
}

/// Why there was a #BR.
pub fn handle_bounds(regs: &PtRegs) -> Bounds {
    let Some([cfg, bndstatus]) = bndcsr() else { return Bounds::Other };
    match bndstatus & BNDSTA_ERROR_CODE {
        1 => mpx_generate_siginfo(regs).map_or(Bounds::Other, Bounds::Violation),
        2 => mpx_handle_bd_fault(cfg, bndstatus).map_or(Bounds::Other, |()| Bounds::Handled),
        // 0 is not a check; 3 is nothing: a program can put it there.
        _ => Bounds::Other,
    }
}

/// The bounds register of a check, if it is one.
fn checked_register(insn: &Instruction) -> Option<usize> {
    if !matches!(insn.mnemonic(), Mnemonic::Bndcl | Mnemonic::Bndcu | Mnemonic::Bndcn) {
        return None;
    }
    let n = (insn.op0_register() as usize).checked_sub(Register::BND0 as usize)?;
    (n < 4).then_some(n)
}

/// What a check compares: the address of its operand, or the register.
fn checked_address(insn: &Instruction, regs: &PtRegs) -> Option<u64> {
    if insn.op1_kind() == OpKind::Register {
        let (n, mask) = gpr_of(insn.op1_register())?;
        return Some(gpr(regs, n)?.get() & mask);
    }
    addr_ref(insn, 1, regs, code_bits(regs)?)
}

/// The signal for a pointer out of its bounds; `None` if there is no check at `regs`.
fn mpx_generate_siginfo(regs: &PtRegs) -> Option<KernelSiginfo> {
    let insn = decode_from_regs(regs, &fetch_from_user(regs)?)?;
    let n = checked_register(&insn)?;
    let mut b = [0; 16];
    read_xsave_field(xfeature::BNDREGS, 16 * n, &mut b)?;
    // The register holds the upper bound inverted.
    let (lower, upper) = (word(&b, 0), !word(&b, 8));
    let addr = checked_address(&insn, regs)?;
    Some(KernelSiginfo::new(SIGSEGV, SEGV_BNDERR, SigFields::FaultBnd { addr, lower, upper }))
}

/// A table is missing that an entry of the directory should lead to. The CPU takes its memory
/// from the program: so does the kernel.
fn mpx_handle_bd_fault(cfg: u64, bndstatus: u64) -> Result {
    let mm = current().get_mm().ok_or(EINVAL)?;
    mm.bd_addr.get().ok_or(EINVAL)?;
    let entry = bndstatus & !BNDSTA_ERROR_CODE;
    // A program can say anything in BNDSTATUS: what is not in the directory is not touched.
    if !(cfg & BNDCFG_ADDR..(cfg & BNDCFG_ADDR).saturating_add(BD_SIZE)).contains(&entry) {
        return Err(EINVAL);
    }
    allocate_bt(entry as usize)
}

/// Maps a table, and has the directory's entry lead to it, unless it does to another meanwhile.
fn allocate_bt(entry: usize) -> Result {
    let (prot, flags) = (PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
    let table = crate::mm::mmap::sys_mmap(0, BT_SIZE, prot, flags, -1, 0)?;
    match enter(entry, table as u64 | BD_ENTRY_VALID) {
        Ok(true) => Ok(()),
        Ok(false) => crate::mm::mmap::sys_munmap(table, BT_SIZE).map(|_| ()),
        Err(e) => {
            let _ = crate::mm::mmap::sys_munmap(table, BT_SIZE);
            Err(e)
        }
    }
}

/// Sets an entry that is 0; returns whether it was.
fn enter(entry: usize, value: u64) -> Result<bool> {
    // Now the page is there and can be written: from here on nothing sleeps, and the kernel is
    // not preempted.
    let before: u64 = get_user(entry)?;
    put_user(entry, &before)?;
    match get_user::<u64>(entry)? {
        0 => put_user(entry, &value).map(|()| true),
        found if found & BD_ENTRY_VALID != 0 => Ok(false),
        _ => Err(EFAULT),
    }
}

/// `prctl(PR_MPX_ENABLE_MANAGEMENT)`: the kernel allocates bounds tables for the directory that
/// BNDCFGU names now.
///
/// # Errors
/// `ENXIO` if the program has not enabled the extensions.
pub fn mpx_enable_management(mm: &Mm) -> Result {
    let [cfg, _] = bndcsr().ok_or(ENXIO)?;
    if cfg & BNDCFG_ENABLE == 0 {
        return Err(ENXIO);
    }
    mm.bd_addr.0.store((cfg & BNDCFG_ADDR) as usize, Ordering::Relaxed);
    Ok(())
}

/// `prctl(PR_MPX_DISABLE_MANAGEMENT)`.
///
/// # Errors
/// `ENXIO` without the extensions.
pub fn mpx_disable_management(mm: &Mm) -> Result {
    if xfeatures() & xfeature::BNDCSR == 0 {
        return Err(ENXIO);
    }
    mm.bd_addr.0.store(MPX_INVALID_BOUNDS_DIR, Ordering::Relaxed);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use iced_x86::{Decoder, DecoderOptions};

    fn decode(bytes: &[u8]) -> Instruction {
        Decoder::with_ip(64, bytes, 0x1000, DecoderOptions::MPX).decode()
    }

    #[test]
    fn checks_and_what_they_check() {
        let regs = PtRegs { cx: 0x1111.into(), r9: 0x2222.into(), ..PtRegs::default() };
        for (bytes, register, address) in [
            (&[0xf3, 0x0f, 0x1a, 0x01][..], Some(0), Some(0x1111)), // bndcl bnd0, [rcx]
            (&[0xf2, 0x0f, 0x1a, 0xd9], Some(3), Some(0x1111)),     // bndcu bnd3, rcx
            (&[0xf2, 0x41, 0x0f, 0x1b, 0xc9], Some(1), Some(0x2222)), // bndcn bnd1, r9
            (&[0xf3, 0x0f, 0x1b, 0x01], None, None),                // bndmk bnd0, [rcx]
            (&[0x90], None, None),
        ] {
            let insn = decode(bytes);
            assert_eq!(checked_register(&insn), register, "{bytes:02x?}");
            if register.is_some() && insn.op1_kind() == OpKind::Register {
                assert_eq!(checked_address(&insn, &regs), address, "{bytes:02x?}");
            }
        }
    }
}
