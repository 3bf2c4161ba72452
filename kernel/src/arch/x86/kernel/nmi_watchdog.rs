// SPDX-License-Identifier: GPL-2.0-only
//! What strikes for the detector of hard lockups.
//!
//! Linux 6.1 has a performance counter overflow, and where there is none (as under QEMU without KVM)
//! says "Perf NMI watchdog permanently disabled". Until 2.6.37 it had another way for machines without
//! (`nmi_watchdog=1`, `Documentation/nmi_watchdog.txt`), which is the one here: the legacy timer, which
//! nobody else needs as the tick is the local APIC's, reaches the CPU through the I/O APIC as
//! an NMI, 18 times a second. The local APIC's own timer cannot be an NMI; LINT0 is in use for the
//! legacy interrupt controllers. As on Linux without a counter it is off unless it is asked for
//! (`nmi_watchdog=1`, `/proc/sys/kernel/nmi_watchdog`).
//!
//! The timer says itself whether it has struck: its counter tells how long ago it began anew. An NMI
//! is explained by it if that was later than what was explained last, so that NMIs of others
//! are not taken for it, and are counted as what they are.
//!
//! A machine that its host stops now and then finds several strikes at once. Their NMIs may have become
//! one, or may each still come, late and one behind the other: for a while as many are explained
//! as there were strikes. (So does Linux 6.1 where counters' NMIs may be late,
//! `arch/x86/events/amd/core.c`, `amd_pmu_adjust_nmi_window`.)

use super::acpi;
use super::nmi::{NmiAction, NmiType, register_nmi_handler, unregister_nmi_handler};
use crate::arch::x86::ptrace::PtRegs;
use crate::kernel::time::timekeeping::ktime_get;
use crate::kernel::watchdog_hld::watchdog_overflow_callback;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use x86_64::instructions::port::Port;

/// The timer's frequency.
const PIT_TICK_RATE: u64 = 1_193_182;
/// What it counts down from.
const PERIOD: u64 = 0x1_0000;
/// In nanoseconds.
pub const PERIOD_NS: u64 = PERIOD * 1_000_000_000 / PIT_TICK_RATE;
/// NMIs per second.
pub const STRIKES_PER_SECOND: u64 = PIT_TICK_RATE / PERIOD;

const PIT_CH0: u16 = 0x40;
const PIT_MODE: u16 = 0x43;

/// The I/O APIC's registers, once it is mapped.
static REGS: AtomicUsize = AtomicUsize::new(0);
/// The pin that the timer is on.
static PIN: AtomicUsize = AtomicUsize::new(0);
/// Which strikes were explained.
static STRIKES: Strikes = Strikes::new();

const IOWIN: usize = 0x10;
const VERSION: u32 = 1;
const REDIRECTION: u32 = 0x10;
const MASKED: u32 = 1 << 16;
const DELIVERY_NMI: u32 = 4 << 8;

fn ioapic_read(reg: u32) -> u32 {
    let base = REGS.load(Relaxed);
    // SAFETY: the I/O APIC's registers, mapped by `probe`.
    unsafe {
        (base as *mut u32).write_volatile(reg);
        ((base + IOWIN) as *const u32).read_volatile()
    }
}

fn ioapic_write(reg: u32, value: u32) {
    let base = REGS.load(Relaxed);
    // SAFETY: as above.
    unsafe {
        (base as *mut u32).write_volatile(reg);
        ((base + IOWIN) as *mut u32).write_volatile(value);
    }
}

/// Looks for the I/O APIC, as ACPI describes it.
pub fn probe() {
    let Some(io) = acpi::ioapic() else { return };
    let Ok(regs) = crate::mm::vmalloc::ioremap(io.address, 0x1000) else { return };
    REGS.store(regs as usize, Relaxed);
    let pins = (ioapic_read(VERSION) >> 16 & 0xff) as usize + 1;
    if io.timer_pin < pins {
        PIN.store(io.timer_pin, Relaxed);
    } else {
        REGS.store(0, Relaxed);
    }
}

/// Whether there is something that would strike.
pub fn available() -> bool {
    REGS.load(Relaxed) != 0
}

fn route(entry: u32) {
    let reg = REDIRECTION + 2 * PIN.load(Relaxed) as u32;
    ioapic_write(reg, MASKED);
    ioapic_write(reg + 1, super::apic::id() << 24);
    ioapic_write(reg, entry);
    // What was written has arrived when it is read (Linux 6.1, `io_apic.c`, `io_apic_sync`).
    ioapic_read(reg);
}

