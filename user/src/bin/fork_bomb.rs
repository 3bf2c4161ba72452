// SPDX-License-Identifier: GPL-2.0-only
//! A fork bomb of a user with a limit of processes: it comes to as many as the limit says, others
//! make processes as before, and one signal to all of the user's ends it.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};
use linux_raw_sys::general as abi;
use user::memory::map_shared;
use user::prelude::*;
use user::process::{become_user, setrlimit, wait4};
use user::signal::SIGKILL;
use user::time;

expect! { end: exit(0) }
program!(run);

/// Nobody else is this user.
const USER: u32 = 4242;
/// Processes that the user may have.
const LIMIT: u64 = 24;

/// What the processes tell each other.
struct Shared {
    /// How many were made, and how often there was to be one more.
    made: AtomicU32,
    refused: AtomicU32,
    /// An error that was not the limit's.
    other: AtomicU32,
}

fn shared() -> &'static Shared {
    static PAGE: AtomicU64 = AtomicU64::new(0);
    if PAGE.load(SeqCst) == 0 {
        PAGE.store(map_shared(4096).unwrap_or(0) as u64, SeqCst);
    }
    // SAFETY: a zeroed page that only this program and its children use.
    unsafe { &*core::ptr::with_exposed_provenance(PAGE.load(SeqCst) as usize) }
}

/// Every process makes as many more as it can, for ever.
fn bomb() -> ! {
    loop {
        match user::process::fork() {
            Ok(_) => {
                shared().made.fetch_add(1, SeqCst);
            }
            Err(Errno(EAGAIN)) => {
                shared().refused.fetch_add(1, SeqCst);
                user::process::sched_yield();
            }
            Err(Errno(e)) => shared().other.store(e, SeqCst),
        }
    }
}

fn run() {
    let s = shared();
    let first = child(|| {
        check_eq!(setrlimit(abi::RLIMIT_NPROC, LIMIT, Some(LIMIT)).map(drop), Ok(()), "RLIMIT_NPROC");
        check_eq!(become_user(USER).map(drop), Ok(()), "setuid");
        bomb()
    });
    for _ in 0..600 {
        if s.refused.load(SeqCst) > 1000 {
            break;
        }
        time::sleep_ms(5);
    }
    check!(s.refused.load(SeqCst) > 1000, "refused {} times", s.refused.load(SeqCst));
    // A parent and a child come back from each fork.
    check_eq!(u64::from(s.made.load(SeqCst)), 2 * (LIMIT - 1), "the limit counts the first one");
    check_eq!(s.other.load(SeqCst), 0, "no other error");
    let pid = child(|| 7);
    check_eq!(wait(pid), Ok(WaitStatus::exited(7)), "others make processes as before");
    let reaper = child(|| {
        let _ = become_user(USER);
        // Not the sender, but all else that is the user's.
        let _ = kill(-1, SIGKILL);
        0
    });
    check_eq!(wait(reaper), Ok(WaitStatus::exited(0)), "who ends them");
    check_eq!(wait(first), Ok(WaitStatus::killed(9)), "the first one");
    // The others are this program's, if it wanted them; it did not.
    check_eq!(wait4(-1, 0), Err(Errno(ECHILD)), "no more");
    let again = child(|| {
        let _ = become_user(USER);
        let pid = child(|| 3);
        i32::from(wait(pid) != Ok(WaitStatus::exited(3)))
    });
    check_eq!(wait(again), Ok(WaitStatus::exited(0)), "the user may have processes again");
}
