// SPDX-License-Identifier: GPL-2.0-only
//! Which driver a device number belongs to (Linux 6.1, `fs/char_dev.c`).

use crate::errno::{ENXIO, Result};
use crate::fs::file_table::FileOps;
use crate::fs::inode::mode::S_IFCHR;
use crate::fs::inode::{Dev, Inode};
use crate::fs::seq_file::SeqFile;
use alloc::sync::Arc;

/// A driver's way to open one of its devices.
pub type OpenFn = fn(Dev, u32) -> Result<Arc<dyn FileOps>>;

/// A device that has a node in `/dev`.
pub struct Device {
    /// The node's name.
    pub name: &'static str,
    /// Its number.
    pub dev: Dev,
    /// Its permissions.
    pub mode: u32,
    /// Opens it.
    pub open: OpenFn,
}

/// The devices that are always there.
fn fixed() -> impl Iterator<Item = &'static Device> {
    crate::drivers::char::mem::DEVICES.iter().chain(crate::drivers::tty::tty_io::DEVICES)
}

/// Calls `f` for each device there is: name, number, permissions.
pub fn for_each_device(mut f: impl FnMut(&str, Dev, u32)) {
    for d in fixed() {
        f(d.name, d.dev, d.mode);
    }
    for port in crate::drivers::tty::serial::ports() {
        f(&alloc::format!("ttyS{port}"), crate::drivers::tty::serial::dev(port), 0o660);
    }
}

/// `/proc/devices`: which major numbers belong to whom (`chrdev_show`). There are no disks.
pub fn devices_text(o: &mut SeqFile) {
    const MAJORS: [(u32, &str); 7] = [
        (1, "mem"),
        (4, "ttyS"),
        (5, "/dev/tty"),
        (5, "/dev/console"),
        (5, "/dev/ptmx"),
        (128, "ptm"),
        (136, "pts"),
    ];
    o.put(b"Character devices:\n");
    for (major, name) in MAJORS {
        writeln!(o, "{major:>3} {name}");
    }
    o.put(b"\nBlock devices:\n");
}

/// Opens a device by its inode (`chrdev_open`).
pub fn open(inode: &Arc<Inode>, flags: u32) -> Result<Arc<dyn FileOps>> {
    if inode.kind() != S_IFCHR {
        return Err(ENXIO);
    }
    let dev = inode.rdev;
    if let Some(d) = fixed().find(|d| d.dev == dev) {
        return (d.open)(dev, flags);
    }
    crate::drivers::tty::tty_io::open_tty(dev, flags)
}
