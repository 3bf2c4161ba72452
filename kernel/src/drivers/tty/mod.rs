// SPDX-License-Identifier: GPL-2.0-only
//! Terminals: serial lines with a line discipline (Linux 6.1, `drivers/tty/`).

pub mod n_tty;
pub mod serial;

use crate::errno::{ENXIO, Result};
use crate::fs::file_table::FileOps;
use crate::fs::inode::Dev;
use crate::kernel::task::current;
use alloc::sync::Arc;
use core::sync::atomic::Ordering;

/// The serial port that is `/dev/console`.
fn console_port() -> u32 {
    let v = crate::lib::cmdline::value("console").unwrap_or_default();
    v.strip_prefix(b"ttyS").and_then(|r| r.first()).map_or(0, |c| u32::from(c.saturating_sub(b'0')) & 3)
}

/// Opens a terminal device.
pub fn open(dev: Dev) -> Result<Arc<dyn FileOps>> {
    let port = match (dev.major(), dev.minor()) {
        (5, 0) => {
            // /dev/tty: the controlling terminal, if there is one.
            let tty = Dev(current().signal.tty.load(Ordering::Relaxed));
            if tty == Dev(0) {
                return Err(ENXIO);
            }
            tty.minor() - 64
        }
        (5, 1) => console_port(),
        (4, m @ 64..=67) => m - 64,
        _ => return Err(ENXIO),
    };
    if !serial::p8250::present().contains(&port) {
        return Err(ENXIO);
    }
    Ok(Arc::new(n_tty::TtyFile(n_tty::tty(port))))
}
