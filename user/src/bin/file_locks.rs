// SPDX-License-Identifier: GPL-2.0-only
//! Locks on files keep others out: ranges of a process, of an open file, and whole files; who
//! waits is woken, circles are refused, and what ends a lock ends it; `/proc` tells of them. Needs root.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::ffi::CStr;
use core::fmt::Write;
use core::sync::atomic::{AtomicI32, Ordering::SeqCst};
use linux_raw_sys::general as abi;
use user::file::{self, O_CREAT, O_RDONLY, O_RDWR};
use user::prelude::*;
use user::process::{become_user, exit_thread, spawn_thread};
use user::signal::kill;
use user::syscall::Result;
use user::text::Text;
use user::{syscall, time};

expect! { end: exit(0) }
program!(run);

const NAME: &CStr = c"/tmp/file_locks";
const READ: u32 = abi::F_RDLCK;
const WRITE: u32 = abi::F_WRLCK;
const NONE: u32 = abi::F_UNLCK;

/// A lock as `fcntl` takes and gives it.
fn flock(kind: u32, start: i64, len: i64) -> abi::flock {
    // SAFETY: all zeroes are a `flock`.
    let mut l: abi::flock = unsafe { core::mem::zeroed() };
    (l.l_type, l.l_start, l.l_len) = (kind as _, start, len);
    l
}

fn fcntl(fd: i32, cmd: u32, l: &mut abi::flock) -> Result {
    // SAFETY: the kernel reads and writes the structure.
    unsafe { syscall!(__NR_fcntl, fd, cmd, core::ptr::from_mut(l)) }
}

fn set(fd: i32, kind: u32, start: i64, len: i64) -> Result {
    fcntl(fd, abi::F_SETLK, &mut flock(kind, start, len))
}

/// `flock(2)`.
fn whole(fd: i32, op: u32) -> Result {
    // SAFETY: no memory is involved.
    unsafe { syscall!(__NR_flock, fd, op) }
}

/// What would be in the way of writing a range: kind, start, length, and whose it is.
fn get(fd: i32, start: i64, len: i64) -> (u32, i64, i64, i32) {
    let mut l = flock(WRITE, start, len);
    check_eq!(fcntl(fd, abi::F_GETLK, &mut l), Ok(0), "F_GETLK");
    (l.l_type as u32, l.l_start, l.l_len, l.l_pid)
}

/// Runs `what` in a child, which must find everything as it expects.
fn other(name: &str, what: impl FnOnce()) {
    let pid = child(|| {
        what();
        i32::from(user::check::failures() != 0)
    });
    check_eq!(wait(pid), Ok(WaitStatus::exited(0)), "{name}");
}

const AGAIN: Result = Err(Errno(EAGAIN));

fn ranges(fd: i32) {
    let me = getpid();
    check_eq!(set(fd, WRITE, 10, 10), Ok(0), "a range");
    check_eq!(set(fd, READ, 15, 10), Ok(0), "another over its end");
    check_eq!(get(fd, 0, 0).0, NONE, "nobody is in one's own way");
    other("another process", || {
        check_eq!(get(fd, 0, 0), (WRITE, 10, 5, me), "the first");
        check_eq!(get(fd, 15, 0), (READ, 15, 10, me), "the second");
        check_eq!(get(fd, 30, 5).0, NONE, "behind");
        check_eq!(set(fd, READ, 12, 1), AGAIN, "reading what is written");
        check_eq!(set(fd, READ, 20, 1), Ok(0), "reading what is read");
        check_eq!(set(fd, WRITE, 20, 1), AGAIN, "writing what is read");
        check_eq!(set(fd, WRITE, 100, -10), Ok(0), "a range before a place");
        let mut bad = flock(7, 0, 0);
        check_eq!(fcntl(fd, abi::F_SETLK, &mut bad), Err(Errno(EINVAL)), "no such kind");
        check_eq!(set(fd, READ, 5, -6), Err(Errno(EINVAL)), "before the beginning");
        check_eq!(set(fd, READ, 5, i64::MAX), Err(Errno(EOVERFLOW)), "behind the end");
    });
    check_eq!(get(fd, 0, 0).0, NONE, "a process's locks end with it");
    if let Ok(second) = file::open(NAME, O_RDONLY, 0) {
        check_eq!(set(second, WRITE, 0, 1), Err(Errno(EBADF)), "writing what is open for reading");
        let _ = file::close(second);
    }
    other("after any close", || check_eq!(set(fd, WRITE, 0, 0), Ok(0), "all"));
}

