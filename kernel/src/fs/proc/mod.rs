// SPDX-License-Identifier: GPL-2.0-only
//! `procfs` (Linux 6.1, `fs/proc/`): what the kernel knows, as files.
//!
//! A file's text is made when it is opened, so that it is read whole. The tree is
//! static but for the processes' directories, which are made up on the spot.

pub mod base;
pub mod sysctl;
mod text;

use crate::errno::{EFAULT, EINVAL, EIO, Result};
use crate::fs::dcache::Dentry;
use crate::fs::file_table::{File, FileOps};
use crate::fs::inode::mode::*;
use crate::fs::inode::{Dev, Inode, InodeOps, Link};
use crate::fs::libfs::{DirContext, DirOps};
use crate::fs::seq_file::SeqFile;
use crate::fs::superblock::{FsType, SuperBlock};
use crate::lib::iov_iter::IovIter;
use crate::mm::page_alloc::PAGE_SIZE;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// `proc`.
pub static FS_TYPE: FsType = FsType { name: "proc", magic: 0x9fa0, mount };

/// Makes a file's text.
pub type Show = Box<dyn Fn(&mut SeqFile) -> Result + Send + Sync>;
/// Takes what is written.
pub type Store = fn(&[u8]) -> Result;

/// A file with generated text.
pub struct ProcFile {
    show: Arc<Show>,
    store: Option<Store>,
}

impl ProcFile {
    /// A file that shows `show`'s text.
    pub fn new(show: Show, store: Option<Store>) -> Self {
        Self { show: Arc::new(show), store }
    }
}

impl InodeOps for ProcFile {
    fn open(&self, _: &Arc<Inode>, _: u32) -> Result<Arc<dyn FileOps>> {
        let mut text = SeqFile::new();
        (self.show)(&mut text)?;
        Ok(Arc::new(OpenProcFile { text: text.finish()?, store: self.store }))
    }
}

struct OpenProcFile {
    text: Vec<u8>,
    store: Option<Store>,
}

impl FileOps for OpenProcFile {
    fn read(&self, _: &File, to: &mut IovIter<'_>, pos: &mut u64) -> Result<usize> {
        let at = usize::try_from(*pos).map_err(|_| EINVAL)?.min(self.text.len());
        let want = (self.text.len() - at).min(to.count());
        let n = to.copy_to(&self.text[at..at + want]);
        if n < want && n == 0 {
            return Err(EFAULT);
        }
        *pos += n as u64;
        Ok(n)
    }
    fn write(&self, _: &File, from: &mut IovIter<'_>, pos: &mut u64) -> Result<usize> {
        let store = self.store.ok_or(EIO)?;
        let len = from.count();
        // A number is written whole or not at all (`SYSCTL_WRITES_STRICT`).
        if *pos == 0 {
            store(&from.take_all(PAGE_SIZE)?)?;
        }
        *pos += len as u64;
        Ok(len)
    }
}

/// A directory of the static tree.
struct ProcDir;
impl InodeOps for ProcDir {
    fn open(&self, _: &Arc<Inode>, _: u32) -> Result<Arc<dyn FileOps>> {
        Ok(Arc::new(DirOps))
    }
}

/// The root: the static tree, and a directory for each process.
struct ProcRoot;
impl InodeOps for ProcRoot {
    fn lookup(&self, dir: &Arc<Dentry>, name: &[u8]) -> Result<Option<Arc<Inode>>> {
        Ok(base::lookup_pid(&dir.inode.sb, name))
    }
    fn iterate(&self, _: &Arc<Dentry>, ctx: &mut DirContext<'_>) -> Result {
        base::iterate_pids(ctx);
        Ok(())
    }
    fn open(&self, _: &Arc<Inode>, _: u32) -> Result<Arc<dyn FileOps>> {
        Ok(Arc::new(DirOps))
    }
}

/// A link whose target is made when it is followed.
pub struct ProcLink(pub Box<dyn Fn() -> Result<Link> + Send + Sync>);
impl InodeOps for ProcLink {
    fn get_link(&self) -> Result<Link> {
        (self.0)()
    }
}

/// A file's inode.
pub fn file_inode(sb: &Arc<SuperBlock>, mode: u32, f: ProcFile) -> Arc<Inode> {
    Inode::new(sb, S_IFREG | mode, Dev(0), Box::new(f))
}

/// The directory at `path` below `root`, made if need be.
fn mkdirs(root: &Arc<Dentry>, path: &str) -> Arc<Dentry> {
    let sb = &root.inode.sb;
    path.split('/').filter(|p| !p.is_empty()).fold(root.clone(), |dir, name| {
        dir.child(name.as_bytes()).unwrap_or_else(|| {
            let inode = Inode::new(sb, S_IFDIR | 0o555, Dev(0), Box::new(ProcDir));
            dir.add(name.as_bytes(), inode).unwrap_or(dir)
        })
    })
}

fn add_file(root: &Arc<Dentry>, path: &str, mode: u32, f: ProcFile) {
    let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
    let _ = mkdirs(root, dir).add(name.as_bytes(), file_inode(&root.inode.sb, mode, f));
}

fn make() -> Arc<Dentry> {
    let sb = SuperBlock::new(&FS_TYPE, String::new(), 0, usize::MAX);
    let root = Dentry::root(Inode::new(&sb, S_IFDIR | 0o555, Dev(0), Box::new(ProcRoot)));
    for (name, show) in text::FILES {
        add_file(
            &root,
            name,
            0o444,
            ProcFile::new(
                Box::new(|out| {
                    show(out);
                    Ok(())
                }),
                None,
            ),
        );
    }
    for s in sysctl::TABLE {
        let show: Show = Box::new(|out| {
            (s.show)(out);
            Ok(())
        });
        let mode = if s.store.is_some() { 0o644 } else { 0o444 };
        add_file(&root, &alloc::format!("sys/{}", s.path), mode, ProcFile::new(show, s.store));
    }
    let link = |name: &[u8], f: fn() -> Vec<u8>| {
        let ops = ProcLink(Box::new(move || Ok(Link::Text(f()))));
        let _ = root.add(name, Inode::new(&sb, S_IFLNK | 0o777, Dev(0), Box::new(ops)));
    };
    link(b"self", || alloc::format!("{}", crate::kernel::task::current().tgid).into_bytes());
    link(b"thread-self", || {
        let c = crate::kernel::task::current();
        alloc::format!("{}/task/{}", c.tgid, c.pid).into_bytes()
    });
    link(b"mounts", || b"self/mounts".to_vec());
    root
}

fn mount(_data: &[u8]) -> Result<Arc<Dentry>> {
    static ROOT: spin::Once<Arc<Dentry>> = spin::Once::new();
    Ok(ROOT.call_once(make).clone())
}
