// SPDX-License-Identifier: GPL-2.0-only
//! eventfd, signalfd and timerfd: what is read from each, when, and what is refused.
#![cfg_attr(target_os = "none", no_std, no_main)]

use user::event::*;
use user::file::{self, O_CLOEXEC, O_NONBLOCK, close};
use user::prelude::*;
use user::process::getuid;
use user::signal::{SIGALRM, SIGCHLD, SIGKILL, SIGUSR1, SIGUSR2, sigpending, sigqueueinfo};
use user::time::{now, set_real_timer, sleep_ms};
use user::timer::*;
use user::{seen, syscall};

expect! { end: exit(0) }
program!(run);

const MS: i64 = 1_000_000;
const AGAIN: user::Result<u64> = Err(Errno(EAGAIN));

fn run() {
    counter();
    semaphore();
    full();
    signals();
    signal_layout();
    signal_waits();
    timer();
    timer_refused();
    cancelled();
    described();
    several_buffers();
}

/// timerfd fills each buffer by itself, eventfd all at once; but it is written one by one.
fn several_buffers() {
    let mut words = [0u32; 4];
    let at = words.as_mut_ptr() as usize;
    let (halves, wholes) = ([[at, 4], [at + 4, 4]], [[at, 8], [at + 8, 8]]);
    // SAFETY: the buffers are `words`.
    let readv = |fd: i32, vec: &[[usize; 2]; 2]| unsafe { syscall!(__NR_readv, fd, vec.as_ptr(), 2) };
    let fd = timerfd_create(CLOCK_MONOTONIC, O_NONBLOCK).unwrap_or(-1);
    check!(timerfd_settime(fd, 0, Itimerspec::new(MS, 0)).is_ok(), "1 ms");
    sleep_ms(5);
    check_eq!(readv(fd, &halves), Err(Errno(EINVAL)), "a half has no room for it");
    check_eq!(readv(fd, &wholes), Ok(8), "once, not twice");
    let _ = close(fd);
    let fd = eventfd(5, O_NONBLOCK).unwrap_or(-1);
    check_eq!(readv(fd, &halves), Ok(8), "eventfd");
    // SAFETY: likewise.
    let writev = |vec: &[[usize; 2]; 2]| unsafe { syscall!(__NR_writev, fd, vec.as_ptr(), 2) };
    check_eq!(writev(&halves), Err(Errno(EINVAL)), "half a number");
    check_eq!((writev(&wholes), read_u64(fd)), (Ok(16), Ok(5)), "two numbers, 5 and 0");
    let _ = close(fd);
}

fn nonblock(fd: i32, on: bool) {
    let flags = if on { O_NONBLOCK } else { 0 };
    // SAFETY: no memory is involved; 4 is F_SETFL.
    check_eq!(unsafe { syscall!(__NR_fcntl, fd, 4, flags) }, Ok(0), "F_SETFL");
}

fn counter() {
    check_eq!(eventfd(0, 2), Err(Errno(EINVAL)), "a flag that is none");
    let fd = eventfd(3, O_NONBLOCK | O_CLOEXEC).unwrap_or(-1);
    check_eq!(poll_now(fd), ev::IN | ev::OUT, "both");
    check_eq!(file::read(fd, &mut [0; 7]), Err(Errno(EINVAL)), "7 bytes are too few");
    check_eq!(file::write(fd, &[0; 7]), Err(Errno(EINVAL)), "to write, too");
    check_eq!(read_u64(fd), Ok(3), "the initial value");
    check_eq!((read_u64(fd), poll_now(fd)), (AGAIN, ev::OUT), "and then nothing");
    check_eq!([write_u64(fd, 5), write_u64(fd, 7)], [Ok(8); 2], "write");
    let mut more = [0xee; 12];
    check_eq!(file::read(fd, &mut more), Ok(8), "room for more");
    check_eq!(more, [12, 0, 0, 0, 0, 0, 0, 0, 0xee, 0xee, 0xee, 0xee], "the sum");
    check_eq!(write_u64(fd, u64::MAX), Err(Errno(EINVAL)), "the one value that cannot be written");
    check_eq!(write_u64(fd, 0), Ok(8), "nothing");
    check_eq!(read_u64(fd), AGAIN, "is nothing");
    check_eq!(file::lseek(fd, 5, 0), Ok(0), "it stays where it is");
    check_eq!(file::pread(fd, &mut [0; 8], 0), Err(Errno(ESPIPE)), "no position for pread");
    nonblock(fd, false);
    let pid = child(|| {
        sleep_ms(20);
        i32::from(write_u64(fd, 9) != Ok(8))
    });
    check_eq!(read_u64(fd), Ok(9), "waits for a write");
    check_eq!(wait(pid), Ok(WaitStatus::exited(0)), "child");
    seen::install(SIGALRM, 0, 0);
    let _ = set_real_timer(10, 0);
    check_eq!(read_u64(fd), Err(Errno(EINTR)), "interrupted");
    let _ = close(fd);
}