fn pit(port: u16, value: u8) {
    // SAFETY: registers of the legacy timer, which nobody else uses after boot.
    unsafe { Port::<u8>::new(port).write(value) };
}

/// From now on it strikes.
pub fn enable() {
    // Channel 0, both bytes, mode 2, from 65536.
    pit(PIT_MODE, 0x34);
    pit(PIT_CH0, 0);
    pit(PIT_CH0, 0);
    STRIKES.restart(last_strike());
    if register_nmi_handler(NmiType::Local, &ACTION).is_ok() {
        crate::pr_info!("NMI watchdog: Enabled. The legacy timer strikes through the I/O APIC.\n");
    }
    route(DELIVERY_NMI);
}

/// And no longer.
pub fn disable() {
    if available() {
        route(MASKED | DELIVERY_NMI);
        // One may be under way: it is explained as long as the handler is there.
        for _ in 0..1000 {
            core::hint::spin_loop();
        }
        let _ = unregister_nmi_handler(NmiType::Local, &ACTION);
    }
}

/// For the end of the machine: masked without a word, from any context.
pub fn stop() {
    if available() {
        ioapic_write(REDIRECTION + 2 * PIN.load(Relaxed) as u32, MASKED | DELIVERY_NMI);
    }
}

/// Nanoseconds since the timer last began anew.
fn since_strike() -> u64 {
    pit(PIT_MODE, 0);
    let mut port = Port::<u8>::new(PIT_CH0);
    // SAFETY: reads the counter that was just latched.
    let left = unsafe { u64::from(port.read()) | u64::from(port.read()) << 8 };
    let gone = if left == 0 { 0 } else { PERIOD - left };
    gone * 1_000_000_000 / PIT_TICK_RATE
}

/// When something was, as far as that is known: between two times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    earliest: u64,
    latest: u64,
}

impl Span {
    /// When that was which is `ago`. The machine may be stopped between a look at the clock and one at
    /// the timer: the reading that took the shortest time is taken, and none but a short one if
    /// there is any (Linux 6.1, `arch/x86/kernel/tsc.c`, `tsc_read_refs`).
    fn of(mut now: impl FnMut() -> u64, mut ago: impl FnMut() -> u64) -> Self {
        const ATTEMPTS: u32 = 5;
        const SHORT: u64 = 1_000_000;
        let mut best = Self { earliest: 0, latest: u64::MAX };
        for _ in 0..ATTEMPTS {
            let (before, ago) = (now(), ago());
            let (earliest, latest) = (before.saturating_sub(ago), now().saturating_sub(ago));
            if latest.saturating_sub(earliest) < best.latest - best.earliest {
                best = Self { earliest, latest };
            }
            if best.latest - best.earliest < SHORT {
                break;
            }
        }
        best
    }
}

/// When the timer last began anew.
fn last_strike() -> Span {
    Span::of(ktime_get, since_strike)
}

/// Which strikes of the timer were explained.
struct Strikes {
    /// The last of them was not before this.
    explained: AtomicU64,
    /// How many before it there were whose NMIs have not come.
    owed: AtomicU64,
    /// And until when they may.
    owed_until: AtomicU64,
}

impl Strikes {
    /// How much later than its strike an NMI may come.
    const LATE: u64 = 1_000_000_000;

    const fn new() -> Self {
        Self { explained: AtomicU64::new(0), owed: AtomicU64::new(0), owed_until: AtomicU64::new(0) }
    }

    /// Those up to this one are over.
    fn restart(&self, strike: Span) {
        self.explained.store(strike.earliest, Relaxed);
        self.owed.store(0, Relaxed);
    }

    /// An NMI, and when the last strike was: whether it is one's.
    fn explain(&self, strike: Span, now: u64) -> bool {
        let since = strike.latest.saturating_sub(self.explained.load(Relaxed));
        let owed = if now < self.owed_until.load(Relaxed) { self.owed.load(Relaxed) } else { 0 };
        // The clocks do not agree to the last microsecond.
        match (since + PERIOD_NS / 2) / PERIOD_NS {
            0 => {
                self.owed.store(owed.saturating_sub(1), Relaxed);
                return owed != 0;
            }
            1 => self.owed.store(owed, Relaxed),
            strikes => {
                self.owed.store((owed + strikes - 1).min(STRIKES_PER_SECOND), Relaxed);
                self.owed_until.store(now + Self::LATE, Relaxed);
            }
        }
        self.explained.store(strike.earliest, Relaxed);
        true
    }
}

/// An NMI: of the timer, or of somebody else.
fn nmi_watchdog_tick(_: NmiType, regs: &PtRegs) -> u32 {
    if !STRIKES.explain(last_strike(), ktime_get()) {
        return 0;
    }
    watchdog_overflow_callback(regs);
    1
}

