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
const PERIOD_NS: u64 = PERIOD * 1_000_000_000 / PIT_TICK_RATE;
/// NMIs per second.
pub const STRIKES_PER_SECOND: u64 = PIT_TICK_RATE / PERIOD;

const PIT_CH0: u16 = 0x40;
const PIT_MODE: u16 = 0x43;

/// The I/O APIC's registers, once it is mapped.
static REGS: AtomicUsize = AtomicUsize::new(0);
/// The pin that the timer is on.
static PIN: AtomicUsize = AtomicUsize::new(0);
/// When the strike was that was explained last.
static EXPLAINED: AtomicU64 = AtomicU64::new(0);

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
    EXPLAINED.store(ktime_get(), Relaxed);
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

/// When the timer last began anew.
fn last_strike() -> u64 {
    pit(PIT_MODE, 0);
    let mut port = Port::<u8>::new(PIT_CH0);
    // SAFETY: reads the counter that was just latched.
    let left = unsafe { u64::from(port.read()) | u64::from(port.read()) << 8 };
    let gone = if left == 0 { 0 } else { PERIOD - left };
    ktime_get().saturating_sub(gone * 1_000_000_000 / PIT_TICK_RATE)
}

/// Whether a strike at `strike` is another one than that which was explained last.
fn is_new(strike: u64, explained: u64) -> bool {
    strike > explained + PERIOD_NS / 2
}

fn handler(_: NmiType, regs: &mut PtRegs) -> u32 {
    let strike = last_strike();
    if !is_new(strike, EXPLAINED.load(Relaxed)) {
        return 0;
    }
    EXPLAINED.store(strike, Relaxed);
    watchdog_overflow_callback(regs);
    1
}

static ACTION: NmiAction = NmiAction::new(handler, 0);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strike_is_explained_once() {
        assert_eq!(STRIKES_PER_SECOND, 18);
        let first = 5 * PERIOD_NS;
        // The clocks do not agree to the last microsecond.
        assert!(!is_new(first, first) && !is_new(first + 40_000, first) && !is_new(first - 40_000, first));
        assert!(is_new(first + PERIOD_NS - 40_000, first) && is_new(first + 9 * PERIOD_NS, first));
    }
}
