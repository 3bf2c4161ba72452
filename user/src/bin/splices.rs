// SPDX-License-Identifier: GPL-2.0-only
//! splice, tee and vmsplice: what pipes are given without a copy, and how they wait; sendfile into a
//! pipe; flags of single calls (preadv2, pwritev2).
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::ptr::{from_mut, null};
use linux_raw_sys::general::{O_DIRECT, O_NOCTTY, SIGKILL};
use user::event::eventfd;
use user::file::{self, O_CREAT, O_NONBLOCK, O_RDWR, O_TRUNC, O_WRONLY, close, pipe};
use user::prelude::*;
use user::signal::SIGPIPE;
use user::time::sleep_ms;
use user::{Result, pty, seen, syscall};

expect! { end: exit(0) }
program!(run);

const NONBLOCK: u32 = 2;
const PAGE: usize = 4096;
const RWF_NOWAIT: u32 = 8;
const RWF_APPEND: u32 = 16;

fn splice(
    from: i32,
    at: Option<&mut i64>,
    to: i32,
    to_at: Option<&mut i64>,
    len: usize,
    flags: u32,
) -> Result {
    let [at, to_at] = [at, to_at].map(|p| p.map_or(null(), |p| from_mut(p).cast_const()));
    // SAFETY: the kernel reads and writes the positions.
    unsafe { syscall!(__NR_splice, from, at, to, to_at, len, flags) }
}

fn tee(from: i32, to: i32, len: usize, flags: u32) -> Result {
    // SAFETY: no memory is involved.
    unsafe { syscall!(__NR_tee, from, to, len, flags) }
}

/// One buffer of a program.
type Vector = [usize; 2];

fn vmsplice(fd: i32, vec: &[Vector], flags: u32) -> Result {
    // SAFETY: the kernel reads or writes what the buffers name, which the caller owns.
    unsafe { syscall!(__NR_vmsplice, fd, vec.as_ptr(), vec.len(), flags) }
}

/// The next bytes to be read, 8 at most, are these.
fn holds(fd: i32, want: &[u8], what: &str) {
    let mut b = [0; 8];
    let n = file::read(fd, &mut b).unwrap_or(0);
    check!(b.get(..n) == Some(want), "{what}: {:x?}", &b[..n]);
}

fn two() -> (i32, i32) {
    pipe(0).unwrap_or((-1, -1))
}

fn shared(path: &core::ffi::CStr, text: &[u8]) -> i32 {
    let fd = file::open(path, O_CREAT | O_RDWR | O_TRUNC, 0o600).unwrap_or(-1);
    check_eq!(file::write(fd, text), Ok(text.len()), "write");
    fd
}

fn run() {
    seen::install(SIGPIPE, 0, 0);
    let fd = shared(c"/tmp/splices", b"0123456789");
    from_file(fd);
    to_file(fd);
    between();
    copies();
    waits();
    memory();
    typed();
    overtaking();
    sent(fd);
    refused(fd);
    flags(fd);
    let _ = file::unlink(c"/tmp/splices");
}

/// What is on its way into a file that takes nothing yet is still the first in the pipe: who reads waits for
/// what becomes of it.
fn overtaking() {
    const TCXONC: u32 = 0x540a;
    let (master, number) = pty::master();
    let Ok(terminal) = pty::open_slave(number, O_RDWR | O_NOCTTY) else {
        return check!(false, "a terminal");
    };
    check_eq!(pty::ioctl(terminal, TCXONC, 0), Ok(0), "output is stopped");
    // Each write is read by itself.
    let (r, w) = pipe(O_DIRECT).unwrap_or((-1, -1));
    let (told, tell) = two();
    check_eq!((file::write(w, b"first"), file::write(w, b"second")), (Ok(5), Ok(6)), "two packets");
    let splicer = child(|| i32::from(splice(r, None, terminal, None, 5, 0).is_err()));
    sleep_ms(50);
    let reader = child(|| {
        let mut b = [0; 16];
        let n = file::read(r, &mut b).unwrap_or(0);
        i32::from(file::write(tell, &b[..n]) != Ok(n))
    });
    sleep_ms(50);
    check_eq!(kill(splicer, SIGKILL), Ok(0), "it gives up");
    check_eq!(wait(splicer).map(|s| s.0 & 0x7f), Ok(9), "and ends");
    check_eq!(wait(reader), Ok(WaitStatus::exited(0)), "the reader");
    holds(told, b"first", "it has the first");
    holds(r, b"second", "and here is the other");
    let _ = [r, w, told, tell, terminal, master].map(close);
}

