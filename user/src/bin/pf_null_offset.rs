// SPDX-License-Identifier: GPL-2.0-only
//! A load from a member of an object at null.
#![cfg_attr(target_os = "none", no_std, no_main)]

use user::prelude::*;

expect! {
    signal: SIGSEGV, code: SEGV_MAPERR, addr: 0x123,
    trapno: 14, err: 4, cr2: 0x123, rip: ip,
    end: killed(SIGSEGV),
    log: [segfault_log!("123", "4"), code_log!()],
}

probe!(; "mov eax, [rcx + 0x123]");
program!(run);

fn run() {
    probe();
}
