// SPDX-License-Identifier: GPL-2.0-only
//! `RLIMIT_NPROC`: it counts the threads of a real user, also dead ones that nobody has waited for; a
//! process that becomes a user who has too many does, but runs no program until there are fewer. Needs
//! root.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::ffi::CStr;
use core::ptr::null;
use linux_raw_sys::auxvec::AT_EXECFN;
use linux_raw_sys::general as abi;
use user::file;
use user::prelude::*;
use user::process::{WEXITED, WNOWAIT, become_user, execve, exit_thread, setrlimit, spawn_thread, waitid};
use user::signal::{SIGKILL, pause};
use user::start::{arg_str, aux};
use user::syscall;

expect! { end: exit(0) }
program!(run);

/// Nobody else is these users.
const USER: u32 = 4711;
const OTHER: u32 = 4712;
/// "Leave it as it is".
const KEEP: u32 = u32::MAX;
/// `PF_NPROC_EXCEEDED`, as field 9 of `/proc/PID/stat` has it.
const PF_NPROC_EXCEEDED: u32 = 0x1000;

fn run() {
    if arg_str(1) == Some("--leave") {
        exit_group(5);
    }
    in_child("what is counted", counted);
    in_child("the real user counts", real_user);
    in_child("who is above the limit", above);
    in_child("root", root_is_free);
    check_eq!(Ok(WaitStatus::exited(0)), wait(child(|| 0)), "as ever");
}

fn in_child(what: &str, body: fn()) {
    let pid = child(|| {
        body();
        user::check::failures() as i32
    });
    check_eq!(wait(pid), Ok(WaitStatus::exited(0)), "{what}");
}

fn limit(n: u64) {
    check_eq!(setrlimit(abi::RLIMIT_NPROC, n, None).map(drop), Ok(()), "RLIMIT_NPROC {n}");
}

fn setresuid(r: u32, e: u32, s: u32) -> Result<usize, Errno> {
    // SAFETY: no memory is involved.
    unsafe { syscall!(__NR_setresuid, r, e, s) }
}

/// A child that waits to be killed; or why there is none.
fn sleeper() -> Result<i32, Errno> {
    match fork() {
        Ok(0) => loop {
            let _ = pause();
        },
        other => other,
    }
}

fn end(pid: Result<i32, Errno>) {
    if let Ok(pid) = pid {
        let _ = kill(pid, SIGKILL);
        check_eq!(wait(pid), Ok(WaitStatus::killed(9)), "the sleeper");
    }
}

extern "C" fn thread() -> ! {
    loop {
        let _ = pause();
    }
}

extern "C" fn short_thread() -> ! {
    exit_thread(0)
}

fn counted() {
    limit(2);
    check_eq!(become_user(USER).map(drop), Ok(()), "setresuid");
    let first = sleeper();
    check!(first.is_ok(), "the second process: {first:?}");
    check_eq!(fork(), Err(Errno(EAGAIN)), "the third");
    check_eq!(spawn_thread(short_thread).map(drop), Err(Errno(EAGAIN)), "a thread is one too");
    let Ok(pid) = first else { return };
    let _ = kill(pid, SIGKILL);
    check!(waitid(pid, WEXITED | WNOWAIT).is_ok(), "it ended");
    check_eq!(fork(), Err(Errno(EAGAIN)), "a zombie counts");
    end(first);
    check_eq!(spawn_thread(thread).map(drop), Ok(()), "and then there is room");
    check_eq!(fork(), Err(Errno(EAGAIN)), "which the thread has taken");
    limit(1);
    check_eq!(fork(), Err(Errno(EAGAIN)), "a lower limit ends nobody");
}