/// Who splices from a terminal has room in the pipe, whatever others write while it waits.
fn typed() {
    let _ = (file::mkdir(c"/dev/pts", 0o755), file::mount(c"devpts", c"/dev/pts"));
    let (master, number) = pty::master();
    let Ok(terminal) = pty::open_slave(number, O_RDWR | O_NOCTTY) else {
        return check!(false, "a terminal");
    };
    let (r, w) = two();
    let reader = child(|| i32::from(splice(terminal, None, w, None, 100, 0) != Ok(5)));
    sleep_ms(30);
    let writer = child(|| {
        let full = [b'.'; PAGE];
        i32::from((0..16).any(|_| file::write(w, &full) != Ok(PAGE)))
    });
    sleep_ms(30);
    check_eq!(file::write(master, b"line\n"), Ok(5), "typed");
    let _ = close(w);
    let (mut dots, mut line) = (0, false);
    let mut b = [0; PAGE];
    while let Ok(n @ 1..) = file::read(r, &mut b) {
        b[..n].iter().for_each(|c| dots += usize::from(*c == b'.'));
        line |= b[..n].windows(5).any(|part| part == b"line\n");
    }
    check_eq!((dots, line), (16 * PAGE, true), "all that was written, and what was typed");
    for pid in [reader, writer] {
        check_eq!(wait(pid), Ok(WaitStatus::exited(0)), "both got their way");
    }
    let _ = [r, terminal, master].map(close);
}

fn from_file(fd: i32) {
    let (r, w) = two();
    let mut at = 3;
    check_eq!(splice(fd, Some(&mut at), w, None, 4, 0), Ok(4), "from a place");
    check_eq!(at, 7, "which moves");
    holds(r, b"3456", "what was there");
    check_eq!(file::lseek(fd, 8, 0), Ok(8), "lseek");
    check_eq!(splice(fd, None, w, None, 100, 0), Ok(2), "from the position to the end");
    check_eq!(splice(fd, None, w, None, 100, 0), Ok(0), "at the end");
    // The pipe has the file's page itself.
    check_eq!(file::lseek(fd, 8, 0), Ok(8), "lseek");
    check_eq!(file::write(fd, b"ab"), Ok(2), "write");
    holds(r, b"ab", "what is there now");
    // What is written behind it does not go into the file.
    at = 0;
    check_eq!(splice(fd, Some(&mut at), w, None, 2, 0), Ok(2), "splice");
    check_eq!(file::write(w, b"xy"), Ok(2), "write behind");
    holds(r, b"01xy", "both");
    at = 0;
    check_eq!(splice(fd, Some(&mut at), w, None, 10, 0), Ok(10), "the file");
    holds(r, b"01234567", "is as it was");
    holds(r, b"ab", "is as it was");
    // A hole is zeroes, and more than fits is cut.
    // SAFETY: no memory is involved.
    check_eq!(unsafe { syscall!(__NR_ftruncate, fd, 100 * PAGE) }, Ok(0), "ftruncate");
    at = 1 << 12;
    check_eq!(
        splice(fd, Some(&mut at), w, None, 50 * PAGE, 0),
        Ok(16 * PAGE),
        "as much as there is room for"
    );
    check_eq!(splice(fd, Some(&mut at), w, None, 1, NONBLOCK), Err(Errno(EAGAIN)), "no room");
    holds(r, &[0; 8], "zeroes");
    // SAFETY: no memory is involved.
    check_eq!(unsafe { syscall!(__NR_ftruncate, fd, 10) }, Ok(0), "ftruncate");
    let zero = file::open(c"/dev/zero", O_RDWR, 0).unwrap_or(-1);
    // SAFETY: no memory is involved.
    let from_zero = |len: usize| unsafe { syscall!(__NR_sendfile, fd, zero, 0, len) };
    check_eq!((from_zero(8), from_zero(0)), (Err(Errno(EINVAL)), Ok(0)), "a device without splice_read");
    let _ = [r, w, zero].map(close);
}

