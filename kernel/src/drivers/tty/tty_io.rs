// SPDX-License-Identifier: GPL-2.0-only
//! Opening terminals (Linux 6.1, `drivers/tty/tty_io.c`).

use super::n_tty::{self, Tty, TtyFile};
use super::serial;
use crate::errno::{ENXIO, Result};
use crate::fs::char_dev::Device;
use crate::fs::file_table::FileOps;
use crate::fs::inode::Dev;
use crate::kernel::task::current;
use alloc::sync::Arc;
use core::sync::atomic::Ordering;
use linux_raw_sys::general::O_NOCTTY;

/// `TTYAUX_MAJOR`.
const TTYAUX_MAJOR: u32 = 5;

/// `/dev/tty` and `/dev/console`.
pub static DEVICES: &[Device] = &[
    Device { name: "tty", dev: Dev::new(TTYAUX_MAJOR, 0), mode: 0o666, open: open_current_tty },
    Device { name: "console", dev: Dev::new(TTYAUX_MAJOR, 1), mode: 0o600, open: open_console },
];

/// The terminal on a serial port.
fn find_port(port: u32) -> Result<&'static Tty> {
    if serial::ports().contains(&port) { Ok(n_tty::tty(port)) } else { Err(ENXIO) }
}

/// `/dev/tty`: the controlling terminal, if there is one.
fn open_current_tty(_: Dev, _: u32) -> Result<Arc<dyn FileOps>> {
    let port = serial::port(Dev(current().signal.tty.load(Ordering::Relaxed))).ok_or(ENXIO)?;
    Ok(Arc::new(TtyFile::new(find_port(port)?)))
}

/// `/dev/console`: never becomes the controlling terminal by being opened.
fn open_console(_: Dev, _: u32) -> Result<Arc<dyn FileOps>> {
    Ok(Arc::new(TtyFile::console(find_port(serial::console_port())?)))
}

/// `/dev/ttyS*`: becomes the controlling terminal of a session leader that has none.
pub fn open_serial(dev: Dev, flags: u32) -> Result<Arc<dyn FileOps>> {
    let port = serial::port(dev).ok_or(ENXIO)?;
    let tty = find_port(port)?;
    let file = TtyFile::new(tty);
    if flags & O_NOCTTY == 0 {
        tty.acquire_on_open();
    }
    Ok(Arc::new(file))
}
