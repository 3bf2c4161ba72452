// SPDX-License-Identifier: GPL-2.0-only
//! A file gets shorter: its pages are gone from all mappings of it, however these came to be: split,
//! joined, moved, cut, copied by `fork`, in other processes; others stay.
#![cfg_attr(target_os = "none", no_std, no_main)]

use linux_raw_sys::general as abi;
use user::file;
use user::memory::PAGE;
use user::prelude::*;
use user::syscall;

expect! { end: exit(0) }
program!(run);

const PAGES: usize = 8;
const LEFT: usize = 2;
const READ_WRITE: u32 = 3;
const READ: u32 = 1;

fn run() {
    let Ok((_, w)) = file::pipe(abi::O_NONBLOCK) else { return check!(false, "a pipe") };
    let probe = Probe(w);
    probe.split_and_joined();
    probe.cut();
    probe.moved();
    probe.private();
    probe.forked();
    probe.many();
}

/// A file of eight pages, each full of its number and one.
fn new_file() -> i32 {
    // SAFETY: the name is a C string.
    let fd = unsafe { syscall!(__NR_memfd_create, c"cut".as_ptr(), 0) }.unwrap_or(99) as i32;
    for n in 0..PAGES {
        check_eq!(file::write(fd, &[n as u8 + 1; PAGE]), Ok(PAGE), "write");
    }
    fd
}

fn truncate(fd: i32, pages: usize) {
    // SAFETY: no memory is involved.
    check_eq!(unsafe { syscall!(__NR_ftruncate, fd, pages * PAGE) }, Ok(0), "ftruncate");
}

fn map_at(at: usize, fd: i32, from: usize, pages: usize, flags: u32) -> usize {
    // SAFETY: new memory, or in place of the caller's own.
    let r = unsafe { syscall!(__NR_mmap, at, pages * PAGE, READ_WRITE, flags, fd, from * PAGE) };
    check!(r.is_ok(), "mmap: {r:?}");
    r.unwrap_or(0)
}

/// A shared mapping of all of the file, with every page there.
fn map(fd: i32) -> usize {
    map_at(0, fd, 0, PAGES, abi::MAP_SHARED | abi::MAP_POPULATE)
}

fn unmap(at: usize, pages: usize) {
    // SAFETY: the caller's own mapping.
    check_eq!(unsafe { syscall!(__NR_munmap, at, pages * PAGE) }, Ok(0), "munmap");
}

fn protect(at: usize, pages: usize, prot: u32) {
    // SAFETY: the caller's own mapping.
    check_eq!(unsafe { syscall!(__NR_mprotect, at, pages * PAGE, prot) }, Ok(0), "mprotect");
}

/// A pipe, into which the kernel is asked to write what is in memory.
struct Probe(i32);

impl Probe {
    /// Whether there is something to read at an address.
    fn there(&self, at: usize) -> bool {
        // SAFETY: the kernel reads one byte, if it can.
        match unsafe { syscall!(__NR_write, self.0, at, 1) } {
            Err(Errno(EFAULT)) => false,
            other => {
                check_eq!(other, Ok(1), "write of what is there");
                true
            }
        }
    }

    /// Which of the pages from `at` on are there, as bits.
    fn pages(&self, at: usize, n: usize) -> u32 {
        (0..n).filter(|n| self.there(at + n * PAGE)).fold(0, |bits, n| bits | 1 << n)
    }

    fn split_and_joined(&self) {
        let fd = new_file();
        let at = map(fd);
        protect(at + 4 * PAGE, 1, READ);
        check_eq!(self.pages(at, PAGES), 0xff, "all of three mappings");
        truncate(fd, LEFT);
        check_eq!(self.pages(at, PAGES), 0x03, "what is left of three");
        truncate(fd, PAGES);
        check_eq!(self.pages(at, PAGES), 0xff, "zeroes");
        // SAFETY: as said above it is there.
        check_eq!(unsafe { *((at + 4 * PAGE) as *const u8) }, 0, "not what was there before");
        protect(at + 4 * PAGE, 1, READ_WRITE);
        truncate(fd, LEFT);
        check_eq!(self.pages(at, PAGES), 0x03, "what is left of one");
        unmap(at, PAGES);
        let _ = file::close(fd);
    }

    fn cut(&self) {
        let fd = new_file();
        let at = map(fd);
        unmap(at + 3 * PAGE, 2);
        unmap(at, 1);
        unmap(at + 7 * PAGE, 1);
        truncate(fd, 6);
        check_eq!(self.pages(at, PAGES), 0b0010_0110, "without what was unmapped, and one more");
        truncate(fd, LEFT);
        check_eq!(self.pages(at, PAGES), 0b0000_0010, "one page");
        let _ = file::close(fd);
    }

