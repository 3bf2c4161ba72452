// SPDX-License-Identifier: GPL-2.0-only
//! Hard lockups: the kernel takes no interrupts any more (Linux 6.1, `kernel/watchdog_hld.c`). Only
//! NMIs get through; [`nmi_watchdog`](crate::arch::x86::kernel::nmi_watchdog) sends them.
//!
//! What it counts is there anyway: timer interrupts, as in Linux until 2.6.37. NMIs are counted as
//! well as seconds, so that a machine whose host has stopped it is not taken for one that hangs.

use crate::arch::x86::events::core::show_user_stack;
use crate::arch::x86::kernel::dumpstack::show_regs;
use crate::arch::x86::kernel::nmi_watchdog::STRIKES_PER_SECOND;
use crate::arch::x86::percpu::this_cpu;
use crate::arch::x86::ptrace::PtRegs;
use crate::kernel::panic::{bust_spinlocks, nmi_panic, print_modules};
use crate::kernel::time::timekeeping::ktime_get;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// Whether a hard lockup is a panic (`nmi_watchdog=panic`, `/proc/sys/kernel/hardlockup_panic`).
pub static HARDLOCKUP_PANIC: AtomicBool = AtomicBool::new(false);

/// Set by who is about to do without interrupts for long (`touch_nmi_watchdog`).
static TOUCHED: AtomicBool = AtomicBool::new(false);

/// Says that interrupts are off on purpose.
pub fn touch_nmi_watchdog() {
    TOUCHED.store(true, Relaxed);
}

/// What the detector remembers from one strike to the next.
struct HardWatch {
    /// Timer interrupts as they were when they last had become more.
    irqs: AtomicU64,
    /// When that was.
    since: AtomicU64,
    /// Strikes since then.
    strikes: AtomicU64,
    /// Nanoseconds that are too many.
    limit: AtomicU64,
    /// It has been said.
    warned: AtomicBool,
}

static HARD: HardWatch = HardWatch::new();

impl HardWatch {
    const fn new() -> Self {
        Self {
            irqs: AtomicU64::new(0),
            since: AtomicU64::new(0),
            strikes: AtomicU64::new(0),
            limit: AtomicU64::new(0),
            warned: AtomicBool::new(false),
        }
    }

    fn restart(&self, now: u64, irqs: u64) {
        self.irqs.store(irqs, Relaxed);
        self.since.store(now, Relaxed);
        self.strikes.store(0, Relaxed);
        self.warned.store(false, Relaxed);
    }

    /// A strike; whether it has found a lockup that was not reported yet (`is_hardlockup`).
    fn strike(&self, now: u64, irqs: u64) -> bool {
        if irqs != self.irqs.load(Relaxed) {
            self.restart(now, irqs);
            return false;
        }
        let strikes = self.strikes.fetch_add(1, Relaxed) + 1;
        let limit = self.limit.load(Relaxed);
        let long = now.saturating_sub(self.since.load(Relaxed)) >= limit;
        let often = strikes >= limit / 1_000_000_000 * STRIKES_PER_SECOND / 2;
        long && often && !self.warned.swap(true, Relaxed)
    }
}

/// From now on so many nanoseconds are too many.
pub fn restart(limit: u64) {
    HARD.limit.store(limit, Relaxed);
    HARD.restart(ktime_get(), this_cpu().irq_timer_count.get());
}

/// The watchdog's NMI (`watchdog_overflow_callback`).
pub fn watchdog_overflow_callback(regs: &PtRegs) {
    let irqs = this_cpu().irq_timer_count.get();
    if TOUCHED.swap(false, Relaxed) {
        HARD.restart(ktime_get(), irqs);
    } else if HARD.strike(ktime_get(), irqs) {
        report(regs);
    }
}

