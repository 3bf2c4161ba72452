// SPDX-License-Identifier: GPL-2.0-only
//! What an NMI that nobody explains does is root's to say, by files that keep any number. Needs
//! root; puts back what was there.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::ffi::CStr;
use user::file;
use user::prelude::*;
use user::process::become_user;

expect! { end: exit(0) }
program!(run);

const SWITCHES: [&CStr; 3] = [
    c"/proc/sys/kernel/unknown_nmi_panic",
    c"/proc/sys/kernel/panic_on_unrecovered_nmi",
    c"/proc/sys/kernel/panic_on_io_nmi",
];

fn run() {
    for switch in SWITCHES {
        let (mut old, mut now) = ([0; 16], [0; 16]);
        check_eq!(file::load(switch, &mut old), Ok(&b"0\n"[..]), "{switch:?} is off");
        check!(file::store(switch, b"-3\n").is_ok(), "{switch:?} is written");
        check_eq!(file::load(switch, &mut now), Ok(&b"-3\n"[..]), "{switch:?} keeps it");
        check!(file::store(switch, b"no").is_err(), "{switch:?} takes numbers only");
        check!(file::store(switch, b"0").is_ok(), "{switch:?} is off again");
        let mode = file::stat(switch).map(|s| s.st_mode & 0o777);
        check_eq!(mode, Ok(0o644), "{switch:?}");
    }
    let pid = child(|| {
        let _ = become_user(1000);
        i32::from(SWITCHES.iter().any(|s| file::store(s, b"1").is_ok()))
    });
    check_eq!(wait(pid), Ok(WaitStatus::exited(0)), "only root writes them");
}
