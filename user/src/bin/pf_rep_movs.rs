// SPDX-License-Identifier: GPL-2.0-only
//! `rep movsb` runs into an unmapped page: it stops there, with rip still on it.
#![cfg_attr(target_os = "none", no_std, no_main)]

use user::memory::{PAGE, PROT_READ, PROT_WRITE, map_fixed};
use user::prelude::*;

expect! {
    signal: SIGSEGV, code: SEGV_MAPERR, addr: 0x10011000,
    trapno: 14, err: 6, cr2: 0x10011000, rip: ip,
    end: killed(SIGSEGV),
    log: [segfault_log!("10011000", "6"), code_log!()],
}

probe!("mov edi, 0x10010ff0", "mov esi, 0x10010000", "mov ecx, 0x100"; "rep movsb");
program!(run);

fn run() {
    // SAFETY: nothing is mapped at this address, which only the probe uses.
    let mapped = unsafe { map_fixed(0x1001_0000, PAGE, PROT_READ | PROT_WRITE) };
    check_eq!(mapped, Ok(0x1001_0000), "mmap");
    probe();
}
