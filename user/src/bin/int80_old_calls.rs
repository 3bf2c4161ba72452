// SPDX-License-Identifier: GPL-2.0-only
//! i386's calls of old by `int $0x80`: ids of 16 bits, locks, directories, file systems, times of
//! files, signal masks of one word, threads with a descriptor for their TLS, robust lists of 32-bit
//! pointers, and mappings where 32 bits reach.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::arch::asm;
use core::ffi::CStr;
use linux_raw_sys::general as abi;
use user::compat::Low;
use user::file::{self, O_CREAT, O_RDONLY, O_RDWR};
use user::memory::PAGE;
use user::prelude::*;
use user::process::exit_thread;
use user::signal::{SIGUSR1, SIGUSR2, raise};
use user::syscall::{int80, int80_raw};
use user::{seen, syscall};

expect! { end: exit(0) }
program!(run);

const DIR: &CStr = c"/tmp/int80_old";
const FILE: &CStr = c"/tmp/int80_old/file";

fn call(nr: u32, args: [u32; 5]) -> syscall::Result {
    // SAFETY: the calls here only touch what they are given.
    unsafe { int80(nr, args) }
}

fn run() {
    let Some(low) = Low::new(2 * PAGE) else { return check!(false, "memory below 4 GiB") };
    let _ = file::mkdir(DIR, 0o755);
    let Ok(fd) = file::open(FILE, O_RDWR | O_CREAT, 0o644) else { return check!(false, "a file") };
    file::write_all(fd, b"ten bytes\n");
    ids(low);
    owners(low, fd);
    locks(low, fd);
    directories(low);
    file_systems(low, fd);
    times(low, fd);
    old_stat(low, fd);
    sendfile(low, fd);
    names(low);
    masks(low);
    waits(low);
    thread(low);
    robust(low);
    mappings(low);
    let _ = file::unlink(FILE);
}

/// In a child, which loses its rights.
fn ids(low: Low) {
    let pid = child(|| {
        low.dirty();
        let groups = low.put(64, [7u16, 8, 0xfffe]);
        check_eq!(call(81, [3, groups, 0, 0, 0]), Ok(0), "setgroups");
        check_eq!(call(80, [0, 0, 0, 0, 0]), Ok(3), "getgroups: how many");
        check_eq!(call(80, [2, low.at(0), 0, 0, 0]), Err(Errno(EINVAL)), "too little room");
        check_eq!(call(80, [3, low.at(0), 0, 0, 0]), Ok(3), "getgroups");
        check_eq!(low.get::<[u16; 4]>(0), [7, 8, 0xfffe, 0xa5a5], "the groups");
        check_eq!(call(206, [1, low.put(64, 70_000u32), 0, 0, 0]), Ok(0), "setgroups32");
        check_eq!(call(80, [3, low.at(0), 0, 0, 0]), Ok(1), "getgroups");
        check_eq!(low.get::<u16>(0), 65534, "one that does not fit");
        check_eq!(call(170, [4, 5, 0xffff, 0, 0]), Ok(0), "setresgid");
        check_eq!(call(171, [low.at(0), low.at(2), low.at(4), 0, 0]), Ok(0), "getresgid");
        check_eq!(low.get::<[u16; 3]>(0), [4, 5, 0], "the group ids");
        check_eq!((call(47, [0; 5]), call(50, [0; 5])), (Ok(4), Ok(5)), "getgid, getegid");
        check_eq!(call(71, [0xffff, 4, 0, 0, 0]), Ok(0), "setregid");
        check_eq!(call(139, [6, 0, 0, 0, 0]), Ok(4), "setfsgid: the old one");
        check_eq!(call(46, [0x1_0009, 0, 0, 0, 0]), Ok(0), "setgid: of 16 bits");
        check_eq!(call(47, [0; 5]), Ok(9), "getgid");
        check_eq!(call(164, [1, 2, 3, 0, 0]), Ok(0), "setresuid");
        check_eq!(call(165, [low.at(0), low.at(2), low.at(4), 0, 0]), Ok(0), "getresuid");
        check_eq!(low.get::<[u16; 3]>(0), [1, 2, 3], "the user ids");
        check_eq!((call(24, [0; 5]), call(49, [0; 5])), (Ok(1), Ok(2)), "getuid, geteuid");
        check_eq!(call(70, [2, 1, 0, 0, 0]), Ok(0), "setreuid");
        check_eq!(call(23, [9, 0, 0, 0, 0]), Err(Errno(EPERM)), "setuid: somebody else");
        check_eq!(call(138, [9, 0, 0, 0, 0]), Ok(1), "setfsuid: somebody else");
        check_eq!(call(165, [low.at(0), low.at(2), 8, 0, 0]), Err(Errno(EFAULT)), "nowhere to write");
        check_eq!(call(81, [0, 0, 0, 0, 0]), Err(Errno(EPERM)), "setgroups");
        check_eq!(call(34, [3, 0, 0, 0, 0]), Ok(0), "nice");
        check_eq!(call(96, [0, 0, 0, 0, 0]), Ok(17), "getpriority");
        check_eq!(call(34, [-1i32 as u32, 0, 0, 0, 0]), Err(Errno(EPERM)), "nicer to itself");
        user::check::failures() as i32
    });
    check_eq!(wait(pid), Ok(WaitStatus::exited(0)), "the child");
}

