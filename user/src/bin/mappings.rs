// SPDX-License-Identifier: GPL-2.0-only
//! mmap, mprotect and munmap: fresh pages are zero, splits keep their parts, bad calls are refused.
#![cfg_attr(target_os = "none", no_std, no_main)]

use user::memory::{
    MAP_ANONYMOUS, MAP_FIXED, MAP_PRIVATE, PAGE, PROT_NONE, PROT_READ, PROT_WRITE, map, peek, poke, protect,
    unmap,
};
use user::prelude::*;
use user::syscall;

expect! { end: exit(0) }
program!(run);

/// Whether a child that does this dies of SIGSEGV.
fn dies(body: impl FnOnce()) -> bool {
    let pid = child(|| {
        body();
        0
    });
    let status = wait(pid);
    check!(matches!(status, Ok(WaitStatus(0 | 11))), "child: {status:?}");
    status == Ok(WaitStatus::killed(11))
}

fn run() {
    let base = map(8 * PAGE, PROT_READ | PROT_WRITE).unwrap_or(0);
    // SAFETY: the mapping is this function's own, and faults are looked at in children.
    unsafe {
        for i in 0..8 {
            check_eq!(peek(base + i * PAGE + 77), 0, "page {i} is fresh");
            poke(base + i * PAGE, i as u8 + 1);
        }
        check_eq!(protect(base + 2 * PAGE, 2 * PAGE, PROT_READ), Ok(0), "mprotect");
        check_eq!(protect(base + 5 * PAGE, PAGE, PROT_NONE), Ok(0), "mprotect");
        check_eq!(unmap(base + 6 * PAGE, PAGE), Ok(0), "munmap");
        for i in [0, 1, 2, 3, 4, 7] {
            check_eq!(peek(base + i * PAGE), i as u8 + 1, "page {i} has kept its byte");
        }
        let writable: [bool; 8] = core::array::from_fn(|i| !dies(|| poke(base + i * PAGE, 99)));
        check_eq!(writable, [true, true, false, false, true, false, false, true], "writable");
        let readable: [bool; 8] = core::array::from_fn(|i| {
            !dies(|| {
                peek(base + i * PAGE);
            })
        });
        check_eq!(readable, [true, true, true, true, true, false, false, true], "readable");
        check_eq!(protect(base, 5 * PAGE, PROT_READ | PROT_WRITE), Ok(0), "mprotect over a split");
        poke(base + 2 * PAGE, 42);
        check_eq!(peek(base + 2 * PAGE), 42, "writable again");
        check_eq!(unmap(base, 8 * PAGE), Ok(0), "munmap over a hole");
        check!(dies(|| poke(base, 1)), "all is gone");
    }
    refused(base);
}

fn refused(base: usize) {
    let anonymous = MAP_PRIVATE | MAP_ANONYMOUS;
    let kernel = 0xffff_8880_0000_0000usize;
    // SAFETY: the kernel refuses every one of these calls.
    unsafe {
        let mmap = |addr: usize, len: usize, flags| syscall!(__NR_mmap, addr, len, 3, flags, -1, 0);
        check_eq!(mmap(0, 0, anonymous), Err(Errno(EINVAL)), "length 0");
        check_eq!(mmap(1, PAGE, anonymous | MAP_FIXED), Err(Errno(EINVAL)), "unaligned");
        check_eq!(mmap(kernel, PAGE, anonymous | MAP_FIXED), Err(Errno(ENOMEM)), "in the kernel");
        check_eq!(mmap(0, usize::MAX - PAGE, anonymous), Err(Errno(ENOMEM)), "too long");
        check_eq!(mmap(0, PAGE, MAP_ANONYMOUS), Err(Errno(EINVAL)), "neither shared nor private");
        check_eq!(mmap(0, PAGE, MAP_PRIVATE), Err(Errno(EBADF)), "no file");
        check_eq!(unmap(base + 1, PAGE), Err(Errno(EINVAL)), "munmap unaligned");
        check_eq!(unmap(kernel, PAGE), Err(Errno(EINVAL)), "munmap in the kernel");
        check_eq!(protect(base, PAGE, PROT_READ), Err(Errno(ENOMEM)), "mprotect of nothing");
        check_eq!(protect(base + 1, PAGE, PROT_READ), Err(Errno(EINVAL)), "mprotect unaligned");
    }
}
