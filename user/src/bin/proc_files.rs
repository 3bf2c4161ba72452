// SPDX-License-Identifier: GPL-2.0-only
//! Files of `/proc` that stay open show what has become of what they show: their text is made
//! anew by a read from the beginning, and a long one in parts. Settings take numbers as C writes them. Needs root.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::ffi::CStr;
use user::file::{self, lseek, pread};
use user::memory::{PAGE, PROT_READ, map};
use user::prelude::*;
use user::syscall;

expect! { end: exit(0) }
program!(run);

const SWITCH: &CStr = c"/proc/sys/kernel/dmesg_restrict";
const TRACE: &CStr = c"/proc/sys/debug/exception-trace";
const LEVELS: &CStr = c"/proc/sys/kernel/printk";
const COMM: &CStr = c"/proc/self/comm";

fn again() {
    let (mut a, mut b) = ([0; 64], [0; 64]);
    let Ok(fd) = file::open(COMM, file::O_RDONLY, 0) else { return };
    check_eq!(file::read(fd, &mut a), Ok(11), "a name");
    check_eq!(&a[..11], &b"proc_files\n"[..], "and which");
    check_eq!(file::store(COMM, b"other"), Ok(5), "another");
    check_eq!(pread(fd, &mut b, 0), Ok(6), "pread");
    check_eq!(&b[..6], &b"other\n"[..], "shows the new one");
    check_eq!(pread(fd, &mut b, 3), Ok(3), "its end");
    check_eq!(&b[..3], &b"er\n"[..], "as it is");
    check_eq!((lseek(fd, 0, 0), file::read(fd, &mut b)), (Ok(0), Ok(6)), "so does a rewind");
    check_eq!(lseek(fd, 0, 2), Err(Errno(EINVAL)), "there is no end to seek to");
    let _ = file::close(fd);
    let _ = file::store(COMM, b"proc_files");
}

static mut MAPS: [u8; 1 << 14] = [0; 1 << 14];

/// How many lines `maps` has now, read through one descriptor.
fn lines(fd: i32) -> usize {
    // SAFETY: nobody else uses it.
    let buf = unsafe { &mut *core::ptr::addr_of_mut!(MAPS) };
    let _ = lseek(fd, 0, 0);
    let n = file::read_full(fd, buf).unwrap_or(0);
    buf[..n].split(|&b| b == b'\n').count() - 1
}

const TWO_LINES: &CStr = c"/tmp/proc_files a\nb";

fn maps() {
    let Ok(fd) = file::open(c"/proc/self/maps", file::O_RDONLY, 0) else { return };
    let before = lines(fd);
    check!(map(PAGE, PROT_READ).is_ok(), "a mapping");
    check_eq!(lines(fd), before + 1, "lines");
    // A name of two lines is one line.
    let _ = file::put(TWO_LINES, &[0; PAGE], 0o644);
    if let Ok(f) = file::open(TWO_LINES, file::O_RDONLY, 0) {
        // SAFETY: a new mapping.
        let at = unsafe { syscall!(__NR_mmap, 0, PAGE, PROT_READ, 2, f, 0) };
        check!(at.is_ok(), "a mapping of a file");
        check_eq!(lines(fd), before + 2, "lines with a file");
        // SAFETY: nobody writes it meanwhile.
        let text = unsafe { &*core::ptr::addr_of!(MAPS) };
        let name = b"/proc_files a\\012b\n";
        check!(text.windows(name.len()).any(|w| w == name), "its name");
    }
    let _ = file::unlink(TWO_LINES);
    let _ = file::close(fd);
}

/// Adds up what a file has, read in parts of at most `part` bytes: its lines, its bytes, and the most that
/// one read gave.
fn count(path: &CStr, part: usize) -> (usize, usize, usize) {
    // SAFETY: nobody else uses it.
    let buf = unsafe { &mut *core::ptr::addr_of_mut!(MAPS) };
    let Ok(fd) = file::open(path, file::O_RDONLY, 0) else { return (0, 0, 0) };
    let (mut lines, mut bytes, mut most) = (0, 0, 0);
    while let Ok(n @ 1..) = file::read(fd, &mut buf[..part]) {
        lines += buf[..n].split(|&b| b == b'\n').count() - 1;
        bytes += n;
        most = most.max(n);
    }
    let _ = file::close(fd);
    (lines, bytes, most)
}

