// SPDX-License-Identifier: GPL-2.0-only
//! Whose the files of `/proc/PID` are, and who may look at what a process has: its user where its
//! memory is its user's, else root alone. Needs root.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::ffi::CStr;
use core::ptr::null;
use linux_raw_sys::prctl as pr;
use user::prelude::*;
use user::process::{become_user, execve};
use user::syscall::Result;
use user::text;
use user::{file, start, syscall};

expect! { end: exit(0) }
program!(run);

/// The name of a file of a process's, with its NUL.
macro_rules! name {
    ($pid:expr, $file:expr) => {
        text!(64, "/proc/{}/{}\0", $pid, $file)
    };
}

fn c(name: &str) -> &CStr {
    CStr::from_bytes_until_nul(name.as_bytes()).unwrap_or_default()
}

fn readlink(name: &str) -> Result {
    let mut buf = [0u8; 256];
    // SAFETY: the name is a C string, and the kernel writes into the buffer.
    unsafe { syscall!(__NR_readlink, c(name).as_ptr(), buf.as_mut_ptr(), buf.len()) }
}

fn open(name: &str) -> Result<()> {
    file::open(c(name), file::O_RDONLY, 0).map(|fd| {
        let _ = file::close(fd);
    })
}

/// User and permissions.
fn owner(name: &str) -> Result<(u32, u32)> {
    file::stat(c(name)).map(|s| (s.st_uid, s.st_mode & 0o7777))
}

fn set_dumpable(value: usize) {
    // SAFETY: no memory is involved.
    let _ = unsafe { syscall!(__NR_prctl, pr::PR_SET_DUMPABLE, value, 0, 0, 0) };
}

/// What anybody may know of `pid`, and what only who may look at it.
fn look(pid: i32, allowed: bool, who: &str) {
    let secret = |r: Result<()>| if allowed { r == Ok(()) } else { r == Err(Errno(EACCES)) };
    for link in ["exe", "cwd", "root"] {
        let n = name!(pid, link);
        check!(secret(readlink(n.as_str()).map(drop)), "{who}: readlink {link}");
    }
    for f in ["maps", "environ", "auxv", "fd"] {
        let n = name!(pid, f);
        check!(secret(open(n.as_str())), "{who}: {f}");
    }
    for f in ["stat", "status", "statm", "cmdline", "comm", "task", "mounts"] {
        let n = name!(pid, f);
        check_eq!(open(n.as_str()), Ok(()), "{who}: {f}");
    }
}

/// A child that waits until its input ends; another program, so that it is dumpable.
fn sleeper(user: u32) -> Option<(i32, i32)> {
    let (read, write) = file::pipe(file::O_CLOEXEC).ok()?;
    let (ready, done) = file::pipe(file::O_CLOEXEC).ok()?;
    let pid = child(|| {
        let _ = become_user(user);
        let _ = file::dup2(read, 0);
        let _ = file::dup2(done, 1);
        execve(c"/proc/self/exe", &[c"proc_access".as_ptr(), c"sleep".as_ptr(), null()], &[null()]).0 as i32
    });
    let _ = file::close(done);
    let _ = file::read(ready, &mut [0]);
    Some((pid, write))
}

fn run() {
    if start::arg_str(1) == Some("sleep") {
        let _ = file::write(1, b"x");
        let _ = file::read(0, &mut [0]);
        return;
    }
    let (Some((theirs, end)), Some((ours, end2))) = (sleeper(1000), sleeper(0)) else {
        check!(false, "no children");
        return;
    };
    let (dir, fd) = (name!(theirs, ""), name!(theirs, "fd"));
    check_eq!(owner(dir.as_str()), Ok((1000, 0o555)), "its directory");
    check_eq!(owner(fd.as_str()), Ok((1000, 0o500)), "fd");
    let (environ, exe) = (name!(theirs, "environ"), name!(theirs, "fd/0"));
    check_eq!(owner(environ.as_str()), Ok((1000, 0o400)), "environ");
    check!(readlink(exe.as_str()).is_ok(), "a descriptor");
    look(theirs, true, "root");
    for (user, theirs_allowed) in [(1000, true), (2000, false)] {
        let pid = child(|| {
            // An exec makes it dumpable again; here it is not.
            let _ = become_user(user);
            look(theirs, theirs_allowed, "a user at a user's");
            look(ours, false, "a user at root's");
            let own = || (owner("/proc/self/environ\0"), open("/proc/self/environ\0"));
            check_eq!(own(), (Ok((0, 0o400)), Err(Errno(EACCES))), "not dumpable: root's");
            check_eq!(owner("/proc/self/\0"), Ok((user, 0o555)), "but the directory");
            check!(
                readlink("/proc/self/exe\0").is_ok() && open("/proc/self/fd\0").is_ok(),
                "what is not a file"
            );
            set_dumpable(1);
            check_eq!(own(), (Ok((user, 0o400)), Ok(())), "dumpable");
            look(getpid(), true, "a process at itself");
            let me = name!(getpid(), "comm");
            check_eq!(file::store(c(me.as_str()), b"a name that is too long"), Ok(23), "a new name");
            let other = name!(theirs, "comm");
            let want = if theirs_allowed { Err(Errno(EINVAL)) } else { Err(Errno(EACCES)) };
            check_eq!(file::store(c(other.as_str()), b"x"), want, "for somebody else");
            i32::from(user::check::failures() != 0)
        });
        check_eq!(wait(pid), Ok(WaitStatus::exited(0)), "as {user}");
    }
    for wrong in ["/proc/+1\0", "/proc/01\0", "/proc/self/fd/00\0", "/proc/self/fd/+0\0"] {
        check_eq!(owner(wrong), Err(Errno(ENOENT)), "{wrong}");
    }
    set_dumpable(0);
    check_eq!(owner("/proc/self/environ\0"), Ok((0, 0o400)), "root's in any case");
    for (pid, end) in [(theirs, end), (ours, end2)] {
        let _ = file::close(end);
        let _ = wait(pid);
    }
}
