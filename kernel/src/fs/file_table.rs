// SPDX-License-Identifier: GPL-2.0-only
//! Open files (Linux 6.1, `fs/file_table.c`, `struct file`).

use crate::errno::{EBADF, EINVAL, ENODEV, ENOTDIR, ENOTTY, ENXIO, ESPIPE, Result};
use crate::fs::eventpoll::{EpItem, eventpoll_release};
use crate::fs::fasync::FownStruct;
use crate::fs::inode::Inode;
use crate::fs::libfs::DirContext;
use crate::fs::locks::locks_remove_file;
use crate::fs::namespace::Path;
use crate::fs::open::{PUNCH_HOLE, vfs_fallocate};
use crate::fs::select::PollTable;
use crate::fs::seq_file::SeqFile;
use crate::fs::superblock::MAX_LFS_FILESIZE;
use crate::kernel::task::current;
use crate::lib::iov_iter::IovIter;
use crate::locking::SpinLock;
use crate::mm::i_mmap::IMmap;
use crate::mm::page_alloc::Page;
use crate::mm::vma::VmFile;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};
use linux_raw_sys::general::{
    O_ACCMODE, O_APPEND, O_NONBLOCK, O_PATH, O_RDONLY, O_RDWR, O_WRONLY, RWF_APPEND, RWF_DSYNC, RWF_HIPRI,
    RWF_SYNC, SEEK_CUR, SEEK_DATA, SEEK_END, SEEK_HOLE, SEEK_SET,
};

/// How a file answers `mmap`.
pub enum Mapping {
    /// Its pages are mapped ([`FileOps::fault_page`]).
    Pages,
    /// Zeroes (`/dev/zero`).
    Zero,
}

/// Flags of `preadv2` and `pwritev2` that most files know.
pub const RW_FLAGS: u32 = RWF_HIPRI | RWF_DSYNC | RWF_SYNC | RWF_APPEND;

/// What a kind of file can do: on Linux which operations it has, and its `FMODE_*`.
#[derive(Clone, Copy)]
// Each is a property of its own.
#[allow(clippy::struct_excessive_bools)]
pub struct Abilities {
    /// Whether it can be read at all, and written (`FMODE_CAN_READ`, `FMODE_CAN_WRITE`).
    pub reads: bool,
    /// The same for writing.
    pub writes: bool,
    /// Whether `fsync` is a thing to ask of it.
    pub fsync: bool,
    /// What there is of a position.
    pub seeking: Seeking,
    /// Whether the buffers of a call that reads are filled at once, or one after another.
    pub read_iter: bool,
    /// The same for a call that writes.
    pub write_iter: bool,
    /// Whether what it has can go through a pipe without a program's copying it.
    pub splice_read: bool,
    /// And the other way.
    pub splice_write: bool,
    /// Flags of `preadv2` and `pwritev2` that it knows (`FMODE_NOWAIT`).
    pub rw_flags: u32,
    /// Whether positions above `i64::MAX` are none the worse (`FMODE_UNSIGNED_OFFSET`).
    pub unsigned_offset: bool,
}

impl Abilities {
    /// Most files'.
    pub const DEFAULT: Self = Self {
        reads: true,
        writes: true,
        fsync: false,
        seeking: Seeking::Position,
        read_iter: true,
        write_iter: true,
        splice_read: false,
        splice_write: false,
        rw_flags: RW_FLAGS,
        unsigned_offset: false,
    };
    /// Those of a file that takes one buffer after another.
    pub const NO_ITER: Self = Self { read_iter: false, write_iter: false, ..Self::DEFAULT };
}

/// Poll bits, as `poll(2)` has them.
#[allow(missing_docs)]
pub mod poll {
    pub const IN: u32 = 0x1;
    pub const PRI: u32 = 0x2;
    pub const OUT: u32 = 0x4;
    pub const ERR: u32 = 0x8;
    pub const HUP: u32 = 0x10;
    pub const NVAL: u32 = 0x20;
    pub const RDNORM: u32 = 0x40;
    pub const RDBAND: u32 = 0x80;
    pub const WRNORM: u32 = 0x100;
    pub const WRBAND: u32 = 0x200;
    /// What a file that never blocks always is.
    pub const DEFAULT: u32 = IN | OUT | RDNORM | WRNORM;
}

