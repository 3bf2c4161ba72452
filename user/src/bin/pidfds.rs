// SPDX-License-Identifier: GPL-2.0-only
//! Descriptors of processes: opening, polling, waiting, signalling, and taking files through them.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::ptr::{from_mut, from_ref};
use linux_raw_sys::general as abi;
use user::event::{
    EPOLL_CTL_ADD, Event, epoll_create, epoll_ctl, epoll_wait, ev, eventfd, poll_now, read_u64, write_u64,
};
use user::file::{self, O_DIRECTORY, O_NONBLOCK, close};
use user::prelude::*;
use user::process::{WEXITED, WNOHANG, become_user, exit_thread, getuid, spawn_thread};
use user::signal::{SIGCHLD, SIGKILL, SIGUSR1};
use user::time::sleep_ms;
use user::{Result, seen, syscall};

expect! { end: exit(0) }
program!(run);

fn pidfd_open(pid: i32, flags: u32) -> Result<i32> {
    // SAFETY: no memory is involved.
    unsafe { syscall!(__NR_pidfd_open, pid, flags) }.map(|fd| fd as i32)
}

fn send(fd: i32, sig: u32, info: Option<&SigInfo>, flags: u32) -> Result {
    let info = info.map_or(core::ptr::null(), from_ref);
    // SAFETY: the kernel reads the information.
    unsafe { syscall!(__NR_pidfd_send_signal, fd, sig, info, flags) }
}

fn getfd(pidfd: i32, fd: i32, flags: u32) -> Result<i32> {
    // SAFETY: no memory is involved.
    unsafe { syscall!(__NR_pidfd_getfd, pidfd, fd, flags) }.map(|fd| fd as i32)
}

fn waitid(fd: i32, options: u32) -> Result<SigInfo> {
    let mut info = SigInfo::ZERO;
    // SAFETY: the kernel writes the siginfo.
    unsafe { syscall!(__NR_waitid, abi::P_PIDFD, fd, from_mut(&mut info), options, 0) }?;
    Ok(info)
}

fn run() {
    opened();
    ended();
    signalled();
    files();
    advised();
    cloned();
    described();
}

extern "C" fn idle() -> ! {
    TID.store(gettid(), core::sync::atomic::Ordering::SeqCst);
    sleep_ms(60);
    exit_thread(0)
}

static TID: core::sync::atomic::AtomicI32 = core::sync::atomic::AtomicI32::new(0);

fn opened() {
    for (pid, flags, why) in [(0, 0, EINVAL), (-1, 0, EINVAL), (99_999, 0, ESRCH), (1, 1, EINVAL)] {
        check_eq!(pidfd_open(pid, flags), Err(Errno(why)), "pidfd_open({pid}, {flags})");
    }
    check!(spawn_thread(idle).is_ok(), "spawn");
    sleep_ms(20);
    let tid = TID.load(core::sync::atomic::Ordering::SeqCst);
    check_eq!(pidfd_open(tid, 0), Err(Errno(EINVAL)), "a thread that leads no process");
    let fd = pidfd_open(getpid(), 0).unwrap_or(-1);
    // SAFETY: no memory is involved; 1 is F_GETFD.
    check_eq!(unsafe { syscall!(__NR_fcntl, fd, 1) }, Ok(1), "closed by exec");
    check_eq!(poll_now(fd), 0, "alive");
    check_eq!(file::read(fd, &mut [0; 8]), Err(Errno(EINVAL)), "not to be read");
    let other = eventfd(0, 0).unwrap_or(-1);
    check_eq!(send(other, 0, None, 0), Err(Errno(EBADF)), "not of a process");
    check_eq!(waitid(other, WEXITED), Err(Errno(EBADF)), "nor to wait for");
    check_eq!(waitid(-1, WEXITED), Err(Errno(EINVAL)), "a negative one");
    check_eq!(waitid(99, WEXITED), Err(Errno(EBADF)), "none");
    check_eq!(waitid(fd, WEXITED), Err(Errno(ECHILD)), "oneself");
    let _ = [fd, other].map(close);
    sleep_ms(60);
}

fn ended() {
    let pid = child(|| {
        sleep_ms(30);
        7
    });
    let fd = pidfd_open(pid, 0).unwrap_or(-1);
    let lazy = pidfd_open(pid, O_NONBLOCK).unwrap_or(-1);
    let ep = epoll_create(0).unwrap_or(-1);
    check_eq!(epoll_ctl(ep, EPOLL_CTL_ADD, fd, Event::new(ev::IN, 3)), Ok(0), "add");
    check_eq!(waitid(lazy, WEXITED), Err(Errno(EAGAIN)), "one that does not wait");
    check_eq!(waitid(lazy, WEXITED | WNOHANG), Ok(SigInfo::ZERO), "nor is asked to");
    check_eq!(epoll_wait::<1>(ep, 5000), Ok((1, [(ev::IN, 3)])), "its end is an event");
    check_eq!(poll_now(fd), ev::IN | ev::RDNORM, "poll");
    check_eq!(send(fd, 0, None, 0), Ok(0), "a zombie is there");
    check_eq!(getfd(fd, 0, 0), Err(Errno(ESRCH)), "without files");
    let died = waitid(fd, WEXITED).map(user::signal::SigInfo::without_times);
    check_eq!(died, Ok(SigInfo::child(1, pid, getuid(), 7)), "waitid");
    check_eq!(poll_now(lazy), ev::IN | ev::RDNORM, "still readable");
    check_eq!(send(fd, 0, None, 0), Err(Errno(ESRCH)), "gone");
    check_eq!(waitid(fd, WEXITED), Err(Errno(ECHILD)), "gone");
    check_eq!(getfd(fd, 0, 0), Err(Errno(ESRCH)), "gone");
    let _ = [fd, lazy, ep].map(close);
}

