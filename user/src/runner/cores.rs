// SPDX-License-Identifier: GPL-2.0-only
//! Core files: where programs leave theirs (`--cores`), and sending them to the host. As pid 1
//! only, for it changes `/proc/sys/kernel/core_pattern`.

use super::channel::Channel;
use super::list::each_name;
use crate::{file, process, text};
use core::ffi::CStr;

const DIR: &CStr = c"/cores";
/// Bytes of a file in a line.
pub const PIECE: usize = 2048;

/// From now on programs leave their core files in [`DIR`].
pub fn set_up() -> crate::Result<()> {
    let _ = file::mkdir(DIR, 0o1777);
    file::store(c"/proc/sys/kernel/core_pattern", b"/cores/core.%e.%p")?;
    process::setrlimit(process::RLIMIT_CORE, u64::MAX, Some(u64::MAX))?;
    Ok(())
}

/// Sends the core files that there are, and removes them.
pub fn send(channel: &Channel) {
    loop {
        // What is removed while the directory is read would confuse the reading.
        let mut entries = [0u8; 1024];
        let Ok(fd) = file::open(DIR, file::O_RDONLY | file::O_DIRECTORY, 0) else { return };
        let mut found = false;
        if let Ok(n) = file::getdents64(fd, &mut entries) {
            each_name(&entries[..n], |name| {
                if !name.starts_with('.') {
                    found = true;
                    send_one(name, channel);
                }
            });
        }
        let _ = file::close(fd);
        if !found {
            return;
        }
    }
}

fn send_one(name: &str, channel: &Channel) {
    let path = text!(300, "/cores/{name}\0");
    let Ok(path) = CStr::from_bytes_until_nul(path.as_str().as_bytes()) else { return };
    if let (Ok(stat), Ok(fd)) = (file::stat(path), file::open(path, file::O_RDONLY, 0)) {
        channel.core(name, stat.st_size as u64);
        let mut piece = [0u8; PIECE];
        let mut at = 0;
        while let Ok(n) = file::read_full(fd, &mut piece) {
            if n == 0 {
                break;
            }
            // Holes are most of it.
            if piece[..n].iter().any(|&b| b != 0) {
                channel.core_data(at, &piece[..n]);
            }
            at += n as u64;
        }
        let _ = file::close(fd);
    }
    let _ = file::unlink(path);
}
