// SPDX-License-Identifier: GPL-2.0-only
//! `/proc/kmsg`: what `syslog(2)` reads, as a file (Linux 6.1, `fs/proc/kmsg.c`). All who read it,
//! and who call `syslog`, read on where the last one stopped.

use crate::errno::{EAGAIN, EIO, EPERM, Result};
use crate::fs::file_table::{Abilities, File, FileOps, poll};
use crate::fs::inode::{Inode, InodeOps};
use crate::fs::select::PollTable;
use crate::kernel::printk::syslog::{log_wait, may_take_log, size_unread, syslog_print};
use crate::lib::iov_iter::IovIter;
use alloc::sync::Arc;

/// The file, not yet opened.
pub struct KmsgFile;

impl InodeOps for KmsgFile {
    /// Whether one may is asked when it is opened, and not again.
    fn open(&self, _: &Arc<Inode>, _: u32) -> Result<Arc<dyn FileOps>> {
        if may_take_log() { Ok(Arc::new(OpenKmsg)) } else { Err(EPERM) }
    }
}

struct OpenKmsg;

impl FileOps for OpenKmsg {
    fn abilities(&self) -> Abilities {
        Abilities::NO_ITER
    }
    fn read(&self, f: &File, to: &mut IovIter<'_>, _: &mut u64) -> Result<usize> {
        if f.nonblock() && size_unread() == 0 {
            return Err(EAGAIN);
        }
        if to.count() == 0 { Ok(0) } else { syslog_print(to) }
    }
    /// As all files that are registered have it (`proc_reg_write`).
    fn write(&self, _: &File, _: &mut IovIter<'_>, _: &mut u64) -> Result<usize> {
        Err(EIO)
    }
    fn poll(&self, _: &File, table: &mut PollTable) -> Option<u32> {
        table.wait_static(log_wait());
        Some(if size_unread() == 0 { 0 } else { poll::IN | poll::RDNORM })
    }
}
