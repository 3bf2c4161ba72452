// SPDX-License-Identifier: GPL-2.0-only
//! The symbol table that the kernel carries for its call traces, written into
//! the space that the linked kernel reserves for it.
//!
//! The section `.kallsyms` holds, little-endian: the magic `KALLSYMS`, u32
//! number of entries, u32 size of the names, then per entry u32 offset of its
//! address from [`BASE`] and u32 offset of its name, sorted by address, then
//! the names, each a length byte and that many bytes. The last entry is
//! `_etext`, so that the last function has an end.

use anyhow::{Context, Result, bail};
use object::{Object, ObjectSection, ObjectSymbol, SymbolKind};
use std::collections::BTreeMap;

/// Where the kernel is linked; addresses are stored relative to it.
pub const BASE: u64 = 0xffff_ffff_8000_0000;
const MAGIC: &[u8; 8] = b"KALLSYMS";
const SECTION: &str = ".kallsyms";
const HEADER: usize = 16;

/// How the patching went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patched {
    /// So many symbols are in.
    Symbols(usize),
    /// The table needs more bytes than are reserved; the kernel has none.
    TooBig {
        /// Bytes that the table takes.
        needed: usize,
        /// Bytes that the kernel reserves.
        reserved: usize,
    },
    /// The kernel reserves no such section.
    NoSection,
}

/// Writes the symbol table of a linked kernel into the kernel itself.
pub fn patch(kernel: &mut [u8]) -> Result<Patched> {
    let file = object::File::parse(&*kernel).context("the linked kernel is no ELF file")?;
    let Some(section) = file.section_by_name(SECTION) else { return Ok(Patched::NoSection) };
    let Some((offset, size)) = section.file_range() else {
        bail!("the kernel's {SECTION} has no bytes in the file; it must not be in .bss");
    };
    let table = encode(&text_symbols(&file));
    let range = offset as usize..(offset + size) as usize;
    let Some(space) = kernel.get_mut(range) else { bail!("the kernel's {SECTION} lies outside the file") };
    if !space.starts_with(MAGIC) {
        bail!("the kernel's {SECTION} does not start with its magic");
    }
    space[MAGIC.len()..].fill(0);
    let count = u32::from_le_bytes([table[8], table[9], table[10], table[11]]) as usize;
    if table.len() > space.len() {
        return Ok(Patched::TooBig { needed: table.len(), reserved: space.len() });
    }
    space[..table.len()].copy_from_slice(&table);
    Ok(Patched::Symbols(count))
}

/// The functions and code labels of a kernel, one name for each address.
fn text_symbols(file: &object::File<'_>) -> BTreeMap<u64, String> {
    let executable: Vec<(u64, u64)> = file
        .sections()
        .filter(|section| section.kind() == object::SectionKind::Text && section.address() >= BASE)
        .map(|section| (section.address(), section.address() + section.size()))
        .collect();
    let in_text = |address| executable.iter().any(|&(start, end)| (start..end).contains(&address));
    // Functions win over labels, and global names over local ones.
    let mut best: BTreeMap<u64, (bool, bool, String)> = BTreeMap::new();
    for symbol in file.symbols() {
        let Ok(name) = symbol.name() else { continue };
        let is_function = symbol.kind() == SymbolKind::Text;
        let is_label = matches!(symbol.kind(), SymbolKind::Unknown | SymbolKind::Label);
        if !(is_function || is_label) || !in_text(symbol.address()) || !speaks(name) {
            continue;
        }
        let candidate = (is_function, symbol.is_global(), short_name(name));
        let known = best.entry(symbol.address()).or_insert_with(|| candidate.clone());
        if (candidate.0, candidate.1) > (known.0, known.1) {
            *known = candidate;
        }
    }
    let mut symbols: BTreeMap<u64, String> =
        best.into_iter().map(|(address, known)| (address, known.2)).collect();
    let linked = file.symbols().find(|symbol| symbol.name() == Ok("_etext")).map(|symbol| symbol.address());
    let end = linked.or_else(|| executable.iter().map(|&(_, end)| end).max());
    if let (Some(end), false) = (end, symbols.is_empty()) {
        symbols.insert(end, "_etext".into());
    }
    symbols
}

