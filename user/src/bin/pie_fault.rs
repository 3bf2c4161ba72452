// SPDX-License-Identifier: GPL-2.0-only
//! A static-PIE program that divides by zero: the log has the address where it really ran.
//! In assembly, as `pie_start` is.
#![cfg_attr(target_os = "none", no_std, no_main)]

user::expect! {
    end: killed(SIGFPE),
    log: ["traps: {comm}[{pid}] trap divide error ip:{ip} sp:{sp} error:0 in {file}[{vma}]"],
}

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
core::arch::global_asm!(
    ".text",
    ".globl pie_start",
    "pie_start:",
    "mov eax, 1",
    "xor ecx, ecx",
    "trapline_ip: div ecx",
    "mov edi, 66",
    "mov eax, 231",
    "syscall",
    "ud2",
    ".pushsection .note.trapline,\"a\",@note",
    ".balign 4",
    ".long 9, 8, 2",
    ".asciz \"Trapline\"",
    ".balign 4",
    "22: .quad trapline_ip - 22b",
    ".popsection",
);
