// SPDX-License-Identifier: GPL-2.0-only
//! `sysfs`: the directories and files that programs look for (Linux 6.1, `fs/sysfs/`): which
//! CPUs there are (`drivers/base/cpu.c`), which terminals, what counts the time.

use crate::errno::Result;
use crate::fs::char_dev::for_each_device;
use crate::fs::dcache::Dentry;
use crate::fs::file_table::FileOps;
use crate::fs::inode::mode::{S_IFDIR, S_IFLNK};
use crate::fs::inode::{Dev, Inode, InodeOps, Link};
use crate::fs::libfs::DirOps;
use crate::fs::proc::file::ProcFile;
use crate::fs::proc::file_inode;
use crate::fs::seq_file::SeqFile;
use crate::fs::superblock::{FsType, SuperBlock};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;

/// A directory, in which nobody but the kernel makes anything.
struct SysDir;
impl InodeOps for SysDir {
    fn open(&self, _: &Arc<Inode>, _: u32) -> Result<Arc<dyn FileOps>> {
        Ok(Arc::new(DirOps))
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

/// `sysfs`.
pub static FS_TYPE: FsType = FsType { name: "sysfs", magic: 0x6265_6572, noexec: true, mount };

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
    ("devices/system/clocksource/clocksource0/available_clocksource", |o| o.put(b"tsc \n")),
    ("devices/system/clocksource/clocksource0/current_clocksource", |o| o.put(b"tsc\n")),
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

fn add_file(root: &Arc<Dentry>, path: &str, show: impl Fn(&mut SeqFile) + Send + Sync + 'static) {
    let file = ProcFile::new(move |o| {
        show(o);
        Ok(())
    });
    let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
    // The names differ from one another.
    let _ = mkdirs(root, dir).add(name.as_bytes(), file_inode(&root.inode.sb, 0o444, file));
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
