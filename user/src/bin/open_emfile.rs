// SPDX-License-Identifier: GPL-2.0-only
//! A program that has no descriptor free opens nothing: no file is made, none is cut, and what
//! it is refused for is the missing descriptor, whatever else is wrong.
#![cfg_attr(target_os = "none", no_std, no_main)]

use user::file;
use user::prelude::*;
use user::process::{RLIMIT_NOFILE, setrlimit};

expect! { end: exit(0) }
program!(run);

const NEW: &core::ffi::CStr = c"/tmp/open_emfile.new";
const OLD: &core::ffi::CStr = c"/tmp/open_emfile.old";

fn run() {
    let full = Err(Errno(EMFILE));
    check!(file::put(OLD, b"content", 0o644).is_ok(), "a file with content");
    let Ok(old) = setrlimit(RLIMIT_NOFILE, 0, Some(1024)) else {
        check!(false, "no RLIMIT_NOFILE");
        return;
    };
    check_eq!(file::open(NEW, file::O_WRONLY | file::O_CREAT, 0o644), full, "a new file");
    check_eq!(file::open(OLD, file::O_WRONLY | file::O_TRUNC, 0), full, "an old one");
    check_eq!(file::open(c"/no/such/file", file::O_RDONLY, 0), full, "a missing one");
    check_eq!(file::pipe(0), Err(Errno(EMFILE)), "a pipe");
    let _ = setrlimit(RLIMIT_NOFILE, old.rlim_cur.min(1024), Some(1024));
    check_eq!(file::open(NEW, file::O_RDONLY, 0), Err(Errno(ENOENT)), "nothing was made");
    let mut buf = [0; 16];
    check_eq!(file::load(OLD, &mut buf), Ok(&b"content"[..]), "nothing was cut");

    // Room for one: the first end of a pipe is given back.
    let Ok(next) = file::open(OLD, file::O_RDONLY, 0) else { return };
    let _ = file::close(next);
    let _ = setrlimit(RLIMIT_NOFILE, next as u64 + 1, Some(1024));
    check_eq!(file::pipe(0), Err(Errno(EMFILE)), "half a pipe");
    check_eq!(file::open(OLD, file::O_RDONLY, 0), Ok(next), "the descriptor is free again");
    let _ = file::unlink(OLD);
}
