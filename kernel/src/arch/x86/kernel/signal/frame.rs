// SPDX-License-Identifier: GPL-2.0-only
//! The signal frame: what it looks like, where it goes, and building it on the user's stack
//! (Linux 6.1, `arch/x86/kernel/signal.c`).
//!
//! ```text
//!   saved rsp ->  |                        |
//!                 | red zone, 128 bytes    |  (not on a switch to the alternate stack)
//!                 | FPU state, 64-aligned  |  <- uc_mcontext.fpstate
//!                 | siginfo                |  <- rsi
//!                 | ucontext               |  <- rdx
//!   new rsp   ->  | address of the restorer|     rsp + 8 is a multiple of 16
//! ```

use super::{comm, force_valid_ss, may_report};
use crate::arch::x86::kernel::fpu::signal::{FrameFormat, copy_fpstate_to_sigframe};
use crate::arch::x86::kernel::fpu::xstate;
use crate::arch::x86::lib::usercopy::UserStruct;
use crate::arch::x86::ptrace::PtRegs;
use crate::arch::x86::segment::{USER_CS, USER_DS};
use crate::errno::{EFAULT, Result};
use crate::kernel::signal::KSignal;
use crate::kernel::signal::action::sa;
use crate::kernel::signal::altstack::StackT;
use crate::kernel::signal::mask::sigmask_to_save;
use crate::kernel::signal::siginfo::{SI_EXPANSION_SIZE, UserSiginfo};
use crate::kernel::signal::sigset::SigSet;
use crate::kernel::task::Current;
use core::mem::offset_of;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The registers in a frame (`struct sigcontext`).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[allow(missing_docs)]
pub struct Sigcontext {
    pub r8: u64,
    pub r9: u64,
    pub r10: u64,
    pub r11: u64,
    pub r12: u64,
    pub r13: u64,
    pub r14: u64,
    pub r15: u64,
    pub di: u64,
    pub si: u64,
    pub bp: u64,
    pub bx: u64,
    pub dx: u64,
    pub ax: u64,
    pub cx: u64,
    pub sp: u64,
    pub ip: u64,
    pub flags: u64,
    pub cs: u16,
    pub gs: u16,
    pub fs: u16,
    pub ss: u16,
    pub err: u64,
    pub trapno: u64,
    pub oldmask: u64,
    pub cr2: u64,
    pub fpstate: u64,
    pub reserved1: [u64; 8],
}

/// `struct ucontext`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[allow(missing_docs)]
#[allow(clippy::struct_field_names)] // Linux's names
pub struct Ucontext {
    pub uc_flags: u64,
    pub uc_link: u64,
    pub uc_stack: StackT,
    pub uc_mcontext: Sigcontext,
    pub uc_sigmask: SigSet,
}

/// `struct rt_sigframe`: what lies at the handler's stack pointer.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[allow(missing_docs)]
pub struct RtSigframe {
    pub pretcode: u64,
    pub uc: Ucontext,
    pub info: UserSiginfo,
}

const _: () = {
    assert!(size_of::<Sigcontext>() == 256);
    assert!(offset_of!(Sigcontext, ip) == 128);
    assert!(offset_of!(Sigcontext, cs) == 144);
    assert!(offset_of!(Sigcontext, ss) == 150);
    assert!(offset_of!(Sigcontext, err) == 152);
    assert!(offset_of!(Sigcontext, trapno) == 160);
    assert!(offset_of!(Sigcontext, cr2) == 176);
    assert!(offset_of!(Sigcontext, fpstate) == 184);
    assert!(offset_of!(Sigcontext, reserved1) == 192);
    assert!(size_of::<Ucontext>() == 304);
    assert!(offset_of!(Ucontext, uc_stack) == 16);
    assert!(offset_of!(Ucontext, uc_mcontext) == 40);
    assert!(offset_of!(Ucontext, uc_sigmask) == 296);
    assert!(offset_of!(RtSigframe, uc) == 8);
    assert!(offset_of!(RtSigframe, info) == 312);
    assert!(size_of::<RtSigframe>() == 440);
};

