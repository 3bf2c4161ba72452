// SPDX-License-Identifier: GPL-2.0-only
//! A frame that does not fit the alternate stack: SIGSEGV, which cannot be delivered there either.
#![cfg_attr(target_os = "none", no_std, no_main)]

use user::memory::{PROT_READ, PROT_WRITE, map};
use user::prelude::*;
use user::signal::{AltStack, SIGUSR1, raise, sigaltstack};

expect! {
    end: killed(SIGSEGV),
    log: ["signal: {comm}[{pid}] overflowed sigaltstack"],
}
program!(run);

// A handler that sends SIGUSR1 to its process again, without using the stack itself: only the
// frames are to use it up.
core::arch::global_asm!(
    ".pushsection .text.deeper,\"ax\",@progbits",
    ".globl deeper",
    "deeper:",
    "mov eax, 39", // getpid
    "syscall",
    "mov edi, eax",
    "mov esi, 10",
    "mov eax, 62", // kill
    "syscall",
    "ret",
    ".popsection",
);

unsafe extern "C" {
    fn deeper();
}

fn run() {
    // Large enough for a few frames of any CPU, too small for all that the recursion wants.
    let sp = map(0x20000, PROT_READ | PROT_WRITE).unwrap_or(0) as u64;
    let set = sigaltstack(Some(AltStack { sp: sp + 0x10000, flags: 0, size: 0x10000 }));
    check!(set.is_ok(), "sigaltstack: {set:?}");
    let _ = sigaction(SIGUSR1, Action::Address(deeper as *const () as u64), SA_ONSTACK | SA_NODEFER, 0);
    raise(SIGUSR1);
}
