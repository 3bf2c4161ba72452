// SPDX-License-Identifier: GPL-2.0-only
//! Not one of the set: goes through every way into the kernel and out of it, for ever, while
//! NMIs come from outside (`tests/boot/nmi.rs`). It runs those programs of the set that do.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::ffi::CStr;
use core::ptr::null;
use user::file;
use user::process::{child, execve, wait};
use user::{program, start};

program!(run);

/// Exceptions from user mode and from the kernel, calls of both kinds, forks, frames that cannot be
/// loaded, segments of the LDT.
const PROGRAMS: &[&CStr] = &[
    c"/bin/divide_error",
    c"/bin/single_step",
    c"/bin/breakpoint",
    c"/bin/overflow_int4",
    c"/bin/mpx_bounds",
    c"/bin/invalid_opcode",
    c"/bin/gp_hlt",
    c"/bin/pf_null_read",
    c"/bin/efault",
    c"/bin/int80_calls",
    c"/bin/compat_signals",
    c"/bin/fast_syscalls32",
    c"/bin/hostile_sigreturn",
    c"/bin/stack_16bit",
    c"/bin/ldt_rules",
    c"/bin/fpu_isolation",
    c"/bin/fork_cow",
    c"/bin/threads",
];

/// With an argument: only the entries that no program comes by.
fn run() {
    let _ = file::mount(c"debugfs", c"/sys/kernel/debug");
    if start::arg_str(1).is_some() {
        user::println!("nmi_paths: running");
        loop {
            let _ = file::store(c"/sys/kernel/debug/trapline/entries", b"1");
        }
    }
    let null_device = file::open(c"/dev/null", file::O_RDWR, 0).unwrap_or(-1);
    user::println!("nmi_paths: running");
    loop {
        for path in PROGRAMS {
            let pid = child(|| {
                for fd in [0, 1, 2] {
                    let _ = file::dup2(null_device, fd);
                }
                let _ = execve(path, &[path.as_ptr(), null()], &[null()]);
                127
            });
            let _ = wait(pid);
        }
    }
}
