// SPDX-License-Identifier: GPL-2.0-only
//! Locks on files keep others out: ranges of a process, of an open file, and whole files; who
//! waits is woken, circles are refused, and what ends a lock ends it. Needs root.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::ffi::CStr;
use linux_raw_sys::general as abi;
use user::file::{self, O_CREAT, O_RDONLY, O_RDWR};
use user::prelude::*;
use user::process::become_user;
use user::syscall::Result;
use user::{syscall, time};

expect! { end: exit(0) }
program!(run);

const NAME: &CStr = c"/tmp/file_locks";
const READ: u32 = abi::F_RDLCK;
const WRITE: u32 = abi::F_WRLCK;
const NONE: u32 = abi::F_UNLCK;

/// A lock as `fcntl` takes and gives it.
fn flock(kind: u32, start: i64, len: i64) -> abi::flock {
    // SAFETY: all zeroes are a `flock`.
    let mut l: abi::flock = unsafe { core::mem::zeroed() };
    (l.l_type, l.l_start, l.l_len) = (kind as _, start, len);
    l
}

fn fcntl(fd: i32, cmd: u32, l: &mut abi::flock) -> Result {
    // SAFETY: the kernel reads and writes the structure.
    unsafe { syscall!(__NR_fcntl, fd, cmd, core::ptr::from_mut(l)) }
}

fn set(fd: i32, kind: u32, start: i64, len: i64) -> Result {
    fcntl(fd, abi::F_SETLK, &mut flock(kind, start, len))
}

/// What would be in the way of writing a range: kind, start, length, and whose it is.
fn get(fd: i32, start: i64, len: i64) -> (u32, i64, i64, i32) {
    let mut l = flock(WRITE, start, len);
    check_eq!(fcntl(fd, abi::F_GETLK, &mut l), Ok(0), "F_GETLK");
    (l.l_type as u32, l.l_start, l.l_len, l.l_pid)
}

/// Runs `what` in a child, which must find everything as it expects.
fn other(name: &str, what: impl FnOnce()) {
    let pid = child(|| {
        what();
        i32::from(user::check::failures() != 0)
    });
    check_eq!(wait(pid), Ok(WaitStatus::exited(0)), "{name}");
}

const AGAIN: Result = Err(Errno(EAGAIN));

fn ranges(fd: i32) {
    let me = getpid();
    check_eq!(set(fd, WRITE, 10, 10), Ok(0), "a range");
    check_eq!(set(fd, READ, 15, 10), Ok(0), "another over its end");
    check_eq!(get(fd, 0, 0).0, NONE, "nobody is in one's own way");
    other("another process", || {
        check_eq!(get(fd, 0, 0), (WRITE, 10, 5, me), "the first");
        check_eq!(get(fd, 15, 0), (READ, 15, 10, me), "the second");
        check_eq!(get(fd, 30, 5).0, NONE, "behind");
        check_eq!(set(fd, READ, 12, 1), AGAIN, "reading what is written");
        check_eq!(set(fd, READ, 20, 1), Ok(0), "reading what is read");
        check_eq!(set(fd, WRITE, 20, 1), AGAIN, "writing what is read");
        check_eq!(set(fd, WRITE, 100, -10), Ok(0), "a range before a place");
        let mut bad = flock(7, 0, 0);
        check_eq!(fcntl(fd, abi::F_SETLK, &mut bad), Err(Errno(EINVAL)), "no such kind");
        check_eq!(set(fd, READ, 5, -6), Err(Errno(EINVAL)), "before the beginning");
        check_eq!(set(fd, READ, 5, i64::MAX), Err(Errno(EOVERFLOW)), "behind the end");
    });
    check_eq!(get(fd, 0, 0).0, NONE, "a process's locks end with it");
    if let Ok(second) = file::open(NAME, O_RDONLY, 0) {
        check_eq!(set(second, WRITE, 0, 1), Err(Errno(EBADF)), "writing what is open for reading");
        let _ = file::close(second);
    }
    other("after any close", || check_eq!(set(fd, WRITE, 0, 0), Ok(0), "all"));
}

/// A child takes it, and after a while ends.
fn held_for_a_while(fd: i32, take: impl FnOnce() -> Result) -> i32 {
    let Ok((read, write)) = file::pipe(0) else { return -1 };
    let pid = child(|| {
        check_eq!(take(), Ok(0), "taken");
        let _ = file::write(write, b"x");
        time::sleep_ms(100);
        // An open file is shared: what it holds must be given back.
        // SAFETY: no memory is involved.
        let _ = unsafe { syscall!(__NR_flock, fd, abi::LOCK_UN) };
        i32::from(user::check::failures() != 0)
    });
    let _ = file::read(read, &mut [0]);
    let _ = file::close(read);
    let _ = file::close(write);
    pid
}

fn waiting(fd: i32) {
    let pid = held_for_a_while(fd, || set(fd, WRITE, 0, 0));
    check_eq!(set(fd, WRITE, 0, 1), AGAIN, "held");
    let before = time::now();
    check_eq!(fcntl(fd, abi::F_SETLKW, &mut flock(WRITE, 0, 1)), Ok(0), "waited for");
    check!(time::now() - before > 20_000_000, "it took a while");
    check_eq!(wait(pid), Ok(WaitStatus::exited(0)), "the other");
    check_eq!(set(fd, NONE, 0, 0), Ok(0), "given back");
}

