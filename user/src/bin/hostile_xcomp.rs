// SPDX-License-Identifier: GPL-2.0-only
//! sigreturn with a compacted format in the xsave header: a bad frame.
#![cfg_attr(target_os = "none", no_std, no_main)]

use user::prelude::*;
use user::signal::SIGUSR1;
use user::ucontext::fp;

expect! {
    signal: SIGSEGV, code: SI_KERNEL, addr: none,
    trapno: 0, err: 0, cr2: 0, rip: ip + 2,
    end: killed(SIGSEGV),
    log: ["{comm}[{pid}] bad frame in rt_sigreturn frame:{frame} ip:{ip} sp:{sp} orax:ffffffffffffffff in {file}[{vma}]"],
}

// getpid; kill(pid, SIGUSR1)
probe!("mov eax, 39", "syscall", "mov edi, eax", "mov esi, 10", "mov eax, 62"; "syscall");
program!(run);

extern "C" fn edit(_: i32, _: &mut SigInfo, uc: &mut UContext) {
    if uc.has_xsave() {
        uc.fpstate().set(fp::XCOMP_BV, 1u64 << 63);
    } else {
        // Without XSAVE there is no such header: an address that is as bad.
        uc.mcontext.fpstate = 1;
    }
}

fn run() {
    let _ = sigaction(SIGUSR1, Action::Handle(edit), 0, 0);
    probe();
}
