// SPDX-License-Identifier: GPL-2.0-only
//! The little that is needed of ACPI: how to switch the machine off
//! (Linux 6.1, `drivers/acpi/`, of which this reads two tables and one object).
//!
//! The tables are the firmware's: everything is bounds-checked, and a machine
//! whose tables make no sense just cannot be powered off.

use crate::arch::x86::mm::init::{lookup_kernel_address, phys_to_virt};

/// A table in memory, if all of it is mapped RAM or firmware memory.
fn bytes(phys: u64, len: usize) -> Option<&'static [u8]> {
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

/// Finds FADT and DSDT, and tells `reboot` what it needs.
pub fn init(rsdp: Option<u64>) {
    let found = (|| {
        let rsdp = bytes(rsdp.or_else(scan_rsdp)?, 20)?;
        let rsdt = table(u64::from(u32_at(rsdp, 16)?))?;
        let fadt = rsdt[36..]
            .chunks_exact(4)
            .filter_map(|c| table(u64::from(u32_at(c, 0)?)))
            .find(|t| t.starts_with(b"FACP"))?;
        let dsdt = table(u64::from(u32_at(fadt, 40)?))?;
        Some((u32_at(fadt, 64)? as u16, s5_type(&dsdt[36..])?))
    })();
    match found {
        Some((port, typ)) => super::reboot::set_acpi_s5(port, typ),
        None => crate::pr_info!("ACPI: no usable tables; power-off will only halt\n"),
    }
}
