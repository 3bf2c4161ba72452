// SPDX-License-Identifier: GPL-2.0-only
//! vhangup: who calls it loses the terminal, its session leader is told, and what was open of it is at its end.
//! Needs root.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::sync::atomic::{AtomicU64, Ordering::SeqCst};
use linux_raw_sys::general as abi;
use user::prelude::*;
use user::process::become_user;
use user::pty::{FLAGS, master, open_slave, setsid, with_devpts};
use user::signal::{SIGCONT, SIGHUP};
use user::{Result, check, file, syscall};

expect! { end: exit(0) }
program!(run);

static GOT: AtomicU64 = AtomicU64::new(0);

extern "C" fn note(sig: i32, _: &mut SigInfo, _: &mut UContext) {
    GOT.fetch_or(bit(sig as u32), SeqCst);
}

fn vhangup() -> Result {
    // SAFETY: no memory is involved.
    unsafe { syscall!(__NR_vhangup) }
}

fn run() {
    for sig in [SIGHUP, SIGCONT] {
        let _ = sigaction(sig, Action::Handle(note), 0, 0);
    }
    in_child(nobody);
    with_devpts(|| in_child(leader));
}

fn in_child(body: impl FnOnce()) {
    let pid = child(|| {
        body();
        i32::from(check::failures() != 0)
    });
    check_eq!(wait(pid), Ok(WaitStatus::exited(0)), "a child");
}

fn nobody() {
    setsid();
    check_eq!(vhangup(), Ok(0), "without a terminal there is nothing to do");
    check_eq!(GOT.load(SeqCst), 0, "and nobody to tell");
    check!(become_user(1000).is_ok(), "another user");
    check_eq!(vhangup(), Err(Errno(EPERM)), "who may not");
}

fn leader() {
    setsid();
    let (m, number) = master();
    let s = open_slave(number, FLAGS & !abi::O_NOCTTY).unwrap_or(-1);
    check!(file::open(c"/dev/tty", FLAGS, 0).is_ok(), "a terminal");
    check_eq!(vhangup(), Ok(0), "vhangup");
    check_eq!(GOT.load(SeqCst), bit(SIGHUP) | bit(SIGCONT), "the leader is told");
    check_eq!(file::open(c"/dev/tty", FLAGS, 0), Err(Errno(ENXIO)), "and has no terminal any more");
    check_eq!(file::read(s, &mut [0]), Ok(0), "what was open of it is at its end");
    check_eq!(file::write(s, b"x"), Err(Errno(EIO)), "and takes nothing");
    let again = open_slave(number, FLAGS);
    check!(again.is_ok(), "it can be opened again: {again:?}");
    check_eq!(file::write(again.unwrap_or(-1), b"y"), Ok(1), "and written");
    let mut byte = [0];
    check_eq!(file::read(m, &mut byte).map(|n| (n, byte)), Ok((1, *b"y")), "for who has the other end");
}
