// SPDX-License-Identifier: GPL-2.0-only
//! Sessions on pseudoterminals: the leader's end does not cut the line, nor do closed files, who
//! only writes gets no terminal; what is typed waits until it is read, keys that send signals throw
//! it away; a thread in the background is stopped, and reads later.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::ptr::{from_mut, from_ref};
use core::sync::atomic::{AtomicI32, AtomicI64, Ordering::SeqCst};
use linux_raw_sys::general as abi;
use linux_raw_sys::ioctl as io;
use user::prelude::*;
use user::process::{WSTOPPED, setpgid, spawn_thread, wait4};
use user::pty::{FLAGS, get, ioctl, master, open_slave, pair, put, setsid, with_devpts};
use user::signal::SIGCONT;
use user::{file, syscall, time};

expect! { end: exit(0) }
program!(run);

const SIGTTIN: i32 = 21;
/// Changes the settings.
fn set(fd: i32, change: impl FnOnce(&mut abi::termios)) {
    // SAFETY: all zeroes are a `termios`.
    let mut t: abi::termios = unsafe { core::mem::zeroed() };
    check_eq!(ioctl(fd, io::TCGETS, from_mut(&mut t).addr()), Ok(0), "TCGETS");
    change(&mut t);
    check_eq!(ioctl(fd, io::TCSETS, from_ref(&t).addr()), Ok(0), "TCSETS");
}

fn raw(fd: i32) {
    set(fd, |t| {
        t.c_lflag &= !(abi::ICANON | abi::ECHO | abi::ISIG);
        t.c_iflag = 0;
    });
}

/// Reads what comes, until there is `len` of it or nothing comes for a while.
fn read_all(fd: i32, buf: &mut [u8]) -> usize {
    let (mut len, mut idle) = (0, 0);
    while len < buf.len() && idle < 20 {
        match file::read(fd, &mut buf[len..]) {
            Ok(n) if n != 0 => (len, idle) = (len + n, 0),
            _ => {
                idle += 1;
                time::sleep_ms(5);
            }
        }
    }
    len
}

fn reads(fd: i32, want: &[u8], what: &str) {
    let mut buf = [0; 64];
    let n = read_all(fd, &mut buf[..want.len()]);
    check_eq!(&buf[..n], want, "{what}");
}

fn poll(fd: i32) -> u16 {
    let mut p = abi::pollfd { fd, events: 0x7fff, revents: 0 };
    // SAFETY: the kernel reads and writes the structure.
    let _ = unsafe { syscall!(__NR_poll, core::ptr::from_mut(&mut p), 1, 0) };
    p.revents as u16
}

/// What is typed at place `i`.
fn key(i: usize) -> u8 {
    (i / 251 + i % 251) as u8
}

/// Whatever was taken from who types is read in the end, and more is taken than a line discipline
/// holds.
fn typed_is_kept() {
    const MOST: usize = 24000;
    let (m, s) = pair();
    raw(s);
    let mut keys = [0u8; 700];
    let (mut sent, mut full) = (0, 0);
    while sent < MOST && full < 10 {
        for (i, c) in keys.iter_mut().enumerate() {
            *c = key(sent + i);
        }
        match file::write(m, &keys) {
            Ok(n) => sent += n,
            Err(e) => {
                check_eq!(e, Errno(EAGAIN), "a full terminal");
                full += 1;
                time::sleep_ms(2);
            }
        }
    }
    check!((8000..MOST).contains(&sent), "{sent} bytes went in");
    check_eq!(poll(m) & abi::POLLOUT as u16, 0, "no more can be typed");
    let (mut got, mut wrong) = (0, 0);
    while got < sent {
        let n = read_all(s, &mut keys[..(sent - got).min(700)]);
        if n == 0 {
            break;
        }
        wrong += keys[..n].iter().enumerate().filter(|&(i, c)| *c != key(got + i)).count();
        got += n;
    }
    check_eq!((got, wrong), (sent, 0), "all that was typed is read");
    check!(poll(m) & abi::POLLOUT as u16 != 0, "there is room again");
    let _ = (file::close(s), file::close(m));
}

