// SPDX-License-Identifier: GPL-2.0-only
//! A tracee's registers, as its tracer reads and writes them (Linux 6.1,
//! `arch/x86/kernel/ptrace.c`, `arch/x86/kernel/fpu/regset.c`).
//!
//! The tracee is always shown as a 64-bit one, also while it runs 32-bit code.

use crate::arch::x86::kernel::fpu::xstate::{self, FXSAVE_SIZE, XSAVE_HDR_OFFSET, XstateHeader, xfeature};
use crate::arch::x86::kernel::hw_breakpoint::{ptrace_get_debugreg, ptrace_set_debugreg};
use crate::arch::x86::kernel::ldt::UserDesc;
use crate::arch::x86::kernel::process_64::Thread;
use crate::arch::x86::kernel::tls::{ptrace_get_thread_area, ptrace_set_thread_area};
use crate::arch::x86::lib::insn_eval::descriptor_of;
use crate::arch::x86::lib::usercopy::{TASK_SIZE_MAX, copy_from_user, copy_to_user, get_user, put_user};
use crate::arch::x86::ptrace::{PtRegs, eflags};
use crate::errno::{EFAULT, EINVAL, EIO, ENODEV, EPERM, Result};
use crate::kernel::ptrace::Tracee;
use crate::kernel::task::{Task, tif};
use crate::mm::util::kvcalloc;
use alloc::vec::Vec;
use core::cell::Cell;
use linux_raw_sys::ptrace as nr;
use zerocopy::{FromBytes, IntoBytes};

/// `user_regs_struct`: how many words it has.
pub const USER_REGS: usize = 27;

/// Words of `user_regs_struct` with rules of their own.
mod word {
    pub const CS: usize = 17;
    pub const FLAGS: usize = 18;
    pub const SS: usize = 20;
    pub const FS_BASE: usize = 21;
    pub const GS_BASE: usize = 22;
    pub const DS: usize = 23;
    pub const ES: usize = 24;
    pub const FS: usize = 25;
    pub const GS: usize = 26;
}

/// Flags that a tracer may change (`FLAG_MASK`).
const FLAG_MASK: u64 = eflags::CF
    | eflags::PF
    | eflags::AF
    | eflags::ZF
    | eflags::SF
    | eflags::TF
    | eflags::DF
    | eflags::OF
    | eflags::RF
    | eflags::AC
    | eflags::NT;

/// `struct user`: its size, and where its debug registers are. The registers are at its beginning.
const SIZEOF_USER: usize = 912;
const OFFSET_DEBUGREG: usize = 848;

impl Tracee {
    /// The registers that user mode was left with.
    pub fn regs(&self) -> PtRegs {
        // SAFETY: a frozen task does not run; its user registers are on its stack.
        unsafe { *self.pt_regs() }
    }
    /// Replaces them.
    pub fn set_regs(&self, regs: &PtRegs) {
        // SAFETY: as above; nothing of the kernel's depends on them.
        unsafe { *self.pt_regs() = *regs }
    }
    /// Its architecture state, as it was saved when it was switched away.
    pub fn arch_thread(&self) -> &Thread {
        // SAFETY: as above.
        unsafe { &*self.thread.get() }
    }
}

/// A thread's registers in `user_regs_struct`'s order.
///
/// # Safety
/// The thread is switched out and stays so, or it is the running one, whose segment registers
/// were saved.
pub unsafe fn user_regs(t: &Task) -> [u64; USER_REGS] {
    // SAFETY: as promised.
    let r: PtRegs = unsafe { *t.pt_regs() };
    // SAFETY: as promised.
    let s = unsafe { &*t.thread.get() };
    let mut all = [0; USER_REGS];
    let words: [u64; 21] = zerocopy::transmute!(r);
    all[..21].copy_from_slice(&words);
    // The trap flag may be the tracer's (`get_flags`).
    if t.test_flag(tif::FORCED_TF) {
        all[word::FLAGS] &= !eflags::TF;
    }
    all[word::FS_BASE] = read_base(t, s, &s.fsbase, &s.fsindex);
    all[word::GS_BASE] = read_base(t, s, &s.gsbase, &s.gsindex);
    for (at, sel) in [(word::DS, &s.ds), (word::ES, &s.es), (word::FS, &s.fsindex), (word::GS, &s.gsindex)] {
        all[at] = u64::from(sel.get());
    }
    all
}

/// The base that goes with a thread's FS or GS: what `arch_prctl` set while the selector is null,
/// else its descriptor's (Linux 6.1, `arch/x86/kernel/process_64.c`, `x86_gsbase_read_task` without
/// FSGSBASE).
fn read_base(task: &Task, thread: &Thread, base: &Cell<u64>, index: &Cell<u16>) -> u64 {
    match index.get() {
        0 => base.get(),
        selector => descriptor_of(task, thread, selector)
            .map_or(0, |d| u64::from(UserDesc::from_descriptor(0, d).base_addr)),
    }
}

