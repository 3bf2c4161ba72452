// SPDX-License-Identifier: GPL-2.0-only
//! Where things are in the kernel.

use anyhow::{Context, Result};
use object::{Object, ObjectSymbol};
use std::collections::BTreeMap;
use std::path::Path;

/// The kernel's symbols: assembler's labels, and functions by their paths.
#[derive(Debug, Default)]
pub struct Symbols {
    by_name: BTreeMap<String, u64>,
    by_address: BTreeMap<u64, String>,
}

impl Symbols {
    /// Reads the kernel's file.
    pub fn read(kernel: &Path) -> Result<Self> {
        let data = std::fs::read(kernel).with_context(|| format!("cannot read {}", kernel.display()))?;
        let file = object::File::parse(&*data).context("the kernel is no ELF file")?;
        let mut symbols = Self::default();
        for s in file.symbols() {
            if let Ok(name) = s.name() {
                let name = format!("{:#}", rustc_demangle::demangle(name));
                symbols.insert(name, s.address());
            }
        }
        Ok(symbols)
    }

    /// What begins at an address has its name, rather than what ends there.
    fn insert(&mut self, name: String, address: u64) {
        let ends =
            |name: &str| name.ends_with("_end") || name.contains("_end_") || name.starts_with("__stop_");
        match self.by_address.get(&address) {
            Some(other) if ends(&name) && !ends(other) => {}
            _ => drop(self.by_address.insert(address, name.clone())),
        }
        self.by_name.insert(name, address);
    }

    /// The address of a symbol.
    pub fn at(&self, name: &str) -> Result<u64> {
        self.by_name.get(name).copied().with_context(|| format!("the kernel has no symbol {name}"))
    }

    /// The function (or label) that an address of the kernel's image is in, by its whole path.
    pub fn function(&self, addr: u64) -> Option<String> {
        (addr >= 0xffff_ffff_8000_0000).then_some(())?;
        Some(self.by_address.range(..=addr).next_back()?.1.clone())
    }

    /// The symbol at or before an address of the kernel's image, and how far.
    pub fn label(&self, addr: u64) -> Option<String> {
        if addr < 0xffff_ffff_8000_0000 {
            return None;
        }
        let (at, name) = self.by_address.range(..=addr).next_back()?;
        let short = name.rsplit("::").next().unwrap_or(name);
        Some(if addr == *at { short.to_owned() } else { format!("{short}+{:#x}", addr - at) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_the_name_of_what_begins_there() {
        let kernel = 0xffff_ffff_8000_0000;
        for order in [["a_end", "b"], ["b", "a_end"], ["b", "__end_a"], ["__stop_a", "b"]] {
            let mut s = Symbols::default();
            for name in order {
                s.insert(name.into(), kernel);
            }
            assert_eq!(s.function(kernel + 3).as_deref(), Some("b"), "{order:?}");
            assert!(order.iter().all(|name| s.at(name).is_ok()));
        }
    }
}
