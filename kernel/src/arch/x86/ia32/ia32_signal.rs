// SPDX-License-Identifier: GPL-2.0-only
//! Signal frames of handlers that 32-bit code installed by `int $0x80`, and the calls
//! around them (Linux 6.1, `arch/x86/ia32/ia32_signal.c`; `kernel/signal.c` for the calls).
//!
//! Without `SA_SIGINFO` it is i386's old frame. Below the interrupted stack pointer there
//! is no red zone; the FPU state begins with what FSAVE would have written.

use super::siginfo::{CompatSiginfo, to_compat};
use crate::arch::x86::kernel::fpu::signal::{
    FSAVE_HEADER_SIZE, FrameFormat, copy_fpstate_to_sigframe32, fpu_restore_sig32,
};
use crate::arch::x86::kernel::fpu::xstate;
use crate::arch::x86::kernel::process_64::segments::{
    Selectors, load_data_segments, reload_segments, selectors,
};
use crate::arch::x86::kernel::signal::{FIX_EFLAGS, UC_FP_XSTATE, signal_fault};
use crate::arch::x86::lib::usercopy::{access_ok, get_user, put_user};
use crate::arch::x86::ptrace::PtRegs;
use crate::arch::x86::segment::{USER_DS, USER32_CS};
use crate::errno::{EFAULT, EINVAL, Result};
use crate::kernel::signal::action::{KSigaction, do_sigaction, sa};
use crate::kernel::signal::altstack::{SS_FLAG_BITS, StackT, set_altstack};
use crate::kernel::signal::mask::sigmask_to_save;
use crate::kernel::signal::restart_block::RestartBlock;
use crate::kernel::signal::sigset::SigSet;
use crate::kernel::signal::{KSignal, set_current_blocked};
use crate::kernel::task::{Current, current};
use core::mem::offset_of;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// `struct sigcontext_32`; selectors have words of their own.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
struct Sigcontext32 {
    gs: u32,
    fs: u32,
    es: u32,
    ds: u32,
    di: u32,
    si: u32,
    bp: u32,
    sp: u32,
    bx: u32,
    dx: u32,
    cx: u32,
    ax: u32,
    trapno: u32,
    err: u32,
    ip: u32,
    cs: u32,
    flags: u32,
    sp_at_signal: u32,
    ss: u32,
    fpstate: u32,
    oldmask: u32,
    cr2: u32,
}

/// `compat_stack_t`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
struct CompatStack {
    sp: u32,
    flags: u32,
    size: u32,
}

impl CompatStack {
    fn of(s: &StackT) -> Self {
        Self { sp: s.sp as u32, flags: s.flags, size: s.size as u32 }
    }
    fn to_native(self) -> StackT {
        StackT::new(self.sp.into(), self.flags, self.size.into())
    }
}

/// A signal set in two words: 4-byte aligned.
type CompatSet = [u32; 2];

fn set_of(s: CompatSet) -> SigSet {
    SigSet(u64::from(s[0]) | u64::from(s[1]) << 32)
}

fn compat_set(s: SigSet) -> CompatSet {
    [s.0 as u32, (s.0 >> 32) as u32]
}

/// `struct sigframe_ia32`.
#[repr(C)]
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
struct Sigframe32 {
    pretcode: u32,
    sig: u32,
    sc: Sigcontext32,
    fpstate_unused: [u32; 156],
    extramask: u32,
    retcode: [u8; 8],
}

/// `struct ucontext_ia32`.
#[repr(C)]
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
struct Ucontext32 {
    flags: u32,
    link: u32,
    stack: CompatStack,
    mcontext: Sigcontext32,
    sigmask: CompatSet,
}

/// `struct rt_sigframe_ia32`.
#[repr(C)]
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
struct RtSigframe32 {
    pretcode: u32,
    sig: u32,
    pinfo: u32,
    puc: u32,
    info: CompatSiginfo,
    uc: Ucontext32,
    retcode: [u8; 8],
}

const _: () = {
    assert!(size_of::<Sigcontext32>() == 88);
    assert!(offset_of!(Sigcontext32, ip) == 56);
    assert!(size_of::<Sigframe32>() == 732);
    assert!(offset_of!(Sigframe32, extramask) == 720);
    assert!(size_of::<Ucontext32>() == 116);
    assert!(size_of::<RtSigframe32>() == 268);
    assert!(offset_of!(RtSigframe32, uc) == 144);
};

