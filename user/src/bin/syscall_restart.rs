// SPDX-License-Identifier: GPL-2.0-only
//! A read interrupted by a signal: EINTR, or restarted with SA_RESTART; and what its frame shows.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::sync::atomic::{AtomicI32, AtomicU64, Ordering::SeqCst};
use user::prelude::*;
use user::signal::SIGALRM;
use user::time::set_real_timer;
use user::{file, time};

expect! { end: exit(0) }
program!(run);

// rdi: descriptor, rsi: buffer. The read whose interruption is looked at.
core::arch::global_asm!(
    ".pushsection .text.read_one,\"ax\",@progbits",
    ".globl read_one, read_one_syscall",
    "read_one:",
    "xor eax, eax",
    "mov edx, 1",
    "read_one_syscall:",
    "syscall",
    "ret",
    ".popsection",
);

unsafe extern "C" {
    fn read_one(fd: i32, buffer: &mut u8) -> i64;
    fn read_one_syscall();
}

static WRITE_END: AtomicI32 = AtomicI32::new(-1);
static SAVED_AX: AtomicU64 = AtomicU64::new(0);
static SAVED_IP: AtomicU64 = AtomicU64::new(0);

/// Ends the read, too: else it would wait for ever after a restart.
extern "C" fn note_frame(_: i32, info: &mut SigInfo, uc: &mut UContext) {
    check_eq!(*info, SigInfo::user(SIGALRM, 128, 0, 0), "siginfo of the timer's signal");
    SAVED_AX.store(uc.mcontext.ax, SeqCst);
    SAVED_IP.store(uc.mcontext.ip, SeqCst);
    file::write_all(WRITE_END.load(SeqCst), b"q");
}

/// Returns the read's result, and rax and rip (from the syscall instruction on) in the frame.
fn interrupted(flags: u32) -> (i64, i64, u64) {
    let (read, write) = file::pipe(0).unwrap_or((-1, -1));
    WRITE_END.store(write, SeqCst);
    let _ = sigaction(SIGALRM, Action::Handle(note_frame), flags, 0);
    let _ = set_real_timer(20, 0);
    let mut byte = 0;
    // SAFETY: reads at most one byte into `byte`.
    let result = unsafe { read_one(read, &mut byte) };
    let _ = (file::close(read), file::close(write));
    let ip = SAVED_IP.load(SeqCst).wrapping_sub(read_one_syscall as *const () as u64);
    (result, SAVED_AX.load(SeqCst) as i64, ip)
}

fn run() {
    check_eq!(interrupted(0), (-4, -4, 2), "plain: EINTR, rip behind the instruction");
    // Restarted: rax holds the number again (read is 0) and rip is back on the instruction.
    check_eq!(interrupted(SA_RESTART), (1, 0, 0), "SA_RESTART: the byte, after a restart");
    wait_is_restarted();
}

extern "C" fn nothing(_: i32, _: &mut SigInfo, _: &mut UContext) {}

fn wait_is_restarted() {
    for (flags, want) in [(0, Err(Errno(EINTR))), (SA_RESTART, Ok(true))] {
        let _ = sigaction(SIGALRM, Action::Handle(nothing), flags, 0);
        let pid = child(|| {
            time::sleep_ms(80);
            9
        });
        let _ = set_real_timer(20, 0);
        let got = user::process::wait4(pid, 0);
        check_eq!(got.map(|s| s == Some((pid, WaitStatus::exited(9)))), want, "wait4");
        let _ = wait(pid);
    }
}
