// SPDX-License-Identifier: GPL-2.0-only
//! O_ASYNC: who is told that a file can be read or written, by which signal, and what it says.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::sync::atomic::{AtomicI32, Ordering::SeqCst};
use user::file::{self, O_NONBLOCK, close, pipe};
use user::prelude::*;
use user::process::{become_user, exit_thread, setpgid, spawn_thread};
use user::signal::{SIGIO, SIGSEGV, SIGUSR1};
use user::time::sleep_ms;
use user::{Result, syscall};
use user::{pty, seen};

expect! { end: exit(0) }
program!(run);

const F_GETFL: u32 = 3;
const F_SETFL: u32 = 4;
const F_SETOWN: u32 = 8;
const F_GETOWN: u32 = 9;
const F_SETSIG: u32 = 10;
const F_GETSIG: u32 = 11;
const F_SETOWN_EX: u32 = 15;
const F_GETOWN_EX: u32 = 16;
const O_ASYNC: u32 = 0o20000;
const FIOASYNC: u32 = 0x5452;
const TID: i32 = 0;
const PID: i32 = 1;
const PGRP: i32 = 2;
const SI_KERNEL: i32 = 128;
const SI_SIGIO: i32 = -5;

fn fcntl(fd: i32, cmd: u32, arg: i64) -> Result<i32> {
    // SAFETY: no memory is involved.
    unsafe { syscall!(__NR_fcntl, fd, cmd, arg) }.map(|n| n as i32)
}

fn set_owner(fd: i32, kind: i32, id: i32) -> Result {
    let owner = [kind, id];
    // SAFETY: the kernel reads two words.
    unsafe { syscall!(__NR_fcntl, fd, F_SETOWN_EX, owner.as_ptr()) }
}

fn owner(fd: i32) -> Result<[i32; 2]> {
    let mut owner = [-1; 2];
    // SAFETY: the kernel writes two words.
    unsafe { syscall!(__NR_fcntl, fd, F_GETOWN_EX, owner.as_mut_ptr()) }?;
    Ok(owner)
}

/// A signal about a file: its band is in the first word, its descriptor in the second.
fn about(sig: u32, code: i32, band: u64, fd: i32) -> (i32, i32, u64, u64) {
    (sig as i32, code, band, fd as u32 as u64)
}

fn nth(i: usize) -> (i32, i32, u64, u64) {
    let s = seen::get(i);
    (s.signo, s.code, s.word(0), s.word(1))
}

fn run() {
    for sig in [SIGIO, SIGSEGV, SIGUSR1, 35] {
        seen::install(sig, 0, 0);
    }
    owners();
    plain();
    queued();
    writers();
    to_others();
    flags();
    pty::with_devpts(terminals);
}

/// Both ends of a pseudoterminal tell; who asks is told if nobody else is named.
fn terminals() {
    let (master, slave) = pty::pair();
    for (fd, other, text) in [(master, slave, b"out\n"), (slave, master, b"in.\n")] {
        check_eq!(fcntl(fd, F_SETSIG, 35), Ok(0), "F_SETSIG");
        on(fd);
        check_eq!(owner(fd), Ok([PID, getpid()]), "the owner");
        seen::clear();
        check_eq!(file::write(other, text), Ok(4), "write");
        sleep_ms(20);
        check!(seen::count() > 0, "told");
        check_eq!(nth(0), about(35, 1, 0x41, fd), "of input");
        let plain = fcntl(fd, F_SETFL, O_NONBLOCK.into());
        check_eq!(plain, Ok(0), "no more");
    }
    let _ = [slave, master].map(close);
}

static THREAD: AtomicI32 = AtomicI32::new(0);

extern "C" fn idle() -> ! {
    THREAD.store(gettid(), SeqCst);
    sleep_ms(60);
    exit_thread(0)
}

