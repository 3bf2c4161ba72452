// SPDX-License-Identifier: GPL-2.0-only
//! `unshare`: a process leaves the table of descriptors and the working directory that it shares
//! with another; what cannot be left, and flags that mean nothing.
#![cfg_attr(target_os = "none", no_std, no_main)]

use linux_raw_sys::general as abi;
use user::prelude::*;
use user::process::{exit_thread, spawn_thread};
use user::{Result, file, syscall};

expect! { end: exit(0) }
program!(run);

fn unshare(flags: u32) -> Result {
    // SAFETY: no memory is involved.
    unsafe { syscall!(__NR_unshare, flags) }
}

fn is_open(fd: i32) -> bool {
    // SAFETY: no memory is involved; 1 is F_GETFD.
    unsafe { syscall!(__NR_fcntl, fd, 1) }.is_ok()
}

/// Whether the working directory has a `bin` in it.
fn in_root() -> bool {
    file::stat(c"bin").is_ok()
}

fn chdir(path: &core::ffi::CStr) -> Result {
    // SAFETY: the path ends with a NUL.
    unsafe { syscall!(__NR_chdir, path.as_ptr()) }
}

/// A child that shares descriptors and directory, and calls `unshare` first.
fn sharer(flags: u32, body: impl FnOnce()) {
    let with = abi::CLONE_FILES | abi::CLONE_FS | abi::SIGCHLD;
    // SAFETY: the child has a copy of the memory.
    match unsafe { syscall!(__NR_clone, with, 0, 0, 0, 0) } {
        Ok(0) => {
            check_eq!(unshare(flags), Ok(0), "unshare({flags:#x})");
            body();
            exit_group(i32::from(user::check::failures() != 0))
        }
        pid => check_eq!(pid.and_then(|pid| wait(pid as i32)), Ok(WaitStatus::exited(0)), "the child"),
    }
}

fn shared(fd: i32) {
    let leave = || {
        let _ = file::close(fd);
        let _ = chdir(c"/proc");
    };
    check!(is_open(fd) && in_root(), "before");
    sharer(abi::CLONE_FILES | abi::CLONE_FS | abi::CLONE_SYSVSEM, leave);
    check!(is_open(fd), "the descriptor is the parent's");
    check!(in_root(), "the directory is the parent's");
    sharer(abi::CLONE_FILES, leave);
    check!(is_open(fd), "the descriptor is the parent's");
    check!(!in_root(), "the directory is shared");
    check_eq!(chdir(c"/"), Ok(0), "back");
    sharer(abi::CLONE_FS, leave);
    check!(!is_open(fd), "the descriptor is shared");
    check!(in_root(), "the directory is the parent's");
}

extern "C" fn sleeper() -> ! {
    user::time::sleep_ms(300);
    exit_thread(0)
}

fn run() {
    check_eq!(chdir(c"/"), Ok(0), "chdir");
    let fd = file::open(c"/proc/self/stat", file::O_RDONLY, 0).unwrap_or(-1);
    shared(fd);
    check_eq!(unshare(0), Ok(0), "nothing");
    check_eq!(unshare(abi::CLONE_FILES | abi::CLONE_FS), Ok(0), "what nobody shares");
    for flag in [abi::CLONE_THREAD, abi::CLONE_SIGHAND, abi::CLONE_VM] {
        check_eq!(unshare(flag), Ok(0), "the only thread ({flag:#x})");
    }
    for flag in [abi::CLONE_PARENT, abi::CLONE_VFORK, abi::SIGCHLD, abi::CLONE_SETTLS] {
        check_eq!(unshare(flag), Err(Errno(EINVAL)), "flag {flag:#x}");
    }
    check!(spawn_thread(sleeper).is_ok(), "a thread");
    for flag in [abi::CLONE_THREAD, abi::CLONE_SIGHAND, abi::CLONE_VM] {
        check_eq!(unshare(flag), Err(Errno(EINVAL)), "one of two threads ({flag:#x})");
    }
    check_eq!(unshare(abi::CLONE_FILES), Ok(0), "a thread has descriptors of its own");
}
