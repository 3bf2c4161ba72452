// SPDX-License-Identifier: GPL-2.0-only
//! Which extended states the CPU has and user mode may use, and how large their image
//! is (Linux 6.1, `arch/x86/kernel/fpu/xstate.c`, `fpu__init_system_xstate`).

#[cfg(target_os = "none")]
use super::core::{set_lazy_fpu, set_soft_fpu};
use crate::arch::x86::lib::usercopy::put_user;
use crate::errno::{EINVAL, EOPNOTSUPP, Result};
use core::mem::offset_of;
use core::ops::Range;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Bits of XCR0 and of `xstate_bv`: one per state component.
#[allow(missing_docs)]
pub mod xfeature {
    pub const FP: u64 = 1 << 0;
    pub const SSE: u64 = 1 << 1;
    pub const YMM: u64 = 1 << 2;
    pub const BNDREGS: u64 = 1 << 3;
    pub const BNDCSR: u64 = 1 << 4;
    pub const OPMASK: u64 = 1 << 5;
    pub const ZMM_HI256: u64 = 1 << 6;
    pub const HI16_ZMM: u64 = 1 << 7;
    pub const PKRU: u64 = 1 << 9;
    pub const FPSSE: u64 = FP | SSE;
    /// Protection keys and bounds: they act without an instruction that CR0.TS stops.
    pub const EAGER: u64 = BNDREGS | BNDCSR | PKRU;
    /// The components that are saved and restored for user mode. AMX tiles are not
    /// among them: Linux gives them to processes that ask, which none can here.
    pub const USER_SUPPORTED: u64 = FPSSE | YMM | BNDREGS | BNDCSR | OPMASK | ZMM_HI256 | HI16_ZMM | PKRU;
}

/// [`fpu_xstate_prctl`]'s options.
#[allow(missing_docs)]
pub mod xcomp {
    pub const ARCH_GET_XCOMP_SUPP: u32 = 0x1021;
    pub const ARCH_GET_XCOMP_PERM: u32 = 0x1022;
    pub const ARCH_REQ_XCOMP_PERM: u32 = 0x1023;
    pub const ARCH_GET_XCOMP_GUEST_PERM: u32 = 0x1024;
    pub const ARCH_REQ_XCOMP_GUEST_PERM: u32 = 0x1025;
}
use xcomp::*;

/// Size of the part that FXSAVE writes.
pub const FXSAVE_SIZE: usize = 512;
/// Offset of the XSAVE header.
pub const XSAVE_HDR_OFFSET: usize = 512;
/// Size of the legacy part and the header: the smallest XSAVE image.
pub const MIN_XSTATE_SIZE: usize = FXSAVE_SIZE + size_of::<XstateHeader>();

/// The header of an XSAVE image.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct XstateHeader {
    /// Components that are in the image; the others are in their initial state.
    pub xfeatures: u64,
    /// Format of a compacted image; 0 in user mode.
    pub xcomp_bv: u64,
    /// Must be zero.
    pub reserved: [u64; 6],
}
const _: () = {
    assert!(size_of::<XstateHeader>() == 64);
    assert!(offset_of!(XstateHeader, xcomp_bv) == 8);
};

static XSAVE: AtomicBool = AtomicBool::new(false);
static FXSR: AtomicBool = AtomicBool::new(true);
static XFEATURES: AtomicU64 = AtomicU64::new(0);
static USER_SIZE: AtomicU32 = AtomicU32::new(FXSAVE_SIZE as u32);

/// Whether XSAVE is in use.
#[inline]
pub fn use_xsave() -> bool {
    XSAVE.load(Relaxed)
}

/// Whether FXSAVE is in use, if XSAVE is not.
#[inline]
pub fn use_fxsr() -> bool {
    FXSR.load(Relaxed)
}

/// Bits of EDX of CPUID leaf 1 that are not user mode's: without an FPU, that one's; without
/// FXSR, that one's and those of what needs it: CMOV (`fcmov`), MMX, SSE, SSE2 (Linux 6.1,
/// `arch/x86/kernel/cpu/cpuid-deps.c`).
pub fn cleared_caps() -> u32 {
    const FPU: u32 = 1;
    const FXSR_AND_SO_ON: u32 = 1 << 15 | 7 << 23 | 1 << 26;
    match (super::core::use_soft_fpu(), use_fxsr()) {
        (true, _) => FPU | FXSR_AND_SO_ON,
        (false, false) => FXSR_AND_SO_ON,
        (false, true) => 0,
    }
}

/// The components that user mode may use: XCR0. 0 without XSAVE.
#[inline]
pub fn xfeatures() -> u64 {
    XFEATURES.load(Relaxed)
}

