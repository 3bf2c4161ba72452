// SPDX-License-Identifier: GPL-2.0-only
//! `unshare(2)`: a thread takes a copy of its own of what it shares with others (Linux 6.1,
//! `kernel/fork.c`, `ksys_unshare`).

use super::fork::CLONE_NAMESPACES;
use super::task::current;
use crate::errno::{EINVAL, Result};
use crate::fs::file::current_files;
use crate::fs::fs_struct::current_fs;
use crate::ipc::sem::undo::exit_sem;
use alloc::sync::Arc;
use linux_raw_sys::general as nr;

/// What may be asked for (`check_unshare_flags`).
const KNOWN: u32 = nr::CLONE_THREAD
    | nr::CLONE_FS
    | nr::CLONE_SIGHAND
    | nr::CLONE_VM
    | nr::CLONE_FILES
    | nr::CLONE_SYSVSEM
    | CLONE_NAMESPACES
    | nr::CLONE_NEWTIME;

/// What is asked for implicitly: whoever leaves the memory leaves the signal handlers, and so on.
const fn with_implied(mut flags: u32) -> u32 {
    if flags & nr::CLONE_NEWUSER != 0 {
        flags |= nr::CLONE_THREAD | nr::CLONE_FS;
    }
    if flags & nr::CLONE_VM != 0 {
        flags |= nr::CLONE_SIGHAND;
    }
    if flags & nr::CLONE_SIGHAND != 0 {
        flags |= nr::CLONE_THREAD;
    }
    if flags & nr::CLONE_NEWNS != 0 {
        flags |= nr::CLONE_FS;
    }
    flags
}

/// `unshare(2)`. Threads, memory and handlers cannot be left, only not be shared; namespaces there
/// are none of.
pub fn sys_unshare(flags: usize) -> Result<usize> {
    let flags = u32::try_from(flags).map_err(|_| EINVAL)?;
    if flags & !KNOWN != 0 {
        return Err(EINVAL);
    }
    let flags = with_implied(flags);
    let cur = current();
    let alone = || cur.signal.threads.with_irqs_off(|all| all.len() <= 1);
    if flags & (nr::CLONE_THREAD | nr::CLONE_SIGHAND | nr::CLONE_VM) != 0 && !alone() {
        return Err(EINVAL);
    }
    // Two references are those of this call and of the task.
    if flags & nr::CLONE_SIGHAND != 0 && Arc::strong_count(&cur.sighand.get()) > 2
        || flags & nr::CLONE_VM != 0 && cur.get_mm().is_some_and(|mm| mm.users() > 2)
        || flags & (CLONE_NAMESPACES | nr::CLONE_NEWTIME) != 0
    {
        return Err(EINVAL);
    }
    let (files, fs) = (current_files(), current_fs());
    let files = if flags & nr::CLONE_FILES != 0 && Arc::strong_count(&files) > 2 {
        Some(files.fork()?)
    } else {
        None
    };
    if flags & nr::CLONE_FS != 0 && Arc::strong_count(&fs) > 2 {
        let old = cur.fs.lock().replace(fs.fork());
        drop(old);
    }
    if flags & nr::CLONE_SYSVSEM != 0 {
        exit_sem(&cur);
    }
    if let Some(files) = files {
        // The old table is let go outside the lock.
        let old = cur.files.lock().replace(files);
        drop(old);
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_imply_others() {
        assert_eq!(with_implied(nr::CLONE_FILES), nr::CLONE_FILES);
        assert_eq!(with_implied(nr::CLONE_VM), nr::CLONE_VM | nr::CLONE_SIGHAND | nr::CLONE_THREAD);
        assert_eq!(with_implied(nr::CLONE_NEWNS), nr::CLONE_NEWNS | nr::CLONE_FS);
    }
}
