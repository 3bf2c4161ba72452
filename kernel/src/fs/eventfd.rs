// SPDX-License-Identifier: GPL-2.0-only
//! `eventfd(2)`: a counter to wait for (Linux 6.1, `fs/eventfd.c`).

use crate::errno::{EAGAIN, EFAULT, EINVAL, Result};
use crate::fs::anon_inodes::anon_inode_getfd;
use crate::fs::file_table::{Abilities, File, FileOps, RW_FLAGS, Seeking, poll};
use crate::fs::select::PollTable;
use crate::fs::seq_file::SeqFile;
use crate::kernel::wait::WaitQueue;
use crate::lib::iov_iter::IovIter;
use crate::locking::IrqLock;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};
use linux_raw_sys::general::{O_CLOEXEC, O_NONBLOCK, RWF_NOWAIT};

/// `EFD_SEMAPHORE`: a read takes one, not all.
const EFD_SEMAPHORE: u32 = 1;

static NEXT_ID: AtomicU32 = AtomicU32::new(0);

struct EventFd {
    count: IrqLock<u64>,
    wait: Arc<WaitQueue>,
    semaphore: bool,
    id: u32,
}

impl EventFd {
    /// Takes what a read gets, if there is anything.
    fn take(&self) -> Option<u64> {
        let mut count = self.count.lock();
        if *count == 0 {
            return None;
        }
        let n = if self.semaphore { 1 } else { *count };
        *count -= n;
        Some(n)
    }
    /// Adds `n` if there is room: the highest value is never reached.
    fn add(&self, n: u64) -> bool {
        let mut count = self.count.lock();
        let room = u64::MAX - *count > n;
        if room {
            *count += n;
        }
        room
    }
    /// Does something as soon as that is possible.
    fn when<T>(&self, nonblock: bool, mut attempt: impl FnMut(&Self) -> Option<T>) -> Result<T> {
        let mut done = attempt(self);
        if done.is_none() {
            if nonblock {
                return Err(EAGAIN);
            }
            self.wait.wait_event_interruptible(|| {
                done = attempt(self);
                done.is_some()
            })?;
        }
        done.ok_or(EAGAIN)
    }
}

impl FileOps for EventFd {
    fn abilities(&self) -> Abilities {
        Abilities {
            write_iter: false,
            rw_flags: RW_FLAGS | RWF_NOWAIT,
            seeking: Seeking::Ignored,
            ..Abilities::DEFAULT
        }
    }
    fn read(&self, f: &File, to: &mut IovIter<'_>, _: &mut u64) -> Result<usize> {
        if to.count() < size_of::<u64>() {
            return Err(EINVAL);
        }
        let n = self.when(f.nonblock() || to.flags() & RWF_NOWAIT != 0, Self::take)?;
        self.wait.wake_up_poll(poll::OUT);
        if to.copy_to(&n.to_ne_bytes()) == size_of::<u64>() { Ok(size_of::<u64>()) } else { Err(EFAULT) }
    }
    fn write(&self, f: &File, from: &mut IovIter<'_>, _: &mut u64) -> Result<usize> {
        if from.count() < size_of::<u64>() {
            return Err(EINVAL);
        }
        let mut n = [0; size_of::<u64>()];
        if from.copy_from(&mut n) < n.len() {
            return Err(EFAULT);
        }
        let n = u64::from_ne_bytes(n);
        if n == u64::MAX {
            return Err(EINVAL);
        }
        self.when(f.nonblock(), |e| e.add(n).then_some(()))?;
        self.wait.wake_up_poll(poll::IN);
        Ok(size_of::<u64>())
    }
    fn poll(&self, _: &File, table: &mut PollTable) -> Option<u32> {
        table.wait(&self.wait);
        let count = *self.count.lock();
        let readable = if count > 0 { poll::IN } else { 0 };
        let overflow = if count == u64::MAX { poll::ERR } else { 0 };
        let writable = if count < u64::MAX - 1 { poll::OUT } else { 0 };
        Some(readable | overflow | writable)
    }
    fn show_fdinfo(&self, _: &File, out: &mut SeqFile) {
        writeln!(out, "eventfd-count: {:16x}", *self.count.lock());
        writeln!(out, "eventfd-id: {}", self.id);
    }
}

/// `eventfd2(2)`.
pub fn sys_eventfd2(count: u32, flags: u32) -> Result<usize> {
    if flags & !(EFD_SEMAPHORE | O_CLOEXEC | O_NONBLOCK) != 0 {
        return Err(EINVAL);
    }
    let e = EventFd {
        count: IrqLock::new(count.into()),
        wait: Arc::default(),
        semaphore: flags & EFD_SEMAPHORE != 0,
        id: NEXT_ID.fetch_add(1, Relaxed),
    };
    anon_inode_getfd("[eventfd]", Arc::new(e), flags)
}

/// `eventfd(2)`.
pub fn sys_eventfd(count: u32) -> Result<usize> {
    sys_eventfd2(count, 0)
}
