// SPDX-License-Identifier: GPL-2.0-only
//! What only the first process does.

use crate::{file, syscall};
use linux_raw_sys::general as abi;

/// Mounts the usual file systems and makes sure that descriptors 0, 1 and 2 are open.
/// What is there already, or not supported, stays as it is.
pub fn set_up() {
    for (kind, dir) in [(c"devtmpfs", c"/dev"), (c"proc", c"/proc"), (c"sysfs", c"/sys"), (c"tmpfs", c"/tmp")]
    {
        let _ = file::mkdir(dir, 0o755);
        let _ = file::mount(kind, dir);
    }
    while let Ok(fd) = file::open(c"/dev/console", file::O_RDWR, 0) {
        if fd > 2 {
            let _ = file::close(fd);
            break;
        }
    }
}

/// Writes everything back and switches the machine off.
pub fn power_off() -> ! {
    loop {
        // SAFETY: nothing of this process matters any more.
        unsafe {
            let _ = syscall!(__NR_sync);
            let _ = syscall!(
                __NR_reboot,
                abi::LINUX_REBOOT_MAGIC1,
                abi::LINUX_REBOOT_MAGIC2,
                abi::LINUX_REBOOT_CMD_POWER_OFF,
                0
            );
        }
        let _ = crate::signal::pause();
    }
}
