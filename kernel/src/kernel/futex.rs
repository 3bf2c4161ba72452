// SPDX-License-Identifier: GPL-2.0-only
//! Futexes (Linux 6.1, `kernel/futex/`): waiting for a word of user memory to change.
//!
//! | file | what |
//! |---|---|
//! | [`core`] | which word it is, and who waits for it |
//! | [`waitwake`] | waiting, waking, waiting for another word |
//! | [`robust`] | locks of threads that died |
//! | [`syscalls`] | `futex(2)` |

mod core;
mod robust;
mod syscalls;
mod waitwake;

pub use robust::{clear_tid, exit_robust_list, sys_get_robust_list, sys_set_robust_list};
pub use syscalls::{futex, sys_futex};
