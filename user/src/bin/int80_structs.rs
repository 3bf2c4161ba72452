// SPDX-License-Identifier: GPL-2.0-only
//! `int $0x80` from 64-bit code, with i386's own structures: `stat64`, times of 32 bits, vectors
//! of 32-bit pointers, `rusage`, limits, sets of descriptors, `siginfo`. Each says what the 64-bit
//! call says, laid out as i386 has it.
#![cfg_attr(target_os = "none", no_std, no_main)]

use linux_raw_sys::general as abi;
use user::compat::Low;
use user::file::{self, O_CREAT, O_RDWR};
use user::prelude::*;
use user::process::getuid;
use user::signal::SIGALRM;
use user::syscall::{self, int80};
use user::{seen, start};

expect! { end: exit(0) }
program!(run);

fn call(nr: u32, args: [u32; 5]) -> syscall::Result {
    // SAFETY: the calls here only touch what they are given.
    unsafe { int80(nr, args) }
}

/// The words of the 64-bit `stat`.
fn stat(fd: i32) -> [u64; 18] {
    let mut w = [0u64; 18];
    // SAFETY: the kernel writes 144 bytes.
    let r = unsafe { user::syscall!(__NR_fstat, fd, w.as_mut_ptr()) };
    check_eq!(r, Ok(0), "fstat");
    w
}

fn stats(low: Low) {
    const PATH: &core::ffi::CStr = c"/tmp/int80_structs";
    let Ok(fd) = file::open(PATH, O_RDWR | O_CREAT, 0o640) else {
        check!(false, "a file");
        return;
    };
    file::write_all(fd, b"0123456789");
    let s = stat(fd);
    let (mode, uid, gid) = (s[3] as u32, (s[3] >> 32) as u32, s[4] as u32);
    let times = [s[9], s[10], s[11], s[12], s[13], s[14]].map(|t| t as u32);
    low.dirty();
    check_eq!(call(197, [fd as u32, low.at(0), 0, 0, 0]), Ok(0), "fstat64");
    check_eq!((low.get::<u64>(0), low.get::<u64>(88)), (s[0], s[1]), "device, inode");
    check_eq!(low.get::<[u32; 5]>(12), [s[1] as u32, mode, s[2] as u32, uid, gid], "inode to gid");
    check_eq!(low.get::<i64>(44), 10, "size");
    check_eq!((low.get::<u32>(52), low.get::<u64>(56)), (s[7] as u32, s[8]), "block size, blocks");
    check_eq!(low.get::<[u32; 6]>(64), times, "times");
    check_eq!(low.get::<u64>(96), 0xa5a5_a5a5_a5a5_a5a5, "nothing behind it");
    low.dirty();
    check_eq!(call(108, [fd as u32, low.at(0), 0, 0, 0]), Ok(0), "fstat");
    check_eq!(low.get::<[u32; 2]>(0), [s[0] as u32, s[1] as u32], "device, inode");
    check_eq!(low.get::<[u16; 4]>(8), [mode as u16, s[2] as u16, uid as u16, gid as u16], "mode to gid");
    check_eq!(low.get::<[u32; 3]>(20), [10, s[7] as u32, s[8] as u32], "size, block size, blocks");
    check_eq!(low.get::<[u32; 6]>(32), times, "times");
    let path = low.put(2048, *b"/tmp/int80_structs\0");
    check_eq!(call(195, [path, low.at(0), 0, 0, 0]), Ok(0), "stat64");
    check_eq!(low.get::<u64>(88), s[1], "its inode");
    check_eq!(call(300, [-100i32 as u32, path, low.at(128), 0x100, 0]), Ok(0), "fstatat64");
    check_eq!(low.get::<u64>(128 + 88), s[1], "its inode");
    check_eq!(call(197, [99, low.at(0), 0, 0, 0]), Err(Errno(EBADF)), "no descriptor");
    check_eq!(call(197, [fd as u32, 8, 0, 0, 0]), Err(Errno(EFAULT)), "no memory");
    offsets(low, fd);
    let _ = file::unlink(PATH);
    let _ = file::close(fd);
}

