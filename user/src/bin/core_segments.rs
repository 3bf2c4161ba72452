// SPDX-License-Identifier: GPL-2.0-only
//! What of a process's memory is in its core file, by the default filter: what it made itself, but for
//! what `MADV_DONTDUMP` leaves out, and the first page of what looks like a program. Every mapping has a
//! segment there. Needs root for `/proc/sys/kernel/core_pattern`, which it puts back.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::ffi::CStr;
use linux_raw_sys::general as abi;
use user::file;
use user::memory::{PAGE, PROT_READ, PROT_WRITE};
use user::prelude::*;
use user::process::{RLIMIT_CORE, setrlimit, wait4};
use user::signal::SIGQUIT;
use user::syscall;

expect! { end: exit(0) }
program!(run);

const PATTERN: &CStr = c"/proc/sys/kernel/core_pattern";
const CORE: &CStr = c"/tmp/trapline.segments.core";
const NAMED: &CStr = c"/tmp/trapline.segments.file";
const PROGRAM: &CStr = c"/proc/self/exe";

/// Pages of an area, and of what lies between two.
const AREA: usize = 3;
const STEP: usize = 4;

/// What is mapped, what becomes of it, and how much of each of its mappings the file has.
struct Area {
    what: &'static str,
    make: fn(usize),
    /// Pages of the mapping, and of what is dumped of it.
    segments: &'static [(usize, usize)],
}

const PRIVATE: u32 = abi::MAP_PRIVATE | abi::MAP_ANONYMOUS;
const SHARED: u32 = abi::MAP_SHARED | abi::MAP_ANONYMOUS;

const AREAS: [Area; 16] = [
    Area { what: "private", make: |at| anon(at, PRIVATE, true), segments: &[(3, 3)] },
    Area { what: "private, never touched", make: |at| anon(at, PRIVATE, false), segments: &[(3, 0)] },
    Area {
        what: "MADV_DONTDUMP",
        make: |at| {
            anon(at, PRIVATE, true);
            advise(at, AREA, abi::MADV_DONTDUMP);
        },
        segments: &[(3, 0)],
    },
    Area {
        what: "MADV_DONTDUMP, and touched later",
        make: |at| {
            anon(at, PRIVATE, false);
            advise(at, AREA, abi::MADV_DONTDUMP);
            touch(at);
        },
        segments: &[(3, 0)],
    },
    Area {
        what: "MADV_DONTDUMP in the middle",
        make: |at| {
            anon(at, PRIVATE, true);
            advise(at + PAGE, 1, abi::MADV_DONTDUMP);
        },
        segments: &[(1, 1), (1, 0), (1, 1)],
    },
    Area {
        what: "MADV_DODUMP after all",
        make: |at| {
            anon(at, PRIVATE, true);
            advise(at, AREA, abi::MADV_DONTDUMP);
            advise(at, AREA, abi::MADV_DODUMP);
        },
        segments: &[(3, 3)],
    },
    Area {
        what: "MADV_DODUMP of a part",
        make: |at| {
            anon(at, PRIVATE, true);
            advise(at, AREA, abi::MADV_DONTDUMP);
            advise(at + 2 * PAGE, 1, abi::MADV_DODUMP);
        },
        segments: &[(2, 0), (1, 1)],
    },
    Area {
        what: "no access",
        make: |at| {
            anon(at, PRIVATE, true);
            protect(at, 0);
        },
        segments: &[(3, 3)],
    },
    Area { what: "shared", make: |at| anon(at, SHARED, true), segments: &[(3, 3)] },
    Area {
        what: "shared, MADV_DONTDUMP",
        make: |at| {
            anon(at, SHARED, true);
            advise(at, AREA, abi::MADV_DONTDUMP);
        },
        segments: &[(3, 0)],
    },
    Area {
        what: "a shared file",
        make: |at| of_file(at, NAMED, abi::MAP_SHARED, 0, true),
        segments: &[(3, 0)],
    },
    Area { what: "a file", make: |at| of_file(at, NAMED, abi::MAP_PRIVATE, 0, false), segments: &[(3, 0)] },
    Area {
        what: "a file, written",
        make: |at| of_file(at, NAMED, abi::MAP_PRIVATE, 0, true),
        segments: &[(3, 3)],
    },
    Area {
        what: "a program",
        make: |at| of_file(at, PROGRAM, abi::MAP_PRIVATE, 0, false),
        segments: &[(3, 1)],
    },
    Area {
        what: "a program, from its second page",
        make: |at| of_file(at, PROGRAM, abi::MAP_PRIVATE, 1, false),
        segments: &[(3, 0)],
    },
    Area {
        what: "a program, MADV_DONTDUMP",
        make: |at| {
            of_file(at, PROGRAM, abi::MAP_PRIVATE, 0, false);
            advise(at, AREA, abi::MADV_DONTDUMP);
        },
        segments: &[(3, 0)],
    },
];

fn anon(at: usize, flags: u32, touched: bool) {
    map_fixed(at, flags, -1, 0);
    if touched {
        touch(at);
    }
}

fn of_file(at: usize, path: &CStr, flags: u32, from: usize, touched: bool) {
    let how = if flags == abi::MAP_SHARED { abi::O_RDWR } else { abi::O_RDONLY };
    let fd = file::open(path, how, 0);
    map_fixed(at, flags, fd.unwrap_or(-1), from);
    if touched {
        touch(at);
    } else {
        // SAFETY: just mapped, from a file that is long enough.
        let _ = unsafe { (at as *const u64).read_volatile() };
    }
}

