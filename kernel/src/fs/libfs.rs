// SPDX-License-Identifier: GPL-2.0-only
//! What file systems in memory have in common (Linux 6.1, `fs/libfs.c`).

use crate::errno::{EINVAL, EISDIR, Result};
use crate::fs::file_table::{Abilities, File, FileOps, generic_seek};
use crate::fs::inode::mode::{S_IFDIR, S_IFMT};
use crate::lib::iov_iter::IovIter;
use linux_raw_sys::general::{SEEK_CUR, SEEK_SET};

/// Takes one entry: name, inode number, `DT_*`, and the position behind it; false when
/// there is no room for it.
pub type Emit<'a> = &'a mut dyn FnMut(&[u8], u64, u8, u64) -> bool;

/// Receives a directory's entries.
pub struct DirContext<'a> {
    /// Where the listing is; stored with the open directory between calls.
    pub pos: u64,
    /// Where the entries go.
    pub emit: Emit<'a>,
}

impl DirContext<'_> {
    /// Lists one entry; the next is at `next`. False if it did not fit.
    pub fn add(&mut self, name: &[u8], ino: u64, mode: u32, next: u64) -> bool {
        let ok = (self.emit)(name, ino, dt(mode), next);
        if ok {
            self.pos = next;
        }
        ok
    }
}

/// `DT_*` of a mode.
pub const fn dt(mode: u32) -> u8 {
    ((mode & S_IFMT) >> 12) as u8
}

/// Entries that hang in the dentry tree are at positions below this.
pub const DYNAMIC_POS: u64 = 1 << 40;

/// An open directory.
pub enum DirOps {
    /// Where names are kept in the dentry tree alone (`simple_dir_operations`).
    Simple,
    /// The kernel's own (`proc`, `sysfs`).
    Generic,
}

/// Only to a place, or by a distance (`dcache_dir_lseek`).
fn dcache_dir_seek(file: &File, offset: i64, whence: u32) -> Result<u64> {
    let mut pos = file.pos.lock();
    let new = match whence {
        SEEK_SET => Some(offset),
        SEEK_CUR => (*pos as i64).checked_add(offset),
        _ => None,
    };
    *pos = new.and_then(|new| u64::try_from(new).ok()).ok_or(EINVAL)?;
    Ok(*pos)
}

impl FileOps for DirOps {
    fn read(&self, _: &File, _: &mut IovIter<'_>, _: &mut u64) -> Result<usize> {
        Err(EISDIR)
    }
    fn abilities(&self) -> Abilities {
        Abilities { writes: false, fsync: matches!(self, Self::Simple), ..Abilities::NO_ITER }
    }
    fn seek(&self, file: &File, offset: i64, whence: u32) -> Result<u64> {
        match self {
            Self::Simple => dcache_dir_seek(file, offset, whence),
            Self::Generic => generic_seek(file, offset, whence),
        }
    }
    /// `.`, `..`, what hangs in the tree (newest first, as in Linux), what is made up.
    fn readdir(&self, file: &File, ctx: &mut DirContext<'_>) -> Result {
        let dir = &file.path.dentry;
        if ctx.pos == 0 && !ctx.add(b".", dir.inode.ino, S_IFDIR, 1) {
            return Ok(());
        }
        let parent = dir.parent().map_or(dir.inode.ino, |p| p.inode.ino);
        if ctx.pos == 1 && !ctx.add(b"..", parent, S_IFDIR, 2) {
            return Ok(());
        }
        if ctx.pos < DYNAMIC_POS {
            for (seq, d) in dir.list()? {
                // Later positions for older names: what is made meanwhile is not listed.
                let at = DYNAMIC_POS - 1 - seq.min(DYNAMIC_POS - 4);
                if at < ctx.pos {
                    continue;
                }
                if !ctx.add(&d.name(), d.inode.ino, d.inode.mode(), at + 1) {
                    return Ok(());
                }
            }
            ctx.pos = DYNAMIC_POS;
        }
        dir.inode.ops.iterate(dir, ctx)
    }
}
