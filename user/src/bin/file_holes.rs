// SPDX-License-Identifier: GPL-2.0-only
//! Holes in files, made by `fallocate` and by `madvise(MADV_REMOVE)`: what the file, its mappings and a
//! pipe that has its pages read afterwards. And pages that a file is given before it needs them.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::ptr::null;
use linux_raw_sys::general as abi;
use user::file::{self, close};
use user::memory::map_shared;
use user::prelude::*;
use user::process::setrlimit;
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
    allocated();
    limits();
    file_system();
}

fn allocate(fd: i32, keep: bool, at: usize, len: usize) -> Result {
    // SAFETY: no memory is involved.
    unsafe { syscall!(__NR_fallocate, fd, u32::from(keep), at, len) }
}

fn size(fd: i32) -> i64 {
    file::fstat(fd).map_or(-1, |s| s.st_size)
}

/// Where data and holes begin, from this place on.
fn data_hole(fd: i32, at: usize) -> [Result; 2] {
    [abi::SEEK_DATA, abi::SEEK_HOLE].map(|whence| file::lseek(fd, at as i64, whence))
}

/// Pages are there at once, and are no data before somebody has used them.
fn allocated() {
    let fd = abc();
    let nxio = Err(Errno(ENXIO));
    check_eq!(data_hole(fd, 5), [Ok(5), Ok(3 * PAGE)], "all is data");
    check_eq!((allocate(fd, false, 4 * PAGE + 1, PAGE), pages(fd)), (Ok(0), 5), "two pages");
    check_eq!(size(fd), 5 * PAGE as i64 + 1, "and as large");
    check_eq!(bytes(fd, [4 * PAGE + 1, 5 * PAGE]), [0, 0], "which are empty");
    check_eq!(data_hole(fd, 2 * PAGE + 1), [Ok(2 * PAGE + 1), Ok(3 * PAGE)], "the hole begins where it did");
    check_eq!(data_hole(fd, 3 * PAGE), [nxio, Ok(3 * PAGE)], "no data behind");
    check_eq!(file::pwrite(fd, b"x", 5 * PAGE as i64), Ok(1), "one is used");
    check_eq!(data_hole(fd, 3 * PAGE), [Ok(5 * PAGE), Ok(3 * PAGE)], "data at the end");
    check_eq!(data_hole(fd, 5 * PAGE), [Ok(5 * PAGE), Ok(5 * PAGE + 1)], "the end is a hole");
    check_eq!(data_hole(fd, 5 * PAGE + 1), [nxio, nxio], "behind it nothing");
    check_eq!(file::lseek(fd, -1, abi::SEEK_DATA), nxio, "nor before it");
    let shared = map(fd, READ_WRITE, SHARED);
    check_eq!((punch(fd, 0, PAGE), allocate(fd, true, 0, PAGE), pages(fd)), (Ok(0), Ok(0), 5), "again");
    check_eq!(data_hole(fd, 0), [Ok(PAGE), Ok(0)], "kept for later");
    check_eq!(
        (byte(shared), data_hole(fd, 0)),
        (0, [Ok(0), Ok(3 * PAGE)]),
        "to read it by a mapping is to use it"
    );
    unmap(shared);
    // Behind the end, until the size is set.
    check_eq!((allocate(fd, true, 10 * PAGE, 3 * PAGE), pages(fd)), (Ok(0), 8), "behind the end");
    check_eq!(size(fd), 5 * PAGE as i64 + 1, "of the same size");
    // SAFETY: no memory is involved.
    let cut = |len: usize| unsafe { syscall!(__NR_ftruncate, fd, len) };
    check_eq!((cut(6 * PAGE), pages(fd)), (Ok(0), 8), "larger");
    check_eq!((cut(6 * PAGE), pages(fd)), (Ok(0), 5), "the same");
    let _ = close(fd);
}

