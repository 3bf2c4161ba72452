// SPDX-License-Identifier: GPL-2.0-only
//! Holes in files, made by `fallocate` and by `madvise(MADV_REMOVE)`: what the file, its mappings and a
//! pipe that has its pages read afterwards.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::ptr::null;
use user::file::{self, close};
use user::memory::map_shared;
use user::prelude::*;
use user::{Result, syscall};

expect! { end: exit(0) }
program!(run);

const PAGE: usize = 4096;
const PUNCH: u32 = 3;
const MADV_REMOVE: u32 = 9;
const READ_WRITE: u32 = 3;
const SHARED: u32 = 1;
const PRIVATE: u32 = 2;

/// Three pages of `a`, `b` and `c`.
fn abc() -> i32 {
    // SAFETY: the name is a C string.
    let fd = unsafe { syscall!(__NR_memfd_create, c"holes".as_ptr(), 2) }.unwrap_or(99) as i32;
    for c in [b'a', b'b', b'c'] {
        check_eq!(file::write(fd, &[c; PAGE]), Ok(PAGE), "write");
    }
    fd
}

fn map(fd: i32, prot: u32, flags: u32) -> usize {
    // SAFETY: new memory, of which nobody knows.
    unsafe { syscall!(__NR_mmap, 0, 3 * PAGE, prot, flags, fd, 0) }.unwrap_or(0)
}

fn unmap(at: usize) {
    // SAFETY: the caller's own mapping.
    check_eq!(unsafe { syscall!(__NR_munmap, at, 3 * PAGE) }, Ok(0), "munmap");
}

fn byte(at: usize) -> u8 {
    // SAFETY: the callers have mapped it.
    unsafe { (at as *const u8).read_volatile() }
}

fn put(at: usize, b: u8) {
    // SAFETY: the callers have mapped it, and nothing else is there.
    unsafe { (at as *mut u8).write_volatile(b) }
}

fn punch(fd: i32, at: usize, len: usize) -> Result {
    // SAFETY: no memory is involved.
    unsafe { syscall!(__NR_fallocate, fd, PUNCH, at, len) }
}

fn remove(at: usize, len: usize) -> Result {
    // SAFETY: the callers have mapped it.
    unsafe { syscall!(__NR_madvise, at, len, MADV_REMOVE) }
}

/// The bytes of a file at these places.
fn bytes<const N: usize>(fd: i32, at: [usize; N]) -> [u8; N] {
    at.map(|at| {
        let mut b = [0xff];
        // SAFETY: one byte of ours is written.
        let _ = unsafe { syscall!(__NR_pread64, fd, b.as_mut_ptr(), 1, at) };
        b[0]
    })
}

/// How much memory a file has, in pages.
fn pages(fd: i32) -> i64 {
    file::fstat(fd).map_or(-1, |s| s.st_blocks / 8)
}

fn run() {
    mappings();
    pipes();
    advice();
    no_files();
    refused();
}

/// What a mode means is looked at before the file, and whether it may be written before what it is.
fn refused() {
    let fd = abc();
    // SAFETY: no memory is involved.
    let try_it = |fd: i32, mode: u32| unsafe { syscall!(__NR_fallocate, fd, mode, 0, PAGE) };
    let (r, w) = file::pipe(0).unwrap_or((-1, -1));
    let dir = file::open(c"/", file::O_RDONLY, 0).unwrap_or(-1);
    let null = file::open(c"/dev/null", file::O_RDWR, 0).unwrap_or(-1);
    let comm = file::open(c"/proc/self/comm", file::O_RDWR, 0).unwrap_or(-1);
    for (at, mode, why) in [
        (fd, 0x80, EOPNOTSUPP),
        (fd, 2, EOPNOTSUPP),
        (fd, 0x13, EOPNOTSUPP),
        (r, 0x12, EOPNOTSUPP),
        (fd, 9, EINVAL),
        (r, 0x28, EINVAL),
        (fd, 0x48, EINVAL),
        (fd, 8, EOPNOTSUPP),
        (fd, 0x10, EOPNOTSUPP),
        (fd, 0x20, EOPNOTSUPP),
        (fd, 0x41, EOPNOTSUPP),
        (r, 0, EBADF),
        (dir, 0, EBADF),
        (99, 9, EBADF),
        (w, 0, ESPIPE),
        (null, 0, ENODEV),
        (comm, 0, EOPNOTSUPP),
    ] {
        check_eq!(try_it(at, mode), Err(Errno(why)), "mode {mode:x} of {at}");
    }
    let _ = [fd, r, w, dir, null, comm].map(file::close);
}

