// SPDX-License-Identifier: GPL-2.0-only
//! sigreturn to a kernel address: nothing but a user-mode page fault.
#![cfg_attr(target_os = "none", no_std, no_main)]

use user::prelude::*;
use user::signal::{SIGUSR1, raise};

expect! {
    signal: SIGSEGV, code: SEGV_MAPERR, addr: 0xffffffff81000000,
    trapno: 14, err: 0x15, cr2: 0xffffffff81000000, rip: 0xffffffff81000000,
    end: killed(SIGSEGV),
    log: [segfault_log!("ffffffff81000000", "15", nowhere), code_log!("ffffffff80ffffd6")],
}
program!(run);

extern "C" fn edit(_: i32, _: &mut SigInfo, uc: &mut UContext) {
    uc.mcontext.ip = 0xffff_ffff_8100_0000;
}

fn run() {
    let _ = sigaction(SIGUSR1, Action::Handle(edit), 0, 0);
    raise(SIGUSR1);
}
