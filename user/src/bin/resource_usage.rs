// SPDX-License-Identifier: GPL-2.0-only
//! What a process has used beside time: memory at most, page faults, turns given up; of a thread, of the
//! process, of its children, and of one that is waited for. And what `prctl` keeps and passes on.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::ptr::{from_mut, null_mut};
use user::prelude::*;
use user::process::{child, wait};
use user::time::sleep_ms;
use user::{Result, file, syscall};

expect! { end: exit(0) }
program!(run);

const MIB: usize = 1 << 20;
const CHILDREN: i32 = -1;
const PROCESS: i32 = 0;
const THREAD: i32 = 1;

/// `struct rusage`: kilobytes at most, minor faults, turns given up and taken away.
#[derive(Clone, Copy)]
struct Used {
    kb: i64,
    faults: i64,
    given_up: i64,
    taken: i64,
}

fn used(w: &[i64; 18]) -> Used {
    check_eq!((w[5], w[6], w[7], w[9], w[10]), (0, 0, 0, 0, 0), "nothing comes from disks");
    Used { kb: w[4], faults: w[8], given_up: w[16], taken: w[17] }
}
fn rusage(who: i32) -> Used {
    let mut w = [0; 18];
    // SAFETY: the kernel writes one `struct rusage` of 144 bytes.
    check_eq!(unsafe { syscall!(__NR_getrusage, who, from_mut(&mut w)) }, Ok(0), "getrusage({who})");
    used(&w)
}

/// Touches so many MiB of new memory, and gives it back.
fn touch(mib: usize) {
    let len = mib * MIB;
    // SAFETY: new memory.
    let at = unsafe { syscall!(__NR_mmap, 0, len, 3, 0x22, -1, 0) }.unwrap_or(0);
    if at == 0 {
        return check!(false, "no memory");
    }
    // Whatever the kernel thinks of large pages: 14 is `MADV_HUGEPAGE`'s opposite, 15.
    // SAFETY: the memory is this function's own.
    unsafe {
        let _ = syscall!(__NR_madvise, at, len, 15);
        for page in (0..len).step_by(4096) {
            ((at + page) as *mut u8).write_volatile(1);
        }
        let _ = syscall!(__NR_munmap, at, len);
    }
}

fn own() {
    let (before, thread) = (rusage(PROCESS), rusage(THREAD));
    touch(8);
    let (after, now) = (rusage(PROCESS), rusage(THREAD));
    check!(after.kb >= 8192 && after.kb < 64 << 10, "{} KiB at most, though given back", after.kb);
    check_eq!(now.kb, after.kb, "a thread has its process's memory");
    let pages = 8 * MIB as i64 / 4096;
    for faults in [after.faults - before.faults, now.faults - thread.faults] {
        check!((pages..pages + 64).contains(&faults), "{faults} faults");
    }
    // On a busy host a sleep may be over before it begins.
    (0..5).for_each(|_| sleep_ms(20));
    let slept = rusage(PROCESS);
    check!(slept.given_up - after.given_up >= 3, "{} turns given up", slept.given_up - after.given_up);
    check!(slept.taken >= after.taken, "turns taken away");
}

fn children() {
    let before = rusage(CHILDREN);
    let pid = child(|| {
        touch(20);
        // On a busy host a sleep may be over before it begins.
        (0..5).for_each(|_| sleep_ms(20));
        let grandchild = child(|| {
            touch(24);
            0
        });
        let _ = wait(grandchild);
        0
    });
    let mut w = [0i64; 18];
    // SAFETY: the kernel writes one `struct rusage`.
    let r = unsafe { syscall!(__NR_wait4, pid, null_mut::<i32>(), 0, from_mut(&mut w)) };
    check_eq!(r, Ok(pid as usize), "wait4");
    let (one, all) = (used(&w), rusage(CHILDREN));
    let pages = 44 * MIB as i64 / 4096;
    for (u, b) in [(one, 0), (all, before.faults)] {
        check!(u.kb >= 24 << 10 && u.kb < 96 << 10, "{} KiB: the largest, no sum", u.kb);
        check!((pages..pages + 1000).contains(&(u.faults - b)), "{} faults", u.faults - b);
    }
    check!(one.given_up >= 3, "{} turns given up", one.given_up);
    check!(all.given_up - before.given_up >= one.given_up, "by the children");
    check!(rusage(PROCESS).kb < 20 << 10, "not this process");
    let mut text = [0; 1024];
    let stat = file::load(c"/proc/self/stat", &mut text).unwrap_or(b"");
    let field = |n: usize| stat.split(|&b| b == b' ').nth(n).and_then(number).unwrap_or(-1);
    check_eq!(field(10), rusage(CHILDREN).faults, "the same in /proc/self/stat");
}