/// The frame has an extended FPU state.
pub(in crate::arch::x86) const UC_FP_XSTATE: u64 = 1;
/// `sigcontext.ss` is valid.
const UC_SIGCONTEXT_SS: u64 = 2;
/// `rt_sigreturn` restores `ss` exactly.
pub(super) const UC_STRICT_RESTORE_SS: u64 = 4;

/// Bytes below the stack pointer that compilers use without moving it.
const RED_ZONE: u64 = 128;

/// Where a frame goes.
#[derive(Debug, PartialEq, Eq)]
struct FramePlace {
    frame: usize,
    fpstate: usize,
}

/// Finds the place for a frame below `sp`, or on the alternate stack. `None` if that
/// would overflow (`get_sigframe`).
#[inline]
fn place_frame(sp: u64, onstack: bool, alt: &StackT, fp_size: usize) -> Option<FramePlace> {
    let nested = alt.is_on(sp);
    let mut top = sp.wrapping_sub(RED_ZONE);
    // Linux asks with the red zone taken off already.
    let entering = onstack && alt.mode(top) == 0;
    if entering {
        top = alt.sp.wrapping_add(alt.size);
    }
    let fpstate = top.wrapping_sub(fp_size as u64) & !63;
    let frame = (fpstate.wrapping_sub(size_of::<RtSigframe>() as u64) & !15).wrapping_sub(8);
    if (nested || entering) && !alt.spans(frame) {
        return None;
    }
    Some(FramePlace { frame: frame as usize, fpstate: fpstate as usize })
}

/// The frame's flags for the interrupted context (`frame_uc_flags`).
#[inline]
fn frame_uc_flags(xsave: bool, user_64bit: bool) -> u64 {
    UC_SIGCONTEXT_SS
        | if xsave { UC_FP_XSTATE } else { 0 }
        | if user_64bit { UC_STRICT_RESTORE_SS } else { 0 }
}

/// Writes one word of a frame.
macro_rules! put {
    ($frame:ident, $($field:ident).+, $word:expr) => {
        $frame.put::<{ offset_of!(RtSigframe, $($field).+) }>($word)?
    };
}

/// `__unsafe_setup_sigcontext`. The last words of a `sigcontext` stay what they are, as in Linux.
#[inline(always)]
fn put_sigcontext(
    cur: Current,
    frame: &UserStruct<RtSigframe>,
    regs: &PtRegs,
    fpstate: usize,
    mask: SigSet,
) -> Result {
    let thread = cur.thread();
    put!(frame, uc.uc_mcontext.r8, regs.r8.get());
    put!(frame, uc.uc_mcontext.r9, regs.r9.get());
    put!(frame, uc.uc_mcontext.r10, regs.r10.get());
    put!(frame, uc.uc_mcontext.r11, regs.r11.get());
    put!(frame, uc.uc_mcontext.r12, regs.r12.get());
    put!(frame, uc.uc_mcontext.r13, regs.r13.get());
    put!(frame, uc.uc_mcontext.r14, regs.r14.get());
    put!(frame, uc.uc_mcontext.r15, regs.r15.get());
    put!(frame, uc.uc_mcontext.di, regs.di.get());
    put!(frame, uc.uc_mcontext.si, regs.si.get());
    put!(frame, uc.uc_mcontext.bp, regs.bp.get());
    put!(frame, uc.uc_mcontext.bx, regs.bx.get());
    put!(frame, uc.uc_mcontext.dx, regs.dx.get());
    put!(frame, uc.uc_mcontext.ax, regs.ax.get());
    put!(frame, uc.uc_mcontext.cx, regs.cx.get());
    put!(frame, uc.uc_mcontext.sp, regs.sp.get());
    put!(frame, uc.uc_mcontext.ip, regs.ip.get());
    put!(frame, uc.uc_mcontext.flags, regs.flags.get());
    // GS and FS, between them, are zero.
    put!(frame, uc.uc_mcontext.cs, regs.cs.get() & 0xffff | regs.ss.get() << 48);
    put!(frame, uc.uc_mcontext.err, thread.error_code.get());
    put!(frame, uc.uc_mcontext.trapno, thread.trap_nr.get());
    put!(frame, uc.uc_mcontext.oldmask, mask.0);
    put!(frame, uc.uc_mcontext.cr2, thread.cr2.get());
    put!(frame, uc.uc_mcontext.fpstate, fpstate as u64);
    Ok(())
}

