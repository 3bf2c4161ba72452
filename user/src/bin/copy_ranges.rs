// SPDX-License-Identifier: GPL-2.0-only
//! copy_file_range: which bytes arrive where, what moves, and what is not copied: onto itself, beyond an
//! end or a limit, between file systems, into what is sealed.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::ptr::{from_mut, null};
use linux_raw_sys::general as abi;
use user::file::{self, O_CREAT, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY, close};
use user::prelude::*;
use user::process::setrlimit;
use user::{Result, seen, syscall};

expect! { end: exit(0) }
program!(run);

const TEXT: &[u8] = b"abcdefgh";

fn copy(from: i32, at: Option<&mut i64>, to: i32, to_at: Option<&mut i64>, len: usize) -> Result {
    let [at, to_at] = [at, to_at].map(|p| p.map_or(null(), |p| from_mut(p).cast_const()));
    // SAFETY: the kernel reads and writes the positions.
    unsafe { syscall!(__NR_copy_file_range, from, at, to, to_at, len, 0) }
}

fn fresh(path: &core::ffi::CStr, text: &[u8]) -> i32 {
    let fd = file::open(path, O_CREAT | O_RDWR | O_TRUNC, 0o600).unwrap_or(-1);
    check_eq!(file::pwrite(fd, text, 0), Ok(text.len()), "a file");
    fd
}

fn memfd(flags: u32) -> i32 {
    // SAFETY: the name is a C string.
    unsafe { syscall!(__NR_memfd_create, c"m".as_ptr(), flags) }.map_or(-1, |fd| fd as i32)
}

/// The file is this, and no longer.
fn is(fd: i32, want: &[u8], what: &str) {
    let mut b = [0; 32];
    let n = file::pread(fd, &mut b, 0).unwrap_or(0);
    check!(b.get(..n) == Some(want), "{what}: {:x?}", &b[..n]);
}

fn place(fd: i32) -> Result {
    file::lseek(fd, 0, abi::SEEK_CUR)
}

fn run() {
    positions();
    ends();
    itself();
    refused();
    limited();
    sealed();
    long();
}

fn positions() {
    let (a, b) = (fresh(c"/tmp/a", TEXT), fresh(c"/tmp/b", b""));
    check_eq!(copy(a, None, b, None, 3), Ok(3), "at both positions");
    check_eq!((place(a), place(b)), (Ok(3), Ok(3)), "which move");
    let (mut from, mut to) = (1, 5);
    check_eq!(copy(a, Some(&mut from), b, Some(&mut to), 2), Ok(2), "at given places");
    check_eq!((from, to), (3, 7), "which move");
    check_eq!((place(a), place(b)), (Ok(3), Ok(3)), "and the files' own stay");
    is(b, b"abc\0\0bc", "with a hole between");
    check_eq!(copy(a, Some(&mut from), b, None, 1), Ok(1), "from a given place");
    check_eq!((from, place(a), place(b)), (4, Ok(3), Ok(4)), "to its own");
    is(b, b"abcd\0bc", "over the hole");
    let _ = (close(a), close(b));
}

fn ends() {
    let (a, b) = (fresh(c"/tmp/a", TEXT), fresh(c"/tmp/b", b""));
    let mut from = 6;
    check_eq!(copy(a, Some(&mut from), b, None, 100), Ok(2), "what there is");
    check_eq!(from, 8, "up to the end");
    check_eq!(copy(a, Some(&mut from), b, None, 100), Ok(0), "nothing behind it");
    from = 100;
    check_eq!(copy(a, Some(&mut from), b, None, 1), Ok(0), "nor far behind it");
    check_eq!((from, place(b)), (100, Ok(2)), "and nothing moves");
    check_eq!(copy(a, None, b, None, 0), Ok(0), "nothing is asked for");
    check_eq!(copy(a, Some(&mut 0), b, Some(&mut 0), usize::MAX), Ok(8), "as much as there can be");
    check_eq!(copy(a, Some(&mut 1), b, None, usize::MAX), Err(Errno(EOVERFLOW)), "more than that");
    check_eq!(copy(a, Some(&mut -1), b, None, 1), Err(Errno(EOVERFLOW)), "from a place before the first");
    check_eq!(copy(a, Some(&mut -8), b, None, 1), Err(Errno(EINVAL)), "that leads up to it or not");
    check_eq!(copy(a, Some(&mut 0), b, Some(&mut -8), 1), Err(Errno(EINVAL)), "to one");
    is(b, b"abcdefgh", "what was copied");
    let mut far = i64::MAX - 1;
    check_eq!(copy(a, Some(&mut 0), b, Some(&mut far), 4), Ok(1), "to the last place");
    check_eq!(copy(a, Some(&mut 0), b, Some(&mut far), 4), Err(Errno(EFBIG)), "and no further");
    let _ = (close(a), close(b));
}

fn itself() {
    let a = fresh(c"/tmp/a", TEXT);
    check_eq!(copy(a, Some(&mut 0), a, Some(&mut 4), 4), Ok(4), "behind itself");
    is(a, b"abcdabcd", "twice the same");
    check_eq!(copy(a, Some(&mut 0), a, Some(&mut 3), 4), Err(Errno(EINVAL)), "into itself");
    check_eq!(
        copy(a, Some(&mut 3), a, Some(&mut 0), 4),
        Err(Errno(EINVAL)),
        "before itself, but not far enough"
    );
    check_eq!(copy(a, Some(&mut 0), a, Some(&mut 0), 4), Err(Errno(EINVAL)), "onto itself");
    check_eq!(copy(a, Some(&mut 6), a, Some(&mut 8), 4), Ok(2), "its end behind itself");
    is(a, b"abcdabcdcd", "which does not overlap");
    let other = file::open(c"/tmp/a", O_RDWR, 0).unwrap_or(-1);
    check_eq!(
        copy(a, Some(&mut 0), other, Some(&mut 1), 4),
        Err(Errno(EINVAL)),
        "opened twice, it is one file"
    );
    let _ = (close(a), close(other));
}

