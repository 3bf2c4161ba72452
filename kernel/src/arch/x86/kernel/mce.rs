// SPDX-License-Identifier: GPL-2.0-only
//! Machine checks: the hardware says that it is broken (Linux 6.1,
//! `arch/x86/kernel/cpu/mce/core.c`).
//!
//! The banks say what is broken; [`severity`] says what that means. Mostly it is the end: a
//! panic, with the words of the worst bank. Only a memory error that a program came upon is the
//! program's alone: `SIGBUS`. With `mce=off` the exception stays disabled, and the CPU shuts
//! down instead of raising it.

pub mod severity;

use crate::arch::x86::kernel::alternative::sync_core;
use crate::arch::x86::kernel::traps::{ist_enter, ist_exit};
use crate::arch::x86::lib::msr::rdmsr;
use crate::arch::x86::percpu::this_cpu;
use crate::arch::x86::ptrace::PtRegs;
use crate::arch::x86::segment::KERNEL_CS;
use crate::kernel::context_tracking::{exception_enter, exception_exit};
use crate::kernel::kallsyms::Symbol;
use crate::kernel::panic::panic;
use crate::kernel::signal::force_sig;
use crate::kernel::signal::sigset::SIGBUS;
use crate::kernel::time::timekeeping::{ktime_get_real, rdtsc};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use raw_cpuid::CpuId;
use severity::{Error, Severity, mce_severity, mcg, status};
use x86_64::registers::control::{Cr4, Cr4Flags};

const MSR_IA32_MCG_CAP: u32 = 0x179;
const MSR_IA32_MCG_STATUS: u32 = 0x17a;
const MSR_IA32_MCG_CTL: u32 = 0x17b;
/// The first bank's control register; status, address and more follow, four for each bank.
const MSR_IA32_MC0_CTL: u32 = 0x400;
/// There is a global control register.
const MCG_CTL_P: u64 = 1 << 8;
/// Banks tell errors that need an action from others.
const MCG_SER_P: u64 = 1 << 24;

/// `mce=off`.
static DISABLED: AtomicBool = AtomicBool::new(false);
/// What the CPU can say, once it was asked to say it; 0 before.
static MCG_CAP: AtomicU64 = AtomicU64::new(0);

/// Handles `mce=` and `nomce`; false if it is something else.
pub fn setup(name: &str, value: Option<&str>) -> bool {
    /// What Linux can be told, of things that there are none of here.
    const OTHERS: &[&str] = &[
        "no_cmci",
        "no_lmce",
        "dont_log_ce",
        "print_all",
        "ignore_ce",
        "bootlog",
        "nobootlog",
        "bios_cmci_threshold",
        "recovery",
    ];
    match (name, value) {
        ("nomce", _) | ("mce", Some("off")) => DISABLED.store(true, Ordering::Relaxed),
        ("mce", Some(v)) => {
            if !OTHERS.contains(&v) && !v.starts_with(|c: char| c.is_ascii_digit()) {
                pr_info!("mce: mce argument {v} ignored. Please use /sys\n");
            }
        }
        ("mce", None) => {}
        _ => return false,
    }
    true
}

fn wrmsr(msr: u32, value: u64) {
    // SAFETY: a machine-check register; what is written is what it is for.
    unsafe { crate::arch::x86::lib::msr::wrmsr(msr, value) };
}

fn bank_register(bank: u32, which: u32) -> u32 {
    MSR_IA32_MC0_CTL + 4 * bank + which
}

fn banks(cap: u64) -> u32 {
    cap as u32 & 0xff
}

/// At boot: has all banks report, and enables the exception (`mcheck_cpu_init`).
pub fn mcheck_cpu_init() {
    let features = CpuId::new().get_feature_info();
    if DISABLED.load(Ordering::Relaxed) || !features.is_some_and(|f| f.has_mce() && f.has_mca()) {
        return;
    }
    let cap = rdmsr(MSR_IA32_MCG_CAP);
    MCG_CAP.store(cap, Ordering::Relaxed);
    // SAFETY: the exception has a handler.
    unsafe { Cr4::update(|f| f.insert(Cr4Flags::MACHINE_CHECK_EXCEPTION)) };
    if cap & MCG_CTL_P != 0 {
        wrmsr(MSR_IA32_MCG_CTL, u64::MAX);
    }
    for bank in 0..banks(cap) {
        wrmsr(bank_register(bank, 0), u64::MAX);
        wrmsr(bank_register(bank, 1), 0);
    }
}

/// What one bank says (`struct mce`).
struct Mce {
    bank: u32,
    mcgstatus: u64,
    status: u64,
    addr: u64,
    misc: u64,
    /// Where it happened, if that is known: CS and RIP.
    at: Option<(u64, u64)>,
}

impl Mce {
    fn read(bank: u32, mcgstatus: u64, regs: &PtRegs) -> Self {
        let st = rdmsr(bank_register(bank, 1));
        let extra = |bit, which| if st & bit == 0 { 0 } else { rdmsr(bank_register(bank, which)) };
        let known = mcgstatus & (mcg::RIPV | mcg::EIPV) != 0;
        Self {
            bank,
            mcgstatus,
            status: st,
            addr: extra(status::ADDRV, 2),
            misc: extra(status::MISCV, 3),
            at: known.then_some((regs.cs.get(), regs.ip.get())),
        }
    }

