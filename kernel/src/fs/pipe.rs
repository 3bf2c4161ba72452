// SPDX-License-Identifier: GPL-2.0-only
//! Pipes and fifos (Linux 6.1, `fs/pipe.c`).

use crate::arch::x86::lib::usercopy::{copy_from_user_partial, copy_to_user_partial, put_user};
use crate::errno::{EAGAIN, EFAULT, EINVAL, ENXIO, EPIPE, Result};
use crate::fs::dcache::Dentry;
use crate::fs::file::current_files;
use crate::fs::file_table::{File, FileOps, POLLERR, POLLHUP, POLLIN, POLLOUT, UserBuf};
use crate::fs::inode::mode::S_IFIFO;
use crate::fs::inode::{Dev, Inode, InodeOps};
use crate::fs::namespace::{Path, rootfs};
use crate::kernel::signal::send_sig;
use crate::kernel::task::current;
use crate::kernel::wait::WaitQueue;
use crate::locking::SpinLock;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, Ordering};
use linux_raw_sys::general as abi;

/// Bytes that a pipe holds.
const PIPE_SIZE: usize = 65536;
/// Writes up to this size are not interleaved with others (`PIPE_BUF`).
const PIPE_BUF: usize = 4096;

/// The bytes on their way, and who is at the ends.
pub struct Pipe {
    data: SpinLock<VecDeque<u8>>,
    readers: AtomicU32,
    writers: AtomicU32,
    wait: WaitQueue,
}

impl Pipe {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            data: SpinLock::new(VecDeque::new()),
            readers: AtomicU32::new(0),
            writers: AtomicU32::new(0),
            wait: WaitQueue::new(),
        })
    }
    fn len(&self) -> usize {
        self.data.lock().len()
    }
    fn has_readers(&self) -> bool {
        self.readers.load(Ordering::Relaxed) != 0
    }
    fn has_writers(&self) -> bool {
        self.writers.load(Ordering::Relaxed) != 0
    }
    fn open_end(&self, f: u32, by: u32) {
        if f & abi::O_ACCMODE != abi::O_WRONLY {
            self.readers.fetch_add(by, Ordering::Relaxed);
        }
        if f & abi::O_ACCMODE != abi::O_RDONLY {
            self.writers.fetch_add(by, Ordering::Relaxed);
        }
    }
}

/// An open end of a pipe.
struct PipeFile(Arc<Pipe>);

impl FileOps for PipeFile {
    fn read(&self, f: &File, buf: UserBuf, _: u64) -> Result<usize> {
        let p = &self.0;
        if buf.len == 0 {
            return Ok(0);
        }
        loop {
            if p.len() != 0 {
                break;
            }
            if !p.has_writers() {
                return Ok(0);
            }
            if f.nonblock() {
                return Err(EAGAIN);
            }
            p.wait.wait_event_interruptible(|| p.len() != 0 || !p.has_writers())?;
        }
        let mut chunk = [0u8; 512];
        let mut done = 0;
        while done < buf.len {
            let mut d = p.data.lock();
            let n = d.len().min(buf.len - done).min(chunk.len());
            if n == 0 {
                break;
            }
            for b in &mut chunk[..n] {
                *b = d.pop_front().unwrap_or(0);
            }
            drop(d);
            let left = copy_to_user_partial(buf.addr + done, &chunk[..n]);
            done += n - left;
            if left != 0 {
                // What could not be copied stays in the pipe.
                let mut d = p.data.lock();
                for &b in chunk[n - left..n].iter().rev() {
                    d.push_front(b);
                }
                drop(d);
                if done == 0 {
                    return Err(EFAULT);
                }
                break;
            }
        }
        p.wait.wake_up();
        Ok(done)
    }

    fn write(&self, f: &File, buf: UserBuf, _: u64) -> Result<usize> {
        let p = &self.0;
        if buf.len == 0 {
            return Ok(0);
        }
        // A whole page at a time, as Linux does: what cannot be copied whole is not written.
        let mut small = [0u8; 512];
        let mut large =
            if buf.len > small.len() { alloc::vec![0u8; PIPE_BUF] } else { alloc::vec::Vec::new() };
        let chunk = if large.is_empty() { &mut small[..] } else { &mut large[..] };
        let mut done = 0;
        while done < buf.len {
            if !p.has_readers() {
                let _ = send_sig(abi::SIGPIPE as i32, &current(), false);
                return if done == 0 { Err(EPIPE) } else { Ok(done) };
            }
            let need = if buf.len <= PIPE_BUF { buf.len - done } else { 1 };
            if PIPE_SIZE - p.len() < need {
                if f.nonblock() {
                    return if done == 0 { Err(EAGAIN) } else { Ok(done) };
                }
                let r = p.wait.wait_event_interruptible(|| PIPE_SIZE - p.len() >= need || !p.has_readers());
                if let Err(e) = r {
                    return if done == 0 { Err(e) } else { Ok(done) };
                }
                continue;
            }
            let n = (PIPE_SIZE - p.len()).min(buf.len - done).min(chunk.len());
            if copy_from_user_partial(&mut chunk[..n], buf.addr + done) != 0 {
                return if done == 0 { Err(EFAULT) } else { Ok(done) };
            }
            p.data.lock().extend(&chunk[..n]);
            done += n;
            if done == buf.len || PIPE_SIZE - p.len() < need {
                p.wait.wake_up();
            }
        }
        Ok(done)
    }

