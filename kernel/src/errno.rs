// SPDX-License-Identifier: GPL-2.0-only
//! Error numbers, as system calls return them.
//!
//! Values come from `linux-raw-sys`; the in-kernel restart codes (512 and up)
//! are those of Linux 6.1, `include/linux/errno.h`, and never reach user mode.

use core::fmt;
use linux_raw_sys::errno as raw;

/// A positive Linux error number.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Errno(pub u16);

/// What fallible kernel functions return.
pub type Result<T = (), E = Errno> = core::result::Result<T, E>;

macro_rules! errnos {
    ($($name:ident),* $(,)?) => {
        $(#[doc = concat!("Linux's `", stringify!($name), "`.")]
        pub const $name: Errno = Errno(raw::$name as u16);)*

        impl fmt::Debug for Errno {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match *self {
                    $($name => f.write_str(stringify!($name)),)*
                    Errno(n) => write!(f, "errno {n}"),
                }
            }
        }
    };
}

errnos! {
    EPERM, ENOENT, ESRCH, EINTR, EIO, ENXIO, E2BIG, ENOEXEC, EBADF, ECHILD, EAGAIN, ENOMEM,
    EACCES, EFAULT, ENOTBLK, EBUSY, EEXIST, EXDEV, ENODEV, ENOTDIR, EISDIR, EINVAL, ENFILE,
    EMFILE, ENOTTY, ETXTBSY, EFBIG, ENOSPC, ESPIPE, EROFS, EMLINK, EPIPE, EDOM, ERANGE,
    EDEADLK, ENOLCK, ENAMETOOLONG, ENOSYS, ENOTEMPTY, ELOOP, ENODATA, ETIME, EOVERFLOW, ELIBBAD,
    EOPNOTSUPP, ETIMEDOUT, ECANCELED, EILSEQ, ENOMSG, EIDRM, EMSGSIZE, ENOTSOCK,
}

/// Restart the system call if the signal's handler has `SA_RESTART`, or if none runs; else `EINTR`.
pub const ERESTARTSYS: Errno = Errno(512);
/// Restart the system call whatever handler ran.
pub const ERESTARTNOINTR: Errno = Errno(513);
/// Restart only if no handler ran, else `EINTR`.
pub const ERESTARTNOHAND: Errno = Errno(514);
/// No such ioctl on this device (becomes `ENOTTY`).
pub const ENOIOCTLCMD: Errno = Errno(515);
/// Restart through `restart_syscall(2)` if no handler ran, else `EINTR`.
pub const ERESTART_RESTARTBLOCK: Errno = Errno(516);

impl Errno {
    /// The value in RAX: `-errno`.
    pub const fn as_ret(self) -> i64 {
        -(self.0 as i64)
    }
}

/// Turns a syscall's result into the value for RAX.
pub fn to_ret(r: Result<usize>) -> i64 {
    match r {
        Ok(v) => v as i64,
        Err(e) => e.as_ret(),
    }
}
