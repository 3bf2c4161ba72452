// SPDX-License-Identifier: GPL-2.0-only
//! A zombie has no working directory, and keeps no file system busy; what waitid says of nobody.
//! Needs root.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::ffi::CStr;
use core::fmt::Write;
use linux_raw_sys::general as abi;
use user::prelude::*;
use user::process::{WEXITED, WNOWAIT, waitid};
use user::syscall::Result;
use user::text::Text;
use user::{file, syscall};

expect! { end: exit(0) }
program!(run);

const PLACE: &CStr = c"/tmp/zombie_lets_go";

fn chdir(path: &CStr) -> Result {
    // SAFETY: the path is a C string.
    unsafe { syscall!(__NR_chdir, path.as_ptr()) }
}

fn umount(path: &CStr) -> Result {
    // SAFETY: the path is a C string.
    unsafe { syscall!(__NR_umount2, path.as_ptr(), 0) }
}

fn readlink(path: &CStr) -> Result {
    let mut out = [0u8; 64];
    // SAFETY: the path is a C string; the kernel writes at most the buffer's size.
    unsafe { syscall!(__NR_readlink, path.as_ptr(), out.as_mut_ptr(), out.len()) }
}

fn busy() {
    let _ = file::mkdir(PLACE, 0o755);
    check_eq!(file::mount(c"tmpfs", PLACE), Ok(0), "mount");
    check_eq!(chdir(PLACE), Ok(0), "chdir");
    check_eq!(umount(PLACE), Err(Errno(EBUSY)), "somebody is there");
    let pid = child(|| 0);
    check!(waitid(pid, WEXITED | WNOWAIT).is_ok(), "it ended");
    check_eq!(chdir(c"/"), Ok(0), "chdir");
    let mut name = Text::<64>::new();
    let _ = write!(name, "/proc/{pid}/cwd\0");
    let cwd = CStr::from_bytes_until_nul(name.as_str().as_bytes()).unwrap_or(c"");
    check_eq!(readlink(cwd), Err(Errno(ENOENT)), "a zombie's working directory");
    check_eq!(umount(PLACE), Ok(0), "only a zombie was there");
    check_eq!(wait(pid), Ok(WaitStatus::exited(0)), "its status");
}

/// `waitid` over something that is not zero; what is left of it.
fn waitid_over(kind: u32, id: i32, options: u32) -> (Result, [u32; 7]) {
    let mut info = [0x5555_5555u32; 32];
    // SAFETY: the kernel writes a siginfo.
    let r = unsafe { syscall!(__NR_waitid, kind, id, info.as_mut_ptr(), options, 0) };
    let mut head = [0; 7];
    head.copy_from_slice(&info[..7]);
    (r, head)
}

fn nobody() {
    let pad = 0x5555_5555;
    let zeroes = [0, 0, 0, pad, 0, 0, 0];
    let error = |e| (Err(Errno(e)), zeroes);
    check_eq!(waitid_over(abi::P_ALL, 0, WEXITED), error(ECHILD), "no children");
    check_eq!(waitid_over(abi::P_PID, 0, WEXITED), error(EINVAL), "pid 0");
    check_eq!(waitid_over(abi::P_PGID, -1, WEXITED), error(EINVAL), "group -1");
    check_eq!(waitid_over(9, 1, WEXITED), error(EINVAL), "a kind that there is not");
    check_eq!(waitid_over(abi::P_ALL, 0, 0), error(EINVAL), "for nothing");
    check_eq!(waitid_over(abi::P_PIDFD, 99, WEXITED), error(EBADF), "no such descriptor");
    check_eq!(waitid_over(abi::P_PIDFD, 0, WEXITED), error(EBADF), "not a process's descriptor");
    check_eq!(waitid_over(abi::P_PIDFD, -1, WEXITED), error(EINVAL), "descriptor -1");
}

fn run() {
    busy();
    nobody();
}
