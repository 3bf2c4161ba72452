// SPDX-License-Identifier: GPL-2.0-only
//! How an interrupted system call continues when no handler ran: `restart_syscall(2)`
//! (Linux 6.1, `include/linux/restart_block.h`, `kernel/signal.c`).

use crate::errno::{EINTR, ERESTART_RESTARTBLOCK, Errno, Result};
use crate::kernel::task::{Current, current};

/// Continues a call from what it had left in the block.
pub type RestartFn = fn([u64; 5]) -> Result<usize>;

/// A call that was interrupted, and whose remaining time is not what its
/// registers say any more.
#[derive(Clone, Copy)]
pub struct RestartBlock {
    /// What continues it.
    pub func: RestartFn,
    /// What that needs to know.
    pub args: [u64; 5],
}

impl RestartBlock {
    /// Nothing to restart.
    pub const NONE: Self = Self { func: do_no_restart_syscall, args: [0; 5] };
}

/// Nothing was interrupted, or a handler ran since.
fn do_no_restart_syscall(_: [u64; 5]) -> Result<usize> {
    Err(EINTR)
}

/// Leaves word of how to go on, and returns the error that leads there.
pub fn set_restart_fn(cur: &Current, func: RestartFn, args: [u64; 5]) -> Errno {
    *cur.sig.restart_block.lock() = RestartBlock { func, args };
    ERESTART_RESTARTBLOCK
}

/// `restart_syscall(2)`: never called by programs, only set up by the kernel.
pub fn sys_restart_syscall() -> Result<usize> {
    let b = *current().sig.restart_block.lock();
    (b.func)(b.args)
}