/// A selector that user mode cannot have (`invalid_selector`).
const fn invalid_selector(v: u64) -> bool {
    v as u16 != 0 && v & 3 != 3
}

/// Changes one word of `user_regs_struct` (`putreg`).
///
/// # Errors
/// `EIO` for what no register can hold.
fn putreg(t: &Tracee, at: usize, value: u64) -> Result {
    let thread = t.arch_thread();
    let mut regs = t.regs();
    match at {
        word::FS_BASE | word::GS_BASE => {
            if value >= TASK_SIZE_MAX as u64 {
                return Err(EIO);
            }
            if at == word::FS_BASE { &thread.fsbase } else { &thread.gsbase }.set(value);
            return Ok(());
        }
        word::DS | word::ES | word::FS | word::GS => {
            if invalid_selector(value) {
                return Err(EIO);
            }
            let cell = match at {
                word::DS => &thread.ds,
                word::ES => &thread.es,
                word::FS => &thread.fsindex,
                _ => &thread.gsindex,
            };
            cell.set(value as u16);
            return Ok(());
        }
        word::CS | word::SS => {
            if invalid_selector(value) || value as u16 == 0 {
                return Err(EIO);
            }
            *(if at == word::CS { &mut regs.cs } else { &mut regs.ss }) = value & 0xffff;
        }
        word::FLAGS => regs.flags = new_flags(t, regs.flags, value),
        0..21 => {
            let mut words: [u64; 21] = zerocopy::transmute!(regs);
            words[at] = value;
            regs = zerocopy::transmute!(words);
        }
        _ => return Err(EIO),
    }
    t.set_regs(&regs);
    Ok(())
}

/// A trap flag that the tracer writes is the program's from then on (`set_flags`).
fn new_flags(t: &Tracee, old: u64, mut value: u64) -> u64 {
    if value & eflags::TF != 0 {
        t.clear_flag(tif::FORCED_TF);
    } else if t.test_flag(tif::FORCED_TF) {
        value |= eflags::TF;
    }
    old & !FLAG_MASK | value & FLAG_MASK
}

fn get_user_regs(t: &Tracee) -> [u64; USER_REGS] {
    // SAFETY: a frozen tracee is switched out.
    unsafe { user_regs(t) }
}

/// Changes registers from word `from` on, until one is refused.
fn set_user_regs(t: &Tracee, words: &[u64]) -> Result {
    words.iter().enumerate().try_for_each(|(i, &w)| putreg(t, i, w))
}

/// The part of the FPU image that FXSAVE knows.
fn fxregs(t: &Tracee) -> [u8; FXSAVE_SIZE] {
    let mut fx = [0; FXSAVE_SIZE];
    t.arch_thread().fpu.image().read(0, &mut fx);
    if xstate::use_xsave() {
        // What software keeps there is for signal frames.
        fx[464..].fill(0);
    }
    fx
}

/// MXCSR's bits on a CPU that does not say which it has.
const DEFAULT_MXCSR_MASK: u32 = 0xffbf;

/// Whether MXCSR has no bit that the CPU would refuse.
fn mxcsr_valid(t: &Tracee, fx: &[u8]) -> bool {
    let word = |b: &[u8]| u32::from_le_bytes([b[24], b[25], b[26], b[27]]);
    let mut own = [0; 32];
    t.arch_thread().fpu.image().read(0, &mut own);
    let mask = u32::from_le_bytes([own[28], own[29], own[30], own[31]]);
    word(fx) & !if mask == 0 { DEFAULT_MXCSR_MASK } else { mask } == 0
}

/// `xfpregs_set`.
fn set_fxregs(t: &Tracee, fx: &[u8; FXSAVE_SIZE]) -> Result {
    if !mxcsr_valid(t, fx) {
        return Err(EINVAL);
    }
    let fpu = &t.arch_thread().fpu;
    // Not MXCSR's mask, nor what lies behind the registers.
    fpu.image().write(0, &fx[..28]);
    fpu.image().write(32, &fx[32..416]);
    if xstate::use_xsave() {
        let mut bv = [0; 8];
        fpu.image().read(XSAVE_HDR_OFFSET, &mut bv);
        let bv = u64::from_le_bytes(bv) | xfeature::FPSSE;
        fpu.image().write(XSAVE_HDR_OFFSET, &bv.to_le_bytes());
    }
    fpu.image_changed();
    Ok(())
}

