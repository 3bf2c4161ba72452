// SPDX-License-Identifier: GPL-2.0-only
//! POSIX message queues: which message comes first, who waits how long, who is told, what a user may have.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::ffi::CStr;
use core::ptr::{from_mut, from_ref, null};
use user::file::{self, O_CREAT, O_NONBLOCK, O_RDONLY, O_RDWR, O_WRONLY};
use user::memory::PAGE;
use user::prelude::*;
use user::process::{child, wait};
use user::signal::{SIGUSR1, bit, sigprocmask_set, sigtimedwait};
use user::syscall;
use user::time::{Timespec, sleep_ms, timespec};

expect! { end: exit(0) }
program!(run);

const NAME: &CStr = c"message_queues";
const O_EXCL: u32 = 0o200;
/// `struct mq_attr`: flags, messages, bytes, messages now.
type Attr = [i64; 8];

fn attr(messages: i64, bytes: i64) -> Attr {
    [0, messages, bytes, 0, 0, 0, 0, 0]
}
fn open(name: &CStr, flags: u32, attr: Option<&Attr>) -> Result<i32, Errno> {
    let attr = attr.map_or(null(), from_ref);
    // SAFETY: the kernel reads the name and the attributes.
    unsafe { syscall!(__NR_mq_open, name.as_ptr(), flags, 0o600, attr) }.map(|fd| fd as i32)
}
fn unlink(name: &CStr) -> Result<usize, Errno> {
    // SAFETY: the kernel reads the name.
    unsafe { syscall!(__NR_mq_unlink, name.as_ptr()) }
}
fn send(fd: i32, text: &[u8], prio: u32, until: Option<&Timespec>) -> Result<usize, Errno> {
    let until = until.map_or(null(), from_ref);
    // SAFETY: the kernel reads the text and the time.
    unsafe { syscall!(__NR_mq_timedsend, fd, text.as_ptr(), text.len(), prio, until) }
}
/// Receives: the length, the first byte and the priority.
fn receive(fd: i32, until: Option<&Timespec>) -> Result<(usize, u8, u32), Errno> {
    let (mut buf, mut prio) = ([0u8; 64], 0u32);
    let until = until.map_or(null(), from_ref);
    // SAFETY: the kernel writes into both.
    let n = unsafe {
        syscall!(__NR_mq_timedreceive, fd, buf.as_mut_ptr(), buf.len(), from_mut(&mut prio), until)
    }?;
    Ok((n, buf[0], prio))
}
fn attributes(fd: i32) -> Attr {
    let mut a = attr(0, 0);
    // SAFETY: the kernel writes the attributes.
    let r = unsafe { syscall!(__NR_mq_getsetattr, fd, 0, from_mut(&mut a)) };
    check_eq!(r, Ok(0), "mq_getsetattr");
    a
}
fn notify(fd: i32, event: Option<&[u64; 8]>) -> Result<usize, Errno> {
    let event = event.map_or(null(), from_ref);
    // SAFETY: the kernel reads the event.
    unsafe { syscall!(__NR_mq_notify, fd, event) }
}

fn names() {
    let _ = unlink(NAME);
    check_eq!(open(NAME, O_RDWR, None), Err(Errno(ENOENT)), "there is none");
    check_eq!(open(c"a/b", O_RDWR | O_CREAT, None), Err(Errno(EACCES)), "no directories");
    check_eq!(open(c"..", O_RDWR | O_CREAT, None), Err(Errno(EACCES)), "nor these");
    for (messages, bytes) in [(0, 8), (8, 0), (-1, 8), (1 << 17, 8), (1, 1 << 25)] {
        let r = open(NAME, O_RDWR | O_CREAT, Some(&attr(messages, bytes)));
        check_eq!(r, Err(Errno(EINVAL)), "{messages} of {bytes}");
    }
    check_eq!(
        open(NAME, O_RDWR | O_CREAT, Some(&attr(60000, 1 << 20))),
        Err(Errno(EMFILE)),
        "more than its limit"
    );
    let Ok(fd) = open(NAME, O_RDWR | O_CREAT, None) else { return check!(false, "a queue") };
    check_eq!(attributes(fd), attr(10, 8192), "as usual");
    check_eq!(open(NAME, O_RDWR | O_CREAT | O_EXCL, None), Err(Errno(EEXIST)), "there is one");
    let (Ok(reader), Ok(writer)) = (open(NAME, O_RDONLY, None), open(NAME, O_WRONLY, None)) else { return };
    check_eq!(send(reader, b"x", 0, None), Err(Errno(EBADF)), "who reads");
    check_eq!(receive(writer, None), Err(Errno(EBADF)), "who writes");
    check_eq!(receive(reader, None), Err(Errno(EMSGSIZE)), "too little room for one");
    check_eq!(send(writer, &[0; PAGE * 2 + 1], 0, None), Err(Errno(EMSGSIZE)), "too long");
    check_eq!(send(writer, b"x", 32768, None), Err(Errno(EINVAL)), "too important");
    check_eq!(send(0, b"x", 0, None), Err(Errno(EBADF)), "no queue");
    for fd in [fd, reader, writer] {
        let _ = file::close(fd);
    }
    check_eq!((unlink(NAME), unlink(NAME)), (Ok(0), Err(Errno(ENOENT))), "gone");
}

