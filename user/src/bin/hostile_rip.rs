// SPDX-License-Identifier: GPL-2.0-only
//! sigreturn to a non-canonical rip: #GP on the way out, with the bad rip in the new frame.
#![cfg_attr(target_os = "none", no_std, no_main)]

use user::prelude::*;
use user::signal::{SIGUSR1, raise};

expect! {
    signal: SIGSEGV, code: SI_KERNEL, addr: none,
    trapno: 13, err: 0, cr2: 0, rip: 0x8000000000000000,
    end: killed(SIGSEGV),
    log: ["traps: {comm}[{pid}] general protection fault ip:{ip} sp:{sp} error:0"],
}
program!(run);

extern "C" fn edit(_: i32, _: &mut SigInfo, uc: &mut UContext) {
    uc.mcontext.ip = 1 << 63;
}

fn run() {
    let _ = sigaction(SIGUSR1, Action::Handle(edit), 0, 0);
    raise(SIGUSR1);
}
