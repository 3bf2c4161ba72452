// SPDX-License-Identifier: GPL-2.0-only
//! A load from the kernel: the error code says "protection" whatever is there.
#![cfg_attr(target_os = "none", no_std, no_main)]

use user::prelude::*;

expect! {
    signal: SIGSEGV, code: SEGV_MAPERR, addr: 0xffff888000000000,
    trapno: 14, err: 5, cr2: 0xffff888000000000, rip: ip,
    end: killed(SIGSEGV),
    log: [segfault_log!("ffff888000000000", "5"), code_log!()],
}

probe!("mov rcx, 0xffff888000000000"; "mov eax, [rcx]");
program!(run);

fn run() {
    probe();
}
