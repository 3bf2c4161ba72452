// SPDX-License-Identifier: GPL-2.0-only
//! sched_setattr and its older kin: sizes, flags, priorities; who may become more urgent; what
//! children inherit.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::ptr::{from_mut, from_ref};
use linux_raw_sys::general as abi;
use linux_raw_sys::general::{SCHED_BATCH, SCHED_DEADLINE, SCHED_FIFO, SCHED_IDLE, SCHED_NORMAL, SCHED_RR};
use user::prelude::*;
use user::process::{become_user, setrlimit};
use user::syscall;
use user::syscall::Result;

expect! { end: exit(0) }
program!(run);

/// `struct sched_attr`, with something behind it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Attr {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    deadline: [u64; 3],
    util: [u32; 2],
    more: u64,
}

const NEW: Attr =
    Attr { size: 48, policy: 0, flags: 0, nice: 0, priority: 0, deadline: [0; 3], util: [0; 2], more: 0 };

fn setattr(a: &mut Attr) -> Result {
    // SAFETY: the kernel reads the structure, and may write its size.
    unsafe { syscall!(__NR_sched_setattr, 0, from_mut(a), 0) }
}

fn set(a: Attr) -> Result {
    setattr(&mut { a })
}

fn getattr(size: u32) -> (Result, Attr) {
    let mut a = Attr { more: 7, ..NEW };
    // SAFETY: the kernel writes the structure.
    let r = unsafe { syscall!(__NR_sched_getattr, 0, from_mut(&mut a), size, 0) };
    (r, a)
}

fn set_policy(policy: u32, priority: i32) -> Result {
    // SAFETY: the kernel reads the priority.
    unsafe { syscall!(__NR_sched_setscheduler, 0, policy, from_ref(&priority)) }
}

fn policy() -> Result {
    // SAFETY: no memory is involved.
    unsafe { syscall!(__NR_sched_getscheduler, 0) }
}

fn priority() -> i32 {
    let mut p = -1;
    // SAFETY: the kernel writes the priority.
    let _ = unsafe { syscall!(__NR_sched_getparam, 0, from_mut(&mut p)) };
    p
}

fn e(n: u32) -> Result {
    Err(Errno(n))
}

fn attributes() {
    check_eq!(getattr(47).0, e(EINVAL), "too small");
    check_eq!(getattr(4097).0, e(EINVAL), "too large");
    let (r, a) = getattr(48);
    check_eq!((r, a), (Ok(0), Attr { size: 48, more: 7, ..NEW }), "as it was");
    let (r, a) = getattr(64);
    check_eq!((r, a), (Ok(0), Attr { size: 56, more: 7, ..NEW }), "a larger one");
    let nice = Attr { nice: 7, ..NEW };
    check_eq!((set(nice), getattr(48).1.nice), (Ok(0), 7), "nice");
    check_eq!((set(Attr { nice: 100, ..NEW }), getattr(48).1.nice), (Ok(0), 19), "too nice");
    check_eq!((set(Attr { size: 0, ..NEW }), getattr(48).1.nice), (Ok(0), 0), "without a size");
    let mut a = Attr { size: 64, more: 1, ..NEW };
    check_eq!((setattr(&mut a), a.size), (e(E2BIG), 56), "something behind it");
    check_eq!(set(Attr { size: 64, ..NEW }), Ok(0), "nothing behind it");
    let mut a = Attr { size: 40, ..NEW };
    check_eq!((setattr(&mut a), a.size), (e(E2BIG), 56), "too small");
    check_eq!(set(Attr { policy: u32::MAX, ..NEW }), e(EINVAL), "a negative policy");
    check_eq!(set(Attr { policy: 4, ..NEW }), e(EINVAL), "no such policy");
    check_eq!(set(Attr { flags: 0x80, ..NEW }), e(EINVAL), "no such flag");
    check_eq!(set(Attr { flags: 0x20, ..NEW }), e(EINVAL), "a clamp for which there is no room");
    check_eq!(set(Attr { size: 56, flags: 0x20, ..NEW }), e(EOPNOTSUPP), "a clamp");
    check_eq!(set(Attr { priority: 1, ..NEW }), e(EINVAL), "a priority for nothing");
    check_eq!(set(Attr { policy: SCHED_RR, ..NEW }), e(EINVAL), "real time without one");
    check_eq!(set(Attr { policy: SCHED_RR, priority: 100, ..NEW }), e(EINVAL), "too high a one");
    check_eq!(set(Attr { policy: SCHED_DEADLINE, ..NEW }), e(EINVAL), "a deadline that is none");
    check_eq!(set(Attr { nice: 3, ..NEW }), Ok(0), "nice");
    let rr = Attr { policy: SCHED_RR, priority: 9, ..NEW };
    check_eq!((set(rr), policy(), priority()), (Ok(0), Ok(SCHED_RR as usize), 9), "real time");
    check_eq!(getattr(48).1, Attr { more: 7, ..rr }, "and its attributes");
    let keep = Attr { flags: 8, priority: 11, policy: 0, ..NEW };
    check_eq!((set(keep), policy(), priority()), (Ok(0), Ok(SCHED_RR as usize), 11), "the same policy");
    // With the parameters the policy stays, too.
    let keep = Attr { flags: 16, policy: SCHED_FIFO, ..NEW };
    check_eq!((set(keep), policy(), priority()), (Ok(0), Ok(SCHED_RR as usize), 11), "all as it was");
    check_eq!(set_policy(SCHED_NORMAL, 0), Ok(0), "and back");
    check_eq!((getattr(48).1.nice, priority()), (3, 0), "as nice as before");
    check_eq!(set(NEW), Ok(0), "for all that follows");
    // SAFETY: the kernel refuses.
    let calls = unsafe {
        [
            syscall!(__NR_sched_setattr, 0, 0, 0),
            syscall!(__NR_sched_setattr, 0, from_ref(&NEW), 1),
            syscall!(__NR_sched_setattr, -1, from_ref(&NEW), 0),
            syscall!(__NR_sched_getattr, 0, 0, 48, 0),
            syscall!(__NR_sched_getscheduler, -1),
        ]
    };
    check_eq!(calls, [e(EINVAL); 5], "refused");
    // SAFETY: as above.
    let nobody = unsafe { syscall!(__NR_sched_setattr, 0x3fff_ffff, from_ref(&NEW), 0) };
    check_eq!(nobody, e(ESRCH), "nobody");
}