    fn poll(&self, f: &File) -> u32 {
        let p = &self.0;
        let mut m = 0;
        if f.readable() {
            m |= if p.len() != 0 { POLLIN } else { 0 } | if p.has_writers() { 0 } else { POLLHUP };
        }
        if f.writable() {
            m |= if PIPE_SIZE - p.len() >= PIPE_BUF { POLLOUT } else { 0 }
                | if p.has_readers() { 0 } else { POLLERR };
        }
        m
    }
    fn poll_queue(&self) -> Option<&WaitQueue> {
        Some(&self.0.wait)
    }
    fn ioctl(&self, _: &File, cmd: u32, arg: usize) -> Result<usize> {
        const FIONREAD: u32 = 0x541b;
        if cmd != FIONREAD {
            return Err(crate::errno::ENOTTY);
        }
        put_user(arg, &(self.0.len() as i32))?;
        Ok(0)
    }
    fn release(&self, f: &File) {
        self.0.open_end(f.flags(), u32::MAX);
        self.0.wait.wake_up();
    }
}

/// A pipe's inode.
struct PipeInode;
impl InodeOps for PipeInode {}

/// `pipe2(2)`.
pub fn sys_pipe2(fds: usize, flags: u32) -> Result<usize> {
    if flags & !(abi::O_CLOEXEC | abi::O_NONBLOCK | abi::O_DIRECT) != 0 {
        return Err(EINVAL);
    }
    let sb = rootfs().dentry.inode.sb.clone();
    let inode = Inode::new(&sb, S_IFIFO | 0o600, Dev(0), Box::new(PipeInode));
    let name = alloc::format!("pipe:[{}]", inode.ino);
    let path = Path { mnt: rootfs().mnt, dentry: Dentry::pseudo(name.as_bytes(), inode) };
    let p = Pipe::new();
    let extra = flags & abi::O_NONBLOCK;
    let open = |mode: u32| {
        p.open_end(mode, 1);
        File::new(path.clone(), mode | extra, Arc::new(PipeFile(p.clone())), false)
    };
    let (r, w) = (open(abi::O_RDONLY), open(abi::O_WRONLY));
    let files = current_files()?;
    let cloexec = flags & abi::O_CLOEXEC != 0;
    let a = files.install(r, cloexec, 0)?;
    let b = files.install(w, cloexec, 0).inspect_err(|_| {
        let _ = files.close(a);
    })?;
    if let Err(e) = put_user(fds, &[a, b]) {
        let _ = files.close(a);
        let _ = files.close(b);
        return Err(e);
    }
    Ok(0)
}

/// `pipe(2)`.
pub fn sys_pipe(fds: usize) -> Result<usize> {
    sys_pipe2(fds, 0)
}

/// A named pipe's inode.
#[derive(Default)]
pub struct Fifo(spin::Once<Arc<Pipe>>);

impl InodeOps for Fifo {
    /// Opening one end waits for the other (`fifo_open`).
    fn open(&self, _: &Arc<Inode>, flags: u32) -> Result<Arc<dyn FileOps>> {
        let p = self.0.call_once(Pipe::new).clone();
        let mode = flags & abi::O_ACCMODE;
        let nonblock = flags & abi::O_NONBLOCK != 0;
        if mode == abi::O_WRONLY && nonblock && !p.has_readers() {
            return Err(ENXIO);
        }
        p.open_end(flags, 1);
        p.wait.wake_up();
        let r = match mode {
            abi::O_RDONLY if !nonblock => p.wait.wait_event_interruptible(|| p.has_writers() || p.len() != 0),
            abi::O_WRONLY => p.wait.wait_event_interruptible(|| p.has_readers()),
            _ => Ok(()),
        };
        r.inspect_err(|_| p.open_end(flags, u32::MAX))?;
        Ok(Arc::new(PipeFile(p)))
    }
}
