// SPDX-License-Identifier: GPL-2.0-only
//! madvise: what a program sees of its advice: what is forgotten and what comes back, what a child gets,
//! what is there beforehand, and which advice is shown in smaps.
#![cfg_attr(target_os = "none", no_std, no_main)]

use linux_raw_sys::general as abi;
use user::memory::{
    MAP_PRIVATE, MAP_SHARED, PAGE, PROT_NONE, PROT_READ, PROT_WRITE, map, map_shared, peek, poke, protect,
    unmap,
};
use user::prelude::*;
use user::{Result, check, file, syscall};

expect! { end: exit(0) }
program!(run);

const RW: u32 = PROT_READ | PROT_WRITE;
const E: fn(u32) -> Result = |e| Err(Errno(e));

fn advise(at: usize, pages: usize, advice: u32) -> Result {
    // SAFETY: of memory that this program maps for the purpose.
    unsafe { syscall!(__NR_madvise, at, pages * PAGE, advice) }
}

/// Which pages are there.
fn present(at: usize) -> [u8; 4] {
    let mut seen = [9; 4];
    // SAFETY: the kernel writes four bytes.
    let r = unsafe { syscall!(__NR_mincore, at, 4 * PAGE, seen.as_mut_ptr()) };
    check!(r.is_ok(), "mincore: {r:?}");
    seen
}

/// Four pages with a byte in each.
fn four(at: usize) -> usize {
    for i in 0..4 {
        // SAFETY: the pages are mapped, and nobody else's.
        unsafe { poke(at + i * PAGE, 1 + i as u8) };
    }
    at
}

fn bytes(at: usize) -> [u8; 4] {
    // SAFETY: likewise.
    core::array::from_fn(|i| unsafe { peek(at + i * PAGE) })
}

/// A file of two and a half pages, and a mapping of four of it.
fn of_file(flags: u32) -> (i32, usize) {
    // SAFETY: the name is a C string; the mapping overlaps nothing.
    unsafe {
        let fd = syscall!(__NR_memfd_create, c"m".as_ptr(), 0).map_or(-1, |fd| fd as i32);
        let _ = file::pwrite(fd, &[7; PAGE * 2 + PAGE / 2], 0);
        (fd, syscall!(__NR_mmap, 0, 4 * PAGE, RW, flags, fd, 0).unwrap_or(0))
    }
}

fn run() {
    forgotten();
    of_a_file();
    free();
    locked();
    holes();
    forks();
    populated();
    refused_populating();
    shown();
    hints();
}

fn forgotten() {
    let at = four(map(4 * PAGE, RW).unwrap_or(0));
    check_eq!(advise(at + PAGE, 2, abi::MADV_DONTNEED), Ok(0), "the two in the middle");
    check_eq!(present(at), [1, 0, 0, 1], "are gone");
    check_eq!(bytes(at), [1, 0, 0, 4], "and zero");
    let shared = four(map_shared(4 * PAGE).unwrap_or(0));
    check_eq!(advise(shared, 4, abi::MADV_DONTNEED), Ok(0), "what is shared");
    check_eq!(bytes(shared), [1, 2, 3, 4], "is kept");
    check_eq!(advise(at, 0, abi::MADV_DONTNEED), Ok(0), "nothing");
    check_eq!(bytes(at), [1, 0, 0, 4], "is nothing");
}

fn of_a_file() {
    let (fd, at) = of_file(MAP_PRIVATE);
    // SAFETY: the mapping is this program's.
    unsafe {
        poke(at, 8);
        check_eq!(file::pwrite(fd, &[9], 0), Ok(1), "the file changes");
        check_eq!(peek(at), 8, "below the own page");
        check_eq!(advise(at, 1, abi::MADV_DONTNEED), Ok(0), "the own page");
        check_eq!(peek(at), 9, "is the file's again");
        check_eq!(peek(at + PAGE), 7, "as the next one was");
    }
    let (fd2, at) = of_file(MAP_SHARED);
    // SAFETY: likewise.
    unsafe {
        poke(at, 8);
        check_eq!(advise(at, 1, abi::MADV_DONTNEED), Ok(0), "a shared page");
        check_eq!(peek(at), 8, "is in the file");
    }
    check_eq!(advise(at, 1, abi::MADV_FREE), E(EINVAL), "which is not given back");
    let _ = (file::close(fd), file::close(fd2));
}

/// The kernel may take what is freed when it likes, until it is written.
fn free() {
    let at = four(map(4 * PAGE, RW).unwrap_or(0));
    check_eq!(advise(at, 4, abi::MADV_FREE), Ok(0), "MADV_FREE");
    // SAFETY: the mapping is this program's.
    unsafe { poke(at + PAGE, 9) };
    let b = bytes(at);
    let old_or_none = |i: usize| b[i] == 0 || usize::from(b[i]) == i + 1;
    check!(b[1] == 9 && [0, 2, 3].into_iter().all(old_or_none), "old, new or nothing: {b:?}");
    let shared = map_shared(PAGE).unwrap_or(0);
    check_eq!(advise(shared, 1, abi::MADV_FREE), E(EINVAL), "not what is shared");
}

