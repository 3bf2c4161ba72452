// SPDX-License-Identifier: GPL-2.0-only
//! A system call that is not there gives ENOSYS, whatever its number.
#![cfg_attr(target_os = "none", no_std, no_main)]

use linux_raw_sys::errno::ENOSYS;
use user::prelude::*;
use user::program;

expect! { end: exit(0), log: [] }
program!(run);

fn run() {
    // Given up long ago; between the last old and the first new call, behind the last one of 6.1, and far
    // away; -1 is what a tracer writes to skip a call.
    for number in [156, 174, 335, 423, 451, 4095, 0x4000_0000, 0x7fff_ffff, u32::MAX] {
        // SAFETY: no such call touches memory.
        let got = unsafe { user::syscall::raw(number, [1, 2, 3, 4, 5, 6]) };
        check_eq!(got, -(ENOSYS as isize), "call {number:#x}");
    }
    // SAFETY: as above.
    let got = unsafe { user::syscall::int80(500, [1, 2, 3, 4, 5]) };
    check_eq!(got, Err(Errno(ENOSYS)), "int 0x80, call 500");
}
