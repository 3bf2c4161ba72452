// SPDX-License-Identifier: GPL-2.0-only
//! What an ELF file says about how to load it: the checks and decisions of
//! Linux 6.1, `fs/binfmt_elf.c`, as functions of the file's bytes alone.
//!
//! `goblin` reads the structures; what Linux does not look at (class, byte order,
//! version, section headers) is not looked at here either.

use crate::arch::x86::lib::usercopy::TASK_SIZE_MAX;
use crate::errno::{ENOEXEC, Result};
use crate::mm::page_alloc::PAGE_SIZE;
use alloc::vec::Vec;
use goblin::elf64::header::{ELFMAG, EM_X86_64, ET_DYN, ET_EXEC, Header, SIZEOF_EHDR};
use goblin::elf64::program_header::{
    PF_R, PF_W, PF_X, PT_GNU_STACK, PT_INTERP, PT_LOAD, ProgramHeader, SIZEOF_PHDR,
};

/// Most bytes of program headers (`ELF_MIN_ALIGN` times 16).
const MAX_PHDRS: usize = 65536;
/// Longest interpreter path, its NUL included (`PATH_MAX`).
const PATH_MAX: u64 = 4096;
const TASK_SIZE: u64 = TASK_SIZE_MAX as u64;
const PAGE_MASK: u64 = !(PAGE_SIZE as u64 - 1);

/// `PROT_*` of a segment (`make_prot`).
fn make_prot(flags: u32) -> u32 {
    let bit = |f: u32, v: u32| if flags & f != 0 { v } else { 0 };
    bit(PF_R, 1) | bit(PF_W, 2) | bit(PF_X, 4)
}

/// A segment that is loaded, as the file has it: nothing about it is checked yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Segment {
    pub vaddr: u64,
    pub memsz: u64,
    pub offset: u64,
    pub filesz: u64,
    /// `PROT_*`.
    pub prot: u32,
    pub align: u64,
}

impl Segment {
    /// Whether its place in memory makes no sense: it is refused (with `EINVAL`, or
    /// `ENOMEM` in an interpreter) after it was mapped.
    pub fn is_bad(&self) -> bool {
        self.vaddr >= TASK_SIZE
            || self.filesz > self.memsz
            || self.memsz > TASK_SIZE
            || TASK_SIZE - self.memsz < self.vaddr
    }
    /// First page, and what lies before the segment in it.
    pub fn page_offset(&self) -> u64 {
        self.vaddr & !PAGE_MASK
    }
    /// What is asked of `mmap` (`elf_map`): (bytes, offset in the file), both wrapping
    /// as they do in C.
    pub fn map_request(&self) -> (u64, u64) {
        let size = self.filesz.wrapping_add(self.page_offset());
        (page_align(size), self.offset.wrapping_sub(self.page_offset()))
    }
}

/// `ELF_PAGEALIGN`.
pub const fn page_align(v: u64) -> u64 {
    v.wrapping_add(PAGE_SIZE as u64 - 1) & PAGE_MASK
}

/// `ELF_PAGESTART`.
pub const fn page_start(v: u64) -> u64 {
    v & PAGE_MASK
}

/// `goblin` reads a header where it lies, if it lies well.
#[repr(C, align(8))]
struct Aligned([u8; SIZEOF_EHDR]);

/// An ELF file's header, as far as it was checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct ElfHeader {
    /// May be loaded anywhere.
    pub dynamic: bool,
    pub entry: u64,
    pub phoff: u64,
    pub phnum: u16,
}

