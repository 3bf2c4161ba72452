// SPDX-License-Identifier: GPL-2.0-only
//! Names for kernel addresses (Linux 6.1, `kernel/kallsyms.c`).
//!
//! The image reserves the section `.kallsyms`; after linking, `cargo xtask build` fills it
//! with the functions' names:
//!
//! ```text
//! "KALLSYMS"  u32 count  u32 size of names
//! count * { u32 address - START_KERNEL_MAP, u32 offset of the name }     by address
//! names: { u8 length, bytes } ...
//! ```
//!
//! The last entry, `_etext`, ends the function before it.

use core::fmt;

/// Bytes reserved for the table.
pub const KALLSYMS_SIZE: usize = 192 * 1024;
/// What addresses are relative to (`START_KERNEL_MAP`).
const BASE: u64 = 0xffff_ffff_8000_0000;
const HEADER: usize = 16;

/// The reserved section, in whole pages' worth of alignment for its words.
#[repr(C, align(16))]
struct Section([u8; KALLSYMS_SIZE]);

#[used]
#[cfg_attr(target_os = "none", unsafe(link_section = ".kallsyms"))]
static KALLSYMS: Section = Section({
    let mut s = [0; KALLSYMS_SIZE];
    let magic = b"KALLSYMS";
    let mut i = 0;
    while i < magic.len() {
        s[i] = magic[i];
        i += 1;
    }
    s
});

/// The table as it is at run time: not what the compiler saw.
fn table() -> Table<'static> {
    let mut p: *const Section = &raw const KALLSYMS;
    // SAFETY: changes nothing; the compiler can no longer know what `p` points to.
    unsafe { core::arch::asm!("/* {0} */", inout(reg) p, options(nostack, preserves_flags)) };
    // SAFETY: `p` still points to the static section.
    Table(unsafe { &(*p).0 })
}

/// A symbol table, of which nothing is believed.
#[derive(Clone, Copy)]
struct Table<'a>(&'a [u8]);

impl<'a> Table<'a> {
    fn word(self, at: usize) -> Option<u32> {
        Some(u32::from_le_bytes(self.0.get(at..at.checked_add(4)?)?.try_into().ok()?))
    }
    fn count(self) -> usize {
        match self.0.get(..8) {
            Some(b"KALLSYMS") => self.word(8).unwrap_or(0) as usize,
            _ => 0,
        }
    }
    fn address(self, i: usize) -> Option<u64> {
        Some(BASE.wrapping_add(u64::from(self.word(HEADER + i.checked_mul(8)?)?)))
    }
    fn name(self, i: usize) -> Option<&'a str> {
        let names = HEADER.checked_add(self.count().checked_mul(8)?)?;
        let at = names.checked_add(self.word(HEADER + i * 8 + 4)? as usize)?;
        let len = usize::from(*self.0.get(at)?);
        core::str::from_utf8(self.0.get(at + 1..at + 1 + len)?).ok()
    }

    /// The function that contains `addr`: its name, its address, its size.
    fn lookup(self, addr: u64) -> Option<(&'a str, u64, u64)> {
        let (mut lo, mut hi) = (0, self.count());
        // The last entry is the end of the text, not a function.
        let last = hi.checked_sub(1)?;
        while lo < hi {
            let mid = usize::midpoint(lo, hi);
            if self.address(mid)? <= addr { lo = mid + 1 } else { hi = mid }
        }
        let i = lo.checked_sub(1).filter(|&i| i < last)?;
        let start = self.address(i)?;
        Some((self.name(i)?, start, self.address(i + 1)?.checked_sub(start)?))
    }
}

/// The function that contains `addr`: its name, the offset into it, its size
/// (`kallsyms_lookup`).
pub fn lookup(addr: u64) -> Option<(&'static str, u64, u64)> {
    table().lookup(addr).map(|(name, start, size)| (name, addr - start, size))
}

