// SPDX-License-Identifier: GPL-2.0-only
//! vfork: the parent waits until its child has executed a program, and sees it end.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::ptr::null;
use user::prelude::*;
use user::process::vfork_exec;
use user::start;

expect! { end: exit(0) }
program!(run);

fn run() {
    if start::arg_str(1) == Some("child") {
        user::process::exit_group(42);
    }
    let Some(me) = start::arg(0) else {
        return check!(false, "no argv[0]");
    };
    for _ in 0..3 {
        let argv = [me.as_ptr(), c"child".as_ptr(), null()];
        match vfork_exec(me, &argv, &[null()]) {
            Ok(pid) => check_eq!(wait(pid), Ok(WaitStatus::exited(42)), "the program's end"),
            Err(e) => check!(false, "vfork: {e}"),
        }
    }
    let missing = vfork_exec(c"/no/such/program", &[null()], &[null()]);
    match missing {
        Ok(pid) => check_eq!(wait(pid), Ok(WaitStatus::exited(127)), "a failed exec"),
        Err(e) => check!(false, "vfork: {e}"),
    }
}
