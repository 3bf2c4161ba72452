// SPDX-License-Identifier: GPL-2.0-only
//! clone and clone3: what is refused, what a child gets, who its parent is; numbers of living
//! process groups and sessions are not given to new tasks. Needs root.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::ptr::null;
use core::sync::atomic::{AtomicI32, AtomicU64, Ordering::SeqCst};
use linux_raw_sys::general as abi;
use user::memory::map_shared;
use user::prelude::*;
use user::process::{__WALL, execve, exit_thread, getppid, setpgid, spawn_thread, wait4};
use user::signal::{SIGCHLD, SIGUSR1, SIGUSR2, pause, sigpending};
use user::syscall::Result;
use user::time::sleep_ms;
use user::{start, syscall};

expect! { end: exit(0) }
program!(run);

/// `struct clone_args`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// `clone3` of a child that runs `body`; its pid.
fn clone3(args: CloneArgs, body: impl FnOnce() -> i32) -> Result<i32> {
    // SAFETY: the kernel reads the structure; without CLONE_VM the child has a copy of everything.
    match unsafe { syscall!(__NR_clone3, core::ptr::from_ref(&args), size_of::<CloneArgs>()) }? {
        0 => exit_group(body()),
        pid => Ok(pid as i32),
    }
}

/// `clone` of a child on a copy of this stack.
fn clone(flags: u64, body: impl FnOnce() -> i32) -> Result<i32> {
    // SAFETY: without CLONE_VM the child has a copy of everything.
    match unsafe { syscall!(__NR_clone, flags, 0, 0, 0, 0) }? {
        0 => exit_group(body()),
        pid => Ok(pid as i32),
    }
}

const CHLD: CloneArgs = CloneArgs {
    flags: 0,
    pidfd: 0,
    child_tid: 0,
    parent_tid: 0,
    exit_signal: SIGCHLD as u64,
    stack: 0,
    stack_size: 0,
    tls: 0,
    set_tid: 0,
    set_tid_size: 0,
    cgroup: 0,
};

fn refused() {
    let flags = |flags: u64| CloneArgs { flags, ..CHLD };
    let (vm, sighand) = (u64::from(abi::CLONE_VM), u64::from(abi::CLONE_SIGHAND));
    let kernel = 0xffff_8000_0000_0000;
    let tid = [31_000i32, 31_001];
    let set_tid = tid.as_ptr() as u64;
    let rows = [
        ("an unknown flag", flags(1 << 40), EINVAL),
        ("both ways with handlers", flags(vm | sighand | abi::CLONE_CLEAR_SIGHAND), EINVAL),
        ("handlers without memory", flags(sighand), EINVAL),
        ("a control group that is none", CloneArgs { cgroup: 99, ..flags(abi::CLONE_INTO_CGROUP) }, EBADF),
        ("no control group", CloneArgs { cgroup: 1 << 40, ..flags(abi::CLONE_INTO_CGROUP) }, EINVAL),
        ("a stack in the kernel", CloneArgs { stack: kernel, stack_size: 4096, ..CHLD }, EINVAL),
        ("a stack without size", CloneArgs { stack: 4096, ..CHLD }, EINVAL),
        ("a sibling with a signal", flags(abi::CLONE_PARENT.into()), EINVAL),
        ("signal 65", CloneArgs { exit_signal: 65, ..CHLD }, EINVAL),
        ("CLONE_DETACHED", flags(abi::CLONE_DETACHED.into()), EINVAL),
        ("a signal among the flags", flags(1), EINVAL),
        ("ids without a number", CloneArgs { set_tid, ..CHLD }, EINVAL),
        ("a number without ids", CloneArgs { set_tid_size: 1, ..CHLD }, EINVAL),
        ("an id for a namespace that is not there", CloneArgs { set_tid, set_tid_size: 2, ..CHLD }, EINVAL),
        ("ids that cannot be read", CloneArgs { set_tid: 8, set_tid_size: 1, ..CHLD }, EFAULT),
    ];
    for (what, args, error) in rows {
        check_eq!(clone3(args, || 0), Err(Errno(error)), "{what}");
    }
    let settid = u64::from(abi::CLONE_PIDFD | abi::CLONE_PARENT_SETTID | SIGCHLD);
    check_eq!(clone(settid, || 0), Err(Errno(EINVAL)), "two results at one place");
}

/// Handlers go, and what is ignored stays so.
fn clear_sighand() {
    let _ = sigaction(SIGUSR1, Action::Handle(nothing), 0, 0);
    let _ = sigaction(SIGUSR2, Action::Ignore, 0, 0);
    let pid = clone3(CloneArgs { flags: abi::CLONE_CLEAR_SIGHAND, ..CHLD }, || {
        let _ = kill(getpid(), SIGUSR2);
        let _ = kill(getpid(), SIGUSR1);
        0
    });
    check_eq!(pid.and_then(wait), Ok(WaitStatus::killed(SIGUSR1 as i32)), "without handlers");
    let pid = clone3(CHLD, || kill(getpid(), SIGUSR1).map_or(1, |_| 0));
    check_eq!(pid.and_then(wait), Ok(WaitStatus::exited(0)), "with handlers");
    let _ = sigaction(SIGUSR2, Action::Default, 0, 0);
}