/// Offsets in two registers, and vectors.
fn offsets(low: Low, fd: i32) {
    let f = fd as u32;
    check_eq!(call(140, [f, 1, 5, low.at(64), 0]), Ok(0), "_llseek");
    check_eq!(low.get::<u64>(64), 0x1_0000_0005, "the position");
    check_eq!(call(180, [f, low.at(0), 4, 3, 0]), Ok(4), "pread64");
    check_eq!(low.get::<[u8; 4]>(0), *b"3456", "what was read");
    check_eq!(call(194, [f, 8, 1, 0, 0]), Ok(0), "ftruncate64 to more than 4 GiB");
    check_eq!(stat(fd)[6], 0x1_0000_0008, "the size");
    check_eq!(call(108, [f, low.at(0), 0, 0, 0]), Err(Errno(EOVERFLOW)), "fstat of a large file");
    check_eq!(call(93, [f, 10, 0, 0, 0]), Ok(0), "ftruncate");
    check_eq!(call(140, [f, 0, 0, low.at(64), 0]), Ok(0), "_llseek back");
    low.put(100, *b"abcdef");
    let vec = low.put(0, [low.at(100), 2, low.at(104), 2]);
    check_eq!(call(146, [f, vec, 2, 0, 0]), Ok(4), "writev");
    let _ = file::lseek(fd, 0, 0);
    low.dirty();
    let vec = low.put(0, [low.at(200), 3, low.at(300), 4]);
    check_eq!(call(145, [f, vec, 2, 0, 0]), Ok(7), "readv");
    check_eq!((low.get::<[u8; 3]>(200), low.get::<[u8; 4]>(300)), (*b"abe", *b"f456"), "what was read");
    low.put(4, 0x8000_0000u32);
    check_eq!(call(145, [f, low.at(0), 2, 0, 0]), Err(Errno(EINVAL)), "a negative length");
}

fn times(low: Low) {
    let mut tv = [0i64; 2];
    // SAFETY: the kernel writes two words.
    let _ = unsafe { user::syscall!(__NR_gettimeofday, tv.as_mut_ptr(), 0) };
    let near = |sec: i32| (tv[0]..tv[0] + 5).contains(&i64::from(sec));
    low.dirty();
    check_eq!(call(78, [low.at(0), low.at(8), 0, 0, 0]), Ok(0), "gettimeofday");
    check!(near(low.get(0)) && low.get::<u32>(4) < 1_000_000, "its seconds");
    check_eq!(low.get::<u32>(8) & 0xffff_0000, 0, "the time zone is written");
    check!(call(13, [low.at(0), 0, 0, 0, 0]).is_ok_and(|t| near(t as i32)) && near(low.get(0)), "time");
    low.dirty();
    check_eq!(call(265, [0, low.at(0), 0, 0, 0]), Ok(0), "clock_gettime");
    check!(near(low.get(0)) && low.get::<u32>(4) < 1_000_000_000, "its seconds");
    check_eq!(low.get::<u32>(8), 0xa5a5_a5a5, "two words of it");
    check_eq!(call(266, [1, low.at(0), 0, 0, 0]), Ok(0), "clock_getres");
    check_eq!(low.get::<[u32; 2]>(0), [0, 1], "a nanosecond");
    low.put(0, [0u32, 20_000_000]);
    check_eq!(call(162, [low.at(0), 0, 0, 0, 0]), Ok(0), "nanosleep");
    low.put(0, [0u32, 1_000_000_000]);
    check_eq!(call(162, [low.at(0), 0, 0, 0, 0]), Err(Errno(EINVAL)), "too many nanoseconds");
    interrupted(low);
    check!(call(43, [low.at(0), 0, 0, 0, 0]).is_ok(), "times");
    check!(low.get::<[u32; 4]>(0).iter().all(|&t| t < 100_000), "small numbers of ticks");
}

/// A timer of i386's interrupts a sleep of i386's, which says how much was left.
fn interrupted(low: Low) {
    seen::install(SIGALRM, 0, 0);
    let timer = low.put(0, [0u32, 0, 0, 30_000]);
    check_eq!(call(104, [0, timer, low.at(32), 0, 0]), Ok(0), "setitimer");
    check_eq!(low.get::<[u32; 4]>(32), [0; 4], "no timer before");
    check_eq!(call(105, [0, low.at(32), 0, 0, 0]), Ok(0), "getitimer");
    let [interval, _, sec, usec] = low.get::<[u32; 4]>(32);
    check!(interval == 0 && sec == 0 && usec > 0 && usec <= 34_000, "{usec} us left");
    low.dirty();
    low.put(0, [5u32, 0]);
    check_eq!(call(162, [low.at(0), low.at(16), 0, 0, 0]), Err(Errno(EINTR)), "an interrupted sleep");
    check_eq!(seen::count(), 1, "the signal");
    check_eq!((low.get::<u32>(16), low.get::<u32>(24)), (4, 0xa5a5_a5a5), "what was left: two words");
}

