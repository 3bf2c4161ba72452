// SPDX-License-Identifier: GPL-2.0-only
//! Seals of memory files: what each forbids, of writing, mapping, growing and shrinking; holes.
#![cfg_attr(target_os = "none", no_std, no_main)]

use user::file::{self, close};
use user::prelude::*;
use user::{Result, syscall};

expect! { end: exit(0) }
program!(run);

const SEAL: u32 = 1;
const SHRINK: u32 = 2;
const GROW: u32 = 4;
const WRITE: u32 = 8;
const FUTURE_WRITE: u32 = 16;
const PAGE: usize = 4096;
const READ_ONLY: u32 = 1;
const READ_WRITE: u32 = 3;
const SHARED: u32 = 1;
const PRIVATE: u32 = 2;

fn memfd(flags: u32) -> i32 {
    // SAFETY: the name is a C string.
    let fd = unsafe { syscall!(__NR_memfd_create, c"sealed".as_ptr(), flags) }.unwrap_or(99) as i32;
    check_eq!(file::write(fd, b"0123456789"), Ok(10), "write");
    fd
}

fn seal(fd: i32, seals: u32) -> Result {
    // SAFETY: no memory is involved; 1033 is F_ADD_SEALS.
    unsafe { syscall!(__NR_fcntl, fd, 1033, seals) }
}

fn seals(fd: i32) -> Result {
    // SAFETY: no memory is involved; 1034 is F_GET_SEALS.
    unsafe { syscall!(__NR_fcntl, fd, 1034) }
}

fn map(fd: i32, prot: u32, flags: u32) -> Result {
    // SAFETY: new memory, of which nobody knows.
    unsafe { syscall!(__NR_mmap, 0, PAGE, prot, flags, fd, 0) }
}

fn unmap(at: usize) {
    // SAFETY: the caller's own mapping.
    check_eq!(unsafe { syscall!(__NR_munmap, at, PAGE) }, Ok(0), "munmap");
}

fn protect(at: usize, prot: u32) -> Result {
    // SAFETY: the caller's own mapping.
    unsafe { syscall!(__NR_mprotect, at, PAGE, prot) }
}

fn truncate(fd: i32, size: usize) -> Result {
    // SAFETY: no memory is involved.
    unsafe { syscall!(__NR_ftruncate, fd, size) }
}

fn punch(fd: i32, at: usize, len: usize) -> Result {
    // SAFETY: no memory is involved; 3 is to punch a hole and keep the size.
    unsafe { syscall!(__NR_fallocate, fd, 3, at, len) }
}

fn run() {
    let plain = memfd(0);
    check_eq!(seals(plain), Ok(SEAL as usize), "not made for it");
    check_eq!(seal(plain, GROW), Err(Errno(EPERM)), "so there are none");
    let _ = close(plain);
    let null = file::open(c"/dev/null", 2, 0).unwrap_or(-1);
    check_eq!((seals(null), seal(null, GROW)), (Err(Errno(EINVAL)), Err(Errno(EINVAL))), "no memory file");
    let _ = close(null);
    sizes();
    writing();
    future();
    holes();
}

fn sizes() {
    let fd = memfd(2);
    check_eq!(seals(fd), Ok(0), "none yet");
    check_eq!(seal(fd, 32), Err(Errno(EINVAL)), "unknown");
    check_eq!(seal(fd, GROW), Ok(0), "GROW");
    check_eq!(truncate(fd, 11), Err(Errno(EPERM)), "longer");
    check_eq!(file::write(fd, b"x"), Err(Errno(EPERM)), "behind the end");
    check_eq!(truncate(fd, 8), Ok(0), "shorter");
    check_eq!(file::lseek(fd, 0, 0), Ok(0), "lseek");
    check_eq!(file::write(fd, b"x"), Ok(1), "inside");
    check_eq!(seal(fd, SHRINK | SEAL), Ok(0), "SHRINK");
    check_eq!(truncate(fd, 7), Err(Errno(EPERM)), "shorter");
    check_eq!(truncate(fd, 8), Ok(0), "the same");
    check_eq!(seals(fd), Ok((SEAL | SHRINK | GROW) as usize), "seals");
    check_eq!(seal(fd, WRITE), Err(Errno(EPERM)), "no more seals");
    let _ = close(fd);
}

