// SPDX-License-Identifier: GPL-2.0-only
//! Character devices: from a node's number to its driver (Linux 6.1, `fs/char_dev.c`).

use crate::drivers;
use crate::errno::{ENXIO, Result};
use crate::fs::file_table::FileOps;
use crate::fs::inode::{Inode, InodeOps};
use alloc::sync::Arc;

/// A device node.
pub struct CharDev;

impl InodeOps for CharDev {
    fn open(&self, inode: &Arc<Inode>, _flags: u32) -> Result<Arc<dyn FileOps>> {
        match inode.rdev.major() {
            1 => drivers::char::mem::open(inode.rdev.minor()),
            4 | 5 => drivers::tty::open(inode.rdev),
            _ => Err(ENXIO),
        }
    }
}
