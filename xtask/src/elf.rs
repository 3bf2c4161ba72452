// SPDX-License-Identifier: GPL-2.0-only
//! What the host needs to know of an ELF file that is to run in the guest.

use anyhow::{Context, Result, bail};
use object::elf;
use object::read::elf::{ElfFile64, FileHeader, ProgramHeader};
use std::path::Path;

/// Refuses, in one sentence, a host program that the guest could not run.
pub fn check_static(path: &Path) -> Result<()> {
    let data = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    match interpreter(&data) {
        Ok(None) => Ok(()),
        Ok(Some(interp)) => bail!(
            "{} is dynamically linked (it wants {interp}); link it with `-static` and run it again",
            path.display()
        ),
        Err(why) => {
            bail!("{} is not a program for this kernel: {why}; give it a static x86-64 ELF", path.display())
        }
    }
}

/// The dynamic linker that an x86-64 executable asks for, if any; or why the
/// file is no x86-64 executable.
fn interpreter(data: &[u8]) -> Result<Option<String>, &'static str> {
    if data.starts_with(b"#!") {
        return Err("it is a script");
    }
    if !data.starts_with(&elf::ELFMAG) {
        return Err("it is not an ELF file");
    }
    let file = ElfFile64::<object::Endianness>::parse(data)
        .map_err(|_| "it is not a 64-bit ELF file, or is cut short")?;
    let (endian, header) = (file.endian(), file.elf_header());
    if header.e_machine(endian) != elf::EM_X86_64 {
        return Err("it is for another machine");
    }
    if ![elf::ET_EXEC, elf::ET_DYN].contains(&header.e_type(endian)) {
        return Err("it is not an executable");
    }
    for segment in file.elf_program_headers() {
        if let Ok(Some(interp)) = segment.interpreter(endian, data) {
            return Ok(Some(String::from_utf8_lossy(interp).into_owned()));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn this_test_is_no_guest_program() {
        let me = std::env::current_exe().unwrap();
        let why = check_static(&me).unwrap_err().to_string();
        assert!(why.contains("dynamically linked"), "{why}");
    }

    #[test]
    fn scripts_and_noise_are_named() {
        assert_eq!(interpreter(b"#!/bin/sh\n"), Err("it is a script"));
        assert_eq!(interpreter(b""), Err("it is not an ELF file"));
        assert!(interpreter(b"\x7fELF").is_err());
    }

    proptest! {
        #[test]
        fn never_panics(mut data in proptest::collection::vec(any::<u8>(), 0..256), magic: bool) {
            if magic && data.len() > 6 {
                data[..6].copy_from_slice(b"\x7fELF\x02\x01");
            }
            let _ = interpreter(&data);
        }
    }
}
