// SPDX-License-Identifier: GPL-2.0-only
//! An alternate stack that is not mapped: the signal becomes SIGSEGV, delivered on the ordinary stack.
#![cfg_attr(target_os = "none", no_std, no_main)]

use user::prelude::*;
use user::process::exit_group;
use user::signal::{AltStack, SIGSEGV, SIGUSR1, raise, sigaltstack};

expect! { end: exit(0) }
program!(run);

extern "C" fn unreached(_: i32, _: &mut SigInfo, _: &mut UContext) {
    check!(false, "the handler of SIGUSR1 ran");
    exit_group(1);
}

extern "C" fn fallen_back(_: i32, info: &mut SigInfo, uc: &mut UContext) {
    check_eq!(*info, SigInfo::fault(SIGSEGV, 128, 0), "siginfo");
    check_eq!(uc.sigmask, 0, "saved mask");
    let m = &uc.mcontext;
    check_eq!((m.trapno, m.err, m.cr2), (0, 0, 0), "no exception was involved");
    user::start::finish();
}

fn run() {
    let set = sigaltstack(Some(AltStack { sp: 0x1000_0000, flags: 0, size: 0x10000 }));
    check!(set.is_ok(), "sigaltstack takes any address: {set:?}");
    let _ = sigaction(SIGUSR1, Action::Handle(unreached), SA_ONSTACK, 0);
    let _ = sigaction(SIGSEGV, Action::Handle(fallen_back), 0, 0);
    raise(SIGUSR1);
    check!(false, "nothing happened");
}
