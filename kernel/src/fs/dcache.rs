// SPDX-License-Identifier: GPL-2.0-only
//! Dentries: names and where they hang (Linux 6.1, `fs/dcache.c`).
//!
//! File systems here live in memory, so the tree of dentries *is* the directory
//! tree: a directory's children hang on its dentry until they are unlinked.
//! Directories that are made up on the spot (`/proc/PID`) have no children here;
//! their inodes find names in [`InodeOps::lookup`](crate::fs::inode::InodeOps).

use crate::arch::x86::lib::usercopy::copy_to_user;
use crate::errno::{EEXIST, ENOENT, ENOMEM, ERANGE, Result};
use crate::fs::fs_struct::current_fs;
use crate::fs::inode::Inode;
use crate::locking::SpinLock;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::hash::{BuildHasherDefault, Hasher};
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use hashbrown::HashMap;

/// The FNV-1a hash: short names, and nothing to seed.
pub struct NameHash(u64);

impl Default for NameHash {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for NameHash {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for &b in bytes {
            self.0 = (self.0 ^ u64::from(b)).wrapping_mul(0x100_0000_01b3);
        }
    }
}

type Children = HashMap<Arc<[u8]>, Arc<Dentry>, BuildHasherDefault<NameHash>>;

/// Where a dentry hangs.
struct Place {
    name: Arc<[u8]>,
    parent: Option<Arc<Dentry>>,
}

/// A name for an inode.
pub struct Dentry {
    place: SpinLock<Place>,
    /// What it names.
    pub inode: Arc<Inode>,
    children: SpinLock<Children>,
    /// Order of creation among its siblings; directories are listed newest first.
    pub seq: AtomicU64,
    unhashed: AtomicBool,
    /// The file system counts it among its names.
    counted: AtomicBool,
    /// How many mounts cover it.
    pub mounted: AtomicU32,
}

static NEXT_SEQ: AtomicU64 = AtomicU64::new(1);
/// Held while the tree changes shape, so that checks made before hold (`rename_lock`).
static TREE: SpinLock<()> = SpinLock::new(());

/// Keeps the tree's shape as it is.
pub fn lock_tree() -> spin::MutexGuard<'static, ()> {
    TREE.lock()
}

impl Dentry {
    fn new(name: Arc<[u8]>, parent: Option<Arc<Dentry>>, inode: Arc<Inode>) -> Arc<Self> {
        Arc::new(Self {
            place: SpinLock::new(Place { name, parent }),
            inode,
            children: SpinLock::new(Children::default()),
            seq: AtomicU64::new(NEXT_SEQ.fetch_add(1, Ordering::Relaxed)),
            unhashed: AtomicBool::new(false),
            counted: AtomicBool::new(false),
            mounted: AtomicU32::new(0),
        })
    }
    /// The root of a file system (`d_make_root`).
    pub fn root(inode: Arc<Inode>) -> Arc<Self> {
        Self::new(Arc::from(&b"/"[..]), None, inode)
    }
    /// A dentry that hangs below `dir` but is not found there: for directories
    /// that are made up on the spot.
    pub fn transient(dir: &Arc<Dentry>, name: &[u8], inode: Arc<Inode>) -> Arc<Self> {
        Self::new(Arc::from(name), Some(dir.clone()), inode)
    }
    /// A file without a place in any directory (`d_alloc_pseudo`).
    pub fn pseudo(name: &[u8], inode: Arc<Inode>) -> Arc<Self> {
        Self::new(Arc::from(name), None, inode)
    }

    /// The name, without the path.
    pub fn name(&self) -> Arc<[u8]> {
        self.place.lock().name.clone()
    }
    /// The directory it is in; `None` for a root.
    pub fn parent(&self) -> Option<Arc<Dentry>> {
        self.place.lock().parent.clone()
    }
    /// Whether it was unlinked.
    pub fn is_unhashed(&self) -> bool {
        self.unhashed.load(Ordering::Relaxed)
    }