/// Chooses the frame's place, and saves the FPU state there.
#[inline]
fn get_sigframe(cur: Current, k: &KSignal, regs: &PtRegs, alt: &StackT) -> Result<FramePlace> {
    let format = FrameFormat::current();
    let onstack = k.ka.flags & sa::ONSTACK != 0;
    let Some(place) = place_frame(regs.sp.get(), onstack, alt, format.frame_size()) else {
        report_overflow(cur);
        return Err(EFAULT);
    };
    if copy_fpstate_to_sigframe(place.fpstate, &format) { Ok(place) } else { Err(EFAULT) }
}

#[cold]
fn report_overflow(cur: Current) {
    if may_report("get_sigframe") {
        crate::pr_info!("signal: {}[{}] overflowed sigaltstack\n", comm(cur), cur.pid());
    }
}

/// Writes the frame for `k`, and points the registers at the handler
/// (`__setup_rt_frame`).
#[inline]
pub(super) fn setup_rt_frame(cur: Current, k: &KSignal, regs: &PtRegs) -> Result {
    if k.ka.flags & sa::RESTORER == 0 {
        return Err(EFAULT);
    }
    let alt = cur.sig.altstack.get();
    let place = get_sigframe(cur, k, regs, &alt)?;
    UserStruct::write(place.frame, |frame| put_frame(cur, frame, k, regs, &alt, place.fpstate))?;
    enter_handler(regs, k, place.frame);
    Ok(())
}

/// Writes all of the frame but the FPU's state.
#[inline(always)]
fn put_frame(
    cur: Current,
    frame: &UserStruct<RtSigframe>,
    k: &KSignal,
    regs: &PtRegs,
    alt: &StackT,
    fpstate: usize,
) -> Result {
    let mask = sigmask_to_save(cur);
    put!(frame, pretcode, k.ka.restorer as u64);
    put!(frame, uc.uc_flags, frame_uc_flags(xstate::use_xsave(), regs.user_64bit_mode()));
    put!(frame, uc.uc_link, 0);
    put!(frame, uc.uc_stack.sp, alt.sp);
    put!(frame, uc.uc_stack.flags, alt.flags.into());
    put!(frame, uc.uc_stack.size, alt.size);
    put_sigcontext(cur, frame, regs, fpstate, mask)?;
    put!(frame, uc.uc_sigmask, mask.0);
    // Without SA_SIGINFO its room is left as it is.
    if k.ka.flags & sa::SIGINFO != 0 {
        frame.put_all::<{ offset_of!(RtSigframe, info) }, _>(&k.info)?;
        frame.put_all::<{ offset_of!(RtSigframe, info.expansion) }, _>(&[0u64; SI_EXPANSION_SIZE / 8])?;
    }
    Ok(())
}

/// The registers that a handler starts with; the others keep the interrupted values.
#[inline]
fn enter_handler(regs: &PtRegs, k: &KSignal, frame: usize) {
    regs.di.set(k.sig() as u64);
    regs.ax.set(0);
    regs.si.set((frame + offset_of!(RtSigframe, info)) as u64);
    regs.dx.set((frame + offset_of!(RtSigframe, uc)) as u64);
    regs.ip.set(k.ka.handler as u64);
    regs.sp.set(frame as u64);
    regs.cs.set(u64::from(USER_CS));
    if regs.ss.get() != u64::from(USER_DS) {
        force_valid_ss(regs);
    }
}

