// SPDX-License-Identifier: GPL-2.0-only
//! `CLONE_SETTLS` takes a base below the end of user space, and nothing else.
#![cfg_attr(target_os = "none", no_std, no_main)]

use linux_raw_sys::general as abi;
use user::prelude::*;
use user::syscall::arch_prctl;
use user::syscall::prctl::ARCH_GET_FS;
use user::{Result, program, syscall};

expect! { end: exit(0) }
program!(run);

const TASK_SIZE_MAX: u64 = 0x7fff_ffff_f000;

/// A child with this FS base, which ends at once: 0 if it finds the base as it should be.
fn child_with(base: u64, call: impl Fn() -> Result) -> Result<i32> {
    match call() {
        Ok(0) => {
            let mut seen = 0u64;
            let r = arch_prctl(ARCH_GET_FS, core::ptr::from_mut(&mut seen) as usize);
            exit_group(i32::from(r.is_err() || seen != base))
        }
        r => r.map(|pid| pid as i32),
    }
}

fn clone(base: u64) -> Result<i32> {
    let flags = abi::CLONE_SETTLS | abi::SIGCHLD;
    // SAFETY: the child has a copy of everything.
    child_with(base, || unsafe { syscall!(__NR_clone, flags, 0, 0, 0, base) })
}

fn clone3(base: u64) -> Result<i32> {
    let mut args = [0u64; 11];
    (args[0], args[4], args[7]) = (abi::CLONE_SETTLS.into(), abi::SIGCHLD.into(), base);
    // SAFETY: the kernel reads the structure; the child has a copy of everything.
    child_with(base, || unsafe { syscall!(__NR_clone3, args.as_ptr(), size_of_val(&args)) })
}

fn run() {
    for base in [0, 0x1000, TASK_SIZE_MAX - 1] {
        for (name, pid) in [("clone", clone(base)), ("clone3", clone3(base))] {
            check_eq!(pid.and_then(wait), Ok(WaitStatus::exited(0)), "{name}, base {base:#x}");
        }
    }
    for base in [TASK_SIZE_MAX, 0x8000_0000_0000, 0xffff_8000_0000_0000, 0xffff_ffff_8000_0000, u64::MAX] {
        for (name, pid) in [("clone", clone(base)), ("clone3", clone3(base))] {
            check_eq!(pid, Err(Errno(EPERM)), "{name}, base {base:#x}");
            if let Ok(pid) = pid {
                let _ = wait(pid);
            }
        }
    }
}
