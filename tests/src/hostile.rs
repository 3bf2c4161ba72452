// SPDX-License-Identifier: GPL-2.0-only
//! Archives and programs that are wrong in one way each, and what Linux 6.1
//! says of them (each seen on Debian's 6.1.0-56 under the same emulator).

use crate::hello;
use xtask::elf_writer::{BASE, Elf, Segment};
use xtask::initramfs::{Archive, gzip};

/// What becomes of it.
#[derive(Debug, Clone, Copy)]
pub enum Expect {
    /// `/init` says its line.
    Hello,
    /// The kernel says these, in order, and stops.
    Says(&'static [&'static str]),
}

/// One wrong thing.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// The test's name.
    pub name: &'static str,
    /// Words for the command line.
    pub append: &'static str,
    /// The initramfs.
    pub archive: fn() -> Vec<u8>,
    /// What must come of it.
    pub expect: Expect,
}

const fn case(name: &'static str, archive: fn() -> Vec<u8>, expect: Expect) -> Case {
    Case { name, append: "", archive, expect }
}

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

/// An archive with only an ordinary file in it.
fn without_init() -> Archive {
    let mut archive = Archive::new();
    archive.char_device("dev/console", 0o600, (5, 1)).file("etc/motd", 0o644, "hello\n");
    archive
}

fn noise() -> Vec<u8> {
    let mut state = 1u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..4096).map(|_| next()).collect()
}

fn cut(mut bytes: Vec<u8>, length: usize) -> Vec<u8> {
    bytes.truncate(length);
    bytes
}

/// No root file system: nothing to run was unpacked, and there is no disk.
const NO_ROOT: &str = "Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)";

/// Nothing that could be run could be run.
const NO_INIT: &str = "Kernel panic - not syncing: No working init found.  Try passing init= option to kernel. \
                       See Linux Documentation/admin-guide/init.rst for guidance.";

/// Nothing was unpacked, and nobody complained.
const NOTHING: Expect = Expect::Says(&[NO_ROOT]);

/// `/init` is there but is no program that could be run.
const ENOENT: Expect = Expect::Says(&["Failed to execute /init (error -2)", NO_INIT]);
const ENOEXEC: Expect = Expect::Says(&["Failed to execute /init (error -8)", NO_INIT]);
const ENOMEM: Expect = Expect::Says(&["Failed to execute /init (error -12)", NO_INIT]);
const EACCES: Expect = Expect::Says(&["Failed to execute /init (error -13)", NO_INIT]);
const EINVAL: Expect = Expect::Says(&["Failed to execute /init (error -22)", NO_INIT]);
/// The unpacker never came to the end of the file, and has it open still.
const ETXTBSY: Expect = Expect::Says(&["Failed to execute /init (error -26)", NO_INIT]);

/// `/init` was killed: SIGSEGV is 11, SIGBUS is 7.
const SEGV: Expect =
    Expect::Says(&["Kernel panic - not syncing: Attempted to kill init! exitcode=0x0000000b"]);
const BUS: Expect =
    Expect::Says(&["Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000007"]);

