// SPDX-License-Identifier: GPL-2.0-only
//! Not one of the set: has the kernel do what its arguments name (`lkdtm`), each in a child,
//! and tells how the child ended. The kernel is tainted afterwards. Where lkdtm is a module
//! (`/lkdtm.ko`), it is loaded first.
#![cfg_attr(target_os = "none", no_std, no_main)]

use user::prelude::*;
use user::{file, println, program, start, syscall};

program!(run);

fn run() {
    let _ = file::mount(c"debugfs", c"/sys/kernel/debug");
    if let Ok(module) = file::open(c"/lkdtm.ko", file::O_RDONLY, 0) {
        // SAFETY: the parameters are an empty string.
        let loaded = unsafe { syscall!(__NR_finit_module, module, c"".as_ptr(), 0) };
        let _ = file::close(module);
        if let Err(e) = loaded {
            println!("provoke: lkdtm.ko: {e}");
        }
    }
    for i in 1.. {
        let Some(what) = start::arg_str(i) else { break };
        let pid = child(|| {
            let fd = file::open(c"/sys/kernel/debug/provoke-crash/DIRECT", file::O_WRONLY, 0);
            i32::from(fd.and_then(|fd| file::write(fd, what.as_bytes())).is_err())
        });
        match wait(pid) {
            Ok(status) => println!("provoke: {what}: {status}"),
            Err(e) => println!("provoke: {what}: {e}"),
        }
    }
    println!("provoke: the machine is still there");
}
