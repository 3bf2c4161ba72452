// SPDX-License-Identifier: GPL-2.0-only
//! Helpers that file systems share (Linux 6.1, `fs/libfs.c`).

use crate::fs::inode::mode::*;

/// Takes one name of a directory.
pub type Emit<'a> = dyn FnMut(&[u8], u64, u32, u64) -> bool + 'a;

/// A directory being listed.
pub struct DirContext<'a> {
    /// Where to go on; names before it have been listed.
    pub pos: u64,
    /// Takes (name, inode number, type and permissions, position after it);
    /// returns false when it can take no more.
    pub emit: &'a mut Emit<'a>,
}

/// `d_type` of a directory entry for a file of this mode.
pub const fn dt_type(mode: u32) -> u8 {
    ((mode & S_IFMT) >> 12) as u8
}
