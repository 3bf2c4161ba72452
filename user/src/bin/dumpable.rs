// SPDX-License-Identifier: GPL-2.0-only
//! Whose memory a process's is: one that changed its ids, or says so itself, leaves no core, and
//! its files in `/proc` are root's, until `fs.suid_dumpable` says otherwise. Needs root, and
//! changes two settings, which it puts back.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::ffi::CStr;
use linux_raw_sys::prctl as pr;
use user::prelude::*;
use user::process::{RLIMIT_CORE, become_user, setrlimit};
use user::signal::SIGQUIT;
use user::syscall::Result;
use user::{file, syscall};

expect! { end: exit(0) }
program!(run);

const PATTERN: &CStr = c"/proc/sys/kernel/core_pattern";
const SUID_DUMPABLE: &CStr = c"/proc/sys/fs/suid_dumpable";
const CORE: &CStr = c"/tmp/dumpable.core";

fn dumpable() -> Result {
    // SAFETY: no memory is involved.
    unsafe { syscall!(__NR_prctl, pr::PR_GET_DUMPABLE, 0, 0, 0, 0) }
}

fn set_dumpable(value: usize) -> Result {
    // SAFETY: no memory is involved.
    unsafe { syscall!(__NR_prctl, pr::PR_SET_DUMPABLE, value, 0, 0, 0) }
}

/// Whether a child that does `before` and then quits is dumped; and to whom the file belongs.
fn dumped(before: impl FnOnce()) -> Option<u32> {
    let _ = file::unlink(CORE);
    let pid = child(|| {
        let _ = setrlimit(RLIMIT_CORE, 1 << 30, None);
        before();
        if user::check::failures() != 0 {
            return 1;
        }
        let _ = kill(getpid(), SIGQUIT);
        0
    });
    let status = user::process::wait4(pid, 0);
    let core = Ok(Some((pid, WaitStatus(SIGQUIT as i32 | 0x80))));
    if status != core {
        check_eq!(status, Ok(Some((pid, WaitStatus(SIGQUIT as i32)))), "killed");
        return None;
    }
    file::stat(CORE).map(|s| s.st_uid).ok()
}

fn by_itself() {
    check_eq!(dumpable(), Ok(1), "after exec");
    check_eq!(dumped(|| {}), Some(0), "an ordinary process is dumped");
    check_eq!(set_dumpable(2), Err(Errno(EINVAL)), "only the kernel may say 2");
    let off = || check_eq!((set_dumpable(0), dumpable()), (Ok(0), Ok(0)), "off");
    check_eq!(dumped(off), None, "one that does not want it is not");
    let on = || {
        off();
        // A child has what its parent had.
        check_eq!(wait(child(|| dumpable().map_or(9, |d| d as i32))), Ok(WaitStatus::exited(0)), "inherited");
        check_eq!((set_dumpable(1), dumpable()), (Ok(0), Ok(1)), "and on");
    };
    check_eq!(dumped(on), Some(0), "one that wants it again is");
}

fn by_ids() {
    let ids = |want: usize| {
        move || {
            check!(become_user(1000).is_ok(), "another user");
            check_eq!(dumpable(), Ok(want), "after a change of ids");
        }
    };
    check_eq!(dumped(ids(0)), None, "who changed its ids is not dumped");
    check!(file::store(SUID_DUMPABLE, b"3").is_err(), "suid_dumpable has three values");
    check!(file::store(SUID_DUMPABLE, b"2").is_ok(), "suid_dumpable=2");
    check_eq!(dumped(ids(2)), Some(0), "for root's eyes");
    check!(file::store(SUID_DUMPABLE, b"1").is_ok(), "suid_dumpable=1");
    check_eq!(dumped(ids(1)), Some(1000), "for everybody's");
}

fn run() {
    let (mut pattern, mut suid) = ([0; 128], [0; 8]);
    let (Ok(pattern), Ok(suid)) = (file::load(PATTERN, &mut pattern), file::load(SUID_DUMPABLE, &mut suid))
    else {
        check!(false, "no settings");
        return;
    };
    check!(file::store(PATTERN, CORE.to_bytes()).is_ok(), "core_pattern is set");
    by_itself();
    by_ids();
    check!(file::store(SUID_DUMPABLE, suid).is_ok(), "suid_dumpable is put back");
    let _ = file::unlink(CORE);
    check!(file::store(PATTERN, pattern).is_ok(), "core_pattern is put back");
}
