// SPDX-License-Identifier: GPL-2.0-only
//! What an ELF file asks for, and whether it may (the checks of Linux 6.1,
//! `fs/binfmt_elf.c`, `load_elf_binary`), as a pure function of the file's bytes.

use crate::arch::x86::lib::usercopy::TASK_SIZE_MAX;
use crate::errno::{EINVAL, EIO, ENOEXEC, ENOMEM, Result};
use alloc::vec::Vec;
use goblin::elf64::header::{ELFMAG, EM_X86_64, ET_DYN, ET_EXEC, Header, SIZEOF_EHDR};
use goblin::elf64::program_header::{
    PF_R, PF_W, PF_X, PT_GNU_STACK, PT_INTERP, PT_LOAD, ProgramHeader, SIZEOF_PHDR,
};

/// Largest program header table (`ELF_MIN_ALIGN`, 64 KiB in `load_elf_phdrs`).
const MAX_PHDRS: usize = 65536;
const PAGE: u64 = 4096;

/// One loadable segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Address, before relocation.
    pub vaddr: u64,
    /// Bytes in memory.
    pub memsz: u64,
    /// Offset in the file.
    pub offset: u64,
    /// Bytes in the file.
    pub filesz: u64,
    /// `PF_*`, as `PROT_*` bits.
    pub prot: u32,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ElfImage {
    /// Whether it may be loaded anywhere (`ET_DYN`).
    pub dynamic: bool,
    /// Entry point, before relocation.
    pub entry: u64,
    /// Where the program headers are in memory, before relocation (0 if nowhere).
    pub phdr: u64,
    /// Number of program headers.
    pub phnum: u16,
    /// Largest alignment of a segment.
    pub align: u64,
    /// The segments, in the file's order.
    pub segments: Vec<Segment>,
    /// Path of the interpreter: (offset, length) in the file.
    pub interp: Option<(u64, u64)>,
    /// Whether the stack must be executable; `None` without `PT_GNU_STACK`.
    pub exec_stack: Option<bool>,
}

/// Checks the first bytes of the file, and says where the program headers are:
/// (offset, bytes).
pub fn program_headers(start: &[u8]) -> Result<(u64, usize)> {
    let h = header(start)?;
    if !matches!(h.e_type, ET_EXEC | ET_DYN) || h.e_machine != EM_X86_64 {
        return Err(ENOEXEC);
    }
    if usize::from(h.e_phentsize) != SIZEOF_PHDR {
        return Err(ENOEXEC);
    }
    let bytes = usize::from(h.e_phnum) * SIZEOF_PHDR;
    if bytes == 0 || bytes > MAX_PHDRS {
        return Err(ENOEXEC);
    }
    Ok((h.e_phoff, bytes))
}

fn header(start: &[u8]) -> Result<Header> {
    let raw: &[u8; SIZEOF_EHDR] = start.first_chunk().ok_or(ENOEXEC)?;
    // Linux looks at the magic only; class and byte order show in e_machine.
    if raw[..4] != *ELFMAG {
        return Err(ENOEXEC);
    }
    Ok(*Header::from_bytes(raw))
}

/// Reads the program headers `table`, of a file of `size` bytes that starts with `start`.
pub fn parse(start: &[u8], table: &[u8], size: u64) -> Result<ElfImage> {
    let h = header(start)?;
    let mut image = ElfImage {
        dynamic: h.e_type == ET_DYN,
        entry: h.e_entry,
        phdr: 0,
        phnum: h.e_phnum,
        align: PAGE,
        segments: Vec::new(),
        interp: None,
        exec_stack: None,
    };
    for p in ProgramHeader::from_bytes(table, usize::from(h.e_phnum)) {
        match p.p_type {
            PT_INTERP if image.interp.is_none() => image.interp = Some(interp(&p, size)?),
            PT_GNU_STACK => image.exec_stack = Some(p.p_flags & PF_X != 0),
            PT_LOAD => {
                image.segments.push(segment(&p));
                if p.p_align.is_power_of_two() {
                    image.align = image.align.max(p.p_align);
                }
                if (p.p_offset..p.p_offset.saturating_add(p.p_filesz)).contains(&h.e_phoff) {
                    image.phdr = (h.e_phoff - p.p_offset).wrapping_add(p.p_vaddr);
                }
            }
            _ => {}
        }
    }
    if image.segments.is_empty() { Err(ENOEXEC) } else { Ok(image) }
}

fn interp(p: &ProgramHeader, size: u64) -> Result<(u64, u64)> {
    if !(2..=4096).contains(&p.p_filesz) {
        return Err(ENOEXEC);
    }
    if p.p_offset.checked_add(p.p_filesz).is_none_or(|e| e > size) {
        return Err(EIO);
    }
    Ok((p.p_offset, p.p_filesz))
}

fn segment(p: &ProgramHeader) -> Segment {
    let bit = |f: u32, v: u32| if p.p_flags & f != 0 { v } else { 0 };
    Segment {
        vaddr: p.p_vaddr,
        memsz: p.p_memsz,
        offset: p.p_offset,
        filesz: p.p_filesz,
        prot: bit(PF_R, 1) | bit(PF_W, 2) | bit(PF_X, 4),
    }
}

