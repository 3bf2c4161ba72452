// SPDX-License-Identifier: GPL-2.0-only
//! SYSENTER, and SYSCALL from 32-bit code (Linux 6.1, `arch/x86/entry/entry_64_compat.S`). It is
//! part of `entry_64.rs`'s assembly.
//!
//! *SYSENTER* loses RIP and RSP: the 32-bit vDSO keeps the one, and leaves the other in EBP. It
//! clears no flag but IF: with TF set the CPU steps through the entry up to the place where the
//! flags are set right, and `do_debug` passes over those steps
//! ([`is_sysenter_singlestep`](crate::arch::x86::kernel::traps)); the program's flags still have TF,
//! and its step ends behind the call. Which CPUs have it in 64-bit mode, or in long mode at all, is
//! the CPU's business (AMD's have not).
//!
//! *SYSCALL* from 32-bit code (which Intel's CPUs do not have) is as in 64-bit code, but that the
//! vDSO has its ECX in EBP, and its EBP on the stack.
//!
//! Both go back by `sysret` to the vDSO's landing pad, if nothing else is to be restored.

macro_rules! compat_asm {
    () => {
        r#"
    .globl entry_SYSENTER_compat
    .balign 64
entry_SYSENTER_compat:
    swapgs
    mov rsp, gs:[{top_of_stack}]
    push {user_ds}
    push 0
    /* As they were, but for IF. */
    pushfq
    push {user32_cs}
    push 0
    .globl entry_SYSENTER_compat_after_hwframe
entry_SYSENTER_compat_after_hwframe:
    mov eax, eax
    push rax
    PUSH_AND_CLEAR_REGS rax_=-38
    cld
    /* NT, AC, TF */
    test dword ptr [rsp + PT_EFLAGS], 0x44100
    jnz 2f
1:  mov rdi, rsp
    push rax
    call {do_SYSENTER_32}
    pop rcx
    test al, al
    jz swapgs_restore_regs_and_return_to_usermode
    jmp sysret32_from_system_call
2:  push 2
    popfq
    jmp 1b
    .globl __end_entry_SYSENTER_compat
__end_entry_SYSENTER_compat:

    .globl entry_SYSCALL_compat
    .balign 64
entry_SYSCALL_compat:
    swapgs
    mov r8d, esp
    mov rsp, gs:[{top_of_stack}]
    .globl entry_SYSCALL_compat_safe_stack
entry_SYSCALL_compat_safe_stack:
    push {user_ds}
    push r8
    push r11
    push {user32_cs}
    push rcx
    .globl entry_SYSCALL_compat_after_hwframe
entry_SYSCALL_compat_after_hwframe:
    mov eax, eax
    push rax
    PUSH_AND_CLEAR_REGS rcx_=rbp, rax_=-38
    mov rdi, rsp
    push rax
    call {do_fast_syscall_32}
    pop rcx
    test al, al
    jz swapgs_restore_regs_and_return_to_usermode

    /* ECX becomes the return address; the landing pad restores it. R8 to R15 tell nothing. */
sysret32_from_system_call:
    mov rbx, [rsp + PT_RBX]
    mov rbp, [rsp + PT_RBP]
    mov r11, [rsp + PT_EFLAGS]
    mov rcx, [rsp + PT_RIP]
    add rsp, PT_RAX
    pop rax
    pop rdx
    pop rdx
    pop rsi
    pop rdi
    mov rsp, [rsp + PT_RSP - PT_ORIG_RAX]
    .globl entry_SYSRETL_compat_unsafe_stack
entry_SYSRETL_compat_unsafe_stack:
    xor r8d, r8d
    xor r9d, r9d
    xor r10d, r10d
    swapgs
    sysret
    .globl entry_SYSRETL_compat_end
entry_SYSRETL_compat_end:
"#
    };
}
pub(crate) use compat_asm;
