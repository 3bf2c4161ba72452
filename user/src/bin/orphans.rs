// SPDX-License-Identifier: GPL-2.0-only
//! Zombies, orphans, and parents that do not want to wait.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::sync::atomic::{AtomicI32, Ordering::SeqCst};
use user::memory::map_shared;
use user::prelude::*;
use user::process::{WEXITED, WNOWAIT, getppid, wait4, waitid};
use user::signal::{SIGCHLD, sigpending};
use user::time::sleep_ms;

expect! { end: exit(0) }
program!(run);

const SA_NOCLDWAIT: u32 = 2;

fn run() {
    zombie();
    orphan();
    no_wait();
}

/// A child that has ended can be signalled until it is waited for.
fn zombie() {
    let pid = child(|| 3);
    check!(waitid(pid, WEXITED | WNOWAIT).is_ok(), "it ended");
    check_eq!(kill(pid, 9), Ok(0), "kill of a zombie");
    check_eq!(wait(pid), Ok(WaitStatus::exited(3)), "its status is what it was");
    check_eq!(kill(pid, 0), Err(Errno(ESRCH)), "kill after the wait");
}

/// A grandchild whose parent ends gets another one, and we do not hear of it.
fn orphan() {
    let page = map_shared(4096).unwrap_or(0);
    // SAFETY: a fresh zeroed page that only this program and its children use.
    let parent: &AtomicI32 = unsafe { &*core::ptr::with_exposed_provenance(page) };
    let pid = child(|| {
        let middle = getpid();
        let _ = child(|| {
            while getppid() == middle {
                sleep_ms(1);
            }
            parent.store(getppid(), SeqCst);
            0
        });
        0
    });
    check_eq!(wait(pid), Ok(WaitStatus::exited(0)), "the middle one");
    for _ in 0..2000 {
        if parent.load(SeqCst) != 0 {
            break;
        }
        sleep_ms(1);
    }
    let new = parent.load(SeqCst);
    check!(new > 0 && new != pid && new != getpid(), "the orphan's new parent: {new}");
    check_eq!(wait4(-1, 0), Err(Errno(ECHILD)), "it is not our child");
}

/// SIGCHLD ignored, or SA_NOCLDWAIT: no zombies; wait4 waits for all and finds none.
fn no_wait() {
    let _ = sigaction(SIGCHLD, Action::Ignore, 0, 0);
    let _ = child(|| 1);
    check_eq!(wait4(-1, 0), Err(Errno(ECHILD)), "SIGCHLD ignored");
    user::seen::install(SIGCHLD, SA_NOCLDWAIT, 0);
    sigprocmask_set(bit(SIGCHLD));
    let pid = child(|| 1);
    check_eq!(wait4(pid, 0), Err(Errno(ECHILD)), "SA_NOCLDWAIT");
    check_eq!(sigpending(), bit(SIGCHLD), "SIGCHLD is sent all the same");
}
