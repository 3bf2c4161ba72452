// SPDX-License-Identifier: GPL-2.0-only
//! epoll: who is told of what, how often, and what is refused.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::sync::atomic::{AtomicI32, AtomicUsize, Ordering::SeqCst};
use user::event::*;
use user::file::{self, O_CLOEXEC, O_DIRECTORY, O_NONBLOCK, O_RDONLY, O_RDWR, close, dup2, pipe};
use user::prelude::*;
use user::process::{exit_thread, spawn_thread};
use user::signal::{SIGALRM, SIGUSR1, sigpending};
use user::time::{now, set_real_timer, sleep_ms};
use user::{Result, seen, syscall};

expect! { end: exit(0) }
program!(run);

const SEEK_CUR: u32 = 1;
const MS: i64 = 1_000_000;

fn epoll() -> i32 {
    epoll_create(O_CLOEXEC).unwrap_or(-1)
}

fn pipes() -> (i32, i32) {
    pipe(O_NONBLOCK).unwrap_or((-1, -1))
}

fn add(ep: i32, fd: i32, events: u32, data: u64) {
    check_eq!(epoll_ctl(ep, EPOLL_CTL_ADD, fd, Event::new(events, data)), Ok(0), "add {fd}");
}

/// What is there now, for up to four events.
fn now_ready(ep: i32) -> Result<(usize, [(u32, u64); 4])> {
    epoll_wait::<4>(ep, 0)
}

const NOTHING: Result<(usize, [(u32, u64); 4])> = Ok((0, [(0, 0); 4]));

fn one(events: u32, data: u64) -> Result<(usize, [(u32, u64); 4])> {
    Ok((1, [(events, data), (0, 0), (0, 0), (0, 0)]))
}

fn put(fd: i32, n: usize) {
    check_eq!(file::write(fd, &[7; 64][..n]), Ok(n), "write");
}

fn drain(fd: i32) {
    while file::read(fd, &mut [0; 64]).is_ok_and(|n| n > 0) {}
}

fn run() {
    refused();
    level();
    edge();
    one_shot();
    order();
    modified();
    closed();
    hung_up();
    waiting();
    interrupted();
    masked();
    exclusive();
    one_of_many();
    fair();
}

fn refused() {
    let (r, w) = pipes();
    let ep = epoll();
    let e = Event::new(ev::IN, 0);
    let ctl = |ep, op, fd| epoll_ctl(ep, op, fd, e);
    check_eq!(epoll_create(1), Err(Errno(EINVAL)), "a flag that is none");
    // SAFETY: no memory is involved.
    let sizes = unsafe { [syscall!(__NR_epoll_create, 0), syscall!(__NR_epoll_create, -1)] };
    check_eq!(sizes, [Err(Errno(EINVAL)); 2], "sizes");
    check_eq!(ctl(99, EPOLL_CTL_ADD, r), Err(Errno(EBADF)), "no epoll");
    check_eq!(ctl(ep, EPOLL_CTL_ADD, 99), Err(Errno(EBADF)), "no file");
    check_eq!(ctl(r, EPOLL_CTL_ADD, w), Err(Errno(EINVAL)), "not an epoll");
    check_eq!(ctl(ep, EPOLL_CTL_ADD, ep), Err(Errno(EINVAL)), "itself");
    check_eq!(ctl(ep, 9, r), Err(Errno(EINVAL)), "operation 9");
    check_eq!(ctl(ep, EPOLL_CTL_MOD, r), Err(Errno(ENOENT)), "modify what is not there");
    check_eq!(ctl(ep, EPOLL_CTL_DEL, r), Err(Errno(ENOENT)), "delete what is not there");
    check_eq!(ctl(ep, EPOLL_CTL_ADD, r), Ok(0), "add");
    check_eq!(ctl(ep, EPOLL_CTL_ADD, r), Err(Errno(EEXIST)), "add again");
    let again = dup2(r, 60);
    check_eq!(ctl(ep, EPOLL_CTL_ADD, 60), Ok(0), "the same file by another descriptor {again:?}");
    check_eq!(ctl(ep, EPOLL_CTL_DEL, 60), Ok(0), "and delete that");
    // SAFETY: the kernel refuses the address.
    let bad = unsafe { syscall!(__NR_epoll_ctl, ep, EPOLL_CTL_ADD, w, 8) };
    check_eq!(bad, Err(Errno(EFAULT)), "where there is no event");
    // SAFETY: nothing is read.
    let del = unsafe { syscall!(__NR_epoll_ctl, ep, EPOLL_CTL_DEL, r, 0) };
    check_eq!(del, Ok(0), "deleting needs no event");
    for (path, flags) in
        [(c"/", O_DIRECTORY), (c"/init", O_RDONLY), (c"/dev/null", O_RDWR), (c"/dev/urandom", O_RDONLY)]
    {
        let fd = file::open(path, flags, 0).unwrap_or(-1);
        check_eq!(ctl(ep, EPOLL_CTL_ADD, fd), Err(Errno(EPERM)), "{path:?} cannot be waited for");
        let _ = close(fd);
    }
    for (path, at) in [(c"/dev/random", Ok(0)), (c"/dev/kmsg", Err(Errno(ESPIPE)))] {
        let fd = file::open(path, O_RDONLY, 0).unwrap_or(-1);
        check_eq!(ctl(ep, EPOLL_CTL_ADD, fd), Ok(0), "{path:?} can be waited for");
        check_eq!(file::lseek(fd, 7, SEEK_CUR), at, "{path:?}'s position");
        let _ = close(fd);
    }
    waits_refused(ep, r);
    for fd in [ep, r, w, 60] {
        let _ = close(fd);
    }
}

