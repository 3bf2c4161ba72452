// SPDX-License-Identifier: GPL-2.0-only
//! The FPU state in signal frames (Linux 6.1, `arch/x86/kernel/fpu/signal.c`).
//!
//! The state goes from the registers straight to the user's stack and back, in the
//! instructions' own format, so that programs can read it. Linux adds words of its
//! own where FXSAVE leaves room ([`FpxSwBytes`]), and one behind the image, which
//! tell a full image from one that was cut to its first 512 bytes.

use super::core::{fpregs_activate, fpu_clear_user_states, fxregs, set_fxregs};
use super::regset::{Fsave, Fxsave};
use super::xstate::{self, FXSAVE_SIZE, MIN_XSTATE_SIZE, XSAVE_HDR_OFFSET, xfeature};
use crate::arch::x86::lib::usercopy::{
    access_ok, copy_from_user, copy_to_user, get_user, put_user, user_access,
};
use crate::mm::page_alloc::Page;
use core::mem::offset_of;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// In [`FpxSwBytes::magic1`]: the image may be more than 512 bytes.
pub const FP_XSTATE_MAGIC1: u32 = 0x4650_5853;
/// The word behind the image: it has not been cut.
pub const FP_XSTATE_MAGIC2: u32 = 0x4650_5845;
/// Size of that word.
pub const FP_XSTATE_MAGIC2_SIZE: usize = 4;
/// Where [`FpxSwBytes`] lies in the image.
const SW_RESERVED: usize = 464;

/// What the kernel writes where FXSAVE leaves room (`struct _fpx_sw_bytes`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct FpxSwBytes {
    /// [`FP_XSTATE_MAGIC1`].
    pub magic1: u32,
    /// Size of the image and of the word behind it.
    pub extended_size: u32,
    /// The components that the image has room for.
    pub xfeatures: u64,
    /// Size of the image.
    pub xstate_size: u32,
    padding: [u32; 7],
}

const _: () = {
    assert!(size_of::<FpxSwBytes>() == 48);
    assert!(SW_RESERVED + size_of::<FpxSwBytes>() == FXSAVE_SIZE);
    assert!(offset_of!(FpxSwBytes, xfeatures) == 8);
    assert!(offset_of!(FpxSwBytes, xstate_size) == 16);
};

/// What the CPU offers, as far as frames depend on it.
#[derive(Clone, Copy, Debug)]
pub struct FrameFormat {
    xsave: bool,
    xfeatures: u64,
    size: usize,
}

impl FrameFormat {
    /// This CPU's.
    #[inline]
    pub fn current() -> Self {
        Self { xsave: xstate::use_xsave(), xfeatures: xstate::xfeatures(), size: xstate::user_size() }
    }
    /// Bytes that a frame needs (`xstate_sigframe_size`).
    #[inline]
    pub fn frame_size(&self) -> usize {
        self.size + if self.xsave { FP_XSTATE_MAGIC2_SIZE } else { 0 }
    }
    /// Linux's words. Without XSAVE they are written just the same, though there is no
    /// second magic word then.
    fn sw_bytes(&self) -> FpxSwBytes {
        FpxSwBytes {
            magic1: FP_XSTATE_MAGIC1,
            extended_size: (self.size + FP_XSTATE_MAGIC2_SIZE) as u32,
            xfeatures: self.xfeatures,
            xstate_size: self.size as u32,
            padding: [0; 7],
        }
    }
    /// The first words of these; the others are zero.
    #[inline]
    fn sw_words(&self) -> [u64; 3] {
        let extended_size = (self.size + FP_XSTATE_MAGIC2_SIZE) as u64;
        [u64::from(FP_XSTATE_MAGIC1) | extended_size << 32, self.xfeatures, self.size as u64]
    }
}

/// What to load from a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Restore {
    /// All of the image's components that are enabled.
    Xsave { xfeatures: u64 },
    /// The first 512 bytes; everything else is initial.
    FxOnly,
}