/// `pop eax; mov eax, 119; int 0x80`: `sigreturn`. Debuggers know a frame by it.
const RETCODE: [u8; 8] = [0x58, 0xb8, 119, 0, 0, 0, 0xcd, 0x80];
/// `mov eax, 173; int 0x80`: `rt_sigreturn`.
const RT_RETCODE: [u8; 8] = [0xb8, 173, 0, 0, 0, 0xcd, 0x80, 0];

/// Where a frame and its FPU state go.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    frame: u64,
    fpstate: u64,
}

/// Below `sp`: the state at a multiple of 64 with FSAVE's image before it, then the frame,
/// so that `sp + 4` is a multiple of 16 in the handler (`get_sigframe`).
fn place(sp: u64, size: usize, fp_size: usize) -> Place {
    let fx = sp.wrapping_sub(fp_size as u64) & !63;
    let fpstate = fx.wrapping_sub(FSAVE_HEADER_SIZE as u64);
    let frame = (fpstate.wrapping_sub(size as u64).wrapping_add(4) & !15).wrapping_sub(4);
    Place { frame, fpstate }
}

/// The stack that the frame goes to: the interrupted one, the alternate one, or, in old
/// programs on a stack segment of their own, the restorer's.
fn stack_top(k: &KSignal, regs: &PtRegs, alt: &StackT) -> u64 {
    if k.ka.flags & sa::ONSTACK != 0 {
        return if alt.mode(regs.sp.get()) == 0 { alt.sp.wrapping_add(alt.size) } else { regs.sp.get() };
    }
    let old_switch =
        regs.ss.get() != u64::from(USER_DS) && k.ka.flags & sa::RESTORER == 0 && k.ka.restorer != 0;
    if old_switch { k.ka.restorer as u64 } else { regs.sp.get() }
}

/// The interrupted context (`__unsafe_setup_sigcontext32`).
fn save_sigcontext(cur: Current, regs: &PtRegs, s: &Selectors, fpstate: u64, mask: SigSet) -> Sigcontext32 {
    let thread = cur.thread();
    Sigcontext32 {
        gs: s.gs.into(),
        fs: s.fs.into(),
        es: s.es.into(),
        ds: s.ds.into(),
        di: regs.di.get() as u32,
        si: regs.si.get() as u32,
        bp: regs.bp.get() as u32,
        sp: regs.sp.get() as u32,
        bx: regs.bx.get() as u32,
        dx: regs.dx.get() as u32,
        cx: regs.cx.get() as u32,
        ax: regs.ax.get() as u32,
        trapno: thread.trap_nr.get() as u32,
        err: thread.error_code.get() as u32,
        ip: regs.ip.get() as u32,
        cs: regs.cs.get() as u32,
        flags: regs.flags.get() as u32,
        sp_at_signal: regs.sp.get() as u32,
        ss: regs.ss.get() as u32,
        fpstate: fpstate as u32,
        oldmask: mask.0 as u32,
        cr2: thread.cr2.get() as u32,
    }
}

/// Writes the frame for `k`, and points the registers at the 32-bit handler.
///
/// # Errors
/// `EFAULT`: there is no room for it.
pub fn setup_frame(cur: Current, k: &KSignal, regs: &PtRegs) -> Result {
    let with_info = k.ka.flags & sa::SIGINFO != 0;
    let size = if with_info { size_of::<RtSigframe32>() } else { size_of::<Sigframe32>() };
    let (format, segs, alt) = (FrameFormat::current(), selectors(), cur.sig.altstack.get());
    let p = place(stack_top(k, regs, &alt), size, format.frame_size());
    let mask = sigmask_to_save(cur);
    if !copy_fpstate_to_sigframe32(p.fpstate as usize, &format, regs.cs.get() as u16, segs.ds) {
        return Err(EFAULT);
    }
    let sc = save_sigcontext(cur, regs, &segs, p.fpstate, mask);
    if with_info {
        put_rt_frame(k, p.frame, sc, &alt, mask)?;
    } else {
        put_frame(k, p.frame, sc, mask)?;
    }
    enter_handler(regs, k, p.frame, with_info);
    Ok(())
}

/// Where the handler returns to: its restorer, or the code in the frame.
fn pretcode(k: &KSignal, in_frame: u64) -> u32 {
    if k.ka.flags & sa::RESTORER != 0 { k.ka.restorer as u32 } else { in_frame as u32 }
}

