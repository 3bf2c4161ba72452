// SPDX-License-Identifier: GPL-2.0-only
//! `rt_sigreturn`, which trusts nothing of the frame (Linux 6.1, `arch/x86/kernel/signal.c`).

use super::frame::{RtSigframe, Sigcontext, UC_STRICT_RESTORE_SS, Ucontext};
use super::{force_valid_ss, signal_fault};
use crate::arch::x86::kernel::fpu::signal::fpu_restore_sig;
use crate::arch::x86::lib::usercopy::{access_ok, get_user_into};
use crate::arch::x86::ptrace::{PtRegs, eflags};
use crate::errno::{EFAULT, Result};
use crate::kernel::signal::altstack::set_altstack;
use crate::kernel::signal::restart_block::RestartBlock;
use crate::kernel::signal::set_current_blocked;
use crate::kernel::task::{Current, current};
use core::mem::{MaybeUninit, offset_of};

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

#[cfg(test)]
mod tests {
    use super::*;

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
}