fn to_file(fd: i32) {
    let (r, w) = two();
    check_eq!(file::write(w, b"ABCDEF"), Ok(6), "write");
    let mut at = 2;
    check_eq!(splice(r, None, fd, Some(&mut at), 4, 0), Ok(4), "to a place");
    check_eq!(at, 6, "which moves");
    check_eq!(file::lseek(fd, 8, 0), Ok(8), "lseek");
    check_eq!(splice(r, None, fd, None, 100, 0), Ok(2), "to the position");
    let mut b = [0; 10];
    check_eq!(file::lseek(fd, 0, 0), Ok(0), "lseek");
    check_eq!((file::read(fd, &mut b), &b), (Ok(10), b"01ABCD67EF"), "what was written");
    check_eq!(splice(r, None, fd, None, 1, NONBLOCK), Err(Errno(EAGAIN)), "nothing to write");
    let null = file::open(c"/dev/null", O_WRONLY, 0).unwrap_or(-1);
    check_eq!(file::write(w, b"ABCDEF"), Ok(6), "write");
    check_eq!(splice(r, None, null, None, 100, 0), Ok(6), "to nowhere");
    let _ = close(w);
    check_eq!(splice(r, None, null, None, 100, 0), Ok(0), "the end");
    let _ = [r, null].map(close);
}

fn between() {
    let ((r, w), (r2, w2)) = (two(), two());
    check_eq!(file::write(w, b"abcdef"), Ok(6), "write");
    check_eq!(splice(r, None, w2, None, 4, 0), Ok(4), "a part");
    check_eq!(splice(r, None, w2, None, 100, 0), Ok(2), "the rest");
    holds(r2, b"abcdef", "arrived");
    check_eq!(splice(r, None, w2, None, 4, NONBLOCK), Err(Errno(EAGAIN)), "none left");
    check_eq!(splice(r, None, w, None, 4, 0), Err(Errno(EINVAL)), "into itself");
    let mut at = 0;
    check_eq!(splice(r, Some(&mut at), w2, None, 4, 0), Err(Errno(ESPIPE)), "a place in a pipe");
    check_eq!(splice(r, None, w2, Some(&mut at), 4, 0), Err(Errno(ESPIPE)), "a place in a pipe");
    check_eq!(file::write(w, b"abc"), Ok(3), "write");
    let _ = close(r2);
    seen::clear();
    check_eq!(splice(r, None, w2, None, 4, 0), Err(Errno(EPIPE)), "nobody reads");
    check_eq!(seen::count(), 1, "SIGPIPE");
    let _ = close(w);
    holds(r, b"abc", "nothing is lost");
    let _ = [r, w2].map(close);
}

fn copies() {
    let ((r, w), (r2, w2)) = (two(), two());
    check_eq!(file::write(w, b"abcdef"), Ok(6), "write");
    check_eq!(tee(r, w2, 4, 0), Ok(4), "tee");
    check_eq!(file::write(w, b"gh"), Ok(2), "write");
    check_eq!(file::write(w2, b"XY"), Ok(2), "write");
    holds(r, b"abcdefgh", "still there");
    holds(r2, b"abcdXY", "and there");
    check_eq!(tee(r, w2, 4, NONBLOCK), Err(Errno(EAGAIN)), "nothing");
    check_eq!(tee(r, w, 4, 0), Err(Errno(EINVAL)), "into itself");
    check_eq!(tee(w, w2, 4, 0), Err(Errno(EBADF)), "from where nothing is read");
    check_eq!(tee(r, w2, 4, 16), Err(Errno(EINVAL)), "a flag");
    check_eq!(tee(99, 99, 0, 0), Ok(0), "nothing is asked for");
    let _ = close(w);
    check_eq!(tee(r, w2, 4, 0), Ok(0), "the end");
    let _ = [r, r2, w2].map(close);
}