fn waits_refused(ep: i32, r: i32) {
    let mut out = [Event::default(); 2];
    // SAFETY: the kernel writes at most two structures, or refuses the address.
    let mut wait = |fd: i32, n: i32| unsafe { syscall!(__NR_epoll_wait, fd, out.as_mut_ptr(), n, 0) };
    check_eq!(wait(ep, 0), Err(Errno(EINVAL)), "room for none");
    check_eq!(wait(ep, -1), Err(Errno(EINVAL)), "room for less");
    check_eq!(wait(ep, i32::MAX), Err(Errno(EINVAL)), "room for too many");
    check_eq!(wait(99, 1), Err(Errno(EBADF)), "nothing to wait with");
    check_eq!(wait(r, 1), Err(Errno(EINVAL)), "not an epoll");
    // SAFETY: the kernel refuses the address.
    let bad = unsafe { syscall!(__NR_epoll_wait, ep, usize::MAX - 8, 2, 0) };
    check_eq!(bad, Err(Errno(EFAULT)), "outside of user memory");
    check_eq!(file::read(ep, &mut [0; 8]), Err(Errno(EINVAL)), "an epoll is not read");
    check_eq!(file::write(ep, &[0; 8]), Err(Errno(EINVAL)), "nor written");
    check_eq!(file::lseek(ep, 5, 0), Ok(0), "it stays where it is");
}

fn level() {
    let (r, w) = pipes();
    let ep = epoll();
    add(ep, r, ev::IN, 5);
    check_eq!(now_ready(ep), NOTHING, "empty");
    check_eq!(poll_now(ep), 0, "and so says poll");
    put(w, 1);
    for _ in 0..3 {
        check_eq!(now_ready(ep), one(ev::IN, 5), "as long as there is something");
    }
    check_eq!(poll_now(ep), ev::IN | ev::RDNORM, "poll says so, too");
    drain(r);
    check_eq!(now_ready(ep), NOTHING, "read");
    add(ep, w, ev::OUT, 6);
    check_eq!(now_ready(ep), one(ev::OUT, 6), "room for writing");
    let unreadable = file::write(w, &[0; 1]);
    check_eq!(unreadable, Ok(1), "write");
    check_eq!(now_ready(ep).map(|r| r.0), Ok(2), "both");
    // A file that is bad for one event at the end of its memory gives what fits.
    let _ = [ep, r, w].map(close);
}

