// SPDX-License-Identifier: GPL-2.0-only
//! Not one of the set: as the first process (`rdinit=/bin/leaks`) makes and ends processes,
//! mappings and threads many thousand times, and tells how many pages fewer are free afterwards.
//! A test boots it.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::ptr::null;
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering::SeqCst};
use user::memory::{PAGE, PROT_READ, PROT_WRITE, map};
use user::prelude::*;
use user::process::{execve, exit_thread, spawn_thread_on, thread_stack};
use user::runner::machine;
use user::{file, println, program, start, syscall, time};

program!(run);

/// How often everything is done.
const ROUNDS: usize = 10_000;
/// What is kept after the first rounds (a heap that has grown) is not lost.
const WARM_UP: usize = 300;
/// Pages of one mapping.
const PAGES: usize = 8;

const WAYS: &[(&str, fn())] = &[
    ("fork, exec and exit", process),
    ("mmap, faults and munmap", mapping),
    ("threads", thread),
    ("semaphores to be undone", semaphores),
    ("pseudoterminals", pseudoterminals),
];

fn run() {
    if start::arg(1) == Some(c"end") {
        exit_group(0);
    }
    if getpid() != 1 {
        return;
    }
    machine::set_up();
    let _ = (file::mkdir(c"/dev/pts", 0o755), file::mount(c"devpts", c"/dev/pts"));
    for (name, way) in WAYS {
        (0..WARM_UP).for_each(|_| way());
        let before = free_pages();
        let started = time::now();
        (0..ROUNDS).for_each(|_| way());
        let lost = before as isize - free_pages() as isize;
        let ms = (time::now() - started) / 1_000_000;
        println!("leaks: {ROUNDS} times {name}: {lost} pages lost, {ms} ms");
    }
    println!("leaks: done");
    machine::power_off();
}

/// What `sysinfo` says.
fn free_pages() -> usize {
    // The dead are taken apart by others.
    time::sleep_ms(50);
    // SAFETY: all zeroes are a `sysinfo`.
    let mut info: linux_raw_sys::system::sysinfo = unsafe { core::mem::zeroed() };
    // SAFETY: the kernel writes it.
    let _ = unsafe { syscall!(__NR_sysinfo, core::ptr::from_mut(&mut info)) };
    info.freeram as usize * info.mem_unit as usize / PAGE
}

fn process() {
    let pid = child(|| {
        let argv = [c"leaks".as_ptr(), c"end".as_ptr(), null()];
        let _ = execve(c"/bin/leaks", &argv, &[null()]);
        1
    });
    if wait(pid) != Ok(WaitStatus::exited(0)) {
        println!("leaks: a process came to a bad end");
    }
}

fn mapping() {
    let Ok(at) = map(PAGES * PAGE, PROT_READ | PROT_WRITE) else {
        println!("leaks: no mapping");
        return;
    };
    for page in (at..at + PAGES * PAGE).step_by(PAGE) {
        // SAFETY: just mapped.
        unsafe { (page as *mut u8).write_volatile(1) };
    }
    // SAFETY: the mapping is ours, and nobody uses it any more.
    let _ = unsafe { syscall!(__NR_munmap, at, PAGES * PAGE) };
}

/// A set is used, with the promise to take it back, and removed.
fn semaphores() {
    const UNDO: u16 = 0x1000;
    // SAFETY: no memory is involved, but an operation that the kernel reads.
    let done = unsafe {
        syscall!(__NR_semget, 0, 1, 0o600).and_then(|id| {
            let op = [0u16, 1, UNDO];
            syscall!(__NR_semop, id, op.as_ptr(), 1)?;
            syscall!(__NR_semctl, id, 0, 0, 0)
        })
    };
    if done != Ok(0) {
        println!("leaks: semaphores: {done:?}");
    }
}

/// Some at a time, typed at and written to.
fn pseudoterminals() {
    static ROUND: AtomicUsize = AtomicUsize::new(0);
    // Once there are many.
    let n = if ROUND.fetch_add(1, SeqCst) == WARM_UP { 200 } else { 2 };
    let mut all = [(-1, -1); 200];
    all[..n].fill_with(user::pty::pair);
    for &(master, slave) in &all[..n] {
        let _ = (file::write(master, b"typed"), file::write(slave, b"written"));
        if file::close(slave).is_err() || file::close(master).is_err() {
            println!("leaks: no pseudoterminal");
        }
    }
}

static ENDED: AtomicU32 = AtomicU32::new(0);

extern "C" fn body() -> ! {
    ENDED.store(1, SeqCst);
    exit_thread(0)
}

/// Threads one after the other on one stack: the last one is gone when the kernel knows no
/// task of its number.
fn thread() {
    static STACK: AtomicUsize = AtomicUsize::new(0);
    if STACK.load(SeqCst) == 0 {
        STACK.store(thread_stack().unwrap_or(0), SeqCst);
    }
    ENDED.store(0, SeqCst);
    // SAFETY: the last thread that used the stack is gone.
    let tid = match unsafe { spawn_thread_on(STACK.load(SeqCst), body) } {
        Ok(tid) => tid,
        Err(e) => {
            println!("leaks: no thread: {e}");
            return;
        }
    };
    while ENDED.load(SeqCst) == 0 || tgkill(getpid(), tid, 0).is_ok() {
        user::process::sched_yield();
    }
}
