// SPDX-License-Identifier: GPL-2.0-only
//! Bad pointers in system calls give EFAULT, never a signal.
#![cfg_attr(target_os = "none", no_std, no_main)]

use user::file;
use user::memory::{PAGE, PROT_READ, PROT_WRITE, map, protect, unmap};
use user::prelude::*;
use user::syscall;

expect! { end: exit(0) }
program!(run);

fn run() {
    let (read, write) = file::pipe(0).unwrap_or((-1, -1));
    check_eq!(file::write(write, b"0123456789"), Ok(10), "write");
    for bad in [1, 0x1000_0000, 0xffff_8880_0000_0000, 1 << 63, usize::MAX, 0x7fff_ffff_f000] {
        pointers(bad, read, write);
    }
    edges(write);
    let mut buffer = [0; 16];
    check_eq!(file::read(read, &mut buffer), Ok(10), "the pipe still has its bytes");
    check_eq!(&buffer, b"0123456789\0\0\0\0\0\0", "bytes");
}

/// One address that nobody may use, in each kind of call.
fn pointers(bad: usize, read: i32, write: i32) {
    // SAFETY: the kernel refuses every one of these pointers.
    let results = unsafe {
        [
            ("write", syscall!(__NR_write, write, bad, 1)),
            ("read", syscall!(__NR_read, read, bad, 1)),
            ("open", syscall!(__NR_open, bad, 0, 0)),
            ("execve", syscall!(__NR_execve, bad, 0, 0)),
            ("execve argv", syscall!(__NR_execve, c"/proc/self/exe".as_ptr(), bad, 0)),
            ("uname", syscall!(__NR_uname, bad)),
            ("pipe2", syscall!(__NR_pipe2, bad, 0)),
            ("nanosleep", syscall!(__NR_nanosleep, bad, 0)),
            ("clock_gettime", syscall!(__NR_clock_gettime, 1, bad)),
            ("rt_sigaction", syscall!(__NR_rt_sigaction, 10, bad, 0, 8)),
            ("rt_sigprocmask", syscall!(__NR_rt_sigprocmask, 0, bad, 0, 8)),
            ("rt_sigpending", syscall!(__NR_rt_sigpending, bad, 8)),
            ("sigaltstack", syscall!(__NR_sigaltstack, bad, 0)),
            ("setitimer", syscall!(__NR_setitimer, 0, bad, 0)),
        ]
    };
    for (what, got) in results {
        check_eq!(got, Err(Errno(EFAULT)), "{what} at {bad:#x}");
    }
}

/// At the end of a mapping, in a page without access, and in one that must not be written.
fn edges(write: i32) {
    let pages = map(2 * PAGE, PROT_READ | PROT_WRITE).unwrap_or(0);
    // SAFETY: the mapping is this function's own; the calls check what they are given.
    unsafe {
        check!(unmap(pages + PAGE, PAGE).is_ok(), "munmap");
        let beyond = pages + PAGE;
        check_eq!(syscall!(__NR_write, write, beyond, 100), Err(Errno(EFAULT)), "unmapped");
        check_eq!(syscall!(__NR_uname, beyond - 8), Err(Errno(EFAULT)), "across the end");
        check_eq!(syscall!(__NR_uname, pages), Ok(0), "inside");
        check!(protect(pages, PAGE, PROT_READ).is_ok(), "mprotect");
        check_eq!(syscall!(__NR_uname, pages), Err(Errno(EFAULT)), "read-only");
        check!(protect(pages, PAGE, 0).is_ok(), "mprotect");
        check_eq!(syscall!(__NR_write, write, pages, 1), Err(Errno(EFAULT)), "PROT_NONE");
    }
}
