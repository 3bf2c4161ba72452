// SPDX-License-Identifier: GPL-2.0-only
//! A load from where kernel text is.
#![cfg_attr(target_os = "none", no_std, no_main)]

use user::prelude::*;

expect! {
    signal: SIGSEGV, code: SEGV_MAPERR, addr: 0xffffffff81000000,
    trapno: 14, err: 5, cr2: 0xffffffff81000000, rip: ip,
    end: killed(SIGSEGV),
    log: [segfault_log!("ffffffff81000000", "5"), code_log!()],
}

probe!("mov rcx, 0xffffffff81000000"; "mov eax, [rcx]");
program!(run);

fn run() {
    probe();
}