/// The frame without `siginfo` (`ia32_setup_frame`). The room for FPU state of old is left
/// as it is.
fn put_frame(k: &KSignal, frame: u64, sc: Sigcontext32, mask: SigSet) -> Result {
    let at = frame as usize;
    if !access_ok(at, size_of::<Sigframe32>()) {
        return Err(EFAULT);
    }
    let ret = pretcode(k, frame + offset_of!(Sigframe32, retcode) as u64);
    put_user(at, &[ret, k.sig() as u32])?;
    put_user(at + offset_of!(Sigframe32, sc), &sc)?;
    put_user(at + offset_of!(Sigframe32, extramask), &compat_set(mask)[1])?;
    put_user(at + offset_of!(Sigframe32, retcode), &RETCODE)
}

/// The frame with it (`ia32_setup_rt_frame`).
fn put_rt_frame(k: &KSignal, frame: u64, sc: Sigcontext32, alt: &StackT, mask: SigSet) -> Result {
    let at = frame as usize;
    if !access_ok(at, size_of::<RtSigframe32>()) {
        return Err(EFAULT);
    }
    let within = |offset: usize| (frame as u32).wrapping_add(offset as u32);
    put_user(
        at,
        &RtSigframe32 {
            pretcode: pretcode(k, frame + offset_of!(RtSigframe32, retcode) as u64),
            sig: k.sig() as u32,
            pinfo: within(offset_of!(RtSigframe32, info)),
            puc: within(offset_of!(RtSigframe32, uc)),
            info: to_compat(&k.info),
            uc: Ucontext32 {
                flags: if xstate::use_xsave() { UC_FP_XSTATE as u32 } else { 0 },
                link: 0,
                stack: CompatStack::of(alt),
                mcontext: sc,
                sigmask: compat_set(mask),
            },
            retcode: RT_RETCODE,
        },
    )
}

/// The arguments are on the stack and, for `regparm` handlers, in EAX, EDX, ECX.
fn enter_handler(regs: &PtRegs, k: &KSignal, frame: u64, with_info: bool) {
    let arg = |offset: usize| if with_info { frame + offset as u64 } else { 0 };
    regs.sp.set(frame);
    regs.ip.set(k.ka.handler as u64);
    regs.ax.set(k.sig() as u64);
    regs.dx.set(arg(offset_of!(RtSigframe32, info)));
    regs.cx.set(arg(offset_of!(RtSigframe32, uc)));
    load_data_segments(USER_DS, USER_DS);
    regs.cs.set(u64::from(USER32_CS));
    regs.ss.set(u64::from(USER_DS));
}

/// Puts the context back; R8 to R15 stay. Selectors are user's whatever the frame says
/// (`ia32_restore_sigcontext`).
fn restore_sigcontext(cur: Current, regs: &PtRegs, sc: &Sigcontext32) -> Result {
    cur.sig.restart_block.lock().func = RestartBlock::NONE.func;
    regs.di.set(sc.di.into());
    regs.si.set(sc.si.into());
    regs.bp.set(sc.bp.into());
    regs.bx.set(sc.bx.into());
    regs.dx.set(sc.dx.into());
    regs.ax.set(sc.ax.into());
    regs.cx.set(sc.cx.into());
    regs.sp.set(sc.sp.into());
    regs.ip.set(sc.ip.into());
    regs.cs.set(u64::from(sc.cs as u16 | 3));
    regs.ss.set(u64::from(sc.ss as u16 | 3));
    regs.flags.set(regs.flags.get() & !FIX_EFLAGS | u64::from(sc.flags) & FIX_EFLAGS);
    regs.orig_ax.set(u64::MAX);
    let user = |s: u32| s as u16 | 3;
    reload_segments(&Selectors { ds: user(sc.ds), es: user(sc.es), fs: user(sc.fs), gs: user(sc.gs) });
    if fpu_restore_sig32(sc.fpstate as usize) { Ok(()) } else { Err(EFAULT) }
}

/// Ends a handler: finds its frame `popped` bytes below the stack pointer.
fn end_handler(popped: u64, which: &str, ret: fn(Current, &PtRegs, usize) -> Result) -> Result<usize> {
    let cur = current();
    // Those that this very call saved; the entry code reads them again after the call.
    let regs = cur.pt_regs();
    let frame = regs.sp.get().wrapping_sub(popped) as usize;
    if ret(cur, regs, frame).is_err() {
        signal_fault(cur, regs, frame, which);
        return Ok(0);
    }
    Ok(regs.ax.get() as usize)
}