fn edge() {
    let (r, w) = pipes();
    let ep = epoll();
    put(w, 1);
    add(ep, r, ev::IN | ev::ET, 1);
    check_eq!(now_ready(ep), one(ev::IN, 1), "what was there when it was added");
    check_eq!(now_ready(ep), NOTHING, "is told once");
    put(w, 1);
    check_eq!(now_ready(ep), one(ev::IN, 1), "each write is an edge");
    check_eq!(file::read(r, &mut [0; 1]), Ok(1), "read a part");
    check_eq!(now_ready(ep), NOTHING, "reading is none");
    check_eq!(epoll_ctl(ep, EPOLL_CTL_MOD, r, Event::new(ev::IN | ev::ET, 2)), Ok(0), "modify");
    check_eq!(now_ready(ep), one(ev::IN, 2), "modifying asks anew");
    put(w, 1);
    put(w, 1);
    check_eq!(now_ready(ep), one(ev::IN, 2), "two edges at once");
    drain(r);
    put(w, 1);
    drain(r);
    check_eq!(now_ready(ep), NOTHING, "an edge that is gone");
    let _ = [ep, r, w].map(close);
}

fn one_shot() {
    let (r, w) = pipes();
    let ep = epoll();
    add(ep, r, ev::IN | ev::ONESHOT, 1);
    put(w, 1);
    check_eq!(now_ready(ep), one(ev::IN, 1), "once");
    check_eq!(now_ready(ep), NOTHING, "and no more");
    put(w, 1);
    check_eq!(now_ready(ep), NOTHING, "whatever comes");
    check_eq!(epoll_ctl(ep, EPOLL_CTL_MOD, r, Event::new(ev::IN | ev::ONESHOT, 3)), Ok(0), "modify");
    check_eq!(now_ready(ep), one(ev::IN, 3), "armed again");
    let _ = close(w);
    check_eq!(now_ready(ep), NOTHING, "not even a hangup");
    let _ = [ep, r].map(close);
}

/// What is ready comes in turn.
fn order() {
    let ep = epoll();
    let fds = [0u64; 6].map(|_| eventfd(0, 0).unwrap_or(-1));
    for (i, &fd) in fds.iter().enumerate() {
        add(ep, fd, ev::IN, i as u64);
    }
    for i in [3, 0, 5, 1] {
        check_eq!(write_u64(fds[i], 1), Ok(8), "write");
    }
    let two = |r: Result<(usize, [(u32, u64); 2])>| r.map(|(n, e)| (n, e.map(|e| e.1)));
    check_eq!(two(epoll_wait(ep, 0)), Ok((2, [3, 0])), "in the order in which they became ready");
    check_eq!(two(epoll_wait(ep, 0)), Ok((2, [5, 1])), "then the others");
    check_eq!(two(epoll_wait(ep, 0)), Ok((2, [3, 0])), "and again");
    check_eq!(read_u64(fds[5]), Ok(1), "read one");
    check_eq!(two(epoll_wait(ep, 0)), Ok((2, [1, 3])), "which is not told any more");
    let _ = close(ep);
    let _ = fds.map(close);
}

fn modified() {
    let ep = epoll();
    let fd = eventfd(1, 0).unwrap_or(-1);
    add(ep, fd, ev::OUT, 1);
    check_eq!(now_ready(ep), one(ev::OUT, 1), "only what is asked for");
    check_eq!(epoll_ctl(ep, EPOLL_CTL_MOD, fd, Event::new(ev::IN | ev::OUT, 2)), Ok(0), "modify");
    check_eq!(now_ready(ep), one(ev::IN | ev::OUT, 2), "both");
    check_eq!(epoll_ctl(ep, EPOLL_CTL_MOD, fd, Event::new(0, 3)), Ok(0), "modify to nothing");
    check_eq!(now_ready(ep), NOTHING, "nothing");
    let _ = [ep, fd].map(close);
}