fn writing() {
    let fd = memfd(2);
    let shared = map(fd, READ_WRITE, SHARED).unwrap_or(0);
    check_eq!(seal(fd, WRITE), Err(Errno(EBUSY)), "while it may be written through a mapping");
    unmap(shared);
    check_eq!(seal(fd, WRITE), Ok(0), "WRITE");
    check_eq!(file::write(fd, b"x"), Err(Errno(EPERM)), "write");
    check_eq!(map(fd, READ_WRITE, SHARED), Err(Errno(EPERM)), "map for writing");
    check_eq!(punch(fd, 0, PAGE), Err(Errno(EPERM)), "a hole");
    let private = map(fd, READ_WRITE, PRIVATE).unwrap_or(0);
    check!(private != 0, "a private copy");
    unmap(private);
    check_eq!(truncate(fd, 12), Ok(0), "longer");
    check_eq!(truncate(fd, 5), Ok(0), "shorter");
    let _ = close(fd);
}

fn future() {
    let fd = memfd(2);
    let old = map(fd, READ_WRITE, SHARED).unwrap_or(0);
    check_eq!(seal(fd, FUTURE_WRITE), Ok(0), "FUTURE_WRITE, though it is mapped");
    check_eq!(file::write(fd, b"x"), Err(Errno(EPERM)), "write");
    check_eq!(map(fd, READ_WRITE, SHARED), Err(Errno(EPERM)), "map for writing");
    let new = map(fd, READ_ONLY, SHARED).unwrap_or(0);
    check!(new != 0, "map for reading");
    check_eq!(protect(new, READ_WRITE), Err(Errno(EACCES)), "which it stays");
    // SAFETY: a mapping that is kept, and may be written.
    unsafe { (old as *mut u8).write_volatile(b'#') };
    let mut b = [0; 3];
    check_eq!(file::lseek(fd, 0, 0), Ok(0), "lseek");
    check_eq!((file::read(fd, &mut b), &b), (Ok(3), b"#12"), "by the mapping that was there");
    unmap(old);
    unmap(new);
    let _ = close(fd);
}

fn holes() {
    let fd = memfd(2);
    check_eq!(truncate(fd, 3 * PAGE), Ok(0), "ftruncate");
    let at = map(fd, READ_WRITE, SHARED).unwrap_or(0);
    check_eq!(punch(fd, 2, 5), Ok(0), "in a page");
    let mut b = [0; 10];
    check_eq!(file::lseek(fd, 0, 0), Ok(0), "lseek");
    check_eq!((file::read(fd, &mut b), &b), (Ok(10), b"01\x00\x00\x00\x00\x00789"), "zeroes");
    check_eq!(file::lseek(fd, PAGE as i64, 0), Ok(PAGE), "lseek");
    check_eq!(file::write(fd, &[b'x'; 2 * PAGE]), Ok(2 * PAGE), "write");
    check_eq!(punch(fd, 5, 2 * PAGE), Ok(0), "over pages");
    check_eq!(file::lseek(fd, 2 * PAGE as i64, 0), Ok(2 * PAGE), "lseek");
    check_eq!((file::read(fd, &mut b), &b), (Ok(10), b"\0\0\0\0\0xxxxx"), "up to here");
    // SAFETY: the mapping that is kept.
    check_eq!(unsafe { (at as *const u8).read_volatile() }, b'0', "the mapping");
    check_eq!(file::lseek(fd, 0, 2), Ok(3 * PAGE), "the size stays");
    // SAFETY: no memory is involved; 2 is to punch a hole and change the size.
    check_eq!(unsafe { syscall!(__NR_fallocate, fd, 2, 0, PAGE) }, Err(Errno(EOPNOTSUPP)), "no such thing");
    unmap(at);
    let _ = close(fd);
}