/// A long text is made a page at a time, so that who opens it often and reads little holds little.
fn long_texts() {
    const MAPPINGS: usize = 4000;
    let Ok(at) = map(MAPPINGS * PAGE, PROT_READ) else { return check!(false, "memory") };
    for i in (0..MAPPINGS).step_by(2) {
        // SAFETY: nobody uses it.
        let r = unsafe { syscall!(__NR_mprotect, at + i * PAGE, PAGE, 0) };
        check_eq!(r, Ok(0), "every other page is another mapping");
    }
    let (lines, bytes, most) = count(c"/proc/self/maps", 1 << 14);
    check!(lines >= MAPPINGS && most <= PAGE, "{lines} lines, by at most {most}");
    for part in [1000, 37] {
        let (l, b, m) = count(c"/proc/self/maps", part);
        check_eq!((l, b), (lines, bytes), "the same by parts of {part}");
        check!(m == part, "which are full: {m}");
    }
    let (lines_smaps, _, most) = count(c"/proc/self/smaps", 1 << 14);
    check!(lines_smaps > 20 * lines && most <= PAGE, "{lines_smaps} lines, by at most {most}");
    let (names, _, most) = count(c"/proc/kallsyms", 1 << 14);
    check!(names > 1000 && most <= PAGE, "{names} names, by at most {most}");
    // From the middle, with another read between.
    let (mut a, mut b) = ([0; 300], [0; 300]);
    let Ok(fd) = file::open(c"/proc/self/maps", file::O_RDONLY, 0) else { return };
    check_eq!(pread(fd, &mut a, 100_000), Ok(300), "from the middle");
    check_eq!((pread(fd, &mut b, 0), pread(fd, &mut b, 100_000)), (Ok(300), Ok(300)), "and once more");
    check!(a == b, "the same");
    check_eq!(pread(fd, &mut b, bytes as i64), Ok(0), "at the end");
    check_eq!(pread(fd, &mut b, bytes as i64 - 7), Ok(7), "before it");
    let _ = file::close(fd);
    // Some four megabytes each.
    let mut open = 0;
    for _ in 0..200 {
        if let Ok(fd) = file::open(c"/proc/self/smaps", file::O_RDONLY, 0) {
            open += usize::from(file::read(fd, &mut a[..1]) == Ok(1));
        }
    }
    check_eq!(open, 200, "all can be read");
    // SAFETY: nobody uses it.
    let _ = unsafe { syscall!(__NR_munmap, at, MAPPINGS * PAGE) };
}

/// What a setting shows after this was written; the error if it was refused.
fn set<'a>(path: &CStr, text: &[u8], buf: &'a mut [u8]) -> Result<&'a [u8], Errno> {
    file::store(path, text)?;
    file::load(path, buf)
}

fn settings() {
    let mut buf = [0; 64];
    check_eq!(set(TRACE, b"0x10\n", &mut buf).map(|t| t.len() > 1), Ok(true), "hexadecimal");
    check_eq!(set(SWITCH, b"00\n", &mut buf), Ok(&b"0\n"[..]), "octal");
    check_eq!(set(SWITCH, b" 1", &mut buf), Ok(&b"1\n"[..]), "after a blank");
    for bad in [&b"2"[..], b"x", b"1x", b"\n", b"-1"] {
        check_eq!(set(SWITCH, bad, &mut buf), Err(Errno(EINVAL)), "{bad:?}");
    }
    check_eq!(set(LEVELS, b"3 4 1 7\n", &mut buf), Ok(&b"3\t4\t1\t7\n"[..]), "four numbers");
    check_eq!(set(LEVELS, b"4\n", &mut buf), Ok(&b"4\t4\t1\t7\n"[..]), "one of them");
    // A number is read whole.
    let Ok(fd) = file::open(LEVELS, file::O_RDONLY, 0) else { return };
    let mut one = [0];
    check_eq!((file::read(fd, &mut one), file::read(fd, &mut one)), (Ok(1), Ok(0)), "by bytes");
    let _ = file::close(fd);
}

fn run() {
    again();
    maps();
    long_texts();
    let (mut trace, mut switch, mut levels) = ([0; 16], [0; 16], [0; 64]);
    let old =
        (file::load(TRACE, &mut trace), file::load(SWITCH, &mut switch), file::load(LEVELS, &mut levels));
    settings();
    for (path, text) in [(TRACE, old.0), (SWITCH, old.1), (LEVELS, old.2)] {
        check!(text.and_then(|t| file::store(path, t)).is_ok(), "{path:?} is put back");
    }
}
