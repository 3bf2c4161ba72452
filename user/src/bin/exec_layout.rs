// SPDX-License-Identifier: GPL-2.0-only
//! execve: arguments, environment and auxiliary vector as Linux lays them out on the stack.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::{ffi::CStr, ptr::null};
use user::prelude::*;
use user::process::execve;
use user::start;

expect! { end: exit(0) }
program!(run);

// linux-raw-sys's auxvec module.
use linux_raw_sys::auxvec as at;

const LONG: &CStr = c"a long argument, with blanks, = and more, so that the strings are not all of one size";

fn run() {
    if start::arg(1) == Some(c"second") {
        return second();
    }
    let Some(me) = start::arg(0) else {
        return check!(false, "no argv[0]");
    };
    let argv = [me.as_ptr(), c"second".as_ptr(), c"".as_ptr(), LONG.as_ptr(), null()];
    let envp = [c"A=1".as_ptr(), c"EMPTY=".as_ptr(), c"NOTHING".as_ptr(), null()];
    check!(false, "execve: {}", execve(me, &argv, &envp));
}

fn second() {
    check_eq!(start::argc(), 4, "argc");
    check_eq!((start::arg(2), start::arg(3)), (Some(c""), Some(LONG)), "arguments");
    check!(start::environment().eq([c"A=1", c"EMPTY=", c"NOTHING"]), "environment");
    check_eq!(start::initial_stack() % 16, 0, "stack pointer modulo 16");
    strings_follow_each_other();
    auxiliary();
}

/// All strings lie one behind the other, then AT_EXECFN's, then the end of the stack.
fn strings_follow_each_other() {
    let mut next = start::arg(0).map_or(0, |a| a.as_ptr() as usize);
    let arguments = (0..start::argc()).filter_map(start::arg);
    for s in arguments.chain(start::environment()) {
        check_eq!(s.as_ptr() as usize, next, "address of {s:?}");
        next = s.as_ptr() as usize + s.count_bytes() + 1;
    }
    check_eq!(start::aux(at::AT_EXECFN), Some(next), "AT_EXECFN behind the environment");
    let path = start::arg(0).map_or(0, CStr::count_bytes);
    // Behind it only the eight zero bytes at the very top of the stack.
    let top = next + path + 1 + 8;
    check_eq!(top % 4096, 0, "end of the stack in its page");
}

fn auxiliary() {
    let value = |kind| start::aux(kind).unwrap_or(usize::MAX);
    check_eq!(value(at::AT_PAGESZ), 4096, "AT_PAGESZ");
    check_eq!(value(at::AT_CLKTCK), 100, "AT_CLKTCK");
    check_eq!(value(at::AT_PHDR), 0x40_0040, "AT_PHDR");
    check_eq!(value(at::AT_PHENT), 56, "AT_PHENT");
    check_eq!(value(at::AT_PHNUM), 6, "AT_PHNUM");
    check_eq!(value(at::AT_BASE), 0, "AT_BASE");
    check_eq!(value(at::AT_FLAGS), 0, "AT_FLAGS");
    unsafe extern "C" {
        fn _start();
    }
    check_eq!(value(at::AT_ENTRY), _start as *const () as usize, "AT_ENTRY");
    let uid = user::process::getuid() as usize;
    check_eq!((value(at::AT_UID), value(at::AT_EUID)), (uid, uid), "AT_UID, AT_EUID");
    check_eq!(value(at::AT_SECURE), 0, "AT_SECURE");
    check!(value(at::AT_MINSIGSTKSZ) >= 1024, "AT_MINSIGSTKSZ {}", value(at::AT_MINSIGSTKSZ));
    let stack = start::initial_stack()..start::initial_stack() + 0x2_0000;
    for (kind, name) in [(at::AT_RANDOM, "AT_RANDOM"), (at::AT_PLATFORM, "AT_PLATFORM")] {
        check!(stack.contains(&value(kind)), "{name} on the stack: {:#x}", value(kind));
    }
    // SAFETY: the kernel puts a string there.
    let platform = unsafe { CStr::from_ptr(core::ptr::with_exposed_provenance(value(at::AT_PLATFORM))) };
    check_eq!(platform, c"x86_64", "AT_PLATFORM");
}
