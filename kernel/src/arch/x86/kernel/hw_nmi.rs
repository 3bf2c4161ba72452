// SPDX-License-Identifier: GPL-2.0-only
//! Backtraces by NMI, as the APIC sends them (Linux 6.1, `arch/x86/kernel/apic/hw_nmi.c`).

use super::nmi::{NmiAction, NmiType, register_nmi_handler};
use crate::arch::x86::ptrace::PtRegs;
use crate::lib::nmi_backtrace::{nmi_cpu_backtrace, nmi_trigger_cpumask_backtrace};

/// All CPUs: one.
const CPU_ONLINE_MASK: u64 = 1;

/// Has every CPU print where it is (`trigger_all_cpu_backtrace`).
pub fn trigger_all_cpu_backtrace() {
    nmi_trigger_cpumask_backtrace(CPU_ONLINE_MASK, false, nmi_raise_cpu_backtrace);
}

/// The mask has nobody but this CPU in it; who asks for itself needs no NMI.
fn nmi_raise_cpu_backtrace(_mask: u64) {
    #[cfg(target_os = "none")]
    super::apic::send_nmi_to_self();
}

fn nmi_cpu_backtrace_handler(_: NmiType, regs: &PtRegs) -> u32 {
    u32::from(nmi_cpu_backtrace(Some(regs)))
}

static ARCH_BT: NmiAction = NmiAction::new(nmi_cpu_backtrace_handler, 0);

/// From now on NMIs may ask where this CPU is.
pub fn register_nmi_cpu_backtrace_handler() {
    let _ = register_nmi_handler(NmiType::Local, &ARCH_BT);
}
