// SPDX-License-Identifier: GPL-2.0-only
//! rt_sigreturn with a stack pointer to nowhere: a bad frame.
#![cfg_attr(target_os = "none", no_std, no_main)]

use user::prelude::*;

expect! {
    signal: SIGSEGV, code: SI_KERNEL, addr: none,
    trapno: 0, err: 0, cr2: 0, rip: ip + 2,
    end: killed(SIGSEGV),
    log: ["{comm}[{pid}] bad frame in rt_sigreturn frame:{frame} ip:{ip} sp:{sp} orax:f in {file}[{vma}]"],
}

probe!("mov esp, 0x1000", "mov eax, 15"; "syscall");
program!(run);

fn run() {
    probe();
}
