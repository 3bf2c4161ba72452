// SPDX-License-Identifier: GPL-2.0-only
//! arch_prctl: bases that are refused, and what it says of the CPU's state components.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::arch::x86_64::{__cpuid, _xgetbv};
use user::prelude::*;
use user::syscall::prctl::*;
use user::syscall::{Result, arch_prctl};

expect! { end: exit(0) }
program!(run);

/// What 6.1 saves for user mode, without AMX.
const USER_SUPPORTED: u64 = 0x2ff;

fn get(code: u32) -> Result<u64> {
    let mut v = 0x5555u64;
    arch_prctl(code, core::ptr::from_mut(&mut v) as usize).map(|_| v)
}

#[target_feature(enable = "xsave")]
fn xcr0() -> u64 {
    // SAFETY: only called if the kernel has enabled XSAVE.
    unsafe { _xgetbv(0) }
}

fn run() {
    let end = 0x7fff_ffff_f000;
    for base in [end, 1 << 47, 0xffff_8000_0000_0000, usize::MAX] {
        check_eq!(arch_prctl(ARCH_SET_FS, base), Err(Errno(EPERM)), "FS base {base:x}");
        check_eq!(arch_prctl(ARCH_SET_GS, base), Err(Errno(EPERM)), "GS base {base:x}");
    }
    check_eq!(
        (arch_prctl(ARCH_SET_FS, end - 1), get(ARCH_GET_FS)),
        (Ok(0), Ok(end as u64 - 1)),
        "the last one"
    );
    for code in [ARCH_GET_FS, ARCH_GET_XCOMP_SUPP, ARCH_GET_XCOMP_PERM] {
        check_eq!(arch_prctl(code, 8), Err(Errno(EFAULT)), "{code:x} to nowhere");
    }
    for code in [0, 0x1005, 0x1020, 0x1026, 0x2000] {
        check_eq!(arch_prctl(code, 0), Err(Errno(EINVAL)), "{code:x}");
    }
    check_eq!(arch_prctl(ARCH_GET_CPUID, 0), Ok(1), "CPUID works");
    let osxsave = __cpuid(1).ecx & 1 << 27 != 0;
    // SAFETY: the kernel has enabled it.
    let enabled = if osxsave { unsafe { xcr0() } } else { 0 };
    let used = enabled & USER_SUPPORTED;
    check_eq!([get(ARCH_GET_XCOMP_PERM), get(ARCH_GET_XCOMP_GUEST_PERM)], [Ok(used); 2], "what may be used");
    let supported = get(ARCH_GET_XCOMP_SUPP).unwrap_or(u64::MAX);
    check!(supported | 3 == used | 3 && supported & used == used, "what there is: {supported:x}, {used:x}");
    for code in [ARCH_REQ_XCOMP_PERM, ARCH_REQ_XCOMP_GUEST_PERM] {
        check_eq!(arch_prctl(code, 2), Err(Errno(EOPNOTSUPP)), "what needs no permission");
        check_eq!(arch_prctl(code, 19), Err(Errno(EINVAL)), "no such component");
    }
}
