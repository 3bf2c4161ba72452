// SPDX-License-Identifier: GPL-2.0-only
//! The way in and the way out (Linux 4.x and 6.1, `arch/x86/entry/entry_64.S`).
//!
//! * [`idtentry!`] defines the entry of one vector; its kind is written there.
//!   - `0`: plain. Pushes -1 where the CPU pushes no error code, saves `pt_regs`,
//!     `error_entry` (which does `swapgs` when user mode was interrupted), calls the
//!     handler, leaves through `error_exit`.
//!   - `paranoid`: may strike where CS does not tell which GS base is loaded
//!     (between `syscall` and `swapgs`, say). From kernel mode, `paranoid_entry` looks
//!     at the sign of `MSR_GS_BASE` itself; from user mode the frame moves to the
//!     thread's own stack, so that the handler may sleep and signals be delivered.
//!   - `paranoid_ist`: stays on its IST stack whoever was interrupted. It returns to the kernel, or not.
//!   - `shift_ist`: while the handler runs, its IST entry is lowered by one stack, so
//!     that the same exception inside it does not overwrite the frame.
//! * SYSENTER and 32-bit SYSCALL are in [`entry_64_compat`](super::entry_64_compat).
//! * The NMI has an entry of its own, in [`entry_64_nmi`](super::entry_64_nmi).
//! * `entry_SYSCALL_64`: the `syscall` instruction. It leaves by `sysret` when
//!   [`do_syscall_64`](super::common::do_syscall_64) finds that safe, else by `iret`.
//! * `native_irq_return_iret`: the one `iret` to user mode. If it faults (a bad
//!   selector from `rt_sigreturn`, say) `error_entry` makes it a fault of user mode
//!   with the frame that could not be loaded (`fixup_bad_iret`).
//!
//! Interrupts are off on every entry and on every exit.

use super::calling::calling;
use super::entry_64_compat::compat_asm;
use super::entry_64_nmi::nmi_asm;
use super::{common, syscall_32};
use crate::arch::x86::kernel::cpu::{BREAKPOINT_STACK, DEBUG_STACK, EXCEPTION_STKSZ};
use crate::arch::x86::kernel::irq;
use crate::arch::x86::kernel::traps;
use crate::arch::x86::percpu;
use crate::arch::x86::segment::{KERNEL_CS, KERNEL_DS, USER_CS, USER_DS, USER32_CS};

/// First vector of device interrupts.
pub const FIRST_EXTERNAL_VECTOR: u8 = 32;
/// Bytes between two entries of `irq_entries_start`.
pub const IRQ_ENTRY_SIZE: usize = 16;