/// A file is watched until its last descriptor is closed, wherever that is.
fn closed() {
    let ep = epoll();
    let fd = eventfd(1, 0).unwrap_or(-1);
    add(ep, fd, ev::IN, 1);
    check_eq!(dup2(fd, 61), Ok(61), "dup2");
    check_eq!(close(fd), Ok(0), "close");
    check_eq!(now_ready(ep), one(ev::IN, 1), "the file is still there");
    check_eq!(epoll_ctl(ep, EPOLL_CTL_DEL, fd, Event::default()), Err(Errno(EBADF)), "by no descriptor");
    let pid = child(|| {
        sleep_ms(30);
        0
    });
    check_eq!(close(61), Ok(0), "close the last one here");
    check_eq!(now_ready(ep), one(ev::IN, 1), "the child has it");
    check_eq!(wait(pid), Ok(WaitStatus::exited(0)), "child");
    check_eq!(now_ready(ep), NOTHING, "gone");
    // The same number is another file's now.
    let fd = eventfd(1, 0).unwrap_or(-1);
    check_eq!(epoll_ctl(ep, EPOLL_CTL_MOD, fd, Event::default()), Err(Errno(ENOENT)), "a new file");
    add(ep, fd, ev::IN, 2);
    // And an epoll that goes lets go of its files.
    let _ = close(ep);
    check_eq!(write_u64(fd, 1), Ok(8), "write");
    let _ = close(fd);
}

fn hung_up() {
    let (r, w) = pipes();
    let ep = epoll();
    add(ep, r, 0, 1);
    add(ep, w, 0, 2);
    let _ = close(w);
    check_eq!(now_ready(ep), one(ev::HUP, 1), "hangups are told without being asked for");
    let (r2, w2) = pipes();
    add(ep, w2, ev::ET, 3);
    let _ = close(r2);
    let ready = now_ready(ep).map(|(n, e)| (n, [e[0], e[1]]));
    check_eq!(ready, Ok((2, [(ev::HUP, 1), (ev::ERR, 3)])), "and errors");
    let _ = [ep, r, w2].map(close);
}

fn waiting() {
    let ep = epoll();
    let fd = eventfd(0, 0).unwrap_or(-1);
    add(ep, fd, ev::IN, 9);
    let start = now();
    check_eq!(epoll_wait::<4>(ep, 30), NOTHING, "a time out");
    check!(now() - start >= 30 * MS, "after 30 ms");
    let pid = child(|| {
        sleep_ms(20);
        i32::from(write_u64(fd, 1) != Ok(8))
    });
    check_eq!(epoll_wait::<4>(ep, 5000), one(ev::IN, 9), "written by another process");
    check_eq!(wait(pid), Ok(WaitStatus::exited(0)), "child");
    let _ = [ep, fd].map(close);
}

fn interrupted() {
    let ep = epoll();
    for flags in [0, SA_RESTART] {
        seen::clear();
        seen::install(SIGALRM, flags, 0);
        let _ = set_real_timer(20, 0);
        check_eq!(epoll_wait::<1>(ep, 5000), Err(Errno(EINTR)), "never restarted");
        check_eq!(seen::count(), 1, "handled");
    }
    let _ = close(ep);
}

fn masked() {
    let ep = epoll();
    let mut out = [Event::default(); 1];
    let to = out.as_mut_ptr();
    let ten = [0i64, 10_000_000];
    seen::clear();
    seen::install(SIGUSR1, 0, 0);
    sigprocmask_set(bit(SIGUSR1));
    check_eq!(kill(getpid(), SIGUSR1), Ok(0), "kill");
    let (none, usr1) = (0u64, bit(SIGUSR1));
    // SAFETY: the kernel reads time and mask and writes at most one structure.
    let pwait = |mask: &u64, size| unsafe {
        syscall!(__NR_epoll_pwait, ep, to, 1, 10, core::ptr::from_ref(mask), size)
    };
    check_eq!(pwait(&usr1, 8), Ok(0), "with the signal blocked it times out");
    check_eq!((seen::count(), sigpending()), (0, bit(SIGUSR1)), "and the signal stays");
    check_eq!(pwait(&none, 4), Err(Errno(EINVAL)), "a mask of 4 bytes");
    check_eq!(pwait(&none, 8), Err(Errno(EINTR)), "the mask lets it through");
    check_eq!(seen::count(), 1, "handled");
    check_eq!(user::signal::sigmask(), bit(SIGUSR1), "the mask is back");
    // SAFETY: as above.
    let pwait2 = |time: &[i64; 2]| unsafe {
        syscall!(__NR_epoll_pwait2, ep, to, 1, time.as_ptr(), core::ptr::from_ref(&usr1), 8)
    };
    let start = now();
    check_eq!(pwait2(&ten), Ok(0), "epoll_pwait2");
    check!(now() - start >= 10 * MS, "10 ms");
    check_eq!(pwait2(&[0, 1_000_000_000]), Err(Errno(EINVAL)), "a bad time");
    check_eq!(pwait2(&[0, 0]), Ok(0), "no time");
    sigprocmask_set(0);
    let _ = close(ep);
}