fn semaphore() {
    let fd = eventfd(2, 1 | O_NONBLOCK).unwrap_or(-1);
    check_eq!([read_u64(fd), read_u64(fd), read_u64(fd)], [Ok(1), Ok(1), AGAIN], "one at a time");
    let _ = close(fd);
}

fn full() {
    let fd = eventfd(0, O_NONBLOCK).unwrap_or(-1);
    check_eq!(write_u64(fd, u64::MAX - 1), Ok(8), "as much as there may be");
    check_eq!(poll_now(fd), ev::IN, "no room");
    check_eq!(write_u64(fd, 1), Err(Errno(EAGAIN)), "none at all");
    nonblock(fd, false);
    let pid = child(|| {
        sleep_ms(20);
        i32::from(read_u64(fd) != Ok(u64::MAX - 1))
    });
    check_eq!(write_u64(fd, 1), Ok(8), "waits for a read");
    check_eq!(wait(pid), Ok(WaitStatus::exited(0)), "child");
    check_eq!(read_u64(fd), Ok(1), "then it is there");
    let _ = close(fd);
}

/// Words of a `struct signalfd_siginfo`.
type Ssi = [u32; 32];

fn read_signal(fd: i32) -> user::Result<Ssi> {
    let mut w = [0u32; 32];
    // SAFETY: the kernel writes at most 128 bytes.
    unsafe { syscall!(__NR_read, fd, w.as_mut_ptr(), 128) }?;
    Ok(w)
}

fn signals() {
    let both = bit(SIGUSR1) | bit(40);
    check_eq!(signalfd(-1, both, 1), Err(Errno(EINVAL)), "a flag that is none");
    check_eq!(signalfd(99, both, 0), Err(Errno(EBADF)), "no file");
    let other = eventfd(0, 0).unwrap_or(-1);
    check_eq!(signalfd(other, both, 0), Err(Errno(EINVAL)), "another file");
    // SAFETY: the kernel reads 8 bytes, or refuses.
    let sized = unsafe { syscall!(__NR_signalfd4, -1, core::ptr::from_ref(&both), 4, 0) };
    check_eq!(sized, Err(Errno(EINVAL)), "a set of 4 bytes");
    // SAFETY: the kernel refuses the address.
    check_eq!(unsafe { syscall!(__NR_signalfd4, -1, 8, 8, 0) }, Err(Errno(EFAULT)), "no set");
    sigprocmask_set(both | bit(SIGUSR2));
    let fd = signalfd(-1, both | bit(SIGKILL), O_NONBLOCK).unwrap_or(-1);
    check_eq!((read_signal(fd), poll_now(fd)), (Err(Errno(EAGAIN)), 0), "nothing");
    check_eq!(file::read(fd, &mut [0; 127]), Err(Errno(EINVAL)), "127 bytes are too few");
    check_eq!(kill(getpid(), SIGUSR2), Ok(0), "kill");
    check_eq!(poll_now(fd), 0, "not one of the set");
    check_eq!(kill(getpid(), SIGUSR1), Ok(0), "kill");
    check_eq!(poll_now(fd), ev::IN, "one of the set");
    check_eq!(signalfd(fd, bit(SIGUSR2), 0), Ok(fd), "another set");
    check_eq!(read_signal(fd).map(|w| w[0]), Ok(SIGUSR2), "which is read");
    check_eq!(sigpending(), bit(SIGUSR1), "the other is pending still");
    check_eq!(signalfd(fd, both, 0), Ok(fd), "the first set again");
    check_eq!(read_signal(fd).map(|w| w[0]), Ok(SIGUSR1), "which is read");
    check_eq!(file::write(fd, &[0; 128]), Err(Errno(EINVAL)), "not to be written");
    sigprocmask_set(0);
    let _ = [fd, other].map(close);
}

