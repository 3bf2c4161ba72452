// SPDX-License-Identifier: GPL-2.0-only
//! A jump to a page without execute permission that holds a `ret`.
#![cfg_attr(target_os = "none", no_std, no_main)]

use user::memory::{PAGE, PROT_READ, PROT_WRITE, map_fixed};
use user::prelude::*;

expect! {
    signal: SIGSEGV, code: SEGV_ACCERR, addr: 0x10010000,
    trapno: 14, err: 0x15, cr2: 0x10010000, rip: 0x10010000,
    end: killed(SIGSEGV),
    log: [segfault_log!("10010000", "15", nowhere), code_log!("1000ffd6")],
}

probe!("mov ecx, 0x10010000"; "jmp rcx");
program!(run);

fn run() {
    // SAFETY: nothing is mapped at this address, which only the probe uses.
    let mapped = unsafe { map_fixed(0x1001_0000, PAGE, PROT_READ | PROT_WRITE) };
    check_eq!(mapped, Ok(0x1001_0000), "mmap");
    // SAFETY: the page was just mapped for writing.
    unsafe { user::memory::poke(0x1001_0000, 0xc3) };
    probe();
}
