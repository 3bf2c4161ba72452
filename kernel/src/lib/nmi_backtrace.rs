// SPDX-License-Identifier: GPL-2.0-only
//! Where CPUs are, asked for by NMI (Linux 6.1, `lib/nmi_backtrace.c`): an NMI gets through to a CPU
//! that takes no interrupts. The CPU that asks needs none to say where it is itself.

use crate::arch::x86::events::core::show_user_stack;
use crate::arch::x86::kernel::dumpstack::{dump_stack_lvl, show_regs};
use crate::arch::x86::percpu::this_cpu;
use crate::arch::x86::ptrace::PtRegs;
use crate::arch::x86::sections;
use crate::kernel::kallsyms::Symbol;
use crate::kernel::panic::mdelay;
use crate::kernel::printk::KERN_DEFAULT;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// CPUs that have yet to answer.
static BACKTRACE_MASK: AtomicU64 = AtomicU64::new(0);
/// Somebody has asked, and not heard from all of them.
static BACKTRACE_FLAG: AtomicBool = AtomicBool::new(false);

fn own_bit() -> u64 {
    1 << this_cpu().cpu_number.get()
}

/// Has the CPUs of `mask` print where they are; `raise` sends the NMIs
/// (`nmi_trigger_cpumask_backtrace`).
pub fn nmi_trigger_cpumask_backtrace(mask: u64, exclude_self: bool, raise: fn(u64)) {
    if BACKTRACE_FLAG.swap(true, Ordering::Acquire) {
        return;
    }
    let own = own_bit();
    BACKTRACE_MASK.store(if exclude_self { mask & !own } else { mask }, Ordering::SeqCst);
    nmi_cpu_backtrace(None);
    let others = BACKTRACE_MASK.load(Ordering::SeqCst);
    if others != 0 {
        pr_info!("Sending NMI from CPU {} to CPUs {}:\n", this_cpu().cpu_number.get(), CpuList(others));
        raise(others);
    }
    for _ in 0..10_000 {
        if BACKTRACE_MASK.load(Ordering::SeqCst) == 0 {
            break;
        }
        mdelay(1);
    }
    BACKTRACE_FLAG.store(false, Ordering::Release);
}

/// This CPU's answer, if it was asked: where the NMI found it, or where it is
/// (`nmi_cpu_backtrace`).
pub fn nmi_cpu_backtrace(regs: Option<&PtRegs>) -> bool {
    let (own, cpu) = (own_bit(), this_cpu().cpu_number.get());
    if BACKTRACE_MASK.load(Ordering::SeqCst) & own == 0 {
        return false;
    }
    match regs {
        Some(regs) if sections::cpuidle_text().contains(&regs.ip.get()) => {
            pr_warn!("NMI backtrace for cpu {cpu} skipped: idling at {}\n", Symbol(regs.ip.get()));
        }
        Some(regs) => {
            pr_warn!("NMI backtrace for cpu {cpu}\n");
            show_regs(regs);
            show_user_stack(Some(regs));
        }
        None => {
            pr_warn!("NMI backtrace for cpu {cpu}\n");
            dump_stack_lvl(KERN_DEFAULT);
            show_user_stack(None);
        }
    }
    BACKTRACE_MASK.fetch_and(!own, Ordering::SeqCst);
    true
}

/// From an NMI: answers as if this CPU had been asked.
pub fn answer(regs: &PtRegs) {
    BACKTRACE_MASK.fetch_or(own_bit(), Ordering::SeqCst);
    nmi_cpu_backtrace(Some(regs));
}

/// Numbers of CPUs as ranges (`%*pbl`).
struct CpuList(u64);

impl core::fmt::Display for CpuList {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let (mut rest, mut at, mut comma) = (self.0, 0, "");
        while rest != 0 {
            let skip = rest.trailing_zeros();
            (rest, at) = (rest >> skip, at + skip);
            let run = rest.trailing_ones();
            write!(f, "{comma}{at}")?;
            if run > 1 {
                write!(f, "-{}", at + run - 1)?;
            }
            (rest, at, comma) = (rest.checked_shr(run).unwrap_or(0), at + run, ",");
        }
        Ok(())
    }
}

#[cfg(target_os = "none")]
mod kunit {
    use super::{BACKTRACE_MASK, own_bit};
    use crate::arch::x86::kernel::apic::send_nmi_to_self;
    use crate::kernel::kunit::Kunit;
    use crate::kernel::printk::ring;
    use crate::kernel::printk::ringbuffer::LOG_LINE_MAX;
    use crate::{kunit_assert, kunit_suite};
    use core::sync::atomic::Ordering::SeqCst;

    kunit_suite! { "nmi_backtrace": answers_from_an_nmi }

    /// Waits for an NMI, which finds it here.
    #[inline(never)]
    fn is_found_here() {
        BACKTRACE_MASK.store(own_bit(), SeqCst);
        send_nmi_to_self();
        for _ in 0..1_000_000 {
            if BACKTRACE_MASK.load(SeqCst) == 0 {
                break;
            }
            core::hint::spin_loop();
        }
    }

    fn answers_from_an_nmi(test: &mut Kunit) {
        let mut seq = ring().next_seq();
        is_found_here();
        kunit_assert!(test, BACKTRACE_MASK.load(SeqCst) == 0);
        let mut wanted = ["NMI backtrace for cpu 0", "RIP: 0010:is_found_here+0x", "answers_from_an_nmi+0x"]
            .into_iter()
            .peekable();
        let mut text = [0; LOG_LINE_MAX];
        while let (Some(want), Some(info)) = (wanted.peek(), ring().read_valid(seq, &mut text)) {
            seq = info.seq + 1;
            if text[..info.len].windows(want.len()).any(|w| w == want.as_bytes()) {
                wanted.next();
            }
        }
        kunit_assert!(test, wanted.peek().is_none());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn lists_of_cpus() {
        for (mask, text) in [(0, ""), (1, "0"), (0b110, "1-2"), (0b1011, "0-1,3"), (u64::MAX, "0-63")] {
            assert_eq!(CpuList(mask).to_string(), text);
        }
    }
}
