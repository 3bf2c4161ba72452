// SPDX-License-Identifier: GPL-2.0-only
//! A push below a mapping that is no stack: it does not grow.
#![cfg_attr(target_os = "none", no_std, no_main)]

use user::memory::{PAGE, PROT_READ, PROT_WRITE, map_fixed};
use user::prelude::*;

expect! {
    signal: SIGSEGV, code: SEGV_MAPERR, addr: 0x1000fff8,
    trapno: 14, err: 6, cr2: 0x1000fff8, rip: ip,
    end: killed(SIGSEGV),
    log: [segfault_log!("1000fff8", "6"), code_log!()],
}

probe!("mov esp, 0x10010000"; "push rax");
program!(run);

fn run() {
    // SAFETY: nothing is mapped at this address, which only the probe uses.
    let mapped = unsafe { map_fixed(0x1001_0000, PAGE, PROT_READ | PROT_WRITE) };
    check_eq!(mapped, Ok(0x1001_0000), "mmap");
    probe();
}
