// SPDX-License-Identifier: GPL-2.0-only
//! `ioctl(2)` (Linux 6.1, `fs/ioctl.c`).

use crate::arch::x86::lib::usercopy::{get_user, put_user};
use crate::errno::{ENOIOCTLCMD, ENOTTY, EOPNOTSUPP, Result};
use crate::fs::file::{current_files, fget};
use crate::fs::file_table::FASYNC;
use crate::fs::inode::mode::{S_IFDIR, S_IFLNK, S_IFREG};
use crate::fs::stat::{blksize, blocks};
use linux_raw_sys::general::O_NONBLOCK;

/// Bytes that can be read.
pub const FIONREAD: u32 = 0x541b;
const FIONBIO: u32 = 0x5421;
const FIONCLEX: u32 = 0x5450;
const FIOCLEX: u32 = 0x5451;
const FIOASYNC: u32 = 0x5452;
const FIGETBSZ: u32 = 2;
const FIOQSIZE: u32 = 0x5460;
const FS_IOC_FIEMAP: u32 = 0xc020_660b;

/// `ioctl(2)`: what is the same for all files, then the file's own.
pub fn sys_ioctl(fd: i32, cmd: u32, arg: usize) -> Result<usize> {
    let f = fget(fd)?;
    match cmd {
        FIOCLEX | FIONCLEX => current_files().set_cloexec(fd, cmd == FIOCLEX)?,
        FIONBIO => {
            let on: i32 = get_user(arg)?;
            let flags = f.flags() & !O_NONBLOCK;
            f.set_flags(if on != 0 { flags | O_NONBLOCK } else { flags });
        }
        FIOASYNC => {
            let on = get_user::<i32>(arg)? != 0;
            if on != (f.flags() & FASYNC != 0) {
                f.op.fasync(&f, fd, on).ok_or(ENOTTY)??;
            }
        }
        FIGETBSZ => put_user(arg, &blksize(&f.inode))?,
        FIOQSIZE if matches!(f.inode.kind(), S_IFDIR | S_IFREG | S_IFLNK) => {
            put_user(arg, &(blocks(&f.inode) * 512))?;
        }
        // No file is on a disk.
        FS_IOC_FIEMAP => return Err(EOPNOTSUPP),
        FIONREAD if f.inode.is_reg() => {
            let left = f.inode.ops.size().saturating_sub(*f.pos.lock());
            put_user(arg, &(left as i32))?;
        }
        _ => return f.op.ioctl(&f, cmd, arg).map_err(|e| if e == ENOIOCTLCMD { ENOTTY } else { e }),
    }
    Ok(0)
}