fn refused() {
    let (a, b) = (fresh(c"/tmp/a", TEXT), fresh(c"/tmp/b", b""));
    let try_with = |path, flags, into: bool| {
        let fd = file::open(path, flags, 0).unwrap_or(-1);
        let r = if into { copy(a, Some(&mut 0), fd, None, 1) } else { copy(fd, None, b, None, 1) };
        let _ = close(fd);
        r
    };
    check_eq!(try_with(c"/tmp/b", O_RDONLY, true), Err(Errno(EBADF)), "to one that is only read");
    check_eq!(
        try_with(c"/tmp/b", O_WRONLY | abi::O_APPEND, true),
        Err(Errno(EBADF)),
        "to one that only grows"
    );
    check_eq!(try_with(c"/tmp/a", O_WRONLY, false), Err(Errno(EBADF)), "from one that is only written");
    check_eq!(try_with(c"/tmp", O_RDONLY, false), Err(Errno(EISDIR)), "from a directory");
    check_eq!(try_with(c"/dev/null", O_WRONLY, true), Err(Errno(EINVAL)), "to a device");
    check_eq!(try_with(c"/proc/self/stat", O_RDONLY, false), Err(Errno(EXDEV)), "from another file system");
    let m = memfd(0);
    check_eq!(copy(a, Some(&mut 0), m, None, 4), Err(Errno(EXDEV)), "to another file system");
    let other = memfd(0);
    check_eq!(file::pwrite(m, TEXT, 0), Ok(8), "a file without a name");
    check_eq!(copy(m, None, other, None, 4), Ok(4), "which others are in one file system with");
    // SAFETY: the positions are where nothing is.
    let nowhere = |from: usize, to: usize, flags: u32| unsafe {
        syscall!(__NR_copy_file_range, a, from, b, to, 4, flags)
    };
    check_eq!(nowhere(8, 0, 0), Err(Errno(EFAULT)), "a place that cannot be read");
    check_eq!(nowhere(0, 8, 1), Err(Errno(EFAULT)), "before the flags are looked at");
    check_eq!(nowhere(0, 0, 1), Err(Errno(EINVAL)), "which are none");
    for fd in [a, b, m, other] {
        let _ = close(fd);
    }
}

fn limited() {
    seen::install(abi::SIGXFSZ, SA_SIGINFO, 0);
    let (a, b) = (fresh(c"/tmp/a", TEXT), fresh(c"/tmp/b", b""));
    let old = setrlimit(abi::RLIMIT_FSIZE, 6, None);
    check_eq!(copy(a, None, b, None, 8), Ok(6), "up to the limit");
    check_eq!(seen::count(), 0, "without a word");
    check_eq!(copy(a, None, b, None, 8), Err(Errno(EFBIG)), "beyond it");
    check_eq!((seen::count(), seen::get(0).signo), (1, abi::SIGXFSZ as i32), "with the signal");
    check_eq!(copy(a, Some(&mut 8), b, None, 8), Err(Errno(EFBIG)), "even of nothing");
    if let Ok(old) = old {
        let _ = setrlimit(abi::RLIMIT_FSIZE, old.rlim_cur, None);
    }
    let _ = (close(a), close(b));
}

fn sealed() {
    let (from, to) = (memfd(0), memfd(abi::MFD_ALLOW_SEALING));
    check_eq!(file::pwrite(from, TEXT, 0), Ok(8), "a source");
    check_eq!(file::pwrite(to, b"1234", 0), Ok(4), "a target");
    // SAFETY: no memory is involved.
    let seal = |seals: u32| unsafe { syscall!(__NR_fcntl, to, abi::F_ADD_SEALS, seals) };
    check_eq!(seal(abi::F_SEAL_GROW), Ok(0), "one that does not grow");
    check_eq!(copy(from, Some(&mut 0), to, Some(&mut 0), 4), Ok(4), "within it");
    check_eq!(copy(from, Some(&mut 0), to, Some(&mut 4), 4), Err(Errno(EPERM)), "behind it");
    check_eq!(seal(abi::F_SEAL_WRITE), Ok(0), "one that is not written");
    check_eq!(copy(from, Some(&mut 4), to, Some(&mut 0), 4), Err(Errno(EPERM)), "nor copied to");
    check_eq!(copy(to, Some(&mut 0), from, Some(&mut 0), 2), Ok(2), "but from");
    is(to, b"abcd", "the target");
    is(from, b"abcdefgh", "the source");
    let _ = (close(from), close(to));
}

/// More than any buffer between them.
fn long() {
    const LEN: usize = 3 << 20;
    let (a, b) = (memfd(0), memfd(0));
    for i in 0..LEN as i64 / 4096 {
        let _ = file::pwrite(a, &i.to_le_bytes(), i * 4096 + 4000);
    }
    let mut done = 0;
    while let Ok(n @ 1..) = copy(a, None, b, None, LEN) {
        done += n;
    }
    // The last word ends before its page does.
    check_eq!(done, LEN - 88, "all of a long file");
    let mut b8 = [0; 8];
    let wrong = (0..LEN as i64 / 4096)
        .filter(|i| file::pread(b, &mut b8, i * 4096 + 4000).is_err() || b8 != i.to_le_bytes());
    check_eq!(wrong.count(), 0, "pages that are not as they were");
    let _ = (close(a), close(b));
}
