// SPDX-License-Identifier: GPL-2.0-only
//! A bad pointer given to the vDSO: the fault is in its image, in the program's own context.
#![cfg_attr(target_os = "none", no_std, no_main)]

use user::prelude::*;
use user::signal::SIGSEGV;
use user::vdso::Vdso;

expect! { end: killed(SIGSEGV) }
program!(run);

type ClockCall = unsafe extern "C" fn(i32, usize) -> i32;

/// The bad pointer.
const NOWHERE: usize = 0x100;

/// What a debugger finds as the caller.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn caller_of_the_vdso(f: ClockCall) -> i32 {
    // SAFETY: the fault is wanted.
    unsafe { f(1, NOWHERE) + 1 }
}

extern "C" fn in_the_image(_: i32, info: &mut SigInfo, uc: &mut UContext) {
    let Some(v) = Vdso::of_process() else { exit_group(1) };
    let rip = uc.mcontext.ip as usize;
    check!((v.base..v.base + 0x2000).contains(&rip), "rip {rip:#x}, image at {:#x}", v.base);
    check_eq!((info.code, info.word(0) as usize), (1, NOWHERE), "code and address");
    check!(v.unwind_range(rip).is_some(), "an unwinder knows the place");
    exit_group(i32::from(user::check::failures() != 0));
}

fn run() {
    // SAFETY: a function with these arguments.
    let f = Vdso::of_process().and_then(|v| unsafe { v.function::<ClockCall>(c"__vdso_clock_gettime") });
    let Some(f) = f else {
        return check!(false, "there is no such function");
    };
    let pid = child(|| {
        let _ = sigaction(SIGSEGV, Action::Handle(in_the_image), 0, 0);
        caller_of_the_vdso(f)
    });
    check_eq!(wait(pid), Ok(WaitStatus::exited(0)), "with a handler");
    caller_of_the_vdso(f);
}
