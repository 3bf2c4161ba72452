// SPDX-License-Identifier: GPL-2.0-only
//! Not one of the set: a child computes until something stops it, after a signal that tells the
//! world outside that it does; says how the child ended. For the tests that break the machine.
#![cfg_attr(target_os = "none", no_std, no_main)]

use user::prelude::*;
use user::signal::{SIGUSR1, raise};
use user::{println, program, seen};

program!(run);

fn run() {
    let pid = child(|| {
        seen::install(SIGUSR1, 0, 0);
        raise(SIGUSR1);
        loop {
            core::hint::spin_loop();
        }
    });
    match wait(pid) {
        Ok(status) => println!("machine_check: {status}"),
        Err(e) => println!("machine_check: {e}"),
    }
    println!("machine_check: the machine is still there");
}