/// All who share the file see the hole; who has copied a page keeps it.
fn mappings() {
    let fd = abc();
    let (shared, private) = (map(fd, READ_WRITE, SHARED), map(fd, READ_WRITE, PRIVATE));
    put(private + 1, b'!');
    check_eq!((byte(shared), byte(private), byte(private + PAGE)), (b'a', b'a', b'b'), "mapped");
    check_eq!((pages(fd), punch(fd, 0, 2 * PAGE), pages(fd)), (3, Ok(0), 1), "two pages are given back");
    check_eq!(bytes(fd, [0, PAGE, 2 * PAGE]), [0, 0, b'c'], "in the file");
    check_eq!([0, 1, 2].map(|i| byte(shared + i * PAGE)), [0, 0, b'c'], "in a shared mapping");
    check_eq!([0, 1, 2].map(|i| byte(private + i * PAGE)), [b'a', 0, b'c'], "in a private one with a copy");
    check_eq!(byte(private + 1), b'!', "which has what was written");
    put(shared + PAGE, b'x');
    check_eq!((bytes(fd, [PAGE]), byte(private + PAGE)), ([b'x'], b'x'), "a new page for all");
    // Parts of pages are cleared where they are.
    check_eq!(punch(fd, PAGE + 10, PAGE), Ok(0), "across two pages");
    check_eq!(bytes(fd, [PAGE, PAGE + 10, 2 * PAGE + 9, 2 * PAGE + 10]), [b'x', 0, 0, b'c'], "cleared");
    check_eq!(punch(fd, 2 * PAGE + 20, 5), Ok(0), "within one");
    check_eq!(bytes(fd, [2 * PAGE + 19, 2 * PAGE + 20, 2 * PAGE + 24, 2 * PAGE + 25]), *b"c\0\0c", "cleared");
    check_eq!(punch(fd, 0, 100 * PAGE), Ok(0), "more than all");
    check_eq!((pages(fd), file::fstat(fd).map(|s| s.st_size)), (0, Ok(3 * PAGE as i64)), "of the same size");
    unmap(shared);
    unmap(private);
    let _ = close(fd);
}

/// A pipe that was given a page keeps what was in it, unless only a part of it goes.
fn pipes() {
    let fd = abc();
    let (r, w) = file::pipe(0).unwrap_or((-1, -1));
    let mut at = 0i64;
    // SAFETY: the kernel reads and writes the position.
    let n = unsafe { syscall!(__NR_splice, fd, core::ptr::from_mut(&mut at), w, null::<i64>(), 3 * PAGE, 0) };
    check_eq!(n, Ok(3 * PAGE), "spliced");
    check_eq!(punch(fd, 0, PAGE), Ok(0), "a whole page");
    check_eq!(punch(fd, PAGE, 1), Ok(0), "a part of one");
    let mut b = [0xff; PAGE];
    for want in [[b'a', b'a'], [0, b'b'], [b'c', b'c']] {
        check_eq!((file::read(r, &mut b), [b[0], b[1]]), (Ok(PAGE), want), "in the pipe");
    }
    let _ = [r, w, fd].map(close);
}

