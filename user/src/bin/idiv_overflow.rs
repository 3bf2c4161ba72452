// SPDX-License-Identifier: GPL-2.0-only
//! The most negative number divided by -1: the quotient does not fit, which is #DE too.
#![cfg_attr(target_os = "none", no_std, no_main)]

use user::prelude::*;

expect! {
    signal: SIGFPE, code: FPE_INTDIV, addr: ip,
    trapno: 0, err: 0, cr2: 0, rip: ip,
    end: killed(SIGFPE),
    log: [trap_log!("divide error", "0")],
}

probe!("mov eax, 0x80000000", "cdq", "mov ecx, -1"; "idiv ecx");
program!(run);

fn run() {
    probe();
}
