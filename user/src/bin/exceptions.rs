// SPDX-License-Identifier: GPL-2.0-only
//! Not one of the set: raises the exception that its argument names, has it handled, and again, for
//! ever, while somebody looks at the kernel from outside (`cargo xtask explain idtentry`).
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::arch::global_asm;
use user::prelude::*;
use user::signal::{SIGFPE, SIGILL, SIGSEGV, SIGTRAP};
use user::{println, program, start, syscall};

program!(run);

// Each has nothing on the stack but its return address when it comes to the exception: a handler can
// go on at any `ret`.
global_asm!(
    ".pushsection .text.exceptions, \"ax\"",
    "raise_divide_error: xor ecx, ecx",
    "div ecx",
    "ret",
    "raise_debug: pushfq",
    "or dword ptr [rsp], 0x100",
    "popfq",
    "nop",
    "ret",
    "raise_int3: int3",
    "ret",
    "raise_overflow: .byte 0xcd, 0x04",
    "ret",
    "raise_invalid_op: ud2",
    "ret",
    "raise_device_not_available: fld1",
    "fstp st(0)",
    "ret",
    "raise_general_protection: hlt",
    "ret",
    "raise_page_fault: xor eax, eax",
    "mov eax, [rax]",
    "raise_nothing: ret",
    ".popsection",
);

unsafe extern "C" {
    fn raise_divide_error();
    fn raise_debug();
    fn raise_int3();
    fn raise_overflow();
    fn raise_invalid_op();
    fn raise_device_not_available();
    fn raise_general_protection();
    fn raise_page_fault();
    fn raise_nothing();
}

/// Names, and who raises them.
const KINDS: [(&str, unsafe extern "C" fn()); 8] = [
    ("divide_error", raise_divide_error),
    ("debug", raise_debug),
    ("int3", raise_int3),
    ("overflow", raise_overflow),
    ("invalid_op", raise_invalid_op),
    ("device_not_available", raise_device_not_available),
    ("general_protection", raise_general_protection),
    ("page_fault", raise_page_fault),
];

/// Goes on behind the instruction, and steps no more.
extern "C" fn skip(_: i32, _: &mut SigInfo, uc: &mut UContext) {
    uc.mcontext.ip = raise_nothing as *const () as u64;
    uc.mcontext.flags &= !0x100;
}

/// A system call that is given a bad pointer: the kernel's page fault, and no signal.
fn uaccess() {
    // SAFETY: the kernel refuses the pointer.
    let _ = unsafe { syscall!(__NR_uname, 0) };
}

fn run() {
    let name = start::arg_str(1).unwrap_or_default();
    let raise = KINDS.iter().find(|(n, _)| *n == name).map(|(_, raise)| *raise);
    if raise.is_none() && name != "uaccess" {
        println!("exceptions: none is called {name:?}");
        return;
    }
    for sig in [SIGFPE, SIGTRAP, SIGSEGV, SIGILL] {
        check!(sigaction(sig, Action::Handle(skip), SA_SIGINFO, 0).is_ok(), "sigaction({sig})");
    }
    println!("exceptions: running");
    loop {
        match raise {
            // SAFETY: as above; it comes back by its own `ret` or by another.
            Some(raise) => unsafe { raise() },
            None => uaccess(),
        }
    }
}