fn exclusive() {
    let ep = epoll();
    let fd = eventfd(0, 0).unwrap_or(-1);
    let ctl = |op, events| epoll_ctl(ep, op, fd, Event::new(events, 4));
    check_eq!(ctl(EPOLL_CTL_ADD, ev::EXCLUSIVE | ev::PRI), Err(Errno(EINVAL)), "exclusively PRI");
    let bad = ev::EXCLUSIVE | ev::IN | ev::ONESHOT;
    check_eq!(ctl(EPOLL_CTL_ADD, bad), Err(Errno(EINVAL)), "exclusively once");
    let inner = epoll();
    let nested = epoll_ctl(ep, EPOLL_CTL_ADD, inner, Event::new(ev::EXCLUSIVE | ev::IN, 0));
    check_eq!(nested, Err(Errno(EINVAL)), "an epoll, exclusively");
    check_eq!(ctl(EPOLL_CTL_ADD, ev::EXCLUSIVE | ev::IN), Ok(0), "exclusively");
    check_eq!(ctl(EPOLL_CTL_MOD, ev::EXCLUSIVE | ev::IN), Err(Errno(EINVAL)), "modify to exclusive");
    check_eq!(ctl(EPOLL_CTL_MOD, ev::OUT), Err(Errno(EINVAL)), "modify what is exclusive");
    check_eq!(now_ready(ep), NOTHING, "changes nothing");
    check_eq!(write_u64(fd, 1), Ok(8), "write");
    check_eq!(now_ready(ep), one(ev::IN, 4), "it is told");
    let _ = [ep, fd, inner].map(close);
}

static EPOLL: AtomicI32 = AtomicI32::new(-1);
static WOKEN: AtomicUsize = AtomicUsize::new(0);
static GONE: AtomicUsize = AtomicUsize::new(0);

extern "C" fn waiter() -> ! {
    if epoll_wait::<1>(EPOLL.load(SeqCst), 400).is_ok_and(|r| r.0 == 1) {
        WOKEN.fetch_add(1, SeqCst);
    }
    GONE.fetch_add(1, SeqCst);
    exit_thread(0)
}

/// Of several threads that wait with one epoll, one is woken for an event that is told once.
fn one_of_many() {
    let ep = epoll();
    let fd = eventfd(0, 0).unwrap_or(-1);
    add(ep, fd, ev::IN | ev::ET, 1);
    EPOLL.store(ep, SeqCst);
    for _ in 0..3 {
        check!(spawn_thread(waiter).is_ok(), "spawn");
    }
    sleep_ms(50);
    check_eq!(write_u64(fd, 1), Ok(8), "write");
    sleep_ms(50);
    check_eq!(WOKEN.load(SeqCst), 1, "threads that were told");
    check_eq!(write_u64(fd, 1), Ok(8), "write");
    sleep_ms(50);
    check_eq!(WOKEN.load(SeqCst), 2, "the next event is for the next one");
    while GONE.load(SeqCst) < 3 {
        sleep_ms(20);
    }
    let _ = [ep, fd].map(close);
}

/// With many files that have nothing to say the one that has is found.
fn fair() {
    let ep = epoll();
    let (r, w) = pipes();
    let mut last = -1;
    for i in 0..500 {
        last = 100 + i;
        check_eq!(dup2(r, last), Ok(last as usize), "dup2");
        add(ep, last, ev::IN, i as u64);
    }
    put(w, 1);
    check_eq!(epoll_wait::<4>(ep, 0).map(|r| r.0), Ok(4), "one pipe, 500 times");
    drain(r);
    check_eq!(now_ready(ep), NOTHING, "none");
    for i in 0..500 {
        let _ = close(100 + i);
    }
    check!(last == 599, "all were there");
    put(w, 1);
    check_eq!(epoll_wait::<1>(ep, 0).map(|r| r.0), Ok(1), "the first descriptor keeps the file open");
    let _ = [r, w].map(close);
    check_eq!(now_ready(ep), NOTHING, "all gone with it");
    let _ = close(ep);
}
