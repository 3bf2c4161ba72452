// SPDX-License-Identifier: GPL-2.0-only
//! Mounts: joining file systems to one tree (Linux 6.1, `fs/namespace.c`).

use crate::arch::x86::lib::usercopy::{copy_from_user_partial, getname, strncpy_from_user};
use crate::errno::{EBUSY, EFAULT, EINVAL, ENAMETOOLONG, ENODEV, ENOMEM, ENOSPC, ENOTDIR, EPERM, Result};
use crate::fs::dcache::Dentry;
use crate::fs::fs_struct::current_fs;
use crate::fs::inode::mode::S_IFDIR;
use crate::fs::namei::{self, Follow};
use crate::fs::proc::file::PollEvents;
use crate::fs::superblock::get_fs_type;
use crate::fs::tmpfs::{self, TMPFS_MAGIC};
use crate::kernel::capability::capable;
use crate::locking::SpinLock;
use crate::mm::util::kvcalloc;
use alloc::string::String;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};
use linux_raw_sys::general as abi;

/// A file system at a place of the tree.
pub struct Mount {
    /// The topmost directory that is seen through this mount.
    pub root: Arc<Dentry>,
    /// What it covers: a directory of another mount. `None` for the first mount.
    covers: SpinLock<Option<Path>>,
    /// `MS_*` flags of this mount.
    pub flags: AtomicU32,
    /// Regular files that are open for writing through it.
    pub writers: AtomicU32,
    /// Number in `mountinfo`.
    pub id: u32,
    /// The device or other word that was given to `mount`.
    pub source: Vec<u8>,
}

/// A place in the tree: a dentry seen through a mount.
#[derive(Clone)]
pub struct Path {
    /// The mount it is reached through.
    pub mnt: Arc<Mount>,
    /// The name.
    pub dentry: Arc<Dentry>,
}

static MOUNTS: SpinLock<Vec<Arc<Mount>>> = SpinLock::new(Vec::new());
static NEXT_ID: AtomicU32 = AtomicU32::new(1);

impl Mount {
    /// A mount that is nowhere yet.
    pub fn new(root: Arc<Dentry>, source: &[u8], flags: u32) -> Arc<Self> {
        Arc::new(Self {
            root,
            covers: SpinLock::new(None),
            flags: AtomicU32::new(flags),
            writers: AtomicU32::new(0),
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            source: source.to_vec(),
        })
    }
    /// What it covers.
    pub fn mountpoint(&self) -> Option<Path> {
        self.covers.lock().clone()
    }
    /// Whether nothing may be written through it.
    pub fn is_readonly(&self) -> bool {
        self.flags.load(Ordering::Relaxed) & abi::MS_RDONLY != 0
            || self.root.inode.sb.readonly.load(Ordering::Relaxed)
    }
    /// `f_flags` of `statfs` (Linux 6.1, fs/statfs.c, `calculate_f_flags`): the bits of
    /// `mount`, but for one.
    pub fn statfs_flags(&self) -> u32 {
        const ST_RELATIME: u32 = 0x1000;
        let flags = self.flags.load(Ordering::Relaxed);
        let relatime = if flags & abi::MS_RELATIME != 0 { ST_RELATIME } else { 0 };
        let readonly = if self.is_readonly() { abi::MS_RDONLY } else { 0 };
        flags & !abi::MS_RELATIME | relatime | readonly
    }
    /// Its options as `/proc/mounts` has them, the file system's behind its own (Linux 6.1,
    /// fs/proc_namespace.c, `show_mnt_opts`).
    pub fn options(&self) -> String {
        let mut text = self.mnt_options(self.is_readonly());
        text.push_str(&self.root.inode.sb.options.lock());
        text
    }
    /// The mount's own.
    fn mnt_options(&self, readonly: bool) -> String {
        const WORDS: [(u32, &str); 6] = [
            (abi::MS_NOSUID, ",nosuid"),
            (abi::MS_NODEV, ",nodev"),
            (abi::MS_NOEXEC, ",noexec"),
            (abi::MS_NOATIME, ",noatime"),
            (abi::MS_NODIRATIME, ",nodiratime"),
            (abi::MS_RELATIME, ",relatime"),
        ];
        let flags = self.flags.load(Ordering::Relaxed);
        let mut text = String::from(if readonly { "ro" } else { "rw" });
        WORDS.iter().filter(|w| flags & w.0 != 0).for_each(|w| text.push_str(w.1));
        text
    }
    /// The path of its root in the file system (`seq_dentry`).
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn root_in_fs(&self) -> Result<Vec<u8>> {
        let (mut names, mut len) = (Vec::new(), 1);
        let mut at = self.root.clone();
        while let Some(up) = at.parent() {
            let name = at.name();
            len += name.len() + 1;
            names.try_reserve(1).map_err(|_| ENOMEM)?;
            names.push(name);
            at = up;
        }
        let mut path = Vec::new();
        path.try_reserve(len).map_err(|_| ENOMEM)?;
        for name in names.iter().rev() {
            path.push(b'/');
            path.extend_from_slice(name);
        }
        if path.is_empty() {
            path.push(b'/');
        }
        Ok(path)
    }
    /// The mount's own options, and those of the file system, as `mountinfo` has them.
    pub fn separate_options(&self) -> (String, String) {
        let sb = &self.root.inode.sb;
        let own = self.mnt_options(self.flags.load(Ordering::Relaxed) & abi::MS_RDONLY != 0);
        let mut text = String::from(if sb.readonly.load(Ordering::Relaxed) { "ro" } else { "rw" });
        text.push_str(&sb.options.lock());
        (own, text)
    }
    /// Its root as a path.
    pub fn root_path(self: &Arc<Self>) -> Path {
        Path { mnt: self.clone(), dentry: self.root.clone() }
    }
}

