// SPDX-License-Identifier: GPL-2.0-only
//! The frame of a signal that no exception caused still tells of the thread's last one.
#![cfg_attr(target_os = "none", no_std, no_main)]

use user::prelude::*;
use user::signal::{SIGSEGV, SIGUSR1, raise};

expect! { end: exit(0) }
program!(run);

probe!("mov ecx, 0x10001008"; "mov [rcx], al");

extern "C" fn first(_: i32, _: &mut SigInfo, uc: &mut UContext) {
    check_eq!((uc.mcontext.trapno, uc.mcontext.err, uc.mcontext.cr2), (0, 0, 0), "at first");
}

extern "C" fn fault(_: i32, info: &mut SigInfo, uc: &mut UContext) {
    check_eq!(*info, SigInfo::fault(SIGSEGV, 1, 0x1000_1008), "siginfo");
    uc.mcontext.ip += 2;
}

extern "C" fn later(_: i32, _: &mut SigInfo, uc: &mut UContext) {
    let m = &uc.mcontext;
    check_eq!((m.trapno, m.err, m.cr2), (14, 6, 0x1000_1008), "after the fault");
}

fn run() {
    let _ = sigaction(SIGSEGV, Action::Handle(fault), 0, 0);
    let _ = sigaction(SIGUSR1, Action::Handle(first), 0, 0);
    raise(SIGUSR1);
    probe();
    let _ = sigaction(SIGUSR1, Action::Handle(later), 0, 0);
    raise(SIGUSR1);
    let pid = child(|| {
        raise(SIGUSR1);
        0
    });
    check_eq!(wait(pid), Ok(WaitStatus::exited(0)), "a child inherits it");
}