fn advice() {
    let fd = abc();
    let (shared, private) = (map(fd, READ_WRITE, SHARED), map(fd, READ_WRITE, PRIVATE));
    let read_only = map(fd, 1, SHARED);
    check_eq!(byte(private), b'a', "mapped");
    check_eq!(remove(private, PAGE), Err(Errno(EACCES)), "through a private mapping");
    let path = c"/tmp/file_holes";
    let reader = file::put(path, b"text", 0o600).and_then(|()| file::open(path, file::O_RDONLY, 0));
    let text = map(reader.unwrap_or(-1), 1, SHARED);
    check_eq!(remove(text, PAGE), Err(Errno(EACCES)), "a file that is only read");
    unmap(text);
    let _ = (reader.map(close), file::unlink(path));
    check_eq!(remove(shared + PAGE, PAGE), Ok(0), "through a shared one");
    check_eq!(bytes(fd, [0, PAGE, 2 * PAGE]), [b'a', 0, b'c'], "the second page");
    check_eq!(
        (byte(private + PAGE), byte(read_only + PAGE), pages(fd)),
        (0, 0, 3),
        "for all, who read a new page"
    );
    check_eq!(remove(shared + 1, PAGE), Err(Errno(EINVAL)), "between pages");
    // SAFETY: no memory is touched.
    check_eq!(unsafe { syscall!(__NR_mlock, shared, PAGE) }, Ok(0), "mlock");
    check_eq!(remove(shared, PAGE), Err(Errno(EINVAL)), "what is locked stays");
    // SAFETY: as above.
    let _ = unsafe { syscall!(__NR_munlock, shared, PAGE) };
    // SAFETY: the middle page of ours.
    let _ = unsafe { syscall!(__NR_munmap, shared + PAGE, PAGE) };
    check_eq!(remove(shared, 3 * PAGE), Err(Errno(ENOMEM)), "not all of it is mapped");
    check_eq!((bytes(fd, [0, 2 * PAGE]), pages(fd)), ([0, 0], 1), "what is, is gone");
    check_eq!((remove(read_only + PAGE, PAGE), pages(fd)), (Ok(0), 0), "a mapping that may become writable");
    let _ = [shared, private, read_only].map(unmap);
    let _ = close(fd);
    // A file that may not be written any more.
    let fd = abc();
    let shared = map(fd, READ_WRITE, SHARED);
    // SAFETY: no memory is involved; 1033 is F_ADD_SEALS, 16 F_SEAL_FUTURE_WRITE.
    check_eq!(unsafe { syscall!(__NR_fcntl, fd, 1033, 16) }, Ok(0), "sealed");
    check_eq!(remove(shared, PAGE), Err(Errno(EPERM)), "sealed");
    unmap(shared);
    let _ = close(fd);
}

/// What is shared without a name has an unnamed file.
fn no_files() {
    // SAFETY: no memory is involved.
    let id = unsafe { syscall!(__NR_shmget, 0, 2 * PAGE, 0o600) }.unwrap_or(0);
    // SAFETY: a new mapping.
    let segment = unsafe { syscall!(__NR_shmat, id, 0, 0) }.unwrap_or(0);
    // SAFETY: no memory is involved.
    let _ = unsafe { syscall!(__NR_shmctl, id, 0, 0) };
    for at in [map_shared(2 * PAGE).unwrap_or(0), segment] {
        put(at, 1);
        put(at + PAGE, 2);
        let other = child(|| {
            put(at, 5);
            check_eq!(remove(at, PAGE), Ok(0), "a child removes it");
            user::check::failures() as i32
        });
        check_eq!(wait(other), Ok(WaitStatus::exited(0)), "the child's findings");
        check_eq!((byte(at), byte(at + PAGE)), (0, 2), "for all");
    }
    let own = user::memory::map(PAGE, READ_WRITE).unwrap_or(0);
    check_eq!(remove(own, PAGE), Err(Errno(EINVAL)), "one's own has none");
}
