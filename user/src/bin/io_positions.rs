// SPDX-License-Identifier: GPL-2.0-only
//! Reads and writes that would end behind the last position that a file can have are refused
//! before anything is looked at; those that end there are not. `preadv2` and `pwritev2` know
//! the file's own position.
#![cfg_attr(target_os = "none", no_std, no_main)]

use user::file::{self, pread, pwrite};
use user::prelude::*;
use user::syscall;

expect! { end: exit(0) }
program!(run);

const NAME: &core::ffi::CStr = c"/tmp/io_positions";
const LAST: i64 = i64::MAX;

fn run() {
    let Ok(fd) = file::open(NAME, file::O_RDWR | file::O_CREAT | file::O_TRUNC, 0o644) else {
        check!(false, "no file");
        return;
    };
    let mut buf = [0; 10];
    check_eq!(pread(fd, &mut buf, LAST), Err(Errno(EINVAL)), "a read over the end");
    check_eq!(pread(fd, &mut buf, LAST - 10), Ok(0), "one up to it");
    check_eq!(pread(fd, &mut [], LAST), Ok(0), "an empty one at it");
    check_eq!(pread(fd, &mut buf, -1), Err(Errno(EINVAL)), "a negative place");
    check_eq!(pwrite(fd, &buf, LAST), Err(Errno(EINVAL)), "a write over the end");
    check_eq!(pwrite(fd, &buf, LAST - 9), Err(Errno(EINVAL)), "by one byte");
    check_eq!(file::lseek(fd, LAST, 0), Ok(LAST as usize), "a position at the end");
    check_eq!(file::read(fd, &mut buf), Err(Errno(EINVAL)), "a read from there");
    check_eq!(file::write(fd, b"x"), Err(Errno(EINVAL)), "a write there");
    vectors(fd);
    let _ = file::unlink(NAME);
}

fn vectors(fd: i32) {
    let (text, mut room) = (*b"0123456789", [0u8; 4]);
    let write = [text.as_ptr() as usize, text.len()];
    let read = [room.as_mut_ptr() as usize, room.len()];
    let (write, read) = (write.as_ptr(), read.as_ptr());
    let _ = file::lseek(fd, 2, 0);
    // SAFETY: the vectors name memory of the stack that outlives the calls.
    unsafe {
        check_eq!(syscall!(__NR_preadv, fd, read, 1, LAST, 0), Err(Errno(EINVAL)), "preadv over the end");
        check_eq!(syscall!(__NR_preadv, fd, read, 0, LAST, 0), Ok(0), "an empty vector");
        check_eq!(syscall!(__NR_pwritev2, fd, write, 1, -1, 0, 0), Ok(10), "pwritev2 at the position");
        check_eq!(file::lseek(fd, 0, 1), Ok(12), "which it moves");
        check_eq!(syscall!(__NR_preadv2, fd, read, 1, 5, 0, 0), Ok(4), "preadv2 at a place");
        check_eq!(file::lseek(fd, 0, 1), Ok(12), "which does not move it");
        check_eq!(
            syscall!(__NR_preadv2, fd, read, 1, -2, 0, 0),
            Err(Errno(EINVAL)),
            "any other negative place"
        );
        check_eq!(
            syscall!(__NR_preadv2, fd, read, 1, 0, 0, 1 << 30),
            Err(Errno(EOPNOTSUPP)),
            "a flag that nobody knows"
        );
    }
    check_eq!(room, *b"3456", "what preadv2 read");
}