/// A child takes it, and after a while ends.
fn held_for_a_while(fd: i32, take: impl FnOnce() -> Result) -> i32 {
    let Ok((read, write)) = file::pipe(0) else { return -1 };
    let pid = child(|| {
        check_eq!(take(), Ok(0), "taken");
        let _ = file::write(write, b"x");
        time::sleep_ms(100);
        // An open file is shared: what it holds must be given back.
        let _ = whole(fd, abi::LOCK_UN);
        i32::from(user::check::failures() != 0)
    });
    let _ = file::read(read, &mut [0]);
    let _ = file::close(read);
    let _ = file::close(write);
    pid
}

fn waiting(fd: i32) {
    let pid = held_for_a_while(fd, || set(fd, WRITE, 0, 0));
    check_eq!(set(fd, WRITE, 0, 1), AGAIN, "held");
    let before = time::now();
    check_eq!(fcntl(fd, abi::F_SETLKW, &mut flock(WRITE, 0, 1)), Ok(0), "waited for");
    check!(time::now() - before > 20_000_000, "it took a while");
    check_eq!(wait(pid), Ok(WaitStatus::exited(0)), "the other");
    check_eq!(set(fd, NONE, 0, 0), Ok(0), "given back");
}

/// Two who wait for each other: the second is told.
fn circle(fd: i32) {
    check_eq!(set(fd, WRITE, 0, 1), Ok(0), "one's own");
    let pid = child(|| {
        check_eq!(set(fd, WRITE, 1, 1), Ok(0), "the other's");
        check_eq!(fcntl(fd, abi::F_SETLKW, &mut flock(WRITE, 0, 1)), Ok(0), "waited for");
        i32::from(user::check::failures() != 0)
    });
    time::sleep_ms(100);
    let mut l = flock(WRITE, 1, 1);
    check_eq!(fcntl(fd, abi::F_SETLKW, &mut l), Err(Errno(EDEADLK)), "a circle");
    check_eq!(set(fd, NONE, 0, 0), Ok(0), "given back");
    check_eq!(wait(pid), Ok(WaitStatus::exited(0)), "the other");
}

fn open_files(fd: i32) {
    let Ok(second) = file::open(NAME, O_RDWR, 0) else { return };
    check_eq!(fcntl(fd, abi::F_OFD_SETLK, &mut flock(WRITE, 0, 0)), Ok(0), "an open file's");
    check_eq!(fcntl(second, abi::F_OFD_SETLK, &mut flock(READ, 5, 1)), AGAIN, "another's");
    check_eq!(set(fd, WRITE, 0, 1), AGAIN, "the process's");
    let mut l = flock(READ, 0, 0);
    check_eq!((fcntl(second, abi::F_OFD_GETLK, &mut l), l.l_pid), (Ok(0), -1), "nobody's");
    l.l_pid = 1;
    check_eq!(fcntl(second, abi::F_OFD_SETLK, &mut l), Err(Errno(EINVAL)), "with a process");
    check_eq!(fcntl(fd, abi::F_OFD_SETLK, &mut flock(NONE, 0, 0)), Ok(0), "given back");
    let try_whole = |fd: i32, op: u32| whole(fd, op | abi::LOCK_NB);
    check_eq!(try_whole(fd, abi::LOCK_SH), Ok(0), "shared");
    check_eq!(try_whole(second, abi::LOCK_SH), Ok(0), "by two");
    check_eq!(try_whole(second, abi::LOCK_EX), AGAIN, "not alone");
    check_eq!(try_whole(fd, abi::LOCK_EX), Ok(0), "who asks for more gives up what it has");
    check_eq!(try_whole(second, abi::LOCK_SH), AGAIN, "so the other is out");
    check_eq!(set(fd, WRITE, 0, 0), Ok(0), "ranges are another matter");
    check_eq!(try_whole(fd, 0), Err(Errno(EINVAL)), "nothing");
    let _ = file::close(second);
    check_eq!(try_whole(fd, abi::LOCK_UN), Ok(0), "given back");
    if let Ok(third) = file::open(NAME, O_RDONLY, 0) {
        check_eq!(try_whole(third, abi::LOCK_EX), Ok(0), "by who may only read, too");
        let waited = held_for_a_while(third, || Ok(0));
        check_eq!(whole(fd, abi::LOCK_EX), Ok(0), "waited for");
        let _ = wait(waited);
        let _ = file::close(third);
    }
}

