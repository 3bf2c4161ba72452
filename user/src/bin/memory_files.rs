// SPDX-License-Identifier: GPL-2.0-only
//! msync and mincore: which ranges they take, what they find in holes and locked memory, and to whom
//! mincore tells what is in memory of a file.
#![cfg_attr(target_os = "none", no_std, no_main)]

use linux_raw_sys::general as abi;
use user::file::{self, O_CREAT, O_RDONLY, O_RDWR, O_TRUNC};
use user::memory::{MAP_PRIVATE, MAP_SHARED, PAGE, PROT_READ, PROT_WRITE, map, poke, unmap};
use user::prelude::*;
use user::process::become_user;
use user::{Result, check, syscall};

expect! { end: exit(0) }
program!(run);

const RW: u32 = PROT_READ | PROT_WRITE;
const ASYNC: u32 = 1;
const INVALIDATE: u32 = 2;
const SYNC: u32 = 4;
const E: fn(u32) -> Result = |e| Err(Errno(e));

fn msync(at: usize, len: usize, flags: u32) -> Result {
    // SAFETY: no content changes.
    unsafe { syscall!(__NR_msync, at, len, flags) }
}

fn mincore<const N: usize>(at: usize) -> Result<[u8; N]> {
    let mut seen = [9; N];
    // SAFETY: the kernel writes a byte for each page.
    unsafe { syscall!(__NR_mincore, at, N * PAGE, seen.as_mut_ptr()) }.map(|_| seen)
}

fn map_file(fd: i32, pages: usize, prot: u32, flags: u32) -> usize {
    // SAFETY: a new mapping overlaps nothing.
    unsafe { syscall!(__NR_mmap, 0, pages * PAGE, prot, flags, fd, 0) }.unwrap_or(0)
}

fn run() {
    synced();
    sync_over_holes();
    of_own_memory();
    of_files();
    of_others();
}

fn synced() {
    let fd = file::open(c"/tmp/synced", O_CREAT | O_RDWR | O_TRUNC, 0o600).unwrap_or(-1);
    check_eq!(file::pwrite(fd, &[1; 2 * PAGE], 0), Ok(2 * PAGE), "a file");
    let at = map_file(fd, 2, RW, MAP_SHARED);
    // SAFETY: the mapping is this program's.
    unsafe { poke(at + PAGE, 5) };
    for flags in [0, ASYNC, SYNC, INVALIDATE, ASYNC | INVALIDATE, SYNC | INVALIDATE] {
        check_eq!(msync(at, 2 * PAGE, flags), Ok(0), "msync {flags}");
    }
    let mut byte = [0];
    check_eq!(file::pread(fd, &mut byte, PAGE as i64).map(|n| (n, byte)), Ok((1, [5])), "the file has it");
    check_eq!(msync(at, 2 * PAGE, ASYNC | SYNC), E(EINVAL), "now and later");
    check_eq!(msync(at, 2 * PAGE, 8), E(EINVAL), "no such flag");
    check_eq!(msync(at + 1, PAGE, SYNC), E(EINVAL), "no page begins there");
    check_eq!(msync(at, 1, SYNC), Ok(0), "a part of a page");
    check_eq!(msync(at, usize::MAX, SYNC), Ok(0), "a length that is none when it is rounded");
    check_eq!(msync(at, usize::MAX - PAGE, SYNC), E(ENOMEM), "one that wraps around");
    check_eq!(msync(0, 0, SYNC), Ok(0), "nothing, nowhere");
    let _ = file::close(fd);
}

fn sync_over_holes() {
    let at = map(4 * PAGE, RW).unwrap_or(0);
    // SAFETY: nobody uses the page.
    check_eq!(unsafe { unmap(at + PAGE, PAGE) }, Ok(0), "munmap");
    for flags in [ASYNC, SYNC, INVALIDATE] {
        check_eq!(msync(at, 4 * PAGE, flags), E(ENOMEM), "over a hole {flags}");
        check_eq!(msync(at + PAGE, PAGE, flags), E(ENOMEM), "in a hole {flags}");
        check_eq!(msync(at, PAGE, flags), Ok(0), "before it {flags}");
    }
    // SAFETY: no content changes.
    check_eq!(unsafe { syscall!(__NR_mlock, at + 3 * PAGE, PAGE) }, Ok(0), "mlock");
    check_eq!(msync(at + 3 * PAGE, PAGE, INVALIDATE), E(EBUSY), "what is locked is not made invalid");
    check_eq!(msync(at + 3 * PAGE, PAGE, SYNC), Ok(0), "but synced");
    check_eq!(msync(at, 4 * PAGE, INVALIDATE | SYNC), E(EBUSY), "which is found behind a hole too");
    check_eq!(msync(at, 4 * PAGE, SYNC), E(ENOMEM), "and not asked about otherwise");
}

