// SPDX-License-Identifier: GPL-2.0-only
//! TF set by popf: #DB behind the next instruction. Linux logs nothing for #DB.
#![cfg_attr(target_os = "none", no_std, no_main)]

use user::prelude::*;

expect! {
    signal: SIGTRAP, code: TRAP_TRACE, addr: ip + 1,
    trapno: 1, err: 0, cr2: 0, rip: ip + 1,
    flags: 0x302,
    end: killed(SIGTRAP),
    log: [],
}

probe!("pushfq", "or dword ptr [rsp], 0x100", "popfq"; "nop");
program!(run);

fn run() {
    probe();
}