/// The first mount: the rootfs that the initramfs is unpacked to.
pub fn rootfs() -> Path {
    static ROOT: spin::Once<Weak<Mount>> = spin::Once::new();
    let weak = ROOT.call_once(|| {
        let root = crate::fs::tmpfs::new_rootfs();
        let m = Mount::new(root, b"rootfs", 0);
        MOUNTS.lock().push(m.clone());
        Arc::downgrade(&m)
    });
    weak.upgrade().expect("the first mount is never unmounted").root_path()
}

/// Longest path name, with its NUL.
const PATH_MAX: usize = 4096;

/// Most mounts (`/proc/sys/fs/mount-max`).
const MOUNT_MAX: usize = 100_000;

/// All mounts, oldest first.
///
/// # Errors
/// `ENOMEM`.
pub fn all_mounts() -> Result<Vec<Arc<Mount>>> {
    let mounts = MOUNTS.lock();
    let mut all = Vec::new();
    all.try_reserve_exact(mounts.len()).map_err(|_| ENOMEM)?;
    all.extend(mounts.iter().cloned());
    Ok(all)
}

/// The mount that covers `p`, if any (`lookup_mnt`).
fn lookup_mnt(p: &Path) -> Option<Arc<Mount>> {
    let mounts = MOUNTS.lock();
    mounts.iter().rev().find(|m| m.covers.lock().as_ref().is_some_and(|c| c.same(p))).cloned()
}

impl Path {
    /// Whether both are the same place.
    pub fn same(&self, o: &Path) -> bool {
        Arc::ptr_eq(&self.mnt, &o.mnt) && Arc::ptr_eq(&self.dentry, &o.dentry)
    }
    /// The root of whatever is mounted here, topmost first (`follow_down`).
    #[must_use]
    pub fn follow_mounts(mut self) -> Path {
        while self.dentry.mounted.load(Ordering::Relaxed) != 0 {
            match lookup_mnt(&self) {
                Some(m) => self = m.root_path(),
                None => break,
            }
        }
        self
    }
    /// Whether nothing here may be run (`path_noexec`).
    pub fn is_noexec(&self) -> bool {
        self.mnt.flags.load(Ordering::Relaxed) & abi::MS_NOEXEC != 0 || self.dentry.inode.sb.fs.noexec
    }
    /// Whether this is the root of its mount.
    pub fn is_mount_root(&self) -> bool {
        Arc::ptr_eq(&self.dentry, &self.mnt.root)
    }
    /// The directory above, crossing mounts, not going above `root` (`follow_dotdot`).
    #[must_use]
    pub fn dotdot(mut self, root: &Path) -> Path {
        loop {
            if self.same(root) {
                break;
            }
            if self.is_mount_root() {
                match self.mnt.mountpoint() {
                    Some(p) => self = p,
                    None => break,
                }
            } else {
                if let Some(p) = self.dentry.parent() {
                    self.dentry = p;
                }
                break;
            }
        }
        self.follow_mounts()
    }