fn waits() {
    let ((r, w), (r2, w2)) = (two(), two());
    let pid = child(|| {
        sleep_ms(20);
        i32::from(file::write(w, b"late") != Ok(4))
    });
    check_eq!(splice(r, None, w2, None, 100, 0), Ok(4), "waits for input");
    check_eq!(wait(pid), Ok(WaitStatus::exited(0)), "child");
    holds(r2, b"late", "input");
    for _ in 0..16 {
        check_eq!(file::write(w2, &[b'x'; PAGE]), Ok(PAGE), "fill");
    }
    check_eq!(file::write(w, b"more"), Ok(4), "write");
    let pid = child(|| {
        sleep_ms(20);
        i32::from(file::read_full(r2, &mut [0; PAGE]) != Ok(PAGE))
    });
    check_eq!(splice(r, None, w2, None, 100, 0), Ok(4), "waits for room");
    check_eq!(wait(pid), Ok(WaitStatus::exited(0)), "child");
    let _ = [r, w, r2, w2].map(close);
}

fn memory() {
    let (r, w) = two();
    let mut text = *b"abcdefgh";
    let at = from_mut(&mut text) as usize;
    check_eq!(vmsplice(w, &[[at, 3], [at + 5, 2]], 0), Ok(5), "memory");
    // SAFETY: the array is written behind the compiler's back, as another thread might.
    unsafe { from_mut(&mut text).cast::<u8>().write_volatile(b'Z') };
    holds(r, b"Zbcfg", "as it is now");
    check_eq!(file::write(w, b"hello"), Ok(5), "write");
    let mut room = [0u8; 8];
    let to = from_mut(&mut room) as usize;
    check_eq!(vmsplice(r, &[[to, 2], [to + 4, 4]], 0), Ok(5), "out of a pipe");
    check_eq!(&room, b"he\0\0llo\0", "into memory");
    check_eq!(vmsplice(r, &[[to, 2]], NONBLOCK), Err(Errno(EAGAIN)), "nothing");
    check_eq!(vmsplice(w, &[[8, 2]], 0), Err(Errno(EFAULT)), "no memory");
    check_eq!(vmsplice(w, &[[at, 2], [8, 2]], 0), Ok(2), "some memory");
    check_eq!(vmsplice(w, &[], 0), Ok(0), "none");
    check_eq!(vmsplice(w, &[[at, 2]], 16), Err(Errno(EINVAL)), "a flag");
    let _ = close(r);
    seen::clear();
    check_eq!(vmsplice(w, &[[at, 2]], 0), Err(Errno(EPIPE)), "nobody reads");
    check_eq!(seen::count(), 1, "SIGPIPE");
    let _ = close(w);
}

fn sent(fd: i32) {
    let (r, w) = pipe(O_NONBLOCK).unwrap_or((-1, -1));
    // SAFETY: no memory is involved.
    check_eq!(unsafe { syscall!(__NR_ftruncate, fd, 100 * PAGE) }, Ok(0), "ftruncate");
    let mut at = 0i64;
    // SAFETY: the kernel reads and writes the position.
    let mut send = || unsafe { syscall!(__NR_sendfile, w, fd, from_mut(&mut at), 50 * PAGE) };
    check_eq!(send(), Ok(16 * PAGE), "as much as there is room for");
    check_eq!(send(), Err(Errno(EAGAIN)), "no room");
    check_eq!(at, 16 * PAGE as i64, "the place");
    // SAFETY: no memory is involved.
    check_eq!(unsafe { syscall!(__NR_ftruncate, fd, 10) }, Ok(0), "ftruncate");
    let _ = [r, w].map(close);
}

