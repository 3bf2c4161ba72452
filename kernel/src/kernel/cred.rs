// SPDX-License-Identifier: GPL-2.0-only
//! Credentials (Linux 6.1, `kernel/cred.c`): who a task acts as.

use alloc::sync::Arc;

/// User and group ids.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct Cred {
    pub uid: u32,
    pub euid: u32,
    pub suid: u32,
    pub gid: u32,
    pub egid: u32,
    pub sgid: u32,
}

impl Cred {
    /// The first process's: root.
    pub fn root() -> Arc<Self> {
        Arc::new(Self::default())
    }
}