/// Size of a state image in standard format, as signal frames hold it.
#[inline]
pub fn user_size() -> usize {
    USER_SIZE.load(Relaxed) as usize
}

/// `arch_prctl(2)` about components that a process may have to ask for before it uses them:
/// AMX's, which are not supported (Linux 6.1, `arch/x86/kernel/fpu/xstate.c`, `fpu_xstate_prctl`).
pub fn fpu_xstate_prctl(option: u32, arg: usize) -> Result<usize> {
    /// One more than the highest component that 6.1 knows.
    const XFEATURE_MAX: usize = 19;
    let legacy = match (super::core::use_soft_fpu(), use_fxsr()) {
        (true, _) => 0,
        (false, true) => xfeature::FPSSE,
        (false, false) => xfeature::FP,
    };
    match option {
        ARCH_GET_XCOMP_SUPP => put_user(arg, &(xfeatures() | legacy))?,
        ARCH_GET_XCOMP_PERM | ARCH_GET_XCOMP_GUEST_PERM => put_user(arg, &xfeatures())?,
        ARCH_REQ_XCOMP_PERM | ARCH_REQ_XCOMP_GUEST_PERM if arg < XFEATURE_MAX => return Err(EOPNOTSUPP),
        _ => return Err(EINVAL),
    }
    Ok(0)
}

/// What CPUID says about the instruction sets that components belong to.
#[derive(Clone, Copy, Debug, Default)]
#[allow(missing_docs, clippy::struct_excessive_bools)] // CPUID bits
pub struct CpuFeatures {
    pub sse: bool,
    pub avx: bool,
    pub mpx: bool,
    pub avx512f: bool,
    pub pku: bool,
}

/// The components to enable, of those that the CPU can save: a component whose
/// instructions the CPU does not announce is left out.
pub fn usable_xfeatures(cpu_supports: u64, f: CpuFeatures) -> u64 {
    use xfeature as x;
    let needs = [
        (x::SSE, f.sse),
        (x::YMM, f.avx),
        (x::BNDREGS | x::BNDCSR, f.mpx),
        (x::OPMASK | x::ZMM_HI256 | x::HI16_ZMM, f.avx512f),
        (x::PKRU, f.pku),
    ];
    needs.into_iter().filter(|(_, has)| !has).fold(cpu_supports & x::USER_SUPPORTED, |m, (bits, _)| m & !bits)
}

/// There is no FXSAVE, nor what needs it: only x87 registers are kept.
#[cfg(target_os = "none")]
fn disable_fxsr() {
    use crate::arch::x86::kernel::cpu::{disable_pku, disable_sse, disable_xsave};
    FXSR.store(false, Relaxed);
    disable_xsave();
    disable_pku();
    disable_sse();
}