/// No larger than a process's files may be, nor than a seal says.
fn limits() {
    let fd = abc();
    let old = setrlimit(abi::RLIMIT_FSIZE, 4 * PAGE as u64, Some(u64::MAX));
    let _ = sigaction(abi::SIGXFSZ, Action::Ignore, 0, 0);
    check_eq!(allocate(fd, false, 0, 4 * PAGE), Ok(0), "up to the limit");
    check_eq!(allocate(fd, false, PAGE, 4 * PAGE), Err(Errno(EFBIG)), "over it");
    check_eq!(allocate(fd, true, PAGE, 4 * PAGE), Err(Errno(EFBIG)), "also without a new size");
    check_eq!((pages(fd), size(fd)), (4, 4 * PAGE as i64), "nothing was done");
    let _ = old.map(|old| setrlimit(abi::RLIMIT_FSIZE, old.rlim_cur, Some(old.rlim_max)));
    // SAFETY: no memory is involved; 1033 is F_ADD_SEALS, 4 F_SEAL_GROW.
    check_eq!(unsafe { syscall!(__NR_fcntl, fd, 1033, 4) }, Ok(0), "sealed");
    check_eq!(allocate(fd, true, 0, 5 * PAGE), Err(Errno(EPERM)), "no larger");
    check_eq!(punch(fd, 0, PAGE).and_then(|_| allocate(fd, false, 0, 4 * PAGE)), Ok(0), "but in it");
    check_eq!(allocate(fd, false, 1 << 62, 1 << 62), Err(Errno(EFBIG)), "no such place");
    let _ = close(fd);
}

/// What a file system may hold: who asks for more gets nothing.
fn file_system() {
    let at = c"/tmp/small";
    let _ = file::mkdir(at, 0o755);
    let mount = |kind: &core::ffi::CStr| {
        // SAFETY: all are C strings.
        unsafe { syscall!(__NR_mount, c"none".as_ptr(), at.as_ptr(), kind.as_ptr(), 0, c"size=64k".as_ptr()) }
    };
    // SAFETY: it is a path.
    let umount = || unsafe { syscall!(__NR_umount2, at.as_ptr(), 0) };
    let open = || file::open(c"/tmp/small/file", file::O_RDWR | file::O_CREAT, 0o4755).unwrap_or(-1);
    check_eq!(mount(c"tmpfs"), Ok(0), "mounted");
    let fd = open();
    check_eq!(file::write(fd, b"text"), Ok(4), "a page");
    check_eq!(allocate(fd, false, 2 * PAGE, 10 * PAGE), Ok(0), "ten more");
    check_eq!(file::pwrite(fd, b"x", 11 * PAGE as i64), Ok(1), "one of them is used");
    check_eq!((allocate(fd, false, 20 * PAGE, 16 * PAGE), pages(fd)), (Err(Errno(ENOSPC)), 11), "too many");
    check_eq!(allocate(fd, false, 20 * PAGE, 17 * PAGE), Err(Errno(ENOSPC)), "more than there are");
    check_eq!((pages(fd), size(fd)), (11, 12 * PAGE as i64), "nothing was done");
    check_eq!(data_hole(fd, 4 * PAGE), [Ok(11 * PAGE), Ok(4 * PAGE)], "what is kept is no data");
    // What was kept before counts as used by who asks for it once more, so that it stays.
    check_eq!((allocate(fd, false, 4 * PAGE, 16 * PAGE), pages(fd)), (Err(Errno(ENOSPC)), 11), "over others");
    check_eq!(data_hole(fd, 2 * PAGE), [Ok(4 * PAGE), Ok(2 * PAGE)], "and is data");
    check_eq!(bytes(fd, [0, 11 * PAGE]), [b't', b'x'], "what was used is there");
    check_eq!((allocate(fd, false, 0, 16 * PAGE), pages(fd)), (Ok(0), 16), "all");
    check_eq!(file::pwrite(fd, b"y", 16 * PAGE as i64), Err(Errno(ENOSPC)), "it is full");
    check_eq!(file::pwrite(fd, b"y", 5 * PAGE as i64), Ok(1), "what was kept can be written");
    let _ = close(fd);
    check_eq!(umount(), Ok(0), "done");
    check_eq!(mount(c"ramfs"), Ok(0), "mounted");
    let fd = open();
    check_eq!(file::write(fd, b"text"), Ok(4), "a page");
    check_eq!(allocate(fd, false, 0, PAGE), Err(Errno(EOPNOTSUPP)), "of a ramfs");
    check_eq!(punch(fd, 0, PAGE), Err(Errno(EOPNOTSUPP)), "no holes either");
    check_eq!(data_hole(fd, 0), [Ok(0), Ok(4)], "all is data");
    let _ = close(fd);
    check_eq!(umount(), Ok(0), "done");
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