    /// The path name as seen from `root`, and whether `root` was reached (`prepend_path`).
    ///
    /// # Errors
    /// `ENAMETOOLONG` beyond `PATH_MAX`: how deep directories are is up to programs.
    pub fn path_from(&self, root: &Path) -> Result<(Vec<u8>, bool)> {
        let (mut parts, mut len) = (Vec::new(), 1);
        let mut at = self.clone();
        let reached = loop {
            if at.same(root) {
                break true;
            }
            if at.is_mount_root() {
                match at.mnt.mountpoint() {
                    Some(p) => at = p,
                    None => break false,
                }
                continue;
            }
            let name = at.dentry.name();
            len += name.len() + 1;
            if len > PATH_MAX {
                return Err(ENAMETOOLONG);
            }
            parts.push(name);
            match at.dentry.parent() {
                Some(p) => at.dentry = p,
                None => break false,
            }
        };
        let mut out = Vec::new();
        for p in parts.iter().rev() {
            out.push(b'/');
            out.extend_from_slice(p);
        }
        if out.is_empty() {
            out.push(b'/');
        }
        Ok((out, reached))
    }

    /// The path name for people: ` (deleted)` if it was unlinked, `pipe:[12]` and
    /// its like for files without a place (`d_path`).
    ///
    /// # Errors
    /// As [`Path::path_from`].
    pub fn d_path(&self) -> Result<Vec<u8>> {
        if self.dentry.parent().is_none() && !self.is_mount_root() {
            return Ok(self.dentry.name().to_vec());
        }
        let (mut p, _) = self.path_from(&rootfs_or_own_root())?;
        if self.dentry.is_unhashed() {
            p.extend_from_slice(b" (deleted)");
        }
        Ok(p)
    }
}

fn rootfs_or_own_root() -> Path {
    if crate::arch::x86::percpu::this_cpu().has_current() { current_fs().root() } else { rootfs() }
}

/// Something was mounted or unmounted, or differently (`touch_mnt_namespace`).
pub static MOUNT_EVENTS: PollEvents = PollEvents::new();

/// Mounts the file system whose root is `root` on `at`.
pub fn attach(root: Arc<Dentry>, source: &[u8], at: &Path, flags: u32) -> Result<Arc<Mount>> {
    if root.inode.kind() == S_IFDIR && !at.dentry.inode.is_dir() {
        return Err(ENOTDIR);
    }
    let m = Mount::new(root, source, flags);
    let mut mounts = MOUNTS.lock();
    if mounts.len() >= MOUNT_MAX {
        return Err(ENOSPC);
    }
    mounts.try_reserve(1).map_err(|_| ENOMEM)?;
    at.dentry.mounted.fetch_add(1, Ordering::Relaxed);
    *m.covers.lock() = Some(at.clone());
    mounts.push(m.clone());
    drop(mounts);
    MOUNT_EVENTS.notify();
    Ok(m)
}

/// Flags of a mount, as opposed to flags of the call.
const MNT_FLAGS: u32 =
    abi::MS_RDONLY | abi::MS_NOSUID | abi::MS_NODEV | abi::MS_NOEXEC | abi::MS_NOATIME | abi::MS_NODIRATIME;
