// SPDX-License-Identifier: GPL-2.0-only
//! Inodes: what a name stands for (Linux 6.1, `include/linux/fs.h`, `fs/inode.c`).

use crate::errno::{EACCES, EINVAL, ENOTDIR, ENXIO, EPERM, ETXTBSY, Result};
use crate::fs::dcache::Dentry;
use crate::fs::file_table::FileOps;
use crate::fs::filemap::AddressSpace;
use crate::fs::libfs::DirContext;
use crate::fs::locks::Locks;
use crate::fs::namespace::Path;
use crate::fs::superblock::SuperBlock;
use crate::kernel::cred::Cred;
use crate::kernel::task::current;
use crate::kernel::time::timekeeping::ktime_get_real;
use crate::locking::SpinLock;
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicI32, AtomicU8, AtomicU64, Ordering};
use linux_raw_sys::general::{CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER};

/// Bits of `st_mode`: the file's type.
#[allow(missing_docs)]
pub mod mode {
    pub const S_IFMT: u32 = 0o170000;
    pub const S_IFSOCK: u32 = 0o140000;
    pub const S_IFLNK: u32 = 0o120000;
    pub const S_IFREG: u32 = 0o100000;
    pub const S_IFBLK: u32 = 0o060000;
    pub const S_IFDIR: u32 = 0o040000;
    pub const S_IFCHR: u32 = 0o020000;
    pub const S_IFIFO: u32 = 0o010000;
    pub const S_ISUID: u32 = 0o4000;
    pub const S_ISGID: u32 = 0o2000;
    pub const S_ISVTX: u32 = 0o1000;
    /// Everything but the type.
    pub const S_IALLUGO: u32 = 0o7777;
    pub const S_IRWXUGO: u32 = 0o777;
    pub const S_IXUGO: u32 = 0o111;
}
use mode::*;

/// `MAY_EXEC` of a permission check.
pub const MAY_EXEC: u32 = 1;
/// `MAY_WRITE` of a permission check.
pub const MAY_WRITE: u32 = 2;
/// `MAY_READ` of a permission check.
pub const MAY_READ: u32 = 4;

/// A point in time with nanoseconds (`timespec64`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Time {
    /// Seconds since 1970.
    pub sec: i64,
    /// Nanoseconds of the second.
    pub nsec: u32,
}

impl Time {
    /// The present.
    pub fn now() -> Self {
        Self::from_ns(ktime_get_real())
    }
    /// From nanoseconds since 1970.
    pub const fn from_ns(ns: u64) -> Self {
        Self { sec: (ns / 1_000_000_000) as i64, nsec: (ns % 1_000_000_000) as u32 }
    }
}

/// What can be changed about an inode.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Attr {
    /// Type and permissions.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub nlink: u32,
    pub atime: Time,
    pub mtime: Time,
    pub ctime: Time,
}

/// Where a symbolic link leads.
pub enum Link {
    /// A path name to be walked.
    Text(Vec<u8>),
    /// A place (`/proc/PID/fd/1` and its like).
    Place(Path),
}

/// A device number in the kernel's encoding: 12 bits of major, 20 of minor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Dev(pub u32);

impl Dev {
    /// `MKDEV`.
    pub const fn new(major: u32, minor: u32) -> Self {
        Self(major << 20 | minor & 0xf_ffff)
    }
    /// The driver.
    pub const fn major(self) -> u32 {
        self.0 >> 20
    }
    /// The device of that driver.
    pub const fn minor(self) -> u32 {
        self.0 & 0xf_ffff
    }
    /// As user space sees it (`new_encode_dev`).
    pub const fn user(self) -> u64 {
        let (major, minor) = (self.major() as u64, self.minor() as u64);
        minor & 0xff | major << 8 | (minor & !0xff) << 12
    }
    /// From the number in a system call (`new_decode_dev`).
    pub const fn from_user(dev: u32) -> Self {
        Self::new(dev >> 8 & 0xfff, dev & 0xff | dev >> 12 & 0xf_ff00)
    }
}

/// What kinds of inode do differently.
pub trait InodeOps: Send + Sync {
    /// Finds a name of a directory that is not kept in the dentry tree.
    fn lookup(&self, dir: &Arc<Dentry>, name: &[u8]) -> Result<Option<Arc<Inode>>> {
        let _ = (dir, name);
        Ok(None)
    }
    /// Lists the names that `lookup` finds, from position `ctx.pos` on.
    fn iterate(&self, dir: &Arc<Dentry>, ctx: &mut DirContext<'_>) -> Result {
        let _ = (dir, ctx);
        Ok(())
    }
    /// Whether names may be created and removed.
    fn can_create(&self) -> bool {
        false
    }
    /// What even those get who would make a name that is not there: `ENOENT` where finding
    /// names is the kernel's own (`proc`'s lookups fail, others find nothing).
    fn absent(&self) -> Result {
        Ok(())
    }
    /// A name was hung below the directory.
    fn name_added(&self) {}
    /// A name was taken away.
    fn name_removed(&self) {}
    /// Where a symbolic link leads.
    fn get_link(&self) -> Result<Link> {
        Err(EINVAL)
    }
    /// What `readlink` says, where it is not what `get_link` says.
    fn readlink(&self) -> Result<Vec<u8>> {
        match self.get_link()? {
            Link::Text(t) => Ok(t),
            Link::Place(p) => p.d_path(),
        }
    }
    /// Opens the file: its operations.
    fn open(&self, inode: &Arc<Inode>, flags: u32) -> Result<Arc<dyn FileOps>> {
        let _ = (inode, flags);
        Err(ENXIO)
    }
    /// The file's pages, if it is kept in memory.
    fn mapping(&self) -> Option<&AddressSpace> {
        None
    }
    /// `st_size`.
    fn size(&self) -> u64 {
        self.mapping().map_or(0, AddressSpace::size)
    }
    /// The process whose directory in `/proc` it is (`tgid_pidfd_to_pid`).
    fn tgid(&self) -> Option<i32> {
        None
    }
    /// Whether `cred` may do `mask` to an inode with these attributes.
    fn permission(&self, attr: &Attr, cred: &Cred, mask: u32) -> Result {
        generic_permission(attr, cred, mask)
    }
}

