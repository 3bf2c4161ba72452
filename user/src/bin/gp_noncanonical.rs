// SPDX-License-Identifier: GPL-2.0-only
//! A load from a non-canonical address: #GP, so neither si_addr nor cr2 tells which.
#![cfg_attr(target_os = "none", no_std, no_main)]

use user::prelude::*;

expect! {
    signal: SIGSEGV, code: SI_KERNEL, addr: none,
    trapno: 13, err: 0, cr2: 0, rip: ip,
    end: killed(SIGSEGV),
    log: [gp_log!("0")],
}

probe!("mov eax, 1", "shl rax, 63"; "mov al, [rax]");
program!(run);

fn run() {
    probe();
}
