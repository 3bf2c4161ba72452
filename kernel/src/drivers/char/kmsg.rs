// SPDX-License-Identifier: GPL-2.0-only
//! `/dev/kmsg`: the log as a device, over printk's [`KmsgUser`].

use crate::arch::x86::lib::usercopy::{copy_from_user, copy_to_user};
use crate::errno::{EINVAL, Result};
use crate::fs::file_table::{File, FileOps, POLLERR, POLLIN, POLLOUT, UserBuf};
use crate::kernel::printk::syslog::KmsgUser;

/// An open `/dev/kmsg`.
pub struct Kmsg(KmsgUser);

impl Kmsg {
    /// Starts at the oldest message.
    pub fn open() -> Self {
        Self(KmsgUser::open())
    }
}

impl FileOps for Kmsg {
    fn read(&self, f: &File, buf: UserBuf, _: u64) -> Result<usize> {
        let line = self.0.read(buf.len, f.nonblock())?;
        copy_to_user(buf.addr, &line)?;
        Ok(line.len())
    }
    fn write(&self, _: &File, buf: UserBuf, _: u64) -> Result<usize> {
        // One message a write (LOG_LINE_MAX).
        if buf.len > 1024 {
            return Err(EINVAL);
        }
        let mut b = [0u8; 1024];
        copy_from_user(&mut b[..buf.len], buf.addr)?;
        self.0.write(&b[..buf.len])
    }
    fn llseek(&self, _: &File, off: i64, whence: u32) -> Result<u64> {
        self.0.seek(off, whence).map(|n| n as u64)
    }
    fn poll(&self, _: &File) -> u32 {
        let (ready, lost) = self.0.poll();
        POLLOUT | if ready { POLLIN } else { 0 } | if lost { POLLERR } else { 0 }
    }
}
