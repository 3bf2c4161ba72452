// SPDX-License-Identifier: GPL-2.0-only
//! What happens to a process whose first thread does not go on: another one runs a program while
//! the first still lives; a file that it has mapped becomes shorter after the first is gone.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use linux_raw_sys::general as abi;
use user::prelude::*;
use user::process::{WNOHANG, exit_thread, spawn_thread, wait4};
use user::signal::pause;
use user::time::{now, sleep_ms};
use user::{memory, program, start, syscall};

expect! { end: exit(0) }
program!(run);

/// How a child ends, if it does within ten seconds; else it is killed.
fn end_of(pid: i32) -> Option<WaitStatus> {
    let start = now();
    while now() - start < 10_000_000_000 {
        if let Ok(Some((_, status))) = wait4(pid, WNOHANG) {
            return Some(status.without_core());
        }
        sleep_ms(1);
    }
    let _ = (kill(pid, 9), wait(pid));
    None
}

/// This program again, which sees its argument and says so.
extern "C" fn run_program() -> ! {
    // Not by way of /proc/self/exe: that one is gone with the first thread.
    let path = start::arg(0).unwrap_or(c"");
    let argv = [path.as_ptr(), c"again".as_ptr(), core::ptr::null()];
    let _ = user::process::execve(path, &argv, &[core::ptr::null()]);
    exit_group(1)
}

fn exec_by_thread() {
    let pid = child(|| {
        let _ = spawn_thread(run_program);
        loop {
            let _ = pause();
        }
    });
    check_eq!(end_of(pid), Some(WaitStatus::exited(42)), "execve by a thread, the first one alive");
    let pid = child(|| {
        let _ = spawn_thread(run_program);
        exit_thread(3)
    });
    check_eq!(end_of(pid), Some(WaitStatus::exited(42)), "execve by a thread, the first one gone");
}

static MAPPED: AtomicUsize = AtomicUsize::new(0);
static STATE: AtomicUsize = AtomicUsize::new(0);

/// In memory that parent and child share.
fn state() -> &'static AtomicUsize {
    // SAFETY: set to a shared page before anybody asks.
    unsafe { AtomicUsize::from_ptr(core::ptr::with_exposed_provenance_mut(STATE.load(SeqCst))) }
}

fn until(value: usize) {
    while state().load(SeqCst) != value {
        sleep_ms(1);
    }
}

extern "C" fn reader() -> ! {
    sleep_ms(5);
    // SAFETY: the mapping is there, and so is the file behind it.
    unsafe { memory::peek(MAPPED.load(SeqCst)) };
    state().store(1, SeqCst);
    until(2);
    // SAFETY: the fault is wanted.
    unsafe { memory::peek(MAPPED.load(SeqCst)) };
    exit_group(1)
}

fn truncated() {
    // SAFETY: the name is a C string; the rest involves no memory.
    let at = unsafe {
        let fd = syscall!(__NR_memfd_create, c"short".as_ptr(), 0).unwrap_or(usize::MAX);
        check_eq!(syscall!(__NR_ftruncate, fd, memory::PAGE), Ok(0), "ftruncate");
        STATE.store(memory::map_shared(memory::PAGE).unwrap_or(0), SeqCst);
        (fd, syscall!(__NR_mmap, 0, memory::PAGE, memory::PROT_READ, memory::MAP_SHARED, fd, 0))
    };
    let (fd, Ok(mapped)) = at else { return check!(false, "mmap: {:?}", at.1) };
    MAPPED.store(mapped, SeqCst);
    let pid = child(|| {
        let _ = spawn_thread(reader);
        exit_thread(0)
    });
    until(1);
    // SAFETY: no memory of ours is involved.
    check_eq!(unsafe { syscall!(__NR_ftruncate, fd, 0) }, Ok(0), "ftruncate to nothing");
    state().store(2, SeqCst);
    check_eq!(end_of(pid), Some(WaitStatus::killed(abi::SIGBUS as i32)), "a page behind the end");
}

fn run() {
    if start::arg_str(1) == Some("again") {
        exit_group(42);
    }
    exec_by_thread();
    truncated();
}