fn signal_layout() {
    let (me, uid) = (getpid(), getuid());
    let set = bit(SIGUSR1) | bit(40) | bit(41) | bit(SIGCHLD);
    sigprocmask_set(set);
    let fd = signalfd(-1, set, O_NONBLOCK).unwrap_or(-1);
    let ssi = |words: &[(usize, u32)]| {
        let mut w = [0u32; 32];
        for &(at, v) in words {
            w[at] = v;
        }
        Ok(w)
    };
    check_eq!(kill(me, SIGUSR1), Ok(0), "kill");
    let value = 0x1234_5678_9abc_def0;
    check_eq!(sigqueueinfo(me, 40, &SigInfo::queue(40, -1, me, uid, value)), Ok(0), "sigqueue");
    let timer = timer_create(1, Some(&Sigevent::new(SIGEV_SIGNAL, 41, 0x77))).unwrap_or(-1);
    for _ in 0..2 {
        check!(timer_settime(timer, 1, Itimerspec::new(1, 0)).is_ok(), "timer_settime");
        sleep_ms(2);
    }
    let mut three = [[0u32; 32]; 4];
    // SAFETY: the kernel writes at most 512 bytes.
    let n = unsafe { syscall!(__NR_read, fd, three.as_mut_ptr(), 511) };
    check_eq!(n, Ok(3 * 128), "as many as there are");
    let [a, b, c, _] = three;
    check_eq!(Ok::<Ssi, Errno>(a), ssi(&[(0, SIGUSR1), (3, me as u32), (4, uid)]), "kill");
    let sigval = [(11, value as u32), (12, value as u32), (13, (value >> 32) as u32)];
    let [i, lo, hi] = sigval;
    let queued = [(0, 40), (2, u32::MAX), (3, me as u32), (4, uid), i, lo, hi];
    check_eq!(Ok::<Ssi, Errno>(b), ssi(&queued), "sigqueue");
    let timed = [(0, 41), (2, -2i32 as u32), (6, timer as u32), (8, 1), (11, 0x77), (12, 0x77)];
    check_eq!(Ok::<Ssi, Errno>(c), ssi(&timed), "a timer");
    let pid = child(|| 7);
    check_eq!(wait(pid), Ok(WaitStatus::exited(7)), "child");
    let mut w = read_signal(fd).unwrap_or([0; 32]);
    // The times that the child has used.
    w[14..18].fill(0);
    let died = [(0, SIGCHLD), (2, 1), (3, pid as u32), (4, uid), (10, 7)];
    check_eq!(Ok::<Ssi, Errno>(w), ssi(&died), "a child");
    check_eq!(timer_delete(timer), Ok(0), "timer_delete");
    sigprocmask_set(0);
    let _ = close(fd);
}

fn signal_waits() {
    let me = getpid();
    sigprocmask_set(bit(40));
    let fd = signalfd(-1, bit(40), 0).unwrap_or(-1);
    let ep = epoll_create(0).unwrap_or(-1);
    check_eq!(epoll_ctl(ep, EPOLL_CTL_ADD, fd, Event::new(ev::IN, 1)), Ok(0), "add");
    for _ in 0..2 {
        let pid = child(|| {
            sleep_ms(20);
            kill(me, 40).map_or(1, |_| 0)
        });
        check_eq!(epoll_wait::<1>(ep, 5000), Ok((1, [(ev::IN, 1)])), "epoll");
        check_eq!(read_signal(fd).map(|w| (w[0], w[3])), Ok((40, pid as u32)), "read");
        check_eq!(wait(pid), Ok(WaitStatus::exited(0)), "child");
    }
    let pid = child(|| {
        sleep_ms(20);
        kill(me, 40).map_or(1, |_| 0)
    });
    check_eq!(read_signal(fd).map(|w| w[0]), Ok(40), "a read waits");
    check_eq!(wait(pid), Ok(WaitStatus::exited(0)), "child");
    seen::install(SIGALRM, 0, 0);
    let _ = set_real_timer(10, 0);
    check_eq!(read_signal(fd), Err(Errno(EINTR)), "interrupted");
    sigprocmask_set(0);
    let _ = [ep, fd].map(close);
}

