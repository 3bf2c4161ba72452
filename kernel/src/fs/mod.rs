// SPDX-License-Identifier: GPL-2.0-only
//! Linux's `fs/`.
mod files;
pub use files::{FilesStruct, FsStruct};
