// SPDX-License-Identifier: GPL-2.0-only
//! What the common paths cost: `cargo xtask bench rows` reads it. Run as a test it does everything a
//! few times and says nothing.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use linux_raw_sys::{auxvec::AT_EXECFN, general as abi};
use user::bench::{Bench, Room, map_and_unmap, protect_pair};
use user::file::{pipe, read, write};
use user::memory::{PROT_READ, PROT_WRITE};
use user::prelude::*;
use user::process::execve;
use user::signal::{KernelSigaction, SIGFPE, SIGILL, SIGKILL, SIGSEGV, SIGTRAP, SIGUSR1, restorer};
use user::start::{arg_str, aux};
use user::{program, syscall};

expect! { end: exit(0) }
program!(run);

/// How many bytes of the instruction that faulted the handler steps over.
static SKIP: AtomicU64 = AtomicU64::new(0);
static HITS: AtomicU64 = AtomicU64::new(0);

extern "C" fn skip(_: i32, _: &mut SigInfo, uc: &mut UContext) {
    uc.mcontext.ip += SKIP.load(Relaxed);
    HITS.store(HITS.load(Relaxed) + 1, Relaxed);
}

fn run() {
    if arg_str(1) == Some("--leave") {
        return;
    }
    user::bench::measure(rows);
}

fn rows() {
    let mut b = Bench::new();
    calls(&mut b);
    signals(&mut b);
    faults(&mut b);
    mappings(&mut b);
    processes(&mut b);
}

fn calls(b: &mut Bench) {
    b.row("null_syscall", 2000, || {
        // SAFETY: getppid(2) touches no memory.
        unsafe {
            core::arch::asm!("syscall", inout("eax") abi::__NR_getppid => _, out("rcx") _, out("r11") _, options(nostack));
        }
    });
    let action = KernelSigaction {
        handler: skip as *const () as u64,
        flags: 0x0400_0004,
        restorer: restorer(),
        mask: 0,
    };
    b.row("rt_sigaction", 2000, || {
        // SAFETY: the kernel reads the structure.
        let set = unsafe { syscall!(__NR_rt_sigaction, SIGUSR1, core::ptr::from_ref(&action), 0, 8) };
        assert!(set.is_ok());
    });
    let Ok((reader, writer)) = pipe(0) else { return check!(false, "no pipe") };
    b.row("efault", 1000, || {
        // SAFETY: the address is nobody's.
        let wrote = unsafe { syscall!(__NR_write, writer, 8, 64) };
        assert!(wrote == Err(Errno(linux_raw_sys::errno::EFAULT)));
    });
    let mut byte = [0u8];
    b.row("pipe_write_read", 1000, || {
        let _ = write(writer, &[1]);
        let _ = read(reader, &mut byte);
    });
    let _ = (user::file::close(reader), user::file::close(writer));
}

fn signals(b: &mut Bench) {
    let mut caught = |name: &str, sig: u32, bytes: u64, op: &mut dyn FnMut()| {
        check!(sigaction(sig, Action::Handle(skip), 0, 0).is_ok(), "sigaction");
        SKIP.store(bytes, Relaxed);
        let before = HITS.load(Relaxed);
        let mut done = 0;
        b.row(name, 2000, || {
            op();
            done += 1;
        });
        check_eq!(HITS.load(Relaxed) - before, done, "{name}: signals caught");
    };
    let me = getpid();
    caught("kill_self", SIGUSR1, 0, &mut || {
        let _ = kill(me, SIGUSR1);
    });
    macro_rules! step_over {
        ($name:literal, $sig:ident, $bytes:literal, $($asm:tt)*) => {
            caught($name, $sig, $bytes, &mut || {
                // SAFETY: the handler steps over the instruction.
                unsafe { core::arch::asm!($($asm)*, options(nostack)) };
            });
        };
    }
    step_over!("ud2", SIGILL, 2, "ud2");
    step_over!("divide", SIGFPE, 2, "div ecx", inout("eax") 1 => _, inout("edx") 0 => _, in("ecx") 0);
    step_over!("int3", SIGTRAP, 0, "int3");
    step_over!("gp_hlt", SIGSEGV, 1, "hlt");
    let Ok(room) = Room::new(1, PROT_READ | PROT_WRITE) else { return check!(false, "no page") };
    room.touch(0, 1);
    check!(room.protect(0, PROT_READ).is_ok(), "mprotect");
    caught("segv", SIGSEGV, 3, &mut || room.trespass(0));
}

fn faults(b: &mut Bench) {
    // 1 MiB: too small for a huge page.
    const PAGES: usize = 256;
    let n = b.count(PAGES);
    let Ok(room) = Room::new(PAGES, PROT_READ | PROT_WRITE) else { return check!(false, "no memory") };
    if b.wants("demand_zero") {
        b.each("demand_zero", n, |i| room.touch(i, 1));
    }
    if b.wants("copy_on_write") {
        (0..n).for_each(|i| room.touch(i, 2));
        let sharer = child(|| {
            let _ = user::signal::pause();
            0
        });
        b.each("copy_on_write", n, |i| room.touch(i, 3));
        let _ = (kill(sharer, SIGKILL), wait(sharer));
    }
    let _ = room.unmap();
}

fn mappings(b: &mut Bench) {
    b.row("mmap_munmap", 1000, || assert!(map_and_unmap().is_ok()));
    let Ok(room) = Room::new(1, PROT_READ | PROT_WRITE) else { return check!(false, "no page") };
    room.touch(0, 1);
    b.row("mprotect_pair", 1000, || assert!(protect_pair(&room, 0).is_ok()));
    let _ = room.unmap();
}

fn processes(b: &mut Bench) {
    pingpong(b);
    b.row("fork_exit_wait", 100, || {
        check_eq!(wait(child(|| 0)), Ok(WaitStatus::exited(0)), "a child");
    });
    let me = aux(AT_EXECFN).unwrap_or(0);
    // SAFETY: the kernel's string on the first stack.
    let me = unsafe { core::ffi::CStr::from_ptr(core::ptr::with_exposed_provenance(me)) };
    b.row("fork_exec_wait", 100, || {
        let pid = child(|| {
            let argv = [me.as_ptr(), c"--leave".as_ptr(), core::ptr::null()];
            execve(me, &argv, &[core::ptr::null()]);
            1
        });
        check_eq!(wait(pid), Ok(WaitStatus::exited(0)), "a child that executes");
    });
}

/// A byte to another process and back: two switches.
fn pingpong(b: &mut Bench) {
    let (Ok(there), Ok(back)) = (pipe(0), pipe(0)) else { return check!(false, "no pipes") };
    let echo = child(|| {
        let _ = user::file::close(there.1);
        let mut byte = [0];
        while read(there.0, &mut byte) == Ok(1) {
            let _ = write(back.1, &byte);
        }
        0
    });
    let mut byte = [0];
    b.row("pipe_pingpong", 1000, || {
        let _ = write(there.1, &[1]);
        assert!(read(back.0, &mut byte) == Ok(1));
    });
    for fd in [there.0, there.1, back.0, back.1] {
        let _ = user::file::close(fd);
    }
    check_eq!(wait(echo), Ok(WaitStatus::exited(0)), "the other process");
}