fn owner(fd: i32) -> (u32, u32) {
    let mut w = [0u64; 18];
    // SAFETY: the kernel writes 144 bytes.
    let r = unsafe { syscall!(__NR_fstat, fd, w.as_mut_ptr()) };
    check_eq!(r, Ok(0), "fstat");
    ((w[3] >> 32) as u32, w[4] as u32)
}

fn owners(low: Low, fd: i32) {
    let path = low.put(0, *b"/tmp/int80_old/file\0");
    check_eq!(call(182, [path, 5, 6, 0, 0]), Ok(0), "chown");
    check_eq!(owner(fd), (5, 6), "both");
    check_eq!(call(16, [path, 0xffff, 7, 0, 0]), Ok(0), "lchown");
    check_eq!(owner(fd), (5, 7), "the group alone");
    check_eq!(call(95, [fd as u32, 0x1_0008, 0xffff, 0, 0]), Ok(0), "fchown");
    check_eq!(owner(fd), (8, 7), "of 16 bits");
    check_eq!(call(298, [-100i32 as u32, path, 70_000, 0, 0]), Ok(0), "fchownat: of 32");
    check_eq!(owner(fd), (70_000, 0), "both");
}

const F_RDLCK: i16 = 0;
const F_WRLCK: i16 = 1;
const F_UNLCK: i16 = 2;

fn locks(low: Low, fd: i32) {
    const GETLK: u32 = 5;
    const SETLK: u32 = 6;
    const GETLK64: u32 = 12;
    const SETLK64: u32 = 13;
    const OFD_SETLK: u32 = 37;
    let f = fd as u32;
    let narrow = |kind: i16, start: i32, len: i32| low.put(0, ([kind, 0], start, len, 0u32));
    // The structure is packed to words of 32 bits.
    let wide = |kind: i16, start: i64, len: i64| {
        low.put(4, start);
        low.put(12, len);
        low.put(20, 0u32);
        low.put(0, [kind, 0])
    };
    check_eq!(call(55, [f, SETLK, narrow(F_WRLCK, 10, 5), 0, 0]), Ok(0), "a lock");
    check_eq!(call(221, [f, SETLK64, wide(F_RDLCK, 1 << 32, 1 << 33), 0, 0]), Ok(0), "one far away");
    check_eq!(call(55, [f, SETLK64, low.at(0), 0, 0]), Ok(0), "the old number does the same");
    let pid = child(|| {
        check_eq!(call(55, [f, SETLK, narrow(F_RDLCK, 14, 1), 0, 0]), Err(Errno(EAGAIN)), "taken");
        check_eq!(call(55, [f, GETLK, narrow(F_RDLCK, 0, 100), 0, 0]), Ok(0), "who has it");
        let who = low.get::<([i16; 2], [u32; 3])>(0);
        check_eq!(who, ([F_WRLCK, 0], [10, 5, user::process::getppid() as u32]), "the parent");
        check_eq!(call(221, [f, GETLK, narrow(F_WRLCK, 100, 0), 0, 0]), Err(Errno(EOVERFLOW)), "too far");
        check_eq!(call(221, [f, GETLK64, wide(F_WRLCK, 100, 0), 0, 0]), Ok(0), "the same");
        check_eq!((low.get::<[i64; 2]>(4), low.get::<i16>(0)), ([1 << 32, 1 << 33], F_RDLCK), "far away");
        check_eq!(call(55, [f, GETLK, narrow(F_RDLCK, 0, 10), 0, 0]), Ok(0), "nobody");
        check_eq!(low.get::<[i16; 2]>(0), [F_UNLCK, 0], "has this");
        user::check::failures() as i32
    });
    check_eq!(wait(pid), Ok(WaitStatus::exited(0)), "the child");
    check_eq!(call(221, [f, OFD_SETLK, wide(F_RDLCK, 500, 5), 0, 0]), Ok(0), "an open file's");
    check_eq!(call(221, [f, OFD_SETLK, 8, 0, 0]), Err(Errno(EFAULT)), "nothing there");
    check_eq!(call(221, [f, SETLK, narrow(F_UNLCK, 0, 0), 0, 0]), Ok(0), "all of them go");
    check_eq!(
        call(221, [f, SETLK, narrow(F_WRLCK, -1, 5), 0, 0]),
        Err(Errno(EINVAL)),
        "before the beginning"
    );
    check_eq!(call(221, [f, 1, 0, 0, 0]), Ok(0), "F_GETFD");
    check_eq!(call(221, [99, SETLK, 8, 0, 0]), Err(Errno(EBADF)), "no descriptor");
}