/// Shown at once, whoever has the console: on the only CPU nobody would show it later.
#[cold]
pub fn report(regs: &PtRegs) {
    bust_spinlocks(true);
    pr_emerg!("NMI watchdog: Watchdog detected hard LOCKUP on cpu {}\n", this_cpu().cpu_number.get());
    print_modules();
    show_regs(regs);
    show_user_stack(Some(regs));
    bust_spinlocks(false);
    if HARDLOCKUP_PANIC.load(Relaxed) {
        nmi_panic(format_args!("Hard LOCKUP"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn found_once_after_the_limit() {
        let w = HardWatch::new();
        w.limit.store(10 * SECOND, Relaxed);
        w.restart(0, 7);
        let found: Vec<u64> = (1..600).filter(|n| w.strike(n * SECOND / 18, 7)).collect();
        assert_eq!(found, [180]);
        // It ends, and there is another one.
        assert!(!w.strike(40 * SECOND, 8));
        let again: Vec<u64> = (1..600).filter(|n| w.strike(40 * SECOND + n * SECOND / 18, 8)).collect();
        assert_eq!(again, [180]);
    }

    #[test]
    fn timer_interrupts_or_a_stopped_machine_are_no_lockup() {
        let w = HardWatch::new();
        w.limit.store(10 * SECOND, Relaxed);
        assert!((1..1000).all(|n| !w.strike(n * SECOND, n / 9)));
        let w = HardWatch::new();
        w.limit.store(10 * SECOND, Relaxed);
        w.restart(0, 7);
        assert!(!w.strike(1000 * SECOND, 7) && !w.strike(1001 * SECOND, 7));
    }
}

#[cfg(target_os = "none")]
mod kunit {
    use crate::arch::x86::kernel::nmi_watchdog;
    use crate::arch::x86::percpu::this_cpu;
    use crate::kernel::kunit::Kunit;
    use crate::kernel::printk::ring;
    use crate::kernel::printk::ringbuffer::LOG_LINE_MAX;
    use crate::kernel::time::timekeeping::{ktime_get, rdtsc};
    use crate::kernel::watchdog::{Switch, set_thresh, thresh};
    use crate::locking::{local_irq_restore, local_irq_save};
    use crate::{kunit_assert, kunit_assert_eq, kunit_suite};

    kunit_suite! { "watchdog":
        strikes_are_explained, switching_off_at_a_strike_leaves_none, a_hard_lockup_is_found_and_ends,
    }

    /// Busy for some time, with interrupts on or off.
    #[inline(never)]
    fn busy(ns: u64, irqs_off: bool) {
        let irqs = irqs_off && local_irq_save();
        let (until, from) = (ktime_get() + ns, rdtsc());
        while ktime_get() < until && rdtsc().wrapping_sub(from) < 1 << 38 {
            core::hint::spin_loop();
        }
        local_irq_restore(irqs);
    }

    fn with_detector(test: &mut Kunit, body: fn(&mut Kunit)) {
        if !nmi_watchdog::available() {
            return test.skip("there is no I/O APIC");
        }
        let (old, was) = (thresh(), Switch::Nmi.get());
        kunit_assert_eq!(test, (set_thresh(1), Switch::Nmi.set(1)), (Ok(()), Ok(())));
        kunit_assert!(test, Switch::Nmi.get());
        body(test);
        kunit_assert_eq!(
            test,
            (Switch::Nmi.set(i64::from(was)), set_thresh(i64::from(old))),
            (Ok(()), Ok(()))
        );
    }

    /// NMIs that were explained and that were not, and all, with none between.
    fn counts() -> (u64, u64, u64) {
        let (stats, all) = (&this_cpu().nmi.stats, &this_cpu().nmi_count);
        loop {
            let count = all.get();
            let counts = (stats.normal.get(), stats.unknown.get(), count);
            core::hint::black_box(all);
            if all.get() == count {
                return counts;
            }
        }
    }

    fn strikes_are_explained(test: &mut Kunit) {
        with_detector(test, |test| {
            let (before, from) = (counts(), ktime_get());
            busy(400_000_000, false);
            let after = counts();
            let strikes = after.0 - before.0;
            // Seven, if the host lets the machine run: of those that it finds at once, some are one.
            let most = (ktime_get() - from) / nmi_watchdog::PERIOD_NS + 2;
            kunit_assert!(test, (1..=most).contains(&strikes));
            kunit_assert_eq!(test, after.2 - before.2, strikes);
            kunit_assert_eq!(test, after.1, before.1);
        });
    }

    /// The first strike and the end come at the same time, as near as can be: nobody is left without an
    /// explanation.
    fn switching_off_at_a_strike_leaves_none(test: &mut Kunit) {
        with_detector(test, |test| {
            let stats = &this_cpu().nmi.stats;
            let before = (stats.normal.get(), stats.unknown.get());
            for round in 0..20 {
                kunit_assert_eq!(test, Switch::Nmi.set(0), Ok(()));
                kunit_assert_eq!(test, Switch::Nmi.set(1), Ok(()));
                busy(nmi_watchdog::PERIOD_NS - 100_000 + round * 10_000, false);
            }
            kunit_assert_eq!(test, stats.unknown.get(), before.1);
            // With some the strike was first.
            kunit_assert!(test, stats.normal.get() != before.0);
        });
    }

    fn a_hard_lockup_is_found_and_ends(test: &mut Kunit) {
        with_detector(test, lock_up);
    }

    /// Whether the log has such a line from `seq` on.
    fn said(mut seq: u64, want: &str) -> bool {
        let mut text = [0; LOG_LINE_MAX];
        while let Some(info) = ring().read_valid(seq, &mut text) {
            if text[..info.len].windows(want.len()).any(|w| w == want.as_bytes()) {
                return true;
            }
            seq = info.seq + 1;
        }
        false
    }

    fn lock_up(test: &mut Kunit) {
        let mut seq = ring().next_seq();
        // A second and half of the strikes in it; where the host stops the machine, that takes longer.
        let irqs = local_irq_save();
        for _ in 0..300 {
            busy(100_000_000, true);
            if said(seq, "NMI watchdog: ") {
                break;
            }
        }
        local_irq_restore(irqs);
        let wanted = [
            "NMI watchdog: Watchdog detected hard LOCKUP on cpu 0",
            "Modules linked in:",
            "RIP: 0010:",
            "Call Trace:",
            "lock_up+0x",
        ];
        let (mut left, mut text) = (&wanted[..], [0; LOG_LINE_MAX]);
        while let (Some(want), Some(info)) = (left.first(), ring().read_valid(seq, &mut text)) {
            seq = info.seq + 1;
            if text[..info.len].windows(want.len()).any(|w| w == want.as_bytes()) {
                left = &left[1..];
            }
        }
        kunit_assert_eq!(test, left.first(), None);
    }
}
