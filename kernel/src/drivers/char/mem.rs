// SPDX-License-Identifier: GPL-2.0-only
//! `/dev/null`, `zero`, `full`, `random`, `urandom`, `kmsg` (Linux 6.1, `drivers/char/mem.c`).

use super::{kmsg, random};
use crate::errno::{EFAULT, ENOSPC, Result};
use crate::fs::char_dev::Device;
use crate::fs::file_table::{Abilities, File, FileOps, Mapping, RW_FLAGS, Seeking, poll};
use crate::fs::inode::Dev;
use crate::fs::select::PollTable;
use crate::kernel::sched::cond_resched;
use crate::kernel::signal::signal_pending;
use crate::kernel::task::current;
use crate::lib::iov_iter::IovIter;
use alloc::sync::Arc;
use linux_raw_sys::general::RWF_NOWAIT;

/// The devices of memory.
pub const MEM_MAJOR: u32 = 1;

/// The devices of major 1, with their permissions.
pub static DEVICES: &[Device] = &[
    Device { name: "null", dev: Dev::new(MEM_MAJOR, 3), mode: 0o666, open: |_, _| Ok(Arc::new(Null)) },
    Device { name: "zero", dev: Dev::new(MEM_MAJOR, 5), mode: 0o666, open: |_, _| Ok(Arc::new(Zero)) },
    Device { name: "full", dev: Dev::new(MEM_MAJOR, 7), mode: 0o666, open: |_, _| Ok(Arc::new(Full)) },
    Device {
        name: "random",
        dev: Dev::new(MEM_MAJOR, 8),
        mode: 0o666,
        open: |_, _| Ok(Arc::new(Random { waits: true })),
    },
    Device {
        name: "urandom",
        dev: Dev::new(MEM_MAJOR, 9),
        mode: 0o666,
        open: |_, _| Ok(Arc::new(Random { waits: false })),
    },
    Device { name: "kmsg", dev: Dev::new(MEM_MAJOR, 11), mode: 0o644, open: kmsg::open },
];

fn read_zeroes(to: &mut IovIter<'_>) -> Result<usize> {
    static ZEROES: [u8; 1024] = [0; 1024];
    let mut done = 0;
    while to.count() != 0 {
        let want = to.count().min(ZEROES.len());
        let n = to.copy_to(&ZEROES[..want]);
        done += n;
        if n < want {
            return if done == 0 { Err(EFAULT) } else { Ok(done) };
        }
        if to.count() != 0 && signal_pending(&current()) {
            break;
        }
        cond_resched();
    }
    Ok(done)
}

/// Takes everything, and keeps nothing.
fn swallow(from: &mut IovIter<'_>) -> Result<usize> {
    let n = from.count();
    from.truncate(0);
    Ok(n)
}

struct Null;
impl FileOps for Null {
    fn abilities(&self) -> Abilities {
        Abilities {
            splice_write: true,
            rw_flags: RW_FLAGS | RWF_NOWAIT,
            seeking: Seeking::Rewinds,
            ..Abilities::DEFAULT
        }
    }
    fn read(&self, _: &File, _: &mut IovIter<'_>, _: &mut u64) -> Result<usize> {
        Ok(0)
    }
    fn write(&self, _: &File, from: &mut IovIter<'_>, _: &mut u64) -> Result<usize> {
        swallow(from)
    }
}

struct Zero;
impl FileOps for Zero {
    fn abilities(&self) -> Abilities {
        Abilities { rw_flags: RW_FLAGS | RWF_NOWAIT, seeking: Seeking::Rewinds, ..Abilities::DEFAULT }
    }
    fn read(&self, _: &File, to: &mut IovIter<'_>, _: &mut u64) -> Result<usize> {
        read_zeroes(to)
    }
    fn write(&self, _: &File, from: &mut IovIter<'_>, _: &mut u64) -> Result<usize> {
        swallow(from)
    }
    fn mmap(&self, _: &File) -> Result<Mapping> {
        Ok(Mapping::Zero)
    }
}

struct Full;
impl FileOps for Full {
    fn abilities(&self) -> Abilities {
        Abilities { seeking: Seeking::Rewinds, ..Abilities::DEFAULT }
    }
    fn read(&self, _: &File, to: &mut IovIter<'_>, _: &mut u64) -> Result<usize> {
        read_zeroes(to)
    }
    fn write(&self, _: &File, _: &mut IovIter<'_>, _: &mut u64) -> Result<usize> {
        Err(ENOSPC)
    }
}

/// `/dev/random` and `/dev/urandom`; only the first is worth waiting for.
struct Random {
    waits: bool,
}
impl FileOps for Random {
    /// The position stays at 0 (`noop_llseek`, but with `pread`).
    fn abilities(&self) -> Abilities {
        Abilities {
            splice_read: true,
            splice_write: true,
            rw_flags: RW_FLAGS | RWF_NOWAIT,
            seeking: Seeking::Rewinds,
            ..Abilities::DEFAULT
        }
    }
    fn read(&self, _: &File, to: &mut IovIter<'_>, _: &mut u64) -> Result<usize> {
        random::fill(to)
    }
    fn write(&self, _: &File, from: &mut IovIter<'_>, _: &mut u64) -> Result<usize> {
        swallow(from)
    }
    /// What there is never runs out (`random_poll`).
    fn poll(&self, _: &File, _: &mut PollTable) -> Option<u32> {
        self.waits.then_some(poll::IN | poll::RDNORM)
    }
}
