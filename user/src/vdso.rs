// SPDX-License-Identifier: GPL-2.0-only
//! The vDSO of this process, read as a dynamic linker and an unwinder read it.

use core::ffi::CStr;
use core::ptr::{read_unaligned, with_exposed_provenance};
use linux_raw_sys::auxvec::AT_SYSINFO_EHDR;

pub use linux_raw_sys::elf::{
    DT_GNU_HASH, DT_HASH, DT_STRTAB, DT_SYMTAB, DT_VERDEF, DT_VERSYM, PT_DYNAMIC, PT_LOAD,
};

/// The library's own name, in the dynamic section.
pub const DT_SONAME: usize = 14;
/// Notes.
pub const PT_NOTE: u32 = 4;
/// The table that an unwinder starts from.
pub const PT_GNU_EH_FRAME: u32 = 0x6474_e550;

/// A shared object that is mapped and has not been relocated.
#[derive(Clone, Copy)]
pub struct Vdso {
    /// Where its ELF header is.
    pub base: usize,
}

/// A program header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
#[repr(C)]
pub struct Phdr {
    pub kind: u32,
    pub flags: u32,
    pub offset: u64,
    pub vaddr: u64,
    pub paddr: u64,
    pub filesz: u64,
    pub memsz: u64,
    pub align: u64,
}

/// A symbol of the dynamic table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Symbol {
    /// Its number.
    pub index: usize,
    /// Its address in this process.
    pub addr: usize,
    /// Bytes.
    pub size: usize,
    /// Kind (low four bits) and binding.
    pub info: u8,
}

impl Vdso {
    /// This process's, if it has one.
    pub fn of_process() -> Option<Self> {
        crate::start::aux(AT_SYSINFO_EHDR).map(|base| Self { base })
    }

    /// A value at an offset of the image.
    ///
    /// # Panics
    /// Not: a wrong offset faults.
    pub fn get<T: Copy>(&self, at: usize) -> T {
        // SAFETY: the image is mapped and readable; the caller reads plain numbers from it.
        unsafe { read_unaligned(with_exposed_provenance(self.base.wrapping_add(at))) }
    }