/// The whole XSAVE image, with the enabled components where debuggers look for them.
///
/// # Errors
/// `ENOMEM`.
///
/// # Safety
/// As for [`user_regs`]; of the running task, the registers were saved.
pub unsafe fn xstate_image(t: &Task) -> Result<Vec<u8>> {
    /// Where XCR0 stands in the part that is software's.
    const XSAVE_XCR0_OFFSET: usize = 464;
    let mut image: Vec<u8> = kvcalloc(xstate::user_size().max(FXSAVE_SIZE))?;
    // SAFETY: as promised.
    unsafe { &*t.thread.get() }.fpu.image().read(0, &mut image);
    image[XSAVE_XCR0_OFFSET..FXSAVE_SIZE].fill(0);
    image[XSAVE_XCR0_OFFSET..XSAVE_XCR0_OFFSET + 8].copy_from_slice(&xstate::xfeatures().to_le_bytes());
    Ok(image)
}

/// `xstateregs_set`: all or nothing.
fn set_xstate(t: &Tracee, image: &[u8]) -> Result {
    if image.len() != xstate::user_size() {
        return Err(EFAULT);
    }
    let (h, _) = XstateHeader::read_from_prefix(&image[XSAVE_HDR_OFFSET..]).map_err(|_| EFAULT)?;
    let bad_header = h.xfeatures & !xstate::xfeatures() != 0 || h.xcomp_bv != 0 || h.reserved != [0; 6];
    if bad_header || (h.xfeatures & (xfeature::SSE | xfeature::YMM) != 0 && !mxcsr_valid(t, image)) {
        return Err(EINVAL);
    }
    let mut fx = fxregs(t);
    if h.xfeatures & xfeature::FP != 0 {
        fx[..24].copy_from_slice(&image[..24]);
        fx[32..160].copy_from_slice(&image[32..160]);
    }
    if h.xfeatures & (xfeature::SSE | xfeature::YMM) != 0 {
        fx[24..28].copy_from_slice(&image[24..28]);
        fx[160..416].copy_from_slice(&image[160..416]);
    }
    let fpu = &t.arch_thread().fpu;
    fpu.image().write(0, &fx[..28]);
    fpu.image().write(32, &fx[32..416]);
    fpu.image().write(XSAVE_HDR_OFFSET, &image[XSAVE_HDR_OFFSET..]);
    fpu.image_changed();
    Ok(())
}

/// One kind of registers (`struct user_regset`).
#[derive(Clone, Copy)]
enum Regset {
    General,
    Fp,
    Xstate,
}

impl Regset {
    fn of_note(note: usize) -> Result<Self> {
        Ok(match note {
            1 => Self::General,
            2 => Self::Fp,
            0x202 if xstate::use_xsave() => Self::Xstate,
            0x202 => return Err(ENODEV),
            _ => return Err(EINVAL),
        })
    }

    fn get(self, t: &Tracee) -> Result<Vec<u8>> {
        let copy = |bytes: &[u8]| {
            let mut v: Vec<u8> = kvcalloc(bytes.len())?;
            v.copy_from_slice(bytes);
            Ok(v)
        };
        match self {
            Self::General => copy(get_user_regs(t).as_bytes()),
            Self::Fp => copy(&fxregs(t)),
            // SAFETY: a frozen tracee is switched out.
            Self::Xstate => unsafe { xstate_image(t) },
        }
    }

    /// Changes the first bytes; registers behind them stay.
    fn set(self, t: &Tracee, bytes: &[u8]) -> Result {
        match self {
            Self::General => {
                let words: Vec<u64> = bytes
                    .chunks_exact(8)
                    .map(|c| u64::from_le_bytes(c.try_into().unwrap_or_default()))
                    .collect();
                set_user_regs(t, &words)
            }
            Self::Fp => {
                let mut fx = fxregs(t);
                fx[..bytes.len()].copy_from_slice(bytes);
                set_fxregs(t, &fx)
            }
            Self::Xstate => set_xstate(t, bytes),
        }
    }

    fn size(self) -> usize {
        match self {
            Self::General => USER_REGS * 8,
            Self::Fp => FXSAVE_SIZE,
            Self::Xstate => xstate::user_size(),
        }
    }
}

/// Copies a whole set from user mode.
fn set_from_user(t: &Tracee, set: Regset, from: usize, len: usize) -> Result {
    let mut bytes: Vec<u8> = kvcalloc(len)?;
    copy_from_user(&mut bytes, from)?;
    set.set(t, &bytes)
}

