// SPDX-License-Identifier: GPL-2.0-only
//! How fast the clocks run (Linux 6.1, `arch/x86/kernel/tsc.c`): the TSC and the
//! APIC timer against the PIT, whose frequency is known.

use super::apic;
use crate::kernel::time::timekeeping::{rdtsc, timekeeping_init};
use x86_64::instructions::port::Port;

const PIT_HZ: u64 = 1_193_182;
/// PIT counts per measurement: about a millisecond.
const LATCH: u16 = 1193;

/// How many TSC counts `LATCH` counts took: between these two. The host may stop the machine between two
/// looks, and then they are far apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Measure {
    shortest: u64,
    longest: u64,
    apic: u32,
}

impl Measure {
    fn doubt(&self) -> u64 {
        self.longest.saturating_sub(self.shortest)
    }

    /// The best of some measurements, of which there are more while none is good (Linux 6.1,
    /// `quick_pit_calibrate` and the limits of `pit_calibrate_tsc`).
    fn best(mut measure: impl FnMut() -> Self) -> Self {
        const FEWEST: usize = 3;
        const MOST: usize = 50;
        let mut best = measure();
        for n in 1..MOST {
            if n >= FEWEST && best.doubt() <= best.longest / 64 {
                break;
            }
            let another = measure();
            if another.doubt() < best.doubt() {
                best = another;
            }
        }
        best
    }
}

/// Waits for `LATCH` counts of PIT channel 2; returns TSC and APIC counts passed.
fn measure() -> Measure {
    let mut gate = Port::<u8>::new(0x61);
    let mut mode = Port::<u8>::new(0x43);
    let mut ch2 = Port::<u8>::new(0x42);
    // SAFETY: the PIT's second channel, whose only other use is the speaker.
    unsafe {
        let g = gate.read();
        gate.write((g & !2) | 1);
        mode.write(0xb0);
        ch2.write(LATCH as u8);
        let before = rdtsc();
        apic::calibration_start();
        ch2.write((LATCH >> 8) as u8);
        let begun = rdtsc();
        let mut counting = begun;
        loop {
            let now = rdtsc();
            if gate.read() & 0x20 != 0 {
                break;
            }
            counting = now;
        }
        let apic = apic::calibration_elapsed();
        Measure { shortest: counting - begun, longest: rdtsc() - before, apic }
    }
}

/// The TSC's frequency in kHz as CPUID tells it, where it does
/// (leaf 0x15, or the hypervisor's leaf 0x4000_0010).
fn cpuid_khz() -> Option<u64> {
    let id = raw_cpuid::CpuId::new();
    let tsc = id.get_tsc_info().and_then(|t| t.tsc_frequency()).map(|hz| hz / 1000);
    tsc.or_else(|| id.get_hypervisor_info().and_then(|h| h.tsc_frequency()).map(u64::from))
        .filter(|&k| k != 0)
}

/// Seconds since 1970 as the CMOS clock has it (`mach_get_cmos_time`).
fn cmos_time() -> u64 {
    let read = |reg: u8| {
        // SAFETY: reads a CMOS clock register.
        unsafe {
            Port::<u8>::new(0x70).write(reg);
            Port::<u8>::new(0x71).read()
        }
    };
    let snapshot = || [0u8, 2, 4, 7, 8, 9].map(read);
    // Read twice alike, so as not to catch an update half done.
    let mut a = snapshot();
    for _ in 0..16 {
        let b = snapshot();
        if a == b {
            break;
        }
        a = b;
    }
    let binary = read(0x0b) & 4 != 0;
    let [s, mi, h, d, mo, y] = a.map(|v| u64::from(if binary { v } else { (v & 15) + (v >> 4) * 10 }));
    let year = y + if y < 70 { 2000 } else { 1900 };
    days_from_civil(year, mo.clamp(1, 12), d.max(1)) * 86400 + h * 3600 + mi * 60 + s
}

/// Days from 1970-01-01 to a date of the Gregorian calendar.
fn days_from_civil(y: u64, m: u64, d: u64) -> u64 {
    let y = if m <= 2 { y - 1 } else { y };
    let (era, yoe) = (y / 400, y % 400);
    let doy = (153 * ((m + 9) % 12) + 2) / 5 + d - 1;
    era * 146_097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719_468
}

/// Calibrates and starts the clocks and the tick.
pub fn init(early_khz: Option<u64>) {
    let best = Measure::best(measure);
    let ns = u64::from(LATCH) * 1_000_000_000 / PIT_HZ;
    let measured = best.longest.midpoint(best.shortest) * 1_000_000 / ns;
    let khz = early_khz.or_else(cpuid_khz).unwrap_or(measured);
    timekeeping_init(khz, cmos_time() * 1_000_000_000);
    crate::pr_info!("tsc: Detected {}.{:03} MHz processor\n", khz / 1000, khz % 1000);
    apic::start_timer(best.apic, ns);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(shortest: u64, longest: u64) -> Measure {
        Measure { shortest, longest, apic: longest as u32 }
    }

    #[test]
    fn a_host_that_stops_the_machine_does_not_change_its_clocks() {
        // Stopped before the first look at the counter, between two looks, for as long as it was measured.
        let disturbed = [of(0, 9_000), of(1_000, 70_000), of(10, 1_005), of(900, 4_000)];
        let good = of(997, 1_003);
        for at in 0..disturbed.len() {
            let mut all = disturbed[..at].iter().chain([&good]).chain(&disturbed[at..]).copied();
            assert_eq!(Measure::best(|| all.next().unwrap()), good);
        }
        // Never a good one: as good as can be had, and an end.
        let mut n = 0;
        let best = Measure::best(|| {
            n += 1;
            of(500 + n, 2_000)
        });
        assert_eq!((best, n), (of(550, 2_000), 50));
    }
}