/// i386's `sigreturn`: the handler's `ret` and the restorer's `pop` have taken two words.
pub fn sys32_sigreturn() -> Result<usize> {
    end_handler(8, "32bit sigreturn", |cur, regs, frame| {
        let sc: Sigcontext32 = get_user(frame.wrapping_add(offset_of!(Sigframe32, sc)))?;
        let extra: u32 = get_user(frame.wrapping_add(offset_of!(Sigframe32, extramask)))?;
        set_current_blocked(set_of([sc.oldmask, extra]));
        restore_sigcontext(cur, regs, &sc)
    })
}

/// i386's `rt_sigreturn`.
pub fn sys32_rt_sigreturn() -> Result<usize> {
    end_handler(4, "32bit rt sigreturn", |cur, regs, frame| {
        let uc: Ucontext32 = get_user(frame.wrapping_add(offset_of!(RtSigframe32, uc)))?;
        set_current_blocked(set_of(uc.sigmask));
        restore_sigcontext(cur, regs, &uc.mcontext)?;
        // A stack that sigaltstack would refuse is not restored.
        let _ = set_altstack(&uc.stack.to_native(), regs.sp.get());
        Ok(())
    })
}

/// `struct compat_sigaction`.
#[repr(C)]
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
struct CompatSigaction {
    handler: u32,
    flags: u32,
    restorer: u32,
    mask: CompatSet,
}

/// `struct compat_old_sigaction`.
#[repr(C)]
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
struct CompatOldSigaction {
    handler: u32,
    mask: u32,
    flags: u32,
    restorer: u32,
}

fn native(handler: u32, flags: u32, restorer: u32, mask: CompatSet) -> KSigaction {
    KSigaction {
        handler: handler as usize,
        flags: flags.into(),
        restorer: restorer as usize,
        mask: set_of(mask),
    }
}

/// i386's `rt_sigaction`.
pub fn compat_sys_rt_sigaction(sig: i32, act: usize, oact: usize, sigsetsize: usize) -> Result<usize> {
    if sigsetsize != size_of::<CompatSet>() {
        return Err(EINVAL);
    }
    let new = if act == 0 {
        None
    } else {
        let a: CompatSigaction = get_user(act)?;
        Some(native(a.handler, a.flags, a.restorer, a.mask))
    };
    let old = do_sigaction(&current(), sig, new.as_ref())?;
    if oact != 0 {
        put_user(
            oact,
            &CompatSigaction {
                handler: old.handler as u32,
                flags: old.flags as u32,
                restorer: old.restorer as u32,
                mask: compat_set(old.mask),
            },
        )?;
    }
    Ok(0)
}

/// i386's `sigaction`: a mask of one word.
pub fn compat_sys_sigaction(sig: i32, act: usize, oact: usize) -> Result<usize> {
    let new = if act == 0 {
        None
    } else {
        let a: CompatOldSigaction = get_user(act)?;
        Some(native(a.handler, a.flags, a.restorer, [a.mask, 0]))
    };
    let old = do_sigaction(&current(), sig, new.as_ref())?;
    if oact != 0 {
        put_user(
            oact,
            &CompatOldSigaction {
                handler: old.handler as u32,
                mask: old.mask.0 as u32,
                flags: old.flags as u32,
                restorer: old.restorer as u32,
            },
        )?;
    }
    Ok(0)
}

/// i386's `sigaltstack`.
pub fn compat_sys_sigaltstack(uss: usize, uoss: usize) -> Result<usize> {
    let cur = current();
    let sp = cur.pt_regs().sp.get();
    let new: Option<CompatStack> = if uss == 0 { None } else { Some(get_user(uss)?) };
    let mut old = cur.sig.altstack.get();
    old.flags = old.mode(sp) | old.flags & SS_FLAG_BITS;
    if let Some(new) = new {
        set_altstack(&new.to_native(), sp)?;
    }
    if uoss != 0 {
        put_user(uoss, &CompatStack::of(&old))?;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_aligned_and_apart() {
        for sp in [0xffff_d123_u64, 0xffff_d000, 0x1_0000] {
            let p = place(sp, 732, 2700);
            assert_eq!((p.frame + 4) % 16, 0);
            assert_eq!((p.fpstate + 112) % 64, 0);
            assert!(p.frame + 732 <= p.fpstate && p.fpstate + 112 + 2700 <= sp);
        }
        // A stack pointer of 0 wraps; the copy fails, not the arithmetic.
        assert!(place(0, 268, 2700).frame > u64::MAX - 8192);
    }
}