fn number(text: &[u8]) -> Option<i64> {
    core::str::from_utf8(text).ok()?.parse().ok()
}

fn prctl(option: u32, args: [usize; 4]) -> Result {
    // SAFETY: what is written by these options goes to words that the callers have.
    unsafe { syscall!(__NR_prctl, option, args[0], args[1], args[2], args[3]) }
}

fn slack() {
    const SET: u32 = 29;
    const GET: u32 = 30;
    check_eq!(prctl(SET, [777, 0, 0, 0]), Ok(0), "a slack");
    check_eq!(prctl(GET, [0; 4]), Ok(777), "is kept");
    let c = child(|| {
        check_eq!(prctl(GET, [0; 4]), Ok(777), "is inherited");
        check_eq!(prctl(SET, [5, 0, 0, 0]), Ok(0), "another");
        check_eq!(prctl(SET, [0; 4]), Ok(0), "none");
        check_eq!(prctl(GET, [0; 4]), Ok(777), "is that of the parent");
        user::check::failures() as i32
    });
    check_eq!(wait(c).map(|s| s.0), Ok(0), "the child");
    check_eq!(prctl(SET, [0; 4]), Ok(0), "none");
    check_eq!(prctl(GET, [0; 4]), Ok(50_000), "is what it was at first");
}

fn settings() {
    let invalid = Err(Errno(EINVAL));
    check_eq!((prctl(41, [1, 0, 0, 0]), prctl(42, [0; 4])), (Ok(0), Ok(1)), "no huge pages");
    let c = child(|| i32::from(prctl(42, [0; 4]) != Ok(1)));
    check_eq!(wait(c).map(|s| s.0), Ok(0), "for children neither");
    check_eq!((prctl(41, [0; 4]), prctl(42, [0; 4])), (Ok(0), Ok(0)), "again");
    check_eq!((prctl(41, [0, 1, 0, 0]), prctl(42, [1, 0, 0, 0])), (invalid, invalid), "with more");
    check_eq!(prctl(34, [0; 4]), Ok(2), "memory errors as the system says");
    check_eq!((prctl(33, [1, 1, 0, 0]), prctl(34, [0; 4])), (Ok(0), Ok(1)), "early");
    check_eq!((prctl(33, [1, 0, 0, 0]), prctl(34, [0; 4])), (Ok(0), Ok(0)), "late");
    check_eq!((prctl(33, [0; 4]), prctl(34, [0; 4])), (Ok(0), Ok(2)), "as before");
    check_eq!((prctl(33, [2, 0, 0, 0]), prctl(33, [0, 1, 0, 0])), (invalid, invalid), "never");
    check_eq!(
        (prctl(13, [0; 4]), prctl(14, [0; 4]), prctl(14, [1, 0, 0, 0])),
        (Ok(0), Ok(0), invalid),
        "times"
    );
    check_eq!((prctl(31, [0; 4]), prctl(32, [0; 4])), (Ok(0), Ok(0)), "counters, of which there are none");
    check_eq!((prctl(57, [1, 0, 0, 0]), prctl(58, [0; 4])), (Ok(0), Ok(1)), "a flusher");
    check_eq!((prctl(57, [0; 4]), prctl(57, [2, 0, 0, 0])), (Ok(0), invalid), "none");
    let mut word = 0u64;
    // SAFETY: no memory is involved: the address is not written to unless the thread ends.
    let _ = unsafe { syscall!(__NR_set_tid_address, 0x1234) };
    check_eq!(
        (prctl(40, [from_mut(&mut word) as usize, 0, 0, 0]), word),
        (Ok(0), 0x1234),
        "the thread's word"
    );
    // SAFETY: as above.
    let _ = unsafe { syscall!(__NR_set_tid_address, 0) };
    check_eq!(prctl(40, [8, 0, 0, 0]), Err(Errno(EFAULT)), "nowhere");
    let c = child(|| {
        let _ = user::process::become_user(1000);
        check_eq!((prctl(57, [0; 4]), prctl(58, [0; 4])), (Err(Errno(EPERM)), Err(Errno(EPERM))), "not root");
        user::check::failures() as i32
    });
    check_eq!(wait(c).map(|s| s.0), Ok(0), "the other user");
}

fn run() {
    own();
    children();
    slack();
    settings();
}
