// SPDX-License-Identifier: GPL-2.0-only
//! The little that is needed of ACPI: how to switch the machine off, and where the I/O APIC is
//! (Linux 6.1, `drivers/acpi/`, of which this reads three tables and one object).
//!
//! The tables are the firmware's: everything is bounds-checked, and a machine
//! whose tables make no sense just cannot be powered off.

use crate::arch::x86::mm::init::{lookup_kernel_address, phys_to_virt};
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Firmware's bytes in memory, if all of them are mapped.
pub fn bytes(phys: u64, len: usize) -> Option<&'static [u8]> {
    let first = phys_to_virt(phys) as usize;
    let last = first.checked_add(len)?;
    if len == 0 || len > 1 << 20 {
        return None;
    }
    let mut at = first & !0xfff;
    while at < last {
        lookup_kernel_address(at)?;
        at += 4096;
    }
    // SAFETY: every page is mapped, and firmware tables do not change.
    Some(unsafe { core::slice::from_raw_parts(first as *const u8, len) })
}

fn u32_at(b: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(b.get(at..at + 4)?.try_into().ok()?))
}

/// A whole table, by its header's length.
fn table(phys: u64) -> Option<&'static [u8]> {
    let len = u32_at(bytes(phys, 36)?, 4)? as usize;
    if len < 36 { None } else { bytes(phys, len) }
}

/// Looks for the root pointer in the BIOS area.
fn scan_rsdp() -> Option<u64> {
    (0xe_0000u64..0x10_0000).step_by(16).find(|&p| bytes(p, 20).is_some_and(|b| b.starts_with(b"RSD PTR ")))
}

/// Reads `\_S5`'s first element from AML: `Name (_S5, Package () { typ, …})`.
fn s5_type(aml: &[u8]) -> Option<u8> {
    let at = aml.windows(4).position(|w| w == b"_S5_")?;
    let mut b = aml.get(at + 4..)?.iter().copied();
    if b.next()? != 0x12 {
        return None;
    }
    // Package length: the top two bits say how many more bytes; then the count.
    for _ in 0..b.next()? >> 6 {
        b.next()?;
    }
    b.next()?;
    match b.next()? {
        0x0a => b.next(),
        v @ (0 | 1) => Some(v),
        _ => None,
    }
}

/// An I/O APIC, and the pin of it that the legacy timer's interrupt is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IoApic {
    /// Physical address of its registers.
    pub address: u64,
    #[allow(missing_docs)]
    pub timer_pin: usize,
}

static IOAPIC: AtomicU64 = AtomicU64::new(0);
static TIMER_PIN: AtomicUsize = AtomicUsize::new(0);

/// The I/O APIC that the legacy timer is connected to.
pub fn ioapic() -> Option<IoApic> {
    let address = IOAPIC.load(Ordering::Relaxed);
    (address != 0).then(|| IoApic { address, timer_pin: TIMER_PIN.load(Ordering::Relaxed) })
}

/// The MADT's entries.
fn madt_entries(madt: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = madt.get(44..).unwrap_or_default();
    core::iter::from_fn(move || {
        let len = usize::from(*rest.get(1)?).max(2);
        let entry = rest.get(..len)?;
        rest = &rest[len..];
        Some(entry)
    })
}

/// Reads it from the MADT: of the I/O APICs (type 1) the one on whose pins ISA interrupt 0 is, which may
/// be elsewhere (type 2).
fn ioapic_of_timer(madt: &[u8]) -> Option<IoApic> {
    let moved = madt_entries(madt).find(|e| e[0] == 2 && e.get(3) == Some(&0));
    let gsi = moved.map_or(Some(0), |e| u32_at(e, 4))?;
    let (base, address) = madt_entries(madt)
        .filter(|e| e[0] == 1)
        .filter_map(|e| Some((u32_at(e, 8)?, u32_at(e, 4)?)))
        .filter(|&(base, _)| base <= gsi)
        .max()?;
    Some(IoApic { address: u64::from(address), timer_pin: (gsi - base) as usize })
}

/// Finds FADT, DSDT and MADT, and tells `reboot` what it needs.
pub fn init(rsdp: Option<u64>) {
    let found = (|| {
        let rsdp = bytes(rsdp.or_else(scan_rsdp)?, 20)?;
        let rsdt = table(u64::from(u32_at(rsdp, 16)?))?;
        let find = |name: &[u8]| {
            let mut all = rsdt[36..].chunks_exact(4).filter_map(|c| table(u64::from(u32_at(c, 0)?)));
            all.find(|t| t.starts_with(name))
        };
        if let Some(io) = find(b"APIC").and_then(ioapic_of_timer) {
            TIMER_PIN.store(io.timer_pin, Ordering::Relaxed);
            IOAPIC.store(io.address, Ordering::Relaxed);
        }
        let fadt = find(b"FACP")?;
        let dsdt = table(u64::from(u32_at(fadt, 40)?))?;
        Some((u32_at(fadt, 64)? as u16, s5_type(&dsdt[36..])?))
    })();
    match found {
        Some((port, typ)) => super::reboot::set_acpi_s5(port, typ),
        None => crate::pr_info!("ACPI: no usable tables; power-off will only halt\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_timers_pin() {
        let mut madt = vec![0; 44];
        assert_eq!(ioapic_of_timer(&madt), None);
        // A local APIC, an I/O APIC with the interrupts from 0 on, another one from 24 on.
        madt.extend([0, 8, 0, 0, 1, 0, 0, 0]);
        madt.extend([1, 12, 0, 0, 0, 0, 0xc0, 0xfe, 0, 0, 0, 0]);
        madt.extend([1, 12, 1, 0, 0, 0, 0xc1, 0xfe, 24, 0, 0, 0]);
        assert_eq!(ioapic_of_timer(&madt), Some(IoApic { address: 0xfec0_0000, timer_pin: 0 }));
        // ISA interrupt 9 is somewhere, 0 is at 2.
        madt.extend([2, 10, 0, 9, 9, 0, 0, 0, 13, 0]);
        madt.extend([2, 10, 0, 0, 2, 0, 0, 0, 0, 0]);
        assert_eq!(ioapic_of_timer(&madt), Some(IoApic { address: 0xfec0_0000, timer_pin: 2 }));
        // Cut off, or an entry without a length.
        assert_eq!(ioapic_of_timer(&madt[..60]), None);
        madt.extend([1, 0]);
        assert!(ioapic_of_timer(&madt).is_some());
    }
}
