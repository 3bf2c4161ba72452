// SPDX-License-Identifier: GPL-2.0-only
//! A program that is run without any argument gets an empty one, and the log says so, but only
//! once since boot. Needs root.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::ptr::null;
use user::prelude::*;
use user::process::execve;
use user::{file, start};

expect! { end: exit(0) }
program!(run);

/// How often the whole log has this line.
fn logged(text: &str) -> usize {
    let Ok(log) = file::open(c"/dev/kmsg", file::O_RDONLY | file::O_NONBLOCK, 0) else { return 0 };
    let (mut record, mut count) = ([0; 2048], 0);
    loop {
        match file::read(log, &mut record) {
            Ok(n) => count += usize::from(record[..n].windows(text.len()).any(|w| w == text.as_bytes())),
            Err(Errno(EPIPE)) => {}
            Err(_) => break,
        }
    }
    let _ = file::close(log);
    count
}

fn run() {
    if start::arg_str(0) == Some("") {
        return;
    }
    for _ in 0..2 {
        let pid = child(|| {
            let e = execve(c"/proc/self/exe", &[null()], &[null()]);
            e.0 as i32
        });
        check_eq!(wait(pid), Ok(WaitStatus::exited(0)), "one empty argument");
    }
    check_eq!(logged("with NULL argv: empty string added"), 1, "lines in the log");
}
