// SPDX-License-Identifier: GPL-2.0-only
//! epolls in epolls: events go through, loops and depths beyond four are refused.
#![cfg_attr(target_os = "none", no_std, no_main)]

use user::event::*;
use user::file::close;
use user::prelude::*;
use user::time::sleep_ms;

expect! { end: exit(0) }
program!(run);

fn nest(outer: i32, inner: i32) -> user::Result {
    epoll_ctl(outer, EPOLL_CTL_ADD, inner, Event::new(ev::IN, inner as u64))
}

fn run() {
    through();
    loops();
    woken();
    paths();
}

fn epolls<const N: usize>() -> [i32; N] {
    [(); N].map(|()| epoll_create(0).unwrap_or(-1))
}

fn through() {
    let [a, b, c] = epolls();
    let fd = eventfd(0, 0).unwrap_or(-1);
    check_eq!([nest(a, b), nest(b, c), nest(c, fd)], [Ok(0); 3], "a chain");
    check_eq!(epoll_wait::<1>(a, 0), Ok((0, [(0, 0)])), "nothing");
    check_eq!(write_u64(fd, 1), Ok(8), "write");
    check_eq!(epoll_wait::<1>(a, 0), Ok((1, [(ev::IN, b as u64)])), "the outermost says where");
    check_eq!(epoll_wait::<1>(b, 0), Ok((1, [(ev::IN, c as u64)])), "and so on");
    check_eq!(epoll_wait::<1>(c, 0), Ok((1, [(ev::IN, fd as u64)])), "to the file");
    check_eq!(read_u64(fd), Ok(1), "read");
    check_eq!(epoll_wait::<1>(a, 0), Ok((0, [(0, 0)])), "nothing any more");
    check_eq!(close(c), Ok(0), "close the innermost");
    check_eq!(write_u64(fd, 1), Ok(8), "write");
    check_eq!(epoll_wait::<1>(a, 0), Ok((0, [(0, 0)])), "nobody tells");
    let _ = [a, b, fd].map(close);
}

fn loops() {
    let [a, b, c, d, e, f] = epolls();
    check_eq!(nest(a, b), Ok(0), "b in a");
    check_eq!(nest(b, a), Err(Errno(ELOOP)), "a in b");
    check_eq!([nest(b, c), nest(c, d)], [Ok(0); 2], "deeper");
    check_eq!(nest(d, a), Err(Errno(ELOOP)), "a long way round");
    check_eq!(nest(d, e), Ok(0), "four deep");
    check_eq!(nest(e, f), Err(Errno(ELOOP)), "five");
    check_eq!(nest(f, a), Err(Errno(ELOOP)), "five, from above");
    check_eq!(nest(f, b), Ok(0), "two that watch one");
    let fd = eventfd(1, 0).unwrap_or(-1);
    check_eq!(nest(e, fd), Ok(0), "a file at the bottom");
    check_eq!(epoll_wait::<1>(a, 0), Ok((1, [(ev::IN, b as u64)])), "told at the top");
    let _ = [a, b, c, d, e, f, fd].map(close);
}

fn woken() {
    let [a, b] = epolls();
    let fd = eventfd(0, 0).unwrap_or(-1);
    check_eq!([nest(a, b), nest(b, fd)], [Ok(0); 2], "a chain");
    let pid = child(|| {
        sleep_ms(20);
        i32::from(write_u64(fd, 1) != Ok(8))
    });
    check_eq!(epoll_wait::<1>(a, 5000), Ok((1, [(ev::IN, b as u64)])), "who waits at the top is woken");
    check_eq!(wait(pid), Ok(WaitStatus::exited(0)), "child");
    let _ = [a, b, fd].map(close);
}

/// By two steps a file may be reached from 500 epolls.
fn paths() {
    let [inner] = epolls();
    let fd = eventfd(0, 0).unwrap_or(-1);
    check_eq!(nest(inner, fd), Ok(0), "a file");
    let mut outer = [-1; 501];
    for (i, e) in outer.iter_mut().enumerate() {
        *e = epoll_create(0).unwrap_or(-1);
        let want = if i < 500 { Ok(0) } else { Err(Errno(EINVAL)) };
        check_eq!(nest(*e, inner), want, "path {i}");
    }
    for e in outer {
        let _ = close(e);
    }
    check_eq!(nest(epoll_create(0).unwrap_or(-1), inner), Ok(0), "there is room again");
}
