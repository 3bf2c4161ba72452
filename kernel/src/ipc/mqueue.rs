// SPDX-License-Identifier: GPL-2.0-only
//! POSIX message queues (Linux 6.1, `ipc/mqueue.c`).
//!
//! | file | what |
//! |---|---|
//! | [`queue`] | messages by priority, who waits for them, who is told |
//! | [`fs`] | queues as files: `mount -t mqueue` |
//! | [`syscalls`] | `mq_open` and its kin |

pub mod fs;
pub mod queue;
pub mod syscalls;