    /// A string at an offset of the image.
    pub fn text(&self, at: usize) -> &'static CStr {
        // SAFETY: the tables' strings end with a zero.
        unsafe { CStr::from_ptr(with_exposed_provenance(self.base.wrapping_add(at))) }
    }

    /// The program headers.
    pub fn phdrs(self) -> impl Iterator<Item = Phdr> {
        let (at, n) = (self.get::<u64>(32) as usize, usize::from(self.get::<u16>(56)));
        (0..n).map(move |i| self.get(at + i * size_of::<Phdr>()))
    }

    /// The first program header of a kind.
    pub fn phdr(self, kind: u32) -> Option<Phdr> {
        self.phdrs().find(|p| p.kind == kind)
    }

    /// The value of an entry of the dynamic section: an offset of the image, mostly.
    pub fn dynamic(self, tag: usize) -> Option<usize> {
        let at = self.phdr(PT_DYNAMIC)?.vaddr as usize;
        let size = self.phdr(PT_DYNAMIC)?.memsz as usize;
        let mut entries = (at..at + size).step_by(16).map(|at| self.get::<[usize; 2]>(at));
        entries.find(|e| e[0] == tag).map(|e| e[1])
    }

    fn symbol(self, index: usize) -> Option<Symbol> {
        let at = self.dynamic(DT_SYMTAB)? + index * 24;
        let (value, size) = (self.get::<u64>(at + 8) as usize, self.get::<u64>(at + 16) as usize);
        Some(Symbol { index, addr: self.base + value, size, info: self.get(at + 4) })
    }

    fn is_named(self, index: usize, name: &CStr) -> bool {
        let (Some(symbols), Some(strings)) = (self.dynamic(DT_SYMTAB), self.dynamic(DT_STRTAB)) else {
            return false;
        };
        self.text(strings + self.get::<u32>(symbols + index * 24) as usize) == name
    }

    /// Finds a symbol by the table of System V.
    pub fn find_by_hash(self, name: &CStr) -> Option<Symbol> {
        let table = self.dynamic(DT_HASH)?;
        let word = |i: usize| self.get::<u32>(table + i * 4) as usize;
        let hash = name.to_bytes().iter().fold(0u32, |h, &b| {
            let h = (h << 4).wrapping_add(u32::from(b));
            let high = h & 0xf000_0000;
            (h ^ high >> 24) & !high
        });
        let buckets = word(0);
        let mut at = word(2 + hash as usize % buckets);
        while at != 0 {
            if self.is_named(at, name) {
                return self.symbol(at);
            }
            at = word(2 + buckets + at);
        }
        None
    }

    /// Finds a symbol by GNU's table.
    pub fn find_by_gnu_hash(self, name: &CStr) -> Option<Symbol> {
        let table = self.dynamic(DT_GNU_HASH)?;
        let [buckets, first, bloom, shift]: [u32; 4] = self.get(table);
        let hash =
            name.to_bytes().iter().fold(5381u32, |h, &b| h.wrapping_mul(33).wrapping_add(u32::from(b)));
        let filter: u64 = self.get(table + 16 + (hash as usize / 64 % bloom as usize) * 8);
        let both = 1u64 << (hash % 64) | 1 << ((hash >> shift) % 64);
        if filter & both != both {
            return None;
        }
        let heads = table + 16 + bloom as usize * 8;
        let mut at = self.get::<u32>(heads + (hash % buckets) as usize * 4);
        let chain = |i: u32| self.get::<u32>(heads + (buckets + i - first) as usize * 4);
        while at >= first {
            if chain(at) | 1 == hash | 1 && self.is_named(at as usize, name) {
                return self.symbol(at as usize);
            }
            if chain(at) & 1 != 0 {
                return None;
            }
            at += 1;
        }
        None
    }

    /// The name of the version that a symbol belongs to.
    pub fn version(self, symbol: &Symbol) -> Option<&'static CStr> {
        let number = self.get::<u16>(self.dynamic(DT_VERSYM)? + symbol.index * 2);
        let strings = self.dynamic(DT_STRTAB)?;
        let mut at = self.dynamic(DT_VERDEF)?;
        loop {
            let [_, _, index, _]: [u16; 4] = self.get(at);
            let [_, aux, next]: [u32; 3] = self.get(at + 8);
            if index == number & 0x7fff {
                return Some(self.text(strings + self.get::<u32>(at + aux as usize) as usize));
            }
            if next == 0 {
                return None;
            }
            at += next as usize;
        }
    }

    /// The function that an unwinder takes `pc` for: first address, and the one behind the last
    /// (`.eh_frame_hdr`'s table, and the entry of `.eh_frame` that it leads to).
    pub fn unwind_range(self, pc: usize) -> Option<(usize, usize)> {
        let at = self.phdr(PT_GNU_EH_FRAME)?.vaddr as usize;
        // Version 1; where `.eh_frame` is, from here; a count; pairs, relative to this header.
        if self.get::<[u8; 4]>(at) != [1, 0x1b, 3, 0x3b] {
            return None;
        }
        let count = self.get::<u32>(at + 8) as usize;
        let entries = (0..count).map(|i| self.get::<[i32; 2]>(at + 12 + i * 8));
        let start = |e: &[i32; 2]| (self.base + at).wrapping_add_signed(e[0] as isize);
        let found = entries.take_while(|e| start(e) <= pc).last()?;
        let fde = at.wrapping_add_signed(found[1] as isize);
        // The address as a distance from where it is written, and the size.
        let own = (self.base + fde + 8).wrapping_add_signed(self.get::<i32>(fde + 8) as isize);
        let end = own + self.get::<u32>(fde + 12) as usize;
        (own == start(&found) && pc < end).then_some((own, end))
    }

    /// The function with this name.
    ///
    /// # Safety
    /// `F` must be the type of a pointer to it.
    pub unsafe fn function<F: Copy>(self, name: &CStr) -> Option<F> {
        const { assert!(size_of::<F>() == size_of::<usize>()) };
        let addr = self.find_by_gnu_hash(name)?.addr;
        // SAFETY: an address of code, and by the caller's promise of this type.
        Some(unsafe { core::mem::transmute_copy(&addr) })
    }
}