fn timer() {
    for clock in [CLOCK_MONOTONIC, CLOCK_REALTIME, CLOCK_BOOTTIME] {
        let fd = timerfd_create(clock, O_NONBLOCK).unwrap_or(-1);
        check_eq!((read_u64(fd), poll_now(fd)), (AGAIN, 0), "not set");
        check_eq!(timerfd_gettime(fd), Ok((0, 0)), "not set");
        let start = now();
        check_eq!(timerfd_settime(fd, 0, Itimerspec::new(20 * MS, 0)), Ok((0, 0)), "20 ms");
        let left = timerfd_gettime(fd).unwrap_or((0, 0));
        check!(left.0 > 0 && left.0 <= 20 * MS && left.1 == 0, "left {left:?}");
        nonblock(fd, false);
        check_eq!(read_u64(fd), Ok(1), "one expiry");
        check!(now() - start >= 20 * MS, "it waited");
        check_eq!(timerfd_gettime(fd), Ok((0, 0)), "expired");
        check!(timerfd_settime(fd, 0, Itimerspec::new(2 * MS, 2 * MS)).is_ok(), "every 2 ms");
        sleep_ms(30);
        check_eq!(poll_now(fd), ev::IN, "poll");
        let ticks = read_u64(fd);
        check!(matches!(ticks, Ok(13..)), "ticks of 30 ms in steps of 2: {ticks:?}");
        check_eq!(read_u64(fd).is_ok(), true, "it goes on");
        let was = timerfd_settime(fd, 0, Itimerspec::new(0, 0));
        check!(was.is_ok_and(|w| w.1 == 2 * MS), "it was {was:?}");
        nonblock(fd, true);
        check_eq!(read_u64(fd), AGAIN, "disarmed");
        check!(timerfd_settime(fd, 1, Itimerspec::new(1, 0)).is_ok(), "a time that has passed");
        sleep_ms(2);
        check_eq!((poll_now(fd), read_u64(fd)), (ev::IN, Ok(1)), "is now");
        let _ = close(fd);
    }
}

fn timer_refused() {
    check_eq!(timerfd_create(2, 0), Err(Errno(EINVAL)), "CPU time");
    check_eq!(timerfd_create(CLOCK_TAI, 0), Err(Errno(EINVAL)), "CLOCK_TAI");
    check_eq!(timerfd_create(1, 1), Err(Errno(EINVAL)), "a flag that is none");
    let fd = timerfd_create(1, 0).unwrap_or(-1);
    let some = Itimerspec::new(MS, 0);
    check_eq!(timerfd_settime(fd, 4, some), Err(Errno(EINVAL)), "a flag of settime that is none");
    check_eq!(timerfd_settime(99, 0, some), Err(Errno(EBADF)), "no file");
    let other = eventfd(0, 0).unwrap_or(-1);
    check_eq!(timerfd_settime(other, 0, some), Err(Errno(EINVAL)), "another file");
    check_eq!(timerfd_gettime(other), Err(Errno(EINVAL)), "another file");
    // SAFETY: the kernel refuses the address.
    check_eq!(unsafe { syscall!(__NR_timerfd_settime, fd, 0, 8, 0) }, Err(Errno(EFAULT)), "no time");
    check_eq!(file::read(fd, &mut [0; 7]), Err(Errno(EINVAL)), "7 bytes are too few");
    check_eq!(write_u64(fd, 1), Err(Errno(EINVAL)), "not to be written");
    let _ = [fd, other].map(close);
}