/// How times of reading are kept.
const ATIME: u32 = abi::MS_NOATIME | abi::MS_NODIRATIME | abi::MS_RELATIME | abi::MS_STRICTATIME;
const PROPAGATION: u32 = abi::MS_SHARED | abi::MS_PRIVATE | abi::MS_SLAVE | abi::MS_UNBINDABLE;

/// `mount(2)`.
pub fn sys_mount(source: usize, target: usize, kind: usize, flags: u32, data: usize) -> Result<usize> {
    let kind = if kind == 0 { None } else { Some(strncpy_from_user(kind, 4096)?) };
    let source = if source == 0 { b"none".to_vec() } else { strncpy_from_user(source, 4096)? };
    let data = copy_mount_options(data)?;
    let at = namei::user_path_at(abi::AT_FDCWD, &getname(target)?, Follow::Yes)?;
    if !capable(abi::CAP_SYS_ADMIN) {
        return Err(EPERM);
    }
    let flags = if flags & 0xffff_0000 == 0xc0ed_0000 { flags & 0xffff } else { flags };
    do_mount(&source, &at, kind.as_deref(), flags, &data)?;
    Ok(0)
}

/// Up to a page of mount options; what cannot be read ends them (`copy_mount_options`).
fn copy_mount_options(data: usize) -> Result<Vec<u8>> {
    if data == 0 {
        return Ok(Vec::new());
    }
    let mut buf = kvcalloc(4096)?;
    let left = copy_from_user_partial(&mut buf, data);
    if left == buf.len() {
        return Err(EFAULT);
    }
    let end = buf.iter().position(|&b| b == 0).unwrap_or(4095);
    buf.truncate(end);
    Ok(buf)
}

fn do_mount(source: &[u8], at: &Path, kind: Option<&[u8]>, flags: u32, data: &[u8]) -> Result {
    if flags & abi::MS_REMOUNT != 0 {
        return do_remount(at, flags, data);
    }
    if flags & abi::MS_BIND != 0 {
        let from = namei::user_path_at(abi::AT_FDCWD, source, Follow::Yes)?;
        let both_dirs = from.dentry.inode.is_dir() == at.dentry.inode.is_dir();
        if !both_dirs {
            return Err(ENOTDIR);
        }
        attach(from.dentry.clone(), &from.mnt.source, at, from.mnt.flags.load(Ordering::Relaxed))?;
        return Ok(());
    }
    if flags & PROPAGATION != 0 {
        // There is one mount namespace, so there is nobody to propagate to.
        return if at.is_mount_root() { Ok(()) } else { Err(EINVAL) };
    }
    if flags & abi::MS_MOVE != 0 {
        return do_move_mount(source, at);
    }
    let fs = get_fs_type(kind.ok_or(EINVAL)?).ok_or(ENODEV)?;
    let root = (fs.mount)(data)?;
    // The same file system on top of itself is refused (do_add_mount).
    if at.is_mount_root() && Arc::ptr_eq(&at.mnt.root, &root) {
        return Err(EBUSY);
    }
    if flags & abi::MS_RDONLY != 0 {
        root.inode.sb.readonly.store(true, Ordering::Relaxed);
    }
    attach(root, source, at, mount_flags(flags))?;
    Ok(())
}

/// What the call's flags make of the mount's: times of reading are kept now and then unless
/// it says otherwise (`path_mount`).
fn mount_flags(flags: u32) -> u32 {
    let kept = flags & MNT_FLAGS;
    match () {
        () if flags & abi::MS_STRICTATIME != 0 => kept & !abi::MS_NOATIME,
        () if flags & abi::MS_NOATIME != 0 => kept,
        () => kept | abi::MS_RELATIME,
    }
}

