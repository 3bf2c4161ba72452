// SPDX-License-Identifier: GPL-2.0-only
//! `fcntl` and `ioctl` (Linux 6.1, `fs/fcntl.c`, `fs/ioctl.c`).

use crate::arch::x86::lib::usercopy::{get_user, put_user};
use crate::errno::{EINVAL, ENOTTY, Result};
use crate::fs::file::{current_files, fget};
use crate::kernel::signal::rlimit;
use crate::kernel::task::current;
use linux_raw_sys::general as abi;
use linux_raw_sys::ioctl as io;

/// `fcntl(2)`: descriptors and flags; record locks always succeed, as there is nobody
/// on another machine.
pub fn sys_fcntl(fd: i32, cmd: u32, arg: usize) -> Result<usize> {
    let files = current_files()?;
    let f = files.get(fd)?;
    match cmd {
        abi::F_DUPFD | abi::F_DUPFD_CLOEXEC => {
            if arg as u64 >= current().signal.rlimit_cur(rlimit::NOFILE) {
                return Err(EINVAL);
            }
            files.install(f, cmd == abi::F_DUPFD_CLOEXEC, arg).map(|n| n as usize)
        }
        abi::F_GETFD => Ok(usize::from(files.cloexec(fd)?)),
        abi::F_SETFD => files.set_cloexec(fd, arg & abi::FD_CLOEXEC as usize != 0).map(|()| 0),
        abi::F_GETFL => Ok((f.flags() & !abi::O_CLOEXEC) as usize),
        abi::F_SETFL => {
            f.set_flags(arg as u32);
            Ok(0)
        }
        abi::F_GETPIPE_SZ => Ok(65536),
        _ => Err(EINVAL),
    }
}

/// `ioctl(2)`.
pub fn sys_ioctl(fd: i32, cmd: u32, arg: usize) -> Result<usize> {
    let f = fget(fd)?;
    match cmd {
        io::FIOCLEX => current_files()?.set_cloexec(fd, true).map(|()| 0),
        io::FIONCLEX => current_files()?.set_cloexec(fd, false).map(|()| 0),
        io::FIONBIO => {
            let on = get_user::<i32>(arg)? != 0;
            let flags = f.flags() & !abi::O_NONBLOCK;
            f.set_flags(if on { flags | abi::O_NONBLOCK } else { flags });
            Ok(0)
        }
        io::FIONREAD if f.path.dentry.inode.is_reg() => {
            let left = f.path.dentry.inode.ops.size().saturating_sub(*f.pos.lock());
            put_user(arg, &(left as i32))?;
            Ok(0)
        }
        _ => f.ops.ioctl(&f, cmd, arg).map_err(|e| if e == crate::errno::ENOIOCTLCMD { ENOTTY } else { e }),
    }
}
