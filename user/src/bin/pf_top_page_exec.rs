// SPDX-License-Identifier: GPL-2.0-only
//! The last two bytes of user space are an x87 instruction, which runs; what follows is not there.
#![cfg_attr(target_os = "none", no_std, no_main)]

use user::memory::{PAGE, PROT_EXEC, PROT_READ, PROT_WRITE, map_top_page, poke, protect};
use user::prelude::*;

expect! {
    signal: SIGSEGV, code: SEGV_MAPERR, addr: 0x7ffffffff000,
    trapno: 14, err: 0x15, cr2: 0x7ffffffff000, rip: 0x7ffffffff000,
    end: killed(SIGSEGV),
}

probe!("mov rcx, 0x7fffffffeffe"; "jmp rcx");
program!(run);

fn run() {
    let Ok(page) = map_top_page() else { return check!(false, "mmap") };
    // SAFETY: the page's last bytes are nobody's (a stack begins with an empty word).
    unsafe {
        poke(page + PAGE - 2, 0xd9);
        poke(page + PAGE - 1, 0xe8); // fld1
        check!(protect(page, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC).is_ok(), "mprotect");
    }
    probe();
}