/// Judges Linux's words in a frame: anything odd means a program that knows only the
/// 512 bytes. `magic2` reads the word behind an image of that size; a fault there is
/// a bad frame (`check_xstate_in_sigframe`).
#[inline]
fn check_sw_bytes(
    sw: &FpxSwBytes,
    user_size: usize,
    magic2: impl FnOnce(usize) -> Option<u32>,
) -> Option<Restore> {
    let size = sw.xstate_size as usize;
    if sw.magic1 != FP_XSTATE_MAGIC1
        || size < MIN_XSTATE_SIZE
        || size > user_size
        || sw.xstate_size > sw.extended_size
        || magic2(size)? != FP_XSTATE_MAGIC2
    {
        return Some(Restore::FxOnly);
    }
    Some(Restore::Xsave { xfeatures: sw.xfeatures })
}

/// An image without any component: all that XRSTOR is asked for becomes initial.
#[repr(C, align(64))]
struct InitFpstate([u8; MIN_XSTATE_SIZE]);

static INIT_FPSTATE: InitFpstate = InitFpstate({
    let mut b = [0; MIN_XSTATE_SIZE];
    (b[0], b[1]) = (0x7f, 0x03); // FCW 0x37f
    (b[24], b[25]) = (0x80, 0x1f); // MXCSR 0x1f80
    b
});

/// The instructions that reach the user's image. Each returns 0, or the vector of the
/// fault (page faults that can be resolved are, and the instruction goes on).
mod insn {
    use super::{FP_XSTATE_MAGIC2, FpxSwBytes, INIT_FPSTATE, SW_RESERVED, user_access};
    use crate::arch::x86::kernel::fpu::xstate::{XSAVE_HDR_OFFSET, xfeature};
    use crate::extable;
    use core::arch::asm;

    /// Writes a full frame of `size` bytes at `buf`. The header's reserved words are
    /// cleared first, as XSAVE leaves them alone; the FP and SSE bits are set last, so
    /// that programs that edit the first 512 bytes need not know of the header.
    #[inline]
    pub fn xsave(buf: usize, size: usize, sw: [u64; 3], xfeatures: u64) -> u64 {
        // SAFETY: `buf` passed access_ok; every access to it is in the exception table.
        user_access(|| unsafe {
            let fault: u64;
            asm!(
                "2: rep stosq",
                // RCX and the upper half of RAX are zero from here on.
                "mov eax, {lo:e}",
                "3: xsave64 [{buf}]",
                "4: or dword ptr [{buf} + {hdr}], {fpsse}",
                "5: mov dword ptr [{buf} + {size}], {magic2}",
                "6: mov [{buf} + {sw}], {sw0}",
                "7: mov [{buf} + {sw} + 8], {sw1}",
                "8: mov [{buf} + {sw} + 16], {sw2}",
                "9: mov [{buf} + {sw} + 24], rcx",
                "22: mov [{buf} + {sw} + 32], rcx",
                "23: mov [{buf} + {sw} + 40], rcx",
                "xor eax, eax",
                "24:",
                extable!("2", "24b", 2),
                extable!("3", "24b", 2),
                extable!("4", "24b", 2),
                extable!("5", "24b", 2),
                extable!("6", "24b", 2),
                extable!("7", "24b", 2),
                extable!("8", "24b", 2),
                extable!("9", "24b", 2),
                extable!("22", "24b", 2),
                extable!("23", "24b", 2),
                lo = in(reg) xfeatures as u32,
                buf = in(reg) buf,
                size = in(reg) size,
                hdr = const XSAVE_HDR_OFFSET,
                sw = const SW_RESERVED,
                sw0 = in(reg) sw[0],
                sw1 = in(reg) sw[1],
                sw2 = in(reg) sw[2],
                fpsse = const xfeature::FPSSE,
                magic2 = const FP_XSTATE_MAGIC2,
                inout("rax") 0u64 => fault,
                inout("rcx") 8usize => _,
                inout("rdx") xfeatures >> 32 => _,
                inout("rdi") buf + XSAVE_HDR_OFFSET => _,
                options(nostack),
            );
            fault
        })
    }