fn owners() {
    let (r, w) = pipe(0).unwrap_or((-1, -1));
    let me = getpid();
    check_eq!((fcntl(r, F_GETOWN, 0), owner(r)), (Ok(0), Ok([TID, 0])), "nobody");
    check_eq!(fcntl(r, F_SETOWN, me.into()), Ok(0), "this process");
    check_eq!((fcntl(r, F_GETOWN, 0), owner(r)), (Ok(me), Ok([PID, me])), "this process");
    check_eq!(fcntl(r, F_SETOWN, 99_999), Err(Errno(ESRCH)), "a process that is not there");
    check_eq!(fcntl(r, F_SETOWN, i64::from(i32::MIN)), Err(Errno(EINVAL)), "no group");
    check_eq!(fcntl(r, F_SETOWN, -99_999), Err(Errno(ESRCH)), "a group that is not there");
    check_eq!(set_owner(r, TID, gettid()), Ok(0), "this thread");
    check_eq!(owner(r), Ok([TID, me]), "this thread");
    check_eq!(set_owner(r, 3, me), Err(Errno(EINVAL)), "kind 3");
    check_eq!(set_owner(r, PID, 99_999), Err(Errno(ESRCH)), "not there");
    check_eq!(fcntl(r, F_SETSIG, 65), Err(Errno(EINVAL)), "signal 65");
    check_eq!(fcntl(r, F_SETSIG, 35), Ok(0), "signal 35");
    check_eq!(fcntl(r, F_GETSIG, 0), Ok(35), "signal 35");
    // A number in use, but not for what is named.
    check!(spawn_thread(idle).is_ok(), "spawn");
    sleep_ms(10);
    let thread = THREAD.load(SeqCst);
    check_eq!(fcntl(r, F_SETOWN, thread.into()), Ok(0), "a thread as a process");
    check_eq!(owner(r), Ok([PID, 0]), "is none");
    check_eq!(fcntl(r, F_SETOWN, (-thread).into()), Ok(0), "a thread as a group");
    check_eq!(owner(r), Ok([PGRP, 0]), "is none");
    // Another process goes, and is not the owner any more.
    let pid = child(|| {
        sleep_ms(20);
        0
    });
    check_eq!(fcntl(r, F_SETOWN, pid.into()), Ok(0), "a child");
    check_eq!(fcntl(r, F_GETOWN, 0), Ok(pid), "a child");
    check_eq!(wait(pid), Ok(WaitStatus::exited(0)), "child");
    check_eq!((fcntl(r, F_GETOWN, 0), owner(r)), (Ok(0), Ok([PID, 0])), "gone");
    check_eq!(fcntl(r, F_SETOWN, 0), Ok(0), "nobody");
    check_eq!((fcntl(r, F_GETOWN, 0), owner(r)), (Ok(0), Ok([PID, 0])), "nobody");
    let _ = [r, w].map(close);
}

fn on(fd: i32) {
    let flags = fcntl(fd, F_GETFL, 0).unwrap_or(0);
    check_eq!(fcntl(fd, F_SETFL, i64::from(flags as u32 | O_ASYNC)), Ok(0), "F_SETFL");
}

fn put(fd: i32) {
    check_eq!(file::write(fd, b"x"), Ok(1), "write");
}

fn plain() {
    let (r, w) = pipe(0).unwrap_or((-1, -1));
    seen::clear();
    on(r);
    put(w);
    check_eq!(seen::count(), 0, "nobody is told");
    check_eq!(fcntl(r, F_SETOWN, getpid().into()), Ok(0), "F_SETOWN");
    put(w);
    put(w);
    check_eq!(seen::count(), 2, "each write is told");
    check_eq!(nth(0), about(SIGIO, SI_KERNEL, 0, 0), "by a signal that says nothing");
    check_eq!(file::read(r, &mut [0; 8]), Ok(3), "read");
    check_eq!(seen::count(), 2, "reading is not told to the reader");
    check_eq!(close(w), Ok(0), "close");
    check_eq!(seen::count(), 3, "the end is told");
    let _ = close(r);
}

fn queued() {
    let (r, w) = pipe(0).unwrap_or((-1, -1));
    check_eq!(fcntl(r, F_SETOWN, getpid().into()), Ok(0), "F_SETOWN");
    on(r);
    for (sig, code) in [(35, 1), (SIGUSR1, 1), (SIGIO, 1), (SIGSEGV, SI_SIGIO)] {
        seen::clear();
        check_eq!(fcntl(r, F_SETSIG, i64::from(sig)), Ok(0), "F_SETSIG");
        put(w);
        check_eq!((seen::count(), nth(0)), (1, about(sig, code, 0x41, r)), "signal {sig}");
    }
    // The descriptor is the one by which it was asked for.
    check_eq!(fcntl(r, F_SETSIG, 35), Ok(0), "F_SETSIG");
    check_eq!(file::dup2(r, 50), Ok(50), "dup2");
    check_eq!(close(r), Ok(0), "close");
    seen::clear();
    put(w);
    check_eq!(nth(0), about(35, 1, 0x41, r), "though it is closed");
    let _ = [w, 50].map(close);
}

