// SPDX-License-Identifier: GPL-2.0-only
//! The FPU's registers as sets (Linux 6.1, `arch/x86/kernel/fpu/regset.c`).

use super::Stopped;
use crate::arch::x86::kernel::fpu::core::{FCW_INIT, MXCSR_INIT};
use crate::arch::x86::kernel::fpu::regset::{Fsave, Fxsave};
use crate::arch::x86::kernel::fpu::xstate::{self, FXSAVE_SIZE, XSAVE_HDR_OFFSET, XstateHeader, xfeature};
use crate::errno::{EFAULT, EINVAL, ENODEV, Result};
use crate::kernel::ptrace::Tracee;
use crate::mm::util::kvcalloc;
use alloc::vec::Vec;
use zerocopy::{FromBytes, IntoBytes};

/// The part of the FPU image that FXSAVE knows.
fn fxregs(t: Stopped<'_>) -> Fxsave {
    let mut fx = Fxsave::EMPTY;
    t.thread().fpu.image().read(0, &mut fx.0);
    if xstate::use_xsave() {
        // What software keeps there is for signal frames.
        fx.0[464..].fill(0);
    }
    fx
}

/// Which components are not in their initial state, as XSAVE noted.
fn in_use(t: Stopped<'_>) -> u64 {
    let mut bv = [0; 8];
    t.thread().fpu.image().read(XSAVE_HDR_OFFSET, &mut bv);
    u64::from_le_bytes(bv) & xstate::xfeatures()
}

/// The part that FXSAVE knows, of which what belongs to no component of `features` has its initial
/// value: the image may have older ones there (`__copy_xstate_to_uabi_buf`).
fn fxregs_of(t: Stopped<'_>, features: u64) -> Fxsave {
    let mut fx = fxregs(t);
    if !xstate::use_xsave() {
        return fx;
    }
    let features = in_use(t) & features;
    if features & xfeature::FP == 0 {
        fx.0[..24].fill(0);
        fx.0[..2].copy_from_slice(&FCW_INIT.to_le_bytes());
        fx.0[32..160].fill(0);
    }
    if features & (xfeature::SSE | xfeature::YMM) == 0 {
        fx.0[24..28].copy_from_slice(&MXCSR_INIT.to_le_bytes());
    }
    if features & xfeature::SSE == 0 {
        fx.0[160..416].fill(0);
    }
    fx
}

