// SPDX-License-Identifier: GPL-2.0-only
//! Time spent in user mode and in the kernel is charged to where it was spent, and passed on
//! to who waits: `getrusage`, `times`, `/proc/PID/stat`; timers on it.
#![cfg_attr(target_os = "none", no_std, no_main)]

use linux_raw_sys::general as abi;
use user::check::at_best;
use user::prelude::*;
use user::{file, syscall, time};

expect! { end: exit(0) }
program!(run);

const MS: i64 = 1_000_000;
/// How long each child works.
const WORK: i64 = 200 * MS;

/// User and system time in nanoseconds.
fn rusage(who: i32) -> (i64, i64) {
    let mut r = [0i64; 18];
    // SAFETY: the kernel writes one `struct rusage` of 144 bytes.
    let _ = unsafe { syscall!(__NR_getrusage, who, r.as_mut_ptr()) };
    (r[0] * 1000 * MS + r[1] * 1000, r[2] * 1000 * MS + r[3] * 1000)
}

/// What a child that does `what` used.
fn used_by(what: fn()) -> (i64, i64) {
    let before = rusage(abi::RUSAGE_CHILDREN);
    let _ = wait(child(|| {
        what();
        0
    }));
    let after = rusage(abi::RUSAGE_CHILDREN);
    (after.0 - before.0, after.1 - before.1)
}

/// Hardly ever in the kernel.
fn compute() {
    let until = time::now() + WORK;
    while time::now() < until {
        for _ in 0..200_000 {
            core::hint::spin_loop();
        }
    }
}

/// Hardly ever out of it: memory is mapped, cleared and unmapped.
fn call() {
    let until = time::now() + WORK;
    while time::now() < until {
        let len = 1 << 21;
        if let Ok(at) = user::memory::map(len, user::memory::PROT_READ | user::memory::PROT_WRITE) {
            // SAFETY: ours; populated by the kernel.
            unsafe {
                let _ = syscall!(__NR_madvise, at, len, abi::MADV_POPULATE_WRITE);
                let _ = syscall!(__NR_munmap, at, len);
            }
        }
    }
}

/// Fields 14 and 15 of `/proc/self/stat`: clock ticks.
fn stat_ticks() -> Option<(i64, i64)> {
    let mut buf = [0; 512];
    let fd = file::open(c"/proc/self/stat", file::O_RDONLY, 0).ok()?;
    let n = file::read_full(fd, &mut buf).ok()?;
    let _ = file::close(fd);
    let text = core::str::from_utf8(&buf[..n]).ok()?;
    let mut fields = text.rsplit_once(')')?.1.split_whitespace().skip(11);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

/// One's own user time as `getrusage` and as `/proc/self/stat` have it, in nanoseconds.
fn both_own() -> (i64, i64) {
    let (own, _) = rusage(abi::RUSAGE_SELF as i32);
    (own, stat_ticks().map_or(0, |t| t.0 * 10 * MS))
}

/// What is left of a timer on the CPU's time, in nanoseconds.
fn left(which: u32) -> i64 {
    let mut t = [-1i64; 4];
    // SAFETY: the kernel writes four words.
    let _ = unsafe { syscall!(__NR_getitimer, which, t.as_mut_ptr()) };
    t[2] * 1000 * MS + t[3] * 1000
}

/// A timer on the CPU's time gets a tick more than it was set to.
fn itimers() {
    for which in [abi::ITIMER_VIRTUAL, abi::ITIMER_PROF] {
        let set = |seconds: i64| {
            let t = [0, 0, seconds, 0];
            // SAFETY: the kernel reads four words.
            unsafe { syscall!(__NR_setitimer, which, t.as_ptr(), 0) }
        };
        let longer = || (set(10), left(which) - 10_000 * MS);
        let (done, more) = at_best(longer, |(_, more)| (1..=4 * MS).contains(more));
        check_eq!(done, Ok(0), "setitimer");
        check!((1..=4 * MS).contains(&more), "{which}: {more} ns more");
        check_eq!((set(0), left(which)), (Ok(0), 0), "none");
    }
}

fn run() {
    let (user, system) = at_best(|| used_by(compute), |&(user, system)| user > WORK / 2 && system < user / 2);
    check!(user > WORK / 2, "computing: {user} ns in user mode");
    check!(system < user / 2, "computing: {system} ns in the kernel, {user} in user mode");
    let (user, system) = at_best(|| used_by(call), |&(user, system)| system > WORK / 2 && user < system / 2);
    check!(system > WORK / 2, "calling: {system} ns in the kernel");
    check!(user < system / 2, "calling: {user} ns in user mode, {system} in the kernel");
    itimers();
    compute();
    let (own, shown) = at_best(both_own, |(own, shown)| (shown - own).abs() <= 20 * MS);
    check!((shown - own).abs() <= 20 * MS, "stat says {shown} ns, getrusage {own} ns");
}
