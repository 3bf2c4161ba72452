// SPDX-License-Identifier: GPL-2.0-only
//! A process's root, working directory and umask (Linux 6.1, `fs/fs_struct.c`).

use crate::errno::Result;
use crate::fs::namespace::{Path, rootfs};
use crate::kernel::task::current;
use crate::locking::SpinLock;
use alloc::sync::Arc;

#[derive(Clone)]
struct Inner {
    /// `None`: the first mount, which the boot task need not have seen yet.
    root: Option<Path>,
    pwd: Option<Path>,
    umask: u32,
}

/// Root, working directory, umask.
pub struct FsStruct(SpinLock<Inner>);

impl FsStruct {
    /// Root and working directory at the root of the initramfs.
    pub fn new() -> Arc<Self> {
        Arc::new(Self(SpinLock::new(Inner { root: None, pwd: None, umask: 0o022 })))
    }
    /// A copy for `fork` without `CLONE_FS`.
    pub fn fork(&self) -> Arc<Self> {
        Arc::new(Self(SpinLock::new(self.0.lock().clone())))
    }
    /// The root directory.
    pub fn root(&self) -> Path {
        let p = self.0.lock().root.clone();
        p.unwrap_or_else(rootfs)
    }
    /// The working directory.
    pub fn pwd(&self) -> Path {
        let p = self.0.lock().pwd.clone();
        p.unwrap_or_else(rootfs)
    }
    /// Changes the root directory.
    pub fn set_root(&self, p: Path) {
        let old = self.0.lock().root.replace(p);
        drop(old);
    }
    /// Changes the working directory.
    pub fn set_pwd(&self, p: Path) {
        let old = self.0.lock().pwd.replace(p);
        drop(old);
    }
    /// Permissions that new files do not get.
    pub fn umask(&self) -> u32 {
        self.0.lock().umask
    }
}

/// The current task's.
pub fn current_fs() -> Arc<FsStruct> {
    current().fs.lock().clone().unwrap_or_else(FsStruct::new)
}

/// `umask(2)`.
pub fn sys_umask(mask: u32) -> Result<usize> {
    let fs = current_fs();
    Ok(core::mem::replace(&mut fs.0.lock().umask, mask & 0o777) as usize)
}
