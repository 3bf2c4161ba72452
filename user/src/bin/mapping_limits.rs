// SPDX-License-Identifier: GPL-2.0-only
//! Where mappings end: lengths and offsets that are too large, holes, and what may be locked.
#![cfg_attr(target_os = "none", no_std, no_main)]

use linux_raw_sys::general as abi;
use user::memory::{MAP_ANONYMOUS, MAP_PRIVATE, MAP_SHARED, PAGE, PROT_READ, PROT_WRITE, map, unmap};
use user::prelude::*;
use user::process::{become_user, setrlimit};
use user::{Result, file, program, syscall};

expect! { end: exit(0) }
program!(run);

const RW: u32 = PROT_READ | PROT_WRITE;
const E: fn(u32) -> Result = |e| Err(Errno(e));

fn mmap(flags: u32, fd: i32, offset: usize) -> Result<()> {
    // SAFETY: a new mapping overlaps nothing that exists.
    unsafe { syscall!(__NR_mmap, 0, PAGE, PROT_READ, flags, fd, offset) }.map(|_| ())
}

fn mlock(at: usize, len: usize) -> Result {
    // SAFETY: no content changes.
    unsafe { syscall!(__NR_mlock, at, len) }
}

fn mremap(at: usize, old: usize, new: usize) -> Result {
    // SAFETY: of memory that nobody uses.
    unsafe { syscall!(__NR_mremap, at, old, new, abi::MREMAP_MAYMOVE) }
}

fn brk(at: usize) -> usize {
    // SAFETY: nobody uses the heap here.
    unsafe { syscall!(__NR_brk, at) }.unwrap_or(0)
}

fn too_large(at: usize) {
    check_eq!(mremap(at, PAGE, 1 << 47), E(ENOMEM), "mremap to more than there is");
    check_eq!(mremap(at, PAGE, 1 << 63), E(ENOMEM), "mremap to half of everything");
    check_eq!(mremap(at, PAGE, usize::MAX), E(EINVAL), "mremap to a length that wraps around");
    check_eq!(mremap(at, 1 << 47, PAGE), E(EINVAL), "mremap from more than there is");
    let last = 0usize.wrapping_sub(PAGE);
    check_eq!(mmap(MAP_PRIVATE | MAP_ANONYMOUS, -1, last), Ok(()), "mmap without a file, at the last offset");
    // SAFETY: the name is a C string.
    let fd = unsafe { syscall!(__NR_memfd_create, c"file".as_ptr(), 0) }.map_or(-1, |fd| fd as i32);
    let end = 1usize << 63;
    for offset in [end - PAGE, end, last] {
        check_eq!(mmap(MAP_SHARED, fd, offset), Err(Errno(EOVERFLOW)), "mmap of a file at {offset:#x}");
    }
    check_eq!(mmap(MAP_SHARED, fd, end - 2 * PAGE), Ok(()), "mmap of a file at the last possible page");
    check_eq!(mlock(at, usize::MAX), Ok(0), "mlock of a length that wraps around");
    // SAFETY: no content changes.
    check_eq!(unsafe { syscall!(__NR_munlock, at, usize::MAX) }, Ok(0), "munlock likewise");
}

fn holes(at: usize) {
    // SAFETY: nobody uses the page.
    check_eq!(unsafe { unmap(at + 2 * PAGE, PAGE) }, Ok(0), "munmap");
    let mut seen = [9u8; 4];
    // SAFETY: the kernel writes up to four bytes.
    let r = unsafe { syscall!(__NR_mincore, at, 4 * PAGE, seen.as_mut_ptr()) };
    check_eq!(r, E(ENOMEM), "mincore across a hole");
    check!(seen == [1, 0, 9, 9], "mincore before the hole: {seen:?}");
}

/// A number of `/proc/self/status`.
fn status(name: &str) -> Option<usize> {
    let mut buf = [0; 2048];
    let text = core::str::from_utf8(file::load(c"/proc/self/status", &mut buf).ok()?).ok()?;
    let line = text.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(':'))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

fn locked(what: &str, pages: usize) {
    check_eq!(status("VmLck"), Some(pages * PAGE / 1024), "VmLck {what}");
}

/// As somebody who may lock two pages.
fn locking(at: usize) -> i32 {
    let _ = setrlimit(abi::RLIMIT_MEMLOCK, 2 * PAGE as u64, None);
    let _ = become_user(1000);
    check_eq!(mlock(at, 3 * PAGE), E(ENOMEM), "three pages");
    check_eq!(mlock(at, 2 * PAGE), Ok(0), "two pages");
    check_eq!(mlock(at, 2 * PAGE), Ok(0), "the same two again");
    locked("of two pages", 2);
    check_eq!(mlock(at + PAGE, 2 * PAGE), E(ENOMEM), "one of them and another one");
    // SAFETY: no content changes.
    check_eq!(unsafe { syscall!(__NR_munlockall) }, Ok(0), "munlockall");
    // SAFETY: as above.
    check_eq!(unsafe { syscall!(__NR_mlockall, abi::MCL_FUTURE) }, Ok(0), "mlockall");
    let start = brk(0);
    check_eq!(brk(start + 2 * PAGE), start + 2 * PAGE, "brk");
    locked("with a heap", 2);
    check_eq!(brk(start), start, "brk, back");
    locked("without it", 0);
    check!(map(PAGE, RW).is_ok(), "mmap afterwards");
    check_eq!(brk(start + PAGE), start + PAGE, "brk afterwards");
    i32::from(user::check::failures() != 0)
}

/// Valgrind's way: no data by the soft limit, but by the hard one.
fn no_data() -> i32 {
    let _ = setrlimit(abi::RLIMIT_DATA, 0, Some(1 << 30));
    check!(map(PAGE, RW).is_ok(), "data with a soft limit of 0");
    let _ = setrlimit(abi::RLIMIT_DATA, PAGE as u64, Some(1 << 30));
    check_eq!(map(1 << 20, RW), E(ENOMEM), "data beyond the soft limit");
    i32::from(user::check::failures() != 0)
}

fn run() {
    let Ok(at) = map(4 * PAGE, RW) else { return check!(false, "mmap") };
    // SAFETY: just mapped.
    unsafe { user::memory::poke(at, 1) };
    too_large(at);
    check_eq!(wait(child(|| locking(at))), Ok(WaitStatus::exited(0)), "locking");
    check_eq!(wait(child(no_data)), Ok(WaitStatus::exited(0)), "limits on data");
    holes(at);
    for name in [
        "VmPeak", "VmSize", "VmPin", "VmHWM", "VmRSS", "VmData", "VmStk", "VmExe", "VmLib", "VmPTE", "VmSwap",
    ] {
        check!(status(name).is_some(), "{name}");
    }
    check!(status("VmPTE").is_some_and(|kb| (8..200).contains(&kb)), "VmPTE: {:?}", status("VmPTE"));
}
