// SPDX-License-Identifier: GPL-2.0-only
//! A frame that does not fit the alternate stack: SIGSEGV, which cannot be delivered there either.
#![cfg_attr(target_os = "none", no_std, no_main)]

use user::memory::{PROT_READ, PROT_WRITE, map_fixed};
use user::prelude::*;
use user::signal::{AltStack, SIGUSR1, raise, sigaltstack};

expect! {
    end: killed(SIGSEGV),
    log: ["signal: {comm}[{pid}] overflowed sigaltstack"],
}
program!(run);

const BASE: usize = 0x1000_0000;
const SIZE: usize = 0x10000;

// A handler that uses up the alternate stack but for 512 bytes, less than a frame on any CPU, and
// sends SIGUSR1 to its process again.
core::arch::global_asm!(
    ".pushsection .text.deeper,\"ax\",@progbits",
    ".globl deeper",
    "deeper:",
    "mov esp, 0x10000200",
    "mov eax, 39", // getpid
    "syscall",
    "mov edi, eax",
    "mov esi, 10",
    "mov eax, 62", // kill
    "syscall",
    "ud2",
    ".popsection",
);

unsafe extern "C" {
    fn deeper();
}

fn run() {
    // SAFETY: nothing is mapped at this address, which only the alternate stack uses.
    let mapped = unsafe { map_fixed(BASE, SIZE, PROT_READ | PROT_WRITE) };
    check_eq!(mapped, Ok(BASE), "mmap");
    let set = sigaltstack(Some(AltStack { sp: BASE as u64, flags: 0, size: SIZE as u64 }));
    check!(set.is_ok(), "sigaltstack: {set:?}");
    let _ = sigaction(SIGUSR1, Action::Address(deeper as *const () as u64), SA_ONSTACK | SA_NODEFER, 0);
    raise(SIGUSR1);
}