    /// Writes a frame of 512 bytes at `buf`.
    pub fn fxsave(buf: usize, sw: &FpxSwBytes) -> u64 {
        // SAFETY: as in `xsave`.
        user_access(|| unsafe {
            let fault: u64;
            asm!(
                "2: fxsave64 [{buf}]",
                "3: rep movsq",
                "xor eax, eax",
                "4:",
                extable!("2", "4b", 2),
                extable!("3", "4b", 2),
                buf = in(reg) buf,
                out("rax") fault,
                inout("rcx") size_of::<FpxSwBytes>() / 8 => _,
                inout("rdi") buf + SW_RESERVED => _,
                inout("rsi") sw => _,
                options(nostack),
            );
            fault
        })
    }

    /// Loads the components `xfeatures` from the image at `buf`.
    #[inline]
    pub fn xrstor(buf: usize, xfeatures: u64) -> u64 {
        // SAFETY: as in `xsave`; a bad image faults without harm.
        user_access(|| unsafe {
            let fault: u64;
            asm!(
                "2: xrstor64 [{buf}]",
                "xor eax, eax",
                "3:",
                extable!("2", "3b", 2),
                buf = in(reg) buf,
                inout("rax") xfeatures & 0xffff_ffff => fault,
                in("rdx") xfeatures >> 32,
                options(nostack),
            );
            fault
        })
    }

    /// Loads the 512 bytes at `buf`.
    pub fn fxrstor(buf: usize) -> u64 {
        // SAFETY: as in `xrstor`.
        user_access(|| unsafe {
            let fault: u64;
            asm!(
                "2: fxrstor64 [{buf}]",
                "xor eax, eax",
                "3:",
                extable!("2", "3b", 2),
                buf = in(reg) buf,
                out("rax") fault,
                options(nostack),
            );
            fault
        })
    }

    /// Brings the components `xfeatures` to their initial state.
    pub fn init(xfeatures: u64) {
        // SAFETY: a valid image of our own.
        unsafe {
            asm!(
                "2: xrstor64 [{}]",
                "3:",
                extable!("2", "3b", 6),
                in(reg) INIT_FPSTATE.0.as_ptr(),
                in("eax") xfeatures as u32,
                in("edx") (xfeatures >> 32) as u32,
                options(nostack),
            );
        }
    }
}

/// Writes the registers to a frame at `buf`, 64-byte aligned and `f.frame_size()` long;
/// false if it is not writable (`copy_fpstate_to_sigframe`).
#[inline]
pub fn copy_fpstate_to_sigframe(buf: usize, f: &FrameFormat) -> bool {
    fpregs_activate();
    if !access_ok(buf, f.frame_size()) {
        return false;
    }
    if f.xsave {
        insn::xsave(buf, f.size, f.sw_words(), f.xfeatures) == 0
    } else {
        copy_fxregs_to_sigframe(buf, f)
    }
}

/// The same without XSAVE.
#[cold]
fn copy_fxregs_to_sigframe(buf: usize, f: &FrameFormat) -> bool {
    let sw = f.sw_bytes();
    if !xstate::use_fxsr() {
        let mut fx = fxregs();
        fx.0[SW_RESERVED..].copy_from_slice(sw.as_bytes());
        return copy_to_user(buf, &fx.0).is_ok();
    }
    insn::fxsave(buf, &sw) == 0
}

/// Loads the registers from the frame that a handler leaves. A null pointer means
/// initial state. False for a frame that cannot be loaded; the registers are in
/// their initial state then (`fpu__restore_sig`).
#[inline(always)]
pub fn fpu_restore_sig(buf: usize) -> bool {
    if buf == 0 {
        fpu_clear_user_states();
        return true;
    }
    fpregs_activate();
    let ok = restore_from_user(buf, &FrameFormat::current()).is_some();
    if !ok {
        fpu_clear_user_states();
    }
    ok
}

