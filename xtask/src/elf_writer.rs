// SPDX-License-Identifier: GPL-2.0-only
//! Making ELF executables byte by byte: tiny ones for measuring, and ones with
//! any field as wrong as a test wants it.

use object::elf::{EM_X86_64, ET_EXEC, PF_R, PF_X, PT_LOAD};

/// Where a [`Elf::program`] is loaded.
pub const BASE: u64 = 0x40_0000;

/// Code that switches the machine off, for the end of an `/init`.
#[rustfmt::skip]
pub const POWER_OFF: [u8; 24] = [
    0xbf, 0xad, 0xde, 0xe1, 0xfe, // mov edi, LINUX_REBOOT_MAGIC1
    0xbe, 0x69, 0x19, 0x12, 0x28, // mov esi, LINUX_REBOOT_MAGIC2
    0xba, 0xdc, 0xfe, 0x21, 0x43, // mov edx, LINUX_REBOOT_CMD_POWER_OFF
    0xb8, 0xa9, 0x00, 0x00, 0x00, // mov eax, 169
    0x0f, 0x05,                   // syscall: reboot
    0xeb, 0xfe,                   // 1: jmp 1b
];

/// One program header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// `p_type`
    pub kind: u32,
    /// `p_flags`
    pub flags: u32,
    /// `p_offset`
    pub offset: u64,
    /// `p_vaddr`
    pub vaddr: u64,
    /// `p_filesz`
    pub file_size: u64,
    /// `p_memsz`
    pub memory_size: u64,
    /// `p_align`
    pub align: u64,
}

/// An executable: header, program headers, and the bytes behind them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Elf {
    /// `e_ident[EI_CLASS]`
    pub class: u8,
    /// `e_type`
    pub kind: u16,
    /// `e_machine`
    pub machine: u16,
    /// `e_entry`
    pub entry: u64,
    /// `e_phoff`
    pub header_offset: u64,
    /// `e_phentsize`
    pub header_size: u16,
    /// `e_phnum`, if it is to differ from the number of segments
    pub header_count: Option<u16>,
    /// The program headers.
    pub segments: Vec<Segment>,
    /// What follows them.
    pub body: Vec<u8>,
}

const ELF_HEADER: u64 = 64;
const PROGRAM_HEADER: u16 = 56;

impl Elf {
    /// The smallest static x86-64 executable around some position-independent
    /// code: one segment, the whole file, readable and executable.
    pub fn program(code: &[u8]) -> Self {
        let start = ELF_HEADER + u64::from(PROGRAM_HEADER);
        let size = start + code.len() as u64;
        let segment = Segment {
            kind: PT_LOAD.0,
            flags: PF_R.0 | PF_X.0,
            offset: 0,
            vaddr: BASE,
            file_size: size,
            memory_size: size,
            align: 0x1000,
        };
        Self {
            class: 2,
            kind: ET_EXEC.0,
            machine: EM_X86_64.0,
            entry: BASE + start,
            header_offset: ELF_HEADER,
            header_size: PROGRAM_HEADER,
            header_count: None,
            segments: vec![segment],
            body: code.to_vec(),
        }
    }

    /// The same program with a further segment. The headers grow, and the
    /// code moves up with them.
    #[must_use]
    pub fn with_segment(mut self, segment: Segment) -> Self {
        let grown = u64::from(PROGRAM_HEADER);
        self.segments.push(segment);
        self.entry += grown;
        self.segments[0].file_size += grown;
        self.segments[0].memory_size += grown;
        self
    }

    /// The file.
    pub fn bytes(&self) -> Vec<u8> {
        let mut file = Vec::new();
        file.extend_from_slice(&[0x7f, b'E', b'L', b'F', self.class, 1, 1]);
        file.resize(16, 0);
        let count = self.header_count.unwrap_or(self.segments.len() as u16);
        put(&mut file, &[u64::from(self.kind), u64::from(self.machine)], 2);
        put(&mut file, &[1], 4);
        put(&mut file, &[self.entry, self.header_offset, 0], 8);
        put(&mut file, &[0], 4);
        put(&mut file, &[ELF_HEADER, u64::from(self.header_size), u64::from(count), 64, 0, 0], 2);
        for segment in &self.segments {
            put(&mut file, &[u64::from(segment.kind), u64::from(segment.flags)], 4);
            put(&mut file, &[segment.offset, segment.vaddr, segment.vaddr], 8);
            put(&mut file, &[segment.file_size, segment.memory_size, segment.align], 8);
        }
        file.extend_from_slice(&self.body);
        file
    }
}

/// Appends numbers of so many bytes each, little-endian.
fn put(file: &mut Vec<u8>, values: &[u64], size: usize) {
    for value in values {
        file.extend_from_slice(&value.to_le_bytes()[..size]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use object::Object;

    #[test]
    fn another_reader_agrees() {
        let extra = Segment { vaddr: 0x50_0000, ..Elf::program(b"").segments[0] };
        for elf in [Elf::program(b"\xeb\xfe"), Elf::program(b"\xeb\xfe").with_segment(extra)] {
            let bytes = elf.bytes();
            let file = object::File::parse(&*bytes).unwrap();
            assert_eq!(file.architecture(), object::Architecture::X86_64);
            assert_eq!(file.segments().count(), elf.segments.len());
            let code = (file.entry() - BASE) as usize;
            assert_eq!(&bytes[code..], b"\xeb\xfe");
            assert_eq!(elf.segments[0].file_size, bytes.len() as u64);
        }
    }
}
