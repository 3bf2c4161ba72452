// SPDX-License-Identifier: GPL-2.0-only
//! /proc/kmsg: the log for one reader, each message once; who waits for it, and who may open it.
#![cfg_attr(target_os = "none", no_std, no_main)]

use user::event::{ev, poll_now};
use user::file::{self, O_NONBLOCK, O_WRONLY, close};
use user::prelude::*;
use user::process::become_user;
use user::time::sleep_ms;

expect! { end: exit(0) }
program!(run);

/// Writes a message; without its newline it would wait for the next one.
fn say(text: &[u8]) {
    let fd = file::open(c"/dev/kmsg", O_WRONLY, 0).unwrap_or(-1);
    check_eq!(file::write(fd, text), Ok(text.len()), "write to /dev/kmsg");
    let _ = close(fd);
}

/// Reads up to the end; whether a line of these is among it.
fn read_to(fd: i32, start: &[u8], end: &[u8]) -> bool {
    let mut buf = [0; 2048];
    let mut found = false;
    loop {
        match file::read(fd, &mut buf) {
            Ok(n) => {
                let text = buf.get(..n).unwrap_or(&[]);
                found |= text.split(|&b| b == b'\n').any(|l| l.starts_with(start) && l.ends_with(end));
            }
            Err(e) => {
                check_eq!(e, Errno(EAGAIN), "the end");
                return found;
            }
        }
    }
}

fn run() {
    let fd = file::open(c"/proc/kmsg", O_NONBLOCK, 0).unwrap_or(-1);
    say(b"<14>first of proc_kmsg\n");
    check_eq!(poll_now(fd), ev::IN | ev::RDNORM, "something to read");
    check!(read_to(fd, b"<14>", b"first of proc_kmsg"), "the message");
    check!(!read_to(fd, b"<14>", b"first of proc_kmsg"), "it comes once");
    check_eq!(poll_now(fd), 0, "nothing to read");
    // Less than a line is a part of it, and the rest comes next.
    say(b"<14>second\n");
    let mut head = [0; 4];
    check_eq!((file::read(fd, &mut head), &head), (Ok(4), b"<14>"), "a part");
    check!(read_to(fd, b"", b"second"), "the rest");
    let waiting = file::open(c"/proc/kmsg", 0, 0).unwrap_or(-1);
    let pid = child(|| {
        sleep_ms(20);
        say(b"<14>third\n");
        0
    });
    let mut line = [0; 128];
    let n = file::read(waiting, &mut line).unwrap_or(0);
    check!(line.get(..n).is_some_and(|l| l.ends_with(b"third\n")), "waits for it");
    check_eq!(wait(pid), Ok(WaitStatus::exited(0)), "child");
    let pid = child(|| {
        let _ = become_user(1000);
        i32::from(file::open(c"/proc/kmsg", 0, 0) != Err(Errno(EACCES)))
    });
    check_eq!(wait(pid), Ok(WaitStatus::exited(0)), "only root");
    let _ = [fd, waiting].map(close);
}