    /// Hangs `inode` below this directory.
    pub fn add(self: &Arc<Self>, name: &[u8], inode: Arc<Inode>) -> Result<Arc<Dentry>> {
        let d = Self::new(Arc::from(name), Some(self.clone()), inode);
        let mut c = self.children.lock();
        if c.contains_key(name) {
            return Err(EEXIST);
        }
        // How many names a directory has is up to programs.
        c.try_reserve(1).map_err(|_| ENOMEM)?;
        self.inode.sb.charge_inode()?;
        d.counted.store(true, Ordering::Relaxed);
        c.insert(d.name(), d.clone());
        self.inode.ops.name_added();
        Ok(d)
    }
    /// Finds a child that hangs here.
    pub fn child(&self, name: &[u8]) -> Option<Arc<Dentry>> {
        self.children.lock().get(name).cloned()
    }
    /// Finds a name, hanging here or made up.
    pub fn lookup(self: &Arc<Self>, name: &[u8]) -> Result<Option<Arc<Dentry>>> {
        if let Some(d) = self.child(name) {
            return Ok(Some(d));
        }
        Ok(self.inode.ops.lookup(self, name)?.map(|i| Self::transient(self, name, i)))
    }
    /// Whether nothing hangs here.
    pub fn is_empty(&self) -> bool {
        self.children.lock().is_empty()
    }
    /// Number of children.
    pub fn child_count(&self) -> usize {
        self.children.lock().len()
    }
    /// The children, newest first, with what orders them; `ENOMEM`.
    pub fn list(&self) -> Result<Vec<(u64, Arc<Dentry>)>> {
        let c = self.children.lock();
        let mut v = Vec::new();
        v.try_reserve_exact(c.len()).map_err(|_| ENOMEM)?;
        v.extend(c.values().map(|d| (d.seq.load(Ordering::Relaxed), d.clone())));
        drop(c);
        v.sort_unstable_by_key(|e| core::cmp::Reverse(e.0));
        Ok(v)
    }

    /// Takes this name away from its directory (`d_delete`).
    pub fn unhash(self: &Arc<Self>) {
        if let Some(p) = self.parent() {
            let mut c = p.children.lock();
            let name = self.name();
            if c.get(&name).is_some_and(|d| Arc::ptr_eq(d, self)) {
                c.remove(&name);
                p.inode.ops.name_removed();
            }
        }
        self.unhashed.store(true, Ordering::Relaxed);
    }
    /// Gives it another name and directory, where the name must be free (`d_move`).
    pub fn rehash(self: &Arc<Self>, dir: &Arc<Dentry>, name: &[u8]) {
        self.unhash();
        let name: Arc<[u8]> = Arc::from(name);
        *self.place.lock() = Place { name: name.clone(), parent: Some(dir.clone()) };
        self.seq.store(NEXT_SEQ.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
        self.unhashed.store(false, Ordering::Relaxed);
        dir.children.lock().insert(name, self.clone());
        dir.inode.ops.name_added();
    }

    /// Whether `self` is `of` or lies below it.
    pub fn is_below(self: &Arc<Self>, of: &Arc<Dentry>) -> bool {
        let mut d = Some(self.clone());
        while let Some(x) = d {
            if Arc::ptr_eq(&x, of) {
                return true;
            }
            d = x.parent();
        }
        false
    }

    /// Lets go of everything below: a file system that is unmounted for good
    /// (`shrink_dcache_for_umount`). Iterative, so that depth costs no stack.
    pub fn prune(self: &Arc<Self>) {
        let take = |d: &Self| core::mem::take(&mut *d.children.lock()).into_values();
        let mut todo = alloc::vec![take(self)];
        while let Some(level) = todo.last_mut() {
            match level.next() {
                Some(d) if d.is_empty() => {}
                Some(d) => todo.push(take(&d)),
                None => drop(todo.pop()),
            }
        }
    }
}

/// `getcwd(2)`.
pub fn sys_getcwd(buf: usize, size: usize) -> Result<usize> {
    let fs = current_fs();
    let pwd = fs.pwd();
    if pwd.dentry.is_unhashed() {
        return Err(ENOENT);
    }
    let (path, reached) = pwd.path_from(&fs.root())?;
    let mut text = if reached { Vec::new() } else { b"(unreachable)".to_vec() };
    text.extend_from_slice(&path);
    text.push(0);
    if text.len() > size {
        return Err(ERANGE);
    }
    copy_to_user(buf, &text)?;
    Ok(text.len())
}

impl Drop for Dentry {
    /// Parents are let go one after the other, not by recursion.
    fn drop(&mut self) {
        if *self.counted.get_mut() {
            self.inode.sb.uncharge_inode();
        }
        let mut next = self.place.lock().parent.take();
        while let Some(p) = next {
            next = match Arc::try_unwrap(p) {
                Ok(d) => d.place.lock().parent.take(),
                Err(_) => None,
            };
        }
    }
}
