// SPDX-License-Identifier: GPL-2.0-only
//! A process that is killed while it makes threads is gone with all of them: none comes to be
//! after the signal, for nothing could end it.
#![cfg_attr(target_os = "none", no_std, no_main)]

use linux_raw_sys::general as abi;
use user::prelude::*;
use user::process::{THREAD_FLAGS, WNOHANG, wait4};
use user::time::{now, sleep_ms};
use user::{program, syscall};

expect! { end: exit(0) }
program!(run);

/// Starts a thread that waits for signals, without a stack that it would use.
fn idle_thread() {
    // SAFETY: the new thread touches no memory.
    unsafe {
        core::arch::asm!(
            "syscall", "test eax, eax", "jnz 3f",
            "2:", "mov eax, {pause}", "syscall", "jmp 2b",
            "3:",
            pause = const abi::__NR_pause,
            inout("rax") u64::from(abi::__NR_clone) => _, in("rdi") u64::from(THREAD_FLAGS), in("rsi") 0, in("rdx") 0,
            in("r10") 0, in("r8") 0, out("rcx") _, out("r11") _, options(nostack));
    }
}

/// SIGALRM in so many microseconds.
fn alarm_in(us: i64) {
    let zero = abi::timeval { tv_sec: 0, tv_usec: 0 };
    let it = abi::itimerval { it_interval: zero, it_value: abi::timeval { tv_sec: 0, tv_usec: us } };
    // SAFETY: the kernel reads the structure; 0 is ITIMER_REAL.
    let _ = unsafe { syscall!(__NR_setitimer, 0, core::ptr::from_ref(&it), 0) };
}

/// How a child ends, if it does within ten seconds.
fn end_of(pid: i32) -> Option<WaitStatus> {
    let start = now();
    while now() - start < 10_000_000_000 {
        if let Ok(Some((_, status))) = wait4(pid, WNOHANG) {
            return Some(status);
        }
        sleep_ms(1);
    }
    None
}

fn run() {
    for round in 0..40 {
        let pid = child(|| {
            alarm_in(300 + round * 37);
            loop {
                idle_thread();
            }
        });
        let end = end_of(pid);
        check_eq!(end, Some(WaitStatus::killed(14)), "round {round}");
        if end.is_none() {
            return;
        }
    }
}