fn inherited() {
    let in_child = || {
        let (from, to) = user::file::pipe(0).unwrap_or((-1, -1));
        let pid = child(|| {
            let words = [policy().unwrap_or(99) as u8, getattr(48).1.nice as u8];
            let _ = user::file::write(to, &words);
            0
        });
        let mut words = [0; 2];
        let _ = user::file::read(from, &mut words);
        let _ = (wait(pid), user::file::close(from), user::file::close(to));
        (Ok::<_, Errno>(words[0] as usize), i32::from(words[1].cast_signed()))
    };
    check_eq!(set(Attr { nice: -4, ..NEW }), Ok(0), "unkind");
    check_eq!(in_child(), (Ok(0), -4), "a child");
    check_eq!(set(Attr { nice: -4, flags: 1, ..NEW }), Ok(0), "with reset");
    check_eq!((getattr(48).1.flags, policy()), (1, Ok(0x4000_0000)), "shown");
    check_eq!(in_child(), (Ok(0), 0), "a child");
    check_eq!(set(Attr { nice: 4, flags: 1, ..NEW }), Ok(0), "nice, with reset");
    check_eq!(in_child(), (Ok(0), 4), "a child");
    check_eq!(set_policy(SCHED_RR, 3), Ok(0), "real time");
    check_eq!(in_child(), (Ok(SCHED_RR as usize), 0), "a child");
    check_eq!(set_policy(SCHED_RR | 0x4000_0000, 3), Ok(0), "real time, with reset");
    check_eq!(in_child(), (Ok(0), 0), "a child");
    check_eq!((set_policy(SCHED_IDLE | 0x4000_0000, 0), set(NEW)), (Ok(0), Ok(0)), "and back");
}

fn unprivileged() {
    let pid = child(|| {
        let _ = setrlimit(abi::RLIMIT_RTPRIO, 5, None);
        let _ = setrlimit(abi::RLIMIT_NICE, 18, None);
        let _ = become_user(1000);
        check_eq!((set_policy(SCHED_FIFO, 6), set_policy(SCHED_FIFO, 5)), (e(EPERM), Ok(0)), "the limit");
        check_eq!((set_policy(SCHED_FIFO, 6), set_policy(SCHED_RR, 3)), (e(EPERM), Ok(0)), "less");
        check_eq!(set(Attr { nice: 9, ..NEW }), Ok(0), "nice");
        check_eq!(set(Attr { nice: 1, ..NEW }), e(EPERM), "less nice than the limit");
        check_eq!(set(Attr { nice: 2, ..NEW }), Ok(0), "as the limit says");
        check_eq!((set_policy(SCHED_IDLE, 0), set_policy(SCHED_BATCH, 0)), (Ok(0), Ok(0)), "idle and back");
        check_eq!(set_policy(SCHED_NORMAL | 0x4000_0000, 0), Ok(0), "with reset");
        check_eq!(set_policy(SCHED_NORMAL, 0), e(EPERM), "without it again");
        // SAFETY: the kernel refuses.
        let init = unsafe { syscall!(__NR_sched_setscheduler, 1, 0, from_ref(&0i32)) };
        check_eq!(init, e(EPERM), "somebody else's");
        i32::from(user::check::failures() != 0)
    });
    check_eq!(wait(pid), Ok(WaitStatus::exited(0)), "an ordinary user");
    let pid = child(|| {
        let _ = become_user(1000);
        check_eq!((set_policy(SCHED_FIFO, 1), set_policy(SCHED_RR, 1)), (e(EPERM), e(EPERM)), "no limit");
        check_eq!((set_policy(SCHED_IDLE, 0), set_policy(SCHED_NORMAL, 0)), (Ok(0), e(EPERM)), "no way back");
        i32::from(user::check::failures() != 0)
    });
    check_eq!(wait(pid), Ok(WaitStatus::exited(0)), "one without limits");
}

fn run() {
    attributes();
    inherited();
    unprivileged();
}
