// SPDX-License-Identifier: GPL-2.0-only
//! TF across `syscall`: the trap comes behind the instruction after it.
#![cfg_attr(target_os = "none", no_std, no_main)]

use user::prelude::*;

expect! {
    signal: SIGTRAP, code: TRAP_TRACE, addr: ip + 3,
    trapno: 1, err: 0, cr2: 0, rip: ip + 3,
    flags: 0x302,
    end: killed(SIGTRAP),
    log: [],
}

probe!("mov eax, 39", "pushfq", "or dword ptr [rsp], 0x100", "popfq"; "syscall");
program!(run);

fn run() {
    probe();
}
