// SPDX-License-Identifier: GPL-2.0-only
//! `smsw` to memory that is not there, under UMIP: the emulation raises the page fault that
//! the instruction would have, and logs nothing of it.
#![cfg_attr(target_os = "none", no_std, no_main)]

use user::prelude::*;

expect! {
    signal: SIGSEGV, code: SEGV_MAPERR, addr: 0x10001008,
    trapno: 14, err: 6, cr2: 0x10001008, rip: ip,
    end: killed(SIGSEGV),
}

probe!("mov ecx, 0x10001008"; "smsw word ptr [rcx]");
program!(run);

fn run() {
    probe();
}
