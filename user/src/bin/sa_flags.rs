// SPDX-License-Identifier: GPL-2.0-only
//! SA_NODEFER, SA_RESETHAND, sa_mask and what sigaction reads back.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use user::prelude::*;
use user::signal::{KernelSigaction, SIGHUP, SIGUSR1, SIGUSR2, raise, restorer, sigaction_raw, sigmask};

expect! { end: exit(0) }
program!(run);

static DEPTH: AtomicUsize = AtomicUsize::new(0);
static MASK: core::sync::atomic::AtomicU64 = core::sync::atomic::AtomicU64::new(0);

extern "C" fn note(_: i32, _: &mut SigInfo, uc: &mut UContext) {
    MASK.store(sigmask(), SeqCst);
    check_eq!(uc.sigmask, bit(SIGHUP), "mask in the frame");
}

extern "C" fn again(_: i32, _: &mut SigInfo, _: &mut UContext) {
    if DEPTH.fetch_add(1, SeqCst) < 2 {
        raise(SIGUSR1);
    }
    DEPTH.fetch_add(10, SeqCst);
}

fn run() {
    sigprocmask_set(bit(SIGHUP));
    masks();
    let _ = sigaction(SIGUSR1, Action::Handle(again), SA_NODEFER, 0);
    raise(SIGUSR1);
    check_eq!(DEPTH.swap(0, SeqCst), 33, "SA_NODEFER: three deep");
    let _ = sigaction(SIGUSR1, Action::Handle(again), 0, 0);
    raise(SIGUSR1);
    check_eq!(DEPTH.swap(0, SeqCst), 22, "deferred: once more, after the first");
    reset();
    read_back();
}

fn masks() {
    for (flags, mask, want) in [
        (0, 0, bit(SIGUSR1)),
        (0, bit(SIGUSR2) | bit(34), bit(SIGUSR1) | bit(SIGUSR2) | bit(34)),
        (SA_NODEFER, bit(SIGUSR2), bit(SIGUSR2)),
        (SA_NODEFER, bit(SIGUSR1), bit(SIGUSR1)),
    ] {
        let _ = sigaction(SIGUSR1, Action::Handle(note), flags, mask);
        raise(SIGUSR1);
        check_eq!(MASK.load(SeqCst), want | bit(SIGHUP), "flags {flags:#x} mask {mask:#x}");
        check_eq!(sigmask(), bit(SIGHUP), "mask afterwards");
    }
}

/// SA_RESETHAND: the action is the default again, with its flags but SA_NODEFER not implied.
fn reset() {
    let _ = sigaction(SIGUSR1, Action::Handle(note), SA_RESETHAND, bit(SIGUSR2));
    raise(SIGUSR1);
    check_eq!(MASK.load(SeqCst), bit(SIGHUP) | bit(SIGUSR1) | bit(SIGUSR2), "while it ran");
    let after = sigaction_raw(SIGUSR1, None).map(|a| (a.handler, a.flags));
    let flags = u64::from(SA_RESETHAND | SA_SIGINFO) | 0x0400_0000;
    check_eq!(after, Ok((0, flags)), "afterwards");
    let pid = child(|| {
        raise(SIGUSR1);
        0
    });
    check_eq!(wait(pid), Ok(WaitStatus::killed(10)), "the second time it kills");
}

fn read_back() {
    let odd = KernelSigaction { handler: 1, flags: u64::MAX, restorer: restorer(), mask: u64::MAX };
    check!(sigaction_raw(SIGUSR1, Some(&odd)).is_ok(), "any flags are taken");
    let kept = KernelSigaction { flags: 0xdc00_0807, mask: 0xffff_ffff_fffb_feff, ..odd };
    check_eq!(sigaction_raw(SIGUSR1, None), Ok(kept), "unknown flags, SIGKILL and SIGSTOP are dropped");
    sigprocmask_set(u64::MAX);
    check_eq!(sigmask(), kept.mask, "SIGKILL and SIGSTOP cannot be blocked");
}
