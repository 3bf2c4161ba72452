// SPDX-License-Identifier: GPL-2.0-only
//! Detecting lockups (Linux 6.1, `kernel/watchdog.c`): settings, and the soft kind, in which the
//! kernel takes interrupts but lets nobody else run. The hard kind is in
//! [`watchdog_hld`](super::watchdog_hld).
//!
//! Linux asks by a timer whether a thread of the highest priority came to run. Here the tick asks for
//! a reschedule, and the next one looks whether anybody has obeyed: who has not for twice
//! `watchdog_thresh` is stuck. Ticks are counted as well as seconds, so that a machine whose host
//! has stopped it for a while is not taken for one.

use crate::arch::x86::kernel::apic::HZ;
use crate::arch::x86::kernel::dumpstack::show_regs;
use crate::arch::x86::kernel::nmi_watchdog;
use crate::arch::x86::percpu::this_cpu;
use crate::arch::x86::ptrace::PtRegs;
use crate::errno::{EINVAL, Errno, Result};
use crate::kernel::panic::{Comm, Taint, add_taint, current_id, panic, print_modules};
use crate::kernel::task::{current, tif};
use crate::kernel::time::timekeeping::ktime_get;
use crate::kernel::watchdog_hld;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};

/// Seconds without a timer interrupt that make a hard lockup; twice as many without a reschedule make
/// a soft one (`watchdog_thresh`). 0: neither is looked for.
static WATCHDOG_THRESH: AtomicU32 = AtomicU32::new(10);
/// What is wanted: anything at all, the hard kind, the soft kind.
static USER_ENABLED: AtomicBool = AtomicBool::new(true);
static NMI_USER_ENABLED: AtomicBool = AtomicBool::new(false);
static SOFT_USER_ENABLED: AtomicBool = AtomicBool::new(true);
/// What runs (`watchdog_enabled`).
static ENABLED: AtomicU32 = AtomicU32::new(0);
const NMI_WATCHDOG_ENABLED: u32 = 1;
const SOFT_WATCHDOG_ENABLED: u32 = 2;
/// Whether a soft lockup is a panic (`softlockup_panic`).
pub static SOFTLOCKUP_PANIC: AtomicBool = AtomicBool::new(false);

/// The kernel's own "not supported", which no C library has a word for.
const ENOTSUPP: Errno = Errno(524);

/// Handles one command-line parameter; false if it is not one of these.
pub fn setup(name: &str, value: Option<&str>) -> bool {
    match (name, value) {
        // Off is not the default, but for want of a PMU (see `nmi_watchdog`): who names it wants it.
        ("nmi_watchdog", Some(v)) => {
            NMI_USER_ENABLED.store(!v.starts_with('0'), Relaxed);
            if v.starts_with("panic") || v.starts_with("nopanic") {
                watchdog_hld::HARDLOCKUP_PANIC.store(v.starts_with("panic"), Relaxed);
            }
        }
        ("watchdog_thresh", Some(v)) => {
            if let Some(n) = v.parse().ok().filter(|&n| n <= THRESH_MAX) {
                WATCHDOG_THRESH.store(n, Relaxed);
            }
        }
        ("softlockup_panic", Some(v)) => SOFTLOCKUP_PANIC.store(v != "0", Relaxed),
        ("nowatchdog", _) => USER_ENABLED.store(false, Relaxed),
        ("nosoftlockup", _) => SOFT_USER_ENABLED.store(false, Relaxed),
        _ => return false,
    }
    true
}

/// The longest threshold, in seconds.
const THRESH_MAX: u32 = 60;

/// Starts what is wanted (`lockup_detector_init`).
pub fn lockup_detector_init() {
    nmi_watchdog::probe();
    reconfigure();
}

/// Makes what runs what is wanted (`lockup_detector_reconfigure`).
fn reconfigure() {
    let thresh = u64::from(WATCHDOG_THRESH.load(Relaxed)) * 1_000_000_000;
    nmi_watchdog::disable();
    let mut on = 0;
    if USER_ENABLED.load(Relaxed) {
        if nmi_watchdog::available() && NMI_USER_ENABLED.load(Relaxed) {
            on |= NMI_WATCHDOG_ENABLED;
        }
        if SOFT_USER_ENABLED.load(Relaxed) {
            on |= SOFT_WATCHDOG_ENABLED;
        }
    }
    SOFT.restart(ktime_get(), 2 * thresh);
    ENABLED.store(on, Relaxed);
    if on & NMI_WATCHDOG_ENABLED != 0 && thresh != 0 {
        watchdog_hld::restart(thresh);
        nmi_watchdog::enable();
    }
}

/// A setting of `/proc/sys/kernel/` that turns something on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch {
    /// `watchdog`: anything.
    Any,
    /// `nmi_watchdog`: the hard kind.
    Nmi,
    /// `soft_watchdog`: the soft kind.
    Soft,
}

impl Switch {
    fn parts(self) -> (&'static AtomicBool, u32) {
        match self {
            Self::Any => (&USER_ENABLED, NMI_WATCHDOG_ENABLED | SOFT_WATCHDOG_ENABLED),
            Self::Nmi => (&NMI_USER_ENABLED, NMI_WATCHDOG_ENABLED),
            Self::Soft => (&SOFT_USER_ENABLED, SOFT_WATCHDOG_ENABLED),
        }
    }