/// Is it a name for people, not an assembler's or mapping symbol?
fn speaks(name: &str) -> bool {
    !name.is_empty() && !name.starts_with(['.', '$'])
}

/// The table's bytes.
fn encode(symbols: &BTreeMap<u64, String>) -> Vec<u8> {
    let mut entries = Vec::new();
    let mut names: Vec<u8> = Vec::new();
    for (&address, name) in symbols {
        let name = &name.as_bytes()[..name.len().min(255)];
        entries.extend_from_slice(&((address.wrapping_sub(BASE)) as u32).to_le_bytes());
        entries.extend_from_slice(&(names.len() as u32).to_le_bytes());
        names.push(name.len() as u8);
        names.extend_from_slice(name);
    }
    let mut table = Vec::with_capacity(HEADER + entries.len() + names.len());
    table.extend_from_slice(MAGIC);
    table.extend_from_slice(&(symbols.len() as u32).to_le_bytes());
    table.extend_from_slice(&(names.len() as u32).to_le_bytes());
    table.extend_from_slice(&entries);
    table.extend_from_slice(&names);
    table
}

/// A function's own name, as Linux would show it: the last part of its path,
/// without generics; a closure goes by the name of the function around it.
pub fn short_name(symbol: &str) -> String {
    let full = format!("{:#}", rustc_demangle::demangle(symbol));
    let own = components(&full).into_iter().rev().find_map(|part| {
        let name = part.split('<').next().unwrap_or_default().trim();
        (!name.is_empty() && !name.starts_with('{')).then(|| name.to_owned())
    });
    own.unwrap_or(full)
}

/// Splits a path at the `::` that are not inside `<>`, `()`, `[]` or `{}`.
fn components(path: &str) -> Vec<&str> {
    let bytes = path.as_bytes();
    let (mut parts, mut start, mut depth, mut at) = (Vec::new(), 0, 0i32, 0);
    while at < bytes.len() {
        match bytes[at] {
            // `->` in a function type closes nothing.
            b'-' if bytes.get(at + 1) == Some(&b'>') => at += 1,
            b'<' | b'(' | b'[' | b'{' => depth += 1,
            b'>' | b')' | b']' | b'}' => depth -= 1,
            b':' if depth <= 0 && bytes.get(at + 1) == Some(&b':') => {
                parts.push(&path[start..at]);
                at += 1;
                start = at + 1;
            }
            _ => {}
        }
        at += 1;
    }
    parts.push(&path[start.min(path.len())..]);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_look_like_linux() {
        for (symbol, name) in [
            ("_ZN8trapline4arch3x866kernel5traps7do_trap17h0123456789abcdefE", "do_trap"),
            (
                "_ZN8trapline4init12start_kernel28_$u7b$$u7b$closure$u7d$$u7d$17h0123456789abcdefE",
                "start_kernel",
            ),
            (
                "_ZN59_$LT$core..fmt..Arguments$u20$as$u20$core..fmt..Display$GT$3fmt17h0123456789abcdefE",
                "fmt",
            ),
            ("_RNvNtCs1234_7mycrate3foo3bar", "bar"),
            ("divide_error", "divide_error"),
            ("asm_exc_page_fault", "asm_exc_page_fault"),
        ] {
            assert_eq!(short_name(symbol), name);
        }
    }

    #[test]
    fn table_layout() {
        let symbols = BTreeMap::from([(BASE + 0x10, "a".into()), (BASE + 0x20, "_etext".into())]);
        let table = encode(&symbols);
        assert_eq!(&table[..16], b"KALLSYMS\x02\0\0\0\x09\0\0\0");
        assert_eq!(&table[16..32], b"\x10\0\0\0\0\0\0\0\x20\0\0\0\x02\0\0\0");
        assert_eq!(&table[32..], b"\x01a\x06_etext");
    }

    #[test]
    fn not_a_kernel() {
        assert!(patch(&mut b"nothing".to_vec()).is_err());
    }

    proptest! {
        #[test]
        fn any_name_has_a_short_name(name in any::<String>()) {
            let _ = short_name(&name);
        }
    }
}