/// What an open file does. The defaults are those of a file that cannot do it.
pub trait FileOps: Send + Sync {
    /// Reads at `pos`, and moves it.
    fn read(&self, file: &File, to: &mut IovIter<'_>, pos: &mut u64) -> Result<usize> {
        let _ = (file, to, pos);
        Err(EINVAL)
    }
    /// Writes at `pos`, and moves it.
    fn write(&self, file: &File, from: &mut IovIter<'_>, pos: &mut u64) -> Result<usize> {
        let _ = (file, from, pos);
        Err(EINVAL)
    }
    /// What it can do beside that.
    fn abilities(&self) -> Abilities {
        Abilities::DEFAULT
    }
    /// Its owner is to be told of its events from now on, or not any more; `None` if it never tells.
    fn fasync(&self, file: &File, fd: i32, on: bool) -> Option<Result> {
        let _ = (file, fd, on);
        None
    }
    /// What could be done now without waiting; `table` is told where to wait. `None` if nothing ever
    /// waits for it: then everything can be done ([`poll::DEFAULT`]), and epoll wants to know nothing
    /// of it (`file_can_poll`).
    fn poll(&self, file: &File, table: &mut PollTable) -> Option<u32> {
        let _ = (file, table);
        None
    }
    /// What `/proc/PID/fdinfo` says beside what it says of all files.
    fn show_fdinfo(&self, file: &File, out: &mut SeqFile) {
        let _ = (file, out);
    }
    /// `ioctl(2)`, but for the commands that are the same for all files.
    fn ioctl(&self, file: &File, cmd: u32, arg: usize) -> Result<usize> {
        let _ = (file, cmd, arg);
        Err(ENOTTY)
    }
    /// Whether and how it can be mapped.
    fn mmap(&self, file: &File) -> Result<Mapping> {
        let _ = file;
        Err(ENODEV)
    }
    /// A page for a mapping.
    fn fault_page(&self, file: &File, pgoff: u64) -> Result<Page> {
        let _ = (file, pgoff);
        Err(EINVAL)
    }
    /// The page if it is there already.
    fn cached_page(&self, file: &File, pgoff: u64) -> Option<Page> {
        let _ = (file, pgoff);
        None
    }
    /// Lists a directory.
    fn readdir(&self, file: &File, ctx: &mut DirContext<'_>) -> Result {
        let _ = (file, ctx);
        Err(ENOTDIR)
    }
    /// Moves the position.
    fn seek(&self, file: &File, offset: i64, whence: u32) -> Result<u64> {
        match self.abilities().seeking {
            Seeking::Position => generic_seek(file, offset, whence),
            Seeking::Rewinds => {
                *file.pos.lock() = 0;
                Ok(0)
            }
            Seeking::Ignored => Ok(0),
            Seeking::Never => Err(ESPIPE),
        }
    }
    /// A descriptor for it goes.
    fn flush(&self) {}
    /// The last reference is gone.
    fn release(&self, file: &File) {
        let _ = file;
    }
    /// The file as something more particular.
    fn as_any(&self) -> Option<&dyn core::any::Any> {
        None
    }
}

/// One open file. Descriptors that were duplicated share it.
// Its modes are looked at by every read and write: each is a flag of its own.
#[allow(clippy::struct_excessive_bools)]
pub struct File {
    /// Where it was found.
    pub path: Path,
    /// What it is.
    pub inode: Arc<Inode>,
    /// `O_*`, as `fcntl(F_GETFL)` shows them.
    flags: AtomicU32,
    /// Where the next read or write goes.
    pub pos: SpinLock<u64>,
    /// What it does.
    pub op: Arc<dyn FileOps>,
    wrote_access: bool,
    /// Who is told of its events, since somebody was named.
    pub f_owner: spin::Once<Arc<FownStruct>>,
    /// `FMODE_READ`, `FMODE_WRITE`: fixed when it was opened.
    can_read: bool,
    can_write: bool,
    /// And it can be done at all.
    reads: bool,
    writes: bool,
    /// Whether there is a position.
    pub seekable: bool,
    /// Where epoll looks at it.
    pub f_ep: SpinLock<Vec<Arc<EpItem>>>,
}