fn locked() {
    let at = four(map(4 * PAGE, RW).unwrap_or(0));
    // SAFETY: no content changes.
    check_eq!(unsafe { syscall!(__NR_mlock, at + 2 * PAGE, PAGE) }, Ok(0), "mlock");
    check_eq!(advise(at, 4, abi::MADV_DONTNEED), E(EINVAL), "a locked page");
    check_eq!(bytes(at), [0, 0, 3, 4], "those before it are gone");
    check_eq!(advise(at + 2 * PAGE, 1, abi::MADV_FREE), E(EINVAL), "nor is it freed");
    check_eq!(advise(at + 2 * PAGE, 1, abi::MADV_COLD), E(EINVAL), "or cold");
    check_eq!(advise(at + 2 * PAGE, 1, abi::MADV_PAGEOUT), E(EINVAL), "or swapped");
    check_eq!(advise(at + 2 * PAGE, 1, abi::MADV_DONTNEED_LOCKED), Ok(0), "unless one insists");
    check_eq!(bytes(at), [0, 0, 0, 4], "then it is");
}

fn holes() {
    let at = four(map(4 * PAGE, RW).unwrap_or(0));
    // SAFETY: nobody uses the page.
    check_eq!(unsafe { unmap(at + PAGE, PAGE) }, Ok(0), "munmap");
    check_eq!(advise(at, 4, abi::MADV_DONTNEED), E(ENOMEM), "a hole");
    // SAFETY: the pages are mapped.
    let left = unsafe { [peek(at), peek(at + 2 * PAGE), peek(at + 3 * PAGE)] };
    check_eq!(left, [0; 3], "both sides are done");
    check_eq!(advise(at, 2, abi::MADV_RANDOM), E(ENOMEM), "a hole at the end");
    check_eq!(advise(at + 1, 1, abi::MADV_RANDOM), E(EINVAL), "no page begins there");
    // SAFETY: no memory is named.
    check_eq!(unsafe { syscall!(__NR_madvise, at, usize::MAX, abi::MADV_RANDOM) }, E(EINVAL), "all and more");
    check_eq!(advise(at, 1, 7), E(EINVAL), "no advice has the number");
    check_eq!(advise(at, 0, 7), E(EINVAL), "nor for nothing");
}

/// What a child says of the page.
fn in_child(at: usize) -> i32 {
    let pid = child(|| {
        let mut seen = [0u8];
        // SAFETY: the kernel writes one byte.
        let there = unsafe { syscall!(__NR_mincore, at, PAGE, seen.as_mut_ptr()) };
        if there.is_err() {
            return 99;
        }
        // SAFETY: it is there.
        i32::from(unsafe { peek(at) })
    });
    wait(pid).map_or(98, |status| status.0 >> 8)
}

fn forks() {
    let at = four(map(4 * PAGE, RW).unwrap_or(0));
    check_eq!(advise(at, 1, abi::MADV_DONTFORK), Ok(0), "DONTFORK");
    check_eq!(advise(at + PAGE, 1, abi::MADV_WIPEONFORK), Ok(0), "WIPEONFORK");
    check_eq!(in_child(at), 99, "the child does not have it");
    check_eq!(in_child(at + PAGE), 0, "the child has nothing in it");
    check_eq!(in_child(at + 2 * PAGE), 3, "the rest is as it was");
    check_eq!(bytes(at), [1, 2, 3, 4], "and all of it to the parent");
    let pid = child(|| {
        // SAFETY: the page is the child's own.
        unsafe { poke(at + PAGE, 6) };
        check_eq!(in_child(at + PAGE), 0, "so with the child's child");
        i32::from(check::failures() != 0)
    });
    check_eq!(wait(pid), Ok(WaitStatus::exited(0)), "the child");
    check_eq!(advise(at, 1, abi::MADV_DOFORK), Ok(0), "DOFORK");
    check_eq!(advise(at + PAGE, 1, abi::MADV_KEEPONFORK), Ok(0), "KEEPONFORK");
    check_eq!((in_child(at), in_child(at + PAGE)), (1, 2), "both as ever");
    let shared = map_shared(PAGE).unwrap_or(0);
    check_eq!(advise(shared, 1, abi::MADV_WIPEONFORK), E(EINVAL), "what is shared is not wiped");
    check_eq!(advise(shared, 1, abi::MADV_DONTFORK), Ok(0), "but it may be kept from a child");
    check_eq!(in_child(shared), 99, "which then has it not");
    let (fd, private) = of_file(MAP_PRIVATE);
    check_eq!(advise(private, 1, abi::MADV_WIPEONFORK), E(EINVAL), "nor is a file");
    let _ = file::close(fd);
}

