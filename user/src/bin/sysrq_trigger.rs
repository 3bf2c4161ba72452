// SPDX-License-Identifier: GPL-2.0-only
//! Not one of the set: presses the SysRq keys that its arguments name, beside two children that
//! would live for ever (one of them does not mind SIGTERM), and tells how those end. It minds
//! neither SIGTERM itself.
#![cfg_attr(target_os = "none", no_std, no_main)]

use user::file;
use user::prelude::*;
use user::process::{WNOHANG, wait4};
use user::time::sleep_ms;
use user::{println, start};

program!(run);

fn ignore_sigterm() {
    let _ = sigaction(15, Action::Ignore, 0, 0);
}

fn for_ever() -> i32 {
    loop {
        sleep_ms(1000);
    }
}

fn run() {
    let mindful = child(for_ever);
    ignore_sigterm();
    child(for_ever);
    sleep_ms(50);
    for i in 1.. {
        let Some(key) = start::arg_str(i) else { break };
        let pressed = file::store(c"/proc/sysrq-trigger", key.as_bytes());
        println!("sysrq_trigger: {key}: {pressed:?}");
        for _ in 0..50 {
            sleep_ms(2);
            while let Ok(Some((pid, status))) = wait4(-1, WNOHANG) {
                let name = if pid == mindful { "the first" } else { "the second" };
                println!("sysrq_trigger: {key}: {name} {status}");
            }
        }
    }
    println!("sysrq_trigger: still there");
}
