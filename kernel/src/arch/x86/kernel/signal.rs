// SPDX-License-Identifier: GPL-2.0-only
//! Signals on their way to a handler: its frame, the interrupted call, and the way back
//! (Linux 6.1, `arch/x86/kernel/signal.c`).

mod frame;
mod restart;
mod sigreturn;

pub(in crate::arch::x86) use frame::UC_FP_XSTATE;
pub use frame::get_sigframe_size;
pub(in crate::arch::x86) use sigreturn::FIX_EFLAGS;
pub use sigreturn::sys_rt_sigreturn;

use crate::arch::x86::ia32::ia32_signal;
use crate::arch::x86::kernel::fpu::core::fpu_clear_user_states;
use crate::arch::x86::kernel::step::disable_own_single_step;
use crate::arch::x86::ptrace::{PtRegs, eflags};
use crate::arch::x86::segment::USER_DS;
use crate::kernel::printk::{HashedPtr, print_vma_addr, printk_ratelimit, show_unhandled_signals};
use crate::kernel::rseq::rseq_signal_deliver;
use crate::kernel::signal::action::sa;
use crate::kernel::signal::deliver::signal_setup_done;
use crate::kernel::signal::mask::restore_saved_sigmask;
use crate::kernel::signal::sigset::SIGSEGV;
use crate::kernel::signal::{KSignal, force_sig, get_signal};
use crate::kernel::task::{Current, current, tif};
use core::sync::atomic::Ordering::Relaxed;

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

/// Prepares the interrupted context for the handler.
#[inline]
fn handle_signal(cur: Current, k: &KSignal, regs: &PtRegs) {
    restart::with_handler(cur, regs, k.ka.flags & sa::RESTART != 0);
    if cur.test_flag(tif::RSEQ) {
        rseq_signal_deliver(cur, k.sig(), regs);
    }
    // The frame does not show the tracer's trap flag.
    let stepping = cur.test_flag(tif::SINGLESTEP);
    if stepping {
        disable_own_single_step(cur, regs);
    }
    let failed = if k.ka.flags & sa::IA32_ABI == 0 {
        frame::setup_rt_frame(cur, k, regs).is_err()
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
    restart::without_handler(cur, regs);
    restore_saved_sigmask();
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
