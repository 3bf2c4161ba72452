// SPDX-License-Identifier: GPL-2.0-only
//! When a session leader ends its terminal is hung up: the foreground gets SIGHUP, nobody of
//! the session has a terminal, and what was open of it is at its end. Needs root.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::sync::atomic::{AtomicU64, Ordering::SeqCst};
use linux_raw_sys::general as abi;
use linux_raw_sys::ioctl::{TCGETS, TIOCGPGRP, TIOCGSID, TIOCNOTTY, TIOCSCTTY, TIOCSPGRP};
use user::prelude::*;
use user::process::setpgid;
use user::pty::{get, ioctl};
use user::signal::{SIGCONT, SIGHUP};
use user::time::sleep_ms;
use user::{file, syscall};

expect! { end: exit(0) }
program!(run);

static GOT: AtomicU64 = AtomicU64::new(0);

extern "C" fn note(sig: i32, _: &mut SigInfo, _: &mut UContext) {
    GOT.fetch_or(bit(sig as u32), SeqCst);
}

/// A new session with a terminal: its descriptor.
fn new_session() -> i32 {
    // SAFETY: no memory is involved.
    check_eq!(unsafe { syscall!(__NR_setsid) }, Ok(getpid() as usize), "setsid");
    let tty = file::open(c"/dev/ttyS0", file::O_RDWR | abi::O_NOCTTY, 0).unwrap_or(-1);
    check_eq!(file::open(c"/dev/tty", file::O_RDWR, 0), Err(Errno(ENXIO)), "no terminal yet");
    check_eq!(ioctl(tty, TIOCSCTTY, 1), Ok(0), "TIOCSCTTY");
    tty
}

/// `poll` of one descriptor for anything, now.
fn poll(fd: i32) -> u16 {
    let mut p = abi::pollfd { fd, events: 0x7fff, revents: 0 };
    // SAFETY: the kernel reads and writes the structure.
    let _ = unsafe { syscall!(__NR_poll, core::ptr::from_mut(&mut p), 1, 0) };
    p.revents as u16
}

/// What a process of the session finds when the leader has ended.
fn left(tty: i32, leader: i32, foreground: bool) -> i32 {
    let mine = file::open(c"/dev/tty", file::O_RDWR, 0);
    check!(mine.is_ok(), "a terminal");
    let mut byte = [0];
    while user::process::getppid() == leader {
        sleep_ms(1);
    }
    sleep_ms(5);
    let signals = if foreground { bit(SIGHUP) } else { 0 };
    check_eq!(GOT.load(SeqCst), signals, "signals");
    check_eq!(file::open(c"/dev/tty", file::O_RDWR, 0), Err(Errno(ENXIO)), "no terminal any more");
    for fd in [tty, mine.unwrap_or(-1)] {
        check_eq!(file::read(fd, &mut byte), Ok(0), "read");
        check_eq!(file::write(fd, b"x"), Err(Errno(EIO)), "write");
        check_eq!(get(fd, TIOCGPGRP), Err(Errno(EIO)), "an ioctl");
        check_eq!(get(fd, TIOCSPGRP), Err(Errno(ENOTTY)), "TIOCSPGRP");
        check_eq!(poll(fd), 0x15d, "poll");
    }
    i32::from(user::check::failures() != 0)
}

fn leader_ends() {
    let _ = sigaction(SIGHUP, Action::Handle(note), 0, 0);
    let _ = sigaction(SIGCONT, Action::Handle(note), 0, 0);
    let (out, status) = file::pipe(0).unwrap_or((-1, -1));
    let leader = child(|| {
        let (tty, me) = (new_session(), getpid());
        check_eq!((get(tty, TIOCGPGRP), get(tty, TIOCGSID)), (Ok(me), Ok(me)), "whose it is");
        let (ready, go) = file::pipe(0).unwrap_or((-1, -1));
        for foreground in [true, false] {
            let _ = child(|| {
                if !foreground {
                    let _ = setpgid(0, 0);
                }
                let _ = file::write(go, b"x");
                let code = left(tty, me, foreground);
                let _ = file::write(status, &[code as u8]);
                0
            });
        }
        let _ = file::read_full(ready, &mut [0; 2]);
        sleep_ms(5);
        i32::from(user::check::failures() != 0)
    });
    let _ = file::close(status);
    check_eq!(wait(leader), Ok(WaitStatus::exited(0)), "the leader");
    let mut codes = [0xff; 3];
    check_eq!(file::read_full(out, &mut codes), Ok(2), "both others");
    check_eq!(codes, [0, 0, 0xff], "what they found");
}

/// A leader that gives its terminal up takes it from everybody, and the foreground hears of it.
fn leader_gives_up() {
    GOT.store(0, SeqCst);
    let leader = child(|| {
        let tty = new_session();
        let (ready, go) = file::pipe(0).unwrap_or((-1, -1));
        let member = child(|| {
            let _ = file::read(ready, &mut [0]);
            check_eq!(GOT.load(SeqCst), bit(SIGHUP) | bit(SIGCONT), "the member's signals");
            check_eq!(file::open(c"/dev/tty", file::O_RDWR, 0), Err(Errno(ENXIO)), "the member's terminal");
            let mut termios = [0u8; 64];
            check_eq!(ioctl(tty, TCGETS, termios.as_mut_ptr() as usize), Ok(0), "it is not hung up");
            i32::from(user::check::failures() != 0)
        });
        check_eq!(ioctl(tty, TIOCNOTTY, 0), Ok(0), "TIOCNOTTY");
        check_eq!(GOT.load(SeqCst), bit(SIGHUP) | bit(SIGCONT), "the leader's signals");
        let _ = file::write(go, b"x");
        check_eq!(wait(member), Ok(WaitStatus::exited(0)), "the member");
        i32::from(user::check::failures() != 0)
    });
    check_eq!(wait(leader), Ok(WaitStatus::exited(0)), "the leader");
}

/// Root takes the terminal from another session, which has none then.
fn terminal_is_taken() {
    let owner = child(|| {
        let _ = new_session();
        let thief = child(|| {
            let _ = new_session();
            i32::from(user::check::failures() != 0)
        });
        check_eq!(wait(thief), Ok(WaitStatus::exited(0)), "the thief");
        check_eq!(file::open(c"/dev/tty", file::O_RDWR, 0), Err(Errno(ENXIO)), "the owner's terminal");
        i32::from(user::check::failures() != 0)
    });
    check_eq!(wait(owner), Ok(WaitStatus::exited(0)), "the owner");
}

fn run() {
    leader_ends();
    leader_gives_up();
    terminal_is_taken();
}