fn refused(fd: i32) {
    let (r, w) = two();
    let event = eventfd(1, 0).unwrap_or(-1);
    let zero = file::open(c"/dev/zero", O_RDWR, 0).unwrap_or(-1);
    let mut at = -1;
    check_eq!(file::write(w, b"abc"), Ok(3), "write");
    for (from, to, why) in [
        (event, w, EINVAL),
        (zero, w, EINVAL),
        (r, zero, EINVAL),
        (r, event, EINVAL),
        (fd, zero, EINVAL),
        (w, fd, EBADF),
        (fd, r, EBADF),
        (99, w, EBADF),
        (fd, 99, EBADF),
    ] {
        check_eq!(splice(from, None, to, None, 8, 0), Err(Errno(why)), "from {from} to {to}");
    }
    check_eq!(splice(fd, Some(&mut at), w, None, 8, 0), Err(Errno(EINVAL)), "before the beginning");
    check_eq!(splice(fd, None, w, None, 8, 16), Err(Errno(EINVAL)), "a flag");
    check_eq!(splice(99, None, 99, None, 0, 16), Ok(0), "nothing is asked for");
    // SAFETY: the kernel refuses the address.
    let r2 = unsafe { syscall!(__NR_splice, fd, 8, w, 0, 8, 0) };
    check_eq!(r2, Err(Errno(EFAULT)), "a place that is not there");
    let _ = [r, w, event, zero].map(close);
}

fn flags(fd: i32) {
    let mut b = *b"12345678";
    let vec = [[from_mut(&mut b) as usize, 8]];
    let read = |fd: i32, at: i64, flags: u32| -> Result {
        // SAFETY: the kernel writes what the buffer names.
        unsafe { syscall!(__NR_preadv2, fd, vec.as_ptr(), 1, at, 0, flags) }
    };
    let write = |fd: i32, at: i64, flags: u32| -> Result {
        // SAFETY: the kernel reads what the buffer names.
        unsafe { syscall!(__NR_pwritev2, fd, vec.as_ptr(), 1, at, 0, flags) }
    };
    check_eq!(file::lseek(fd, 2, 0), Ok(2), "lseek");
    check_eq!(write(fd, 1, RWF_APPEND), Ok(8), "at the end, whatever the place");
    check_eq!(file::lseek(fd, 0, 1), Ok(2), "the position stays");
    check_eq!(write(fd, -1, RWF_APPEND), Ok(8), "at the end");
    check_eq!((file::lseek(fd, 0, 1), file::lseek(fd, 0, 2)), (Ok(26), Ok(26)), "the position is there");
    check_eq!(read(fd, 0, 1), Ok(8), "RWF_HIPRI");
    check_eq!(read(fd, 0, RWF_NOWAIT), Err(Errno(EOPNOTSUPP)), "RWF_NOWAIT");
    check_eq!(read(fd, 0, 32), Err(Errno(EOPNOTSUPP)), "an unknown flag");
    let event = eventfd(0, 0).unwrap_or(-1);
    check_eq!(read(event, -1, RWF_NOWAIT), Err(Errno(EAGAIN)), "does not wait");
    check_eq!(user::event::write_u64(event, 3), Ok(8), "write");
    check_eq!((read(event, -1, RWF_NOWAIT), b), (Ok(8), 3u64.to_ne_bytes()), "read");
    let (r, w) = two();
    check_eq!(read(r, -1, RWF_NOWAIT), Err(Errno(EOPNOTSUPP)), "a pipe");
    let random = file::open(c"/dev/urandom", 0, 0).unwrap_or(-1);
    check_eq!(read(random, -1, RWF_NOWAIT), Ok(8), "/dev/urandom");
    let _ = [event, r, w, random].map(close);
}