/// Records with their names as i386 has them.
fn directories(low: Low) {
    let Ok(dir) = file::open(DIR, O_RDONLY, 0) else { return check!(false, "the directory") };
    let d = dir as u32;
    let mut new = [0u8; 256];
    let n = file::getdents64(dir, &mut new).unwrap_or(0);
    check_eq!(n, 72, "three records of 64 bits");
    let ino = u64::from_le_bytes([0, 1, 2, 3, 4, 5, 6, 7].map(|i: usize| new[i]));
    let _ = file::lseek(dir, 0, 0);
    low.dirty();
    check_eq!(call(141, [d, low.at(0), 15, 0, 0]), Err(Errno(EINVAL)), "room for less than one");
    check_eq!(call(141, [d, low.at(0), 20, 0, 0]), Ok(16), "getdents: one");
    check_eq!((low.get::<u32>(0), low.get::<u16>(8)), (ino as u32, 16), "its inode, its length");
    check_eq!((low.get::<[u8; 2]>(10), low.get::<u8>(15)), (*b".\0", 4), "its name, its kind");
    check_eq!(call(141, [d, low.at(0), 200, 0, 0]), Ok(16 + 16), "the other two");
    check_eq!((low.get::<[u8; 3]>(10), low.get::<u8>(15)), (*b"..\0", 4), "the parent");
    check_eq!((low.get::<[u8; 5]>(26), low.get::<u8>(31)), (*b"file\0", 8), "the file");
    check_eq!(call(141, [d, low.at(0), 200, 0, 0]), Ok(0), "the end");
    check_eq!(call(220, [d, low.at(0), 200, 0, 0]), Ok(0), "getdents64");
    let _ = file::lseek(dir, 0, 0);
    low.dirty();
    check_eq!(call(89, [d, low.at(0), 1, 0, 0]), Ok(1), "readdir");
    check_eq!(low.get::<[u32; 2]>(0), [ino as u32, 0], "its inode, its place");
    check_eq!((low.get::<u16>(8), low.get::<[u8; 3]>(10)), (1, *b".\0\xa5"), "its name");
    check_eq!(call(89, [d, low.at(0), 0, 0, 0]), Ok(1), "the next");
    check_eq!(call(89, [d, low.at(0), 0, 0, 0]), Ok(1), "the last");
    check_eq!((low.get::<u16>(8), low.get::<[u8; 5]>(10)), (4, *b"file\0"), "its name");
    check_eq!(call(89, [d, low.at(0), 0, 0, 0]), Ok(0), "the end");
    let _ = file::lseek(dir, 0, 0);
    check_eq!(call(89, [d, 8, 0, 0, 0]), Err(Errno(EFAULT)), "nowhere to write");
    check_eq!(call(141, [d, 8, 200, 0, 0]), Err(Errno(EFAULT)), "likewise");
    let _ = file::close(dir);
}

