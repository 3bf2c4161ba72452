// SPDX-License-Identifier: GPL-2.0-only
//! An x87 load across the end of user space: the address is that of the first byte behind it.
#![cfg_attr(target_os = "none", no_std, no_main)]

use user::memory::map_top_page;
use user::prelude::*;

expect! {
    signal: SIGSEGV, code: SEGV_MAPERR, addr: 0x7ffffffff000,
    trapno: 14, err: 5, cr2: 0x7ffffffff000, rip: ip,
    end: killed(SIGSEGV),
    log: [segfault_log!("7ffffffff000", "5"), code_log!()],
}

probe!("mov rcx, 0x7fffffffeffc"; "fld qword ptr [rcx]");
program!(run);

fn run() {
    check!(map_top_page().is_ok(), "mmap");
    probe();
}
