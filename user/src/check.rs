// SPDX-License-Identifier: GPL-2.0-only
//! Assertions that print what differed and let the program go on: one run
//! shows every difference. The exit status says whether there was any.

use core::{
    fmt,
    sync::atomic::{AtomicUsize, Ordering},
};

static FAILURES: AtomicUsize = AtomicUsize::new(0);

/// How many checks failed in this process.
pub fn failures() -> usize {
    FAILURES.load(Ordering::Relaxed)
}

/// Notes a failure.
pub fn fail(what: fmt::Arguments<'_>) {
    FAILURES.fetch_add(1, Ordering::Relaxed);
    crate::println!("  failed: {what}");
}

/// Compares, and notes a failure that shows both.
pub fn equal<T: PartialEq + fmt::Debug>(what: fmt::Arguments<'_>, got: &T, want: &T) {
    if got != want {
        fail(format_args!("{what}: got {got:?}, expected {want:?}"));
    }
}

/// What `get` gives when it is `ok`, tried up to ten times: a host that stops the machine for a while
/// takes ticks away, or puts time between two looks.
pub fn at_best<T>(get: impl Fn() -> T, ok: impl Fn(&T) -> bool) -> T {
    let mut got = get();
    for _ in 1..10 {
        if ok(&got) {
            break;
        }
        got = get();
    }
    got
}

/// `check!(condition, "what was expected")`.
#[macro_export]
macro_rules! check {
    ($cond:expr, $($what:tt)+) => {
        if !$cond { $crate::check::fail(format_args!($($what)+)); }
    };
}

/// `check_eq!(got, wanted, "what")`.
#[macro_export]
macro_rules! check_eq {
    ($got:expr, $want:expr, $($what:tt)+) => {
        $crate::check::equal(format_args!($($what)+), &$got, &$want)
    };
}
