// SPDX-License-Identifier: GPL-2.0-only
//! No task sees another one's x87, SSE or AVX registers, and each finds its own again:
//! after yielding, after being preempted, after signals and sleeps, in children and in new
//! programs. It holds however the kernel switches them (`eagerfpu=off`, `noxsave`).
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::arch::asm;
use core::arch::x86_64::__cpuid;
use linux_raw_sys::general::SIGUSR1;
use user::prelude::*;
use user::process::{execve, exit_group, sched_yield};
use user::{seen, start};

expect! { end: exit(0) }
program!(run);

/// The registers that are looked at: x87's control word and ST0, MXCSR, XMM0 to XMM15, and
/// the upper halves of YMM0 and YMM15.
#[repr(C, align(64))]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Registers {
    fxsave: [u64; 64],
    ymm: [u64; 8],
}

const EMPTY: Registers = Registers { fxsave: [0; 64], ymm: [0; 8] };

impl Registers {
    /// What differs between any two tasks: the low control words, ST0 and the XMM registers.
    fn relevant(&self) -> ([u64; 35], [u64; 4]) {
        let mut r = [0; 35];
        r[0] = self.fxsave[0] & 0xffff;
        r[1] = self.fxsave[3] & 0xffff_ffff;
        r[2] = self.fxsave[4];
        r[3..].copy_from_slice(&self.fxsave[20..52]);
        (r, [self.ymm[2], self.ymm[3], self.ymm[6], self.ymm[7]])
    }
}

/// Whether the kernel lets programs use AVX.
fn has_avx() -> bool {
    let ecx = __cpuid(1).ecx;
    if ecx & (1 << 27) == 0 || ecx & (1 << 28) == 0 {
        return false;
    }
    let xcr0: u32;
    // SAFETY: OSXSAVE is set.
    unsafe { asm!("xgetbv", in("ecx") 0, out("eax") xcr0, out("edx") _) };
    xcr0 & 6 == 6
}

/// Fills the registers with something made of `seed`.
fn fill(seed: u64, avx: bool) {
    let word = |n: u64| (seed << 32 | n).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut r = EMPTY;
    // Control word, empty tags but for one register, a number in ST0, MXCSR.
    r.fxsave[0] = 0x037f | (seed & 3) << 10 | 7 << 27 | 0x80 << 32;
    r.fxsave[3] = 0x1f80 | (seed >> 2 & 3) << 13;
    (r.fxsave[4], r.fxsave[5]) = (word(99) | 1 << 63, 0x3fff);
    for (n, w) in r.fxsave[20..52].iter_mut().enumerate() {
        *w = word(n as u64);
    }
    let y = [word(1), word(2), word(3), word(4), word(5), word(6), word(7), word(8)];
    // SAFETY: loads registers that the compiler does not use.
    unsafe {
        if avx {
            asm!("vmovups ymm0, [{0}]", "vmovups ymm15, [{0} + 32]", in(reg) y.as_ptr(), options(nostack, readonly));
        }
        asm!("fxrstor64 [{}]", in(reg) r.fxsave.as_ptr(), options(nostack, readonly));
    }
}

fn look(avx: bool) -> Registers {
    let mut r = EMPTY;
    // SAFETY: stores registers.
    unsafe {
        asm!("fxsave64 [{}]", in(reg) r.fxsave.as_mut_ptr(), options(nostack));
        if avx {
            asm!("vmovups [{0}], ymm0", "vmovups [{0} + 32], ymm15", in(reg) r.ymm.as_mut_ptr(), options(nostack));
        }
    }
    r
}

/// Fills, lets others run in several ways, and looks again, many times.
fn keep(seed: u64, avx: bool) -> i32 {
    for round in 0..40 {
        fill(seed * 1000 + round, avx);
        let before = look(avx).relevant();
        match round % 4 {
            0 => sched_yield(),
            1 => user::time::sleep_ms(1),
            2 => {
                let _ = kill(getpid(), SIGUSR1);
            }
            // Long enough to be preempted.
            _ => {
                let until = user::time::now() + 6_000_000;
                while user::time::now() < until {}
            }
        }
        if look(avx).relevant() != before {
            user::println!("  task {seed}, round {round}: other registers afterwards");
            return 1;
        }
    }
    0
}

fn is_initial(r: &Registers) -> bool {
    let (r, y) = r.relevant();
    r[0] == 0x37f && r[1] == 0x1f80 && r[2..].iter().all(|&w| w == 0) && y == [0; 4]
}

fn run() {
    let avx = has_avx();
    if start::arg_str(1) == Some("new") {
        exit_group(i32::from(!is_initial(&look(avx))));
    }
    check!(is_initial(&look(avx)), "a new program's registers");
    // One task never uses them while others do: it must not find what they left.
    let idle = child(|| {
        user::time::sleep_ms(100);
        i32::from(!is_initial(&look(avx)))
    });
    seen::install(SIGUSR1, 0, 0);
    let children: [i32; 4] = core::array::from_fn(|i| child(|| keep(i as u64 + 1, avx)));
    check_eq!(keep(9, avx), 0, "the parent's registers");
    for pid in children {
        check_eq!(wait(pid), Ok(WaitStatus::exited(0)), "a child's registers");
    }
    check_eq!(wait(idle), Ok(WaitStatus::exited(0)), "those of a child that did not use them");
    // A child has its parent's, a new program has none.
    fill(7, avx);
    let mine = look(avx).relevant();
    let inherits = child(|| i32::from(look(avx).relevant() != mine));
    check_eq!(wait(inherits), Ok(WaitStatus::exited(0)), "a child inherits them");
    check!(look(avx).relevant() == mine, "the parent's after fork");
    let new = child(|| {
        fill(8, avx);
        let argv = [c"fpu_isolation".as_ptr(), c"new".as_ptr(), core::ptr::null()];
        let _ = execve(c"/proc/self/exe", &argv, &[core::ptr::null()]);
        2
    });
    check_eq!(wait(new), Ok(WaitStatus::exited(0)), "a new program's, after exec");
}
