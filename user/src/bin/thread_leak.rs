// SPDX-License-Identifier: GPL-2.0-only
//! Ten thousand threads come and go, and no memory is lost.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::ptr::from_mut;
use core::sync::atomic::{AtomicU32, Ordering::SeqCst};
use linux_raw_sys::general as abi;
use user::prelude::*;
use user::process::THREAD_FLAGS;
use user::syscall;

expect! { end: exit(0) }
program!(run);

static TID: AtomicU32 = AtomicU32::new(0);

/// A thread that ends at once. It needs no stack: it has registers.
fn short_thread() -> isize {
    let flags = THREAD_FLAGS | abi::CLONE_PARENT_SETTID | abi::CLONE_CHILD_CLEARTID;
    let ret: isize;
    // SAFETY: the new thread touches no memory; the kernel writes the word.
    unsafe {
        core::arch::asm!(
            "syscall", "test rax, rax", "jnz 2f",
            "xor edi, edi", "mov eax, {exit}", "syscall", "ud2",
            "2:",
            exit = const abi::__NR_exit,
            inlateout("rax") abi::__NR_clone as isize => ret,
            in("rdi") u64::from(flags), in("rsi") 0, in("rdx") TID.as_ptr(), in("r10") TID.as_ptr(),
            in("r8") 0, out("rcx") _, out("r11") _, options(nostack));
    }
    ret
}

fn threads(n: u32) {
    for i in 0..n {
        let tid = short_thread();
        if tid < 0 {
            return check!(false, "thread {i}: {tid}");
        }
        loop {
            let now = TID.load(SeqCst);
            if now == 0 {
                break;
            }
            // SAFETY: the kernel reads the word.
            let _ = unsafe { syscall!(__NR_futex, TID.as_ptr(), abi::FUTEX_WAIT, now, 0, 0, 0) };
        }
    }
}

/// Bytes that nobody uses.
fn free_memory() -> u64 {
    let mut info = [0u64; 14];
    // SAFETY: the kernel writes the structure, which is smaller.
    let _ = unsafe { syscall!(__NR_sysinfo, from_mut(&mut info)) };
    info[5]
}

fn run() {
    // What is allocated once, and the caches.
    threads(1000);
    user::time::sleep_ms(100);
    let before = free_memory();
    threads(10_000);
    user::time::sleep_ms(100);
    let after = free_memory();
    check!(before < after + (2 << 20), "{before} bytes were free, {after} are");
}
