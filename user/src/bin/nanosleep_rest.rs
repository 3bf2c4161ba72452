// SPDX-License-Identifier: GPL-2.0-only
//! nanosleep interrupted by a handler: EINTR and the time that remained, SA_RESTART or not.
#![cfg_attr(target_os = "none", no_std, no_main)]

use user::prelude::*;
use user::seen;
use user::signal::{SIGALRM, SIGCHLD};
use user::time::{nanoseconds, nanosleep, now, set_real_timer, timespec};

expect! { end: exit(0) }
program!(run);

fn run() {
    for flags in [0, SA_RESTART] {
        seen::clear();
        seen::install(SIGALRM, flags, 0);
        let mut rest = timespec(0, 0);
        let armed = now();
        let _ = set_real_timer(50, 0);
        let begin = now();
        let slept = nanosleep(&timespec(2, 0), Some(&mut rest));
        check_eq!(slept, Err(Errno(EINTR)), "interrupted");
        check_eq!(seen::count(), 1, "handlers");
        let rest = nanoseconds(&rest);
        let end = now();
        check!(end - armed >= 50_000_000, "signal after {} ns, not 50 ms", end - armed);
        // Somebody else may have run before the sleep began.
        let least = 2_000_000_000 - (end - begin);
        check!((least..2_000_000_000).contains(&rest), "rest of 2 s: {rest} ns, at least {least}");
    }
    let start = now();
    check_eq!(nanosleep(&timespec(0, 30_000_000), None), Ok(0), "undisturbed");
    let slept = now() - start;
    check!(slept >= 30_000_000, "slept {slept} ns of 30 ms");
    check_eq!(nanosleep(&timespec(0, 1_000_000_000), None), Err(Errno(EINVAL)), "nsec too large");
    check_eq!(nanosleep(&timespec(-1, 0), None), Err(Errno(EINVAL)), "negative");
    ignored_does_not_interrupt();
}

/// A signal that is ignored (SIGCHLD, by default) does not end the sleep.
fn ignored_does_not_interrupt() {
    let pid = child(|| 0);
    check_eq!(nanosleep(&timespec(0, 60_000_000), None), Ok(0), "while a child ends");
    check_eq!(wait(pid), Ok(WaitStatus::exited(0)), "child");
    let _ = sigaction(SIGCHLD, Action::Default, 0, 0);
}