fn order(fd: i32) {
    for (text, prio) in [(b"a", 1), (b"b", 5), (b"c", 1)] {
        check_eq!(send(fd, text, prio, None), Ok(0), "sent");
    }
    check_eq!(attributes(fd)[3], 3, "messages");
    let mut buf = [0; 80];
    let n = file::pread(fd, &mut buf, 0).unwrap_or(0);
    check_eq!(&buf[..n], &b"QSIZE:3          NOTIFY:0     SIGNO:0     NOTIFY_PID:0     \n"[..], "as a file");
    for (text, prio) in [(b'b', 5), (b'a', 1), (b'c', 1)] {
        check_eq!(receive(fd, None), Ok((1, text, prio)), "the most important, then the oldest");
    }
}

fn waits(fd: i32) {
    let past = timespec(1, 0);
    check_eq!(receive(fd, Some(&past)), Err(Errno(ETIMEDOUT)), "nothing comes");
    check_eq!(receive(fd, Some(&timespec(1, 1_000_000_000))), Err(Errno(EINVAL)), "no time");
    let receiver = child(|| i32::from(receive(fd, None) != Ok((1, b'w', 9))));
    sleep_ms(20);
    check_eq!((send(fd, b"w", 9, None), wait(receiver).map(|s| s.0)), (Ok(0), Ok(0)), "who waits gets it");
    for _ in 0..4 {
        let _ = send(fd, b"f", 1, None);
    }
    check_eq!(send(fd, b"f", 1, Some(&past)), Err(Errno(ETIMEDOUT)), "no room");
    let sender = child(|| send(fd, b"s", 2, None).map_or(1, |_| 0));
    sleep_ms(20);
    check_eq!((receive(fd, None), wait(sender).map(|s| s.0)), (Ok((1, b'f', 1)), Ok(0)), "room for one");
    check_eq!(receive(fd, None), Ok((1, b's', 2)), "which is more important");
    let mut a = attr(0, 0);
    a[0] = i64::from(O_NONBLOCK);
    // SAFETY: the kernel reads and writes the attributes.
    let r = unsafe { syscall!(__NR_mq_getsetattr, fd, from_ref(&a), 0) };
    check_eq!((r, attributes(fd)[0]), (Ok(0), i64::from(O_NONBLOCK)), "not to wait");
    while receive(fd, None).is_ok() {}
    check_eq!(receive(fd, None), Err(Errno(EAGAIN)), "nothing is there");
    a[0] = 1;
    // SAFETY: as above.
    let r = unsafe { syscall!(__NR_mq_getsetattr, fd, from_ref(&a), 0) };
    check_eq!(r, Err(Errno(EINVAL)), "no other flag");
}

fn told(fd: i32) {
    let signal = |signo: u32, kind: u64| [77, u64::from(signo) | kind << 32, 0, 0, 0, 0, 0, 0];
    let old = sigprocmask_set(bit(SIGUSR1));
    check_eq!(notify(fd, Some(&signal(SIGUSR1, 9))), Err(Errno(EINVAL)), "no such way");
    check_eq!(notify(fd, Some(&signal(99, 0))), Err(Errno(EINVAL)), "no such signal");
    check_eq!(notify(fd, Some(&signal(SIGUSR1, 0))), Ok(0), "to be told");
    check_eq!(notify(fd, Some(&signal(SIGUSR1, 0))), Err(Errno(EBUSY)), "one process");
    let sender = child(|| send(fd, b"n", 0, None).map_or(1, |_| 0));
    check_eq!(wait(sender).map(|s| s.0), Ok(0), "a message comes");
    match sigtimedwait(bit(SIGUSR1), Some(&timespec(1, 0))) {
        Ok(info) => {
            check_eq!((info.code, info.word(0) as i32, info.word(1)), (-3, sender, 77), "SI_MESGQ");
        }
        Err(e) => check!(false, "told: {e}"),
    }
    check_eq!(send(fd, b"n", 0, None), Ok(0), "another one");
    let none = sigtimedwait(bit(SIGUSR1), Some(&timespec(0, 1_000_000)));
    check!(none.is_err(), "once only");
    while receive(fd, None).is_ok() {}
    check_eq!(notify(fd, Some(&signal(SIGUSR1, 0))), Ok(0), "again");
    check_eq!(
        (notify(fd, None), notify(fd, Some(&signal(SIGUSR1, 1)))),
        (Ok(0), Ok(0)),
        "not any more, and otherwise"
    );
    check_eq!(notify(fd, None), Ok(0), "nor that");
    sigprocmask_set(old);
}

fn run() {
    names();
    let Ok(fd) = open(NAME, O_RDWR | O_CREAT, Some(&attr(4, 16))) else { return check!(false, "a queue") };
    order(fd);
    waits(fd);
    told(fd);
    check_eq!(unlink(NAME), Ok(0), "its name");
    check_eq!((send(fd, b"z", 3, None), receive(fd, None)), (Ok(0), Ok((1, b'z', 3))), "it lives on");
}
