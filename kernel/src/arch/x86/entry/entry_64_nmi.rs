// SPDX-License-Identifier: GPL-2.0-only
//! The NMI's entry, nested (the sixth document; Linux 4.x and 6.1,
//! `arch/x86/entry/entry_64.S`, `asm_exc_nmi`). It is part of `entry_64.rs`'s assembly.
//!
//! The CPU holds NMIs back until the next `iret`. But a handler may hit a breakpoint or a page
//! fault, and the `iret` of *that* lets the next NMI in, which starts at the top of the same stack:
//! over the frame of the first. Therefore the first NMI copies its frame twice:
//!
//! ```text
//!        top of the stack ->  ┌──────────────────────────┐
//!                       -8    │ original SS              │
//!                      -16    │ original return RSP      │  written by the CPU, again by
//!                      -24    │ original RFLAGS          │  each nested NMI
//!                      -32    │ original CS              │
//!                      -40    │ original RIP             │
//!                             ├──────────────────────────┤
//!                      -48    │ temp storage for rdx     │
//!                      -56    │ NMI executing variable   │  1 from the first to the last
//!                             ├──────────────────────────┤
//!                -64…  -96    │ copied SS … RIP          │  what the iret takes: a nested NMI
//!                             ├──────────────────────────┤  makes it lead to repeat_nmi
//!               -104… -136    │ saved SS … RIP           │  never changes
//!                             ├──────────────────────────┤
//!                     -264    │ pt_regs                  │
//!                             └──────────────────────────┘
//! ```
//!
//! A nested NMI does nothing but make the first one's `iret` lead to `repeat_nmi`, and goes back. It
//! knows that it is nested by
//! 1. the interrupted RIP, between `repeat_nmi` and `end_repeat_nmi`: the frame is just being
//!    copied, and the repetition is under way (`nested_nmi_out`);
//! 2. the variable;
//! 3. the interrupted RSP on this stack, where the variable is 0 again and the `iret` is next. So
//!    that a program's RSP (of a `syscall`, which has not switched stacks yet) is not taken for it, DF is
//!    set there, as it never is in the kernel.
//!
//! *From user mode* the thread's own stack is used, as Linux does since 4.3, and not the IST as the
//! document has it: nothing there can be overwritten, whatever the handler hits, and the way back
//! is everybody's.
//!
//! With the feature `broken_nmi_nesting` an NMI asks none of the three questions, and takes every NMI
//! for the first. Nothing but the test that the proof notices (`tests/boot/nmi.rs`) builds it.

/// Whether an NMI from kernel mode is nested; falls through if it is not.
#[cfg(not(feature = "broken_nmi_nesting"))]
macro_rules! nmi_if_nested {
    () => {
        r#"
    lea rdx, [rip + repeat_nmi]
    cmp [rsp + 8], rdx
    jb 1f
    lea rdx, [rip + end_repeat_nmi]
    cmp [rsp + 8], rdx
    /* The proof overwrites each of these three jumps, and must then fail. */
    .globl nmi_if_repeating
nmi_if_repeating:
    jb nested_nmi_out
1:  cmp dword ptr [rsp - 8], 1
    .globl nmi_if_executing
nmi_if_executing:
    je nested_nmi
    lea rdx, [rsp + 48]
    cmp [rsp + 32], rdx
    ja first_nmi
    sub rdx, {ist_size}
    cmp [rsp + 32], rdx
    jb first_nmi
    test byte ptr [rsp + 25], 4
    .globl nmi_if_leaving
nmi_if_leaving:
    jnz nested_nmi
    jmp first_nmi
"#
    };
}

/// No questions.
#[cfg(feature = "broken_nmi_nesting")]
macro_rules! nmi_if_nested {
    () => {
        "    jmp first_nmi\n"
    };
}
pub(crate) use nmi_if_nested;

/// The NMI's entry; a part of `idtentry_asm`.
macro_rules! nmi_asm {
    () => {
        concat!(
            r#"
    .globl asm_nmi
    .balign 16
asm_nmi:
    ASM_CLAC
    push rdx
    test byte ptr [rsp + 16], 3
    jz nmi_from_kernel

    /* From user mode: on the thread's stack, with the CPU's five words moved there. */
    swapgs
    cld
    mov rdx, rsp
    mov rsp, gs:[{top_of_stack}]
    push qword ptr [rdx + 40]
    push qword ptr [rdx + 32]
    push qword ptr [rdx + 24]
    push qword ptr [rdx + 16]
    push qword ptr [rdx + 8]
    push -1
    PUSH_AND_CLEAR_REGS rdx_="qword ptr [rdx]"
    mov rdi, rsp
    mov rsi, -1
    push rax
    call {do_nmi}
    pop rax
    jmp swapgs_restore_regs_and_return_to_usermode

    .globl nmi_from_kernel
nmi_from_kernel:
"#,
            $crate::arch::x86::entry::entry_64_nmi::nmi_if_nested!(),
            r#"
    .globl nested_nmi
nested_nmi:
    /* The copied frame: to repeat_nmi, with RSP on the saved frame. */
    sub rsp, 8
    lea rdx, [rsp - 80]
    push {kernel_ds}
    push rdx
    pushfq
    push {kernel_cs}
    lea rdx, [rip + repeat_nmi]
    push rdx
    add rsp, 48
    .globl nested_nmi_out
nested_nmi_out:
    pop rdx
    iretq

    .globl first_nmi
first_nmi:
    mov rdx, [rsp]
    push 1
    sub rsp, 40
    .rept 5
    push qword ptr [rsp + 88]
    .endr

    /* Here an iret may lead, and NMIs may come. */
    .globl repeat_nmi
repeat_nmi:
    mov qword ptr [rsp + 80], 1
    add rsp, 80
    .rept 5
    push qword ptr [rsp - 48]
    .endr
    sub rsp, 40
    .globl end_repeat_nmi
end_repeat_nmi:
    push -1
    cld
    PUSH_AND_CLEAR_REGS
    call paranoid_entry
    /* A page fault of the handler's must not lose that of the interrupted code. */
    mov r12, cr2
    mov rdi, rsp
    mov rsi, -1
    push rax
    call {do_nmi}
    pop rax
    mov rcx, cr2
    cmp r12, rcx
    je 1f
    .globl nmi_restore_cr2
nmi_restore_cr2:
    mov cr2, r12
1:  test ebx, ebx
    jnz nmi_restore
    .globl nmi_swapgs
nmi_swapgs:
    swapgs
    .globl nmi_restore
nmi_restore:
    POP_REGS
    /* The error code and the saved frame. */
    add rsp, 48
    std
    mov qword ptr [rsp + 40], 0
    .globl nmi_iret
nmi_iret:
    iretq
    .globl asm_nmi_end
asm_nmi_end:
"#
        )
    };
}
pub(crate) use nmi_asm;
