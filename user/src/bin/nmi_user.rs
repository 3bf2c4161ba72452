// SPDX-License-Identifier: GPL-2.0-only
//! Not one of the set: runs a few instructions for ever, with an odd RSP, the direction flag set and
//! segment bases of its own, while NMIs come at each of them (`tests/boot/nmi.rs`). Before that it writes
//! what its arguments say (`FILE=WORD`). Says first where the instructions are. With the argument `counts`
//! it says for six seconds what `/proc/interrupts` says of NMIs instead, and ends. With `rsp=ADDRESS` it
//! calls the kernel for ever, with such an RSP.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::arch::global_asm;
use core::ffi::CStr;
use user::prelude::*;
use user::syscall::arch_prctl;
use user::syscall::prctl::*;
use user::time::sleep_ms;
use user::{file, println, program, start};

program!(run);

global_asm!(
    ".pushsection .text.nmi_user, \"ax\"",
    "nmi_user_loop:",
    "or rsp, 7",
    "nmi_user_1: std",
    "nmi_user_2: push rsp",
    "nmi_user_3: pop rax",
    "nmi_user_4: pause",
    "nmi_user_5: jmp nmi_user_1",
    "nmi_user_calls:",
    "mov rsp, rdi",
    "1: std",
    // getpid
    "mov eax, 39",
    "syscall",
    "jmp 1b",
    ".popsection",
);

unsafe extern "C" {
    fn nmi_user_loop() -> !;
    fn nmi_user_calls(rsp: usize) -> !;
    static nmi_user_1: u8;
    static nmi_user_2: u8;
    static nmi_user_3: u8;
    static nmi_user_4: u8;
    static nmi_user_5: u8;
}

/// `FILE=WORD`.
fn store(argument: &str) {
    let Some((path, word)) = argument.split_once('=') else { return };
    let mut name = [0; 128];
    let n = path.len().min(127);
    name[..n].copy_from_slice(&path.as_bytes()[..n]);
    let name = CStr::from_bytes_until_nul(&name).unwrap_or_default();
    check!(file::store(name, word.as_bytes()).is_ok(), "{path} takes {word}");
}

/// The line about NMIs, as it becomes.
fn counts() {
    println!("nmi_user: running");
    for _ in 0..60 {
        let mut text = [0; 8192];
        let text = file::load(c"/proc/interrupts", &mut text).unwrap_or_default();
        let line = text.split(|&b| b == b'\n').find(|line| line.trim_ascii().starts_with(b"NMI:"));
        println!("nmi_user: {}", str::from_utf8(line.unwrap_or_default()).unwrap_or_default());
        sleep_ms(100);
    }
}

fn run() {
    if start::arg_str(1) == Some("counts") {
        return counts();
    }
    if let Some(rsp) = start::arg_str(1).and_then(|a| a.strip_prefix("rsp=")) {
        println!("nmi_user: running");
        // SAFETY: it never comes back, and touches no memory.
        unsafe { nmi_user_calls(usize::from_str_radix(rsp, 16).unwrap_or(0)) };
    }
    for i in 1.. {
        let Some(argument) = start::arg_str(i) else { break };
        store(argument);
    }
    let at = [
        &raw const nmi_user_1,
        &raw const nmi_user_2,
        &raw const nmi_user_3,
        &raw const nmi_user_4,
        &raw const nmi_user_5,
    ];
    println!("nmi_user: {:x?}", at.map(|p| p as usize));
    for (what, base) in [(ARCH_SET_GS, 0x1234_5000), (ARCH_SET_FS, 0x2345_6000)] {
        check!(arch_prctl(what, base).is_ok(), "arch_prctl");
    }
    println!("nmi_user: running");
    // SAFETY: it never comes back, and touches nothing but its own stack.
    unsafe { nmi_user_loop() }
}
