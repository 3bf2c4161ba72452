// SPDX-License-Identifier: GPL-2.0-only
//! `/proc/sys/kernel/threads-max`: how many tasks there may be, whoever they belong to. Needs root.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::fmt::Write;
use user::file;
use user::prelude::*;
use user::process::{exit_thread, spawn_thread};
use user::signal::{SIGKILL, pause};
use user::text::Text;

expect! { end: exit(0) }
program!(run);

const FILE: &core::ffi::CStr = c"/proc/sys/kernel/threads-max";

fn number() -> u32 {
    let mut buf = [0; 32];
    let text = file::load(FILE, &mut buf).map_or("", |t| core::str::from_utf8(t).unwrap_or(""));
    check!(text.ends_with('\n'), "a line: {text}");
    text.trim().parse().unwrap_or(0)
}

extern "C" fn body() -> ! {
    exit_thread(0)
}

fn run() {
    let before = number();
    check!((100..100_000).contains(&before), "{before} in so much memory");
    for text in ["0", "1073741824", "-5", "many"] {
        check_eq!(file::store(FILE, text.as_bytes()), Err(Errno(EINVAL)), "{text}");
    }
    check_eq!(number(), before, "as it was");
    check_eq!(file::store(FILE, b"20\n"), Ok(3), "few");
    check_eq!(number(), 20, "few");
    // Root may have no more than others. (On Linux there are more threads of the kernel alone.)
    let mut children = [0; 24];
    let mut refused = Ok(0);
    for pid in &mut children {
        match fork() {
            Ok(0) => {
                let _ = pause();
                exit_group(0);
            }
            Ok(made) => *pid = made,
            Err(e) => {
                refused = Err(e);
                break;
            }
        }
    }
    check_eq!(refused, Err(Errno(EAGAIN)), "a process too many");
    check_eq!(spawn_thread(body), Err(Errno(EAGAIN)), "nor a thread");
    for pid in children.into_iter().filter(|pid| *pid != 0) {
        let _ = (kill(pid, SIGKILL), wait(pid));
    }
    let mut text = Text::<16>::new();
    let _ = write!(text, "{before}");
    check!(file::store(FILE, text.as_str().as_bytes()).is_ok(), "as before");
    check_eq!(wait(child(|| 0)), Ok(WaitStatus::exited(0)), "a process");
}
