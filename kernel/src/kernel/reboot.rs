// SPDX-License-Identifier: GPL-2.0-only
//! `reboot(2)` (Linux 6.1, `kernel/reboot.c`).

use crate::arch::x86::kernel::reboot::{emergency_restart, machine_halt, machine_power_off};
use crate::arch::x86::lib::usercopy::strncpy_from_user_cut;
use crate::errno::{EINVAL, EPERM, Result};
use crate::kernel::capability::capable;
use crate::kernel::panic::Comm;
use linux_raw_sys::general::CAP_SYS_BOOT;

const MAGIC1: u32 = 0xfee1_dead;
const MAGIC2: [u32; 4] = [672_274_793, 85_072_278, 369_367_448, 537_993_216];

/// Longest command of a restart that has one; the rest is cut off.
const COMMAND_MAX: usize = 255;

/// Switches the machine off (`kernel_power_off`).
pub fn kernel_power_off() -> ! {
    crate::arch::x86::kernel::nmi_selftest::report();
    crate::pr_emerg!("reboot: Power down\n");
    machine_power_off()
}

/// `reboot(2)`: restart, halt, power off; what Ctrl-Alt-Del does.
pub fn sys_reboot(magic1: u32, magic2: u32, cmd: u32, arg: usize) -> Result<usize> {
    if !capable(CAP_SYS_BOOT) {
        return Err(EPERM);
    }
    if magic1 != MAGIC1 || !MAGIC2.contains(&magic2) {
        return Err(EINVAL);
    }
    match cmd {
        0x0123_4567 => {
            crate::pr_emerg!("reboot: Restarting system\n");
            emergency_restart()
        }
        0xa1b2_c3d4 => {
            let command = strncpy_from_user_cut(arg, COMMAND_MAX)?;
            crate::pr_emerg!("reboot: Restarting system with command '{}'\n", Comm(&command));
            emergency_restart()
        }
        0xcdef_0123 => {
            crate::pr_emerg!("reboot: System halted\n");
            machine_halt()
        }
        0x4321_fedc => kernel_power_off(),
        // Ctrl-Alt-Del does not reach a serial console.
        0 | 0x89ab_cdef => Ok(0),
        _ => Err(EINVAL),
    }
}
