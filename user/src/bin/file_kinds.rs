// SPDX-License-Identifier: GPL-2.0-only
//! What each kind of file lets itself be asked for: to be sought in, synced, changed, read without a
//! byte, spliced; and what file system it is on.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::ffi::CStr;
use core::ptr::null;
use linux_raw_sys::general as abi;
use user::event::{epoll_create, eventfd, signalfd, timerfd_create};
use user::file::{self, O_RDONLY, O_RDWR, close, lseek};
use user::prelude::*;
use user::pty::{master, with_devpts};
use user::syscall;
use user::syscall::Result;

expect! { end: exit(0) }
program!(run);

const OSTYPE: &CStr = c"/proc/sys/kernel/ostype";
const HOSTNAME: &CStr = c"/proc/sys/kernel/hostname";
const ONLINE: &CStr = c"/sys/devices/system/cpu/online";
/// One more than a file may have where nobody has said that there are large ones.
const LARGE: i64 = 1 << 31;

/// Asks something of an open file.
fn of<T>(path: &CStr, flags: u32, ask: impl FnOnce(i32) -> T) -> Option<T> {
    let fd = file::open(path, flags, 0);
    check!(fd.is_ok(), "{path:?}: {fd:?}");
    let fd = fd.ok()?;
    let answer = ask(fd);
    let _ = close(fd);
    Some(answer)
}

fn memfd() -> i32 {
    // SAFETY: the name is a C string.
    unsafe { syscall!(__NR_memfd_create, c"kinds".as_ptr(), 0) }.map_or(-1, |fd| fd as i32)
}

fn fails(e: u32) -> Result {
    Err(Errno(e))
}

fn seeking() {
    let ask = |fd: i32| {
        [
            lseek(fd, 0, abi::SEEK_END),
            lseek(fd, 0, abi::SEEK_DATA),
            lseek(fd, 0, abi::SEEK_HOLE),
            lseek(fd, LARGE, abi::SEEK_SET),
            lseek(fd, -1, abi::SEEK_SET),
        ]
    };
    let e = fails;
    let (inval, nxio) = (EINVAL, ENXIO);
    let simple = [e(inval), e(inval), e(inval), Ok(LARGE as usize), e(inval)];
    let made_up = [Ok(0), e(nxio), e(nxio), e(inval), e(inval)];
    check_eq!(of(c"/", O_RDONLY, ask), Some(simple), "a directory in memory");
    with_devpts(|| {
        check_eq!(of(c"/dev/pts", O_RDONLY, ask), Some(simple), "that of terminals");
        let (fd, number) = master();
        let (path, last) =
            (user::text!(40, "/proc/self/fdinfo/{fd}\0"), user::text!(40, "\ntty-index:\t{number}\n"));
        let mut buf = [0; 256];
        let path = CStr::from_bytes_until_nul(path.as_str().as_bytes()).unwrap_or(c"/");
        let told = file::load(path, &mut buf).is_ok_and(|text| text.ends_with(last.as_str().as_bytes()));
        check!(told, "its number in fdinfo");
        let _ = close(fd);
    });
    for path in [c"/proc", c"/proc/self", c"/proc/self/fd", c"/proc/self/task", c"/proc/sys/kernel", c"/sys"]
    {
        check_eq!(of(path, O_RDONLY, ask), Some(made_up), "{path:?}");
    }
    let seq = [e(inval), e(inval), e(inval), Ok(LARGE as usize), e(inval)];
    for path in [c"/proc/self/status", c"/proc/self/maps", c"/proc/meminfo", c"/proc/self/mounts"] {
        check_eq!(of(path, O_RDONLY, ask), Some(seq), "{path:?}");
    }
    for path in [c"/proc/self/cmdline", c"/proc/self/environ", c"/proc/self/auxv"] {
        check_eq!(of(path, O_RDONLY, ask), Some(made_up), "{path:?}");
    }
    let setting = [Ok(0), e(nxio), e(nxio), Ok(LARGE as usize), e(inval)];
    check_eq!(of(OSTYPE, O_RDONLY, ask), Some(setting), "a setting");
    let attribute = [Ok(4096), Ok(0), Ok(4096), e(inval), e(inval)];
    check_eq!(of(ONLINE, O_RDONLY, ask), Some(attribute), "an attribute");
}

