// SPDX-License-Identifier: GPL-2.0-only
//! The instruction under test.
//!
//! `probe!("setup" ; "instruction")` defines `fn probe()`, which zeroes the
//! registers, runs the setup and then the instruction, and comes back if
//! nothing happens. The instruction carries the label `trapline_ip`; a second
//! note in the binary says where that is, which makes the rules `ip` and
//! `ip + N` exact (see [`crate::note`]).

#[cfg(target_arch = "x86_64")]
core::arch::global_asm!(
    ".pushsection .bss.trapline_probe,\"aw\",@nobits",
    ".balign 8",
    "trapline_probe_sp: .quad 0",
    ".popsection",
    ".pushsection .text.trapline_probe,\"ax\",@progbits",
    ".globl trapline_probe_call, trapline_probe_return",
    "trapline_probe_call:",
    "push rbx",
    "push rbp",
    "push r12",
    "push r13",
    "push r14",
    "push r15",
    // A handler may run another probe while this one is under way.
    "push qword ptr [rip + trapline_probe_sp]",
    "mov [rip + trapline_probe_sp], rsp",
    // A scratch area of its own, aligned, that the setup may do anything with.
    "lea rax, [rsp - 1024]",
    "and rax, -64",
    "mov rsp, rax",
    "push rdi",
    "xor eax, eax",
    "xor ebx, ebx",
    "xor ecx, ecx",
    "xor edx, edx",
    "xor esi, esi",
    "xor edi, edi",
    "xor ebp, ebp",
    "xor r8d, r8d",
    "xor r9d, r9d",
    "xor r10d, r10d",
    "xor r11d, r11d",
    "xor r12d, r12d",
    "xor r13d, r13d",
    "xor r14d, r14d",
    "xor r15d, r15d",
    "ret",
    "trapline_probe_return:",
    "mov rsp, [rip + trapline_probe_sp]",
    "push 0x202",
    "popfq",
    "pop qword ptr [rip + trapline_probe_sp]",
    "pop r15",
    "pop r14",
    "pop r13",
    "pop r12",
    "pop rbp",
    "pop rbx",
    "ret",
    ".popsection",
);

unsafe extern "C" {
    fn trapline_probe_call(code: unsafe extern "C" fn()) -> u64;
}

/// Runs code that ends with `jmp trapline_probe_return`, with zeroed registers; returns its rax.
pub fn call(code: unsafe extern "C" fn()) -> u64 {
    // SAFETY: the callee-saved registers and the stack pointer are restored whatever the code does
    // to them; what else it does is the test.
    unsafe { trapline_probe_call(code) }
}

/// Defines `fn probe() -> u64`: the setup, then the instruction under test.
#[macro_export]
macro_rules! probe {
    ($($setup:literal),* ; $test:literal $(; $($after:literal),*)?) => {
        core::arch::global_asm!(
            ".pushsection .text.trapline_test,\"ax\",@progbits",
            // Room for the 42 bytes that a "Code:" line shows before the instruction.
            ".balign 64", ".fill 64, 1, 0x90",
            ".globl trapline_test, trapline_ip",
            "trapline_test:",
            $($setup,)*
            "trapline_ip:",
            $test,
            $($($after,)*)?
            "nop", "nop", "nop", "nop",
            "jmp trapline_probe_return",
            ".fill 64, 1, 0x90",
            ".popsection",
            // The note that says where trapline_ip is, relative to itself.
            ".pushsection .note.trapline,\"a\",@note",
            ".balign 4",
            ".long 9, 8, 2",
            ".asciz \"Trapline\"",
            ".balign 4",
            "22: .quad trapline_ip - 22b",
            ".popsection",
        );

        /// Runs the setup and the instruction under test.
        fn probe() -> u64 {
            unsafe extern "C" {
                safe fn trapline_test();
            }
            $crate::probe::call(trapline_test)
        }
    };
}
