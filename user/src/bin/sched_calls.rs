// SPDX-License-Identifier: GPL-2.0-only
//! What programs ask the scheduler, on one CPU: affinity, policies, nice values, barriers.
//! Needs root.
#![cfg_attr(target_os = "none", no_std, no_main)]

use linux_raw_sys::general as abi;
use user::prelude::*;
use user::process::become_user;
use user::syscall;
use user::syscall::Result;

expect! { end: exit(0) }
program!(run);

const NORMAL: usize = abi::SCHED_NORMAL as usize;
const BATCH: usize = abi::SCHED_BATCH as usize;

fn affinity() {
    let (mut all, none) = ([0u64; 16], [0u64; 16]);
    // SAFETY: the kernel reads and writes the masks.
    unsafe {
        let n = syscall!(__NR_sched_getaffinity, 0, 128, all.as_mut_ptr());
        check!(n.is_ok_and(|n| n >= 8 && n % 8 == 0), "getaffinity: {n:?}");
        check!(all[0] & 1 != 0, "the first CPU");
        check_eq!(
            syscall!(__NR_sched_getaffinity, 0, 7, all.as_mut_ptr()),
            Err(Errno(EINVAL)),
            "a short mask"
        );
        check_eq!(syscall!(__NR_sched_setaffinity, 0, 128, all.as_ptr()), Ok(0), "setaffinity");
        check_eq!(syscall!(__NR_sched_setaffinity, 0, 128, none.as_ptr()), Err(Errno(EINVAL)), "nowhere");
        check_eq!(
            syscall!(__NR_sched_setaffinity, 0x3fff_ffff, 128, all.as_ptr()),
            Err(Errno(ESRCH)),
            "nobody"
        );
        check_eq!(syscall!(__NR_sched_setaffinity, 0, 8, 8), Err(Errno(EFAULT)), "a bad mask");
    }
}

fn policies() {
    let (mut priority, one) = (7i32, 1i32);
    let zero = 0i32;
    // SAFETY: the kernel reads and writes the priorities.
    unsafe {
        let set =
            |policy: usize, p: &i32| syscall!(__NR_sched_setscheduler, 0, policy, core::ptr::from_ref(p));
        let get = || syscall!(__NR_sched_getscheduler, 0);
        check_eq!(get(), Ok(NORMAL), "at first");
        check_eq!(set(BATCH, &one), Err(Errno(EINVAL)), "no priorities there");
        check_eq!((set(BATCH, &zero), get()), (Ok(0), Ok(BATCH)), "another policy");
        check_eq!(syscall!(__NR_sched_getparam, 0, core::ptr::from_mut(&mut priority)), Ok(0), "getparam");
        check_eq!(priority, 0, "its priority");
        check_eq!(set(99, &zero), Err(Errno(EINVAL)), "no such policy");
        check_eq!(set(abi::SCHED_FIFO as usize, &zero), Err(Errno(EINVAL)), "real time begins at 1");
        check_eq!((set(NORMAL, &zero), get()), (Ok(0), Ok(NORMAL)), "and back");
        for (policy, min, max) in [(abi::SCHED_FIFO, 1, 99), (abi::SCHED_RR, 1, 99), (abi::SCHED_IDLE, 0, 0)]
        {
            check_eq!(syscall!(__NR_sched_get_priority_min, policy), Ok(min), "the least of {policy}");
            check_eq!(syscall!(__NR_sched_get_priority_max, policy), Ok(max), "the most of {policy}");
        }
        check_eq!(syscall!(__NR_sched_get_priority_max, 4), Err(Errno(EINVAL)), "no such policy");
        check_eq!(syscall!(__NR_sched_getscheduler, -1), Err(Errno(EINVAL)), "a negative id");
    }
}

fn nice(value: i32) -> Result {
    // SAFETY: no memory is involved.
    unsafe { syscall!(__NR_setpriority, abi::PRIO_PROCESS, 0, value) }
}

fn priorities() {
    // SAFETY: no memory is involved.
    let get = |which: u32, who: i32| unsafe { syscall!(__NR_getpriority, which, who) };
    check_eq!(get(abi::PRIO_PROCESS, 0), Ok(20), "at first");
    check_eq!((nice(5), get(abi::PRIO_PROCESS, 0)), (Ok(0), Ok(15)), "nice");
    check_eq!(
        wait(child(|| get(abi::PRIO_PROCESS, 0).map_or(0, |n| n as i32))),
        Ok(WaitStatus::exited(15)),
        "a child"
    );
    check_eq!((nice(100), get(abi::PRIO_PROCESS, getpid())), (Ok(0), Ok(1)), "as nice as can be");
    check_eq!((nice(-100), get(abi::PRIO_PROCESS, 0)), (Ok(0), Ok(40)), "and as unkind");
    check_eq!(nice(0), Ok(0), "and back");
    check_eq!(get(3, 0), Err(Errno(EINVAL)), "no such kind");
    check_eq!(get(abi::PRIO_PROCESS, 0x3fff_ffff), Err(Errno(ESRCH)), "nobody");
    let pid = child(|| {
        let _ = become_user(1000);
        check_eq!(nice(-1), Err(Errno(EACCES)), "unkind without privilege");
        // SAFETY: no memory is involved.
        let init = unsafe { syscall!(__NR_setpriority, abi::PRIO_PROCESS, 1, 5) };
        check_eq!(init, Err(Errno(EPERM)), "somebody else");
        i32::from(user::check::failures() != 0)
    });
    check_eq!(wait(pid), Ok(WaitStatus::exited(0)), "without privilege");
}

fn barriers() {
    // SAFETY: no memory is involved.
    let barrier = |command: u32, flags: u32| unsafe { syscall!(__NR_membarrier, command, flags, 0) };
    check!(barrier(0, 0).is_ok_and(|known| known & 0x1f == 0x1f), "what there is: {:?}", barrier(0, 0));
    check_eq!(barrier(1, 0), Ok(0), "for all");
    check_eq!(barrier(8, 0), Err(Errno(EPERM)), "a fast one for who did not register");
    check_eq!((barrier(16, 0), barrier(8, 0)), (Ok(0), Ok(0)), "for who did");
    check_eq!(barrier(8, 2), Err(Errno(EINVAL)), "a flag");
    check_eq!(barrier(1 << 20, 0), Err(Errno(EINVAL)), "no such command");
}

fn run() {
    affinity();
    policies();
    priorities();
    barriers();
}
