// SPDX-License-Identifier: GPL-2.0-only
//! An `/init` that is an ELF file with something wrong in its headers.

use super::*;
use crate::hello;
use xtask::elf_writer::{BASE, Elf, Segment};

/// A good archive with a changed `/init`.
fn with_init(change: impl FnOnce(&mut Elf)) -> Vec<u8> {
    let mut elf = hello::program();
    change(&mut elf);
    hello::archive_with(elf.bytes()).finish()
}

/// A good archive whose `/init` has one more segment.
fn with_segment(change: impl FnOnce(&mut Segment)) -> Vec<u8> {
    let elf = hello::program();
    let mut segment = elf.segments[0];
    change(&mut segment);
    hello::archive_with(elf.with_segment(segment).bytes()).finish()
}

pub(super) const CASES: &[Case] = &[
    case("header_only", || hello::archive_with(&hello::program().bytes()[..64]).finish(), ENOEXEC),
    case("half_a_header", || hello::archive_with(&hello::program().bytes()[..40]).finish(), ENOEXEC),
    case("other_machine", || with_init(|elf| elf.machine = 183), ENOEXEC),
    case("other_class", || with_init(|elf| elf.class = 1), Expect::Hello),
    case("relocatable", || with_init(|elf| elf.kind = 1), ENOEXEC),
    case("core_file", || with_init(|elf| elf.kind = 4), ENOEXEC),
    case("no_segments", || with_init(|elf| elf.segments.clear()), ENOEXEC),
    case("headers_outside", || with_init(|elf| elf.header_offset = 0x10_0000), ENOEXEC),
    case("headers_far_outside", || with_init(|elf| elf.header_offset = u64::MAX - 8), ENOEXEC),
    case("wrong_header_size", || with_init(|elf| elf.header_size = 32), ENOEXEC),
    case("too_many_headers", || with_init(|elf| elf.header_count = Some(0xffff)), ENOEXEC),
    case("more_headers_than_file", || with_init(|elf| elf.header_count = Some(1000)), ENOEXEC),
    case(
        "cut_segment",
        || {
            hello::archive_with(
                &hello::program()
                    .with_segment(Segment {
                        offset: 0x8000,
                        vaddr: 0x50_0000,
                        file_size: 0x1000,
                        memory_size: 0x1000,
                        ..hello::program().segments[0]
                    })
                    .bytes()[..],
            )
            .finish()
        },
        Expect::Hello,
    ),
    case(
        "entry_in_cut_segment",
        || {
            with_init(|elf| {
                elf.segments[0].file_size = 0x8000;
                elf.segments[0].memory_size = 0x8000;
                elf.entry = BASE + 0x4000;
            })
        },
        BUS,
    ),
    case("kernel_segment", || with_segment(|segment| segment.vaddr = 0xffff_ffff_8000_0000), ENOMEM),
    case("kernel_segment_first", || with_init(|elf| elf.segments[0].vaddr = 0xffff_8880_0000_0000), ENOMEM),
    case("noncanonical_segment", || with_segment(|segment| segment.vaddr = 0x8000_0000_0000), ENOMEM),
    case(
        "segment_across_the_end",
        || {
            with_segment(|segment| {
                segment.vaddr = 0x7fff_ffff_e000;
                segment.memory_size = 0x4000;
            })
        },
        ENOMEM,
    ),
    case("overlapping_segments", || with_segment(|_| ()), Expect::Hello),
    case(
        "overlapping_zeros",
        || {
            with_segment(|segment| {
                segment.flags |= 2;
                segment.file_size = 0;
                segment.memory_size = 0x2000;
            })
        },
        SEGV,
    ),
    case(
        "memory_smaller_than_file",
        || {
            with_segment(|segment| {
                segment.vaddr = 0x50_0000;
                segment.memory_size = 1;
            })
        },
        EINVAL,
    ),
    case(
        "huge_memory",
        || {
            with_segment(|segment| {
                segment.vaddr = 0x50_0000;
                segment.memory_size = u64::MAX - 0x10_0000;
            })
        },
        ENOMEM,
    ),
    case(
        "huge_file_size",
        || {
            with_segment(|segment| {
                segment.vaddr = 0x50_0000;
                segment.file_size = u64::MAX - 0x10_0000;
                segment.memory_size = u64::MAX - 0x10_0000;
            })
        },
        ENOMEM,
    ),
    case("misaligned_segment", || with_segment(|segment| segment.vaddr = 0x50_0123), EINVAL),
    case("unmappable_low_segment", || with_segment(|segment| segment.vaddr = 0), Expect::Hello),
    case("kernel_entry", || with_init(|elf| elf.entry = 0xffff_ffff_8000_0000), EINVAL),
    case("noncanonical_entry", || with_init(|elf| elf.entry = 0x8000_0000_0000_0000), EINVAL),
    case("null_entry", || with_init(|elf| elf.entry = 0), SEGV),
];
