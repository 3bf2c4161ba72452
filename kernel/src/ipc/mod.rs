// SPDX-License-Identifier: GPL-2.0-only
//! System V's and POSIX's ways for processes to talk to each other (Linux 6.1, `ipc/`).
//!
//! | file | what |
//! |---|---|
//! | [`util`] | what System V's share: keys, ids, permissions |
//! | [`shm`] | memory |
//! | [`sem`] | semaphores |
//! | [`msg`] | messages |
//! | [`mqueue`] | messages, as POSIX has them |
//! | [`procfs`] | System V's as text: `/proc/sysvipc` |
//!
//! One lock guards all objects of a kind. It is not held where user memory is touched, nor where one
//! sleeps. An address space's lock is taken before that of shared memory.

pub mod mqueue;
pub mod msg;
pub mod procfs;
pub mod sem;
pub mod shm;
pub mod util;
