// SPDX-License-Identifier: GPL-2.0-only
//! The signal frame: building it on the user's stack, and `rt_sigreturn`, which
//! trusts nothing of it (Linux 6.1, `arch/x86/kernel/signal.c`).
//!
//! ```text
//!   saved rsp ->  |                        |
//!                 | red zone, 128 bytes    |  (not on a switch to the alternate stack)
//!                 | FPU state, 64-aligned  |  <- uc_mcontext.fpstate
//!                 | siginfo                |  <- rsi
//!                 | ucontext               |  <- rdx
//!   new rsp   ->  | address of the restorer|     rsp + 8 is a multiple of 16
//! ```

use crate::arch::x86::ia32::ia32_signal;
use crate::arch::x86::kernel::fpu::core::fpu_clear_user_states;
use crate::arch::x86::kernel::fpu::signal::{FrameFormat, copy_fpstate_to_sigframe, fpu_restore_sig};
use crate::arch::x86::kernel::fpu::xstate;
use crate::arch::x86::kernel::step::disable_own_single_step;
use crate::arch::x86::lib::usercopy::{UserStruct, access_ok, get_user_into};
use crate::arch::x86::ptrace::{PtRegs, eflags};
use crate::arch::x86::segment::{USER_CS, USER_DS};
use crate::errno::{
    EFAULT, EINTR, ERESTART_RESTARTBLOCK, ERESTARTNOHAND, ERESTARTNOINTR, ERESTARTSYS, Errno, Result,
};
use crate::kernel::printk::{HashedPtr, print_vma_addr, printk_ratelimit, show_unhandled_signals};
use crate::kernel::rseq::rseq_signal_deliver;
use crate::kernel::signal::action::sa;
use crate::kernel::signal::altstack::{StackT, set_altstack};
use crate::kernel::signal::deliver::signal_setup_done;
use crate::kernel::signal::mask::{restore_saved_sigmask, sigmask_to_save};
use crate::kernel::signal::restart_block::RestartBlock;
use crate::kernel::signal::siginfo::{SI_EXPANSION_SIZE, UserSiginfo};
use crate::kernel::signal::sigset::{SIGSEGV, SigSet};
use crate::kernel::signal::{KSignal, force_sig, get_signal, set_current_blocked};
use crate::kernel::task::{Current, current, tif};
use core::mem::{MaybeUninit, offset_of};
use core::sync::atomic::Ordering::Relaxed;
use linux_raw_sys::general::__NR_restart_syscall;
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
const UC_STRICT_RESTORE_SS: u64 = 4;

/// What `rt_sigreturn` may change of the flags.
pub(in crate::arch::x86) const FIX_EFLAGS: u64 = eflags::AC
    | eflags::OF
    | eflags::DF
    | eflags::TF
    | eflags::SF
    | eflags::ZF
    | eflags::AF
    | eflags::PF
    | eflags::CF
    | eflags::RF;

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

/// Puts the general registers back; not the selectors and flags.
#[inline]
fn restore_registers(regs: &PtRegs, sc: &Sigcontext) {
    regs.r8.set(sc.r8);
    regs.r9.set(sc.r9);
    regs.r10.set(sc.r10);
    regs.r11.set(sc.r11);
    regs.r12.set(sc.r12);
    regs.r13.set(sc.r13);
    regs.r14.set(sc.r14);
    regs.r15.set(sc.r15);
    regs.di.set(sc.di);
    regs.si.set(sc.si);
    regs.bp.set(sc.bp);
    regs.bx.set(sc.bx);
    regs.dx.set(sc.dx);
    regs.ax.set(sc.ax);
    regs.cx.set(sc.cx);
    regs.sp.set(sc.sp);
    regs.ip.set(sc.ip);
}

/// Puts selectors and flags back as far as user mode may choose them: privilege is
/// always user's, and IF, IOPL, NT, VM, ID stay as they are.
#[inline]
fn restore_control(regs: &PtRegs, sc: &Sigcontext) {
    regs.cs.set(u64::from(sc.cs | 3));
    regs.ss.set(u64::from(sc.ss | 3));
    regs.flags.set(regs.flags.get() & !FIX_EFLAGS | sc.flags & FIX_EFLAGS);
    // Whatever call the context was in is over.
    regs.orig_ax.set(u64::MAX);
}