fn signalled() {
    let fd = pidfd_open(getpid(), 0).unwrap_or(-1);
    let (me, uid) = (getpid(), getuid());
    seen::install(SIGUSR1, 0, 0);
    seen::clear();
    check_eq!(send(fd, SIGUSR1, None, 0), Ok(0), "send");
    check_eq!(seen::get(0), SigInfo::user(SIGUSR1, 0, me, uid), "as kill does");
    let queued = SigInfo::queue(SIGUSR1, -1, me, uid, 99);
    check_eq!(send(fd, SIGUSR1, Some(&queued), 0), Ok(0), "with information");
    check_eq!(seen::get(1), queued, "which comes");
    check_eq!(send(fd, SIGKILL, Some(&queued), 0), Err(Errno(EINVAL)), "of another signal");
    check_eq!(send(fd, SIGUSR1, None, 1), Err(Errno(EINVAL)), "a flag");
    check_eq!(send(fd, 65, None, 0), Err(Errno(EINVAL)), "signal 65");
    check_eq!(send(99, SIGUSR1, None, 0), Err(Errno(EBADF)), "no file");
    let forged = SigInfo::user(SIGUSR1, 0, me, uid);
    check_eq!(send(fd, SIGUSR1, Some(&forged), 0), Ok(0), "to oneself anything");
    let pid = child(|| {
        let r = send(fd, SIGUSR1, Some(&forged), 0);
        let refused = r == Err(Errno(EPERM));
        let _ = become_user(1000);
        i32::from(!refused || send(fd, SIGUSR1, None, 0) != Err(Errno(EPERM)))
    });
    check_eq!(wait(pid), Ok(WaitStatus::exited(0)), "to others not");
    let pid = child(|| {
        sleep_ms(5000);
        0
    });
    by_directory();
    let other = pidfd_open(pid, 0).unwrap_or(-1);
    check_eq!(send(other, SIGKILL, None, 0), Ok(0), "kill");
    check_eq!(wait(pid), Ok(WaitStatus::killed(SIGKILL as i32)), "killed");
    let _ = [fd, other].map(close);
}

/// A process's directory in `/proc` is as good for signals, a thread's and any other are not.
fn by_directory() {
    let dir = |name| file::open(name, O_DIRECTORY, 0).unwrap_or(-1);
    let [me, thread, root] = [c"/proc/self", c"/proc/thread-self", c"/proc"].map(dir);
    let seen_before = seen::count();
    check_eq!(send(me, SIGUSR1, None, 0), Ok(0), "/proc/self");
    check_eq!(seen::count(), seen_before + 1, "came");
    for other in [thread, root] {
        check_eq!(send(other, SIGUSR1, None, 0), Err(Errno(EBADF)), "no process's");
    }
    check_eq!(waitid(me, WEXITED), Err(Errno(EBADF)), "not to wait for");
    let _ = [me, thread, root].map(close);
}

fn files() {
    let counter = eventfd(0, 0).unwrap_or(-1);
    let pid = child(|| {
        let mine = eventfd(5, 0).unwrap_or(-1);
        let ok = mine == counter + 1 && write_u64(counter, 1) == Ok(8);
        sleep_ms(60);
        i32::from(!ok || read_u64(mine) != Ok(7))
    });
    check_eq!(read_u64(counter), Ok(1), "the child is ready");
    let fd = pidfd_open(pid, 0).unwrap_or(-1);
    check_eq!(getfd(fd, counter + 1, 1), Err(Errno(EINVAL)), "a flag");
    check_eq!(getfd(fd, 99, 0), Err(Errno(EBADF)), "a file that it has not");
    check_eq!(getfd(counter, 0, 0), Err(Errno(EBADF)), "not of a process");
    let its = getfd(fd, counter + 1, 0).unwrap_or(-1);
    check_eq!(read_u64(its), Ok(5), "its counter");
    check_eq!(write_u64(its, 7), Ok(8), "is shared");
    check_eq!(wait(pid), Ok(WaitStatus::exited(0)), "child");
    let root = pidfd_open(1, 0).unwrap_or(-1);
    let pid = child(|| {
        let _ = become_user(1000);
        i32::from(getfd(root, 0, 0) != Err(Errno(EPERM)))
    });
    check_eq!(wait(pid), Ok(WaitStatus::exited(0)), "another user's files");
    let _ = [counter, fd, its, root].map(close);
}

