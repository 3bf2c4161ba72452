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

/// Where [`tiny`] programs are loaded.
pub const TINY_BASE: u64 = 0x40_0000;

/// Bytes before the code of a [`tiny`] program.
pub const TINY_HEADERS: usize = 64 + 56;

/// The smallest static x86-64 executable around some position-independent
/// code: one loadable segment, readable and executable, file offset 0.
pub fn tiny(code: &[u8]) -> Vec<u8> {
    let size = (TINY_HEADERS + code.len()) as u64;
    let mut file = Vec::with_capacity(size as usize);
    file.extend_from_slice(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    let half = |file: &mut Vec<u8>, value: u16| file.extend_from_slice(&value.to_le_bytes());
    let word = |file: &mut Vec<u8>, value: u32| file.extend_from_slice(&value.to_le_bytes());
    let long = |file: &mut Vec<u8>, value: u64| file.extend_from_slice(&value.to_le_bytes());
    half(&mut file, elf::ET_EXEC.0);
    half(&mut file, elf::EM_X86_64.0);
    word(&mut file, 1);
    long(&mut file, TINY_BASE + TINY_HEADERS as u64);
    long(&mut file, 64);
    long(&mut file, 0);
    word(&mut file, 0);
    for value in [64, 56, 1, 64, 0, 0] {
        half(&mut file, value);
    }
    word(&mut file, elf::PT_LOAD.0);
    word(&mut file, elf::PF_R.0 | elf::PF_X.0);
    for value in [0, TINY_BASE, TINY_BASE, size, size, 0x1000] {
        long(&mut file, value);
    }
    file.extend_from_slice(code);
    file
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
