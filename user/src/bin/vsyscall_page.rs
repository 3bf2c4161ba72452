// SPDX-License-Identifier: GPL-2.0-only
//! The legacy vsyscall page, as the kernel's command line wants it: what `/proc/PID/maps` shows of
//! it, whether it can be read, and whether its three calls work.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::ptr::with_exposed_provenance;
use user::memory::peek;
use user::prelude::*;
use user::signal::SIGSEGV;
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
}
