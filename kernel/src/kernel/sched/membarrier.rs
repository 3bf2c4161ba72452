// SPDX-License-Identifier: GPL-2.0-only
//! `membarrier(2)` (Linux 6.1, `kernel/sched/membarrier.c`).
//!
//! On one CPU every other thread has seen everything when the call returns: it was not running
//! meanwhile. What is left are the rules: who asks for the fast kinds has to register. Linux does
//! not even restart restartable sequences then: a thread in one was preempted to get here.

use crate::errno::{EFAULT, EINVAL, EPERM, Result};
use crate::kernel::task::current;
use core::sync::atomic::Ordering::Relaxed;

const QUERY: u32 = 0;
const GLOBAL: u32 = 1;
const GLOBAL_EXPEDITED: u32 = 1 << 1;
const REGISTER_GLOBAL_EXPEDITED: u32 = 1 << 2;
const PRIVATE_EXPEDITED: u32 = 1 << 3;
const REGISTER_PRIVATE_EXPEDITED: u32 = 1 << 4;
const PRIVATE_EXPEDITED_SYNC_CORE: u32 = 1 << 5;
const REGISTER_PRIVATE_EXPEDITED_SYNC_CORE: u32 = 1 << 6;
const PRIVATE_EXPEDITED_RSEQ: u32 = 1 << 7;
const REGISTER_PRIVATE_EXPEDITED_RSEQ: u32 = 1 << 8;
/// All of them.
const ALL: u32 = (1 << 9) - 1;
/// Only one CPU is meant.
const FLAG_CPU: u32 = 1;

/// `membarrier(2)`.
pub fn sys_membarrier(command: u32, flags: u32, _cpu: i32) -> Result<usize> {
    if flags != 0 && (command != PRIVATE_EXPEDITED_RSEQ || flags != FLAG_CPU) {
        return Err(EINVAL);
    }
    let mm = current().get_mm().ok_or(EFAULT)?;
    match command {
        QUERY => return Ok(ALL as usize),
        GLOBAL | GLOBAL_EXPEDITED => {}
        REGISTER_GLOBAL_EXPEDITED
        | REGISTER_PRIVATE_EXPEDITED
        | REGISTER_PRIVATE_EXPEDITED_SYNC_CORE
        | REGISTER_PRIVATE_EXPEDITED_RSEQ => {
            mm.membarrier.fetch_or(command, Relaxed);
        }
        PRIVATE_EXPEDITED | PRIVATE_EXPEDITED_SYNC_CORE | PRIVATE_EXPEDITED_RSEQ => {
            // The command to register is the next bit.
            if mm.membarrier.load(Relaxed) & command << 1 == 0 {
                return Err(EPERM);
            }
        }
        _ => return Err(EINVAL),
    }
    Ok(0)
}
