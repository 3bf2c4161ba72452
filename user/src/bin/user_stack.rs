// SPDX-License-Identifier: GPL-2.0-only
//! Not one of the set: three functions deep, by frame pointers, it computes for ever, or calls the
//! kernel for ever, or writes a word to a file once, while somebody asks the kernel where it is
//! (`tests/boot/user_stack.rs`). Says first where that will be.
//!
//! `user_stack spin|call|PATH whole|lost [WORD]`: `lost`: behind the last frame is a page that is not
//! there; `whole`: no address of a program's.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::arch::global_asm;
use core::ffi::CStr;
use user::file;
use user::memory::{PAGE, PROT_READ, PROT_WRITE, map, unmap};
use user::prelude::*;
use user::{println, program, start};

program!(run);

// user_stack_outer(outermost frame's link, call number or -1, its arguments…)
global_asm!(
    ".pushsection .text.user_stack, \"ax\"",
    "user_stack_outer:",
    "push rbx",
    "mov rbx, rbp",
    "mov rbp, rdi",
    "call user_stack_middle",
    "user_stack_in_outer:",
    "mov rbp, rbx",
    "pop rbx",
    "ret",
    "user_stack_middle:",
    "push rbp",
    "mov rbp, rsp",
    "call user_stack_inner",
    "user_stack_in_middle:",
    "pop rbp",
    "ret",
    "user_stack_inner:",
    "push rbp",
    "mov rbp, rsp",
    "call user_stack_innermost",
    "user_stack_in_inner:",
    "pop rbp",
    "ret",
    "user_stack_innermost:",
    "push rbp",
    "mov rbp, rsp",
    "mov r10, rsi",
    "mov rdi, rdx",
    "mov rsi, rcx",
    "mov rdx, r8",
    "test r10, r10",
    "js user_stack_spin",
    "2: mov rax, r10",
    "syscall",
    "user_stack_in_innermost:",
    "test r9, r9",
    "jnz 2b",
    "pop rbp",
    "ret",
    "user_stack_spin: pause",
    "jmp user_stack_spin",
    ".popsection",
);

unsafe extern "C" {
    fn user_stack_outer(link: usize, call: i64, a: usize, b: usize, c: usize, repeat: usize) -> i64;
    static user_stack_in_outer: u8;
    static user_stack_in_middle: u8;
    static user_stack_in_inner: u8;
    static user_stack_in_innermost: u8;
    static user_stack_spin: u8;
}

/// An address that is a program's, and where nothing is.
fn nowhere() -> usize {
    let page = map(PAGE, PROT_READ | PROT_WRITE).unwrap_or(0);
    // SAFETY: the mapping is this function's own.
    check!(unsafe { unmap(page, PAGE) }.is_ok(), "munmap");
    page
}

fn run() {
    let _ = file::mount(c"debugfs", c"/sys/kernel/debug");
    let how = start::arg_str(1).unwrap_or_default();
    let link = if start::arg_str(2) == Some("lost") { nowhere() } else { usize::MAX };
    let word = start::arg_str(3).unwrap_or_default();
    let at = [
        &raw const user_stack_spin,
        &raw const user_stack_in_innermost,
        &raw const user_stack_in_inner,
        &raw const user_stack_in_middle,
        &raw const user_stack_in_outer,
    ];
    println!("user_stack: {:x?} then {link:x}", at.map(|p| p as usize));
    let (call, a, b, c, repeat) = match how {
        "spin" => (-1, 0, 0, 0, 0),
        "call" => (39, 0, 0, 0, 1),
        _ => (1, open(how), word.as_ptr() as usize, word.len(), 0),
    };
    println!("user_stack: running");
    // SAFETY: the call is `getpid`, or writes the word.
    let result = unsafe { user_stack_outer(link, call, a, b, c, repeat) };
    println!("user_stack: {result}");
}

/// The file of this name, to be written.
fn open(path: &str) -> usize {
    let mut name = [0; 128];
    name[..path.len().min(127)].copy_from_slice(&path.as_bytes()[..path.len().min(127)]);
    let fd = CStr::from_bytes_until_nul(&name).map(|name| file::open(name, file::O_WRONLY, 0));
    fd.ok().and_then(Result::ok).unwrap_or(-1) as usize
}
