// SPDX-License-Identifier: GPL-2.0-only
//! Futexes (Linux 6.1, `kernel/futex/`): waiting for a word of user memory to change.
//!
//! | file | what |
//! |---|---|
//! | [`core`] | which word it is, and who waits for it |
//! | [`waitwake`] | waiting, waking |
//! | [`requeue`] | waiting for another word instead |
//! | [`pi`] | locks whose owner the kernel knows |
//! | [`robust`] | locks of threads that died |
//! | [`syscalls`] | `futex(2)`, `futex_waitv(2)` |

mod core;
mod pi;
mod requeue;
mod robust;
mod syscalls;
mod waitwake;

pub use pi::{TaskFutexes, adjust_pi};
pub use robust::{
    clear_tid, compat_sys_get_robust_list, compat_sys_set_robust_list, futex_exec_release,
    futex_exit_release, sys_get_robust_list, sys_set_robust_list,
};
pub use syscalls::{futex, sys_futex, sys_futex_waitv};