/// Without a limit of time a terminal is readable when a read would give enough.
fn enough_to_read() {
    let (m, s) = pair();
    raw(s);
    set(s, |t| t.c_cc[abi::VMIN as usize] = 5);
    let readable = || {
        time::sleep_ms(20);
        poll(s) & abi::POLLIN as u16 != 0
    };
    let _ = file::write(m, b"abc");
    check!(!readable(), "three bytes of five");
    let _ = file::write(m, b"de");
    check!(readable(), "five of five");
    set(s, |t| t.c_cc[abi::VTIME as usize] = 1);
    reads(s, b"abcd", "four of them");
    check!(readable(), "one, where the time is limited");
    let _ = (file::close(s), file::close(m));
}

/// A key that sends a signal throws away what was typed, and says so to a master in packet mode,
/// unless told not to.
fn signals_flush() {
    let (m, s) = pair();
    set(s, |t| t.c_lflag &= !abi::ECHO);
    check_eq!(put(m, io::TIOCPKT, 1), Ok(0), "TIOCPKT");
    let _ = file::write(m, b"lost\x03\n");
    reads(m, b"\x03", "what a master is told");
    reads(s, b"\n", "the end of the line");
    set(s, |t| t.c_lflag |= abi::NOFLSH);
    let _ = file::write(m, b"kept\x03\n");
    reads(s, b"kept\n", "the whole line");
    check_eq!(file::read(m, &mut [0]), Err(Errno(EAGAIN)), "nothing was thrown away");
    let _ = (file::close(s), file::close(m));
}

/// In a child: the leader of a session that has the terminal.
fn lead(s: i32) {
    setsid();
    check_eq!(ioctl(s, io::TIOCSCTTY, 0), Ok(0), "TIOCSCTTY");
}

fn failed() -> i32 {
    i32::from(user::check::failures() != 0)
}

fn leader_ends() {
    let (m, s) = pair();
    let (out, status) = file::pipe(0).unwrap_or((-1, -1));
    let leader = child(|| {
        lead(s);
        let me = getpid();
        let _ = child(|| {
            let _ = setpgid(0, 0);
            while user::process::getppid() == me {
                time::sleep_ms(1);
            }
            time::sleep_ms(5);
            check_eq!(file::open(c"/dev/tty", file::O_RDWR, 0), Err(Errno(ENXIO)), "no terminal any more");
            check_eq!(file::read(s, &mut [0]), Err(Errno(EAGAIN)), "the line is whole");
            check_eq!(file::write(s, b"still here"), Ok(10), "it can be written to");
            check_eq!(get(s, io::TIOCGPGRP), Err(Errno(ENOTTY)), "whose foreground it was");
            let _ = file::write(status, &[failed() as u8]);
            0
        });
        time::sleep_ms(5);
        failed()
    });
    check_eq!(wait(leader), Ok(WaitStatus::exited(0)), "the leader");
    let mut code = [9];
    let _ = file::read(out, &mut code);
    check_eq!(code, [0], "what was left");
    reads(m, b"still here", "what it wrote");
    for fd in [out, status, s, m] {
        let _ = file::close(fd);
    }
}

/// The terminal is the session's even if nobody of it has it open.
fn all_closed() {
    let (m, number) = master();
    let pid = child(|| {
        let s = open_slave(number, FLAGS).unwrap_or(-1);
        lead(s);
        let _ = file::close(s);
        let mine = file::open(c"/dev/tty", FLAGS, 0);
        check!(mine.is_ok(), "the terminal: {mine:?}");
        check_eq!(get(mine.unwrap_or(-1), io::TIOCGPGRP), Ok(getpid()), "it is ours");
        failed()
    });
    check_eq!(wait(pid), Ok(WaitStatus::exited(0)), "the session");
    let _ = file::close(m);
}