/// The wall clock is moved by nothing: whoever asked for it is told.
fn cancelled() {
    let wall = |by: i64| {
        let mut t = [0i64; 2];
        // SAFETY: the kernel writes one time, and reads one.
        unsafe {
            let _ = syscall!(__NR_clock_gettime, 0, t.as_mut_ptr());
            t[0] += by;
            check_eq!(syscall!(__NR_clock_settime, 0, t.as_ptr()), Ok(0), "clock_settime");
        }
    };
    let far = Itimerspec::new(i64::MAX / 4, 0);
    let fd = timerfd_create(CLOCK_REALTIME, O_NONBLOCK).unwrap_or(-1);
    let plain = timerfd_create(CLOCK_REALTIME, O_NONBLOCK).unwrap_or(-1);
    check!(timerfd_settime(fd, 3, far).is_ok(), "cancel on set");
    check!(timerfd_settime(plain, 1, far).is_ok(), "do not");
    wall(1);
    check_eq!((poll_now(fd), poll_now(plain)), (ev::IN, 0), "one is ready");
    check_eq!(read_u64(fd), Err(Errno(ECANCELED)), "to say that");
    check_eq!(read_u64(fd), AGAIN, "once");
    wall(-1);
    check_eq!(timerfd_settime(fd, 3, far), Err(Errno(ECANCELED)), "settime says so, too");
    check_eq!(read_u64(fd), AGAIN, "and sets it");
    let _ = [fd, plain].map(close);
}

/// `/proc/self/fdinfo`, and the links.
fn described() {
    // Two digits each.
    let at = |fd: i32, to: i32| {
        let r = file::dup2(fd, to);
        check_eq!(r, Ok(to as usize), "dup2");
        let _ = close(fd);
        to
    };
    let ep = at(epoll_create(0).unwrap_or(-1), 40);
    let fd = at(eventfd(0x1f, 0).unwrap_or(-1), 41);
    let sig = at(signalfd(-1, bit(SIGUSR1), 0).unwrap_or(-1), 42);
    let timer = at(timerfd_create(1, 0).unwrap_or(-1), 43);
    check_eq!(epoll_ctl(ep, EPOLL_CTL_ADD, fd, Event::new(ev::IN, 0xabc)), Ok(0), "add");
    let clock = b"clockid: 1\nticks: 0\nsettime flags: 00\nit_value: (0, 0)\nit_interval: (0, 0)\n";
    let tfd = b"tfd:       41 events:       19 data:              abc  pos:0 ino:";
    info(c"/proc/self/fdinfo/40", tfd);
    info(c"/proc/self/fdinfo/41", b"eventfd-count:               1f\n");
    info(c"/proc/self/fdinfo/42", b"sigmask:\t0000000000000200\n");
    info(c"/proc/self/fdinfo/43", clock);
    link(c"/proc/self/fd/40", b"anon_inode:[eventpoll]");
    link(c"/proc/self/fd/41", b"anon_inode:[eventfd]");
    link(c"/proc/self/fd/42", b"anon_inode:[signalfd]");
    link(c"/proc/self/fd/43", b"anon_inode:[timerfd]");
    let anon = file::stat(c"/proc/self/fd/41").map(|s| (s.st_mode, s.st_size));
    check_eq!(anon, Ok((0o600, 0)), "of no type");
    check_eq!(file::open(c"/proc/self/fd/41", 0, 0), Err(Errno(ENXIO)), "not to be opened again");
    let _ = [ep, fd, sig, timer].map(close);
}

fn info(path: &core::ffi::CStr, line: &[u8]) {
    let mut buf = [0; 512];
    let text = file::load(path, &mut buf).unwrap_or(b"");
    check!(text.starts_with(b"pos:\t0\nflags:\t02\nmnt_id:\t"), "{path:?} begins otherwise");
    check!(text.windows(line.len()).any(|w| w == line), "{path:?} lacks its line");
}

fn link(path: &core::ffi::CStr, want: &[u8]) {
    let mut buf = [0u8; 64];
    // SAFETY: the kernel writes at most 64 bytes.
    let n = unsafe { syscall!(__NR_readlink, path.as_ptr(), buf.as_mut_ptr(), 64) }.unwrap_or(0);
    check!(&buf[..n] == want, "{path:?} leads elsewhere");
}