/// The descriptor that a selector names, as `lar` shows it, is writable user data.
fn is_user_data(lar: Option<u32>) -> bool {
    const TYPE: u32 = 0xe << 8; // without the accessed bit
    const RW_DATA: u32 = 0x2 << 8;
    const RW_DATA_EXPDOWN: u32 = 0x6 << 8;
    const S_DPL3_PRESENT: u32 = 1 << 12 | 3 << 13 | 1 << 15;
    lar.is_some_and(|ar| {
        ar & S_DPL3_PRESENT == S_DPL3_PRESENT && matches!(ar & TYPE, RW_DATA | RW_DATA_EXPDOWN)
    })
}

/// Access rights of the segment that `selector` names, if `iret` could load it.
fn lar(selector: u64) -> Option<u32> {
    #[cfg(target_os = "none")]
    {
        let (ar, ok): (u32, u8);
        // SAFETY: LAR only reads the descriptor tables.
        unsafe {
            core::arch::asm!("lar {0:e}, {1:e}", "setz {2}", out(reg) ar, in(reg) selector as u32,
                out(reg_byte) ok, options(nomem, nostack));
        }
        (ok != 0).then_some(ar)
    }
    #[cfg(not(target_os = "none"))]
    {
        (selector == u64::from(USER_DS)).then_some(0xcf_f300)
    }
}