/// Bytes that a signal frame takes at most, alignment included; `AT_MINSIGSTKSZ`
/// (`get_sigframe_size`).
pub fn get_sigframe_size() -> usize {
    sigframe_size(FrameFormat::current().frame_size())
}

/// The largest of all kinds of frames, with their alignments. Linux counts with the
/// frame of a 32-bit process, which is larger than ours, and with the FSAVE image
/// before its FPU state (Linux 6.1, `arch/x86/kernel/signal.c`, `init_sigframe_size`).
fn sigframe_size(fp_size: usize) -> usize {
    const SIGFRAME_IA32: usize = 732;
    const FSAVE: usize = 112;
    (SIGFRAME_IA32 + 15 + FSAVE + fp_size + 63).next_multiple_of(16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::signal::altstack::SS_AUTODISARM;
    use zerocopy::FromZeros;

    fn alt(sp: u64, size: u64, flags: u32) -> StackT {
        let mut s = StackT::new_zeroed();
        (s.sp, s.size, s.flags) = (sp, size, flags);
        s
    }

    #[test]
    fn frames_lie_below_the_red_zone() {
        let sp = 0x7fff_ffff_e123;
        let p = place_frame(sp, false, &alt(0, 0, 2), 2700).unwrap();
        let end = p.fpstate as u64 + 2700;
        assert_eq!(p.fpstate % 64, 0);
        assert!(end <= sp - 128 && sp - 128 - end < 64);
        assert_eq!(p.frame % 16, 8);
        assert!(p.frame + 440 <= p.fpstate);
    }

    #[test]
    fn alternate_stack_is_entered_once() {
        let a = alt(0x10000, 0x10000, 0);
        let p = place_frame(0x7000_0000, true, &a, 2700).unwrap();
        assert!(p.fpstate as u64 + 2700 <= 0x20000 && 0x20000 - (p.fpstate as u64 + 2700) < 64);
        // Nested: the next frame lies below, with its red zone.
        let q = place_frame(p.frame as u64, true, &a, 2700).unwrap();
        assert!(q.fpstate + 2700 + 128 <= p.frame);
        // Not asked for: the ordinary stack.
        assert!(place_frame(0x7000_0000, false, &a, 2700).unwrap().frame > 0x20000);
    }

    #[test]
    fn alternate_stack_does_not_overflow() {
        // The oracle: 2048 bytes never hold a frame of `-cpu max`.
        assert_eq!(place_frame(0x7000_0000, true, &alt(0x10000, 2048, 0), 2700), None);
        assert!(place_frame(0x7000_0000, true, &alt(0x10000, 2048, 0), 512).is_some());
        assert_eq!(place_frame(0x10800, false, &alt(0x10000, 0x1000, 0), 2700), None);
        // One that disarms itself counts as left, so it is entered again from its top.
        let d = alt(0x10000, 0x10000, SS_AUTODISARM);
        let p = place_frame(0x11000, true, &d, 2700).unwrap();
        assert!(p.frame > 0x1f000 - 440);
    }

    #[test]
    fn stack_pointers_may_be_anything() {
        for sp in [0, 1, 127, 128, 1 << 63, u64::MAX] {
            let p = place_frame(sp, false, &alt(0, 0, 2), 2700).unwrap();
            assert_eq!((p.fpstate % 64, p.frame % 16), (0, 8));
        }
    }

    #[test]
    fn flags_of_the_frame() {
        assert_eq!(frame_uc_flags(true, true), 7);
        assert_eq!(frame_uc_flags(false, true), 6);
        assert_eq!(frame_uc_flags(true, false), 3);
    }

    #[test]
    fn largest_frame_is_what_programs_are_told() {
        // AT_MINSIGSTKSZ of the oracle.
        assert_eq!(sigframe_size(2700), 3632);
    }
}