impl Segment {
    /// Whether the segment may be mapped, moved by `bias`: the errors with which Linux
    /// fails to load a program that it has already begun to become (`elf_map`, and the
    /// checks after it). Segments may overlap: the later one wins.
    pub fn check(&self, bias: u64) -> Result {
        let size = TASK_SIZE_MAX as u64;
        let addr = self.vaddr.wrapping_add(bias);
        if addr % PAGE != self.offset % PAGE {
            return Err(EINVAL);
        }
        let mapped = self.filesz.checked_add(addr % PAGE).ok_or(ENOMEM)?;
        if mapped > size || addr - addr % PAGE > size - mapped {
            return Err(ENOMEM);
        }
        if addr >= size || self.filesz > self.memsz || self.memsz > size || size - self.memsz < addr {
            return Err(EINVAL);
        }
        Ok(())
    }
}

/// Bytes from the first page of the first segment to the end of the last
/// (`total_mapping_size`).
pub fn total_size(i: &ElfImage) -> u64 {
    let first = i.segments.iter().map(|s| s.vaddr & !(PAGE - 1)).min().unwrap_or(0);
    let last = i.segments.iter().map(|s| s.vaddr.saturating_add(s.memsz)).max().unwrap_or(0);
    last.saturating_sub(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A static program of one segment.
    fn sample() -> Vec<u8> {
        let mut f = alloc::vec![0u8; 8192];
        f[..4].copy_from_slice(ELFMAG);
        f[4..7].copy_from_slice(&[2, 1, 1]);
        let mut put = |at: usize, v: u64, n: usize| f[at..at + n].copy_from_slice(&v.to_le_bytes()[..n]);
        put(16, 2, 2);
        put(18, 62, 2);
        put(20, 1, 4);
        put(24, 0x40_1000, 8);
        put(32, 64, 8);
        put(54, 56, 2);
        put(56, 1, 2);
        put(64, 1, 4);
        put(68, 5, 4);
        put(80, 0x40_0000, 8);
        put(96, 8192, 8);
        put(104, 8192, 8);
        put(112, 4096, 8);
        f
    }

    fn load(f: &[u8]) -> Result<ElfImage> {
        let (at, len) = program_headers(f)?;
        let table = usize::try_from(at).ok().and_then(|a| f.get(a..a.checked_add(len)?)).ok_or(ENOEXEC)?;
        parse(f, table, f.len() as u64)
    }

    #[test]
    fn a_good_program() {
        let i = load(&sample()).unwrap();
        assert_eq!((i.entry, i.phdr, i.dynamic), (0x40_1000, 0x40_0040, false));
        assert_eq!(i.segments[0].prot, 5);
        assert_eq!(total_size(&i), 8192);
    }

    #[test]
    fn errors_are_linuxs() {
        let change = |at: usize, b: &[u8]| {
            let mut f = sample();
            f[at..at + b.len()].copy_from_slice(b);
            load(&f)
        };
        assert_eq!(load(b""), Err(ENOEXEC));
        assert_eq!(load(b"#!/bin/sh"), Err(ENOEXEC));
        assert_eq!(change(0, b"\x7fELG"), Err(ENOEXEC));
        assert_eq!(change(18, &[3, 0]), Err(ENOEXEC));
        assert_eq!(change(16, &[1, 0]), Err(ENOEXEC));
        assert_eq!(change(54, &[32, 0]), Err(ENOEXEC));
        assert_eq!(change(56, &[0, 0]), Err(ENOEXEC));
        assert_eq!(change(112, &4097u64.to_le_bytes()).map(|i| i.align), Ok(PAGE));
    }

    #[test]
    fn segments_fail_when_they_are_mapped() {
        let s = Segment { vaddr: 0x40_0000, memsz: 8192, offset: 0, filesz: 8192, prot: 5 };
        assert_eq!(s.check(0), Ok(()));
        let at = |vaddr| Segment { vaddr, ..s }.check(0);
        assert_eq!(at(0xffff_8000_0000_0000), Err(ENOMEM));
        assert_eq!(at(TASK_SIZE_MAX as u64 - 4096), Err(ENOMEM));
        assert_eq!(at(0x40_0001), Err(EINVAL));
        assert_eq!(Segment { memsz: 4096, ..s }.check(0), Err(EINVAL));
        assert_eq!(Segment { memsz: u64::MAX, ..s }.check(0), Err(EINVAL));
        assert_eq!(Segment { memsz: u64::MAX, filesz: u64::MAX, ..s }.check(0), Err(ENOMEM));
    }

    proptest! {
        #[test]
        fn garbage_never_panics(f in proptest::collection::vec(any::<u8>(), 0..600)) {
            let _ = load(&f);
        }

        #[test]
        fn damage_never_panics(at in 0usize..120, v in any::<u8>(), w in any::<u64>(), wat in 0usize..112) {
            let mut f = sample();
            f[at] = v;
            f[wat..wat + 8].copy_from_slice(&w.to_le_bytes());
            if let Ok(i) = load(&f) {
                for s in &i.segments {
                    if s.check(0).is_ok() {
                        prop_assert!(s.vaddr + s.memsz <= TASK_SIZE_MAX as u64);
                        prop_assert!(s.filesz <= s.memsz);
                    }
                }
                let _ = total_size(&i);
            }
        }
    }
}
