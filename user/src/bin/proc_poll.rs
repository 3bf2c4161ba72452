// SPDX-License-Identifier: GPL-2.0-only
//! Files of `/proc` that can be waited for: which epoll takes, what they say, and that names of the
//! system and mounts tell when they change. Needs root.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::ffi::CStr;
use user::event::{EPOLL_CTL_ADD, Event, epoll_create, epoll_ctl, epoll_wait, ev, poll_now};
use user::file::{self, O_RDONLY, close};
use user::prelude::*;
use user::syscall;
use user::time::sleep_ms;

expect! { end: exit(0) }
program!(run);

/// In and out, as files say that never keep anybody waiting.
const DEFAULT: u32 = 0x145;
const IN: u32 = 0x41;
/// There is something new: in, urgent, error.
const NEWS: u32 = 0x4b;

fn open(path: &CStr) -> i32 {
    file::open(path, O_RDONLY, 0).unwrap_or(-1)
}

fn watch(ep: i32, fd: i32, events: u32) -> user::Result {
    epoll_ctl(ep, EPOLL_CTL_ADD, fd, Event::new(events, 7))
}

fn sethostname(name: &[u8]) {
    // SAFETY: the kernel reads the name.
    check_eq!(unsafe { syscall!(__NR_sethostname, name.as_ptr(), name.len()) }, Ok(0), "sethostname");
}

fn run() {
    let ep = epoll_create(0).unwrap_or(-1);
    for path in [c"/proc/self/status", c"/proc/self/maps", c"/proc/thread-self/stat", c"/proc/self/limits"] {
        let fd = open(path);
        check_eq!((watch(ep, fd, ev::IN), poll_now(fd)), (Err(Errno(EPERM)), DEFAULT), "{path:?}");
        let _ = close(fd);
    }
    for path in [c"/proc/version", c"/proc/meminfo", c"/proc/sysvipc/shm", c"/proc/sys/kernel/ostype"] {
        let fd = open(path);
        check_eq!((watch(ep, fd, ev::IN), poll_now(fd)), (Ok(0), DEFAULT), "{path:?}");
        check_eq!(epoll_wait::<1>(ep, 0), Ok((1, [(ev::IN, 7)])), "{path:?}: ready");
        let _ = close(fd);
    }
    names(ep);
    mounts(ep);
}

fn names(ep: i32) {
    let mut buf = [0; 80];
    let before = file::load(c"/proc/sys/kernel/hostname", &mut buf).unwrap_or(b"(none)\n");
    let fd = open(c"/proc/sys/kernel/hostname");
    check_eq!(poll_now(fd), DEFAULT, "a name");
    sethostname(b"other");
    check_eq!((poll_now(fd), poll_now(fd)), (NEWS, DEFAULT), "another name is told once");
    check!(file::store(c"/proc/sys/kernel/hostname", b"third").is_ok(), "written");
    check_eq!((poll_now(fd), poll_now(fd)), (NEWS, DEFAULT), "by the file as well");
    let domain = open(c"/proc/sys/kernel/domainname");
    check_eq!(poll_now(domain), DEFAULT, "the other name is the same");
    check_eq!(watch(ep, fd, ev::PRI), Ok(0), "watched");
    check_eq!(epoll_wait::<1>(ep, 0), Ok((0, [(0, 0)])), "nothing yet");
    let other = child(|| {
        sleep_ms(30);
        sethostname(b"fourth");
        user::check::failures() as i32
    });
    check_eq!(epoll_wait::<1>(ep, 5000), Ok((1, [(ev::PRI | ev::ERR, 7)])), "who waits is told");
    check_eq!(wait(other), Ok(WaitStatus::exited(0)), "the child");
    check!(file::store(c"/proc/sys/kernel/hostname", before).is_ok(), "as before");
    let _ = [fd, domain].map(close);
}

fn mounts(ep: i32) {
    let dir = c"/tmp/proc_poll";
    let _ = file::mkdir(dir, 0o755);
    let all = [open(c"/proc/self/mounts"), open(c"/proc/self/mountinfo")];
    check_eq!(all.map(poll_now), [IN; 2], "as they are");
    check_eq!(all.map(|fd| watch(ep, fd, ev::PRI)), [Ok(0); 2], "watched");
    check_eq!(file::mount(c"tmpfs", dir), Ok(0), "mount");
    check_eq!(all.map(poll_now), [NEWS; 2], "one more");
    check_eq!(all.map(poll_now), [IN; 2], "told once");
    // SAFETY: the path ends with a NUL.
    check_eq!(unsafe { syscall!(__NR_umount2, dir.as_ptr(), 0) }, Ok(0), "umount");
    check_eq!(all.map(poll_now), [NEWS; 2], "one less");
    let _ = all.map(close);
    // SAFETY: as above.
    let _ = unsafe { syscall!(__NR_rmdir, dir.as_ptr()) };
}
