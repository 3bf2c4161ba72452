// SPDX-License-Identifier: GPL-2.0-only
//! Files of sysfs: a page long whatever they say, opened by root only for what they can do; the clock source that is
//! chosen by writing its name stays when nothing has that name.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::ffi::CStr;
use user::file;
use user::prelude::*;

expect! { end: exit(0) }
program!(run);

const AVAILABLE: &CStr = c"/sys/devices/system/clocksource/clocksource0/available_clocksource";
const CURRENT: &CStr = c"/sys/devices/system/clocksource/clocksource0/current_clocksource";
const UNBIND: &CStr = c"/sys/devices/system/clocksource/clocksource0/unbind_clocksource";

/// Opening and nothing else.
fn opens(path: &CStr, how: u32) -> user::Result {
    file::open(path, how, 0).and_then(file::close)
}

/// The text begins with that.
fn begins(path: &CStr, text: &[u8]) -> bool {
    file::load(path, &mut [0; 64]).is_ok_and(|all| all.starts_with(text))
}

fn run() {
    // The default `/init` may have done it.
    let _ = file::mount(c"sysfs", c"/sys");
    check!(begins(AVAILABLE, b"tsc "), "the TSC is the first");
    check!(begins(CURRENT, b"tsc\n"), "and is chosen");
    for path in [AVAILABLE, CURRENT] {
        check_eq!(file::stat(path).map(|s| s.st_size), Ok(4096), "a page");
    }
    check_eq!(opens(AVAILABLE, file::O_WRONLY), Err(Errno(EACCES)), "not even by root");
    check_eq!(opens(AVAILABLE, file::O_RDWR), Err(Errno(EACCES)), "nor both");
    check_eq!(opens(UNBIND, file::O_RDONLY), Err(Errno(EACCES)), "which has no text");
    check_eq!(file::store(CURRENT, b"tsc"), Ok(3), "its name");
    check_eq!(file::store(CURRENT, b"tsc\n"), Ok(4), "its name in a line");
    check_eq!(file::store(CURRENT, b"no such clock"), Ok(13), "nothing's name");
    check_eq!(file::store(CURRENT, b""), Ok(0), "nothing");
    check_eq!(file::store(CURRENT, &[b'x'; 31]), Ok(31), "the longest name");
    check_eq!(file::store(CURRENT, &[b'x'; 32]), Err(Errno(EINVAL)), "longer");
    check!(begins(CURRENT, b"tsc\n"), "it stays");
    check_eq!(file::store(CURRENT, b"tsc"), Ok(3), "and is chosen by its name again");
    check_eq!(file::store(UNBIND, b"no such clock"), Err(Errno(ENODEV)), "nothing to let go");
}
