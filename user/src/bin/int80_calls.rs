// SPDX-License-Identifier: GPL-2.0-only
//! `int $0x80` from 64-bit code: i386's numbers and registers, R8 to R11 kept, upper halves
//! cut off, bad pointers, restarts, and signals in between.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::arch::asm;
use linux_raw_sys::general as abi;
use user::prelude::*;
use user::syscall;
use user::syscall::int80;
use user::time::set_real_timer;
use user::{file, seen};

expect! { end: exit(0) }
program!(run);

const GETPID: u32 = 20;
const READ: u32 = 3;
const KILL: u32 = 37;
const CLOCK_NANOSLEEP_TIME64: u32 = 407;
const SIGUSR1: u32 = abi::SIGUSR1;
const SIGALRM: u32 = abi::SIGALRM;

fn call(nr: u32, args: [u32; 5]) -> syscall::Result {
    // SAFETY: the calls here only touch what they are given.
    unsafe { int80(nr, args) }
}

fn registers() {
    let (r8, r9, r10, r11): (u64, u64, u64, u64);
    let rax: u64;
    // SAFETY: getpid touches no memory; the number's upper half is not looked at.
    unsafe {
        asm!("int 0x80", inout("rax") 0x1234_5678_0000_0014_u64 => rax,
            inout("r8") 8u64 => r8, inout("r9") 9u64 => r9, inout("r10") 10u64 => r10, inout("r11") 11u64 => r11);
    }
    check_eq!(rax, getpid() as u64, "getpid");
    check_eq!((r8, r9, r10, r11), (8, 9, 10, 11), "r8 to r11");
    check_eq!(call(0x7fff, [0; 5]), Err(Errno(ENOSYS)), "no such call");
    check_eq!(call(READ, [99, 0, 0, 0, 0]), Err(Errno(EBADF)), "no such descriptor");
}

/// Buffers must be below 4 GiB.
fn pointers(low: usize) {
    let Ok((r, w)) = file::pipe(0) else { return };
    check_eq!(file::write(w, b"abcd"), Ok(4), "write to the pipe");
    check_eq!(call(READ, [r as u32, low as u32, 4, 0, 0]), Ok(4), "read");
    // SAFETY: just read.
    check_eq!(unsafe { *(low as *const [u8; 4]) }, *b"abcd", "what was read");
    check_eq!(file::write(w, b"x"), Ok(1), "write again");
    check_eq!(call(READ, [r as u32, 0xffff_f000, 1, 0, 0]), Err(Errno(EFAULT)), "read to a bad place");
}

fn signals(low: usize) {
    seen::install(SIGUSR1, 0, 0);
    check_eq!(call(KILL, [getpid() as u32, SIGUSR1, 0, 0, 0]), Ok(0), "kill");
    check_eq!(seen::count(), 1, "the handler ran");
    // A read that is restarted: the handler writes what it waits for.
    seen::install(SIGALRM, SA_RESTART, 0);
    let Ok((r, w)) = file::pipe(0) else { return };
    let pid = child(|| {
        user::time::sleep_ms(60);
        i32::from(file::write(w, b"y") != Ok(1))
    });
    let _ = set_real_timer(20, 0);
    check_eq!(call(READ, [r as u32, low as u32, 1, 0, 0]), Ok(1), "a restarted read");
    check_eq!(seen::count(), 2, "a signal during the read");
    check_eq!(wait(pid), Ok(WaitStatus::exited(0)), "the writer");
    // A relative sleep is never restarted after a handler.
    seen::install(SIGALRM, 0, 0);
    // SAFETY: ours.
    unsafe { (low as *mut [i64; 2]).write([5, 0]) };
    let _ = set_real_timer(20, 0);
    let r = call(CLOCK_NANOSLEEP_TIME64, [1, 0, low as u32, low as u32 + 16, 0]);
    check_eq!(r, Err(Errno(EINTR)), "an interrupted sleep");
    // SAFETY: the kernel has written it.
    let [left, _] = unsafe { *((low + 16) as *const [i64; 2]) };
    check_eq!(left, 4, "seconds left");
}

/// A stop and a continue restart the sleep through `restart_syscall`, whose number is
/// another one here.
fn restart_block(low: usize) {
    let sleeper = child(|| {
        // SAFETY: ours.
        unsafe { (low as *mut [i64; 2]).write([0, 120_000_000]) };
        i32::from(call(CLOCK_NANOSLEEP_TIME64, [1, 0, low as u32, 0, 0]) != Ok(0))
    });
    user::time::sleep_ms(20);
    check_eq!(kill(sleeper, abi::SIGSTOP), Ok(0), "stop");
    user::time::sleep_ms(20);
    check_eq!(kill(sleeper, abi::SIGCONT), Ok(0), "continue");
    check_eq!(wait(sleeper), Ok(WaitStatus::exited(0)), "the sleeper slept on");
}

fn run() {
    use abi::{MAP_32BIT, MAP_ANONYMOUS, MAP_PRIVATE, PROT_READ, PROT_WRITE};
    // SAFETY: a new mapping.
    let low = unsafe {
        syscall!(__NR_mmap, 0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0)
    };
    let Ok(low) = low else {
        check!(false, "memory below 4 GiB: {low:?}");
        return;
    };
    check_eq!(call(GETPID, [0; 5]), Ok(getpid() as usize), "getpid");
    registers();
    pointers(low);
    signals(low);
    restart_block(low);
}