    fn moved(&self) {
        let fd = new_file();
        let at = map(fd);
        let to = map_at(0, -1, 0, 3 * PAGES, abi::MAP_PRIVATE | abi::MAP_ANONYMOUS);
        let new = to + PAGES * PAGE;
        // SAFETY: both are this function's.
        let r = unsafe { syscall!(__NR_mremap, at + 4 * PAGE, 4 * PAGE, 4 * PAGE, 3, new) };
        check_eq!(r, Ok(new), "mremap");
        check_eq!(self.pages(new, 4), 0xf, "at the new place");
        truncate(fd, 5);
        check_eq!(self.pages(new, 4), 0x1, "of the upper half");
        check_eq!(self.pages(at, PAGES), 0x0f, "of the lower half, and nothing where it was");
        check_eq!(self.pages(to, PAGES), 0xff, "what is beside it");
        unmap(to, 3 * PAGES);
        unmap(at, 4);
        let _ = file::close(fd);
    }

    /// A private copy goes with the page behind it.
    fn private(&self) {
        let fd = new_file();
        let at = map_at(0, fd, 3, 4, abi::MAP_PRIVATE);
        // SAFETY: as just mapped.
        unsafe { ((at + 2 * PAGE) as *mut u8).write_volatile(77) };
        truncate(fd, 5);
        check_eq!(self.pages(at, 4), 0x3, "private ones from the fourth page on");
        truncate(fd, PAGES);
        // SAFETY: it is there again.
        check_eq!(unsafe { ((at + 2 * PAGE) as *const u8).read_volatile() }, 0, "the copy is gone");
        unmap(at, 4);
        let _ = file::close(fd);
    }

    /// Two generations have a copy of the mapping; each end takes it away for itself only.
    fn forked(&self) {
        let fd = new_file();
        let at = map(fd);
        let Ok((ready, go)) = file::pipe(0) else { return check!(false, "a pipe") };
        let Ok((wait_here, told)) = file::pipe(0) else { return check!(false, "a pipe") };
        let looks = |want: u32| {
            file::write_all(go, b"x");
            let mut b = [0];
            let _ = file::read_full(wait_here, &mut b);
            check_eq!(self.pages(at, PAGES), want, "a child's");
            user::check::failures() as i32
        };
        let short = child(|| 0);
        let pid = child(|| {
            let grandchild = child(|| {
                unmap(at + 4 * PAGE, 1);
                protect(at + 5 * PAGE, 1, READ);
                looks(0x0f)
            });
            let own = looks(0x0f);
            i32::from(wait(grandchild) != Ok(WaitStatus::exited(0))) + own
        });
        check_eq!(wait(short), Ok(WaitStatus::exited(0)), "one that has it no longer");
        let mut both = [0; 2];
        check_eq!(file::read_full(ready, &mut both), Ok(2), "the two are ready");
        truncate(fd, 4);
        file::write_all(told, b"xx");
        check_eq!(self.pages(at, PAGES), 0x0f, "the parent's");
        check_eq!(wait(pid), Ok(WaitStatus::exited(0)), "the children");
        unmap(at, PAGES);
        for fd in [fd, ready, go, wait_here, told] {
            let _ = file::close(fd);
        }
    }

    /// Two files in turns, some of whose mappings go and come again.
    fn many(&self) {
        const MANY: usize = 40;
        let files = [new_file(), new_file()];
        let shared = abi::MAP_SHARED | abi::MAP_POPULATE;
        let mut at = [0; MANY];
        for (n, at) in at.iter_mut().enumerate() {
            *at = map_at(0, files[n % 2], 1, 3, shared);
        }
        for at in at.iter().step_by(3) {
            unmap(*at, 3);
        }
        for (n, at) in at.iter_mut().enumerate().step_by(6) {
            *at = map_at(*at, files[n % 2], 0, 3, shared | abi::MAP_FIXED);
        }
        truncate(files[0], LEFT);
        for (n, &at) in at.iter().enumerate() {
            let want = match n % 6 {
                0 => 0x3,
                3 => 0,
                2 | 4 => 0x1,
                _ => 0x7,
            };
            check_eq!(self.pages(at, 3), want, "mapping {n}");
        }
        files.map(file::close).into_iter().for_each(|r| check!(r.is_ok(), "close"));
    }
}