/// Hints about another process's memory.
fn advised() {
    let pid = child(|| {
        sleep_ms(60);
        0
    });
    let fd = pidfd_open(pid, 0).unwrap_or(-1);
    let stack = core::ptr::from_ref(&pid) as usize & !4095;
    let advise = |fd: i32, vec: &[[usize; 2]], advice: u32, flags: u32| {
        // SAFETY: the kernel reads the ranges, and only takes note of what is said about them.
        unsafe { syscall!(__NR_process_madvise, fd, vec.as_ptr(), vec.len(), advice, flags) }
    };
    let both = [[stack, 4096], [stack, 4096]];
    check_eq!(advise(fd, &both, abi::MADV_COLD, 0), Ok(8192), "of its memory");
    check_eq!(advise(fd, &[[stack, 4096], [0, 4096]], abi::MADV_COLD, 0), Ok(4096), "of some");
    check_eq!(advise(fd, &[[0, 4096]], abi::MADV_COLD, 0), Err(Errno(ENOMEM)), "of none");
    check_eq!(advise(fd, &both, abi::MADV_DONTNEED, 0), Err(Errno(EINVAL)), "no hint");
    check_eq!(advise(fd, &both, abi::MADV_COLD, 1), Err(Errno(EINVAL)), "a flag");
    check_eq!(advise(99, &both, abi::MADV_COLD, 0), Err(Errno(EBADF)), "no file");
    let other = child(|| {
        let _ = become_user(1000);
        i32::from(advise(fd, &both, abi::MADV_COLD, 0) != Err(Errno(EACCES)))
    });
    check_eq!(wait(other), Ok(WaitStatus::exited(0)), "another user's");
    check_eq!(wait(pid), Ok(WaitStatus::exited(0)), "child");
    check_eq!(advise(fd, &both, abi::MADV_COLD, 0), Err(Errno(ESRCH)), "gone");
    let _ = close(fd);
}

fn cloned() {
    let mut fd = -1i32;
    let flags = u64::from(abi::CLONE_PIDFD | SIGCHLD);
    // SAFETY: the child is a copy, as from fork; the kernel writes one descriptor.
    let r = unsafe { syscall!(__NR_clone, flags, 0, from_mut(&mut fd), 0, 0) };
    if r == Ok(0) {
        user::process::exit_group(3);
    }
    check!(r.is_ok() && fd >= 0, "clone: {r:?}, descriptor {fd}");
    let died = waitid(fd, WEXITED).map(|i| (i.pid(), i.word(1)));
    check_eq!(died, Ok((r.unwrap_or(0) as i32, 3)), "the child's descriptor");
    let _ = close(fd);
    let mut args = [0u64; 11];
    (args[0], args[1], args[4]) = (abi::CLONE_PIDFD.into(), from_mut(&mut fd) as u64, SIGCHLD.into());
    // SAFETY: as above.
    let r = unsafe { syscall!(__NR_clone3, args.as_ptr(), 88) };
    if r == Ok(0) {
        user::process::exit_group(4);
    }
    let died = waitid(fd, WEXITED).map(|i| (i.pid(), i.word(1)));
    check_eq!(died, Ok((r.unwrap_or(0) as i32, 4)), "clone3");
    let _ = close(fd);
    args[1] = 8;
    // SAFETY: the kernel refuses the address.
    let r = unsafe { syscall!(__NR_clone3, args.as_ptr(), 88) };
    check_eq!(r, Err(Errno(EFAULT)), "where no descriptor can be written");
    for bad in [abi::CLONE_PARENT_SETTID, abi::CLONE_THREAD | abi::CLONE_SIGHAND | abi::CLONE_VM] {
        let flags = u64::from(abi::CLONE_PIDFD | bad);
        // SAFETY: refused.
        let r = unsafe { syscall!(__NR_clone, flags, 0, from_mut(&mut fd), 0, 0) };
        check_eq!(r, Err(Errno(EINVAL)), "with {bad:#x}");
    }
}

fn described() {
    let pid = child(|| {
        sleep_ms(20);
        0
    });
    let fd = pidfd_open(pid, 0).unwrap_or(-1);
    check_eq!(file::dup2(fd, 40), Ok(40), "dup2");
    let mut buf = [0; 256];
    let mut digits = [0u8; 12];
    let mut at = digits.len();
    let mut n = pid;
    while n > 0 {
        at -= 1;
        digits[at] = b'0' + (n % 10) as u8;
        n /= 10;
    }
    let text = file::load(c"/proc/self/fdinfo/40", &mut buf).unwrap_or(b"");
    let find = |what: &[u8]| text.windows(what.len()).position(|w| w == what).map(|i| i + what.len());
    let after = find(b"\nPid:\t").and_then(|i| text.get(i..i + digits.len() - at));
    check!(after == Some(&digits[at..]), "the process's number");
    check_eq!(wait(pid), Ok(WaitStatus::exited(0)), "child");
    let text = file::load(c"/proc/self/fdinfo/40", &mut buf).unwrap_or(b"");
    check!(text.windows(8).any(|w| w == b"\nPid:\t-1"), "gone");
    let _ = [fd, 40].map(close);
}