/// What even its owner cannot change about an inode.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Fixed {
    /// Everything can be changed.
    Nothing,
    /// Who may use it (Linux 6.1, fs/proc/base.c, `proc_nochmod_setattr`).
    Mode,
    /// Whose it is, too (fs/proc/proc_sysctl.c, `proc_sys_setattr`).
    ModeAndOwner,
    /// Nor its times (`S_IMMUTABLE`, of a process's directory).
    All,
}

/// An object of a file system.
pub struct Inode {
    /// The file system it belongs to.
    pub sb: Arc<SuperBlock>,
    /// Its number there.
    pub ino: u64,
    /// For device nodes: which.
    pub rdev: Dev,
    /// Owner, permissions, times.
    pub attr: SpinLock<Attr>,
    /// What cannot be changed about them.
    pub fixed: Fixed,
    /// What it does.
    pub ops: Box<dyn InodeOps>,
    /// Writers (positive), or programs running from it (negative): `i_writecount`.
    pub writecount: AtomicI32,
    /// How long its data is expected to live (`F_SET_RW_HINT`).
    pub write_hint: AtomicU8,
    /// Locks of programs on it.
    pub locks: Locks,
}

static NEXT_INO: AtomicU64 = AtomicU64::new(1);

/// A fresh inode number (`get_next_ino`).
pub fn get_next_ino() -> u64 {
    NEXT_INO.fetch_add(1, Ordering::Relaxed)
}

impl Inode {
    /// A new inode with one link (two if it is a directory), owned by root.
    pub fn new(sb: &Arc<SuperBlock>, mode: u32, rdev: Dev, ops: Box<dyn InodeOps>) -> Arc<Self> {
        Self::with_fixed(sb, (mode, Fixed::Nothing), rdev, ops)
    }
    /// One of which something cannot be changed.
    pub fn with_fixed(
        sb: &Arc<SuperBlock>,
        (mode, fixed): (u32, Fixed),
        rdev: Dev,
        ops: Box<dyn InodeOps>,
    ) -> Arc<Self> {
        let now = Time::now();
        let nlink = if mode & S_IFMT == S_IFDIR { 2 } else { 1 };
        let attr = Attr { mode, uid: 0, gid: 0, nlink, atime: now, mtime: now, ctime: now };
        Arc::new(Self {
            sb: sb.clone(),
            ino: get_next_ino(),
            rdev,
            attr: SpinLock::new(attr),
            fixed,
            ops,
            writecount: AtomicI32::new(0),
            write_hint: AtomicU8::new(0),
            locks: Locks::default(),
        })
    }
    /// Makes it the current task's (`inode_init_owner`).
    pub fn init_owner(&self) {
        let cred = current().cred.get();
        let mut a = self.attr.lock();
        (a.uid, a.gid) = (cred.fsuid, cred.fsgid);
    }
    /// Type and permissions.
    pub fn mode(&self) -> u32 {
        self.attr.lock().mode
    }
    /// Just the type: `S_IFREG` and its like.
    pub fn kind(&self) -> u32 {
        self.mode() & S_IFMT
    }
    /// Whether it is a directory.
    pub fn is_dir(&self) -> bool {
        self.kind() == S_IFDIR
    }
    /// Whether it is a regular file.
    pub fn is_reg(&self) -> bool {
        self.kind() == S_IFREG
    }
    /// Whether it is a symbolic link.
    pub fn is_symlink(&self) -> bool {
        self.kind() == S_IFLNK
    }
    /// `ENOTDIR` unless it is a directory.
    pub fn want_dir(&self) -> Result {
        if self.is_dir() { Ok(()) } else { Err(ENOTDIR) }
    }

    /// Notes that the content changed.
    pub fn touch_mtime(&self) {
        let now = Time::now();
        let mut a = self.attr.lock();
        a.mtime = now;
        a.ctime = now;
    }
    /// Notes that the attributes changed.
    pub fn touch_ctime(&self) {
        self.attr.lock().ctime = Time::now();
    }