#[inline(always)]
fn restore_from_user(buf: usize, f: &FrameFormat) -> Option<()> {
    if !access_ok(buf, f.frame_size()) {
        return None;
    }
    if !f.xsave && !xstate::use_fxsr() {
        let mut fx = Fxsave::EMPTY;
        copy_from_user(&mut fx.0, buf).ok()?;
        set_fxregs(&fx);
        return Some(());
    }
    if !f.xsave {
        return (insn::fxrstor(buf) == 0).then_some(());
    }
    let sw: FpxSwBytes = get_user(buf + SW_RESERVED).ok()?;
    let (fault, loaded) = match check_sw_bytes(&sw, f.size, |size| get_user(buf + size).ok())? {
        Restore::Xsave { xfeatures } => {
            let xfeatures = xfeatures & f.xfeatures;
            (insn::xrstor(buf, xfeatures), xfeatures)
        }
        Restore::FxOnly => (insn::fxrstor(buf), xfeature::FPSSE),
    };
    if fault != 0 {
        return None;
    }
    let init = f.xfeatures & !loaded;
    if init != 0 {
        insn::init(init);
    }
    Some(())
}

/// What stands before the state in a 32-bit frame: FSAVE's image, the status word once
/// more, and a magic word that says that FXSAVE's image follows (`X86_FXSR_MAGIC`).
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
struct FsaveHeader {
    env: Fsave,
    status: u16,
    magic: u16,
}

/// Its size (`struct fregs_state`).
pub const FSAVE_HEADER_SIZE: usize = 112;
const _: () = assert!(size_of::<FsaveHeader>() == FSAVE_HEADER_SIZE);

/// As [`copy_fpstate_to_sigframe`], for a 32-bit frame: `buf` is where the header goes,
/// the state follows it. `cs`, `ds` are the interrupted selectors (`save_fsave_header`).
pub fn copy_fpstate_to_sigframe32(buf: usize, f: &FrameFormat, cs: u16, ds: u16) -> bool {
    if !access_ok(buf, FSAVE_HEADER_SIZE) || !copy_fpstate_to_sigframe(buf + FSAVE_HEADER_SIZE, f) {
        return false;
    }
    let fx = fxregs();
    let header = FsaveHeader { env: fx.to_fsave(cs, ds), status: fx.swd(), magic: 0 };
    let extended_size = f.sw_bytes().extended_size + FSAVE_HEADER_SIZE as u32;
    let at = buf + FSAVE_HEADER_SIZE + SW_RESERVED + offset_of!(FpxSwBytes, extended_size);
    put_user(buf, &header).is_ok() && put_user(at, &extended_size).is_ok()
}

/// As [`fpu_restore_sig`], of a 32-bit frame, whose FSAVE image overrides the x87 part
/// of the state behind it.
pub fn fpu_restore_sig32(buf: usize) -> bool {
    if buf == 0 {
        return fpu_restore_sig(0);
    }
    let f = FrameFormat::current();
    fpregs_activate();
    let ok = access_ok(buf, FSAVE_HEADER_SIZE + f.frame_size())
        && restore32(buf, buf + FSAVE_HEADER_SIZE, &f).is_some();
    if !ok {
        fpu_clear_user_states();
    }
    ok
}

