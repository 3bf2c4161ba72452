// SPDX-License-Identifier: GPL-2.0-only
//! What a terminal makes of keys: lines and their ends, words and characters taken back, keys that
//! lose their meaning, single bytes and waiting for them. The keys are put into the console's own
//! input, so it needs root and a console where nobody types.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::ptr::{from_mut, from_ref};
use linux_raw_sys::general as abi;
use linux_raw_sys::ioctl as io;
use user::file;
use user::prelude::*;
use user::pty::ioctl;
use user::{syscall, time};

expect! { end: exit(0) }
program!(run);

fn termios(fd: i32) -> abi::termios {
    // SAFETY: all zeroes are a `termios`.
    let mut t: abi::termios = unsafe { core::mem::zeroed() };
    check_eq!(ioctl(fd, io::TCGETS, from_mut(&mut t).addr()), Ok(0), "TCGETS");
    t
}

fn set(fd: i32, t: &abi::termios) {
    check_eq!(ioctl(fd, io::TCSETS, from_ref(t).addr()), Ok(0), "TCSETS");
}

fn keys(fd: i32, keys: &[u8]) {
    for key in keys {
        check_eq!(ioctl(fd, io::TIOCSTI, from_ref(key).addr()), Ok(0), "TIOCSTI");
    }
    // Linux takes them apart elsewhere.
    time::sleep_ms(20);
}

/// Each of these must be what the next read gives.
fn reads(fd: i32, what: &str, expected: &[&[u8]]) {
    for want in expected {
        let mut buf = [0; 64];
        match file::read(fd, &mut buf) {
            Ok(n) => check_eq!(&buf[..n], *want, "{what}"),
            Err(e) => check!(false, "{what}: {e}"),
        }
    }
    check_eq!(file::read(fd, &mut [0]), Err(Errno(EAGAIN)), "{what}: no more");
}

fn lines(fd: i32) {
    let mut t = termios(fd);
    t.c_lflag = abi::ICANON | abi::ISIG | abi::IEXTEN;
    set(fd, &t);
    keys(fd, b"abc\n\x04def\x04g\n");
    reads(fd, "ends of file where they were typed", &[b"abc\n", b"", b"def", b"g\n"]);
    keys(fd, b"ab\x08c\x7f\x7fd\n");
    reads(fd, "backspace is a character", &[b"abd\n"]);
    keys(fd, b"one two_2  \x17three\nall\x15\n");
    reads(fd, "a word, and a line", &[b"one three\n", b"\n"]);
    keys(fd, b"a\x16\x7fb\x11\x13\n");
    reads(fd, "the next key, and the keys that stop output", &[b"a\x7fb\n"]);
    keys(fd, b"x\r");
    reads(fd, "return", &[b"x\n"]);
    t.c_iflag |= abi::IGNCR | abi::ISTRIP;
    set(fd, &t);
    keys(fd, b"x\ry\xfa\n");
    reads(fd, "no returns, seven bits", &[b"xyz\n"]);
}

/// How long a read takes that finds nothing, in milliseconds.
fn raw(fd: i32) {
    let mut t = termios(fd);
    t.c_lflag = 0;
    t.c_iflag = abi::INLCR;
    (t.c_cc[abi::VMIN as usize], t.c_cc[abi::VTIME as usize]) = (1, 0);
    set(fd, &t);
    keys(fd, b"a\n\x04");
    reads(fd, "bytes", &[b"a\r\x04"]);
    // SAFETY: no memory is involved.
    let _ = unsafe { syscall!(__NR_fcntl, fd, abi::F_SETFL, abi::O_RDWR) };
    for (tenths, least) in [(0, 0), (2, 150)] {
        (t.c_cc[abi::VMIN as usize], t.c_cc[abi::VTIME as usize]) = (0, tenths);
        set(fd, &t);
        let before = time::now();
        check_eq!(file::read(fd, &mut [0]), Ok(0), "nothing, after {tenths} tenths");
        let took = (time::now() - before) / 1_000_000;
        check!((least..2000).contains(&took), "{tenths} tenths took {took} ms");
    }
    (t.c_cc[abi::VMIN as usize], t.c_cc[abi::VTIME as usize]) = (3, 0);
    set(fd, &t);
    keys(fd, b"ab");
    let pid = child(|| {
        time::sleep_ms(100);
        keys(fd, b"c");
        0
    });
    let mut buf = [0; 8];
    check_eq!((file::read(fd, &mut buf), &buf[..3]), (Ok(3), &b"abc"[..]), "as many as are wanted");
    let _ = wait(pid);
}

fn run() {
    let Ok(fd) = file::open(c"/dev/console", file::O_RDWR | file::O_NONBLOCK | abi::O_NOCTTY, 0) else {
        check!(false, "no console");
        return;
    };
    let old = termios(fd);
    check_eq!(old.c_cflag & abi::CLOCAL, abi::CLOCAL, "no modem");
    let mut size = [9u16; 4];
    check_eq!(ioctl(fd, io::TIOCGWINSZ, size.as_mut_ptr().addr()), Ok(0), "TIOCGWINSZ");
    check_eq!(size, [0; 4], "a size that nobody set");
    lines(fd);
    raw(fd);
    set(fd, &old);
    let _ = file::close(fd);
}
