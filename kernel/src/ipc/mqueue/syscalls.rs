// SPDX-License-Identifier: GPL-2.0-only
//! `mq_open`, `mq_timedsend`, `mq_timedreceive`, `mq_notify` and their kin.

use super::fs::{QueueFile, mount, queue_inode};
use super::queue::{MQ_PRIO_MAX, Msg, Notify, Queue};
use crate::arch::x86::lib::usercopy::{copy_from_user, copy_to_user, get_user, getname, put_user};
use crate::errno::{EACCES, EBADF, EEXIST, EINVAL, EMSGSIZE, ENAMETOOLONG, ENOENT, ENOTSOCK, Result};
use crate::fs::dcache::Dentry;
use crate::fs::file::{UnusedFd, fget};
use crate::fs::file_table::File;
use crate::fs::fs_struct::current_fs;
use crate::fs::inode::mode::S_IALLUGO;
use crate::fs::inode::{MAY_EXEC, MAY_READ, MAY_WRITE};
use crate::fs::namei_calls::check_sticky;
use crate::fs::namespace::Path;
use crate::fs::open::{How, vfs_open};
use crate::ipc::util::room;
use crate::kernel::signal::sigset::NSIG;
use crate::kernel::task::current;
use crate::kernel::time::Timespec;
use crate::mm::util::kvcalloc;
use alloc::sync::Arc;
use linux_raw_sys::general::{
    O_ACCMODE, O_CLOEXEC, O_CREAT, O_EXCL, O_NONBLOCK, O_RDONLY, O_RDWR, O_WRONLY, SIGEV_NONE, SIGEV_SIGNAL,
    SIGEV_THREAD,
};

/// `struct mq_attr`: flags, most messages, bytes of one, messages now; the rest is nothing.
type MqAttr = [i64; 8];

/// Whether a name may stand in a directory (`lookup_one_len`).
fn check_name(name: &[u8]) -> Result {
    if name.is_empty() {
        return Err(ENOENT);
    }
    if name == b"." || name == b".." || name.contains(&b'/') {
        return Err(EACCES);
    }
    if name.len() > 255 { Err(ENAMETOOLONG) } else { Ok(()) }
}

/// Finds or makes a queue (`prepare_open`).
fn prepare_open(name: &[u8], flags: u32, mode: u32, attr: Option<[i64; 2]>) -> Result<Arc<Dentry>> {
    let root = &mount().root;
    let cred = current().cred.get();
    let Some(found) = root.child(name) else {
        if flags & O_CREAT == 0 {
            return Err(ENOENT);
        }
        root.inode.permission(&cred, MAY_WRITE | MAY_EXEC)?;
        let mode = mode & S_IALLUGO & !current_fs().umask();
        return root.add(name, queue_inode(Queue::new(attr)?, mode));
    };
    if flags & O_CREAT != 0 && flags & O_EXCL != 0 {
        return Err(EEXIST);
    }
    let access = match flags & O_ACCMODE {
        O_RDONLY => MAY_READ,
        O_WRONLY => MAY_WRITE,
        O_RDWR => MAY_READ | MAY_WRITE,
        _ => return Err(EINVAL),
    };
    found.inode.permission(&cred, access)?;
    Ok(found)
}

/// `mq_open(2)`.
pub fn sys_mq_open(name: usize, flags: u32, mode: u32, attr: usize) -> Result<usize> {
    let attr = if attr == 0 { None } else { Some(get_user::<MqAttr>(attr)?) };
    let name = getname(name)?;
    let fd = UnusedFd::get(O_CLOEXEC)?;
    check_name(&name)?;
    let dentry = prepare_open(&name, flags, mode, attr.map(|a| [a[1], a[2]]))?;
    let kept = flags & (O_ACCMODE | O_NONBLOCK);
    let file = vfs_open(Path { mnt: mount().clone(), dentry }, How { flags: kept, mode: 0 })?;
    Ok(fd.install(file) as usize)
}