fn file_systems(low: Low, fd: i32) {
    let mut wide = [0u64; 15];
    // SAFETY: the kernel writes 120 bytes.
    let r = unsafe { syscall!(__NR_fstatfs, fd, wide.as_mut_ptr()) };
    check_eq!(r, Ok(0), "fstatfs");
    for by_name in [true, false] {
        low.dirty();
        let (nr, what) = if by_name { (99, low.put(512, *b"/tmp\0")) } else { (100, fd as u32) };
        check_eq!(call(nr, [what, low.at(0), 0, 0, 0]), Ok(0), "call {nr}");
        let w = low.get::<[u32; 17]>(0);
        check_eq!(
            [w[0], w[1], w[9], w[10], w[16]],
            [0, 1, 8, 9, 15].map(|i| match i {
                0 | 1 | 8 | 9 => wide[i] as u32,
                _ => 0xa5a5_a5a5,
            }),
            "what it is, and sixteen words"
        );
        check_eq!([w[12], w[13], w[14], w[15]], [0; 4], "nothing more");
        check_eq!(u64::from(w[7]) | u64::from(w[8]) << 32, wide[7], "its id");
    }
}

/// Access and modification, seconds and nanoseconds.
fn times_of(fd: i32) -> [u64; 4] {
    let mut w = [0u64; 18];
    // SAFETY: the kernel writes 144 bytes.
    let _ = unsafe { syscall!(__NR_fstat, fd, w.as_mut_ptr()) };
    [w[9], w[10], w[11], w[12]]
}

fn times(low: Low, fd: i32) {
    let path = low.put(512, *b"/tmp/int80_old/file\0");
    check_eq!(call(30, [path, low.put(0, [100u32, 200]), 0, 0, 0]), Ok(0), "utime");
    check_eq!(times_of(fd), [100, 0, 200, 0], "seconds");
    check_eq!(call(271, [path, low.put(0, [1u32, 2, 3, 4]), 0, 0, 0]), Ok(0), "utimes");
    check_eq!(times_of(fd), [1, 2000, 3, 4000], "with microseconds");
    let too_many = low.put(0, [1u32, 1_000_000, 3, 4]);
    check_eq!(call(271, [path, too_many, 0, 0, 0]), Err(Errno(EINVAL)), "too many of them");
    check_eq!(call(299, [-100i32 as u32, path, low.put(0, [5u32, 6, 7, 8]), 0, 0]), Ok(0), "futimesat");
    check_eq!(times_of(fd), [5, 6000, 7, 8000], "the same");
    check_eq!(call(299, [fd as u32, 0, low.put(0, [9u32, 0, 9, 0]), 0, 0]), Ok(0), "without a name");
    check_eq!(times_of(fd), [9, 0, 9, 0], "the descriptor's");
    let t = low.put(0, [10u32, 11, u32::MAX, 0x3fff_fffe]);
    check_eq!(call(320, [-100i32 as u32, path, t, 0, 0]), Ok(0), "utimensat");
    check_eq!(times_of(fd), [10, 11, 9, 0], "one of them");
    let t = low.put(0, [-5i32, 0, 12, 13]);
    check_eq!(call(320, [-100i32 as u32, path, t, 0, 0]), Ok(0), "before 1970");
    check_eq!(times_of(fd)[0] as i64, -5, "seconds are signed");
    let t = low.put(0, [14u64, 15, 16, 17]);
    check_eq!(call(412, [fd as u32, 0, t, 0, 0]), Ok(0), "utimensat_time64");
    check_eq!(times_of(fd), [14, 15, 16, 17], "both");
    // Nobody may set the clock without the right; nobody asks for what is no time.
    check_eq!(call(79, [low.put(0, [0i32, 1_000_000]), 0, 0, 0, 0]), Err(Errno(EINVAL)), "settimeofday");
    check_eq!(call(264, [0, low.put(0, [0i32, -1]), 0, 0, 0]), Err(Errno(EINVAL)), "clock_settime");
    check_eq!(call(25, [low.put(0, -1i32), 0, 0, 0, 0]), Ok(0), "stime, which does nothing");
    low.dirty();
    check_eq!(call(161, [0, low.at(0), 0, 0, 0]), Ok(0), "sched_rr_get_interval");
    check_eq!((low.get::<u32>(0), low.get::<u32>(8)), (0, 0xa5a5_a5a5), "two words");
}