    /// `print_mce`.
    fn print(&self) {
        let exception = if self.mcgstatus & mcg::MCIP == 0 { "" } else { " Exception" };
        pr_emerg!(
            "mce: [Hardware Error]: CPU {}: Machine Check{exception}: {:x} Bank {}: {:016x}\n",
            this_cpu().cpu_number.get(),
            self.mcgstatus,
            self.bank,
            self.status
        );
        if let Some((cs, ip)) = self.at {
            let inexact = if self.mcgstatus & mcg::EIPV == 0 { " !INEXACT!" } else { "" };
            pr_emerg!("mce: [Hardware Error]: RIP{inexact} {cs:02x}:<{ip:016x}> ");
            if cs == u64::from(KERNEL_CS) {
                pr_cont!("{{{}}}", Symbol(ip));
            }
            pr_cont!("\n");
        }
        pr_emerg!("mce: [Hardware Error]: TSC {:x} ", rdtsc());
        for (name, value) in [("ADDR", self.addr), ("MISC", self.misc)] {
            if value != 0 {
                pr_cont!("{name} {value:x} ");
            }
        }
        pr_cont!("\n");
        Self::print_processor();
    }

    fn print_processor() {
        let id = CpuId::new();
        let amd = id.get_vendor_info().is_some_and(|v| v.as_str() == "AuthenticAMD");
        let f = id.get_feature_info();
        let signature = x86_64_signature();
        pr_emerg!(
            "mce: [Hardware Error]: PROCESSOR {}:{signature:x} TIME {} SOCKET 0 APIC {:x} microcode 0\n",
            if amd { 2 } else { 0 },
            ktime_get_real() / 1_000_000_000,
            f.map_or(0, |f| f.initial_local_apic_id())
        );
        if !amd {
            pr_emerg!("mce: [Hardware Error]: Run the above through 'mcelog --ascii'\n");
        }
    }
}

/// Family, model and stepping, as the CPU says them.
fn x86_64_signature() -> u32 {
    #[cfg(target_os = "none")]
    {
        core::arch::x86_64::__cpuid(1).eax
    }
    #[cfg(not(target_os = "none"))]
    0
}

/// The end: what happened, why that is fatal, and the panic (`mce_panic`).
fn mce_panic(what: &str, last: Option<(&Mce, &str)>) -> ! {
    if let Some((m, why)) = last {
        m.print();
        pr_emerg!("mce: [Hardware Error]: Machine check: {why}\n");
    }
    panic(format_args!("{what}"));
}

/// #MC.
pub extern "C" fn do_machine_check(regs: &PtRegs, _error_code: u64) {
    if regs.user_mode() {
        // On the task's stack, as any other exception.
        let prev_state = exception_enter();
        machine_check(regs);
        exception_exit(prev_state);
    } else {
        ist_enter();
        machine_check(regs);
        ist_exit();
    }
}

/// For tests: has the next machine check find that nothing is wrong. False without machine checks.
pub fn pretend_that_all_is_well() -> bool {
    if MCG_CAP.load(Ordering::Relaxed) == 0 {
        return false;
    }
    wrmsr(MSR_IA32_MCG_STATUS, mcg::RIPV);
    true
}

fn machine_check(regs: &PtRegs) {
    let cap = MCG_CAP.load(Ordering::Relaxed);
    if cap == 0 {
        // Not the CPU: it was never asked to. Somebody has executed `int $18`.
        pr_emerg!("mce: CPU#{}: Unexpected int18 (Machine Check)\n", this_cpu().cpu_number.get());
        return;
    }
    let mcgstatus = rdmsr(MSR_IA32_MCG_STATUS);
    let mut worst: Option<(Severity, &str, Mce)> = None;
    for bank in 0..banks(cap) {
        let m = Mce::read(bank, mcgstatus, regs);
        let e = Error { status: m.status, mcgstatus, user: regs.user_mode(), ser: cap & MCG_SER_P != 0 };
        let (severity, why) = mce_severity(&e);
        if severity > Severity::Keep && severity < Severity::Panic {
            wrmsr(bank_register(bank, 1), 0);
        }
        if severity > Severity::No && worst.as_ref().is_none_or(|w| severity > w.0) {
            worst = Some((severity, why, m));
        }
    }
    if let Some((Severity::Panic, why, m)) = &worst {
        mce_panic("Fatal local machine check", Some((m, why)));
    }
    wrmsr(MSR_IA32_MCG_STATUS, 0);
    let required = worst.filter(|w| w.0 == Severity::ActionRequired);
    if mcgstatus & mcg::RIPV == 0 || required.is_some() {
        kill_current_task(regs, required.map(|w| w.2.addr));
    }
    sync_core();
}

/// The interrupted program cannot go on: it is told by a signal. If it was not a program, nothing
/// can go on (`kill_me_maybe`, `kill_me_now`).
fn kill_current_task(regs: &PtRegs, memory: Option<u64>) {
    if !regs.user_mode() {
        mce_panic("Fatal machine check on current CPU", None);
    }
    if let Some(addr) = memory {
        pr_err!("mce: Uncorrected hardware memory error in user-access at {addr:x}\n");
        pr_err!("mce: Memory error not recovered\n");
    }
    force_sig(SIGBUS);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_the_command_line() {
        assert!(setup("mce", Some("no_cmci")) && setup("mce", Some("2")) && setup("mce", None));
        assert!(!DISABLED.load(Ordering::Relaxed));
        assert!(setup("mce", Some("off")));
        assert!(DISABLED.swap(false, Ordering::Relaxed));
        assert!(setup("nomce", None));
        assert!(DISABLED.swap(false, Ordering::Relaxed));
        assert!(!setup("mces", None));
    }
}