/// `xfpregs_get`.
pub(super) fn xfpregs_get(t: Stopped<'_>) -> Result<Vec<u8>> {
    super::regset::bytes(&fxregs_of(t, xfeature::FPSSE).0)
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

/// Replaces registers in the image, of which XSAVE is told that they are in use.
fn put_fxregs(t: &Tracee, fx: &[u8], features: u64) {
    let fpu = &t.arch_thread().fpu;
    // Not MXCSR's mask, nor what lies behind the registers.
    fpu.image().write(0, &fx[..28]);
    fpu.image().write(32, &fx[32..416]);
    if xstate::use_xsave() {
        let mut bv = [0; 8];
        fpu.image().read(XSAVE_HDR_OFFSET, &mut bv);
        let bv = u64::from_le_bytes(bv) | features;
        fpu.image().write(XSAVE_HDR_OFFSET, &bv.to_le_bytes());
    }
    fpu.image_changed();
}

/// `xfpregs_set`: all or nothing. A 32-bit caller has eight XMM registers.
pub(super) fn xfpregs_set(t: &Tracee, fx: &[u8]) -> Result {
    let mut fx: [u8; FXSAVE_SIZE] = fx.try_into().map_err(|_| EINVAL)?;
    if !mxcsr_valid(t, &fx) {
        return Err(EINVAL);
    }
    if crate::arch::x86::ia32::in_compat_syscall() {
        fx[160 + 8 * 16..][..8 * 16].fill(0);
    }
    put_fxregs(t, &fx, xfeature::FPSSE);
    Ok(())
}

/// `fpregs_get`: the x87 state as FSAVE has it.
pub(super) fn fpregs_get(t: Stopped<'_>) -> Result<Vec<u8>> {
    let f = fxregs_of(t, xfeature::FP).to_fsave(t.regs().cs.get() as u16, t.thread().ds.get());
    super::regset::bytes(f.as_bytes())
}

/// `fpregs_set`.
pub(super) fn fpregs_set(t: &Tracee, f: &[u8]) -> Result {
    let f = Fsave::read_from_bytes(f).map_err(|_| EINVAL)?;
    let mut fx = fxregs(t.stopped());
    fx.take_fsave(&f);
    put_fxregs(t, &fx.0, xfeature::FP);
    Ok(())
}

/// Bytes of the whole state; none without XSAVE.
pub(super) fn xstate_size() -> usize {
    if xstate::use_xsave() { xstate::user_size() } else { 0 }
}

/// The whole XSAVE image, with the enabled components where debuggers look for them
/// (`xstateregs_get`).
///
/// # Errors
/// `ENODEV`, `ENOMEM`.
pub(super) fn xstateregs_get(t: Stopped<'_>) -> Result<Vec<u8>> {
    /// Where XCR0 stands in the part that is software's.
    const XSAVE_XCR0_OFFSET: usize = 464;
    if !xstate::use_xsave() {
        return Err(ENODEV);
    }
    let features = in_use(t);
    let mut image: Vec<u8> = kvcalloc(xstate::user_size())?;
    let fx = fxregs_of(t, features).0;
    image[..416].copy_from_slice(&fx[..416]);
    image[XSAVE_XCR0_OFFSET..XSAVE_XCR0_OFFSET + 8].copy_from_slice(&xstate::xfeatures().to_le_bytes());
    image[XSAVE_HDR_OFFSET..XSAVE_HDR_OFFSET + 8].copy_from_slice(&features.to_le_bytes());
    for place in xstate::extended_places(features) {
        t.thread().fpu.image().read(place.start, &mut image[place]);
    }
    Ok(image)
}

/// `xstateregs_set`: all or nothing; components that are not in it get their initial state
/// (`copy_uabi_to_xstate`).
pub(super) fn xstateregs_set(t: &Tracee, image: &[u8]) -> Result {
    /// What MXCSR comes with.
    const WITH_MXCSR: u64 = xfeature::FPSSE | xfeature::YMM;
    if !xstate::use_xsave() {
        return Err(ENODEV);
    }
    if image.len() != xstate::user_size() {
        return Err(EFAULT);
    }
    let (h, _) = XstateHeader::read_from_prefix(&image[XSAVE_HDR_OFFSET..]).map_err(|_| EFAULT)?;
    let bad_header = h.xfeatures & !xstate::xfeatures() != 0 || h.xcomp_bv != 0 || h.reserved != [0; 6];
    if bad_header || (h.xfeatures & WITH_MXCSR != 0 && !mxcsr_valid(t, image)) {
        return Err(EINVAL);
    }
    let image_of = t.arch_thread().fpu.image();
    let mut fx = fxregs(t.stopped()).0;
    if h.xfeatures & xfeature::FP != 0 {
        fx[..24].copy_from_slice(&image[..24]);
        fx[32..160].copy_from_slice(&image[32..160]);
    }
    if h.xfeatures & WITH_MXCSR != 0 {
        fx[24..28].copy_from_slice(&image[24..28]);
    }
    if h.xfeatures & xfeature::SSE != 0 {
        fx[160..416].copy_from_slice(&image[160..416]);
    }
    for place in xstate::extended_places(h.xfeatures) {
        image_of.write(place.start, &image[place]);
    }
    image_of.write(XSAVE_HDR_OFFSET, h.as_bytes());
    put_fxregs(t, &fx, 0);
    Ok(())
}