/// `PTRACE_GETREGSET`, `PTRACE_SETREGSET`: `iov` points to a buffer and its length
/// (`ptrace_regset`).
pub fn ptrace_regset(t: &Tracee, request: u32, note: usize, iov: usize) -> Result<usize> {
    let [base, mut len]: [u64; 2] = get_user(iov)?;
    let set = Regset::of_note(note)?;
    if !len.is_multiple_of(8) {
        return Err(EINVAL);
    }
    len = len.min(set.size() as u64);
    if request == nr::PTRACE_GETREGSET {
        copy_to_user(base as usize, &set.get(t)?[..len as usize])?;
    } else {
        set_from_user(t, set, base as usize, len as usize)?;
    }
    put_user(iov + 8, &len)?;
    Ok(0)
}

fn aligned_in_user(addr: usize) -> Result {
    if !addr.is_multiple_of(8) || addr >= SIZEOF_USER { Err(EIO) } else { Ok(()) }
}

fn peekusr(t: &Tracee, addr: usize) -> Result<u64> {
    aligned_in_user(addr)?;
    Ok(match addr / 8 {
        at @ 0..USER_REGS => get_user_regs(t)[at],
        _ if addr >= OFFSET_DEBUGREG => ptrace_get_debugreg(t.arch_thread(), (addr - OFFSET_DEBUGREG) / 8),
        _ => 0,
    })
}

fn pokeusr(t: &Tracee, addr: usize, value: u64) -> Result {
    aligned_in_user(addr)?;
    match addr / 8 {
        at @ 0..USER_REGS => putreg(t, at, value),
        _ if addr >= OFFSET_DEBUGREG => {
            ptrace_set_debugreg(t, t.arch_thread(), (addr - OFFSET_DEBUGREG) / 8, value)
        }
        _ => Err(EIO),
    }
}

/// `PTRACE_ARCH_PRCTL` (`do_arch_prctl_64` of another task).
fn arch_prctl(t: &Tracee, option: usize, arg: usize) -> Result<usize> {
    const ARCH_SET_GS: usize = 0x1001;
    const ARCH_SET_FS: usize = 0x1002;
    const ARCH_GET_FS: usize = 0x1003;
    const ARCH_GET_GS: usize = 0x1004;
    let thread = t.arch_thread();
    let (base, index) = match option {
        ARCH_SET_FS | ARCH_GET_FS => (&thread.fsbase, &thread.fsindex),
        ARCH_SET_GS | ARCH_GET_GS => (&thread.gsbase, &thread.gsindex),
        _ => return Err(EINVAL),
    };
    if option == ARCH_GET_FS || option == ARCH_GET_GS {
        put_user(arg, &read_base(t, thread, base, index))?;
    } else if arg >= TASK_SIZE_MAX {
        return Err(EPERM);
    } else {
        index.set(0);
        base.set(arg as u64);
    }
    Ok(0)
}

/// The requests that only this architecture has; `None` for others (`arch_ptrace`).
pub fn arch_ptrace(t: &Tracee, request: u32, addr: usize, data: usize) -> Option<Result<usize>> {
    const GETREGS: u32 = 12;
    const SETREGS: u32 = 13;
    const GETFPREGS: u32 = 14;
    const SETFPREGS: u32 = 15;
    const GET_THREAD_AREA: u32 = 25;
    const SET_THREAD_AREA: u32 = 26;
    const ARCH_PRCTL: u32 = 30;
    let done = |r: Result| r.map(|()| 0);
    Some(match request {
        nr::PTRACE_PEEKUSR => peekusr(t, addr).and_then(|v| done(put_user(data, &v))),
        nr::PTRACE_POKEUSR => done(pokeusr(t, addr, data as u64)),
        GETREGS => done(copy_to_user(data, get_user_regs(t).as_bytes())),
        SETREGS => done(set_from_user(t, Regset::General, data, USER_REGS * 8)),
        GETFPREGS => done(copy_to_user(data, &fxregs(t))),
        SETFPREGS => done(set_from_user(t, Regset::Fp, data, FXSAVE_SIZE)),
        GET_THREAD_AREA => done(ptrace_get_thread_area(t.arch_thread(), addr as i32, data)),
        SET_THREAD_AREA => done(ptrace_set_thread_area(t.arch_thread(), addr as i32, data)),
        ARCH_PRCTL => arch_prctl(t, data, addr),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_of_user_mode() {
        assert!(!invalid_selector(0) && !invalid_selector(0x33) && !invalid_selector(7));
        assert!(invalid_selector(0x10) && invalid_selector(1) && invalid_selector(0x32));
    }

    #[test]
    fn struct_user_is_checked() {
        assert_eq!(aligned_in_user(4), Err(EIO));
        assert_eq!(aligned_in_user(912), Err(EIO));
        assert_eq!(aligned_in_user(904), Ok(()));
        assert_eq!(OFFSET_DEBUGREG + 8 * 8, SIZEOF_USER);
    }
}