fn writers() {
    let (r, w) = pipe(O_NONBLOCK).unwrap_or((-1, -1));
    check_eq!(fcntl(w, F_SETOWN, getpid().into()), Ok(0), "F_SETOWN");
    check_eq!(fcntl(w, F_SETSIG, 35), Ok(0), "F_SETSIG");
    on(w);
    put(w);
    seen::clear();
    check_eq!(file::read(r, &mut [0; 8]), Ok(1), "read");
    check_eq!((seen::count(), nth(0)), (1, about(35, 2, 0x304, w)), "room is told");
    check_eq!(file::read(r, &mut [0; 8]), Err(Errno(EAGAIN)), "read nothing");
    seen::clear();
    check_eq!(close(r), Ok(0), "close");
    check_eq!(seen::count(), 1, "the end is told");
    let _ = close(w);
}

/// A child that is told: exits with the number of signals that came.
fn listener(pgrp: bool) -> i32 {
    child(|| {
        if pgrp {
            let _ = setpgid(0, 0);
        }
        seen::clear();
        sleep_ms(60);
        seen::count() as i32
    })
}

fn to_others() {
    let (r, w) = pipe(0).unwrap_or((-1, -1));
    on(r);
    let pid = listener(true);
    sleep_ms(20);
    check_eq!(fcntl(r, F_SETOWN, i64::from(-pid)), Ok(0), "a group");
    // `F_GETOWN` says it as a negative number, which looks like an error.
    check_eq!(fcntl(r, F_GETOWN, 0), Err(Errno(pid as u32)), "a group");
    check_eq!(owner(r), Ok([PGRP, pid]), "a group");
    put(w);
    check_eq!(wait(pid), Ok(WaitStatus::exited(1)), "the group was told");
    // Who has no right to signal the owner cannot have it told.
    let pid = listener(false);
    let user = child(|| {
        let (r, w) = pipe(0).unwrap_or((-1, -1));
        let _ = become_user(1000);
        on(r);
        check_eq!(fcntl(r, F_SETOWN, pid.into()), Ok(0), "may be named");
        put(w);
        i32::from(user::check::failures() != 0)
    });
    check_eq!(wait(user), Ok(WaitStatus::exited(0)), "another user");
    check_eq!(wait(pid), Ok(WaitStatus::exited(0)), "was not told");
    let _ = [r, w].map(close);
}

fn flags() {
    let (r, w) = pipe(0).unwrap_or((-1, -1));
    check_eq!(fcntl(r, F_SETOWN, getpid().into()), Ok(0), "F_SETOWN");
    let ioctl = |fd: i32, on: i32| {
        // SAFETY: the kernel reads one word.
        unsafe { syscall!(__NR_ioctl, fd, FIOASYNC, core::ptr::from_ref(&on)) }
    };
    check_eq!(ioctl(r, 1), Ok(0), "FIOASYNC");
    let set = |fd| fcntl(fd, F_GETFL, 0).map(|f| f as u32 & O_ASYNC);
    check_eq!(set(r), Ok(O_ASYNC), "the flag shows");
    seen::clear();
    put(w);
    check_eq!(seen::count(), 1, "told");
    check_eq!(ioctl(r, 0), Ok(0), "FIOASYNC");
    check_eq!(set(r), Ok(0), "the flag is gone");
    put(w);
    check_eq!(seen::count(), 1, "not told");
    // A file that never tells does not take the flag.
    let null = file::open(c"/dev/null", 2, 0).unwrap_or(-1);
    check_eq!(ioctl(null, 1), Err(Errno(ENOTTY)), "FIOASYNC of /dev/null");
    check_eq!(fcntl(null, F_SETFL, O_ASYNC.into()), Ok(0), "F_SETFL");
    check_eq!(set(null), Ok(0), "the flag is not taken");
    let _ = [r, w, null].map(close);
}