/// All of them.
pub const CASES: &[Case] = &[
    // Archives that work.
    case("plain", || hello::archive().finish(), Expect::Hello),
    case("gzip", || gzip(&hello::archive().finish()), Expect::Hello),
    case("two_archives", || [without_init().finish(), hello::archive().finish()].concat(), Expect::Hello),
    case(
        "plain_then_gzip",
        || [without_init().finish(), gzip(&hello::archive().finish())].concat(),
        Expect::Hello,
    ),
    case("zeros_before", || [vec![0; 1024], hello::archive().finish()].concat(), Expect::Hello),
    case("noise_behind", || [hello::archive().finish(), noise()].concat(), Expect::Hello),
    // Archives that do not.
    case("empty_archive", || Archive::new().finish(), NOTHING),
    case("zeros", || vec![0; 4096], NOTHING),
    case(
        "noise",
        noise,
        Expect::Says(&["Initramfs unpacking failed: invalid magic at start of compressed archive", NO_ROOT]),
    ),
    case("missing_init", || without_init().finish(), NOTHING),
    case("cut_in_header", || cut(hello::archive().finish(), 50), NOTHING),
    case(
        "cut_in_data",
        || {
            let archive = hello::archive().finish();
            let code = archive.windows(4).position(|bytes| bytes == b"\x7fELF").unwrap_or(0);
            cut(archive, code + 100)
        },
        ETXTBSY,
    ),
    case(
        "bad_magic",
        || {
            let mut archive = without_init().finish();
            archive[..6].copy_from_slice(b"070703");
            archive
        },
        Expect::Says(&["Initramfs unpacking failed: no cpio magic", NO_ROOT]),
    ),
    case(
        "odc_archive",
        || {
            let mut archive = hello::archive().finish();
            archive[..6].copy_from_slice(b"070707");
            archive
        },
        Expect::Says(&[
            "Initramfs unpacking failed: incorrect cpio method used: use -H newc option",
            NO_ROOT,
        ]),
    ),
    case(
        "huge_name",
        || {
            let mut archive = hello::archive().finish();
            archive[94..102].copy_from_slice(b"ffffffff");
            archive
        },
        NOTHING,
    ),
    case(
        "huge_file",
        || {
            let mut archive = hello::archive_with("").finish();
            let init = archive.windows(5).position(|bytes| bytes == b"init\0").unwrap_or(0) - 110;
            archive[init + 54..init + 62].copy_from_slice(b"fffffff0");
            archive
        },
        ETXTBSY,
    ),
    case(
        "gzip_cut",
        || {
            let archive = gzip(&hello::archive().finish());
            let half = archive.len() / 2;
            cut(archive, half)
        },
        Expect::Says(&["Initramfs unpacking failed: read error", NO_ROOT]),
    ),
    case(
        "gzip_damaged",
        || {
            let mut archive = gzip(&hello::archive().finish());
            let middle = archive.len() / 2;
            archive[middle..middle + 8].fill(0xff);
            archive
        },
        Expect::Says(&["Initramfs unpacking failed: uncompression error", NO_ROOT]),
    ),
    case(
        "gzip_header_only",
        || cut(gzip(&hello::archive().finish()), 10),
        Expect::Says(&["Initramfs unpacking failed: read error", NO_ROOT]),
    ),
    // Programs that are none.
    case("empty_init", || hello::archive_with("").finish(), ENOEXEC),
    case("text_init", || hello::archive_with("just text\n").finish(), ENOEXEC),
    case("script_without_interpreter", || hello::archive_with("#!/no/such/thing\n").finish(), ENOENT),
    case(
        "directory_init",
        || {
            let mut archive = without_init();
            archive.dir("init");
            archive.finish()
        },
        EACCES,
    ),
    case(
        "not_executable",
        || {
            let mut archive = without_init();
            archive.file("init", 0o644, hello::program().bytes());
            archive.finish()
        },
        EACCES,
    ),
    Case {
        name: "rdinit_missing",
        append: "rdinit=/no/such",
        archive: || hello::archive().finish(),
        expect: NOTHING,
    },
    Case {
        name: "rdinit_elsewhere",
        append: "rdinit=/sbin/other",
        archive: || {
            let mut archive = without_init();
            archive.file("sbin/other", 0o755, hello::program().bytes());
            archive.finish()
        },
        expect: Expect::Hello,
    },
    Case {
        name: "init_missing_after_rdinit_fails",
        append: "init=/no/such",
        archive: || hello::archive_with("").finish(),
        expect: Expect::Says(&[
            "Failed to execute /init (error -8)",
            "Kernel panic - not syncing: Requested init /no/such failed (error -2).",
        ]),
    },
    case(
        "fallback_to_bin_sh",
        || {
            let mut archive = hello::archive_with("");
            archive.file("bin/sh", 0o755, hello::program().bytes());
            archive.finish()
        },
        Expect::Hello,
    ),
    case(
        "fallback_is_text_too",
        || {
            let mut archive = hello::archive_with("");
            archive.file("sbin/init", 0o755, "text");
            archive.finish()
        },
        Expect::Says(&[
            "Failed to execute /init (error -8)",
            "Starting init: /sbin/init exists but couldn't execute it (error -8)",
            NO_INIT,
        ]),
    ),
    // Programs that are wrong.
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