/// Flags that `fcntl(F_SETFL)` changes.
pub const SETFL_MASK: u32 =
    O_APPEND | O_NONBLOCK | linux_raw_sys::general::O_DIRECT | linux_raw_sys::general::O_NOATIME;
/// `FASYNC`.
pub const FASYNC: u32 = 0o20000;

impl File {
    /// An open file at `path`; `wrote_access`: it holds write access to the inode.
    pub fn new(path: Path, flags: u32, op: Arc<dyn FileOps>, wrote_access: bool) -> Arc<Self> {
        let inode = path.dentry.inode.clone();
        if wrote_access {
            path.mnt.writers.fetch_add(1, Ordering::Relaxed);
        }
        let is_place = flags & O_PATH != 0;
        let access = flags & O_ACCMODE;
        let can = op.abilities();
        let can_read = !is_place && matches!(access, O_RDONLY | O_RDWR);
        let can_write = !is_place && matches!(access, O_WRONLY | O_RDWR);
        Arc::new(Self {
            path,
            inode,
            flags: AtomicU32::new(flags),
            pos: SpinLock::new(0),
            seekable: matches!(can.seeking, Seeking::Position | Seeking::Rewinds),
            op,
            wrote_access,
            f_owner: spin::Once::new(),
            can_read,
            can_write,
            reads: can_read && can.reads,
            writes: can_write && can.writes,
            f_ep: SpinLock::new(Vec::new()),
        })
    }
    /// What could be done now without waiting; `table` is told where to wait (`vfs_poll`).
    pub fn vfs_poll(&self, table: &mut PollTable) -> u32 {
        self.op.poll(self, table).unwrap_or(poll::DEFAULT)
    }
    /// `O_*` flags.
    #[inline]
    pub fn flags(&self) -> u32 {
        self.flags.load(Ordering::Relaxed)
    }
    /// Changes the flags in [`SETFL_MASK`].
    pub fn set_flags(&self, flags: u32) {
        let old = self.flags();
        self.flags.store(old & !SETFL_MASK | flags & SETFL_MASK, Ordering::Relaxed);
    }
    /// Notes whether its owner is told of its events (`FASYNC`).
    pub fn set_fasync(&self, on: bool) {
        if on {
            self.flags.fetch_or(FASYNC, Ordering::Relaxed);
        } else {
            self.flags.fetch_and(!FASYNC, Ordering::Relaxed);
        }
    }
    /// Whether it was opened for reading.
    #[inline]
    pub fn readable(&self) -> bool {
        self.can_read
    }
    /// Whether it was opened for writing.
    #[inline]
    pub fn writable(&self) -> bool {
        self.can_write
    }
    /// Whether reads and writes must not wait.
    #[inline]
    pub fn nonblock(&self) -> bool {
        self.flags() & O_NONBLOCK != 0
    }
    /// Whether it only stands for a place (`O_PATH`).
    pub fn is_path(&self) -> bool {
        self.flags() & O_PATH != 0
    }
    /// `EBADF` unless it can be read.
    #[inline]
    pub fn want_read(&self) -> Result {
        if self.readable() { Ok(()) } else { Err(EBADF) }
    }
    /// `EBADF` unless it can be written.
    #[inline]
    pub fn want_write(&self) -> Result {
        if self.writable() { Ok(()) } else { Err(EBADF) }
    }
    /// Whether a read can be tried: `EBADF` by how it was opened, `EINVAL` by what it is.
    #[inline]
    pub fn may_read(&self) -> Result {
        if self.reads { Ok(()) } else { self.want_read().and(Err(EINVAL)) }
    }
    /// The same for a write.
    #[inline]
    pub fn may_write(&self) -> Result {
        if self.writes { Ok(()) } else { self.want_write().and(Err(EINVAL)) }
    }

    /// Reads into the kernel, at a place, as much as there is (`kernel_read`).
    pub fn kernel_read(&self, buf: &mut [u8], mut pos: u64) -> Result<usize> {
        let mut done = 0;
        while done < buf.len() {
            let n = self.op.read(self, &mut IovIter::sink(&mut buf[done..]), &mut pos)?;
            if n == 0 {
                break;
            }
            done += n;
        }
        Ok(done)
    }

