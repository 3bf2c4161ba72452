// SPDX-License-Identifier: GPL-2.0-only
//! What the log says of signals that end a process, or never reach it, if it was asked to
//! (`kernel.print-fatal-signals`; Linux 6.1, `kernel/signal.c`).

use crate::arch::x86::kernel::dumpstack::show_regs;
use crate::kernel::panic::Comm;
use crate::kernel::printk::ratelimit;
use crate::kernel::task::{Current, current};
use crate::lib::ratelimit::Ratelimit;
use core::sync::atomic::{AtomicI32, Ordering};

/// Whether to (`/proc/sys/kernel/print-fatal-signals`).
pub static PRINT_FATAL_SIGNALS: AtomicI32 = AtomicI32::new(0);

/// Handles one command-line parameter; false if it is not one of these.
pub fn setup(name: &str, value: Option<&str>) -> bool {
    if !matches!(name, "print-fatal-signals" | "print_fatal_signals") {
        return false;
    }
    if let Some(n) = value.and_then(|v| v.parse().ok()) {
        PRINT_FATAL_SIGNALS.store(n, Ordering::Relaxed);
    }
    true
}

fn asked_for() -> bool {
    PRINT_FATAL_SIGNALS.load(Ordering::Relaxed) != 0
}

/// A signal with a core dump is about to end the current process: its number and the registers
/// (`print_fatal_signal`).
pub fn print_fatal_signal(cur: Current, sig: i32) {
    if !asked_for() {
        return;
    }
    pr_info!("potentially unexpected fatal signal {sig}.\n");
    show_regs(cur.pt_regs());
}

static DROPPED: Ratelimit = Ratelimit::new(5000, 10);

/// A signal's record found no place at the limit of its receiver (`print_dropped_signal`).
#[cold]
pub fn print_dropped_signal(sig: i32) {
    if !asked_for() || !ratelimit(&DROPPED, "print_dropped_signal") {
        return;
    }
    let cur = current();
    let comm = cur.comm();
    pr_info!("{}/{}: reached RLIMIT_SIGPENDING, dropped signal {sig}\n", Comm(&comm), cur.pid());
}
