// SPDX-License-Identifier: GPL-2.0-only
//! `devpts`: a node for each pseudoterminal that is open, and `ptmx`, which makes another one
//! (Linux 6.1, `fs/devpts/inode.c`). Each mount is an instance of its own, with its own nodes;
//! the numbers are everybody's.

use crate::drivers::tty::pty;
use crate::errno::{EINVAL, ENODEV, Result};
use crate::fs::char_dev;
use crate::fs::dcache::Dentry;
use crate::fs::file_table::FileOps;
use crate::fs::inode::mode::{S_IFCHR, S_IFDIR};
use crate::fs::inode::{Dev, Inode, InodeOps};
use crate::fs::libfs::DirOps;
use crate::fs::namei::{self, Follow};
use crate::fs::superblock::{FsType, MAX_NON_LFS, SuperBlock};
use crate::kernel::task::current;
use crate::locking::SpinLock;
use crate::mm::util::try_push;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use linux_raw_sys::general::AT_FDCWD;

/// `DEVPTS_SUPER_MAGIC`.
const DEVPTS_MAGIC: u64 = 0x1cd1;

/// `devpts`.
pub static FS_TYPE: FsType =
    FsType { name: "devpts", magic: DEVPTS_MAGIC, noexec: false, maxbytes: MAX_NON_LFS, mount };

/// What `mount -o` says (`parse_mount_options`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Options {
    uid: Option<u32>,
    gid: Option<u32>,
    /// Permissions of terminals, and of `ptmx`.
    mode: u32,
    ptmxmode: u32,
}

impl Options {
    fn parse(data: &[u8]) -> Result<Self> {
        let text = core::str::from_utf8(data).map_err(|_| EINVAL)?;
        let mut o = Self { uid: None, gid: None, mode: 0o600, ptmxmode: 0 };
        let octal = |v| u32::from_str_radix(v, 8).map(|m| m & 0o7777).map_err(|_| EINVAL);
        for word in text.split(',').filter(|w| !w.is_empty()) {
            let (name, value) = word.split_once('=').unwrap_or((word, ""));
            match name {
                "uid" => o.uid = Some(value.parse().map_err(|_| EINVAL)?),
                "gid" => o.gid = Some(value.parse().map_err(|_| EINVAL)?),
                "mode" => o.mode = octal(value)?,
                "ptmxmode" => o.ptmxmode = octal(value)?,
                "newinstance" => {}
                "max" if value.parse::<u32>().is_ok_and(|n| n <= pty::NR_UNIX98_PTY_MAX) => {}
                _ => return Err(EINVAL),
            }
        }
        Ok(o)
    }

    /// As `/proc/mounts` has them (`devpts_show_options`).
    fn shown(&self) -> String {
        let id = |name, id: Option<u32>| id.map_or(String::new(), |id| format!(",{name}={id}"));
        let (uid, gid) = (id("uid", self.uid), id("gid", self.gid));
        format!("{uid}{gid},mode={:03o},ptmxmode={:03o}", self.mode, self.ptmxmode)
    }
}

/// One mounted instance.
struct Instance {
    root: Weak<Dentry>,
    options: Options,
}

static INSTANCES: SpinLock<Vec<Instance>> = SpinLock::new(Vec::new());

/// The root, in which nobody but the kernel makes anything.
struct Dir;
impl InodeOps for Dir {
    fn open(&self, _: &Arc<Inode>, _: u32) -> Result<Arc<dyn FileOps>> {
        Ok(Arc::new(DirOps::Simple))
    }
}

/// A terminal's node.
struct Node;
impl InodeOps for Node {
    fn open(&self, inode: &Arc<Inode>, flags: u32) -> Result<Arc<dyn FileOps>> {
        char_dev::open(inode, flags)
    }
}

/// An instance's own `ptmx`.
struct Ptmx;
impl InodeOps for Ptmx {
    fn open(&self, inode: &Arc<Inode>, _: u32) -> Result<Arc<dyn FileOps>> {
        pty::open_master(&root_of(&inode.sb)?)
    }
}

fn mount(data: &[u8]) -> Result<Arc<Dentry>> {
    let options = Options::parse(data)?;
    let sb = SuperBlock::new(&FS_TYPE, options.shown(), 0, usize::MAX);
    let root = Dentry::root(Inode::new(&sb, S_IFDIR | 0o755, Dev(0), Box::new(Dir)));
    let mode = S_IFCHR | options.ptmxmode;
    root.add(b"ptmx", Inode::new(&sb, mode, pty::PTMX_DEV, Box::new(Ptmx)))?;
    let mut all = INSTANCES.lock();
    all.retain(|i| i.root.strong_count() != 0);
    try_push(&mut all, Instance { root: Arc::downgrade(&root), options })?;
    Ok(root)
}

/// The root of a mounted instance.
fn root_of(sb: &Arc<SuperBlock>) -> Result<Arc<Dentry>> {
    let roots = INSTANCES.lock();
    let mut roots = roots.iter().filter_map(|i| i.root.upgrade());
    roots.find(|r| Arc::ptr_eq(&r.inode.sb, sb)).ok_or(ENODEV)
}

/// The instance that `/dev/ptmx` stands for: the one beside it (`devpts_mntget`).
pub fn at_dev_pts() -> Result<Arc<Dentry>> {
    let at = namei::user_path_at(AT_FDCWD, b"/dev/pts", Follow::Yes).map_err(|_| ENODEV)?;
    root_of(&at.dentry.inode.sb)
}

/// A node for a new terminal, the opener's unless the mount says whose (`devpts_pty_new`).
pub fn pty_new(root: &Arc<Dentry>, index: u32) -> Result<Arc<Dentry>> {
    let found = INSTANCES.lock().iter().find(|i| i.root.as_ptr() == Arc::as_ptr(root)).map(|i| i.options);
    let o = found.ok_or(ENODEV)?;
    let inode = Inode::new(&root.inode.sb, S_IFCHR | o.mode, pty::slave_dev(index), Box::new(Node));
    let cred = current().cred.get();
    let mut a = inode.attr.lock();
    (a.uid, a.gid) = (o.uid.unwrap_or(cred.fsuid), o.gid.unwrap_or(cred.fsgid));
    drop(a);
    root.add(format!("{index}").as_bytes(), inode)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_shown_as_linux_shows_them() {
        assert_eq!(Options::parse(b"").unwrap().shown(), ",mode=600,ptmxmode=000");
        let o = Options::parse(b"gid=5,mode=620,ptmxmode=666,newinstance").unwrap();
        assert_eq!(o.shown(), ",gid=5,mode=620,ptmxmode=666");
        assert_eq!(Options::parse(b"mode=9"), Err(EINVAL));
        assert_eq!(Options::parse(b"what"), Err(EINVAL));
    }
}