fn syncing() {
    let ask = |fd: i32| {
        // SAFETY: no memory is involved.
        unsafe {
            [
                syscall!(__NR_fsync, fd),
                syscall!(__NR_fdatasync, fd),
                syscall!(__NR_sync_file_range, fd, 0, 0, 7),
            ]
        }
    };
    let (inval, spipe) = (fails(EINVAL), fails(ESPIPE));
    let yes = [Ok(0), Ok(0), Ok(0)];
    let no = [inval, inval, Ok(0)];
    let other = [inval, inval, spipe];
    for path in [c"/", ONLINE] {
        check_eq!(of(path, O_RDONLY, ask), Some(yes), "{path:?}");
    }
    for path in [c"/proc", c"/proc/self/fd", c"/proc/self/status", c"/proc/meminfo", OSTYPE, c"/sys"] {
        check_eq!(of(path, O_RDONLY, ask), Some(no), "{path:?}");
    }
    check_eq!(of(c"/dev/null", O_RDWR, ask), Some(other), "a device");
    let (r, w) = file::pipe(0).unwrap_or((-1, -1));
    let event = eventfd(0, 0).unwrap_or(-1);
    check_eq!([r, w, event].map(ask), [other; 3], "pipes and events");
    let memory = memfd();
    check_eq!(ask(memory), yes, "a memory file");
    let _ = [r, w, event, memory].map(close);
}

fn changing() {
    let perm = fails(EPERM);
    // SAFETY: no memory is involved.
    let chown = |fd: i32, uid: i32, gid: i32| unsafe { syscall!(__NR_fchown, fd, uid, gid) };
    let ask = |fd: i32| {
        // What it has is what it is to have.
        let mode = file::fstat(fd).map_or(0, |s| s.st_mode) & 0o7777;
        // SAFETY: no memory is involved; the times are now.
        let [chmod, now] = unsafe {
            [syscall!(__NR_fchmod, fd, mode), syscall!(__NR_utimensat, fd, null::<u8>(), null::<u8>(), 0)]
        };
        [chmod, chown(fd, 0, 0), chown(fd, -1, -1), now]
    };
    let of_process = [perm, Ok(0), Ok(0), Ok(0)];
    check_eq!(of(c"/proc/self", O_RDONLY, ask), Some([perm, perm, Ok(0), perm]), "a process");
    for path in [c"/proc/self/status", c"/proc/self/fd", c"/proc/self/fdinfo/0", c"/proc/self/mem"] {
        check_eq!(of(path, O_RDONLY, ask), Some(of_process), "{path:?}");
    }
    let setting = [perm, perm, Ok(0), Ok(0)];
    for path in [HOSTNAME, c"/proc/sys", c"/proc/sys/kernel"] {
        check_eq!(of(path, O_RDONLY, ask), Some(setting), "{path:?}");
    }
    for path in [c"/proc", c"/proc/meminfo", c"/sys", ONLINE] {
        check_eq!(of(path, O_RDONLY, ask), Some([Ok(0); 4]), "{path:?}");
    }
    let (r, w) = file::pipe(0).unwrap_or((-1, -1));
    check_eq!(ask(r), [Ok(0); 4], "a pipe");
    let _ = [r, w].map(close);
}

fn systems() {
    // Type, block size, blocks, free and available ones, inodes and free ones.
    let ask = |fd: i32| {
        let mut st = [0u64; 15];
        // SAFETY: the kernel writes a `struct statfs` of 120 bytes.
        let r = unsafe { syscall!(__NR_fstatfs, fd, st.as_mut_ptr()) };
        check_eq!(r, Ok(0), "fstatfs");
        check_eq!((st[8], st[9], st[10]), (255, 4096, 0x20), "longest name, fragments, flags");
        [st[0], st[1], st[2], st[3], st[4], st[5], st[6]]
    };
    let magic = |magic: u64| [magic, 4096, 0, 0, 0, 0, 0];
    let (r, w) = file::pipe(0).unwrap_or((-1, -1));
    let (event, memory) = (eventfd(0, 0).unwrap_or(-1), memfd());
    check_eq!(ask(memory), magic(0x0102_1994), "a memory file");
    check_eq!(ask(r), magic(0x5049_5045), "a pipe");
    check_eq!(ask(event), magic(0x0904_1934), "an event");
    let _ = [r, w, event, memory].map(close);
}