/// The state is put together in memory, where FSAVE's image is folded in, and loaded from there:
/// unlike a 64-bit frame's, which the CPU reads itself, its header and MXCSR are judged here.
fn restore32(buf: usize, fx: usize, f: &FrameFormat) -> Option<()> {
    let wanted = if f.xsave {
        let sw: FpxSwBytes = get_user(fx + SW_RESERVED).ok()?;
        check_sw_bytes(&sw, f.size, |size| get_user(fx + size).ok())?
    } else {
        Restore::FxOnly
    };
    let env: Fsave = get_user(buf).ok()?;
    if !f.xsave && !xstate::use_fxsr() {
        let mut legacy = Fxsave::EMPTY;
        copy_from_user(&mut legacy.0, fx).ok()?;
        legacy.take_fsave(&env);
        set_fxregs(&legacy);
        return Some(());
    }
    let page = Page::alloc_zeroed().ok()?;
    // SAFETY: nobody else has the page.
    let image = unsafe { &mut *page.as_slice_ptr() };
    let components = match wanted {
        Restore::Xsave { xfeatures } => copy_uabi_to_xstate(image, fx, f)? & xfeatures,
        Restore::FxOnly => {
            copy_from_user(&mut image[..FXSAVE_SIZE], fx).ok()?;
            valid_mxcsr(image)?;
            xfeature::FPSSE
        }
    };
    let mut legacy = Fxsave::EMPTY;
    legacy.0.copy_from_slice(&image[..FXSAVE_SIZE]);
    legacy.take_fsave(&env);
    image[..FXSAVE_SIZE].copy_from_slice(&legacy.0);
    let at = page.as_ptr() as usize;
    // The copies may have slept.
    fpregs_activate();
    let fault = if f.xsave {
        image[XSAVE_HDR_OFFSET..XSAVE_HDR_OFFSET + 8].copy_from_slice(&components.to_le_bytes());
        // What is not in the image gets its initial state.
        insn::xrstor(at, f.xfeatures)
    } else {
        insn::fxrstor(at)
    };
    (fault == 0).then_some(())
}

/// Copies the components that the header at `fx` names to where they are in an image; returns
/// which (`copy_uabi_to_xstate`). `None` for a header that no kernel has written.
fn copy_uabi_to_xstate(image: &mut [u8], fx: usize, f: &FrameFormat) -> Option<u64> {
    const MXCSR: core::ops::Range<usize> = 24..32;
    const XMM: usize = 160;
    let header: xstate::XstateHeader = get_user(fx + XSAVE_HDR_OFFSET).ok()?;
    if header.xfeatures & !f.xfeatures != 0 || header.xcomp_bv != 0 || header.reserved != [0; 6] {
        return None;
    }
    // XRSTOR loads MXCSR whatever else there is: without any component that it belongs to, it
    // stays as it is.
    image[MXCSR].copy_from_slice(&fxregs().0[MXCSR]);
    if header.xfeatures & (xfeature::FPSSE | xfeature::YMM) != 0 {
        copy_from_user(&mut image[MXCSR], fx + MXCSR.start).ok()?;
        valid_mxcsr(image)?;
    }
    for i in (0..64).filter(|i| header.xfeatures & 1 << i != 0) {
        let (offset, size) = match 1 << i {
            xfeature::FP => (0, XMM),
            xfeature::SSE => (XMM, 256),
            _ => {
                let place = raw_cpuid::cpuid!(0xd, i);
                (place.ebx as usize, place.eax as usize)
            }
        };
        copy_from_user(image.get_mut(offset..offset + size)?, fx + offset).ok()?;
    }
    Some(header.xfeatures)
}