    /// The file as a mapping's backing: itself, or for `/dev/zero` new zeroes.
    pub fn mmap(self: &Arc<Self>) -> Result<Arc<dyn VmFile>> {
        match self.op.mmap(self)? {
            Mapping::Pages => Ok(self.clone()),
            Mapping::Zero => Ok(crate::fs::memfd::zero_file()?),
        }
    }
}

impl Drop for File {
    fn drop(&mut self) {
        eventpoll_release(self);
        if self.flags() & FASYNC != 0 {
            let _ = self.op.fasync(self, -1, false);
        }
        locks_remove_file(self);
        self.op.release(self);
        if self.wrote_access {
            self.inode.put_write_access();
            self.path.mnt.writers.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl VmFile for File {
    fn fault_page(&self, pgoff: u64) -> Result<Page> {
        self.op.fault_page(self, pgoff)
    }
    fn cached_page(&self, pgoff: u64) -> Option<Page> {
        self.op.cached_page(self, pgoff)
    }
    fn can_do_mincore(&self) -> bool {
        self.inode.owner_or_may_write(&current().cred.get())
    }
    fn size(&self) -> u64 {
        self.inode.ops.size()
    }
    fn opened_for_writing(&self) -> bool {
        self.writable()
    }
    fn path(&self) -> Option<Path> {
        Some(self.path.clone())
    }
    fn mode_nlink(&self) -> (u32, u32) {
        let a = self.inode.attr.lock();
        (a.mode, a.nlink)
    }
    fn name(&self, out: &mut Vec<u8>) {
        // What is too long to be told is not told (`seq_file_path`).
        out.extend_from_slice(self.path.d_path().as_deref().unwrap_or(b"?"));
    }
    fn dev_ino(&self) -> (u64, u64) {
        (self.inode.sb.dev.user(), self.inode.ino)
    }
    fn i_mmap(&self) -> Option<&IMmap> {
        self.inode.ops.mapping().map(|m| &m.i_mmap)
    }
    fn punch_hole(&self, start: u64, end: u64) -> Result {
        vfs_fallocate(self, PUNCH_HOLE, start, end)
    }
}

/// What there is of a position to read and write at, and to move by `lseek`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Seeking {
    /// There is one (`generic_file_llseek`, or the file's own).
    Position,
    /// There is one, and `lseek` makes it 0 (`null_lseek`).
    Rewinds,
    /// There is none; `lseek` takes anything, and does nothing (`noop_llseek`).
    Ignored,
    /// There is none, and `lseek` says so (`no_llseek`: pipes, terminals).
    Never,
}

/// `lseek` within a file that has a size, up to where its file system lets files go
/// (`generic_file_llseek`).
pub fn generic_seek(file: &File, offset: i64, whence: u32) -> Result<u64> {
    seek_within(file, offset, whence, file.inode.sb.fs.maxbytes)
}

/// The same as far as there are positions (`default_llseek`).
pub fn default_seek(file: &File, offset: i64, whence: u32) -> Result<u64> {
    seek_within(file, offset, whence, MAX_LFS_FILESIZE)
}

/// The same up to a position (`generic_file_llseek_size`): all of the file is data.
fn seek_within(file: &File, offset: i64, whence: u32, max: u64) -> Result<u64> {
    let mut pos = file.pos.lock();
    let size = file.inode.ops.size() as i64;
    let new = match whence {
        SEEK_SET => offset,
        // Where it is, wherever that is.
        SEEK_CUR if offset == 0 => return Ok(*pos),
        SEEK_CUR => (*pos as i64).checked_add(offset).ok_or(EINVAL)?,
        SEEK_END => size.checked_add(offset).ok_or(EINVAL)?,
        SEEK_DATA if (0..size).contains(&offset) => offset,
        SEEK_HOLE if (0..size).contains(&offset) => size,
        SEEK_DATA | SEEK_HOLE => return Err(ENXIO),
        _ => return Err(EINVAL),
    };
    let new = u64::try_from(new).ok().filter(|&new| new <= max).ok_or(EINVAL)?;
    *pos = new;
    Ok(new)
}
