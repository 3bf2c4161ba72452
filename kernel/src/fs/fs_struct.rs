// SPDX-License-Identifier: GPL-2.0-only
//! Root, working directory and umask (Linux 6.1, `fs/fs_struct.c`).

use crate::fs::namespace::{Path, rootfs};
use crate::locking::SpinLock;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, Ordering};

/// What path names start from.
pub struct FsStruct {
    root: SpinLock<Path>,
    pwd: SpinLock<Path>,
    umask: AtomicU32,
}

impl FsStruct {
    /// Root and working directory at the root of the initramfs.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            root: SpinLock::new(rootfs()),
            pwd: SpinLock::new(rootfs()),
            umask: AtomicU32::new(0o022),
        })
    }
    /// A copy for `fork` without `CLONE_FS`.
    pub fn fork(&self) -> Arc<Self> {
        Arc::new(Self {
            root: SpinLock::new(self.root()),
            pwd: SpinLock::new(self.pwd()),
            umask: AtomicU32::new(self.umask()),
        })
    }
    /// `/`.
    pub fn root(&self) -> Path {
        self.root.lock().clone()
    }
    /// The working directory.
    pub fn pwd(&self) -> Path {
        self.pwd.lock().clone()
    }
    /// Changes `/`.
    pub fn set_root(&self, p: Path) {
        *self.root.lock() = p;
    }
    /// Changes the working directory.
    pub fn set_pwd(&self, p: Path) {
        *self.pwd.lock() = p;
    }
    /// Permissions that new files do not get.
    pub fn umask(&self) -> u32 {
        self.umask.load(Ordering::Relaxed)
    }
    /// Sets the umask, returning the old one.
    pub fn set_umask(&self, m: u32) -> u32 {
        self.umask.swap(m & 0o777, Ordering::Relaxed)
    }
}
