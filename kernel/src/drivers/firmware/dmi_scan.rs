// SPDX-License-Identifier: GPL-2.0-only
//! What the machine calls itself, for the `Hardware name:` line of oopses
//! (Linux 6.1, `drivers/firmware/dmi_scan.c`).
//!
//! The tables are the firmware's (DMTF DSP0134): everything is bounds-checked, and a machine
//! whose tables make no sense just has no name.

use crate::arch::x86::kernel::acpi::bytes;
use alloc::string::String;
use core::fmt::Write;

/// The types of structure that are looked at.
const BIOS: u8 = 0;
const SYSTEM: u8 = 1;
const BASEBOARD: u8 = 2;
const END_OF_TABLE: u8 = 127;

/// The names that the line is made of.
#[derive(Debug, Default, PartialEq, Eq)]
struct Ident<'a> {
    sys_vendor: Option<&'a [u8]>,
    product_name: Option<&'a [u8]>,
    board_name: Option<&'a [u8]>,
    bios_version: Option<&'a [u8]>,
    bios_date: Option<&'a [u8]>,
}

fn sum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, &b| sum.wrapping_add(b))
}

/// Where the table is, by either kind of entry point: (address, length).
fn entry_point(anchor: &[u8]) -> Option<(u64, usize)> {
    if anchor.starts_with(b"_SM3_") {
        let entry = anchor.get(..usize::from(*anchor.get(6)?))?;
        let length = u32::from_le_bytes(entry.get(12..16)?.try_into().ok()?);
        let at = u64::from_le_bytes(entry.get(16..24)?.try_into().ok()?);
        return (sum(entry) == 0).then_some((at, length as usize));
    }
    if anchor.starts_with(b"_SM_") {
        let inner = anchor.get(16..31)?;
        let length = u16::from_le_bytes(inner.get(6..8)?.try_into().ok()?);
        let at = u32::from_le_bytes(inner.get(8..12)?.try_into().ok()?);
        return (inner.starts_with(b"_DMI_") && sum(inner) == 0).then_some((at.into(), length.into()));
    }
    None
}

/// A string of a structure, by its number.
fn string(strings: &[u8], number: u8) -> Option<&[u8]> {
    strings.split(|&b| b == 0).nth(usize::from(number.checked_sub(1)?))
}

/// Reads the table.
fn decode(mut table: &[u8]) -> Ident<'_> {
    let mut ident = Ident::default();
    while let [kind, length, ..] = *table {
        let Some((formatted, rest)) = table.split_at_checked(length.into()).filter(|(f, _)| f.len() >= 4)
        else {
            break;
        };
        let Some(end) = rest.windows(2).position(|pair| pair == [0, 0]) else { break };
        let name = |at: usize| formatted.get(at).and_then(|&number| string(&rest[..end], number));
        match kind {
            BIOS => (ident.bios_version, ident.bios_date) = (name(5), name(8)),
            SYSTEM => (ident.sys_vendor, ident.product_name) = (name(4), name(5)),
            BASEBOARD => ident.board_name = ident.board_name.or(name(5)),
            END_OF_TABLE => break,
            _ => {}
        }
        table = &rest[end + 2..];
    }
    ident
}

/// The line (`dmi_format_ids`): vendor and product, the board if it has a name, the BIOS.
fn format_ids(ident: &Ident<'_>) -> String {
    let mut line = String::new();
    let mut put = |before: &str, name: Option<&[u8]>| {
        line.push_str(before);
        for &b in name.unwrap_or_default() {
            let printable = b == b' ' || b.is_ascii_graphic();
            let _ = if printable { write!(line, "{}", char::from(b)) } else { write!(line, "\\x{b:02x}") };
        }
    };
    put("", ident.sys_vendor);
    put(" ", ident.product_name);
    if ident.board_name.is_some() {
        put("/", ident.board_name);
    }
    put(", BIOS ", ident.bios_version);
    put(" ", ident.bios_date);
    line
}

/// Looks for the table and takes the machine's name from it (`dmi_setup`).
pub fn dmi_setup() {
    let found = (0xf_0000u64..0x10_0000 - 32).step_by(16).find_map(|at| entry_point(bytes(at, 32)?));
    let Some(table) = found.and_then(|(at, length)| bytes(at, length)) else { return };
    let line = format_ids(&decode(table));
    crate::pr_info!("DMI: {line}\n");
    crate::kernel::panic::dump_stack_set_arch_desc(line);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn structure(kind: u8, formatted: &[u8], strings: &[u8]) -> alloc::vec::Vec<u8> {
        let mut all = alloc::vec![kind, 4 + formatted.len() as u8, 0, 0];
        all.extend_from_slice(formatted);
        all.extend_from_slice(strings);
        all
    }

    #[test]
    fn the_line_is_made_of_three_structures() {
        let mut table = structure(BIOS, &[0, 1, 0, 0, 2], b"v1\x0001/02/2014\0\0");
        table.extend(structure(SYSTEM, &[1, 2], b"QEMU\0Standard PC\0\0"));
        table.extend(structure(END_OF_TABLE, &[], b"\0\0"));
        let ident = decode(&table);
        assert_eq!(format_ids(&ident), "QEMU Standard PC, BIOS v1 01/02/2014");
        table.splice(0..0, structure(BASEBOARD, &[0, 1], b"Board\0\0"));
        assert_eq!(format_ids(&decode(&table)), "QEMU Standard PC/Board, BIOS v1 01/02/2014");
    }

    #[test]
    fn tables_that_make_no_sense() {
        for table in [
            &b""[..],
            b"\x00",
            b"\x01\x00",
            b"\x01\xff\x00\x00",
            b"\x01\x04\x00\x00ab",
            b"\x01\x05\0\0\x09a\0\0",
        ] {
            assert_eq!(decode(table), Ident::default(), "{table:x?}");
        }
        assert_eq!(entry_point(b"_SM_"), None);
        assert_eq!(entry_point(&[b'_'; 32]), None);
        assert_eq!(format_ids(&Ident::default()), " , BIOS  ");
    }

    #[test]
    fn both_entry_points() {
        let mut old = *b"_SM_\0\x1f\0\0\0\0\0\0\0\0\0\0_DMI_\0\x34\x12\0\0\x0f\0\0\0\0\0";
        old[21] = 0u8.wrapping_sub(sum(&old[16..31]));
        assert_eq!(entry_point(&old), Some((0xf_0000, 0x1234)));
        old[22] ^= 1;
        assert_eq!(entry_point(&old), None);
        let mut new = *b"_SM3_\0\x18\0\0\0\0\0\x56\0\0\0\0\x10\0\0\0\0\0\0........";
        new[5] = 0u8.wrapping_sub(sum(&new[..24]));
        assert_eq!(entry_point(&new), Some((0x1000, 0x56)));
    }
}