macro_rules! idtentry_asm {
    () => {
        r#"
    .macro idtentry sym, do_sym, has_error_code, kind=0, shift_ist=-1
    .globl asm_\sym
    .balign 16
asm_\sym:
    ASM_CLAC
    cld
    .if \has_error_code == 0
    push -1
    .endif
    PUSH_AND_CLEAR_REGS
    .if \kind == 0
    call error_entry
    mov rdi, rsp
    mov rsi, [rsp + PT_ORIG_RAX]
    mov qword ptr [rsp + PT_ORIG_RAX], -1
    push rax
    call \do_sym
    pop rax
    jmp error_exit
    .else
    .if \kind == 1
    test byte ptr [rsp + PT_CS], 3
    jnz 772f
    .endif
    call paranoid_entry
    mov rdi, rsp
    mov rsi, [rsp + PT_ORIG_RAX]
    mov qword ptr [rsp + PT_ORIG_RAX], -1
    .if \shift_ist != -1
    sub qword ptr gs:[{tss_ist} + \shift_ist * 8], {ist_size}
    .endif
    push rax
    call \do_sym
    pop rax
    .if \shift_ist != -1
    add qword ptr gs:[{tss_ist} + \shift_ist * 8], {ist_size}
    .endif
    jmp paranoid_exit
    .if \kind == 1
772:
    swapgs
    call sync_regs
    mov rdi, rsp
    mov rsi, [rsp + PT_ORIG_RAX]
    mov qword ptr [rsp + PT_ORIG_RAX], -1
    push rax
    call \do_sym
    pop rax
    jmp error_exit
    .endif
    .endif
    .endm

    .pushsection .entry.text, "ax"

    /* syscall: RCX is the return address, R11 the flags, RSP still the user's. */
    .globl entry_SYSCALL_64
    .balign 64
entry_SYSCALL_64:
    swapgs
    mov gs:[{user_sp}], rsp
    mov rsp, gs:[{top_of_stack}]
entry_SYSCALL_64_safe_stack:
    push {user_ds}
    push qword ptr gs:[{user_sp}]
    push r11
    push {user_cs}
    push rcx
    .globl entry_SYSCALL_64_after_hwframe
entry_SYSCALL_64_after_hwframe:
    push rax
    PUSH_AND_CLEAR_REGS rax_=-38
    mov rdi, rsp
    movsxd rsi, eax
    push rax
    call {do_syscall_64}
    pop rcx
    test al, al
    jz swapgs_restore_regs_and_return_to_usermode
    POP_REGS 0
    pop rdi
    mov rsp, [rsp + 32]
    swapgs
    sysretq

    /* After an exception or interrupt; interrupts may be on. */
    .globl error_exit
error_exit:
    cli
    test byte ptr [rsp + PT_CS], 3
    jz restore_regs_and_return_to_kernel
    mov rdi, rsp
    push rax
    call {prepare_exit}
    pop rax

    .globl swapgs_restore_regs_and_return_to_usermode
swapgs_restore_regs_and_return_to_usermode:
    POP_REGS
    add rsp, 8
    swapgs
    /* A stack segment of the LDT may have 16 bits. */
    test byte ptr [rsp + 32], 4
    jnz native_irq_return_ldt
    .globl native_irq_return_iret
native_irq_return_iret:
    iretq

    /* The frame, and RAX, go to the small stack; then RSP becomes that of its aliases
       whose bits 16 to 31 are the program's (see espfix_64.rs). */
native_irq_return_ldt:
    push rdi
    swapgs
    mov rdi, gs:[{espfix_waddr}]
    mov [rdi], rax
    mov rax, [rsp + 8]
    mov [rdi + 8], rax
    mov rax, [rsp + 16]
    mov [rdi + 16], rax
    mov rax, [rsp + 24]
    mov [rdi + 24], rax
    mov rax, [rsp + 40]
    mov [rdi + 40], rax
    mov rax, [rsp + 32]
    mov [rdi + 32], rax
    and eax, 0xffff0000
    pop rdi
    or rax, gs:[{espfix_stack}]
    swapgs
    mov rsp, rax
    pop rax
    jmp native_irq_return_iret

    .globl restore_regs_and_return_to_kernel
restore_regs_and_return_to_kernel:
    POP_REGS
    add rsp, 8
    iretq

    /* A new task's first instructions: RBX is a kernel function or 0, R12 its argument. */
    .globl ret_from_fork_asm
ret_from_fork_asm:
    push rax
    call {schedule_tail}
    pop rax
    test rbx, rbx
    jz 2f
    mov rdi, r12
    push rax
    call rbx
    pop rax
2:  mov rdi, rsp
    push rax
    call {syscall_exit}
    pop rax
    jmp swapgs_restore_regs_and_return_to_usermode

    /* Called with pt_regs above the return address. From user mode: the kernel's
       GS. From kernel mode: normally nothing; but the exit to user mode runs with
       the user's GS, so a fault of its iret does need swapgs. */
error_entry:
    test byte ptr [rsp + PT_CS + 8], 3
    jz 2f
    swapgs
    ret
2:  lea rcx, [rip + native_irq_return_iret]
    cmp [rsp + PT_RIP + 8], rcx
    je error_bad_iret
    /* A user's GS selector that does not load: so far with the user's base. */
    lea rcx, [rip + gs_change]
    cmp [rsp + PT_RIP + 8], rcx
    jne 3f
    swapgs
3:  ret
error_bad_iret:
    /* The IRET of a user frame faulted: report it as user mode's fault. */
    swapgs
    pop r12
    mov rdi, rsp
    push rax
    call {fixup_bad_iret}
    mov rsp, rax
    lea rbp, [rsp + 1]
    jmp r12

    /* EBX = 0: paranoid_exit must swapgs back; 1: it must not. */
paranoid_entry:
    mov ebx, 1
    mov ecx, 0xc0000101
    rdmsr
    test edx, edx
    js 2f
    swapgs
    xor ebx, ebx
2:  ret

    /* Only to the kernel: from user mode there is no way back from `paranoid_ist`'s one user, #DF. */
paranoid_exit:
    cli
    test ebx, ebx
    jnz restore_regs_and_return_to_kernel
    swapgs
    jmp restore_regs_and_return_to_kernel

    /* Moves the frame from an IST stack to the thread's. */
sync_regs:
    pop r12
    mov rsi, rsp
    mov rdi, gs:[{top_of_stack}]
    sub rdi, SIZEOF_PTREGS
    mov rsp, rdi
    mov ecx, SIZEOF_PTREGS / 8
    rep movsq
    lea rbp, [rsp + 1]
    jmp r12

    /* Device interrupts: one 16-byte entry per vector from 32 up. */
    .globl irq_entries_start
    .balign 16
irq_entries_start:
    .set vector, 32
    .rept 224
    .balign 16
    push vector
    jmp common_interrupt
    .set vector, vector + 1
    .endr

common_interrupt:
    ASM_CLAC
    cld
    PUSH_AND_CLEAR_REGS
    call error_entry
    mov rdi, rsp
    mov rsi, [rsp + PT_ORIG_RAX]
    mov qword ptr [rsp + PT_ORIG_RAX], -1
    push rax
    call {do_irq}
    pop rax
    jmp error_exit

    /* switch_to_asm(save: *mut u64, next_sp: u64): keeps what a call preserves. */
    .globl switch_to_asm
switch_to_asm:
    push rbp
    push rbx
    push r12
    push r13
    push r14
    push r15
    mov [rdi], rsp
    mov rsp, rsi
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbx
    pop rbp
    ret
"#
    };
}