/// `mq_unlink(2)`.
pub fn sys_mq_unlink(name: usize) -> Result<usize> {
    let name = getname(name)?;
    check_name(&name)?;
    let root = &mount().root;
    let d = root.child(&name).ok_or(ENOENT)?;
    let cred = current().cred.get();
    root.inode.permission(&cred, MAY_WRITE | MAY_EXEC)?;
    check_sticky(&root.inode, &d.inode, &cred)?;
    d.unhash();
    d.inode.attr.lock().nlink = 0;
    Ok(0)
}

/// The queue behind a descriptor.
fn queue_of(f: &File) -> Result<&Arc<Queue>> {
    let q = f.op.as_any().and_then(|any| any.downcast_ref::<QueueFile>());
    q.map(|q| &q.0).ok_or(EBADF)
}

/// When the wall clock shows what, or never.
fn deadline(at: usize) -> Result<u64> {
    if at == 0 { Ok(u64::MAX) } else { get_user::<Timespec>(at)?.to_ns().ok_or(EINVAL) }
}

/// `mq_timedsend(2)`.
pub fn sys_mq_timedsend(fd: i32, buf: usize, len: usize, prio: u32, timeout: usize) -> Result<usize> {
    let deadline = deadline(timeout)?;
    if prio >= MQ_PRIO_MAX {
        return Err(EINVAL);
    }
    let f = fget(fd)?;
    let q = queue_of(&f)?;
    f.want_write()?;
    if len > q.attr.msgsize {
        return Err(EMSGSIZE);
    }
    room()?;
    let mut text = kvcalloc(len)?;
    copy_from_user(&mut text, buf)?;
    q.send(Msg { prio, text }, f.nonblock(), deadline).map(|()| 0)
}

/// `mq_timedreceive(2)`.
pub fn sys_mq_timedreceive(fd: i32, buf: usize, len: usize, prio: usize, timeout: usize) -> Result<usize> {
    let deadline = deadline(timeout)?;
    let f = fget(fd)?;
    let q = queue_of(&f)?;
    f.want_read()?;
    if len < q.attr.msgsize {
        return Err(EMSGSIZE);
    }
    let msg = q.receive(f.nonblock(), deadline)?;
    if prio != 0 {
        put_user(prio, &msg.prio)?;
    }
    copy_to_user(buf, &msg.text)?;
    Ok(msg.text.len())
}

/// `mq_notify(2)`.
pub fn sys_mq_notify(fd: i32, event: usize) -> Result<usize> {
    let mut notify = None;
    if event != 0 {
        // `struct sigevent`: value, signal and kind, and room.
        let words: [u64; 8] = get_user(event)?;
        let (signo, kind) = (words[1] as i32, (words[1] >> 32) as u32);
        match kind {
            SIGEV_NONE => {}
            SIGEV_SIGNAL if (0..=NSIG).contains(&signo) => {}
            // It would be told through a socket, of which there are none.
            SIGEV_THREAD => {
                let _: [u64; 4] = get_user(words[0] as usize)?;
                fget(signo)?;
                return Err(ENOTSOCK);
            }
            _ => return Err(EINVAL),
        }
        notify = Some(Notify::new(kind, signo, words[0]));
    }
    let f = fget(fd)?;
    queue_of(&f)?.set_notify(notify).map(|()| 0)
}

/// `mq_getsetattr(2)`.
pub fn sys_mq_getsetattr(fd: i32, new: usize, old: usize) -> Result<usize> {
    let new = if new == 0 { None } else { Some(get_user::<MqAttr>(new)?) };
    if new.is_some_and(|a| a[0] & !i64::from(O_NONBLOCK) != 0) {
        return Err(EINVAL);
    }
    let f = fget(fd)?;
    let q = queue_of(&f)?;
    let flags = f.flags();
    let told = [flags & O_NONBLOCK, q.attr.maxmsg as u32, q.attr.msgsize as u32, q.curmsgs() as u32];
    if let Some(a) = new {
        f.set_flags(flags & !O_NONBLOCK | a[0] as u32 & O_NONBLOCK);
    }
    if old != 0 {
        let mut words: MqAttr = [0; 8];
        for (to, from) in words.iter_mut().zip(told) {
            *to = i64::from(from);
        }
        put_user(old, &words)?;
    }
    Ok(0)
}
