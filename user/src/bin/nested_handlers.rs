// SPDX-License-Identifier: GPL-2.0-only
//! Faults inside handlers: each gets its own frame, and all return in turn.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::sync::atomic::{AtomicU64, Ordering::SeqCst};
use user::prelude::*;
use user::signal::{SIGILL, SIGSEGV, sigmask};

expect! { end: exit(0) }
program!(run);

probe!(; "mov al, [rcx]");

static DEPTH: AtomicU64 = AtomicU64::new(0);

/// The faulting instruction is two bytes long: goes on behind it.
fn skip(uc: &mut UContext) {
    uc.mcontext.ip += 2;
}

extern "C" fn recurse(_: i32, info: &mut SigInfo, uc: &mut UContext) {
    check_eq!(*info, SigInfo::fault(SIGSEGV, 1, 0), "siginfo");
    check_eq!((uc.mcontext.trapno, uc.mcontext.err, uc.mcontext.cr2), (14, 4, 0), "exception");
    check_eq!(sigmask(), 0, "SA_NODEFER: nothing blocked");
    if DEPTH.fetch_add(1, SeqCst) < 4 {
        probe();
    }
    skip(uc);
}

extern "C" fn illegal(_: i32, info: &mut SigInfo, uc: &mut UContext) {
    check_eq!(*info, SigInfo::fault(SIGILL, 2, uc.mcontext.ip), "siginfo of SIGILL");
    check_eq!(uc.mcontext.trapno, 6, "trapno of SIGILL");
    check_eq!(sigmask(), bit(SIGSEGV) | bit(SIGILL), "both blocked in the inner handler");
    check_eq!(uc.sigmask, bit(SIGSEGV), "the outer handler's mask in the frame");
    DEPTH.fetch_add(100, SeqCst);
    skip(uc);
}

extern "C" fn outer(_: i32, _: &mut SigInfo, uc: &mut UContext) {
    check_eq!(sigmask(), bit(SIGSEGV), "blocked in its own handler");
    // SAFETY: its handler goes on behind the two bytes of ud2.
    unsafe { core::arch::asm!("ud2") };
    DEPTH.fetch_add(1000, SeqCst);
    skip(uc);
}

fn run() {
    let _ = sigaction(SIGSEGV, Action::Handle(recurse), SA_NODEFER, 0);
    probe();
    check_eq!(DEPTH.swap(0, SeqCst), 5, "how deep it went");
    let _ = sigaction(SIGSEGV, Action::Handle(outer), 0, 0);
    let _ = sigaction(SIGILL, Action::Handle(illegal), 0, 0);
    probe();
    check_eq!(DEPTH.load(SeqCst), 1100, "both handlers ran to their ends");
    check_eq!(sigmask(), 0, "nothing stays blocked");
}
