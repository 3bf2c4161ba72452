// SPDX-License-Identifier: GPL-2.0-only
//! A fault in one thread, unhandled, ends the whole process; the log names the thread.
#![cfg_attr(target_os = "none", no_std, no_main)]

use user::prelude::*;
use user::process::spawn_thread;
use user::signal::pause;

expect! {
    end: killed(SIGSEGV),
    log: [
        "{comm}[{tid}]: segfault at 0 ip {ip} sp {sp} error 4 in {file}[{vma}] likely on CPU {n} (core {n}, socket {n})",
        code_log!(),
    ],
}

probe!(; "mov al, [rcx]");
program!(run);

extern "C" fn thread() -> ! {
    probe();
    user::process::exit_thread(0)
}

fn run() {
    let started = spawn_thread(thread);
    check!(started.is_ok(), "clone: {started:?}");
    loop {
        let _ = pause();
    }
}
