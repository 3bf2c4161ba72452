// SPDX-License-Identifier: GPL-2.0-only
//! Locks as `/proc/locks` and `fdinfo` tell of them (`lock_get_status`, `locks_show`, `show_fd_locks`).

use super::all_lists;
use super::blocked::for_each_blocked;
use super::list::{Lock, OFFSET_MAX, Owner};
use crate::errno::{ENOMEM, Result};
use crate::fs::file::FilesStruct;
use crate::fs::file_table::File;
use crate::fs::inode::Inode;
use crate::fs::seq_file::SeqFile;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cmp::Reverse;

/// A lock's line; `level`: how deep it stands below the lock that it waits for.
fn status(out: &mut SeqFile, inode: &Inode, l: &Lock, number: usize, level: usize) {
    write!(out, "{number}: ");
    if level != 0 {
        write!(out, "{:>width$}", "-> ", width = level + 2);
    }
    out.put(match l.owner {
        Owner::Posix(_) => b"POSIX  ADVISORY  ",
        Owner::Ofd(_) => b"OFDLCK ADVISORY  ",
        Owner::Flock(_) => b"FLOCK  ADVISORY  ",
    });
    out.put(if l.write { b"WRITE " } else { b"READ " });
    let dev = inode.sb.dev;
    write!(out, "{} {:02x}:{:02x}:{} {} ", l.pid, dev.major(), dev.minor(), inode.ino, l.start);
    if l.end == OFFSET_MAX {
        out.put(b"EOF\n");
    } else {
        writeln!(out, "{}", l.end);
    }
}

/// The locks that were set by a descriptor, of an open file or of a process.
pub fn show_fd_locks(out: &mut SeqFile, file: &File, files: &FilesStruct) {
    let lists = file.inode.locks.lists.lock();
    let (file_at, files_at) = (core::ptr::from_ref(file).addr(), core::ptr::from_ref(files).addr());
    let mine = |l: &&Lock| {
        l.file == file_at
            && match l.owner {
                Owner::Posix(o) => o == files_at,
                Owner::Ofd(o) | Owner::Flock(o) => o == file_at,
            }
    };
    for (i, l) in lists.flock.iter().chain(&lists.posix).filter(mine).enumerate() {
        out.put(b"lock:\t");
        status(out, &file.inode, l, i + 1, 0);
    }
}

/// The text of `/proc/locks`: all locks, the latest first, and who waits for each.
///
/// # Errors
/// `ENOMEM`.
pub fn locks_show(out: &mut SeqFile) -> Result {
    let mut all: Vec<(Lock, Arc<Inode>)> = Vec::new();
    all_lists(|inode, lists| {
        let each = lists.flock.iter().chain(&lists.posix);
        all.try_reserve(each.clone().count()).map_err(|_| ENOMEM)?;
        all.extend(each.map(|l| (*l, inode.clone())));
        Ok(())
    })?;
    all.sort_unstable_by_key(|(l, _)| Reverse(l.id));
    let mut r = Ok(());
    for (i, (l, inode)) in all.iter().enumerate() {
        let more = out.record(!l.id, |out| {
            status(out, inode, l, i + 1, 0);
            r = for_each_blocked(l.id, |waiter, level| status(out, inode, waiter, i + 1, level));
        });
        if r.is_err() || !more {
            break;
        }
    }
    r
}