/// Refuses an image whose MXCSR has bits that the CPU does not have.
fn valid_mxcsr(image: &[u8]) -> Option<()> {
    let word = |b: &[u8], at: usize| b.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes);
    // What a CPU says that says nothing.
    const DEFAULT_MASK: u32 = 0xffbf;
    let mask = match word(&fxregs().0, 28)? {
        0 => DEFAULT_MASK,
        mask => mask,
    };
    (word(image, 24)? & !mask == 0).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: FrameFormat = FrameFormat { xsave: true, xfeatures: 0x21f, size: 2696 };

    #[test]
    fn words_are_those_that_the_oracle_saw() {
        let sw = MAX.sw_bytes();
        assert_eq!(
            (sw.magic1, sw.extended_size, sw.xfeatures, sw.xstate_size),
            (0x4650_5853, 2700, 0x21f, 2696)
        );
        assert_eq!(MAX.frame_size(), 2700);
        let fx = FrameFormat { xsave: false, xfeatures: 0, size: 512 };
        let sw = fx.sw_bytes();
        assert_eq!((sw.magic1, sw.extended_size, sw.xfeatures, sw.xstate_size), (0x4650_5853, 516, 0, 512));
        assert_eq!(fx.frame_size(), 512);
    }

    #[repr(C, align(64))]
    struct Buf([u8; 8192]);

    impl Buf {
        fn read<T: FromBytes>(&self, at: usize) -> T {
            T::read_from_bytes(&self.0[at..at + size_of::<T>()]).unwrap()
        }
    }

    #[test]
    fn frame_is_written_by_the_cpu() {
        let id = raw_cpuid::CpuId::new();
        if !id.get_feature_info().is_some_and(|f| f.has_oxsave()) {
            return;
        }
        let f = FrameFormat { xsave: true, xfeatures: xfeature::FPSSE, size: MIN_XSTATE_SIZE };
        let mut buf = Buf([0xee; 8192]);
        assert!(copy_fpstate_to_sigframe(buf.0.as_mut_ptr() as usize, &f));
        assert_eq!(buf.read::<u32>(24) & 0xffff, 0x1f80);
        assert_eq!(buf.read::<FpxSwBytes>(SW_RESERVED), f.sw_bytes());
        let header: xstate::XstateHeader = buf.read(xstate::XSAVE_HDR_OFFSET);
        assert_eq!((header.xfeatures, header.xcomp_bv, header.reserved), (3, 0, [0; 6]));
        assert_eq!(buf.read::<u32>(f.size), FP_XSTATE_MAGIC2);
        assert!(buf.0[f.frame_size()..].iter().all(|&b| b == 0xee));
    }

    #[test]
    fn frame_without_xsave_has_512_bytes() {
        let f = FrameFormat { xsave: false, xfeatures: 0, size: 512 };
        let mut buf = Buf([0xee; 8192]);
        assert!(copy_fpstate_to_sigframe(buf.0.as_mut_ptr() as usize, &f));
        assert_eq!(buf.read::<FpxSwBytes>(SW_RESERVED), f.sw_bytes());
        assert!(buf.0[512..].iter().all(|&b| b == 0xee));
    }

    #[test]
    fn odd_words_mean_the_first_512_bytes() {
        let good = MAX.sw_bytes();
        let check = |sw: FpxSwBytes| check_sw_bytes(&sw, 2696, |_| Some(FP_XSTATE_MAGIC2));
        assert_eq!(check(good), Some(Restore::Xsave { xfeatures: 0x21f }));
        // The oracle's fp_magic1, fp_sz0, fp_szbig, fp_ext0, and an image cut below its header.
        assert_eq!(check(FpxSwBytes { magic1: 0, ..good }), Some(Restore::FxOnly));
        assert_eq!(check(FpxSwBytes { xstate_size: 0, ..good }), Some(Restore::FxOnly));
        assert_eq!(
            check(FpxSwBytes { xstate_size: 0x10000, extended_size: 0x20000, ..good }),
            Some(Restore::FxOnly)
        );
        assert_eq!(check(FpxSwBytes { extended_size: 0, ..good }), Some(Restore::FxOnly));
        assert_eq!(check(FpxSwBytes { xstate_size: 512, ..good }), Some(Restore::FxOnly));
        // fp_xfall, fp_xf0: the mask is the program's choice.
        assert_eq!(
            check(FpxSwBytes { xfeatures: u64::MAX, ..good }),
            Some(Restore::Xsave { xfeatures: u64::MAX })
        );
        assert_eq!(check_sw_bytes(&good, 2696, |_| Some(0)), Some(Restore::FxOnly));
        assert_eq!(check_sw_bytes(&good, 2696, |_| None), None);
    }
}
