// SPDX-License-Identifier: GPL-2.0-only
//! What may be executable: no file of a noexec mount; everything readable, if the personality
//! says so. Needs root.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::ffi::CStr;
use linux_raw_sys::general as abi;
use user::memory::{MAP_PRIVATE, MAP_SHARED, PAGE, PROT_EXEC, PROT_READ, PROT_WRITE, map};
use user::prelude::*;
use user::signal::SIGSEGV;
use user::syscall::Result;
use user::{file, syscall};

expect! { end: exit(0) }
program!(run);

const PLACE: &CStr = c"/tmp/exec_permission";
const FILE: &CStr = c"/tmp/exec_permission/file";
const READ_IMPLIES_EXEC: u32 = 0x0040_0000;
/// `mov eax, 42; ret`.
const CODE: [u8; 6] = [0xb8, 42, 0, 0, 0, 0xc3];

fn map_file(fd: i32, prot: u32, kind: u32) -> Result {
    // SAFETY: a new mapping overlaps nothing that exists.
    unsafe { syscall!(__NR_mmap, 0, PAGE, prot, kind, fd, 0) }
}

fn protect(at: usize, prot: u32) -> Result {
    // SAFETY: the pages are this program's own, and nothing else uses them.
    unsafe { user::memory::protect(at, PAGE, prot) }
}

fn personality(p: u32) -> Result {
    // SAFETY: no memory is involved.
    unsafe { syscall!(__NR_personality, p) }
}

/// Runs the code at `at` in a child: its exit status, or the signal that kills it.
fn call(at: usize) -> Result<WaitStatus> {
    let pid = child(|| {
        // SAFETY: there is a function of this type, if it may be run at all.
        let f: extern "C" fn() -> i32 = unsafe { core::mem::transmute(at) };
        f()
    });
    wait(pid)
}

const RAN: Result<WaitStatus> = Ok(WaitStatus::exited(42));
const REFUSED: Result<WaitStatus> = Ok(WaitStatus::killed(SIGSEGV as i32));

/// A file with the code in it, on a file system mounted with these flags.
fn mounted(flags: u32, what: impl FnOnce(i32)) {
    // SAFETY: all strings are C strings.
    let r = unsafe { syscall!(__NR_mount, c"none".as_ptr(), PLACE.as_ptr(), c"tmpfs".as_ptr(), flags, 0) };
    check_eq!(r, Ok(0), "mount");
    check!(file::put(FILE, &CODE, 0o755).is_ok(), "a file");
    let fd = file::open(FILE, file::O_RDWR, 0).unwrap_or(-1);
    what(fd);
    let _ = file::close(fd);
    // SAFETY: the path is a C string.
    let r = unsafe { syscall!(__NR_umount2, PLACE.as_ptr(), abi::MNT_DETACH) };
    check_eq!(r, Ok(0), "umount");
}

fn noexec(fd: i32) {
    for kind in [MAP_PRIVATE, MAP_SHARED] {
        check_eq!(map_file(fd, PROT_READ | PROT_EXEC, kind), Err(Errno(EPERM)), "mmap, {kind}");
        let at = map_file(fd, PROT_READ, kind).unwrap_or(0);
        check!(at != 0, "mmap to read, {kind}");
        check_eq!(protect(at, PROT_READ | PROT_EXEC), Err(Errno(EACCES)), "mprotect, {kind}");
        check_eq!(call(at), REFUSED, "running what can be read, {kind}");
    }
    let _ = personality(READ_IMPLIES_EXEC);
    let at = map_file(fd, PROT_READ, MAP_PRIVATE).unwrap_or(0);
    check_eq!(call(at), REFUSED, "with READ_IMPLIES_EXEC");
    check_eq!(protect(at, PROT_READ | PROT_WRITE), Ok(0), "mprotect implies nothing here");
    check_eq!(call(at), REFUSED, "after mprotect");
    let _ = personality(0);
}

fn exec(fd: i32) {
    let at = map_file(fd, PROT_READ | PROT_EXEC, MAP_PRIVATE).unwrap_or(0);
    check_eq!(call(at), RAN, "an ordinary mount");
}

fn on_proc() {
    let fd = file::open(c"/proc/self/maps", file::O_RDONLY, 0).unwrap_or(-1);
    check!(map_file(fd, PROT_READ | PROT_EXEC, MAP_PRIVATE).is_err(), "a file of /proc");
    let _ = file::close(fd);
}

/// Anonymous memory with the code in it, that was mapped with `prot`.
fn with_code(prot: u32) -> usize {
    let at = map(PAGE, prot).unwrap_or(0);
    write_code(at);
    at
}

fn write_code(at: usize) {
    for (i, b) in CODE.into_iter().enumerate() {
        // SAFETY: the page is writable, and nobody else's.
        unsafe { user::memory::poke(at + i, b) };
    }
}

fn brk(to: usize) -> usize {
    // SAFETY: the program has no heap.
    unsafe { syscall!(__NR_brk, to) }.unwrap_or(0)
}

fn implied() {
    let (rw, before) = (PROT_READ | PROT_WRITE, with_code(PROT_READ | PROT_WRITE));
    check_eq!(call(before), REFUSED, "without the personality");
    check_eq!(personality(READ_IMPLIES_EXEC), Ok(0), "personality");
    check_eq!(call(before), REFUSED, "what was mapped before");
    check_eq!(call(with_code(rw)), RAN, "what is mapped now");
    check_eq!(protect(before, PROT_READ), Ok(0), "mprotect");
    check_eq!(call(before), RAN, "after mprotect");
    check_eq!(protect(before, PROT_WRITE), Ok(0), "mprotect to write only");
    check_eq!(call(before), REFUSED, "write only");
    let end = brk(0).next_multiple_of(PAGE);
    check_eq!(brk(end + PAGE), end + PAGE, "brk");
    write_code(end);
    check_eq!(call(end), RAN, "the heap");
    check_eq!(personality(0), Ok(READ_IMPLIES_EXEC as usize), "personality");
    check_eq!(call(with_code(rw)), REFUSED, "without it again");
}

fn run() {
    let _ = file::mkdir(PLACE, 0o755);
    mounted(abi::MS_NOEXEC, noexec);
    mounted(0, exec);
    on_proc();
    implied();
}
