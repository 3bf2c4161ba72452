// SPDX-License-Identifier: GPL-2.0-only
//! A store into a PROT_NONE page.
#![cfg_attr(target_os = "none", no_std, no_main)]

use user::memory::{PAGE, PROT_NONE, map_fixed};
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
    let mapped = unsafe { map_fixed(0x1001_0000, PAGE, PROT_NONE) };
    check_eq!(mapped, Ok(0x1001_0000), "mmap");
    probe();
}
