// SPDX-License-Identifier: GPL-2.0-only
//! Writing to a pipe that nobody reads: SIGPIPE, and EPIPE if it does not kill.
#![cfg_attr(target_os = "none", no_std, no_main)]

use user::file;
use user::prelude::*;
use user::process::getuid;
use user::seen;
use user::signal::SIGPIPE;

expect! { end: exit(0) }
program!(run);

fn run() {
    let (read, write) = file::pipe(0).unwrap_or((-1, -1));
    check_eq!(file::write(write, b"abc"), Ok(3), "while somebody may read");
    let _ = file::close(read);
    let pid = child(|| file::write(write, b"x").map_or(1, |_| 2));
    check_eq!(wait(pid), Ok(WaitStatus::killed(13)), "by default");
    seen::install(SIGPIPE, 0, 0);
    check_eq!(file::write(write, b"x"), Err(Errno(EPIPE)), "with a handler");
    check_eq!(seen::count(), 1, "the handler");
    check_eq!(seen::get(0), SigInfo::user(SIGPIPE, 0, getpid(), getuid()), "siginfo");
    let _ = sigaction(SIGPIPE, Action::Ignore, 0, 0);
    check_eq!(file::write(write, b"x"), Err(Errno(EPIPE)), "ignored");
    blocking();
}

/// A reader waits for the writer, and the other way round; the end of file comes with the last writer.
fn blocking() {
    let (read, write) = file::pipe(0).unwrap_or((-1, -1));
    let pid = child(|| {
        let _ = file::close(read);
        for _ in 0..40 {
            file::write_all(write, &[7; 5000]);
        }
        0
    });
    let _ = file::close(write);
    let (mut total, mut buffer) = (0, [0; 3000]);
    while let Ok(n @ 1..) = file::read(read, &mut buffer) {
        check!(buffer[..n].iter().all(|&b| b == 7), "bytes");
        total += n;
    }
    check_eq!(total, 200_000, "all came through");
    check_eq!(wait(pid), Ok(WaitStatus::exited(0)), "writer");
}