fn map_fixed(at: usize, flags: u32, fd: i32, from: usize) {
    let (prot, flags) = (PROT_READ | PROT_WRITE, flags | abi::MAP_FIXED);
    // SAFETY: in the place that was kept free for it.
    let r = unsafe { syscall!(__NR_mmap, at, AREA * PAGE, prot, flags, fd, from * PAGE) };
    check_eq!(r, Ok(at), "mmap");
}

/// Every page has its own address in it.
fn touch(at: usize) {
    for page in 0..AREA {
        let at = at + page * PAGE;
        // SAFETY: the callers have mapped it.
        unsafe { (at as *mut u64).write_volatile(at as u64) };
    }
}

fn advise(at: usize, pages: usize, advice: u32) {
    // SAFETY: the callers' own mapping; the contents stay.
    check_eq!(unsafe { syscall!(__NR_madvise, at, pages * PAGE, advice) }, Ok(0), "madvise {advice}");
}

fn protect(at: usize, prot: u32) {
    // SAFETY: the callers' own mapping.
    check_eq!(unsafe { syscall!(__NR_mprotect, at, AREA * PAGE, prot) }, Ok(0), "mprotect");
}

/// A segment of the core file.
#[derive(Debug, PartialEq)]
struct Segment {
    offset: u64,
    vaddr: u64,
    filesz: u64,
    memsz: u64,
}

/// The segment that begins at an address.
fn segment(fd: i32, vaddr: u64) -> Option<Segment> {
    let mut header = [0; 64];
    check_eq!(file::pread(fd, &mut header, 0), Ok(64), "the ELF header");
    let count = i64::from(header[56]) | i64::from(header[57]) << 8;
    (1..count).find_map(|n| {
        let mut h = [0; 56];
        let _ = file::pread(fd, &mut h, 64 + n * 56);
        let word = |at: usize| h[at..at + 8].iter().rev().fold(0, |w, &b| w << 8 | u64::from(b));
        let s = Segment { offset: word(8), vaddr: word(16), filesz: word(32), memsz: word(40) };
        (s.vaddr == vaddr).then_some(s)
    })
}

fn word_at(fd: i32, offset: u64) -> u64 {
    let mut b = [0; 8];
    let _ = file::pread(fd, &mut b, offset as i64);
    u64::from_le_bytes(b)
}

fn look(fd: i32, area: &Area, start: usize) {
    let what = area.what;
    let mut at = start as u64;
    let page = PAGE as u64;
    for &(pages, dumped) in area.segments {
        let Some(s) = segment(fd, at) else {
            check!(false, "{what}: no segment at {:#x}", at - start as u64);
            return;
        };
        let sizes = (s.memsz / page, s.filesz / page);
        check_eq!(sizes, (pages as u64, dumped as u64), "{what}, {:#x}", at - start as u64);
        let of_file = what.contains("program");
        for n in 0..s.filesz / page {
            let found = word_at(fd, s.offset + n * page);
            // The magic number; who made the file is in the bytes behind it.
            let (found, want) =
                if of_file { (found & 0xffff_ffff, 0x464c_457f) } else { (found, at + n * page) };
            check_eq!(found, want, "{what}: its page {n}");
        }
        at += pages as u64 * page;
    }
}

fn dump_and_look() {
    // SAFETY: new memory, which keeps the areas apart.
    let base = unsafe { syscall!(__NR_mmap, 0, (AREAS.len() * STEP + 1) * PAGE, 0, PRIVATE, -1, 0) };
    let Ok(base) = base else { return check!(false, "{base:?}") };
    let place = |n: usize| base + (n * STEP + 1) * PAGE;
    let pid = child(|| {
        let _ = setrlimit(RLIMIT_CORE, 1 << 26, None);
        for (n, area) in AREAS.iter().enumerate() {
            (area.make)(place(n));
        }
        let _ = kill(getpid(), SIGQUIT);
        0
    });
    let end = wait4(pid, 0).map(|w| w.map(|(_, status)| status));
    check_eq!(end, Ok(Some(WaitStatus(SIGQUIT as i32 | 0x80))), "killed, and dumped");
    let Ok(fd) = file::open(CORE, file::O_RDONLY, 0) else { return check!(false, "no core file") };
    for (n, area) in AREAS.iter().enumerate() {
        look(fd, area, place(n));
    }
    // Between the areas nothing was ever touched.
    check!(segment(fd, base as u64).is_some_and(|s| s.filesz == 0 && s.memsz == PAGE as u64), "in between");
    let _ = file::close(fd);
}

fn run() {
    let mut old = [0; 128];
    let Ok(old) = file::load(PATTERN, &mut old) else { return check!(false, "no core_pattern") };
    check!(file::put(PATTERN, CORE.to_bytes(), 0o644).is_ok(), "core_pattern is set");
    check!(file::put(NAMED, &[7; AREA * PAGE], 0o644).is_ok(), "a file");
    dump_and_look();
    let _ = file::unlink(NAMED);
    let _ = file::unlink(CORE);
    check!(file::put(PATTERN, old, 0o644).is_ok(), "core_pattern is put back");
}
