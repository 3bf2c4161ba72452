// SPDX-License-Identifier: GPL-2.0-only
//! Not one of the set: as the first process, restarts the machine with a command for whatever
//! comes next. A test boots it.
#![cfg_attr(target_os = "none", no_std, no_main)]

use linux_raw_sys::general as abi;
use user::prelude::*;
use user::{println, program, syscall};

program!(run);

fn run() {
    if getpid() != 1 {
        return;
    }
    let restart = |command: usize| {
        // SAFETY: the command is a C string that outlives the call, or nothing that could be read.
        unsafe {
            syscall!(
                __NR_reboot,
                abi::LINUX_REBOOT_MAGIC1,
                abi::LINUX_REBOOT_MAGIC2,
                abi::LINUX_REBOOT_CMD_RESTART2,
                command
            )
        }
    };
    println!("restart_command: {:?}", restart(8));
    let _ = restart(c"again, please".as_ptr() as usize);
}