/// The address of the first function called `name` (`kallsyms_lookup_name`).
pub fn lookup_name(name: &str) -> Option<u64> {
    let t = table();
    (0..t.count().saturating_sub(1)).find(|&i| t.name(i) == Some(name)).and_then(|i| t.address(i))
}

/// All functions by address, for `/proc/kallsyms`.
pub fn iter() -> impl Iterator<Item = (u64, &'static str)> {
    let t = table();
    (0..t.count().saturating_sub(1)).filter_map(move |i| Some((t.address(i)?, t.name(i)?)))
}

/// An address as `name+0xoffset/0xsize`, or as a number if it is nobody's (`%pS`).
pub struct Symbol(pub u64);

/// A return address: as [`Symbol`], but a call that is its function's last instruction still
/// belongs to it (`%pB`).
pub struct Backtrace(pub u64);

/// A function's name alone (`%ps`).
pub struct Function(pub u64);

impl fmt::Display for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match lookup(self.0) {
            Some((name, ..)) => f.write_str(name),
            None => write!(f, "{:#x}", self.0),
        }
    }
}

fn show(f: &mut fmt::Formatter<'_>, addr: u64, found: Option<(&str, u64, u64)>) -> fmt::Result {
    match found {
        Some((name, start, size)) => write!(f, "{name}+{:#x}/{size:#x}", addr - start),
        None => write!(f, "{addr:#x}"),
    }
}

impl fmt::Display for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(f, self.0, table().lookup(self.0))
    }
}

impl fmt::Display for Backtrace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(f, self.0, table().lookup(self.0.wrapping_sub(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn build(syms: &[(u32, &str)]) -> Vec<u8> {
        let (mut index, mut names) = (Vec::new(), Vec::new());
        for (addr, name) in syms {
            index.extend(addr.to_le_bytes());
            index.extend((names.len() as u32).to_le_bytes());
            names.push(name.len() as u8);
            names.extend(name.as_bytes());
        }
        let mut t = b"KALLSYMS".to_vec();
        t.extend((syms.len() as u32).to_le_bytes());
        t.extend((names.len() as u32).to_le_bytes());
        t.extend(index);
        t.extend(names);
        t
    }

    #[test]
    fn functions_are_found_by_any_of_their_bytes() {
        let t = build(&[(0x10_0000, "first"), (0x10_0040, "second"), (0x10_0100, "_etext")]);
        let t = Table(&t);
        assert_eq!(t.lookup(BASE + 0x10_0000), Some(("first", BASE + 0x10_0000, 0x40)));
        assert_eq!(t.lookup(BASE + 0x10_003f), Some(("first", BASE + 0x10_0000, 0x40)));
        assert_eq!(t.lookup(BASE + 0x10_00ff), Some(("second", BASE + 0x10_0040, 0xc0)));
        for outside in [0, BASE, BASE + 0xf_ffff, BASE + 0x10_0100, u64::MAX] {
            assert_eq!(t.lookup(outside), None, "{outside:#x}");
        }
    }

    #[test]
    fn an_empty_table_names_nothing() {
        assert_eq!(lookup(BASE + 0x10_0000), None);
        assert_eq!(Symbol(0x1234).to_string(), "0x1234");
        assert_eq!(Table(&build(&[])).lookup(BASE), None);
        assert_eq!(Table(b"KALLSYMS").lookup(BASE), None);
    }

    proptest! {
        #[test]
        fn garbage_is_survived(mut bytes in prop::collection::vec(any::<u8>(), 0..400), addr: u64, magic: bool) {
            if magic && bytes.len() >= 12 {
                bytes[..8].copy_from_slice(b"KALLSYMS");
                bytes[10..12].fill(0);
            }
            let t = Table(&bytes);
            let _ = t.lookup(addr);
            let _ = t.lookup(BASE.wrapping_add(addr & 0xffff_ffff));
        }
    }
}