fn of_own_memory() {
    let at = map(4 * PAGE, RW).unwrap_or(0);
    // SAFETY: the mapping is this program's.
    unsafe { poke(at + PAGE, 1) };
    check_eq!(mincore(at), Ok([0, 1, 0, 0]), "what was touched");
    let pid = child(|| {
        check_eq!(mincore(at), Ok([0, 1, 0, 0]), "so in a child");
        i32::from(check::failures() != 0)
    });
    check_eq!(wait(pid), Ok(WaitStatus::exited(0)), "a child");
    let mut byte = [9u8; 2];
    // SAFETY: the kernel writes one byte.
    let r = unsafe { syscall!(__NR_mincore, at + PAGE, 1, byte.as_mut_ptr()) };
    check_eq!((r, byte), (Ok(0), [1, 9]), "a part of a page");
    // SAFETY: nothing is written.
    let none = |at: usize, len: usize, vec: usize| unsafe { syscall!(__NR_mincore, at, len, vec) };
    check_eq!(none(at, 0, 8), Ok(0), "nothing is asked");
    check_eq!(none(at + 1, 1, 8), E(EINVAL), "no page begins there");
    check_eq!(none(at, PAGE, 8), E(EFAULT), "nowhere to say it");
    check_eq!(none(at, 1 << 48, 8), E(ENOMEM), "more than there is");
    // SAFETY: nobody uses the page.
    check_eq!(unsafe { unmap(at + 2 * PAGE, PAGE) }, Ok(0), "munmap");
    check_eq!(mincore::<4>(at), Err(Errno(ENOMEM)), "a hole");
    check_eq!(none(at + 2 * PAGE, PAGE, 8), E(ENOMEM), "in a hole, before the address of the answer");
}

fn of_files() {
    let fd = file::open(c"/tmp/partly", O_CREAT | O_RDWR | O_TRUNC, 0o644).unwrap_or(-1);
    check_eq!(file::pwrite(fd, &[1], 2 * PAGE as i64), Ok(1), "a file with a hole");
    let (shared, private) = (map_file(fd, 4, RW, MAP_SHARED), map_file(fd, 4, RW, MAP_PRIVATE));
    check_eq!(mincore(shared), Ok([0, 0, 1, 0]), "what is in memory of it");
    check_eq!(mincore(private), Ok([0, 0, 1, 0]), "whoever maps it");
    // SAFETY: the mappings are this program's.
    unsafe { poke(shared, 1) };
    check_eq!(mincore(private), Ok([1, 0, 1, 0]), "or touches it");
    // SAFETY: likewise.
    unsafe { poke(private + PAGE, 1) };
    let seen = mincore::<4>(private);
    check!(seen.is_ok_and(|s| s[1] == 1), "or has a page of its own: {seen:?}");
    let _ = file::close(fd);
}

/// Whoever could not write a file is told nothing about it: that all of it is there.
fn of_others() {
    let pid = child(|| {
        // SAFETY: no memory is involved.
        let _ = unsafe { syscall!(__NR_fchmodat, abi::AT_FDCWD, c"/tmp/partly".as_ptr(), 0o644) };
        check!(become_user(1000).is_ok(), "another user");
        let fd = file::open(c"/tmp/partly", O_RDONLY, 0).unwrap_or(-1);
        let at = map_file(fd, 4, PROT_READ, MAP_SHARED);
        check_eq!(mincore(at), Ok([1, 1, 1, 1]), "of somebody else's file");
        let own = file::open(c"/tmp/own", O_CREAT | O_RDWR | O_TRUNC, 0o444).unwrap_or(-1);
        check_eq!(file::pwrite(own, &[1], 2 * PAGE as i64), Ok(1), "a file");
        check_eq!(mincore(map_file(own, 4, PROT_READ, MAP_SHARED)), Ok([0, 0, 1, 0]), "of one's own");
        i32::from(check::failures() != 0)
    });
    check_eq!(wait(pid), Ok(WaitStatus::exited(0)), "a child");
}