/// Defines the exceptions' entries, one line each: the vector's name, the handler,
/// whether the CPU pushes an error code, and the kind (see the module's text).
macro_rules! idtentry {
    (@err no_error_code) => { "0" };
    (@err error_code) => { "1" };
    (@kind) => { "0" };
    (@kind paranoid) => { "1" };
    (@kind paranoid_ist) => { "2" };
    (@shift) => { "-1" };
    (@shift DEBUG_STACK) => { "2" };
    (@shift BREAKPOINT_STACK) => { "4" };
    ($($name:ident => $handler:path, $err:ident $(, $kind:ident $(, shift_ist = $ist:ident)?)?;)*) => {
        core::arch::global_asm!(
            calling!(),
            idtentry_asm!(),
            nmi_asm!(),
            compat_asm!(),
            $(concat!("idtentry ", stringify!($name), ", {", stringify!($name), "}, ",
                idtentry!(@err $err), ", ", idtentry!(@kind $($kind)?), ", ", idtentry!(@shift $($($ist)?)?)),)*
            ".popsection",
            $($name = sym $handler,)*
            do_syscall_64 = sym common::do_syscall_64,
            do_SYSENTER_32 = sym syscall_32::do_SYSENTER_32,
            do_fast_syscall_32 = sym syscall_32::do_fast_syscall_32,
            prepare_exit = sym common::prepare_exit_to_usermode,
            syscall_exit = sym common::syscall_exit_to_user_mode,
            schedule_tail = sym common::schedule_tail,
            fixup_bad_iret = sym traps::fixup_bad_iret,
            do_irq = sym irq::do_irq,
            do_nmi = sym traps::do_nmi,
            kernel_cs = const KERNEL_CS,
            kernel_ds = const KERNEL_DS,
            user_sp = const percpu::USER_SP,
            top_of_stack = const percpu::TOP_OF_STACK,
            tss_ist = const percpu::TSS_IST,
            espfix_stack = const percpu::ESPFIX_STACK,
            espfix_waddr = const percpu::ESPFIX_WADDR,
            ist_size = const EXCEPTION_STKSZ,
            user_cs = const USER_CS,
            user32_cs = const USER32_CS,
            user_ds = const USER_DS,
        );

        // Whoever is called gets the registers as what they are: shared with a tracer (`PtRegs`).
        const _: &[extern "C" fn(&crate::arch::x86::ptrace::PtRegs, u64)] = &[$($handler,)* irq::do_irq, traps::do_nmi];
        const _: extern "C" fn(&crate::arch::x86::ptrace::PtRegs, i64) -> bool = common::do_syscall_64;
        const _: [extern "C" fn(&crate::arch::x86::ptrace::PtRegs) -> bool; 2] = [syscall_32::do_SYSENTER_32, syscall_32::do_fast_syscall_32];
        const _: [extern "C" fn(&crate::arch::x86::ptrace::PtRegs); 2] = [common::prepare_exit_to_usermode, common::syscall_exit_to_user_mode];

        /// The entries' addresses, for the IDT.
        #[allow(missing_docs)]
        pub mod entry {
            unsafe extern "C" {
                $(#[link_name = concat!("asm_", stringify!($name))] pub fn $name();)*
                #[link_name = "entry_SYSCALL_64"]
                pub fn entry_syscall_64();
                #[link_name = "asm_nmi"]
                pub fn nmi();
                #[link_name = "entry_SYSENTER_compat"]
                pub fn entry_sysenter_compat();
                #[link_name = "__end_entry_SYSENTER_compat"]
                pub fn end_entry_sysenter_compat();
                #[link_name = "entry_SYSCALL_compat"]
                pub fn entry_syscall_compat();
                pub fn irq_entries_start();
                pub fn native_irq_return_iret();
                pub fn ret_from_fork_asm();
                pub fn switch_to_asm(save: *mut u64, next_sp: u64);
            }
        }
    };
}

idtentry! {
    divide_error => traps::do_divide_error, no_error_code;
    debug => traps::do_debug, no_error_code, paranoid, shift_ist = DEBUG_STACK;
    int3 => traps::do_int3, no_error_code, paranoid, shift_ist = BREAKPOINT_STACK;
    overflow => traps::do_overflow, no_error_code;
    bounds => traps::do_bounds, no_error_code;
    invalid_op => traps::do_invalid_op, no_error_code;
    device_not_available => traps::do_device_not_available, no_error_code;
    double_fault => traps::do_double_fault, error_code, paranoid_ist;
    coprocessor_segment_overrun => traps::do_coprocessor_segment_overrun, no_error_code;
    invalid_tss => traps::do_invalid_TSS, error_code;
    segment_not_present => traps::do_segment_not_present, error_code;
    stack_segment => traps::do_stack_segment, error_code;
    general_protection => traps::do_general_protection, error_code;
    page_fault => common::do_page_fault, error_code;
    spurious_interrupt_bug => traps::do_spurious_interrupt_bug, no_error_code;
    coprocessor_error => traps::do_coprocessor_error, no_error_code;
    alignment_check => traps::do_alignment_check, error_code;
    machine_check => traps::do_machine_check, no_error_code, paranoid;
    simd_coprocessor_error => traps::do_simd_coprocessor_error, no_error_code;
    int80_compat => syscall_32::do_int80_syscall_32, no_error_code;
}

const _: () = assert!(DEBUG_STACK == 2 && BREAKPOINT_STACK == 4, "idtentry!'s shift_ist names IST indices");
