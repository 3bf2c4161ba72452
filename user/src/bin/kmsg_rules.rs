// SPDX-License-Identifier: GPL-2.0-only
//! Who may open `/dev/kmsg`, how long a line may be, and that lines over the limit (where there is
//! one: `printk.devkmsg=on` lifts it) are told about when the file is closed, not before.
//! Needs root.
#![cfg_attr(target_os = "none", no_std, no_main)]

use user::file;
use user::prelude::*;
use user::process::become_user;

expect! { end: exit(0) }
program!(run);

const KMSG: &core::ffi::CStr = c"/dev/kmsg";
const RESTRICT: &core::ffi::CStr = c"/proc/sys/kernel/dmesg_restrict";
/// A line's text may be as long as the log's lines without their longest prefix.
const LONGEST: usize = 1024 - 32;

/// How opening the log ends for somebody who is not root.
fn open_as_user(flags: u32) -> Result<WaitStatus, Errno> {
    wait(child(|| {
        let _ = become_user(1000);
        file::open(KMSG, flags, 0).err().map_or(0, |e| e.0 as i32)
    }))
}

fn run() {
    let mut old = [0; 8];
    let Ok(old) = file::load(RESTRICT, &mut old) else {
        check!(false, "no dmesg_restrict");
        return;
    };
    for (restrict, end) in [(b"1", EPERM as i32), (b"0", 0)] {
        check!(file::store(RESTRICT, restrict).is_ok(), "dmesg_restrict is set");
        check_eq!(open_as_user(file::O_RDONLY), Ok(WaitStatus::exited(end)), "reading, {restrict:?}");
    }
    check_eq!(open_as_user(file::O_WRONLY), Ok(WaitStatus::exited(EACCES as i32)), "writing");
    check!(file::store(RESTRICT, old).is_ok(), "dmesg_restrict is put back");

    let log = file::open(KMSG, file::O_RDONLY | file::O_NONBLOCK, 0);
    let (Ok(log), Ok(fd)) = (log, file::open(KMSG, file::O_WRONLY, 0)) else {
        check!(false, "no /dev/kmsg");
        return;
    };
    let _ = file::lseek(log, 0, 2);
    check_eq!(file::write(fd, &[b'x'; LONGEST + 1]), Err(Errno(EINVAL)), "too long a line");
    check_eq!(file::write(fd, &[b'x'; LONGEST]), Ok(LONGEST), "the longest line");
    for _ in 0..9 + 4 {
        check_eq!(file::write(fd, b"<7>kmsg_rules\n"), Ok(14), "a line, logged or not");
    }
    let mut policy = [0; 16];
    let limited = file::load(c"/proc/sys/kernel/printk_devkmsg", &mut policy) == Ok(b"ratelimit\n");
    check_eq!(counts(log), (if limited { 9 } else { 13 }, 0), "lines logged, and told about");
    let _ = file::close(fd);
    check_eq!(counts(log), (0, usize::from(limited)), "and at the end");
}

/// How many of our lines are new in the log, and how many about lines that are not.
fn counts(log: i32) -> (usize, usize) {
    let (mut record, mut lines) = ([0; 2048], (0, 0));
    while let Ok(n) = file::read(log, &mut record) {
        let has = |text: &[u8]| record[..n].windows(text.len()).any(|w| w == text);
        lines.0 += usize::from(has(b";kmsg_rules\n"));
        lines.1 += usize::from(has(b";printk: kmsg_rules: 4 output lines suppressed due to ratelimiting\n"));
    }
    lines
}
