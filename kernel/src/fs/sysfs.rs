// SPDX-License-Identifier: GPL-2.0-only
//! `sysfs`: the directories and files that programs look for (Linux 6.1, `fs/sysfs/`): which
//! CPUs there are (`drivers/base/cpu.c`), which terminals, what counts the time.

use crate::errno::{EACCES, EIO, Result};
use crate::fs::char_dev::for_each_device;
use crate::fs::dcache::Dentry;
use crate::fs::file_table::FileOps;
use crate::fs::inode::mode::{S_IFDIR, S_IFLNK, S_IFREG};
use crate::fs::inode::{Dev, Inode, InodeOps, Link};
use crate::fs::libfs::DirOps;
use crate::fs::proc::file::{Kind, Polled, ProcFile, StoreFn};
use crate::fs::seq_file::SeqFile;
use crate::fs::superblock::{FsType, MAX_NON_LFS, SuperBlock};
use crate::kernel::time::clocksource;
use crate::mm::page_alloc::PAGE_SIZE;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use linux_raw_sys::general as abi;

/// A directory, in which nobody but the kernel makes anything.
struct SysDir;
impl InodeOps for SysDir {
    fn open(&self, _: &Arc<Inode>, _: u32) -> Result<Arc<dyn FileOps>> {
        Ok(Arc::new(DirOps::Generic))
    }
}

/// A link to another directory of the tree.
struct SysLink(String);
impl InodeOps for SysLink {
    fn get_link(&self) -> Result<Link> {
        Ok(Link::Text(self.0.clone().into_bytes()))
    }
    fn size(&self) -> u64 {
        self.0.len() as u64
    }
}

/// An attribute. Whoever may pass over permissions may not open it for what it cannot do (Linux 6.1,
/// `fs/kernfs/file.c`, `kernfs_fop_open`), and its size is a page whatever its text is.
struct SysFile {
    mode: u32,
    file: ProcFile,
}

impl InodeOps for SysFile {
    fn open(&self, inode: &Arc<Inode>, flags: u32) -> Result<Arc<dyn FileOps>> {
        let access = flags & abi::O_ACCMODE;
        if access != abi::O_RDONLY && self.mode & 0o222 == 0
            || access != abi::O_WRONLY && self.mode & 0o444 == 0
        {
            return Err(EACCES);
        }
        self.file.open(inode, flags)
    }
    fn size(&self) -> u64 {
        PAGE_SIZE as u64
    }
}

/// `sysfs`.
pub static FS_TYPE: FsType =
    FsType { name: "sysfs", magic: 0x6265_6572, noexec: true, maxbytes: MAX_NON_LFS, mount };

/// Directories that are there whatever is in them.
const DIRS: &[&str] = &[
    "block",
    "bus",
    "class",
    "dev/block",
    "dev/char",
    "devices/system/cpu/cpu0",
    "devices/virtual",
    "firmware",
    "fs",
    "kernel/debug",
    "module",
    "power",
];

type ShowFn = fn(&mut SeqFile);

/// Files and their text.
const FILES: &[(&str, ShowFn)] = &[
    ("devices/system/cpu/kernel_max", |o| o.put(b"0\n")),
    ("devices/system/cpu/offline", |o| o.put(b"\n")),
    ("devices/system/cpu/online", |o| o.put(b"0\n")),
    ("devices/system/cpu/possible", |o| o.put(b"0\n")),
    ("devices/system/cpu/present", |o| o.put(b"0\n")),
    ("devices/system/clocksource/clocksource0/available_clocksource", clocksource::show_available),
    ("class/tty/console/active", |o| writeln!(o, "ttyS{}", crate::drivers::tty::serial::console_port())),
];

/// The directory at `path` below `root`, made if need be.
fn mkdirs(root: &Arc<Dentry>, path: &str) -> Arc<Dentry> {
    path.split('/').filter(|p| !p.is_empty()).fold(root.clone(), |dir, name| {
        dir.child(name.as_bytes()).unwrap_or_else(|| {
            let inode = Inode::new(&root.inode.sb, S_IFDIR | 0o755, Dev(0), Box::new(SysDir));
            dir.add(name.as_bytes(), inode).unwrap_or(dir)
        })
    })
}

fn add(root: &Arc<Dentry>, path: &str, mode: u32, file: ProcFile) {
    let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
    let file = Box::new(SysFile { mode, file: file.of_kind(Kind::Attribute).polled(Polled::News) });
    // The names differ from one another.
    let _ = mkdirs(root, dir).add(name.as_bytes(), Inode::new(&root.inode.sb, S_IFREG | mode, Dev(0), file));
}

fn add_file(root: &Arc<Dentry>, path: &str, show: impl Fn(&mut SeqFile) + Send + Sync + 'static) {
    let show = move |o: &mut SeqFile| {
        show(o);
        Ok(())
    };
    add(root, path, 0o444, ProcFile::new(show));
}

/// The same, taking what is written, unless that is nothing (`sysfs_kf_write`).
fn with_store(file: ProcFile, store: StoreFn) -> ProcFile {
    file.with_store(move |text| if text.is_empty() { Ok(()) } else { store(text) })
}

/// The files by which clock sources are chosen and let go.
fn add_clock_sources(root: &Arc<Dentry>) {
    const DIR: &str = "devices/system/clocksource/clocksource0";
    let current = ProcFile::new(|o| {
        clocksource::show_current(o);
        Ok(())
    });
    add(root, &format!("{DIR}/current_clocksource"), 0o644, with_store(current, clocksource::store_current));
    let unbind = with_store(ProcFile::new(|_| Err(EIO)), clocksource::unbind);
    add(root, &format!("{DIR}/unbind_clocksource"), 0o200, unbind);
}

/// A device's directory in its class, and the link to it by its number.
fn add_device(root: &Arc<Dentry>, class: &str, name: &str, dev: Dev) {
    let number = format!("{}:{}", dev.major(), dev.minor());
    let place = format!("class/{class}/{name}");
    let text = format!("{number}\n");
    add_file(root, &format!("{place}/dev"), move |o| o.put(text.as_bytes()));
    let link = Box::new(SysLink(format!("../../{place}")));
    let inode = Inode::new(&root.inode.sb, S_IFLNK | 0o777, Dev(0), link);
    let _ = mkdirs(root, "dev/char").add(number.as_bytes(), inode);
}

fn make() -> Arc<Dentry> {
    let sb = SuperBlock::new(&FS_TYPE, String::new(), 0, usize::MAX);
    let root = Dentry::root(Inode::new(&sb, S_IFDIR | 0o555, Dev(0), Box::new(SysDir)));
    for dir in DIRS {
        mkdirs(&root, dir);
    }
    for (path, show) in FILES {
        add_file(&root, path, show);
    }
    add_clock_sources(&root);
    for_each_device(|name, dev, _| {
        let class = if dev.major() == crate::drivers::char::mem::MEM_MAJOR { "mem" } else { "tty" };
        add_device(&root, class, name, dev);
    });
    root
}

fn mount(_data: &[u8]) -> Result<Arc<Dentry>> {
    static ROOT: spin::Once<Arc<Dentry>> = spin::Once::new();
    Ok(ROOT.call_once(make).clone())
}