extern "C" fn nothing(_: i32, _: &mut SigInfo, _: &mut UContext) {}

/// A child whose end sends nothing is an ordinary one once it has run a program.
fn exec_restores_the_signal() {
    sigprocmask_set(bit(SIGCHLD));
    let quiet = clone(0, || 3).unwrap_or(-1);
    sleep_ms(30);
    check_eq!(wait4(quiet, 0), Err(Errno(ECHILD)), "not waited for as others are");
    check!(matches!(wait4(quiet, __WALL), Ok(Some(_))), "but with __WALL");
    check_eq!(sigpending(), 0, "it sent nothing");
    for signal in [0, SIGUSR1] {
        let pid = clone(signal.into(), || {
            let me = c"/proc/self/exe";
            execve(me, &[me.as_ptr(), c"exit".as_ptr(), null()], &[null()]).0 as i32
        });
        // With __WALL, for it is an ordinary child only once it has run the program.
        let pid = pid.unwrap_or(-1);
        let want = Ok(Some((pid, WaitStatus::exited(42))));
        check_eq!(wait4(pid, __WALL), want, "a program, made with signal {signal}");
        check_eq!(sigpending(), bit(SIGCHLD), "its end, made with signal {signal}");
        let _ = sigaction(SIGCHLD, Action::Ignore, 0, 0);
        let _ = sigaction(SIGCHLD, Action::Default, 0, 0);
    }
    sigprocmask_set(0);
}

static SIBLING: AtomicI32 = AtomicI32::new(0);
static PARENT: AtomicU64 = AtomicU64::new(0);

/// Where the sibling says who its parent is.
fn parent_seen() -> &'static AtomicI32 {
    // SAFETY: a zeroed page that only this program and its children use.
    unsafe { &*core::ptr::with_exposed_provenance(PARENT.load(SeqCst) as usize) }
}

extern "C" fn make_sibling() -> ! {
    let body = || {
        parent_seen().store(getppid(), SeqCst);
        5
    };
    SIBLING.store(clone(abi::CLONE_PARENT.into(), body).unwrap_or(-1), SeqCst);
    exit_thread(0)
}

/// `CLONE_PARENT` by any thread makes a child of the process's parent.
fn sibling_by_a_thread() {
    let page = map_shared(4096).unwrap_or(0);
    PARENT.store(page as u64, SeqCst);
    let pid = child(|| {
        let _ = spawn_thread(make_sibling);
        while SIBLING.load(SeqCst) == 0 {
            sleep_ms(1);
        }
        let sibling = SIBLING.load(SeqCst);
        i32::from(sibling <= 0 || wait4(sibling, __WALL) != Err(Errno(ECHILD)))
    });
    check_eq!(wait(pid), Ok(WaitStatus::exited(0)), "it is not its maker's child");
    check!(matches!(wait4(-1, 0), Ok(Some((p, WaitStatus(0x500)))) if p > 0 && p != pid), "it is ours");
    check_eq!(parent_seen().load(SeqCst), getpid(), "it knows");
}

/// The number that `set_tid` asks for, and one that is taken.
fn chosen_ids() {
    let with = |tid: &[i32; 1]| CloneArgs { set_tid: tid.as_ptr() as u64, set_tid_size: 1, ..CHLD };
    let free = [31_337];
    let pid = clone3(with(&free), || i32::from(getpid() != 31_337));
    check_eq!(pid, Ok(31_337), "a chosen id");
    check_eq!(wait(31_337), Ok(WaitStatus::exited(0)), "it is the child's");
    check_eq!(clone3(with(&[getpid()]), || 0), Err(Errno(EEXIST)), "one's own");
    check_eq!(clone3(with(&[0]), || 0), Err(Errno(EINVAL)), "0");
    check_eq!(clone3(with(&[1 << 30]), || 0), Err(Errno(EINVAL)), "too high");
    let poor = child(|| {
        let _ = user::process::become_user(1000);
        i32::from(clone3(with(&[31_337]), || 0) != Err(Errno(EPERM)))
    });
    check_eq!(wait(poor), Ok(WaitStatus::exited(0)), "without privilege");

    // A process group outlives its first process.
    let leader = child(|| pause().map_or(0, |_| 0));
    let _ = setpgid(leader, leader);
    let member = child(|| pause().map_or(0, |_| 0));
    check_eq!(setpgid(member, leader), Ok(0), "a second member");
    check_eq!(kill(leader, 9), Ok(0), "the first one's end");
    check_eq!(wait(leader), Ok(WaitStatus::killed(9)), "the first one's status");
    check_eq!(clone3(with(&[leader]), || 0), Err(Errno(EEXIST)), "the number of a group");
    check_eq!(kill(-leader, 9), Ok(0), "the group's end");
    check_eq!(wait(member), Ok(WaitStatus::killed(9)), "the second one's status");
    check_eq!(clone3(with(&[leader]), || 4), Ok(leader), "the number is free");
    check_eq!(wait(leader), Ok(WaitStatus::exited(4)), "the new one");
}

fn run() {
    if start::arg_str(1) == Some("exit") {
        exit_group(42);
    }
    refused();
    clear_sighand();
    exec_restores_the_signal();
    sibling_by_a_thread();
    chosen_ids();
}