/// Reads and writes of nothing, in one piece and in none or two: a file that cannot be read or written says
/// so before it is seen that there is nothing to do.
fn nothing() {
    let mut buf = [0u8; 8];
    let at = buf.as_mut_ptr() as usize;
    let empty = move |fd: i32| {
        let vec = [at, 0, at, 0];
        // SAFETY: nothing is read or written.
        unsafe {
            [
                syscall!(__NR_read, fd, at, 0),
                syscall!(__NR_readv, fd, vec.as_ptr(), 0),
                syscall!(__NR_preadv2, fd, vec.as_ptr(), 2, -1, 0, 0),
                syscall!(__NR_write, fd, at, 0),
                syscall!(__NR_writev, fd, vec.as_ptr(), 2),
                syscall!(__NR_pwritev2, fd, vec.as_ptr(), 0, -1, 0, 8),
            ]
        }
    };
    let (inval, badf, isdir, io) = (fails(EINVAL), fails(EBADF), fails(EISDIR), fails(EIO));
    let ok: Result = Ok(0);
    let (r, w) = file::pipe(0).unwrap_or((-1, -1));
    // SAFETY: no memory is involved.
    let pidfd = unsafe { syscall!(__NR_pidfd_open, getpid(), 0) }.map_or(-1, |fd| fd as i32);
    let fds = [
        (epoll_create(0).unwrap_or(-1), [inval; 6]),
        (pidfd, [inval; 6]),
        (timerfd_create(0, 0).unwrap_or(-1), [inval, ok, ok, inval, inval, inval]),
        (signalfd(-1, 0, 0).unwrap_or(-1), [inval, ok, ok, inval, inval, inval]),
        (eventfd(1, 0).unwrap_or(-1), [inval, ok, ok, inval, ok, ok]),
        (memfd(), [ok; 6]),
        (r, [ok, ok, ok, badf, badf, badf]),
        (w, [badf, badf, badf, ok, ok, ok]),
    ];
    for (i, (fd, want)) in fds.into_iter().enumerate() {
        check_eq!(empty(fd), want, "file {i}");
        let _ = close(fd);
    }
    for (path, flags, want) in [
        (c"/", O_RDONLY, [isdir, ok, ok, badf, badf, badf]),
        (c"/proc/self", O_RDONLY, [isdir, ok, ok, badf, badf, badf]),
        (c"/proc/self/status", O_RDWR, [ok, ok, ok, inval, inval, inval]),
        (c"/proc/self/cmdline", O_RDWR, [ok, ok, ok, inval, inval, inval]),
        (c"/proc/meminfo", O_RDWR, [ok, ok, ok, io, ok, ok]),
        (c"/dev/null", O_RDWR, [ok; 6]),
    ] {
        check_eq!(of(path, flags, empty), Some(want), "{path:?}");
    }
    refused(at);
}

/// What is wrong with the buffers is seen before what is wrong with the file.
fn refused(at: usize) {
    let (r, w) = file::pipe(0).unwrap_or((-1, -1));
    let (bad, count) = (8usize, 1025);
    let far = [usize::MAX - 100, 8];
    // SAFETY: the kernel reads the vectors, and refuses all of it.
    let got = unsafe {
        [
            syscall!(__NR_readv, w, far.as_ptr(), count),
            syscall!(__NR_readv, w, bad, 1),
            syscall!(__NR_readv, w, far.as_ptr(), 1),
            syscall!(__NR_writev, r, bad, 1),
            syscall!(__NR_readv, -1, bad, 1),
            syscall!(__NR_read, w, usize::MAX - 100, 8),
            syscall!(__NR_write, w, usize::MAX - 100, 0),
            syscall!(__NR_preadv, r, bad, 1, 0, 0),
            syscall!(__NR_preadv, r, bad, 1, -1, -1),
            syscall!(__NR_read, r, at, 0),
        ]
    };
    let e = fails;
    let want = [
        e(EINVAL),
        e(EFAULT),
        e(EFAULT),
        e(EFAULT),
        e(EBADF),
        e(EBADF),
        e(EFAULT),
        e(ESPIPE),
        e(EINVAL),
        Ok(0),
    ];
    check_eq!(got, want, "buffers and files");
    let _ = [r, w].map(close);
}

/// Some files of `/proc` can be spliced, others not.
fn splicing() {
    let (r, w) = file::pipe(0).unwrap_or((-1, -1));
    let null_file = file::open(c"/dev/null", O_RDWR, 0).unwrap_or(-1);
    let ask = |fd: i32| {
        // SAFETY: no memory is involved.
        let [splice, send] = unsafe {
            [
                syscall!(__NR_splice, fd, null::<i64>(), w, null::<i64>(), 1, 0),
                syscall!(__NR_sendfile, null_file, fd, null::<i64>(), 1),
            ]
        };
        if splice == Ok(1) {
            let _ = file::read(r, &mut [0]);
        }
        [splice, send]
    };
    let no = [fails(EINVAL); 2];
    for path in
        [c"/proc/self/maps", c"/proc/self/status", c"/proc/self/cmdline", c"/proc/self/fdinfo/0", c"/proc"]
    {
        check_eq!(of(path, O_RDONLY, ask), Some(no), "{path:?}");
    }
    for path in [c"/proc/meminfo", c"/proc/version", c"/proc/self/mounts", ONLINE, OSTYPE] {
        check_eq!(of(path, O_RDONLY, ask), Some([Ok(1); 2]), "{path:?}");
    }
    let _ = [r, w, null_file].map(close);
}

fn run() {
    seeking();
    syncing();
    changing();
    systems();
    nothing();
    splicing();
}