/// Replaces a stack segment that `iret` would fault on (`force_valid_ss`).
#[cold]
fn force_valid_ss(regs: &PtRegs) {
    if !is_user_data(lar(regs.ss.get())) {
        regs.ss.set(u64::from(USER_DS));
    }
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
fn setup_rt_frame(cur: Current, k: &KSignal, regs: &PtRegs) -> Result {
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

/// How a system call goes on that returned one of the kernel's restart errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Restart {
    /// It does not: it returned to stay.
    No,
    /// It fails with `EINTR`.
    Eintr,
    /// It is made again.
    Again,
    /// It goes on through `restart_syscall`.
    ByBlock,
}

/// The decision when a handler is about to run (`handle_signal`).
#[inline]
fn restart_with_handler(ax: u64, sa_restart: bool) -> Restart {
    match restart_error(ax) {
        Some(ERESTART_RESTARTBLOCK | ERESTARTNOHAND) => Restart::Eintr,
        Some(ERESTARTSYS) if !sa_restart => Restart::Eintr,
        Some(ERESTARTSYS | ERESTARTNOINTR) => Restart::Again,
        _ => Restart::No,
    }
}

/// The decision when none is (`arch_do_signal_or_restart`).
#[inline]
fn restart_without_handler(ax: u64) -> Restart {
    match restart_error(ax) {
        Some(ERESTARTNOHAND | ERESTARTSYS | ERESTARTNOINTR) => Restart::Again,
        Some(ERESTART_RESTARTBLOCK) => Restart::ByBlock,
        _ => Restart::No,
    }
}

/// The error in RAX, if it is one of the restart errors.
#[inline]
fn restart_error(ax: u64) -> Option<Errno> {
    let e = ax.wrapping_neg();
    (512..=516).contains(&e).then_some(Errno(e as u16))
}

/// Length of `syscall`, and of `int 0x80`.
const SYSCALL_INSN_LEN: u64 = 2;

/// `restart_syscall` for `int 0x80`.
const IA32_NR_RESTART_SYSCALL: u64 = 0;

fn apply_restart(regs: &PtRegs, r: Restart, compat: bool) {
    match r {
        Restart::No => {}
        Restart::Eintr => regs.ax.set(EINTR.as_ret() as u64),
        Restart::Again => {
            regs.ax.set(regs.orig_ax.get());
            regs.ip.set(regs.ip.get().wrapping_sub(SYSCALL_INSN_LEN));
        }
        Restart::ByBlock => {
            regs.ax.set(if compat { IA32_NR_RESTART_SYSCALL } else { u64::from(__NR_restart_syscall) });
            regs.ip.set(regs.ip.get().wrapping_sub(SYSCALL_INSN_LEN));
        }
    }
}

/// What the call has returned: of i386's, and of what a tracer has written as one, only the lower
/// half counts (`syscall_get_error`).
#[inline]
fn call_result(cur: Current, regs: &PtRegs) -> u64 {
    let thread = cur.thread();
    let narrow = thread.compat_syscall.get() || thread.i386_regs_poked.get();
    if narrow { regs.ax.get() as i32 as u64 } else { regs.ax.get() }
}

/// Whether the interrupted context is a system call's (`syscall_get_nr` is not -1).
#[inline]
fn in_syscall(regs: &PtRegs) -> bool {
    regs.orig_ax.get() as u32 != u32::MAX
}

#[inline]
fn handle_signal(cur: Current, k: &KSignal, regs: &PtRegs) {
    if in_syscall(regs) {
        apply_restart(
            regs,
            restart_with_handler(call_result(cur, regs), k.ka.flags & sa::RESTART != 0),
            cur.thread().compat_syscall.get(),
        );
    }
    if cur.test_flag(tif::RSEQ) {
        rseq_signal_deliver(cur, k.sig(), regs);
    }
    // The frame does not show the tracer's trap flag.
    let stepping = cur.test_flag(tif::SINGLESTEP);
    if stepping {
        disable_own_single_step(cur, regs);
    }
    let failed = if k.ka.flags & sa::IA32_ABI == 0 {
        setup_rt_frame(cur, k, regs).is_err()
    } else {
        ia32_signal::setup_frame(cur, k, regs).is_err()
    };
    if !failed {
        // A clean start, by the ABI (DF) and for the handler's own debugging (RF, TF).
        regs.flags.update(|v| v & !(eflags::DF | eflags::RF | eflags::TF));
        fpu_clear_user_states();
    }
    signal_setup_done(failed, k, stepping);
}

/// Delivers one signal before the return to user mode, or restarts the interrupted
/// call if there is none to handle.
pub fn arch_do_signal_or_restart(regs: &PtRegs) {
    let cur = current();
    let mut k = KSignal::default();
    if get_signal(&cur, &mut k) {
        handle_signal(cur, &k, regs);
        return;
    }
    if in_syscall(regs) {
        apply_restart(
            regs,
            restart_without_handler(call_result(cur, regs)),
            cur.thread().compat_syscall.get(),
        );
    }
    restore_saved_sigmask();
}

/// Puts the context back that a frame describes (`restore_sigcontext`).
#[inline]
fn restore_sigcontext(cur: Current, regs: &PtRegs, uc: &Ucontext) -> bool {
    // A call that was interrupted before the handler has failed by now.
    cur.sig.restart_block.lock().func = RestartBlock::NONE.func;
    let sc = &uc.uc_mcontext;
    restore_registers(regs, sc);
    restore_control(regs, sc);
    if uc.uc_flags & UC_STRICT_RESTORE_SS == 0 && regs.user_64bit_mode() {
        force_valid_ss(regs);
    }
    fpu_restore_sig(sc.fpstate as usize)
}

/// `rt_sigreturn(2)`: the end of a handler. Its result is the restored RAX.
pub fn sys_rt_sigreturn() -> Result<usize> {
    let cur = current();
    // Those that this very call saved; the entry code reads them again after the call.
    let regs = cur.pt_regs();
    // The handler's `ret` has taken the first word.
    let frame = regs.sp.get().wrapping_sub(8) as usize;
    if return_from_frame(cur, regs, frame).is_err() {
        signal_fault(cur, regs, frame, "rt_sigreturn");
        return Ok(0);
    }
    Ok(regs.ax.get() as usize)
}

#[inline]
fn return_from_frame(cur: Current, regs: &PtRegs, frame: usize) -> Result {
    if !access_ok(frame, size_of::<RtSigframe>()) {
        return Err(EFAULT);
    }
    let mut room = MaybeUninit::uninit();
    let uc: &Ucontext = get_user_into(&mut room, frame + offset_of!(RtSigframe, uc))?;
    set_current_blocked(uc.uc_sigmask);
    if !restore_sigcontext(cur, regs, uc) {
        return Err(EFAULT);
    }
    // A stack that sigaltstack would refuse is not restored, as in Linux.
    let _ = set_altstack(&uc.uc_stack, regs.sp.get());
    Ok(())
}

/// A frame that cannot be used: reports it and kills, or lets SIGSEGV's handler know
/// (`signal_fault`).
#[cold]
pub(in crate::arch::x86) fn signal_fault(cur: Current, regs: &PtRegs, frame: usize, which: &str) {
    if may_report("signal_fault") {
        let level = if cur.pid() > 1 { 6 } else { 0 };
        crate::printk!(
            level,
            "{}[{}] bad frame in {which} frame:{} ip:{:x} sp:{:x} orax:{:x}",
            comm(cur),
            cur.pid(),
            HashedPtr(frame),
            regs.ip.get(),
            regs.sp.get(),
            regs.orig_ax.get(),
        );
        print_vma_addr(" in ", regs.ip.get() as usize);
        crate::pr_cont!("\n");
    }
    force_sig(SIGSEGV);
}

/// Whether `func` may log what user mode did wrong.
fn may_report(func: &str) -> bool {
    show_unhandled_signals().load(Relaxed) && printk_ratelimit(func)
}

/// The task's command name, for messages.
fn comm(cur: Current) -> impl core::fmt::Display {
    struct Comm(arrayvec::ArrayVec<u8, 16>);
    impl core::fmt::Display for Comm {
        fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
            use core::fmt::Write;
            self.0.iter().try_for_each(|&b| f.write_char(char::from(b)))
        }
    }
    Comm(cur.comm())
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
    fn sigreturn_chooses_no_privilege() {
        let flags = |old: u64, new: u64| {
            let r = PtRegs { flags: old.into(), ..PtRegs::default() };
            restore_control(&r, &Sigcontext { flags: new, cs: 0x10, ss: 0x18, ..Sigcontext::default() });
            assert_eq!((r.cs.get(), r.ss.get(), r.orig_ax.get()), (0x13, 0x1b, u64::MAX));
            r.flags.get()
        };
        // The oracle's fl_* frames.
        assert_eq!(flags(0x202, !0x100), 0x202 | FIX_EFLAGS & !0x100);
        assert_eq!(flags(0x202, 0), 0x202);
        assert_eq!(flags(0x202, 0x202 | 0x24_0000), 0x4_0202);
        assert_eq!(flags(0x202, 0x202 | 0x3000 | 0x2_0000 | 0x4000), 0x202);
    }

    #[test]
    fn only_writable_user_data_is_a_stack() {
        assert!(is_user_data(Some(0xcf_f300)) && is_user_data(Some(0xcf_f200)));
        assert!(is_user_data(Some(0xcf_f700)));
        assert!(!is_user_data(None));
        assert!(!is_user_data(Some(0xcf_9300))); // kernel data
        assert!(!is_user_data(Some(0xaf_fb00))); // user code
        assert!(!is_user_data(Some(0xcf_7300))); // not present
        assert!(!is_user_data(Some(0xcf_f100))); // read-only
    }

    #[test]
    fn restart_rules() {
        let ax = |e: Errno| e.as_ret() as u64;
        let with = |e, r| restart_with_handler(ax(e), r);
        assert_eq!(with(ERESTARTSYS, true), Restart::Again);
        assert_eq!(with(ERESTARTSYS, false), Restart::Eintr);
        assert_eq!(with(ERESTARTNOINTR, false), Restart::Again);
        assert_eq!(with(ERESTARTNOHAND, true), Restart::Eintr);
        assert_eq!(with(ERESTART_RESTARTBLOCK, true), Restart::Eintr);
        assert_eq!(with(EINTR, true), Restart::No);
        let without = |e| restart_without_handler(ax(e));
        assert_eq!(without(ERESTARTSYS), Restart::Again);
        assert_eq!(without(ERESTARTNOHAND), Restart::Again);
        assert_eq!(without(ERESTARTNOINTR), Restart::Again);
        assert_eq!(without(ERESTART_RESTARTBLOCK), Restart::ByBlock);
        assert_eq!(without(EFAULT), Restart::No);
        assert_eq!(restart_without_handler(512), Restart::No);
    }

    #[test]
    fn restarting_backs_up_over_the_instruction() {
        let r = PtRegs { ax: 1.into(), orig_ax: 35.into(), ip: 0x1002.into(), ..PtRegs::default() };
        apply_restart(&r, Restart::Again, false);
        assert_eq!((r.ax.get(), r.ip.get()), (35, 0x1000));
        apply_restart(&r, Restart::ByBlock, false);
        assert_eq!((r.ax.get(), r.ip.get()), (219, 0xffe));
        apply_restart(&r, Restart::Eintr, false);
        assert_eq!((r.ax.get() as i64, r.ip.get()), (-4, 0xffe));
    }

    #[test]
    fn largest_frame_is_what_programs_are_told() {
        // AT_MINSIGSTKSZ of the oracle.
        assert_eq!(sigframe_size(2700), 3632);
    }
}