static ACTION: NmiAction = NmiAction::new(nmi_watchdog_tick, 0);

#[cfg(test)]
mod tests {
    use super::*;
    use core::cell::Cell;

    fn at(t: u64) -> Span {
        Span { earliest: t, latest: t + 3_000 }
    }

    /// Strikes up to the `n`th are over.
    fn after(n: u64) -> Strikes {
        let s = Strikes::new();
        s.restart(at(n * PERIOD_NS));
        s
    }

    #[test]
    fn a_strike_is_explained_once() {
        assert_eq!(STRIKES_PER_SECOND, 18);
        let s = after(5);
        for n in 6..100 {
            let (t, wrong) = (n * PERIOD_NS, 40_000 * (n % 3));
            assert!(s.explain(at(t - wrong), t));
            assert!(
                !s.explain(at(t - wrong), t) && !s.explain(at(t), t + 1) && !s.explain(at(t + 40_000), t + 2)
            );
        }
    }

    #[test]
    fn as_many_are_explained_as_there_were_strikes() {
        let s = after(5);
        let t = 8 * PERIOD_NS;
        assert_eq!(
            [0, 1, 2, 3, 4].map(|ms| s.explain(at(t), t + ms * 1_000_000)),
            [true, true, true, false, false]
        );
        // Another one, and another one's; those that never came are forgotten.
        let t = 10 * PERIOD_NS;
        assert!(s.explain(at(t), t) && s.explain(at(t + PERIOD_NS), t + PERIOD_NS));
        let t = t + 20 * PERIOD_NS;
        assert!(s.explain(at(t), t));
        for _ in 0..STRIKES_PER_SECOND {
            assert!(s.explain(at(t), t + 1));
        }
        assert!(!s.explain(at(t), t + 2));
        let t = t + 2 * PERIOD_NS;
        assert!(s.explain(at(t), t) && !s.explain(at(t), t + Strikes::LATE));
    }

    /// A host that is so busy that each strike becomes an NMI up to `late` after it was due, and
    /// the machine looks at that up to `slow` after it came; two that wait are one. Returns how many NMIs
    /// there were, and how many were not explained.
    fn busy_host(late: u64, slow: u64) -> (u64, u64) {
        let (strikes, mut seed, mut nmis, mut unknown) = (after(0), 1u64, 0, 0);
        let mut below = |n: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % n
        };
        let (mut raised, mut looked) = (0, 0);
        for n in 1..5_000 {
            raised = (n * PERIOD_NS + below(late)).max(raised);
            if raised < looked {
                // It is one with the NMI before it.
                continue;
            }
            looked = raised + below(slow);
            nmis += 1;
            unknown += u64::from(!strikes.explain(at(looked / PERIOD_NS * PERIOD_NS), looked));
        }
        (nmis, unknown)
    }

    #[test]
    fn each_is_explained_however_late_it_comes() {
        assert_eq!(busy_host(1_000_000, 1_000_000), (4_999, 0));
        for late in [10, 70, 300, 900] {
            for slow in [1, 20, 70, 300] {
                let (nmis, unknown) = busy_host(late * 1_000_000, slow * 1_000_000);
                assert!(nmis > 500 && unknown == 0, "{late} {slow}: {nmis}, {unknown} of them unknown");
            }
        }
    }

    /// A machine that is stopped between its looks at the clock, as often as `stops` says.
    fn stopped(stops: usize) -> Span {
        let (clock, looks) = (Cell::new(1_000 * PERIOD_NS), Cell::new(0));
        let now = || {
            looks.set(looks.get() + 1);
            clock.set(
                clock.get() + if looks.get() % 2 == 0 && looks.get() / 2 <= stops { 40_000_000 } else { 500 },
            );
            clock.get()
        };
        Span::of(now, || clock.get() % PERIOD_NS)
    }

    #[test]
    fn a_machine_that_is_stopped_while_it_looks_looks_again() {
        for stops in 0..5 {
            let span = stopped(stops);
            assert!(
                span.latest - span.earliest == 500 && span.earliest.is_multiple_of(PERIOD_NS),
                "{stops}: {span:?}"
            );
        }
        // Or does not lose the next strike for it.
        let span = stopped(5);
        assert!(span.latest - span.earliest == 40_000_000, "{span:?}");
        let s = Strikes::new();
        s.restart(span);
        let next = span.earliest + PERIOD_NS;
        assert!(s.explain(at(next), next) && s.explain(at(next + PERIOD_NS), next + PERIOD_NS));
    }
}