fn old_stat(low: Low, fd: i32) {
    let mut w = [0u64; 18];
    // SAFETY: the kernel writes 144 bytes.
    let _ = unsafe { syscall!(__NR_fstat, fd, w.as_mut_ptr()) };
    low.dirty();
    check_eq!(call(28, [fd as u32, low.at(0), 0, 0, 0]), Ok(0), "oldfstat");
    let old = low.get::<[u16; 8]>(0);
    check_eq!((old[1], old[2], old[3]), (w[1] as u16, w[3] as u16, w[2] as u16), "inode, mode, links");
    check_eq!((old[4], old[5], old[7]), (65534, 0, 0), "an owner that does not fit");
    check_eq!(low.get::<[u32; 5]>(16), [10, 14, 16, w[13] as u32, 0xa5a5_a5a5], "size and times");
    let path = low.put(512, *b"/tmp/int80_old/file\0");
    check_eq!((call(18, [path, low.at(0), 0, 0, 0]), low.get::<u32>(16)), (Ok(0), 10), "oldstat");
    check_eq!((call(84, [path, low.at(0), 0, 0, 0]), low.get::<u32>(16)), (Ok(0), 10), "oldlstat");
}

fn sendfile(low: Low, fd: i32) {
    let Ok((r, w)) = file::pipe(0) else { return };
    low.dirty();
    check_eq!(call(187, [w as u32, fd as u32, low.put(0, 4u32), 100, 0]), Ok(6), "sendfile");
    check_eq!(low.get::<[u32; 2]>(0), [10, 0xa5a5_a5a5], "the next place");
    let mut b = [0; 16];
    check_eq!(file::read(r, &mut b), Ok(6), "what was sent");
    check!(b.starts_with(b"bytes\n"), "its end");
    check_eq!(call(187, [w as u32, fd as u32, low.put(0, -1i32), 1, 0]), Err(Errno(EINVAL)), "no place");
    let last = low.put(0, i32::MAX);
    check_eq!(call(187, [w as u32, fd as u32, last, 1, 0]), Err(Errno(EOVERFLOW)), "beyond the last");
    let _ = (file::close(r), file::close(w));
    // SAFETY: nothing is changed.
    let r = unsafe { int80_raw(272, [fd as u32, 0, 0, 0, 0, 0]) };
    check_eq!(r, 0, "fadvise64_64");
    check_eq!(call(250, [fd as u32, 0, 0, 0, 9]), Err(Errno(EINVAL)), "fadvise64: no such advice");
    // SAFETY: only the file is changed.
    let r = unsafe { int80_raw(324, [fd as u32, 0, 0, 0, 20, 0]) };
    check_eq!(r, 0, "fallocate");
    check_eq!(file::lseek(fd, 0, 2), Ok(20), "the size");
}

fn names(low: Low) {
    low.dirty();
    check_eq!(call(122, [low.at(1024), 0, 0, 0, 0]), Ok(0), "uname");
    check_eq!(call(109, [low.at(0), 0, 0, 0, 0]), Ok(0), "olduname");
    check_eq!(low.get::<[u8; 325]>(0), low.get::<[u8; 325]>(1024), "without the domain");
    check_eq!(low.get::<u8>(325), 0xa5, "five names");
    low.dirty();
    check_eq!(call(59, [low.at(0), 0, 0, 0, 0]), Ok(0), "oldolduname");
    check_eq!(low.get::<[u8; 9]>(0), *b"Linux\0\0\0\0", "nine bytes each");
    check_eq!((low.get::<[u8; 7]>(36), low.get::<u8>(45)), (*b"x86_64\0", 0xa5), "the machine is the last");
}

fn masks(low: Low) {
    seen::install(SIGUSR1, 0, 0);
    sigprocmask_set(1 << 40 | bit(SIGUSR2));
    check_eq!(call(126, [0, low.put(0, bit(SIGUSR1) as u32), low.at(8), 0, 0]), Ok(0), "sigprocmask");
    check_eq!(low.get::<u32>(8), bit(SIGUSR2) as u32, "what was blocked");
    check_eq!(call(68, [0; 5]), Ok((1 << 40 | bit(SIGUSR1) | bit(SIGUSR2)) as usize), "sgetmask");
    raise(SIGUSR1);
    check_eq!(
        (call(73, [low.at(0), 0, 0, 0, 0]), low.get::<u32>(0)),
        (Ok(0), bit(SIGUSR1) as u32),
        "sigpending"
    );
    check_eq!(call(126, [2, low.put(0, bit(SIGUSR1) as u32), 0, 0, 0]), Ok(0), "to be set");
    check_eq!(call(68, [0; 5]), Ok((1 << 40 | bit(SIGUSR1)) as usize), "the upper ones stay");
    check_eq!(call(126, [7, low.at(0), 0, 0, 0]), Err(Errno(EINVAL)), "no such request");
    check_eq!(call(69, [bit(SIGUSR2) as u32, 0, 0, 0, 0]), Ok(bit(SIGUSR1) as usize), "ssetmask");
}