fn populated() {
    let at = map(4 * PAGE, RW).unwrap_or(0);
    check_eq!(present(at), [0; 4], "nothing at first");
    check_eq!(advise(at, 2, abi::MADV_POPULATE_READ), Ok(0), "POPULATE_READ");
    check_eq!(advise(at + 2 * PAGE, 1, abi::MADV_POPULATE_WRITE), Ok(0), "POPULATE_WRITE");
    check_eq!(present(at), [1, 1, 1, 0], "there before they are used");
    check_eq!(bytes(at), [0; 4], "with nothing in them");
    four(at);
    check_eq!(advise(at, 4, abi::MADV_POPULATE_WRITE), Ok(0), "what is there");
    check_eq!(bytes(at), [1, 2, 3, 4], "stays");
}

fn refused_populating() {
    let at = map(4 * PAGE, RW).unwrap_or(0);
    // SAFETY: nobody uses the pages.
    unsafe {
        check!(protect(at + PAGE, PAGE, PROT_READ).is_ok(), "mprotect");
        check!(protect(at + 2 * PAGE, PAGE, PROT_NONE).is_ok(), "mprotect");
    }
    check_eq!(advise(at, 2, abi::MADV_POPULATE_READ), Ok(0), "what can be read");
    check_eq!(advise(at, 2, abi::MADV_POPULATE_WRITE), E(EINVAL), "what cannot be written");
    check_eq!(advise(at + 2 * PAGE, 1, abi::MADV_POPULATE_READ), E(EINVAL), "nor read");
    // SAFETY: nobody uses the page.
    check_eq!(unsafe { unmap(at + 2 * PAGE, PAGE) }, Ok(0), "munmap");
    check_eq!(advise(at, 4, abi::MADV_POPULATE_READ), E(ENOMEM), "nor what is not there");
    check_eq!(present_of_two(at), [1, 1], "what lies before it is there");
    let (fd, file) = of_file(MAP_SHARED);
    check_eq!(advise(file, 3, abi::MADV_POPULATE_WRITE), Ok(0), "a file up to the page of its end");
    check_eq!(advise(file, 4, abi::MADV_POPULATE_READ), E(EFAULT), "and no further");
    let _ = file::close(fd);
}

fn present_of_two(at: usize) -> [u8; 2] {
    let mut seen = [9; 2];
    // SAFETY: the kernel writes two bytes.
    let _ = unsafe { syscall!(__NR_mincore, at, 2 * PAGE, seen.as_mut_ptr()) };
    seen
}

static mut TEXT: [u8; 1 << 16] = [0; 1 << 16];

/// Whether smaps shows the flag for the mapping that begins there.
fn has_flag(at: usize, flag: &str) -> bool {
    // SAFETY: one thread.
    let buf = unsafe { &mut *core::ptr::addr_of_mut!(TEXT) };
    let text = file::load(c"/proc/self/smaps", buf).unwrap_or(&[]);
    let text = core::str::from_utf8(text).unwrap_or("");
    let mut lines = text.lines().skip_while(|line| {
        let start = line.split('-').next().map(|start| usize::from_str_radix(start, 16));
        start != Some(Ok(at))
    });
    let flags = lines.find_map(|line| line.strip_prefix("VmFlags:")).unwrap_or("");
    flags.split_whitespace().any(|f| f == flag)
}

fn shown() {
    let at = map(4 * PAGE, RW).unwrap_or(0);
    let on_off = [
        (abi::MADV_RANDOM, abi::MADV_NORMAL, "rr"),
        (abi::MADV_SEQUENTIAL, abi::MADV_NORMAL, "sr"),
        (abi::MADV_DONTFORK, abi::MADV_DOFORK, "dc"),
        (abi::MADV_WIPEONFORK, abi::MADV_KEEPONFORK, "wf"),
        (abi::MADV_DONTDUMP, abi::MADV_DODUMP, "dd"),
        (abi::MADV_HUGEPAGE, abi::MADV_NOHUGEPAGE, "hg"),
        (abi::MADV_MERGEABLE, abi::MADV_UNMERGEABLE, "mg"),
    ];
    for (on, off, flag) in on_off {
        check_eq!(advise(at, 4, on), Ok(0), "advice {on}");
        check!(has_flag(at, flag), "{flag} is shown");
        check_eq!(advise(at, 4, off), Ok(0), "advice {off}");
        check!(!has_flag(at, flag), "{flag} is not shown any more");
    }
    check!(has_flag(at, "nh"), "NOHUGEPAGE is kept");
    let _ = (advise(at, 4, abi::MADV_RANDOM), advise(at, 4, abi::MADV_SEQUENTIAL));
    check!(has_flag(at, "sr") && !has_flag(at, "rr"), "one of both");
    let shared = map_shared(PAGE).unwrap_or(0);
    check_eq!(advise(shared, 1, abi::MADV_MERGEABLE), Ok(0), "nobody merges what is shared");
    check!(!has_flag(shared, "mg"), "so that it is not marked");
}

/// Advice that no byte changes for.
fn hints() {
    let at = four(map(4 * PAGE, RW).unwrap_or(0));
    for advice in [abi::MADV_WILLNEED, abi::MADV_COLD, abi::MADV_PAGEOUT] {
        check_eq!(advise(at, 4, advice), Ok(0), "advice {advice}");
        check_eq!(bytes(at), [1, 2, 3, 4], "after advice {advice}");
    }
}
