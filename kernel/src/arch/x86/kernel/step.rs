// SPDX-License-Identifier: GPL-2.0-only
//! Single steps for a tracer (Linux 6.1, `arch/x86/kernel/step.c`).
//!
//! The trap flag serves both the tracer and the program, which may set it itself: `TIF_FORCED_TF`
//! says that it is the tracer's, and that the program must not see it.

use crate::arch::x86::kernel::ldt::{TI_LDT, UserDesc};
use crate::arch::x86::kernel::traps::decide::Vector;
use crate::arch::x86::lib::insn_eval::descriptor_of;
use crate::arch::x86::ptrace::{PtRegs, eflags};
use crate::kernel::ptrace::Tracee;
use crate::kernel::signal::force_sig_fault;
use crate::kernel::signal::sigset::SIGTRAP;
use crate::kernel::task::{Current, Task, current, tif};

const TRAP_BRKPT: i32 = 1;

/// What the instruction at the tracee's instruction pointer would do to the trap flag: `popf`,
/// `iret` and their prefixed forms set it themselves (`is_setting_trap_flag`).
fn is_setting_trap_flag(t: &Tracee, regs: &PtRegs) -> bool {
    let mut code = [0; 15];
    let Some(mm) = t.get_mm() else { return false };
    let n = mm.access_read(convert_ip_to_linear(t, regs) as usize, &mut code);
    sets_trap_flag(&code[..n], regs.user_64bit_mode())
}

/// Where the instruction is: code of the LDT's may begin elsewhere than at 0, and be 16-bit code.
fn convert_ip_to_linear(t: &Tracee, regs: &PtRegs) -> u64 {
    let selector = regs.cs.get() as u16;
    if selector & TI_LDT == 0 {
        return regs.ip.get();
    }
    descriptor_of(t, t.arch_thread(), selector).map_or(u64::MAX, |d| {
        let segment = UserDesc::from_descriptor(0, d);
        let ip = if segment.seg_32bit() { regs.ip.get() } else { regs.ip.get() & 0xffff };
        ip.wrapping_add(segment.base_addr.into())
    })
}

fn sets_trap_flag(code: &[u8], long_mode: bool) -> bool {
    for &byte in code {
        match byte {
            // popf, iret
            0x9d | 0xcf => return true,
            // Prefixes.
            0x26 | 0x2e | 0x36 | 0x3e | 0x64..=0x67 | 0xf0 | 0xf2 | 0xf3 => {}
            0x40..=0x4f if long_mode => {}
            _ => return false,
        }
    }
    false
}

/// Sets the trap flag for the tracer. Returns whether it is not the program's own
/// (`enable_single_step`).
fn enable_single_step(t: &Tracee) -> bool {
    let regs = t.regs();
    if t.test_flag(tif::SINGLESTEP) {
        // A step into the kernel has cleared it.
        regs.flags.update(|v| v | eflags::TF);
    }
    // A step over a system call ends before the program's next instruction.
    t.set_flag(tif::SINGLESTEP | tif::SYSCALL_EXIT_TRAP);
    let before = regs.flags.get();
    regs.flags.update(|v| v | eflags::TF);
    if is_setting_trap_flag(t, regs) {
        t.clear_flag(tif::FORCED_TF);
        return false;
    }
    if before & eflags::TF != 0 {
        return t.test_flag(tif::FORCED_TF);
    }
    t.set_flag(tif::FORCED_TF);
    true
}

/// The tracee is to execute one instruction.
pub fn user_enable_single_step(t: &Tracee) {
    enable_single_step(t);
    t.clear_flag(tif::BLOCKSTEP);
}

/// The tracee is to run to its next branch, where the CPU can tell.
pub fn user_enable_block_step(t: &Tracee) {
    if enable_single_step(t) {
        t.set_flag(tif::BLOCKSTEP);
    } else {
        t.clear_flag(tif::BLOCKSTEP);
    }
}

/// No steps any more.
pub fn user_disable_single_step(t: &Tracee) {
    disable(t, t.regs());
}

/// The same for the running task, with its user registers.
pub fn disable_own_single_step(cur: Current, regs: &PtRegs) {
    if cur.test_flag(tif::BLOCKSTEP) {
        set_block_step(false);
    }
    disable(&cur, regs);
}

/// A child does not step as its parent does.
pub fn forget_single_step(parent: &Task, regs: &PtRegs) {
    if parent.test_flag(tif::FORCED_TF) {
        regs.flags.update(|v| v & !eflags::TF);
    }
}

fn disable(t: &Task, regs: &PtRegs) {
    if t.test_flag(tif::FORCED_TF) {
        regs.flags.update(|v| v & !eflags::TF);
    }
    t.clear_flag(tif::SINGLESTEP | tif::SYSCALL_EXIT_TRAP | tif::FORCED_TF | tif::BLOCKSTEP);
}

/// Whether the trap flag traps at branches only (`DEBUGCTLMSR_BTF`).
pub fn set_block_step(on: bool) {
    #[cfg(target_os = "none")]
    {
        use crate::arch::x86::lib::msr::{rdmsr_safe, wrmsr_safe};
        const DEBUGCTL: u32 = 0x1d9;
        const BTF: u64 = 1 << 1;
        if let Ok(v) = rdmsr_safe(DEBUGCTL) {
            let _ = wrmsr_safe(DEBUGCTL, if on { v | BTF } else { v & !BTF });
        }
    }
    #[cfg(not(target_os = "none"))]
    let _ = on;
}

/// The step ends behind a system call (`user_single_step_report`).
pub fn user_single_step_report(regs: &PtRegs) {
    let cur = current();
    cur.thread().trap_nr.set(u64::from(Vector::Debug.nr()));
    cur.thread().error_code.set(0);
    force_sig_fault(SIGTRAP, TRAP_BRKPT, regs.ip.get());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn popf_sets_the_flag_itself() {
        assert!(sets_trap_flag(&[0x9d], true) && sets_trap_flag(&[0x66, 0x9d, 0x90], true));
        assert!(sets_trap_flag(&[0x48, 0xcf], true) && !sets_trap_flag(&[0x48, 0xcf], false));
        assert!(!sets_trap_flag(&[0x90, 0x9d], true) && !sets_trap_flag(&[], true));
    }
}