/// Two who wait for each other: the second is told.
fn circle(fd: i32) {
    check_eq!(set(fd, WRITE, 0, 1), Ok(0), "one's own");
    let pid = child(|| {
        check_eq!(set(fd, WRITE, 1, 1), Ok(0), "the other's");
        check_eq!(fcntl(fd, abi::F_SETLKW, &mut flock(WRITE, 0, 1)), Ok(0), "waited for");
        i32::from(user::check::failures() != 0)
    });
    time::sleep_ms(100);
    let mut l = flock(WRITE, 1, 1);
    check_eq!(fcntl(fd, abi::F_SETLKW, &mut l), Err(Errno(EDEADLK)), "a circle");
    check_eq!(set(fd, NONE, 0, 0), Ok(0), "given back");
    check_eq!(wait(pid), Ok(WaitStatus::exited(0)), "the other");
}

fn open_files(fd: i32) {
    let Ok(second) = file::open(NAME, O_RDWR, 0) else { return };
    check_eq!(fcntl(fd, abi::F_OFD_SETLK, &mut flock(WRITE, 0, 0)), Ok(0), "an open file's");
    check_eq!(fcntl(second, abi::F_OFD_SETLK, &mut flock(READ, 5, 1)), AGAIN, "another's");
    check_eq!(set(fd, WRITE, 0, 1), AGAIN, "the process's");
    let mut l = flock(READ, 0, 0);
    check_eq!((fcntl(second, abi::F_OFD_GETLK, &mut l), l.l_pid), (Ok(0), -1), "nobody's");
    l.l_pid = 1;
    check_eq!(fcntl(second, abi::F_OFD_SETLK, &mut l), Err(Errno(EINVAL)), "with a process");
    check_eq!(fcntl(fd, abi::F_OFD_SETLK, &mut flock(NONE, 0, 0)), Ok(0), "given back");
    // SAFETY: no memory is involved.
    let whole = |fd: i32, op: u32| unsafe { syscall!(__NR_flock, fd, op | abi::LOCK_NB) };
    check_eq!(whole(fd, abi::LOCK_SH), Ok(0), "shared");
    check_eq!(whole(second, abi::LOCK_SH), Ok(0), "by two");
    check_eq!(whole(second, abi::LOCK_EX), AGAIN, "not alone");
    check_eq!(whole(fd, abi::LOCK_EX), Ok(0), "who asks for more gives up what it has");
    check_eq!(whole(second, abi::LOCK_SH), AGAIN, "so the other is out");
    check_eq!(set(fd, WRITE, 0, 0), Ok(0), "ranges are another matter");
    check_eq!(whole(fd, 0), Err(Errno(EINVAL)), "nothing");
    let _ = file::close(second);
    check_eq!(whole(fd, abi::LOCK_UN), Ok(0), "given back");
    if let Ok(third) = file::open(NAME, O_RDONLY, 0) {
        check_eq!(whole(third, abi::LOCK_EX), Ok(0), "by who may only read, too");
        // SAFETY: no memory is involved.
        let waited = held_for_a_while(third, || Ok(0));
        // SAFETY: no memory is involved.
        check_eq!(unsafe { syscall!(__NR_flock, fd, abi::LOCK_EX) }, Ok(0), "waited for");
        let _ = wait(waited);
        let _ = file::close(third);
    }
}

/// What else `fs/fcntl.c`, `fs/namei.c` and `fs/utimes.c` decide.
fn others(fd: i32) {
    // SAFETY: no memory is involved.
    let fcntl = |cmd: u32, arg: i32| unsafe { syscall!(__NR_fcntl, fd, cmd, arg) };
    check_eq!((fcntl(abi::F_GETOWN, 0), fcntl(abi::F_GETSIG, 0)), (Ok(0), Ok(0)), "at first");
    check_eq!(
        (fcntl(abi::F_SETOWN, getpid()), fcntl(abi::F_GETOWN, 0)),
        (Ok(0), Ok(getpid() as usize)),
        "owner"
    );
    check_eq!(fcntl(abi::F_SETOWN, 0x3fff_ffff), Err(Errno(ESRCH)), "nobody");
    check_eq!((fcntl(abi::F_SETSIG, 40), fcntl(abi::F_GETSIG, 0)), (Ok(0), Ok(40)), "signal");
    check_eq!(fcntl(abi::F_SETSIG, 65), Err(Errno(EINVAL)), "no such signal");
    let omit = [0i64, 0x3fff_fffe, 0, 0x3fff_fffe];
    // SAFETY: the kernel reads the times; the path is none.
    let nothing = unsafe { syscall!(__NR_utimensat, -1, 8, omit.as_ptr(), 0x5555) };
    check_eq!(nothing, Ok(0), "nothing to do is done at once");
    check_eq!(file::mkdir(c"/sys/kernel/mine", 0o755), Err(Errno(EPERM)), "nothing is made in sysfs");
    other("without privilege", || {
        let _ = become_user(1000);
        // SAFETY: the paths are C strings.
        let linked = unsafe {
            syscall!(
                __NR_linkat,
                fd,
                c"".as_ptr(),
                abi::AT_FDCWD,
                c"/tmp/file_locks.2".as_ptr(),
                abi::AT_EMPTY_PATH
            )
        };
        check_eq!(linked, Err(Errno(ENOENT)), "a name for a descriptor");
    });
}

fn run() {
    let Ok(fd) = file::open(NAME, O_RDWR | O_CREAT, 0o666) else {
        check!(false, "no file");
        return;
    };
    ranges(fd);
    waiting(fd);
    circle(fd);
    open_files(fd);
    others(fd);
    let _ = file::unlink(NAME);
}