/// What else `fs/fcntl.c`, `fs/namei.c` and `fs/utimes.c` decide.
fn others(fd: i32) {
    // SAFETY: no memory is involved.
    let fcntl = |cmd: u32, arg: i32| unsafe { syscall!(__NR_fcntl, fd, cmd, arg) };
    check_eq!((fcntl(abi::F_GETOWN, 0), fcntl(abi::F_GETSIG, 0)), (Ok(0), Ok(0)), "at first");
    check_eq!(
        (fcntl(abi::F_SETOWN, getpid()), fcntl(abi::F_GETOWN, 0)),
        (Ok(0), Ok(getpid() as usize)),
        "owner"
    );
    check_eq!(fcntl(abi::F_SETOWN, 0x3fff_ffff), Err(Errno(ESRCH)), "nobody");
    check_eq!((fcntl(abi::F_SETSIG, 40), fcntl(abi::F_GETSIG, 0)), (Ok(0), Ok(40)), "signal");
    check_eq!(fcntl(abi::F_SETSIG, 65), Err(Errno(EINVAL)), "no such signal");
    let omit = [0i64, 0x3fff_fffe, 0, 0x3fff_fffe];
    // SAFETY: the kernel reads the times; the path is none.
    let nothing = unsafe { syscall!(__NR_utimensat, -1, 8, omit.as_ptr(), 0x5555) };
    check_eq!(nothing, Ok(0), "nothing to do is done at once");
    check_eq!(file::mkdir(c"/sys/kernel/mine", 0o755), Err(Errno(EPERM)), "nothing is made in sysfs");
    other("without privilege", || {
        let _ = become_user(1000);
        // SAFETY: the paths are C strings.
        let linked = unsafe {
            syscall!(
                __NR_linkat,
                fd,
                c"".as_ptr(),
                abi::AT_FDCWD,
                c"/tmp/file_locks.2".as_ptr(),
                abi::AT_EMPTY_PATH
            )
        };
        check_eq!(linked, Err(Errno(ENOENT)), "a name for a descriptor");
    });
}

/// The lines of a text file that tell of a file's locks, numbers and those of others left out.
fn told(path: &CStr, ino: u64) -> Text<2048> {
    let (mut buf, mut out) = ([0; 16384], Text::new());
    let (at, mut mark) = (user::text!(32, ":{ino} "), 0);
    let text = file::load(path, &mut buf).map_or("", |b| core::str::from_utf8(b).unwrap_or("?"));
    for line in text.lines().filter(|l| l.contains(at.as_str())) {
        // "N: FLOCK  ADVISORY  WRITE PID MAJOR:MINOR:INO START END": all but the numbers of the line and the device.
        let line = line.strip_prefix("lock:\t").unwrap_or(line);
        let (number, rest) = line.split_once(": ").unwrap_or(("?", line));
        let number = number.parse::<usize>().unwrap_or(0);
        let (what, end) = rest.split_once(at.as_str()).unwrap_or((rest, "?"));
        let what = what.rsplit_once(' ').unwrap_or((what, "")).0;
        // Each lock has a number of its own, one that waits that of the lock.
        check!(
            if rest.contains("-> ") { number == mark } else { number > mark },
            "number {number} behind {mark}"
        );
        mark = number;
        let _ = write!(out, "{what} {end};");
    }
    out
}

