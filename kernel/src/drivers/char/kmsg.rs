// SPDX-License-Identifier: GPL-2.0-only
//! `/dev/kmsg`: the log as a device, over printk's [`KmsgUser`].

use crate::errno::{EFAULT, EINVAL, EPERM, Result};
use crate::fs::file_table::{Abilities, File, FileOps, poll};
use crate::fs::inode::Dev;
use crate::fs::select::PollTable;
use crate::kernel::printk::ringbuffer::LOG_LINE_MAX;
use crate::kernel::printk::syslog::{KmsgUser, may_read_log};
use crate::kernel::printk::{DevKmsg, devkmsg};
use crate::lib::iov_iter::IovIter;
use alloc::sync::Arc;
use linux_raw_sys::general::{O_ACCMODE, O_WRONLY};

/// An open `/dev/kmsg`.
struct Kmsg(KmsgUser);

/// Opens it at the oldest message. Who may not read the log may still write to it
/// (Linux 6.1, `kernel/printk/printk.c`, `devkmsg_open`).
pub fn open(_: Dev, flags: u32) -> Result<Arc<dyn FileOps>> {
    if devkmsg() == DevKmsg::Off || flags & O_ACCMODE != O_WRONLY && !may_read_log() {
        return Err(EPERM);
    }
    Ok(Arc::new(Kmsg(KmsgUser::open())))
}

impl FileOps for Kmsg {
    fn abilities(&self) -> Abilities {
        Abilities { read_iter: false, ..Abilities::DEFAULT }
    }
    fn read(&self, f: &File, to: &mut IovIter<'_>, _: &mut u64) -> Result<usize> {
        let line = self.0.read(to.count(), f.nonblock())?;
        if to.copy_to(&line) == line.len() { Ok(line.len()) } else { Err(EFAULT) }
    }
    fn write(&self, _: &File, from: &mut IovIter<'_>, _: &mut u64) -> Result<usize> {
        // One message a write.
        if from.count() > LOG_LINE_MAX {
            return Err(EINVAL);
        }
        self.0.write(&from.take_all(LOG_LINE_MAX)?)
    }
    fn release(&self, _: &File) {
        self.0.release();
    }
    fn seek(&self, _: &File, offset: i64, whence: u32) -> Result<u64> {
        self.0.seek(offset, whence).map(|n| n as u64)
    }
    fn poll(&self, _: &File, table: &mut PollTable) -> Option<u32> {
        table.wait_static(crate::kernel::printk::syslog::log_wait());
        let (ready, lost) = self.0.poll();
        let readable = if ready { poll::IN | poll::RDNORM } else { 0 };
        Some(readable | if lost { poll::ERR | poll::PRI } else { 0 })
    }
}