/// The effective user changes nothing; the real one takes the process along.
fn real_user() {
    limit(2);
    check_eq!(setresuid(0, USER, 0), Ok(0), "the effective user");
    let three = [sleeper(), sleeper(), sleeper()];
    check!(three.iter().all(Result::is_ok), "three processes of real root: {three:?}");
    three.into_iter().for_each(end);
    check_eq!(setresuid(USER, USER, 0), Ok(0), "the real user");
    let of_user = sleeper();
    check!(of_user.is_ok(), "the second process: {of_user:?}");
    check_eq!(fork(), Err(Errno(EAGAIN)), "the third");
    check_eq!(setresuid(KEEP, 0, KEEP), Ok(0), "root again, but for the real user");
    let of_root = sleeper();
    check!(of_root.is_ok(), "who may exceed limits: {of_root:?}");
    end(of_root);
    check_eq!(setresuid(OTHER, OTHER, 0), Ok(0), "another user");
    let of_other = sleeper();
    check!(of_other.is_ok(), "the second process of that one: {of_other:?}");
    check_eq!(fork(), Err(Errno(EAGAIN)), "the third of that one");
    check_eq!(setresuid(KEEP, 0, KEEP), Ok(0), "root again");
    end(of_other);
    end(of_user);
}

/// Whether the process is marked.
fn marked() -> bool {
    let mut buf = [0; 512];
    let stat = file::load(c"/proc/self/stat", &mut buf).unwrap_or(b"");
    let stat = core::str::from_utf8(stat).unwrap_or("");
    let flags = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(6));
    flags.and_then(|f| f.parse::<u32>().ok()).is_some_and(|f| f & PF_NPROC_EXCEEDED != 0)
}

fn run_again() -> Errno {
    let path = aux(AT_EXECFN).unwrap_or(0) as usize;
    // SAFETY: the kernel has put it there, and it ends with a NUL.
    let path = unsafe { CStr::from_ptr(core::ptr::with_exposed_provenance(path)) };
    execve(path, &[c"nproc_limit".as_ptr(), c"--leave".as_ptr(), null()], &[null()])
}

fn above() {
    let Ok((r, w)) = file::pipe(0) else { return check!(false, "a pipe") };
    let others = [(); 2].map(|()| {
        child(|| {
            let _ = become_user(USER);
            file::write_all(w, b"ready");
            let _ = pause();
            0
        })
    });
    let mut ready = [0; 10];
    check_eq!(file::read_full(r, &mut ready), Ok(10), "two of that user");
    limit(1);
    let late = child(|| {
        check!(!marked(), "not marked yet");
        check_eq!(setresuid(USER, USER, 0), Ok(0), "to become the user never fails");
        check!(marked(), "but is noted");
        check_eq!(run_again(), Errno(EAGAIN), "execve");
        check_eq!(setresuid(USER, USER, USER), Ok(0), "the same user again");
        check!(marked(), "is still noted");
        // The parent waits for them.
        for pid in others {
            check_eq!(run_again(), Errno(EAGAIN), "execve while others are there");
            let _ = kill(pid, SIGKILL);
            while kill(pid, 0) != Err(Errno(ESRCH)) {
                user::time::sleep_ms(1);
            }
        }
        if user::check::failures() == 0 {
            check_eq!(run_again(), Errno(0), "execve when there is room");
        }
        1
    });
    for pid in others {
        check_eq!(wait(pid), Ok(WaitStatus::killed(9)), "the others");
    }
    check_eq!(wait(late), Ok(WaitStatus::exited(5)), "the other program");
    let _ = file::close(r);
    let _ = file::close(w);
}

/// Root has no limit, nor who may exceed limits.
fn root_is_free() {
    limit(0);
    end(sleeper());
    let keeps = child(|| {
        // The capabilities stay while the effective user is root.
        let _ = setresuid(USER, 0, 0);
        let one = sleeper();
        let _ = setresuid(0, 0, 0);
        let _ = setresuid(USER, 0, 0);
        check!(marked(), "one is more than none");
        let two = sleeper();
        check!(!marked(), "what could be made is not too much");
        check!(one.is_ok() && two.is_ok(), "there they are: {one:?} {two:?}");
        end(one);
        end(two);
        user::check::failures() as i32
    });
    check_eq!(wait(keeps), Ok(WaitStatus::exited(0)), "with CAP_SYS_RESOURCE");
}