/// What waits is told by masks and arguments of i386's.
fn waits(low: Low) {
    seen::install(SIGUSR1, 0, 0);
    sigprocmask_set(bit(SIGUSR1));
    let pid = child(|| {
        user::time::sleep_ms(30);
        i32::from(kill(user::process::getppid(), SIGUSR1) != Ok(0))
    });
    let before = seen::count();
    check_eq!(call(72, [9, 9, 0, 0, 0]), Err(Errno(EINTR)), "sigsuspend");
    check_eq!(seen::count(), before + 1, "the handler ran");
    check_eq!(wait(pid), Ok(WaitStatus::exited(0)), "the child");
    sigprocmask_set(0);
    let Ok((r, w)) = file::pipe(0) else { return };
    check_eq!(file::write(w, b"x"), Ok(1), "something to read");
    low.put(64, 1u32 << r);
    low.put(128, [5u32, 0]);
    let args = low.put(0, [r as u32 + 1, low.at(64), 0, 0, low.at(128)]);
    check_eq!(call(82, [args, 0, 0, 0, 0]), Ok(1), "select, by its arguments in memory");
    check_eq!(low.get::<u32>(64), 1 << r, "it can be read");
    let _ = (file::close(r), file::close(w));
    low.dirty();
    check_eq!(call(242, [0, 2, low.at(0), 0, 0]), Err(Errno(EINVAL)), "half a word of CPUs");
    let n = call(242, [0, 64, low.at(0), 0, 0]).unwrap_or(0);
    check!(n >= 4 && n.is_multiple_of(4) && low.get::<u32>(0) & 1 == 1, "sched_getaffinity: {n}");
    check_eq!(call(241, [0, 4, low.put(0, 1u32), 0, 0]), Ok(0), "sched_setaffinity");
}

/// `clone` makes a thread whose GS is what the descriptor says; the child's id is written where the
/// last argument says, and taken away at its end.
fn thread(low: Low) {
    const FLAGS: u32 = abi::CLONE_VM
        | abi::CLONE_FS
        | abi::CLONE_FILES
        | abi::CLONE_SIGHAND
        | abi::CLONE_THREAD
        | abi::CLONE_SETTLS
        | abi::CLONE_PARENT_SETTID
        | abi::CLONE_CHILD_SETTID
        | abi::CLONE_CHILD_CLEARTID;
    let stack = low.at(2 * PAGE - 64);
    let tls = low.put(256, [14u32, low.at(1024), 0xf_ffff, 0x51]);
    low.put(1024, 0x1234_5678u32);
    low.put(0, [0u32; 4]);
    let bad = low.put(272, [11u32, 0, 0xf_ffff, 0x51]);
    check_eq!(call(120, [FLAGS, stack, low.at(0), bad, low.at(4)]), Err(Errno(EINVAL)), "no such descriptor");
    check_eq!(call(120, [FLAGS, stack, low.at(0), 8, low.at(4)]), Err(Errno(EFAULT)), "none at all");
    let tid: isize;
    // SAFETY: the thread runs on its own stack, writes two words, and ends.
    unsafe {
        asm!(
            "push rbx",
            "mov ebx, {flags:e}",
            "int 0x80",
            "test eax, eax",
            "jnz 2f",
            // The thread: what is at GS:0, and where the parent waits for it.
            "mov eax, 0x73",
            "mov gs, eax",
            "mov eax, gs:[0]",
            "mov [rdi + 4], eax",
            "xor edi, edi",
            "mov eax, 60",
            "syscall",
            "2: pop rbx",
            flags = in(reg) FLAGS,
            inlateout("rax") 120isize => tid,
            in("rcx") stack, in("rdx") low.at(0), in("rsi") tls, in("rdi") low.at(4),
        );
    }
    check!(tid > 0, "a thread: {tid}");
    while low.get::<u32>(4) != 0 || low.get::<u32>(8) == 0 {
        user::process::sched_yield();
    }
    check_eq!(low.get::<[u32; 3]>(0), [tid as u32, 0, 0x1234_5678], "ids, and what GS has");
    // A process, with its signal.
    let pid = child(|| match call(120, [abi::SIGCHLD, 0, 0, 0, 0]) {
        Ok(0) => 5,
        Ok(pid) => wait(pid as i32).map_or(1, |s| i32::from(s == WaitStatus::exited(5)) + 5),
        Err(_) => 2,
    });
    check_eq!(wait(pid), Ok(WaitStatus::exited(6)), "a grandchild");
    // Memory may be mapped for ever.
    check_eq!(call(120, [abi::SIGCHLD | abi::CLONE_THREAD, 0, 0, 0, 0]), Err(Errno(EINVAL)), "half a thread");
}

