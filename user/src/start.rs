// SPDX-License-Identifier: GPL-2.0-only
//! How a program starts and ends.

use crate::{check, process::exit_group, report};
use core::{
    ffi::{CStr, c_char},
    sync::atomic::{AtomicUsize, Ordering},
};

/// Makes `fn run()` the program: it exits with 1 if a `check!` failed, else with 0.
#[macro_export]
macro_rules! program {
    ($run:ident) => {
        #[cfg(target_os = "none")]
        #[unsafe(no_mangle)]
        extern "C" fn trapline_main() {
            let run: fn() = $run;
            run();
        }

        #[cfg(not(target_os = "none"))]
        fn main() {
            let _: fn() = $run;
            std::println!("built for the host there is nothing to run: see `cargo xtask run`");
        }
    };
}

/// Where the kernel left argc, argv, envp and the auxiliary vector.
static INITIAL_STACK: AtomicUsize = AtomicUsize::new(0);

#[cfg(target_os = "none")]
core::arch::global_asm!(
    ".pushsection .text._start,\"ax\",@progbits",
    ".globl _start",
    "_start:",
    "xor ebp, ebp",
    "mov rdi, rsp",
    "and rsp, -16",
    "call {start}",
    "ud2",
    ".popsection",
    start = sym start,
);

#[cfg(target_os = "none")]
extern "C" fn start(stack: usize) -> ! {
    unsafe extern "C" {
        safe fn trapline_main();
    }
    INITIAL_STACK.store(stack, Ordering::Relaxed);
    report::arm();
    trapline_main();
    finish()
}

/// Exits with 1 if a check failed, else with 0.
pub fn finish() -> ! {
    exit_group(i32::from(check::failures() != 0))
}

#[cfg(target_os = "none")]
#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    crate::io::write_fmt(2, format_args!("{info}\n"));
    exit_group(101)
}

/// The rest is here so that the host's lints see all of it used.
#[cfg(not(target_os = "none"))]
pub fn on_host() -> ! {
    report::arm();
    finish()
}

/// The initial stack, in words: `word(0)` is argc.
fn word(index: usize) -> usize {
    let base = core::ptr::with_exposed_provenance::<usize>(INITIAL_STACK.load(Ordering::Relaxed));
    // SAFETY: callers stay within what the kernel put there.
    unsafe { base.add(index).read() }
}

/// The address at which the kernel left argc: the first value of the stack pointer.
pub fn initial_stack() -> usize {
    INITIAL_STACK.load(Ordering::Relaxed)
}

fn string(address: usize) -> &'static CStr {
    // SAFETY: the kernel's strings stay where they are and end with 0.
    unsafe { CStr::from_ptr(core::ptr::with_exposed_provenance::<c_char>(address)) }
}

/// How many arguments there are.
pub fn argc() -> usize {
    word(0)
}

/// One argument.
pub fn arg(index: usize) -> Option<&'static CStr> {
    (index < argc()).then(|| string(word(1 + index)))
}

/// One argument as text.
pub fn arg_str(index: usize) -> Option<&'static str> {
    arg(index).and_then(|a| a.to_str().ok())
}

/// The environment's strings.
pub fn environment() -> impl Iterator<Item = &'static CStr> {
    (argc() + 2..).map(word).take_while(|&p| p != 0).map(string)
}

/// An environment variable's value.
pub fn env(name: &str) -> Option<&'static str> {
    environment().find_map(|s| s.to_str().ok()?.strip_prefix(name)?.strip_prefix('='))
}

/// The auxiliary vector: type and value.
pub fn auxv() -> impl Iterator<Item = (usize, usize)> {
    let first = argc() + 2 + environment().count() + 1;
    (first..).step_by(2).map(|i| (word(i), word(i + 1))).take_while(|e| e.0 != 0)
}

/// A value of the auxiliary vector.
pub fn aux(kind: u32) -> Option<usize> {
    auxv().find(|e| e.0 == kind as usize).map(|e| e.1)
}
