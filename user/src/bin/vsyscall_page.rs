// SPDX-License-Identifier: GPL-2.0-only
//! The legacy vsyscall page, as the kernel's command line wants it: what `/proc/PID/maps` shows of
//! it, whether it can be read, whether its three calls work, and whether filters of calls see them.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::ptr::with_exposed_provenance;
use linux_raw_sys::general as abi;
use user::memory::peek;
use user::prelude::*;
use user::seccomp::{answer, install, load, ret, seccomp, unless_equal};
use user::signal::{SIGKILL, SIGSEGV, SIGSYS};
use user::time::{now, timeval};

expect! { end: exit(0) }
program!(run);

const PAGE: usize = 0xffff_ffff_ff60_0000;
const CALLS: [usize; 3] = [PAGE, PAGE + 0x400, PAGE + 0x800];

/// `vsyscall=`; the default of Debian's kernel, and of this one, is `none`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    None,
    Xonly,
    Emulate,
}

impl Mode {
    fn of_kernel() -> Self {
        let mut buf = [0; 2048];
        let line = user::file::load(c"/proc/cmdline", &mut buf).unwrap_or_default();
        let mut words = line.split(u8::is_ascii_whitespace).filter_map(|w| w.strip_prefix(b"vsyscall="));
        match words.next_back() {
            Some(b"xonly") => Self::Xonly,
            Some(b"emulate") => Self::Emulate,
            _ => Self::None,
        }
    }

    /// The line of `/proc/PID/maps`.
    fn line(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Xonly => {
                "ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]\n"
            }
            Self::Emulate => {
                "ffffffffff600000-ffffffffff601000 r-xp 00000000 00:00 0                  [vsyscall]\n"
            }
        }
    }
}

/// How a child ends that does this: 0, or by the signal.
fn in_child(f: impl FnOnce()) -> WaitStatus {
    let pid = child(|| {
        f();
        0
    });
    wait(pid).unwrap_or(WaitStatus(-1))
}

fn call(nr: usize, a: usize, b: usize) -> isize {
    let f: *const () = with_exposed_provenance(CALLS[nr]);
    // SAFETY: a function by C's rules, or the fault wanted.
    let f: extern "C" fn(usize, usize, usize) -> isize = unsafe { core::mem::transmute(f) };
    f(a, b, 0)
}

fn run() {
    let mode = Mode::of_kernel();
    let mut buf = [0; 8192];
    let maps = user::file::load(c"/proc/self/maps", &mut buf).unwrap_or_default();
    let last = maps.split_inclusive(|&b| b == b'\n').next_back().unwrap_or_default();
    let shown = if last.starts_with(b"ffffffff") { core::str::from_utf8(last).unwrap_or("?") } else { "" };
    check_eq!(shown, mode.line(), "with vsyscall={mode:?}");

    let segv = WaitStatus::killed(SIGSEGV as i32);
    // SAFETY: a read, or the fault wanted.
    let read = in_child(|| unsafe {
        exit_group(i32::from(peek(PAGE) != 0x48 || peek(PAGE + 0xfff) != 0xcc));
    });
    let wanted = if mode == Mode::Emulate { WaitStatus::exited(0) } else { segv };
    check_eq!(read, wanted, "a read with vsyscall={mode:?}");

    let wanted = if mode == Mode::None { segv } else { WaitStatus::exited(0) };
    let time = in_child(|| {
        let mut tv = timeval { tv_sec: 0, tv_usec: 0 };
        let r = call(0, &raw mut tv as usize, 0);
        let seconds = call(1, 0, 0) as i64;
        exit_group(i32::from(r != 0 || !(0..=1).contains(&(seconds - tv.tv_sec).abs()) || now() == 0));
    });
    check_eq!(time, wanted, "gettimeofday and time with vsyscall={mode:?}");
    let cpu = in_child(|| {
        let mut numbers = [7u32; 2];
        let [cpu, node] = &mut numbers;
        let r = call(2, core::ptr::from_mut(cpu) as usize, core::ptr::from_mut(node) as usize);
        exit_group(i32::from(r != 0 || numbers != [0, 0]));
    });
    check_eq!(cpu, wanted, "getcpu with vsyscall={mode:?}");
    check_eq!(in_child(|| _ = call(0, PAGE, 0)), segv, "a pointer into the kernel");
    filtered(mode);
}

extern "C" fn on_sys(_: i32, info: &mut SigInfo, uc: &mut UContext) {
    let told = (info.word(0), info.word(1) as i32, uc.mcontext.ax);
    let back = (PAGE..PAGE + 0x1000).contains(&(uc.mcontext.ip as usize));
    exit_group(i32::from(told != (CALLS[1] as u64, abi::__NR_time as i32, abi::__NR_time.into()) || back));
}

/// A filter sees the calls as it sees others, at the page's address.
fn filtered(mode: Mode) {
    let [segv, sys, kill] = [SIGSEGV, SIGSYS, SIGKILL].map(|sig| WaitStatus::killed(sig as i32));
    let ends = |answer: u32, wanted: WaitStatus, what: &str| {
        let ended = in_child(|| {
            let _ = sigaction(SIGSYS, Action::Handle(on_sys), 0, 0);
            // Only what comes from the page.
            let at = (CALLS[1] as u64) as u32;
            let program = [
                load(0),
                unless_equal(abi::__NR_time, 3),
                load(8),
                unless_equal(at, 1),
                ret(answer),
                ret(answer::ALLOW),
            ];
            check_eq!(install(&program, 0), Ok(0), "a filter");
            let r = call(1, 0, 0);
            exit_group(i32::from(if answer == answer::ALLOW { r < 1 } else { r != -7 }));
        });
        let wanted = if mode == Mode::None { segv } else { wanted };
        check_eq!(ended, wanted, "{what} with vsyscall={mode:?}");
    };
    let fine = WaitStatus::exited(0);
    ends(answer::ALLOW, fine, "allowed");
    ends(answer::ERRNO | 7, fine, "an error");
    ends(answer::TRAP, fine, "a signal");
    ends(answer::KILL_PROCESS, sys, "the end");
    let strict = in_child(|| {
        check_eq!(seccomp(0, 0, 0), Ok(0), "the strict mode");
        let _ = call(1, 0, 0);
    });
    check_eq!(strict, if mode == Mode::None { segv } else { kill }, "the strict mode with vsyscall={mode:?}");
}
