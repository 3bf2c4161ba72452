// SPDX-License-Identifier: GPL-2.0-only
//! prctl(PR_SET_SYSCALL_USER_DISPATCH): calls that become a SIGSYS as long as a byte of memory says
//! so, unless they come from one range of code.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::ptr::null;
use core::sync::atomic::{AtomicU8, AtomicU64, Ordering::SeqCst};
use linux_raw_sys::general as abi;
use user::prelude::*;
use user::process::execve;
use user::signal::{SIGSEGV, SIGSYS};
use user::syscall::Result;
use user::{program, start, syscall};

expect! { end: exit(0) }
program!(run);

const PR_SET_SYSCALL_USER_DISPATCH: u32 = 59;
const ALLOW: u8 = 0;
const BLOCK: u8 = 1;
static SELECTOR: AtomicU8 = AtomicU8::new(ALLOW);
static SEEN: [AtomicU64; 4] = [const { AtomicU64::new(0) }; 4];

// A call of its own, for the range.
core::arch::global_asm!(
    ".pushsection .text.trapline_dispatch,\"ax\",@progbits",
    ".globl trapline_dispatch, trapline_dispatch_end",
    "trapline_dispatch:",
    "mov eax, 110",
    "syscall",
    "ret",
    "trapline_dispatch_end:",
    ".popsection",
);

unsafe extern "C" {
    fn trapline_dispatch() -> isize;
    fn trapline_dispatch_end();
}

fn dispatch(mode: usize, offset: usize, len: usize, selector: usize) -> Result {
    // SAFETY: the kernel reads the selector from now on, which is static, or refuses.
    unsafe { syscall!(__NR_prctl, PR_SET_SYSCALL_USER_DISPATCH, mode, offset, len, selector) }
}

fn on(offset: usize, len: usize) -> Result {
    dispatch(1, offset, len, SELECTOR.as_ptr() as usize)
}

fn getppid() -> Result {
    // SAFETY: no memory is involved.
    unsafe { syscall!(__NR_getppid) }
}

extern "C" fn on_sys(_: i32, info: &mut SigInfo, uc: &mut UContext) {
    // Or the end of the handler would be one, too.
    SELECTOR.store(ALLOW, SeqCst);
    for (to, from) in SEEN.iter().zip([info.code as u64, info.errno as u64, info.word(1), uc.mcontext.ax]) {
        to.store(from, SeqCst);
    }
    check_eq!(info.word(0), uc.mcontext.ip, "the address");
    uc.mcontext.ax = 55;
}

fn ends(what: &str, status: WaitStatus, body: impl FnOnce()) {
    let pid = child(|| {
        body();
        i32::from(user::check::failures() != 0)
    });
    check_eq!(wait(pid), Ok(status), "{what}");
}

fn refused() {
    let e = |n| Err(Errno(n));
    check_eq!(dispatch(2, 0, 0, 0), e(EINVAL), "no such mode");
    check_eq!(dispatch(0, 1, 0, 0), e(EINVAL), "off, with a range");
    check_eq!(dispatch(0, 0, 0, 1), e(EINVAL), "off, with a selector");
    check_eq!(dispatch(1, 1, 0, 0), e(EINVAL), "an empty range");
    check_eq!(dispatch(1, 1, usize::MAX, 0), e(EINVAL), "a range that goes round");
    check_eq!(dispatch(1, 0, 0, 1 << 63), e(EFAULT), "the kernel's selector");
    check_eq!(dispatch(0, 0, 0, 0), Ok(0), "off");
}

fn works() {
    let _ = sigaction(SIGSYS, Action::Handle(on_sys), 0, 0);
    let parent = getppid();
    check_eq!(on(0, 0), Ok(0), "on, allowing");
    check_eq!(getppid(), parent, "allowed");
    SELECTOR.store(BLOCK, SeqCst);
    check_eq!(getppid(), Ok(55), "blocked");
    let seen: [u64; 4] = core::array::from_fn(|i| SEEN[i].load(SeqCst));
    let call = u64::from(abi::__NR_getppid);
    check_eq!(seen, [2, 0, 0xc000_003e << 32 | call, call], "its siginfo");
    check_eq!(getppid(), parent, "the handler has allowed it");
    // A number that is no call, too.
    SELECTOR.store(BLOCK, SeqCst);
    // SAFETY: no memory is involved.
    let r = unsafe { user::syscall::call(9999, []) };
    check_eq!((r, SEEN[2].load(SeqCst) as u32), (Ok(55), 9999), "a number that is none");
    let at = trapline_dispatch as *const () as usize;
    let len = trapline_dispatch_end as *const () as usize - at;
    check_eq!(on(at, len), Ok(0), "with a range");
    SELECTOR.store(BLOCK, SeqCst);
    // SAFETY: makes a call without arguments.
    let inside = unsafe { trapline_dispatch() };
    let outside = getppid();
    check_eq!((inside as usize, outside), (parent.unwrap_or(0), Ok(55)), "inside and outside");
    ends("a child has none", WaitStatus::exited(0), || {
        SELECTOR.store(BLOCK, SeqCst);
        check!(getppid().is_ok_and(|p| p != 55), "a child's call");
    });
    check_eq!(dispatch(0, 0, 0, 0), Ok(0), "off");
    SELECTOR.store(BLOCK, SeqCst);
    check_eq!(getppid(), parent, "after that");
    SELECTOR.store(ALLOW, SeqCst);
}

fn fatal() {
    ends("a selector that is none", WaitStatus::killed(SIGSYS as i32), || {
        let _ = on(0, 0);
        SELECTOR.store(7, SeqCst);
        let _ = getppid();
    });
    ends("a selector that is nowhere", WaitStatus::killed(SIGSEGV as i32), || {
        let _ = dispatch(1, 0, 0, 8);
        let _ = getppid();
    });
    ends("no handler", WaitStatus::killed(SIGSYS as i32), || {
        let _ = sigaction(SIGSYS, Action::Default, 0, 0);
        let _ = on(0, 0);
        SELECTOR.store(BLOCK, SeqCst);
        let _ = getppid();
    });
    let at = trapline_dispatch as *const () as usize;
    ends("another program", WaitStatus::exited(0), || {
        let _ = on(at, 4);
        let path = start::arg(0).unwrap_or(c"");
        let _ = execve(path, &[path.as_ptr(), c"again".as_ptr(), null()], &[null()]);
        check!(false, "execve");
    });
}

fn run() {
    if start::arg(1).is_some() {
        SELECTOR.store(BLOCK, SeqCst);
        check!(getppid().is_ok_and(|p| p != 55), "another program's call");
        return;
    }
    refused();
    works();
    fatal();
}
