// SPDX-License-Identifier: GPL-2.0-only
//! The first store into an untouched read-only page: access error, page not present.
#![cfg_attr(target_os = "none", no_std, no_main)]

use user::memory::{PAGE, PROT_READ, map_fixed};
use user::prelude::*;

expect! {
    signal: SIGSEGV, code: SEGV_ACCERR, addr: 0x10010010,
    trapno: 14, err: 6, cr2: 0x10010010, rip: ip,
    end: killed(SIGSEGV),
    log: [segfault_log!("10010010", "6"), code_log!()],
}

probe!("mov ecx, 0x10010010"; "mov [rcx], eax");
program!(run);

fn run() {
    // SAFETY: nothing is mapped at this address, which only the probe uses.
    let mapped = unsafe { map_fixed(0x1001_0000, PAGE, PROT_READ) };
    check_eq!(mapped, Ok(0x1001_0000), "mmap");
    probe();
}