/// Other flags for a mount, and, unless it is about this mount alone, other options for the
/// file system (`do_remount`, `do_reconfigure_mnt`).
fn do_remount(at: &Path, flags: u32, data: &[u8]) -> Result {
    if !at.is_mount_root() {
        return Err(EINVAL);
    }
    let (m, sb) = (&at.mnt, &at.mnt.root.inode.sb);
    let readonly = flags & abi::MS_RDONLY != 0;
    let writers = |m: &Mount| m.writers.load(Ordering::Relaxed) != 0;
    if readonly && !m.is_readonly() {
        let busy = if flags & abi::MS_BIND != 0 {
            writers(m)
        } else {
            MOUNTS.lock().iter().any(|o| Arc::ptr_eq(&o.root.inode.sb, sb) && writers(o))
        };
        if busy {
            return Err(EBUSY);
        }
    }
    if flags & abi::MS_BIND == 0 {
        if sb.fs.magic == TMPFS_MAGIC {
            tmpfs::reconfigure(sb, data)?;
        }
        sb.readonly.store(readonly, Ordering::Relaxed);
    }
    let mut new = mount_flags(flags);
    if flags & ATIME == 0 {
        new = new & !ATIME | m.flags.load(Ordering::Relaxed) & ATIME;
    }
    m.flags.store(new, Ordering::Relaxed);
    MOUNT_EVENTS.notify();
    Ok(())
}

fn do_move_mount(source: &[u8], at: &Path) -> Result {
    let from = namei::user_path_at(abi::AT_FDCWD, source, Follow::Yes)?;
    if !from.is_mount_root() || from.mnt.mountpoint().is_none() {
        return Err(EINVAL);
    }
    let mut up = Some(at.clone());
    while let Some(p) = up {
        if Arc::ptr_eq(&p.mnt, &from.mnt) {
            return Err(crate::errno::ELOOP);
        }
        up = p.mnt.mountpoint();
    }
    at.dentry.mounted.fetch_add(1, Ordering::Relaxed);
    let old = from.mnt.covers.lock().replace(at.clone());
    if let Some(old) = old {
        old.dentry.mounted.fetch_sub(1, Ordering::Relaxed);
    }
    MOUNT_EVENTS.notify();
    Ok(())
}

const UMOUNT_FLAGS: u32 = 1 | MNT_DETACH | MNT_EXPIRE | UMOUNT_NOFOLLOW;
const MNT_DETACH: u32 = 2;
const MNT_EXPIRE: u32 = 4;
const UMOUNT_NOFOLLOW: u32 = 8;

/// `umount2(2)`.
pub fn sys_umount2(target: usize, flags: u32) -> Result<usize> {
    if flags & !UMOUNT_FLAGS != 0 {
        return Err(EINVAL);
    }
    let follow = if flags & UMOUNT_NOFOLLOW != 0 { Follow::No } else { Follow::Yes };
    let p = namei::user_path_at(abi::AT_FDCWD, &getname(target)?, follow)?;
    if !capable(abi::CAP_SYS_ADMIN) {
        return Err(EPERM);
    }
    if !p.is_mount_root() {
        return Err(EINVAL);
    }
    umount(p, flags & MNT_DETACH != 0)?;
    Ok(0)
}

fn umount(p: Path, lazy: bool) -> Result {
    let m = p.mnt.clone();
    drop(p);
    let mut mounts = MOUNTS.lock();
    let Some(i) = mounts.iter().position(|x| Arc::ptr_eq(x, &m)) else {
        return Err(EINVAL);
    };
    let Some(covered) = m.mountpoint() else {
        return Err(EINVAL);
    };
    let covered_by_others = mounts.iter().any(|x| x.mountpoint().is_some_and(|c| Arc::ptr_eq(&c.mnt, &m)));
    // Two references are ours: the list's and `m`.
    if !lazy && (covered_by_others || Arc::strong_count(&m) > 2) {
        return Err(EBUSY);
    }
    mounts.remove(i);
    drop(mounts);
    covered.dentry.mounted.fetch_sub(1, Ordering::Relaxed);
    m.covers.lock().take();
    MOUNT_EVENTS.notify();
    Ok(())
}

impl Drop for Mount {
    /// The last mount of a file system in memory takes its content along.
    fn drop(&mut self) {
        if self.root.parent().is_none() && Arc::strong_count(&self.root) == 1 + self.root.child_count() {
            self.root.prune();
        }
    }
}
