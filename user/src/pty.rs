// SPDX-License-Identifier: GPL-2.0-only
//! Pseudoterminals, and what terminals are told and asked.

use crate::syscall::Result;
use crate::text::Text;
use crate::{check_eq, file, syscall};
use core::ptr::{from_mut, from_ref};
use linux_raw_sys::general as abi;
use linux_raw_sys::ioctl as io;

/// How both ends are opened: nobody waits, and nobody's terminal they become.
pub const FLAGS: u32 = file::O_RDWR | abi::O_NOCTTY | abi::O_NONBLOCK;

/// Runs `f` with a `devpts` at `/dev/pts`.
pub fn with_devpts(f: impl FnOnce()) {
    let _ = file::mkdir(c"/dev/pts", 0o755);
    check_eq!(file::mount(c"devpts", c"/dev/pts"), Ok(0), "mount");
    f();
    // SAFETY: it is a path; the mount goes once nobody has anything of it.
    let _ = unsafe { syscall!(__NR_umount2, c"/dev/pts".as_ptr(), abi::MNT_DETACH) };
}

/// `ioctl(2)`, with what the command takes.
pub fn ioctl(fd: i32, cmd: u32, arg: usize) -> Result {
    // SAFETY: callers pass what the command takes.
    unsafe { syscall!(__NR_ioctl, fd, cmd, arg) }
}

/// An `int` that a command gives.
pub fn get(fd: i32, cmd: u32) -> Result<i32> {
    let mut n = -1i32;
    ioctl(fd, cmd, from_mut(&mut n).addr()).map(|_| n)
}

/// An `int` that a command takes.
pub fn put(fd: i32, cmd: u32, n: i32) -> Result {
    ioctl(fd, cmd, from_ref(&n).addr())
}

/// A session of one's own.
pub fn setsid() {
    // SAFETY: no memory is involved.
    let _ = unsafe { syscall!(__NR_setsid) };
}

/// A terminal, by its number.
pub fn open_slave(number: i32, flags: u32) -> Result<i32> {
    use core::fmt::Write;
    let mut path = Text::<32>::new();
    let _ = write!(path, "/dev/pts/{number}\0");
    let path = core::ffi::CStr::from_bytes_until_nul(path.as_str().as_bytes()).unwrap_or(c"/");
    file::open(path, flags, 0)
}

/// A master, unlocked, and its number.
pub fn master() -> (i32, i32) {
    let m = file::open(c"/dev/ptmx", FLAGS, 0).unwrap_or(-1);
    check_eq!(put(m, io::TIOCSPTLCK, 0), Ok(0), "unlock");
    (m, get(m, io::TIOCGPTN).unwrap_or(-1))
}

/// A master and its terminal.
pub fn pair() -> (i32, i32) {
    let (m, number) = master();
    (m, open_slave(number, FLAGS).unwrap_or(-1))
}
