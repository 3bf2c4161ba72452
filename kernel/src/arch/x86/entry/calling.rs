// SPDX-License-Identifier: GPL-2.0-only
//! How entries save and restore registers (Linux 6.1, `arch/x86/entry/calling.h`).
//!
//! Assembler macros that `entry_64.rs` builds on. Stack picture after
//! `PUSH_REGS`: RSP points at a `pt_regs`; RBP holds its address with bit 0 set,
//! which is how the stack walker recognises an entry frame.

/// Offsets into `pt_regs` as assembler symbols, and the register macros.
macro_rules! calling {
    () => {
        r#"
    .set PT_RBP, 32
    .set PT_RBX, 40
    .set PT_RAX, 80
    .set PT_ORIG_RAX, 120
    .set PT_RIP, 128
    .set PT_CS, 136
    .set PT_EFLAGS, 144
    .set PT_RSP, 152
    .set SIZEOF_PTREGS, 168

    /* Pushes what the CPU did not, and clears the caller's values, so that no
       user value is in a register that kernel code might speculate with. */
    .macro PUSH_AND_CLEAR_REGS rdx_=rdx, rcx_=rcx, rax_=rax
    push rdi
    push rsi
    push \rdx_
    push \rcx_
    push \rax_
    push r8
    push r9
    push r10
    push r11
    push rbx
    push rbp
    push r12
    push r13
    push r14
    push r15
    xor esi, esi
    xor edx, edx
    xor ecx, ecx
    xor r8d, r8d
    xor r9d, r9d
    xor r10d, r10d
    xor r11d, r11d
    xor ebx, ebx
    xor r12d, r12d
    xor r13d, r13d
    xor r14d, r14d
    xor r15d, r15d
    lea rbp, [rsp + 1]
    .endm

    .macro POP_REGS pop_rdi=1
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbp
    pop rbx
    pop r11
    pop r10
    pop r9
    pop r8
    pop rax
    pop rcx
    pop rdx
    pop rsi
    .if \pop_rdi
    pop rdi
    .endif
    .endm

    /* `clac`, once the CPU is known to have it (patched at boot). */
    .macro ASM_CLAC
771:
    .byte 0x0f, 0x1f, 0x00
    .pushsection .alt_clac, "a"
    .quad 771b
    .popsection
    .endm
"#
    };
}
pub(crate) use calling;