    /// Whether `cred` may do `mask` (`inode_permission`).
    pub fn permission(&self, cred: &Cred, mask: u32) -> Result {
        let attr = self.attr.lock().clone();
        self.ops.permission(&attr, cred, mask)
    }

    /// Whether `cred` owns the file, or could open it for writing.
    pub fn owner_or_may_write(&self, cred: &Cred) -> bool {
        let owner = owner_or_capable(&self.attr.lock(), cred);
        owner.or_else(|_| self.permission(cred, MAY_WRITE)).is_ok()
    }

    /// Counts a writer; fails while a program runs from the file (`get_write_access`).
    pub fn get_write_access(&self) -> Result {
        self.count_write(|n| n >= 0, 1)
    }
    /// Undoes [`Inode::get_write_access`].
    pub fn put_write_access(&self) {
        self.writecount.fetch_sub(1, Ordering::AcqRel);
    }
    /// Keeps writers out; fails while there are any (`deny_write_access`).
    pub fn deny_write_access(&self) -> Result {
        self.count_write(|n| n <= 0, -1)
    }
    /// Undoes [`Inode::deny_write_access`].
    pub fn allow_write_access(&self) {
        self.writecount.fetch_add(1, Ordering::AcqRel);
    }
    fn count_write(&self, ok: impl Fn(i32) -> bool, by: i32) -> Result {
        self.writecount
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| ok(n).then_some(n + by))
            .map(drop)
            .map_err(|_| ETXTBSY)
    }
}

/// The permission rules: owner, else group, else others; and who may override them, though
/// not to execute what nobody may (Linux 6.1, fs/namei.c, `generic_permission`).
pub fn generic_permission(a: &Attr, cred: &Cred, mask: u32) -> Result {
    let class = if cred.fsuid == a.uid {
        a.mode >> 6
    } else if cred.in_group(a.gid) {
        a.mode >> 3
    } else {
        a.mode
    };
    if class & 7 & mask == mask {
        return Ok(());
    }
    let is_dir = a.mode & S_IFMT == S_IFDIR;
    let searches = if is_dir { mask & MAY_WRITE == 0 } else { mask == MAY_READ };
    let runnable = is_dir || a.mode & S_IXUGO != 0;
    let overridden = searches && cred.capable(CAP_DAC_READ_SEARCH)
        || (mask & MAY_EXEC == 0 || runnable) && cred.capable(CAP_DAC_OVERRIDE);
    if overridden { Ok(()) } else { Err(EACCES) }
}

/// Whether `cred` owns the file or may act as its owner (`inode_owner_or_capable`).
pub fn owner_or_capable(a: &Attr, cred: &Cred) -> Result {
    if cred.fsuid == a.uid || cred.capable(CAP_FOWNER) { Ok(()) } else { Err(EPERM) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::capability::KernelCap;

    #[test]
    fn device_numbers_survive_the_user_encoding() {
        for (major, minor) in [(1, 3), (4, 64), (5, 1), (0xfff, 0xfffff), (8, 0x12345)] {
            let d = Dev::new(major, minor);
            assert_eq!(Dev::from_user(d.user() as u32), d);
        }
        assert_eq!(Dev::new(4, 64).user(), 0x440);
    }

    #[test]
    fn classes_are_not_added_up() {
        let t = Time::default();
        let a = Attr { mode: S_IFREG | 0o077, uid: 5, gid: 6, nlink: 1, atime: t, mtime: t, ctime: t };
        let who = |fsuid, fsgid| Cred { fsuid, fsgid, ..Cred::default() };
        assert_eq!(generic_permission(&a, &who(5, 6), MAY_READ), Err(EACCES));
        assert_eq!(generic_permission(&a, &who(7, 6), MAY_READ), Ok(()));
        assert_eq!(generic_permission(&a, &who(0, 0), MAY_READ), Ok(()));
        assert_eq!(generic_permission(&a, &Cred::root(), MAY_READ | MAY_WRITE), Ok(()));
        let plain = Attr { mode: S_IFREG | 0o640, ..a.clone() };
        assert_eq!(generic_permission(&plain, &Cred::root(), MAY_EXEC), Err(EACCES));
        assert_eq!(generic_permission(&plain, &who(7, 7), MAY_READ), Err(EACCES));
        let member = Cred { groups: Arc::new([6].into()), ..who(7, 7) };
        assert_eq!(generic_permission(&plain, &member, MAY_READ), Ok(()));
        assert_eq!(generic_permission(&plain, &member, MAY_WRITE), Err(EACCES));
        let reader = Cred { cap_effective: KernelCap::of(&[CAP_DAC_READ_SEARCH]), ..who(7, 7) };
        assert_eq!(generic_permission(&plain, &reader, MAY_READ), Ok(()));
        assert_eq!(generic_permission(&plain, &reader, MAY_READ | MAY_WRITE), Err(EACCES));
        let dir = Attr { mode: S_IFDIR | 0o700, ..a };
        assert_eq!(generic_permission(&dir, &reader, MAY_READ | MAY_EXEC), Ok(()));
        assert_eq!(generic_permission(&dir, &reader, MAY_WRITE | MAY_EXEC), Err(EACCES));
    }
}