    /// Whether it runs. Who reads what is not the case changes what is wanted
    /// (Linux 6.1, `proc_watchdog_common`).
    pub fn get(self) -> bool {
        let (wanted, bits) = self.parts();
        let runs = ENABLED.load(Relaxed) & bits != 0;
        wanted.store(runs, Relaxed);
        runs
    }

    /// Sets it.
    ///
    /// # Errors
    /// `EINVAL`: neither 0 nor 1. `ENOTSUPP`: there is nothing that would strike.
    pub fn set(self, value: i64) -> Result {
        if self == Self::Nmi && !nmi_watchdog::available() {
            return Err(ENOTSUPP);
        }
        if !(0..=1).contains(&value) {
            return Err(EINVAL);
        }
        if self.parts().0.swap(value != 0, Relaxed) != (value != 0) {
            reconfigure();
        }
        Ok(())
    }
}

/// `/proc/sys/kernel/watchdog_thresh`.
pub fn thresh() -> u32 {
    WATCHDOG_THRESH.load(Relaxed)
}

/// Sets it.
///
/// # Errors
/// `EINVAL`: out of range.
pub fn set_thresh(value: i64) -> Result {
    let new = u32::try_from(value).ok().filter(|&n| n <= THRESH_MAX).ok_or(EINVAL)?;
    if WATCHDOG_THRESH.swap(new, Relaxed) != new {
        reconfigure();
    }
    Ok(())
}

/// What the detector of soft lockups remembers.
struct SoftWatch {
    /// When somebody last was let run.
    touched: AtomicU64,
    /// When that was last reported, or `touched`.
    reported: AtomicU64,
    /// Ticks since `reported`.
    ticks: AtomicU64,
    /// Nanoseconds that are too many.
    limit: AtomicU64,
}

static SOFT: SoftWatch = SoftWatch {
    touched: AtomicU64::new(0),
    reported: AtomicU64::new(0),
    ticks: AtomicU64::new(0),
    limit: AtomicU64::new(0),
};

impl SoftWatch {
    fn restart(&self, now: u64, limit: u64) {
        self.limit.store(limit, Relaxed);
        self.touch(now);
    }

    fn touch(&self, now: u64) {
        self.touched.store(now, Relaxed);
        self.reported.store(now, Relaxed);
        self.ticks.store(0, Relaxed);
    }

    /// A tick in which nobody had been let run since the last one. For how many seconds, if it is
    /// time to say so.
    fn stuck(&self, now: u64) -> Option<u64> {
        let ticks = self.ticks.fetch_add(1, Relaxed) + 1;
        let limit = self.limit.load(Relaxed);
        let seen = limit != 0 && ticks > limit / 1_000_000_000 * HZ / 4;
        if !seen || now.saturating_sub(self.reported.load(Relaxed)) <= limit {
            return None;
        }
        self.reported.store(now, Relaxed);
        self.ticks.store(0, Relaxed);
        // Linux's seconds are of 2^30 nanoseconds.
        Some((now >> 30) - (self.touched.load(Relaxed) >> 30))
    }
}

/// The timer tick, before it asks for a reschedule (`watchdog_timer_fn`).
#[inline]
pub fn watchdog_tick(regs: &PtRegs) {
    if ENABLED.load(Relaxed) & SOFT_WATCHDOG_ENABLED == 0 {
        return;
    }
    let cur = current();
    if regs.user_mode() || cur.pid() == 0 || !cur.test_flag(tif::NEED_RESCHED) {
        return SOFT.touch(ktime_get());
    }
    if let Some(seconds) = SOFT.stuck(ktime_get()) {
        report_soft_lockup(regs, seconds);
    }
}

#[cold]
fn report_soft_lockup(regs: &PtRegs, seconds: u64) {
    let (pid, comm) = current_id();
    pr_emerg!(
        "watchdog: BUG: soft lockup - CPU#{} stuck for {seconds}s! [{}:{pid}]\n",
        this_cpu().cpu_number.get(),
        Comm(&comm)
    );
    print_modules();
    show_regs(regs);
    add_taint(Taint::SoftLockup);
    if SOFTLOCKUP_PANIC.load(Relaxed) {
        panic(format_args!("softlockup: hung tasks"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch(limit: u64) -> SoftWatch {
        let w = SoftWatch {
            touched: AtomicU64::new(0),
            reported: AtomicU64::new(0),
            ticks: AtomicU64::new(0),
            limit: AtomicU64::new(0),
        };
        w.restart(1 << 30, limit);
        w
    }

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn stuck_for_the_limit_and_again() {
        let w = watch(20 * SECOND);
        let mut reports = Vec::new();
        for tick in 1..=45 * HZ {
            let now = (1 << 30) + tick * (SECOND / HZ);
            if let Some(s) = w.stuck(now) {
                reports.push((tick / HZ, s));
            }
        }
        assert_eq!(reports, [(20, 18), (40, 37)]);
    }

    #[test]
    fn a_machine_that_was_stopped_is_not_stuck() {
        let w = watch(20 * SECOND);
        assert_eq!(w.stuck(500 * SECOND), None);
        w.touch(500 * SECOND);
        assert_eq!(w.stuck(501 * SECOND), None);
    }

    #[test]
    fn no_threshold_no_report() {
        let w = watch(0);
        assert!((0..100_000).all(|s| w.stuck(s * SECOND).is_none()));
    }
}
