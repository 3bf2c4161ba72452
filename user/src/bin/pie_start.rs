// SPDX-License-Identifier: GPL-2.0-only
//! A static-PIE program: loaded at a base that it was not linked at, it relocates itself and
//! checks what the auxiliary vector says about it. All in assembly, since the workspace's flags
//! compile Rust code for a fixed address.
#![cfg_attr(target_os = "none", no_std, no_main)]

user::expect! { end: exit(0) }

#[cfg(not(target_os = "none"))]
fn main() {}

// Exit codes: 0 good; 2 not relocated; 3 AT_PHDR, 4 AT_ENTRY wrong; 5 AT_BASE not 0; 6 at its
// link address; 7 the stack pointer is not aligned.
#[cfg(target_os = "none")]
core::arch::global_asm!(
    ".pushsection .data.rel.ro,\"aw\",@progbits",
    ".balign 8",
    "pointers: .quad first, second, pointers",
    "first: .quad 0x1111",
    "second: .quad 0x2222",
    ".popsection",
    ".text",
    ".globl pie_start",
    "pie_start:",
    "mov edi, 7",
    "test rsp, 15",
    "jnz 9f",
    "lea rbx, [rip + __ehdr_start]", // our base: we are linked at 0
    "mov edi, 6",
    "test rbx, rbx",
    "jz 9f",
    // Applies every R_X86_64_RELATIVE (8): *(base + offset) = base + addend.
    "lea rsi, [rip + __rela_start]",
    "lea rdx, [rip + __rela_end]",
    "2: cmp rsi, rdx",
    "jae 3f",
    "mov edi, 2",
    "cmp dword ptr [rsi + 8], 8",
    "jne 9f",
    "mov rax, [rsi]",
    "mov rcx, [rsi + 16]",
    "add rcx, rbx",
    "mov [rbx + rax], rcx",
    "add rsi, 24",
    "jmp 2b",
    "3: lea rax, [rip + pointers]",
    "mov edi, 2",
    "cmp [rax + 16], rax",
    "jne 9f",
    "mov rcx, [rax]",
    "cmp qword ptr [rcx], 0x1111",
    "jne 9f",
    "mov rcx, [rax + 8]",
    "cmp qword ptr [rcx], 0x2222",
    "jne 9f",
    // The auxiliary vector: behind argc, argv, 0, envp, 0.
    "mov rax, [rsp]",
    "lea rsi, [rsp + 8*rax + 16]",
    "4: lodsq",
    "test rax, rax",
    "jnz 4b",
    "5: lodsq",
    "mov rcx, rax",
    "lodsq",
    "mov edi, 3",
    "lea rdx, [rbx + 64]",
    "cmp ecx, 3", // AT_PHDR
    "jne 6f",
    "cmp rax, rdx",
    "jne 9f",
    "6: mov edi, 4",
    "lea rdx, [rip + pie_start]",
    "cmp ecx, 9", // AT_ENTRY
    "jne 7f",
    "cmp rax, rdx",
    "jne 9f",
    "7: mov edi, 5",
    "cmp ecx, 7", // AT_BASE
    "jne 8f",
    "test rax, rax",
    "jnz 9f",
    "8: test rcx, rcx",
    "jnz 5b",
    "xor edi, edi",
    "9: mov eax, 231", // exit_group
    "syscall",
    "ud2",
);
