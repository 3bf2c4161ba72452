// SPDX-License-Identifier: GPL-2.0-only
//! What sigaltstack accepts, and what it says inside a handler.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use user::memory::{PROT_READ, PROT_WRITE, map};
use user::prelude::*;
use user::signal::{AltStack, SIGUSR1, SS_AUTODISARM, SS_DISABLE, SS_ONSTACK, raise, sigaltstack};
use user::syscall;

expect! { end: exit(0) }
program!(run);

const SIZE: u64 = 0x10000;
static BASE: AtomicUsize = AtomicUsize::new(0);
static RUNS: AtomicUsize = AtomicUsize::new(0);

fn stack(size: u64, flags: u32) -> AltStack {
    AltStack { sp: BASE.load(SeqCst) as u64, flags, size }
}

fn set(a: AltStack) -> Result<(), Errno> {
    sigaltstack(Some(a)).map(|_| ())
}

fn run() {
    BASE.store(map(SIZE as usize, PROT_READ | PROT_WRITE).unwrap_or(0), SeqCst);
    let disabled = AltStack { sp: 0, flags: SS_DISABLE, size: 0 };
    // A stack that any ancestor had leaves 0 there instead of SS_DISABLE.
    let first = sigaltstack(None).map(|a| AltStack { flags: 0, ..a });
    check_eq!(first, Ok(AltStack { flags: 0, ..disabled }), "at the start");
    check_eq!(set(stack(2047, 0)), Err(Errno(ENOMEM)), "2047 bytes");
    check_eq!(set(stack(2048, 0)), Ok(()), "2048 bytes");
    check_eq!(set(stack(SIZE, SS_ONSTACK)), Ok(()), "SS_ONSTACK as a flag");
    check_eq!(set(stack(SIZE, 4)), Err(Errno(EINVAL)), "an unknown flag");
    check_eq!(set(stack(SIZE, SS_DISABLE)), Ok(()), "SS_DISABLE with a size");
    check_eq!(sigaltstack(None), Ok(disabled), "disabled");
    // SAFETY: bad pointers are the test: the kernel refuses them.
    let (bad_in, bad_out) = unsafe { (syscall!(__NR_sigaltstack, 1, 0), syscall!(__NR_sigaltstack, 0, 1)) };
    check_eq!((bad_in, bad_out), (Err(Errno(EFAULT)), Err(Errno(EFAULT))), "bad pointers");
    handlers();
}

fn handlers() {
    let _ = sigaction(SIGUSR1, Action::Handle(on_stack), SA_ONSTACK, 0);
    check_eq!(set(stack(SIZE, 0)), Ok(()), "set");
    raise(SIGUSR1);
    check_eq!(sigaltstack(None), Ok(stack(SIZE, 0)), "after the handler");
    check_eq!(set(stack(SIZE, SS_AUTODISARM)), Ok(()), "set with SS_AUTODISARM");
    let _ = sigaction(SIGUSR1, Action::Handle(disarmed), SA_ONSTACK, 0);
    raise(SIGUSR1);
    check_eq!(sigaltstack(None), Ok(stack(SIZE, SS_AUTODISARM)), "armed again");
    let _ = sigaction(SIGUSR1, Action::Handle(elsewhere), 0, 0);
    raise(SIGUSR1);
    check_eq!(RUNS.load(SeqCst), 3, "handlers that ran");
}

fn is_inside<T>(local: &T) -> bool {
    let (base, here) = (BASE.load(SeqCst), core::ptr::from_ref(local) as usize);
    (base..base + SIZE as usize).contains(&here)
}

extern "C" fn on_stack(_: i32, _: &mut SigInfo, uc: &mut UContext) {
    let n = RUNS.fetch_add(1, SeqCst);
    check!(is_inside(&n), "the handler is on the stack");
    check_eq!(sigaltstack(None), Ok(stack(SIZE, SS_ONSTACK)), "inside: what sigaltstack says");
    check_eq!(set(stack(SIZE, 0)), Err(Errno(EPERM)), "inside: a change");
    let saved = (uc.stack.ss_sp as usize, uc.stack.ss_flags, uc.stack.ss_size);
    check_eq!(saved, (BASE.load(SeqCst), 0, SIZE), "inside: uc_stack");
}

extern "C" fn disarmed(_: i32, _: &mut SigInfo, uc: &mut UContext) {
    let n = RUNS.fetch_add(1, SeqCst);
    check!(is_inside(&n), "the handler is on the stack");
    let off = AltStack { sp: 0, flags: SS_DISABLE, size: 0 };
    check_eq!(sigaltstack(None), Ok(off), "disarmed inside");
    check_eq!(uc.stack.ss_flags as u32, SS_AUTODISARM, "uc_stack.ss_flags");
}

extern "C" fn elsewhere(_: i32, _: &mut SigInfo, _: &mut UContext) {
    let n = RUNS.fetch_add(1, SeqCst);
    check!(!is_inside(&n), "without SA_ONSTACK the handler is not on the stack");
}