/// A stop and a continue in between: the rest is still told in 32 bits.
fn restarted(low: Low) {
    let sleeper = child(|| {
        low.put(0, [0u32, 120_000_000]);
        i32::from(call(162, [low.at(0), low.at(16), 0, 0, 0]) != Ok(0) || low.get::<u32>(24) != 0xa5a5_a5a5)
    });
    user::time::sleep_ms(20);
    check_eq!(kill(sleeper, abi::SIGSTOP), Ok(0), "stop");
    user::time::sleep_ms(20);
    check_eq!(kill(sleeper, abi::SIGCONT), Ok(0), "continue");
    check_eq!(wait(sleeper), Ok(WaitStatus::exited(0)), "the sleeper slept on");
}

fn processes(low: Low) {
    low.dirty();
    let pid = child(|| 7);
    check_eq!(call(114, [pid as u32, low.at(0), 0, low.at(16), 0]), Ok(pid as usize), "wait4");
    check_eq!(low.get::<u32>(0), 0x700, "its status");
    check!(low.get::<u32>(20) < 1_000_000 && low.get::<u32>(28) < 1_000_000, "its times");
    check_eq!(low.get::<u32>(16 + 72), 0xa5a5_a5a5, "72 bytes of usage");
    let pid = child(|| 8);
    check_eq!(call(284, [1, pid as u32, low.at(0), 4, 0]), Ok(0), "waitid");
    let want = [abi::SIGCHLD, 0, 1, pid as u32, getuid(), 8];
    check_eq!(low.get::<[u32; 6]>(0), want, "its siginfo");
    check_eq!(call(77, [0, low.at(0), 0, 0, 0]), Ok(0), "getrusage");
    low.put(0, [50u32, 60]);
    check_eq!(call(75, [7, low.at(0), 0, 0, 0]), Ok(0), "setrlimit");
    check_eq!(call(191, [7, low.at(16), 0, 0, 0]), Ok(0), "ugetrlimit");
    check_eq!(low.get::<[u32; 2]>(16), [50, 60], "what was set");
    check_eq!(call(191, [9, low.at(16), 0, 0, 0]), Ok(0), "ugetrlimit");
    check_eq!(low.get::<[u32; 2]>(16), [u32::MAX; 2], "no limit");
    check_eq!(call(76, [9, low.at(16), 0, 0, 0]), Ok(0), "getrlimit");
    check_eq!(low.get::<[u32; 2]>(16), [0x7fff_ffff; 2], "no limit, for the signed");
    low.dirty();
    check_eq!(call(116, [low.at(0), 0, 0, 0, 0]), Ok(0), "sysinfo");
    check!(low.get::<u32>(16) > low.get::<u32>(20) && low.get::<u32>(52) == 1, "memory, and its unit");
    check_eq!(low.get::<u32>(64), 0xa5a5_a5a5, "64 bytes");
    check_eq!(call(122, [low.at(0), 0, 0, 0, 0]), Ok(0), "uname");
    check_eq!(low.get::<[u8; 6]>(0), *b"Linux\0", "the system");
}

/// A file that i386's `open` gives is not a large one, unless it was asked for.
fn small_files(low: Low) {
    let path = low.put(0, *b"/tmp/int80_large\0");
    let (end, at) = (low.put(64, *b"abcd"), 0x7fff_fffe);
    for (large, wrote, cut) in [(0, Ok(1), Err(Errno(EINVAL))), (0o100_000, Ok(4), Ok(0))] {
        let fd = call(5, [path, O_RDWR | O_CREAT | large, 0o600, 0, 0]).unwrap_or(0) as u32;
        check_eq!(call(55, [fd, 3, 0, 0, 0]), Ok((2 | large) as usize), "F_GETFL");
        check_eq!(call(181, [fd, end, 4, at, 0]), wrote, "up to the end");
        check_eq!(call(181, [fd, end, 4, at + 1, 0]).is_ok(), large != 0, "behind it");
        check_eq!(call(194, [fd, 0x8000_0000, 0, 0, 0]), cut, "ftruncate64");
        check_eq!(call(93, [fd, 0, 0, 0, 0]), Ok(0), "empty");
        let _ = file::close(fd as i32);
    }
    check_eq!(call(10, [path, 0, 0, 0, 0]), Ok(0), "away with it");
}

