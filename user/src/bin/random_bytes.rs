// SPDX-License-Identifier: GPL-2.0-only
//! getrandom and /dev/urandom: any size, flags, buffers that end early, and how a signal ends a long read:
//! at a page, never below 257 bytes.
#![cfg_attr(target_os = "none", no_std, no_main)]

use linux_raw_sys::general as abi;
use user::file;
use user::memory::{PAGE, PROT_NONE, PROT_READ, PROT_WRITE, map, map_fixed, peek, protect};
use user::prelude::*;
use user::signal::SIGALRM;
use user::time::set_real_timer;
use user::{Result, seen, syscall};

expect! { end: exit(0) }
program!(run);

const RW: u32 = PROT_READ | PROT_WRITE;
const LONG: usize = 24 << 20;

fn getrandom(at: usize, len: usize, flags: u32) -> Result {
    // SAFETY: the kernel writes where this program has mapped memory for it, or nowhere.
    unsafe { syscall!(__NR_getrandom, at, len, flags) }
}

/// How many of the bytes are zero.
fn zeros(at: usize, len: usize) -> usize {
    // SAFETY: the memory is mapped.
    (at..at + len).filter(|&at| unsafe { peek(at) } == 0).count()
}

fn run() {
    let at = map(LONG, RW).unwrap_or(0);
    sizes(at);
    flags(at);
    early_ends();
    interrupted(at);
}

fn sizes(at: usize) {
    for len in [1, 7, 8, 63, 64, 65, 255, 256, 257, 4095, 4096, 4097, 100_000] {
        check_eq!(getrandom(at, len, 0), Ok(len), "{len} bytes");
    }
    check_eq!(zeros(at + 100_000, 4096), 4096, "and not one more");
    // Of 100000 bytes 390 are zero, give or take 20.
    check!((200..600).contains(&zeros(at, 100_000)), "random ones: {} are zero", zeros(at, 100_000));
    let mut two = [[0u8; 32]; 2];
    for b in &mut two {
        check_eq!(getrandom(b.as_mut_ptr() as usize, 32, 0), Ok(32), "32 bytes");
    }
    check!(two[0] != two[1], "twice the same bytes");
    check_eq!(getrandom(at, 0, 0), Ok(0), "none");
    check_eq!(getrandom(0, 0, 0), Ok(0), "none, nowhere");
}

fn flags(at: usize) {
    use abi::{GRND_INSECURE, GRND_NONBLOCK, GRND_RANDOM};
    for flags in [
        GRND_NONBLOCK,
        GRND_RANDOM,
        GRND_INSECURE,
        GRND_RANDOM | GRND_NONBLOCK,
        GRND_INSECURE | GRND_NONBLOCK,
    ] {
        check_eq!(getrandom(at, 64, flags), Ok(64), "flags {flags}");
    }
    check_eq!(getrandom(at, 64, GRND_RANDOM | GRND_INSECURE), Err(Errno(EINVAL)), "both kinds");
    check_eq!(getrandom(at, 64, 8), Err(Errno(EINVAL)), "no such flag");
    check_eq!(getrandom(8, 64, 8), Err(Errno(EINVAL)), "which is looked at first");
}

fn early_ends() {
    // Low enough for the longest length not to leave user space.
    // SAFETY: nothing is there.
    let at = unsafe { map_fixed(0x1001_0000, 2 * PAGE, RW) }.unwrap_or(0);
    // SAFETY: nobody uses the page.
    check!(unsafe { protect(at + PAGE, PAGE, PROT_NONE) }.is_ok(), "mprotect");
    check_eq!(getrandom(at + PAGE - 100, 200, 0), Ok(100), "as far as the buffer goes");
    check_eq!(getrandom(at + PAGE, 200, 0), Err(Errno(EFAULT)), "no buffer");
    check_eq!(getrandom(usize::MAX - 100, 50, 0), Err(Errno(EFAULT)), "the kernel's");
    check_eq!(getrandom(at, usize::MAX, 0), Ok(PAGE), "more than any");
    let fd = file::open(c"/dev/urandom", file::O_RDONLY, 0).unwrap_or(-1);
    // SAFETY: the kernel writes where this program has memory.
    let r = unsafe { syscall!(__NR_read, fd, at + PAGE - 100, 200) };
    check_eq!(r, Ok(100), "so with the device");
    let _ = file::close(fd);
}

fn interrupted(at: usize) {
    seen::install(SIGALRM, SA_SIGINFO, 0);
    let fd = file::open(c"/dev/urandom", file::O_RDONLY, 0).unwrap_or(-1);
    // SAFETY: the kernel writes where this program has memory.
    let device = |len: usize| unsafe { syscall!(__NR_read, fd, at, len) };
    for (what, long) in
        [("getrandom", (&|len| getrandom(at, len, 0)) as &dyn Fn(usize) -> Result), ("the device", &device)]
    {
        seen::clear();
        check!(set_real_timer(2, 2).is_ok(), "a timer");
        let got = long(LONG).unwrap_or(1);
        let _ = set_real_timer(0, 0);
        check!(got != 0 && got < LONG && got.is_multiple_of(PAGE), "{what} was interrupted after {got}");
        check!(seen::count() > 0, "and the signal came");
    }
    check!(set_real_timer(1, 1).is_ok(), "a timer");
    let short = (0..2000).filter(|_| getrandom(at, 256, 0) != Ok(256)).count();
    check_eq!(short, 0, "256 bytes are never interrupted");
    let _ = (set_real_timer(0, 0), file::close(fd));
}
