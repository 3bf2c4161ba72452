// SPDX-License-Identifier: GPL-2.0-only
//! `procfs` (Linux 6.1, `fs/proc/`): what the kernel knows, as files.
//!
//! A file's text is made when it is read ([`file`]). The tree is static but for the processes' directories, which are made up on the spot.

mod array;
pub mod base;
mod fd;
pub mod file;
mod kmsg;
mod kstack;
mod map_files;
mod mem;
pub mod meminfo;
mod pagemap;
mod smaps;
pub mod sysctl;
mod task_mmu;
mod text;

use crate::drivers::tty::sysrq::write_sysrq_trigger;
use crate::errno::{EIO, ENOENT, Result};
use crate::fs::dcache::Dentry;
use crate::fs::file_table::FileOps;
use crate::fs::inode::mode::*;
use crate::fs::inode::{Dev, Fixed, Inode, InodeOps, Link};
use crate::fs::libfs::{DirContext, DirOps};
use crate::fs::locks::locks_show;
use crate::fs::superblock::{FsType, MAX_NON_LFS, SuperBlock};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use file::{Kind, Polled, ProcFile};

/// `proc`.
pub static FS_TYPE: FsType =
    FsType { name: "proc", magic: 0x9fa0, noexec: true, maxbytes: MAX_NON_LFS, mount };

/// A directory of the static tree.
struct ProcDir;
impl InodeOps for ProcDir {
    fn absent(&self) -> Result {
        Err(ENOENT)
    }
    fn open(&self, _: &Arc<Inode>, _: u32) -> Result<Arc<dyn FileOps>> {
        Ok(Arc::new(DirOps::Generic))
    }
}

/// The root: the static tree, and a directory for each process.
struct ProcRoot;
impl InodeOps for ProcRoot {
    fn absent(&self) -> Result {
        Err(ENOENT)
    }
    fn lookup(&self, dir: &Arc<Dentry>, name: &[u8]) -> Result<Option<Arc<Inode>>> {
        Ok(base::lookup_pid(&dir.inode.sb, name))
    }
    fn iterate(&self, _: &Arc<Dentry>, ctx: &mut DirContext<'_>) -> Result {
        base::iterate_pids(ctx);
        Ok(())
    }
    fn open(&self, _: &Arc<Inode>, _: u32) -> Result<Arc<dyn FileOps>> {
        Ok(Arc::new(DirOps::Generic))
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
    let fixed = if f.is_sysctl() { Fixed::ModeAndOwner } else { Fixed::Nothing };
    Inode::with_fixed(sb, (S_IFREG | mode, fixed), Dev(0), Box::new(f))
}

/// The directory at `path` below `root`, made if need be.
fn mkdirs(root: &Arc<Dentry>, path: &str) -> Arc<Dentry> {
    let sb = &root.inode.sb;
    path.split('/').filter(|p| !p.is_empty()).fold(root.clone(), |dir, name| {
        dir.child(name.as_bytes()).unwrap_or_else(|| {
            let in_sys = path == "sys" || path.starts_with("sys/");
            let fixed = if in_sys { Fixed::ModeAndOwner } else { Fixed::Nothing };
            let inode = Inode::with_fixed(sb, (S_IFDIR | 0o555, fixed), Dev(0), Box::new(ProcDir));
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
    for (name, show) in text::FILES.iter().chain(&crate::ipc::procfs::FILES) {
        let file = ProcFile::new(|out| {
            show(out);
            Ok(())
        });
        add_file(&root, name, 0o444, file.of_kind(Kind::Registered).polled(Polled::Always));
    }
    add_file(
        &root,
        "locks",
        0o444,
        ProcFile::new(locks_show).of_kind(Kind::Registered).polled(Polled::Always),
    );
    let trigger = ProcFile::new(|_| Err(EIO)).with_store(write_sysrq_trigger);
    add_file(&root, "sysrq-trigger", 0o200, trigger.of_kind(Kind::Registered).polled(Polled::Always));
    let _ = root.add(b"kmsg", Inode::new(&sb, S_IFREG | 0o400, Dev(0), Box::new(kmsg::KmsgFile)));
    for s in sysctl::TABLE {
        let file = ProcFile::new(|out| {
            (s.show)(out);
            Ok(())
        });
        let (mode, file) = match s.store {
            Some(store) => (0o644, file.with_store(store)),
            None => (0o444, file),
        };
        add_file(
            &root,
            &alloc::format!("sys/{}", s.path),
            mode,
            file.of_kind(sysctl::kind(s.path)).polled(sysctl::polled(s.path)),
        );
    }
    let link = |name: &[u8], f: fn() -> Vec<u8>| {
        let ops = ProcLink(Box::new(move || Ok(Link::Text(f()))));
        let _ = root.add(name, Inode::new(&sb, S_IFLNK | 0o777, Dev(0), Box::new(ops)));
    };
    link(b"self", || alloc::format!("{}", crate::kernel::task::current().tgid).into_bytes());
    link(b"thread-self", || {
        let c = crate::kernel::task::current();
        alloc::format!("{}/task/{}", c.tgid, c.pid()).into_bytes()
    });
    link(b"mounts", || b"self/mounts".to_vec());
    root
}

fn mount(_data: &[u8]) -> Result<Arc<Dentry>> {
    static ROOT: spin::Once<Arc<Dentry>> = spin::Once::new();
    Ok(ROOT.call_once(make).clone())
}