/// A thread dies with a lock on its list: marked so, and the one behind it, too.
fn robust(low: Low) {
    check_eq!(call(311, [low.at(0), 24, 0, 0, 0]), Err(Errno(EINVAL)), "the other size");
    low.dirty();
    check_eq!(call(312, [0, low.at(0), low.at(4), 0, 0]), Ok(0), "get_robust_list");
    check_eq!(low.get::<[u32; 3]>(0), [0, 12, 0xa5a5_a5a5], "none yet");
    ROBUST.store(low.at(0) as usize, core::sync::atomic::Ordering::Relaxed);
    check!(user::process::spawn_thread(robust_thread).is_ok(), "a thread");
    while low.get::<u32>(216) & abi::FUTEX_OWNER_DIED == 0 {
        user::process::sched_yield();
    }
    check_eq!(low.get::<u32>(200), abi::FUTEX_OWNER_DIED, "the first lock");
    check_eq!(low.get::<u32>(216), abi::FUTEX_OWNER_DIED, "the second");
    check_eq!(low.get::<u32>(232), 1, "one of somebody else's");
}

static ROBUST: core::sync::atomic::AtomicUsize = core::sync::atomic::AtomicUsize::new(0);

extern "C" fn robust_thread() -> ! {
    let at = ROBUST.load(core::sync::atomic::Ordering::Relaxed) as u32;
    let tid = gettid() as u32;
    // SAFETY: memory that the main thread has set aside.
    let put = |offset: u32, value: u32| unsafe { ((at + offset) as *mut u32).write_volatile(value) };
    // Head: first entry, where locks are from their entries, none pending.
    put(0, at + 100);
    put(4, 100);
    put(8, 0);
    put(100, at + 116);
    put(116, at + 132);
    put(132, at);
    put(200, tid);
    put(216, tid);
    put(232, 1);
    let ok = call(311, [at, 12, 0, 0, 0]) == Ok(0);
    check!(ok, "set_robust_list");
    exit_thread(0)
}

/// What is mapped by `int $0x80` is where 32 bits reach, below what a 32-bit stack would need.
fn mappings(low: Low) {
    const ANON: u32 = 0x22;
    let map = |len: u32| call(192, [0, len, 1, ANON, u32::MAX]);
    let (a, b) = (map(4096).unwrap_or(0), map(4096).unwrap_or(0));
    check!(a > 0x8000_0000 && a < 0xf800_0000 && b < a, "downwards from below 4 GiB: {a:#x}, {b:#x}");
    let large = map(0x7800_0000);
    check!(large.is_ok_and(|at| at < 0x8000_0000), "nearly two GiB: {large:?}");
    check_eq!(map(0xf000_0000), Err(Errno(ENOMEM)), "more than there is");
    check_eq!(large.and_then(|at| call(91, [at as u32, 0x7800_0000, 0, 0, 0])), Ok(0), "given back");
    let args = low.put(0, [0u32, 4096, 3, ANON, u32::MAX, 1]);
    check_eq!(call(90, [args, 0, 0, 0, 0]), Err(Errno(EINVAL)), "half a page away");
    let huge = ANON | 0x4_0000 | 5 << 26;
    check_eq!(call(192, [0, 4096, 3, huge, u32::MAX]), Err(Errno(EINVAL)), "no page is so large");
    // 64-bit calls map where they did.
    // SAFETY: a new mapping.
    let far = unsafe { syscall!(__NR_mmap, 0, 4096, 3, ANON, -1, 0) };
    check!(far.is_ok_and(|at| at > 1 << 32), "beyond: {far:?}");
}