/// Of i386's `sigevent` only four words are read: the rest need not be there.
fn timer_event() {
    const PAGE: usize = user::memory::PAGE;
    let Some(edge) = Low::new(2 * PAGE) else { return check!(false, "two pages") };
    // SAFETY: the second one was just mapped.
    let _ = unsafe { user::memory::unmap(edge.at(PAGE) as usize, PAGE) };
    let event = edge.put(PAGE - 16, [7u32, SIGALRM, 0, 0]);
    check_eq!(call(259, [1, event, edge.at(0), 0, 0]), Ok(0), "timer_create");
    check_eq!(call(263, [edge.get(0), 0, 0, 0, 0]), Ok(0), "timer_delete");
    check_eq!(call(259, [1, event + 4, edge.at(0), 0, 0]), Err(Errno(EFAULT)), "three words");
}

fn waiting(low: Low) {
    let Ok((r, w)) = file::pipe(0) else { return };
    let (set, n) = (1u32 << r, w as u32 + 1);
    low.dirty();
    low.put(0, set);
    low.put(16, [0u32, 20_000]);
    check_eq!(call(142, [n, low.at(0), 0, 0, low.at(16)]), Ok(0), "_newselect: nothing");
    check_eq!((low.get::<u32>(0), low.get::<u32>(4)), (0, 0xa5a5_a5a5), "an empty set of one word");
    check_eq!(low.get::<[u32; 2]>(16), [0, 0], "no time left");
    check_eq!(file::write(w, b"x"), Ok(1), "write");
    low.put(0, set);
    low.put(16, [5u32, 0]);
    check_eq!(call(142, [n, low.at(0), 0, 0, low.at(16)]), Ok(1), "_newselect: one");
    check_eq!((low.get::<u32>(0), low.get::<u32>(16)), (set, 4), "the set, and what is left");
    low.put(0, r as u64 | 1 << 32);
    low.put(16, [5u32, 0]);
    check_eq!(call(309, [low.at(0), 1, low.at(16), 0, 8]), Ok(1), "ppoll");
    check_eq!(low.get::<u32>(16), 4, "what is left");
    low.put(0, 7u32);
    low.put(16, [0u32, 1_000_000]);
    check_eq!(call(240, [low.at(0), 0, 7, low.at(16), 0]), Err(Errno(ETIMEDOUT)), "futex");
}

fn signals(low: Low) {
    sigprocmask_set(bit(34));
    low.put(0, bit(34));
    low.put(16, [0u32, 1_000_000]);
    check_eq!(call(177, [low.at(0), 0, low.at(16), 8, 0]), Err(Errno(EAGAIN)), "rt_sigtimedwait: nothing");
    let mut info = [0u32; 32];
    info[..6].copy_from_slice(&[34, 3, -1i32 as u32, getpid() as u32, getuid(), 0x1234_5678]);
    let at = low.put(256, info);
    check_eq!(call(178, [getpid() as u32, 34, at, 0, 0]), Ok(0), "rt_sigqueueinfo");
    low.dirty();
    low.put(0, bit(34));
    check_eq!(call(177, [low.at(0), low.at(512), 0, 8, 0]), Ok(34), "rt_sigtimedwait");
    check_eq!(low.get::<[u32; 32]>(512), info, "what was sent");
    sigprocmask_set(0);
}

/// The program again, with arguments and environment in vectors of 32-bit pointers.
fn exec(low: Low) {
    let pid = child(|| {
        let path = low.put(0, *b"/proc/self/exe\0");
        let (a, b) = (low.put(64, *b"again\0"), low.put(80, *b"second\0"));
        let argv = low.put(128, [a, b, 0]);
        let envp = low.put(160, [low.put(192, *b"A=b\0"), 0]);
        let _ = call(11, [path, argv, envp, 0, 0]);
        1
    });
    check_eq!(wait(pid), Ok(WaitStatus::exited(42)), "execve");
    let path = low.put(0, *b"/no such file\0");
    check_eq!(call(11, [path, 8, 0, 0, 0]), Err(Errno(EFAULT)), "arguments nowhere");
    let argv = low.put(128, [low.at(0), 0]);
    check_eq!(call(11, [path, argv, 0, 0, 0]), Err(Errno(ENOENT)), "no such program");
}

fn run() {
    if start::arg_str(0) == Some("again") {
        let right = start::arg_str(1) == Some("second") && start::arg_str(2).is_none();
        exit_group(if right { 42 } else { 43 });
    }
    let Some(low) = Low::new(4096) else {
        check!(false, "memory below 4 GiB");
        return;
    };
    // The old mmap's arguments are in memory.
    let args = low.put(0, [0u32, 4096, 3, 0x22, u32::MAX, 0]);
    check!(call(90, [args, 0, 0, 0, 0]).is_ok_and(|at| at < 1 << 32), "mmap");
    stats(low);
    times(low);
    restarted(low);
    processes(low);
    waiting(low);
    timer_event();
    small_files(low);
    signals(low);
    exec(low);
}
