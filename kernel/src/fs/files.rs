// SPDX-License-Identifier: GPL-2.0-only
//! placeholder
use alloc::sync::Arc;
/// Open files.
pub struct FilesStruct {}
impl FilesStruct {
    /// No open files.
    pub fn new() -> Arc<Self> {
        todo!()
    }
    /// A copy for `fork` without `CLONE_FILES`.
    pub fn fork(&self) -> Arc<Self> {
        todo!()
    }
}
/// Root, working directory, umask.
pub struct FsStruct {}
impl FsStruct {
    /// Root and working directory at the root of the initramfs.
    pub fn new() -> Arc<Self> {
        todo!()
    }
    /// A copy for `fork` without `CLONE_FS`.
    pub fn fork(&self) -> Arc<Self> {
        todo!()
    }
}