/// What `fdinfo` says of a descriptor, and `/proc/locks` of the file.
fn shown(fd: i32) {
    let ino = file::fstat(fd).map_or(0, |s| s.st_ino);
    let me = getpid();
    let Ok(second) = file::open(NAME, O_RDWR, 0) else { return check!(false, "no second") };
    let info = |fd: i32| {
        let name = user::text!(32, "/proc/self/fdinfo/{fd}\0");
        told(CStr::from_bytes_with_nul(name.as_str().as_bytes()).unwrap_or(c""), ino)
    };
    let all = || told(c"/proc/locks", ino);
    check_eq!(whole(fd, abi::LOCK_UN), Ok(0), "given back");
    is(&all(), format_args!(""), "no locks");
    check_eq!(set(fd, WRITE, 0, 100), Ok(0), "a range");
    check_eq!(fcntl(second, abi::F_OFD_SETLK, &mut flock(READ, 200, 0)), Ok(0), "an open file's");
    check_eq!(whole(fd, abi::LOCK_SH), Ok(0), "the whole");
    is(
        &info(fd),
        format_args!("FLOCK  ADVISORY  READ {me} 0 EOF;POSIX  ADVISORY  WRITE {me} 0 99;"),
        "the one",
    );
    is(&info(second), format_args!("OFDLCK ADVISORY  READ -1 200 EOF;"), "the other");
    is(
        &all(),
        format_args!(
            "FLOCK  ADVISORY  READ {me} 0 EOF;OFDLCK ADVISORY  READ -1 200 EOF;POSIX  ADVISORY  WRITE {me} 0 99;"
        ),
        "the latest first",
    );
    check_eq!(fcntl(second, abi::F_OFD_SETLK, &mut flock(NONE, 0, 0)), Ok(0), "given back");
    // The middle is given back: the end is what was, the beginning is new.
    check_eq!(set(fd, NONE, 40, 20), Ok(0), "a hole");
    is(
        &all(),
        format_args!(
            "POSIX  ADVISORY  WRITE {me} 0 39;FLOCK  ADVISORY  READ {me} 0 EOF;POSIX  ADVISORY  WRITE {me} 60 99;"
        ),
        "cut in two",
    );
    is(
        &info(fd),
        format_args!(
            "FLOCK  ADVISORY  READ {me} 0 EOF;POSIX  ADVISORY  WRITE {me} 0 39;POSIX  ADVISORY  WRITE {me} 60 99;"
        ),
        "in order",
    );
    check_eq!(set(fd, READ, 40, 20), Ok(0), "another kind between");
    check_eq!(set(fd, READ, 0, 40), Ok(0), "the first is covered, and its neighbour joined");
    is(
        &all(),
        format_args!(
            "POSIX  ADVISORY  READ {me} 0 59;FLOCK  ADVISORY  READ {me} 0 EOF;POSIX  ADVISORY  WRITE {me} 60 99;"
        ),
        "it is a new one",
    );
    check_eq!(set(fd, NONE, 0, 60), Ok(0), "given back");
    check_eq!(whole(fd, abi::LOCK_UN), Ok(0), "given back");
    blocked(fd, second, &all);
    let _ = file::close(second);
}

fn is(got: &Text<2048>, want: core::fmt::Arguments<'_>, what: &str) {
    let mut text = Text::<2048>::new();
    let _ = text.write_fmt(want);
    check!(got.as_str() == text.as_str(), "{what}: {got}, not {text}");
}

/// Waits until so many are told of, and so many of them wait.
fn until(all: &dyn Fn() -> Text<2048>, lines: usize, waiting: usize) {
    for _ in 0..500 {
        let text = all();
        if text.as_str().matches(';').count() == lines && text.as_str().matches("-> ").count() == waiting {
            return;
        }
        time::sleep_ms(10);
    }
}

