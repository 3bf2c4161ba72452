// SPDX-License-Identifier: GPL-2.0-only
//! Two children that never call the kernel both make progress, while their parent sleeps.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::sync::atomic::{AtomicU64, Ordering::SeqCst};
use user::memory::map_shared;
use user::prelude::*;
use user::signal::SIGKILL;
use user::time::sleep_ms;

expect! { end: exit(0) }
program!(run);

fn run() {
    let page = map_shared(4096).unwrap_or(0);
    // SAFETY: a fresh zeroed page that only this program and its children use.
    let counters: &[AtomicU64; 2] = unsafe { &*core::ptr::with_exposed_provenance(page) };
    let spin = |i: usize| {
        child(|| {
            loop {
                counters[i].fetch_add(1, SeqCst);
            }
        })
    };
    let children = [spin(0), spin(1)];
    let mut last = [0; 2];
    for round in 0..3 {
        let mut grown = [false; 2];
        for _ in 0..200 {
            sleep_ms(10);
            let now = [counters[0].load(SeqCst), counters[1].load(SeqCst)];
            grown = [grown[0] || now[0] > last[0], grown[1] || now[1] > last[1]];
            if grown == [true; 2] {
                last = now;
                break;
            }
        }
        check_eq!(grown, [true; 2], "round {round}: both children counted on within 2 s");
    }
    for pid in children {
        check_eq!(kill(pid, SIGKILL), Ok(0), "kill");
        check_eq!(wait(pid), Ok(WaitStatus::killed(9)), "child's end");
    }
    registers_survive();
}

/// Registers that the scheduler must keep apart: each child has its own pattern in xmm15 and r15.
fn registers_survive() {
    let run = |pattern: u64| {
        child(|| {
            let (mut general, mut vector): (u64, u64) = (0, 0);
            // SAFETY: uses the named registers only.
            unsafe {
                core::arch::asm!(
                    "movq xmm15, {p}", "mov r15, {p}", "mov ecx, 30000000",
                    "2: dec ecx", "jnz 2b",
                    "movq {v}, xmm15", "mov {g}, r15",
                    p = in(reg) pattern, v = inout(reg) vector, g = inout(reg) general,
                    out("rcx") _, out("r15") _, options(nomem, nostack));
            }
            i32::from(general != pattern || vector != pattern)
        })
    };
    for pid in [run(0x1111_2222_3333_4444), run(0x5555_6666_7777_8888), run(9)] {
        check_eq!(wait(pid), Ok(WaitStatus::exited(0)), "a child's registers");
    }
}
