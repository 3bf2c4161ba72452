// SPDX-License-Identifier: GPL-2.0-only
//! A pipe's ends can be opened once more by their links in `/proc/self/fd`, as a shell's `<(…)` and
//! `/dev/stdin` are; by its owner only. And what else is asked of descriptors, whatever they are of.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::ffi::CStr;
use core::fmt::Write;
use linux_raw_sys::general::O_DIRECT;
use user::file::{self, O_NONBLOCK, O_RDONLY, O_RDWR, O_WRONLY, close};
use user::prelude::*;
use user::process::{become_user, child, wait};
use user::{Result, syscall};

expect! { end: exit(0) }
program!(run);

const F_SETFL: u32 = 4;
const F_GETLEASE: u32 = 1025;
const F_ADD_SEALS: u32 = 1033;
const F_GET_RW_HINT: u32 = 1035;
const F_SET_RW_HINT: u32 = 1036;
const FIGETBSZ: u32 = 2;
const FIOQSIZE: u32 = 0x5460;

fn fcntl(fd: i32, cmd: u32, arg: usize) -> Result {
    // SAFETY: the commands read and write eight bytes at most, which the callers have.
    unsafe { syscall!(__NR_fcntl, fd, cmd, arg) }
}
fn ioctl(fd: i32, cmd: u32, to: &mut u64) -> Result {
    // SAFETY: the requests write eight bytes at most.
    unsafe { syscall!(__NR_ioctl, fd, cmd, core::ptr::from_mut(to)) }
}
fn fadvise(fd: i32, advice: u32) -> Result {
    // SAFETY: no memory is involved.
    unsafe { syscall!(__NR_fadvise64, fd, 0, 0, advice) }
}

/// Opens what a descriptor stands for.
fn reopen(fd: i32, flags: u32) -> Result<i32> {
    struct Name([u8; 32], usize);
    impl Write for Name {
        fn write_str(&mut self, s: &str) -> core::fmt::Result {
            self.0[self.1..self.1 + s.len()].copy_from_slice(s.as_bytes());
            self.1 += s.len();
            Ok(())
        }
    }
    let mut name = Name([0; 32], 0);
    let _ = write!(name, "/proc/self/fd/{fd}");
    file::open(CStr::from_bytes_until_nul(&name.0).unwrap_or(c""), flags, 0)
}

fn owner(fd: i32) -> u32 {
    let mut st = [0u32; 36];
    // SAFETY: the kernel writes a `struct stat` of 144 bytes.
    let _ = unsafe { syscall!(__NR_fstat, fd, st.as_mut_ptr()) };
    st[7]
}

fn ends() {
    let Ok((r, w)) = file::pipe(0) else { return check!(false, "no pipe") };
    let again = reopen(r, O_RDONLY).unwrap_or(-1);
    check!(again >= 0, "the reading end");
    let other = reopen(r, O_WRONLY).unwrap_or(-1);
    check!(other >= 0, "the writing end, by the reading one");
    let both = reopen(w, O_RDWR | O_NONBLOCK).unwrap_or(-1);
    check!(both >= 0, "both");
    let mut b = [0; 8];
    check_eq!(file::write(other, b"ab"), Ok(2), "into the new end");
    check_eq!(file::read(r, &mut b), Ok(2), "out of the old one");
    check_eq!(file::read(both, &mut b), Err(Errno(EAGAIN)), "it is empty");
    for fd in [w, other, both] {
        let _ = close(fd);
    }
    check_eq!(file::read(again, &mut b), Ok(0), "nobody writes any more");
    let late = reopen(r, O_WRONLY).unwrap_or(-1);
    check_eq!(file::write(late, b"c"), Ok(1), "until somebody does again");
    check_eq!(file::read(again, &mut b), Ok(1), "and is read");
    for fd in [r, again, late] {
        let _ = close(fd);
    }
}

/// What a program makes is its user's, so that it can open it again.
fn owners() {
    let theirs = file::pipe(0).map_or(-1, |p| p.0);
    let c = child(|| {
        let _ = become_user(1000);
        let (r, _w) = file::pipe(0).unwrap_or((-1, -1));
        check_eq!(owner(r), 1000, "a pipe's owner");
        check!(reopen(r, O_RDONLY).is_ok(), "one's own pipe");
        check_eq!(reopen(theirs, O_RDONLY), Err(Errno(EACCES)), "another's");
        // SAFETY: the name is a C string.
        let m = unsafe { syscall!(__NR_memfd_create, c"mine".as_ptr(), 0) }.map_or(-1, |fd| fd as i32);
        check_eq!(owner(m), 1000, "a memory file's owner");
        user::check::failures() as i32
    });
    check_eq!(wait(c).map(|s| s.0), Ok(0), "the other user");
    let _ = close(theirs);
}

fn descriptors() {
    let (r, w) = file::pipe(0).unwrap_or((-1, -1));
    // SAFETY: no memory is involved.
    let event = unsafe { syscall!(__NR_eventfd2, 0, 0) }.map_or(-1, |fd| fd as i32);
    let status = file::open(c"/proc/self/status", O_RDONLY, 0).unwrap_or(-1);
    let tmp = file::open(c"/tmp/reopened", O_RDWR | file::O_CREAT | file::O_TRUNC, 0o600).unwrap_or(-1);
    check_eq!(file::write(tmp, b"x"), Ok(1), "a file of a page");
    check_eq!(fcntl(w, F_SETFL, O_DIRECT as usize), Ok(0), "packets");
    check_eq!(fcntl(event, F_SETFL, O_DIRECT as usize), Err(Errno(EINVAL)), "no packets");
    check_eq!(fcntl(tmp, F_GETLEASE, 0), Ok(2), "no lease");
    check_eq!(fcntl(tmp, F_ADD_SEALS, 1 << 32), Err(Errno(EINVAL)), "seals are 32 bits");
    let mut hint = 9u64;
    let at = core::ptr::from_mut(&mut hint) as usize;
    check_eq!(fcntl(tmp, F_SET_RW_HINT, at), Err(Errno(EINVAL)), "no such lifetime");
    // SAFETY: the kernel reads and writes `hint`, which is looked at in between.
    unsafe {
        core::ptr::write_volatile(&raw mut hint, 3);
        check_eq!(fcntl(tmp, F_SET_RW_HINT, at), Ok(0), "a lifetime");
        core::ptr::write_volatile(&raw mut hint, 0);
        check_eq!(fcntl(tmp, F_GET_RW_HINT, at), Ok(0), "is kept");
        check_eq!(core::ptr::read_volatile(&raw const hint), 3, "the lifetime");
    }
    check_eq!(fadvise(r, 0), Err(Errno(ESPIPE)), "advice about a pipe");
    check_eq!(fadvise(event, 0), Ok(0), "about anything else");
    check_eq!(fadvise(event, 9), Err(Errno(EINVAL)), "that nobody knows");
    for (fd, bytes) in [(r, 4096), (event, 4096), (status, 1024), (tmp, 4096)] {
        let mut n = 0;
        check_eq!((ioctl(fd, FIGETBSZ, &mut n), n), (Ok(0), bytes), "a block");
    }
    let mut n = 0;
    check_eq!((ioctl(tmp, FIOQSIZE, &mut n), n), (Ok(0), 4096), "what a file takes");
    check_eq!(ioctl(r, FIOQSIZE, &mut n), Err(Errno(ENOTTY)), "a pipe takes nothing");
    for fd in [r, w, event, status, tmp] {
        let _ = close(fd);
    }
    let _ = file::unlink(c"/tmp/reopened");
}

fn run() {
    ends();
    owners();
    descriptors();
}