/// Those who wait stand below the lock, and below one another if they are in each other's way.
fn blocked(fd: i32, second: i32, all: &dyn Fn() -> Text<2048>) {
    let me = getpid();
    let wants = |nth: usize, kind: u32, start: i64, len: i64| {
        let pid = child(|| {
            check_eq!(fcntl(fd, abi::F_SETLKW, &mut flock(kind, start, len)), Ok(0), "waited for");
            // SAFETY: no memory is involved.
            unsafe { syscall!(__NR_pause) }.map_or(0, |_| 0)
        });
        until(all, 1 + nth, nth);
        pid
    };
    let a = wants(1, WRITE, 60, 10);
    let b = wants(2, READ, 65, 1);
    let c = wants(3, READ, 90, 1);
    let p = "POSIX  ADVISORY ";
    is(
        &all(),
        format_args!(
            "{p} WRITE {me} 60 99;-> {p} WRITE {a} 60 69; -> {p} READ {b} 65 65;-> {p} READ {c} 90 90;"
        ),
        "three wait",
    );
    check_eq!(set(fd, NONE, 80, 0), Ok(0), "the end given back");
    until(all, 4, 2);
    is(
        &all(),
        format_args!(
            "{p} READ {c} 90 90;{p} WRITE {me} 60 79;-> {p} WRITE {a} 60 69; -> {p} READ {b} 65 65;"
        ),
        "one has it",
    );
    // The first gets it; who waits for it waits for the lock now.
    check_eq!(set(fd, NONE, 60, 0), Ok(0), "all given back");
    until(all, 3, 1);
    is(
        &all(),
        format_args!("{p} WRITE {a} 60 69;-> {p} READ {b} 65 65;{p} READ {c} 90 90;"),
        "two have theirs",
    );
    for pid in [a, b, c] {
        let _ = kill(pid, abi::SIGKILL);
        let _ = wait(pid);
    }
    is(&all(), format_args!(""), "all have gone");
    // A whole file is waited for in a row.
    check_eq!(whole(second, abi::LOCK_EX), Ok(0), "the whole");
    let waiter = child(|| {
        let _ = whole(fd, abi::LOCK_EX);
        0
    });
    until(all, 2, 1);
    let f = "FLOCK  ADVISORY ";
    is(&all(), format_args!("{f} WRITE {me} 0 EOF;-> {f} WRITE {waiter} 0 EOF;"), "one waits");
    check_eq!(whole(second, abi::LOCK_UN), Ok(0), "given back");
    check_eq!(wait(waiter), Ok(WaitStatus::exited(0)), "the other");
    // It is the open file's, which is here, too.
    is(&all(), format_args!("{f} WRITE {waiter} 0 EOF;"), "one who is gone has it");
    check_eq!(whole(fd, abi::LOCK_UN), Ok(0), "given back");
}

/// The descriptor that is closed while its lock is waited for, and what came of the wait.
static CLOSED: AtomicI32 = AtomicI32::new(-1);
static CAME: AtomicI32 = AtomicI32::new(1);

extern "C" fn wait_for_lock() -> ! {
    let r = fcntl(CLOSED.load(SeqCst), abi::F_SETLKW, &mut flock(WRITE, 0, 1));
    CAME.store(r.map_or_else(|e| -(e.0 as i32), |_| 0), SeqCst);
    exit_thread(0)
}

/// A thread waits for a lock on what another one closes: nobody is to have that lock.
fn closed_meanwhile(fd: i32) {
    let ino = file::fstat(fd).map_or(0, |s| s.st_ino);
    let Ok((read, write)) = file::pipe(0) else { return check!(false, "no pipe") };
    check_eq!(set(fd, WRITE, 0, 1), Ok(0), "held");
    let pid = child(|| {
        CLOSED.store(file::open(NAME, O_RDWR, 0).unwrap_or(-1), SeqCst);
        check!(spawn_thread(wait_for_lock).is_ok(), "a thread");
        until(&|| told(c"/proc/locks", ino), 2, 1);
        let _ = file::close(CLOSED.load(SeqCst));
        let _ = file::write(write, b"x");
        for _ in 0..500 {
            if CAME.load(SeqCst) == 1 {
                time::sleep_ms(10);
            }
        }
        check_eq!(CAME.load(SeqCst), -(EBADF as i32), "closed meanwhile");
        i32::from(user::check::failures() != 0)
    });
    let _ = file::read(read, &mut [0]);
    check_eq!(set(fd, NONE, 0, 1), Ok(0), "given back");
    check_eq!(wait(pid), Ok(WaitStatus::exited(0)), "who waited");
    check_eq!(get(fd, 0, 0).0, NONE, "nobody has it");
    let _ = file::close(read);
    let _ = file::close(write);
}

fn run() {
    let Ok(fd) = file::open(NAME, O_RDWR | O_CREAT, 0o666) else {
        check!(false, "no file");
        return;
    };
    ranges(fd);
    waiting(fd);
    circle(fd);
    open_files(fd);
    shown(fd);
    closed_meanwhile(fd);
    others(fd);
    let _ = file::unlink(NAME);
}
