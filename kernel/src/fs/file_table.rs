// SPDX-License-Identifier: GPL-2.0-only
//! Open files (Linux 6.1, `fs/file_table.c`, `include/linux/fs.h`).

use crate::errno::{EBADF, EINVAL, ENODEV, ENOTTY, ESPIPE, Result};
use crate::fs::namespace::Path;
use crate::kernel::wait::WaitQueue;
use crate::locking::SpinLock;
use crate::mm::vma::VmFile;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, Ordering};
use linux_raw_sys::general as abi;

/// Something can be read.
pub const POLLIN: u32 = 0x001 | 0x040;
/// Something can be written.
pub const POLLOUT: u32 = 0x004 | 0x100;
/// An error is pending.
pub const POLLERR: u32 = 0x008;
/// The other side has gone.
pub const POLLHUP: u32 = 0x010;

/// A range of user memory that a call reads or fills.
#[derive(Clone, Copy, Debug)]
pub struct UserBuf {
    /// Where it starts.
    pub addr: usize,
    /// Bytes.
    pub len: usize,
}

/// What kinds of open file do differently (`file_operations`). Offsets are the
/// caller's: a kind that has no use for them ignores them.
pub trait FileOps: Send + Sync {
    /// Reads into user memory.
    fn read(&self, f: &File, buf: UserBuf, pos: u64) -> Result<usize> {
        let _ = (f, buf, pos);
        Err(EINVAL)
    }
    /// Writes from user memory.
    fn write(&self, f: &File, buf: UserBuf, pos: u64) -> Result<usize> {
        let _ = (f, buf, pos);
        Err(EINVAL)
    }
    /// Device control.
    fn ioctl(&self, f: &File, cmd: u32, arg: usize) -> Result<usize> {
        let _ = (f, cmd, arg);
        Err(ENOTTY)
    }
    /// What would not block now.
    fn poll(&self, f: &File) -> u32 {
        let _ = f;
        POLLIN | POLLOUT
    }
    /// Who is woken when `poll`'s answer changes.
    fn poll_queue(&self) -> Option<&WaitQueue> {
        None
    }
    /// Whether offsets mean something.
    fn seekable(&self) -> bool {
        false
    }
    /// Moves the offset; the default is right for files with a size.
    fn llseek(&self, f: &File, off: i64, whence: u32) -> Result<u64> {
        if !self.seekable() {
            return Err(ESPIPE);
        }
        let size = f.path.dentry.inode.ops.size() as i64;
        let mut pos = f.pos.lock();
        let base = match whence {
            abi::SEEK_SET => 0,
            abi::SEEK_CUR => *pos as i64,
            abi::SEEK_END => size,
            abi::SEEK_DATA if off >= 0 && off < size => 0,
            abi::SEEK_HOLE if off >= 0 && off < size => size - off,
            abi::SEEK_DATA | abi::SEEK_HOLE => return Err(crate::errno::ENXIO),
            _ => return Err(EINVAL),
        };
        let new = base.checked_add(off).filter(|&p| p >= 0).ok_or(EINVAL)?;
        *pos = new as u64;
        Ok(*pos)
    }
    /// The file as a mapping's backing.
    fn mmap(&self, f: &File) -> Result<Arc<dyn VmFile>> {
        let _ = f;
        Err(ENODEV)
    }
    /// The last descriptor is gone.
    fn release(&self, f: &File) {
        let _ = f;
    }
}

/// An open file: what `open` makes, and `dup` and `fork` share.
pub struct File {
    /// What was opened.
    pub path: Path,
    /// `O_*`.
    flags: AtomicU32,
    /// The offset.
    pub pos: SpinLock<u64>,
    /// What it does.
    pub ops: Arc<dyn FileOps>,
    vm: spin::Once<Arc<dyn VmFile>>,
    counted_writer: bool,
}

impl File {
    /// Wraps what an inode's `open` returned. `counted_writer`: the file took the
    /// inode's write access, and gives it back.
    pub fn new(path: Path, flags: u32, ops: Arc<dyn FileOps>, counted_writer: bool) -> Arc<Self> {
        Arc::new(Self {
            path,
            flags: AtomicU32::new(flags),
            pos: SpinLock::new(0),
            ops,
            vm: spin::Once::new(),
            counted_writer,
        })
    }
    /// `O_*`.
    pub fn flags(&self) -> u32 {
        self.flags.load(Ordering::Relaxed)
    }
    /// Replaces the flags that `fcntl(F_SETFL)` may change.
    pub fn set_flags(&self, flags: u32) {
        const SETFL: u32 = abi::O_APPEND | abi::O_NONBLOCK | abi::O_DIRECT | abi::O_NOATIME | abi::FASYNC;
        self.flags.store(self.flags() & !SETFL | flags & SETFL, Ordering::Relaxed);
    }
    /// Opened for reading.
    pub fn readable(&self) -> bool {
        let f = self.flags();
        f & abi::O_PATH == 0 && matches!(f & abi::O_ACCMODE, abi::O_RDONLY | abi::O_RDWR)
    }
    /// Opened for writing.
    pub fn writable(&self) -> bool {
        let f = self.flags();
        f & abi::O_PATH == 0 && matches!(f & abi::O_ACCMODE, abi::O_WRONLY | abi::O_RDWR)
    }
    /// `O_NONBLOCK`.
    pub fn nonblock(&self) -> bool {
        self.flags() & abi::O_NONBLOCK != 0
    }
    /// Reads at `pos`, or at the file's offset, which moves on.
    pub fn read(&self, buf: UserBuf, pos: Option<u64>) -> Result<usize> {
        if !self.readable() {
            return Err(EBADF);
        }
        let at = pos.unwrap_or_else(|| *self.pos.lock());
        let n = self.ops.read(self, buf, at)?;
        if pos.is_none() && self.ops.seekable() {
            *self.pos.lock() = at + n as u64;
        }
        Ok(n)
    }
    /// Writes at `pos`, or at the file's offset (its end with `O_APPEND`), which moves on.
    pub fn write(&self, buf: UserBuf, pos: Option<u64>) -> Result<usize> {
        if !self.writable() {
            return Err(EBADF);
        }
        let append = self.flags() & abi::O_APPEND != 0 && self.ops.seekable();
        let at =
            if append { self.path.dentry.inode.ops.size() } else { pos.unwrap_or_else(|| *self.pos.lock()) };
        let n = self.ops.write(self, buf, at)?;
        if pos.is_none() && self.ops.seekable() {
            *self.pos.lock() = at + n as u64;
        }
        Ok(n)
    }
    /// The file as a mapping's backing: always the same one.
    pub fn mmap(&self) -> Result<Arc<dyn VmFile>> {
        if let Some(v) = self.vm.get() {
            return Ok(v.clone());
        }
        let v = self.ops.mmap(self)?;
        Ok(self.vm.call_once(|| v).clone())
    }
}

impl Drop for File {
    fn drop(&mut self) {
        self.ops.release(self);
        if self.counted_writer {
            self.path.dentry.inode.put_write_access();
        }
    }
}
