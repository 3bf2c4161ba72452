// SPDX-License-Identifier: GPL-2.0-only
//! A thread that dies while it holds locks that it told the kernel of leaves them marked, and who
//! waits for one is woken; a broken list hurts nobody.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::ptr::{addr_of, addr_of_mut};
use core::sync::atomic::{AtomicU32, Ordering};
use linux_raw_sys::general as abi;
use user::prelude::*;
use user::process::{exit_thread, spawn_thread};
use user::{syscall, time};

expect! { end: exit(0) }
program!(run);

/// An entry of the list, and its lock eight bytes behind it.
#[repr(C)]
struct Lock {
    next: usize,
    word: AtomicU32,
}

#[repr(C)]
struct Head {
    next: usize,
    offset: usize,
    pending: usize,
}

static mut HEAD: Head = Head { next: 0, offset: 8, pending: 0 };
static mut LOCKS: [Lock; 3] = [const { Lock { next: 0, word: AtomicU32::new(0) } }; 3];

fn word(i: usize) -> &'static AtomicU32 {
    // SAFETY: words are atomic; `next` is only written before the thread runs.
    unsafe { &*addr_of!(LOCKS[i].word) }
}

fn set_list(head: usize, len: usize) -> user::syscall::Result {
    // SAFETY: the list is static.
    unsafe { syscall!(__NR_set_robust_list, head, len) }
}

/// Holds the first lock, which somebody waits for, not the second, and is about to take the third.
extern "C" fn owner() -> ! {
    let tid = gettid() as u32;
    word(0).store(tid | abi::FUTEX_WAITERS, Ordering::SeqCst);
    word(1).store(tid + 1, Ordering::SeqCst);
    word(2).store(tid, Ordering::SeqCst);
    let head = addr_of!(HEAD) as usize;
    check_eq!(set_list(head, 23), Err(Errno(EINVAL)), "a wrong size");
    check_eq!(set_list(head, 24), Ok(0), "set_robust_list");
    let (mut at, mut len) = (0usize, 0usize);
    // SAFETY: the kernel writes two words.
    let got = unsafe { syscall!(__NR_get_robust_list, 0, addr_of_mut!(at), addr_of_mut!(len)) };
    check_eq!((got, at, len), (Ok(0), head, 24), "get_robust_list");
    time::sleep_ms(50);
    exit_thread(0);
}

/// A list that leads nowhere.
extern "C" fn broken() -> ! {
    let _ = set_list(16, 24);
    exit_thread(0);
}

fn run() {
    // SAFETY: no other thread is there yet.
    unsafe {
        LOCKS[0].next = addr_of!(LOCKS[1]) as usize;
        LOCKS[1].next = addr_of!(HEAD) as usize;
        HEAD.next = addr_of!(LOCKS[0]) as usize;
        HEAD.pending = addr_of!(LOCKS[2]) as usize;
    }
    check!(spawn_thread(owner).is_ok(), "a thread");
    while word(0).load(Ordering::SeqCst) == 0 {
        user::process::sched_yield();
    }
    let held = word(0).load(Ordering::SeqCst);
    let tid = held & abi::FUTEX_TID_MASK;
    let (at, limit) = (word(0).as_ptr(), [5i64, 0]);
    // SAFETY: the word is static, and the time outlives the call.
    let waited = unsafe { syscall!(__NR_futex, at, abi::FUTEX_WAIT, held, limit.as_ptr(), 0, 0) };
    check_eq!(waited, Ok(0), "who waits is woken");
    check_eq!(word(0).load(Ordering::SeqCst), abi::FUTEX_WAITERS | abi::FUTEX_OWNER_DIED, "held");
    check_eq!(word(1).load(Ordering::SeqCst), tid + 1, "somebody else's");
    for _ in 0..100 {
        if word(2).load(Ordering::SeqCst) != tid {
            break;
        }
        time::sleep_ms(10);
    }
    check_eq!(word(2).load(Ordering::SeqCst), abi::FUTEX_OWNER_DIED, "about to be taken");
    check!(spawn_thread(broken).is_ok(), "another thread");
    time::sleep_ms(20);
}