/// Enables the components in XCR0 and learns the image's size; at boot, once CR4 is
/// set up.
#[cfg(target_os = "none")]
pub fn fpu_init_system() {
    use crate::arch::x86::kernel::cpu::{disable_pku, disable_xsave};
    use raw_cpuid::{CpuId, cpuid};
    if crate::lib::cmdline::flag("no387") || !CpuId::new().get_feature_info().is_some_and(|f| f.has_fpu()) {
        // Whatever else uses its registers goes with it (Linux 6.1,
        // arch/x86/kernel/cpu/cpuid-deps.c).
        crate::pr_info!("x86/fpu: No FPU detected\n");
        crate::pr_info!("x86/fpu: x87 instructions are emulated, others of the FPU are invalid\n");
        disable_fxsr();
        return set_soft_fpu();
    }
    let lazy = crate::lib::cmdline::value("eagerfpu").is_some_and(|v| v == b"off");
    if lazy {
        set_lazy_fpu();
        crate::pr_info!("x86/fpu: Using 'lazy' FPU context switches.\n");
    }
    if crate::lib::cmdline::flag("nofxsr") {
        disable_fxsr();
        crate::pr_info!("x86/fpu: x87 FPU will use FSAVE\n");
        return;
    }
    let noxsave = crate::lib::cmdline::flag("noxsave");
    if noxsave {
        disable_xsave();
        disable_pku();
    }
    let id = CpuId::new();
    let has_xsave = id.get_feature_info().is_some_and(|f| f.has_xsave());
    if noxsave || !has_xsave || id.get_extended_state_info().is_none() {
        crate::pr_info!("x86/fpu: x87 FPU will use FXSAVE\n");
        return;
    }
    let nompx = crate::lib::cmdline::flag("nompx");
    if nompx {
        crate::pr_info!("nompx: Intel Memory Protection Extensions (MPX) disabled\n");
    }
    let leaf = cpuid!(0xd, 0);
    let info = id.get_feature_info();
    let ext = id.get_extended_feature_info();
    let usable = usable_xfeatures(
        u64::from(leaf.eax) | u64::from(leaf.edx) << 32,
        CpuFeatures {
            sse: info.as_ref().is_some_and(raw_cpuid::FeatureInfo::has_sse),
            avx: info.as_ref().is_some_and(raw_cpuid::FeatureInfo::has_avx),
            mpx: ext.as_ref().is_some_and(raw_cpuid::ExtendedFeatures::has_mpx) && !nompx,
            avx512f: ext.as_ref().is_some_and(raw_cpuid::ExtendedFeatures::has_avx512f),
            pku: ext.as_ref().is_some_and(raw_cpuid::ExtendedFeatures::has_pku),
        },
    );
    // What works without a register being used must not wait for one to be (Linux 4.6,
    // `fpu__init_parse_early_param`, `XFEATURE_MASK_EAGER`).
    let disabled = if lazy { usable & xfeature::EAGER } else { 0 };
    if disabled != 0 {
        crate::pr_err!(
            "x86/fpu: eagerfpu switching disabled, disabling the following xstate features: {disabled:#x}.\n"
        );
        disable_pku();
    }
    let usable = usable & !disabled;
    if usable & xfeature::FPSSE != xfeature::FPSSE {
        // A CPU, or a hypervisor, that is not to be relied on.
        crate::pr_err!("x86/fpu: FP/SSE not present amongst the CPU's xstate features: {usable:#x}.\n");
        disable_xsave();
        disable_pku();
        return;
    }
    // SAFETY: every bit is one that CPUID reports; CR4.OSXSAVE is set.
    unsafe {
        core::arch::asm!(
            "xsetbv",
            in("ecx") 0,
            in("eax") usable as u32,
            in("edx") (usable >> 32) as u32,
            options(nostack, preserves_flags),
        );
    }
    // EBX is the size for what XCR0 enables now.
    let size = cpuid!(0xd, 0).ebx;
    USER_SIZE.store(size, Relaxed);
    XFEATURES.store(usable, Relaxed);
    XSAVE.store(true, Relaxed);
    crate::pr_info!(
        "x86/fpu: Enabled xstate features {usable:#x}, context size is {size} bytes, using 'standard' format.\n"
    );
}

/// Where the enabled components of `features` that FXSAVE does not know stand in an image.
pub fn extended_places(features: u64) -> impl Iterator<Item = Range<usize>> {
    let features = features & xfeatures() & !xfeature::FPSSE;
    (2..u64::BITS).filter(move |i| features >> i & 1 != 0).map(|i| {
        let place = raw_cpuid::cpuid!(0xd, i);
        let (size, offset) = (place.eax as usize, place.ebx as usize);
        offset..offset + size
    })
}

/// Reads the running task's component `feature`, from byte `from` on (`get_xsave_field_ptr`,
/// which the documents call). `None` if the component is in its initial state, or there is no
/// such.
pub fn read_xsave_field(feature: u64, from: usize, to: &mut [u8]) -> Option<()> {
    if xfeatures() & feature == 0 {
        return None;
    }
    let place = raw_cpuid::cpuid!(0xd, feature.trailing_zeros());
    let (size, offset) = (place.eax as usize, place.ebx as usize);
    let cur = crate::kernel::task::current();
    let fpu = &cur.thread().fpu;
    fpu.sync();
    let mut header = [0; 8];
    fpu.image().read(XSAVE_HDR_OFFSET, &mut header);
    if u64::from_le_bytes(header) & feature == 0 || from + to.len() > size {
        return None;
    }
    fpu.image().read(offset + from, to);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: CpuFeatures = CpuFeatures { sse: true, avx: true, mpx: true, avx512f: true, pku: true };

    #[test]
    fn components_need_their_instructions() {
        // QEMU's `-cpu max`: the oracle saw XCR0 0x21f.
        let max = CpuFeatures { avx512f: false, ..ALL };
        assert_eq!(usable_xfeatures(0x21f, max), 0x21f);
        assert_eq!(usable_xfeatures(0x2ff, ALL), 0x2ff);
        assert_eq!(usable_xfeatures(0x2ff, CpuFeatures { avx512f: false, mpx: false, ..ALL }), 0x207);
        assert_eq!(usable_xfeatures(0x207, CpuFeatures { pku: false, ..ALL }), 0x7);
    }

    #[test]
    fn unknown_and_dynamic_components_stay_off() {
        assert_eq!(usable_xfeatures(u64::MAX, ALL), 0x2ff);
    }
}