fn only_writes() {
    let (m, number) = master();
    let pid = child(|| {
        setsid();
        let w = open_slave(number, file::O_WRONLY).unwrap_or(-1);
        check_eq!(file::open(c"/dev/tty", FLAGS, 0), Err(Errno(ENXIO)), "opened for writing");
        let _ = user::process::become_user(1000);
        check_eq!(ioctl(w, io::TIOCSCTTY, 0), Err(Errno(EPERM)), "TIOCSCTTY");
        failed()
    });
    check_eq!(wait(pid), Ok(WaitStatus::exited(0)), "who only writes");
    let pid = child(|| {
        setsid();
        let _ = open_slave(number, file::O_RDONLY);
        check!(file::open(c"/dev/tty", FLAGS, 0).is_ok(), "opened for reading");
        failed()
    });
    check_eq!(wait(pid), Ok(WaitStatus::exited(0)), "who reads");
    let _ = file::close(m);
}

fn foreground() {
    let (m, s) = pair();
    check_eq!(put(s, io::TIOCSPGRP, -1), Err(Errno(EINVAL)), "no number of a group");
    check_eq!(ioctl(s, io::TIOCSPGRP, 8), Err(Errno(EFAULT)), "nor anything");
    check_eq!(put(s, io::TIOCSPGRP, 1), Err(Errno(ENOTTY)), "another's terminal");
    let pid = child(|| {
        lead(s);
        check_eq!(put(s, io::TIOCSPGRP, 1), Err(Errno(EPERM)), "another session's group");
        check_eq!(put(s, io::TIOCSPGRP, 0x7fff_fff0), Err(Errno(ESRCH)), "nobody's");
        let member = child(|| {
            loop {
                time::sleep_ms(100);
            }
        });
        check_eq!(put(s, io::TIOCSPGRP, member), Ok(0), "a process that leads no group");
        check_eq!(get(s, io::TIOCGPGRP), Ok(member), "is in the foreground now");
        let _ = kill(member, user::signal::SIGKILL);
        let _ = wait(member);
        failed()
    });
    check_eq!(wait(pid), Ok(WaitStatus::exited(0)), "the leader");
    let _ = (file::close(s), file::close(m));
}

static TERMINAL: AtomicI32 = AtomicI32::new(-1);
static RESULT: AtomicI64 = AtomicI64::new(i64::MIN);

extern "C" fn reader() -> ! {
    let mut byte = [0u8; 4];
    let r = file::read(TERMINAL.load(SeqCst), &mut byte);
    RESULT.store(r.map_or_else(|e| -i64::from(e.0), |n| n as i64), SeqCst);
    user::process::exit_thread(0)
}

/// It is not the first thread that reads.
fn thread_in_background() {
    let (m, s) = pair();
    let pid = child(|| {
        lead(s);
        let job = child(|| {
            let _ = setpgid(0, 0);
            TERMINAL.store(s, SeqCst);
            let _ = spawn_thread(reader);
            for _ in 0..400 {
                if RESULT.load(SeqCst) != i64::MIN {
                    break;
                }
                time::sleep_ms(5);
            }
            check_eq!(RESULT.load(SeqCst), 3, "what the thread's read gave");
            failed()
        });
        let _ = setpgid(job, job);
        let stopped = wait4(job, WSTOPPED).ok().flatten();
        check_eq!(stopped, Some((job, WaitStatus::stopped(SIGTTIN))), "SIGTTIN");
        check_eq!(put(s, io::TIOCSPGRP, job), Ok(0), "TIOCSPGRP");
        let _ = file::write(m, b"ok\n");
        time::sleep_ms(20);
        let _ = kill(job, SIGCONT);
        check_eq!(wait(job), Ok(WaitStatus::exited(0)), "the job");
        failed()
    });
    check_eq!(wait(pid), Ok(WaitStatus::exited(0)), "the leader");
    let _ = (file::close(s), file::close(m));
}

fn run() {
    with_devpts(|| {
        typed_is_kept();
        enough_to_read();
        signals_flush();
        leader_ends();
        all_closed();
        only_writes();
        foreground();
        thread_in_background();
    });
}