impl ElfHeader {
    /// From the first bytes of a file; what the file lacks counts as zeroes.
    pub fn parse(start: &[u8]) -> Result<Self> {
        let mut raw = Aligned([0; SIZEOF_EHDR]);
        let n = start.len().min(SIZEOF_EHDR);
        raw.0[..n].copy_from_slice(&start[..n]);
        let h = Header::from_bytes(&raw.0);
        let loadable = matches!(h.e_type, ET_EXEC | ET_DYN) && h.e_machine == EM_X86_64;
        if h.e_ident[..4] != *ELFMAG || !loadable {
            return Err(ENOEXEC);
        }
        if usize::from(h.e_phentsize) != SIZEOF_PHDR {
            return Err(ENOEXEC);
        }
        let header =
            Self { dynamic: h.e_type == ET_DYN, entry: h.e_entry, phoff: h.e_phoff, phnum: h.e_phnum };
        if header.table_len() == 0 || header.table_len() > MAX_PHDRS {
            return Err(ENOEXEC);
        }
        Ok(header)
    }
    /// Bytes of program headers.
    pub fn table_len(&self) -> usize {
        usize::from(self.phnum) * SIZEOF_PHDR
    }
}

/// A file's program headers, as far as they matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ElfImage {
    /// The header.
    pub header: ElfHeader,
    /// `PT_LOAD` segments, in the file's order.
    pub segments: Vec<Segment>,
    /// Path of the interpreter: (offset, length with its NUL) in the file.
    pub interp: Option<(u64, usize)>,
    /// Whether the stack is executable (`PT_GNU_STACK`).
    pub exec_stack: bool,
}

impl ElfImage {
    /// Reads the program headers `table`.
    pub fn parse(header: ElfHeader, table: &[u8]) -> Result<Self> {
        if table.len() != header.table_len() {
            return Err(ENOEXEC);
        }
        let mut image = Self { header, segments: Vec::new(), interp: None, exec_stack: false };
        for p in ProgramHeader::from_bytes(table, usize::from(header.phnum)) {
            match p.p_type {
                PT_INTERP if image.interp.is_none() => {
                    if !(2..=PATH_MAX).contains(&p.p_filesz) {
                        return Err(ENOEXEC);
                    }
                    image.interp = Some((p.p_offset, p.p_filesz as usize));
                }
                PT_GNU_STACK => image.exec_stack = p.p_flags & PF_X != 0,
                PT_LOAD => image.segments.push(Segment {
                    vaddr: p.p_vaddr,
                    memsz: p.p_memsz,
                    offset: p.p_offset,
                    filesz: p.p_filesz,
                    prot: make_prot(p.p_flags),
                    align: p.p_align,
                }),
                _ => {}
            }
        }
        Ok(image)
    }

    /// Bytes from the first page to the end of the last segment; 0 if there are none
    /// (`total_mapping_size`).
    pub fn total_mapping_size(&self) -> u64 {
        let min = self.segments.iter().map(|s| page_start(s.vaddr)).min();
        let max = self.segments.iter().map(|s| s.vaddr.wrapping_add(s.memsz)).max();
        match (min, max) {
            (Some(min), Some(max)) => max.wrapping_sub(min),
            _ => 0,
        }
    }

    /// Largest alignment that a segment asks for, if it is a power of two
    /// (`maximum_alignment`).
    pub fn maximum_alignment(&self) -> u64 {
        let asked = self.segments.iter().map(|s| s.align).filter(|a| a.is_power_of_two());
        page_align(asked.max().unwrap_or(0))
    }

    /// Where the program headers are in memory, without the load bias: in the last
    /// segment that has them; 0 if none has (`phdr_addr`).
    pub fn phdr_addr(&self) -> u64 {
        let off = self.header.phoff;
        let holds = |s: &&Segment| s.offset <= off && off < s.offset.wrapping_add(s.filesz);
        let s = self.segments.iter().rfind(holds);
        s.map_or(0, |s| (off - s.offset).wrapping_add(s.vaddr))
    }
}

/// The path of an interpreter from its bytes: it must end in a NUL.
pub fn interp_path(bytes: &[u8]) -> Result<&[u8]> {
    match bytes.split_last() {
        Some((0, _)) => Ok(bytes.split(|&b| b == 0).next().unwrap_or(&[])),
        _ => Err(ENOEXEC),
    }
}

#[cfg(test)]
#[path = "elf_image_tests.rs"]
mod tests;
