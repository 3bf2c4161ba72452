// SPDX-License-Identifier: GPL-2.0-only
//! An `execve` that counts hundreds of millions of arguments keeps nobody else from running,
//! and can be killed while it counts.
#![cfg_attr(target_os = "none", no_std, no_main)]

use linux_raw_sys::general as abi;
use user::prelude::*;
use user::time::{now, set_real_timer, sleep_ms};
use user::{Result, file, memory, program, syscall};

expect! { end: exit(0) }
program!(run);

const CHUNK: usize = 4 << 20;
const CHUNKS: usize = 1024;

/// Four GiB without a null pointer in it, made of the same four MiB.
fn pointers() -> Result {
    static ONES: [u8; 0x10000] = [1; 0x10000];
    // SAFETY: the name is a C string.
    let fd = unsafe { syscall!(__NR_memfd_create, c"ones".as_ptr(), 0) }? as i32;
    for _ in 0..CHUNK / ONES.len() {
        file::write(fd, &ONES)?;
    }
    let at = memory::map(CHUNK * CHUNKS, memory::PROT_NONE)?;
    for i in 0..CHUNKS {
        let flags = memory::MAP_SHARED | memory::MAP_FIXED;
        // SAFETY: within the mapping just made, which nobody uses.
        unsafe { syscall!(__NR_mmap, at + i * CHUNK, CHUNK, memory::PROT_READ, flags, fd, 0) }?;
    }
    Ok(at)
}

fn run() {
    let start = now();
    let pid = child(|| {
        let Ok(argv) = pointers() else { return 1 };
        let _ = set_real_timer(50, 0);
        // SAFETY: the memory is readable; there is no end to the pointers.
        let r = unsafe { syscall!(__NR_execve, c"/proc/self/exe".as_ptr(), argv, 0) };
        check!(false, "execve: {r:?}");
        2
    });
    let mut longest = 0;
    for _ in 0..20 {
        let before = now();
        sleep_ms(5);
        longest = longest.max(now() - before);
    }
    check_eq!(wait(pid), Ok(WaitStatus::killed(abi::SIGALRM as i32)), "killed while it counts");
    check!(longest < 3_000_000_000, "a sleep of 5 ms took {longest} ns");
    check!(now() - start < 8_000_000_000, "it took {} ns", now() - start);
}
