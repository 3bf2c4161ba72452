// SPDX-License-Identifier: GPL-2.0-only
//! What `/proc/sys/kernel/` says about the detectors of lockups, and takes. Needs root; puts
//! everything back.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::ffi::CStr;
use user::file;
use user::prelude::*;

expect! { end: exit(0) }
program!(run);

const ANY: &CStr = c"/proc/sys/kernel/watchdog";
const SOFT: &CStr = c"/proc/sys/kernel/soft_watchdog";
const THRESH: &CStr = c"/proc/sys/kernel/watchdog_thresh";
const PANICS: [&CStr; 2] = [c"/proc/sys/kernel/softlockup_panic", c"/proc/sys/kernel/hardlockup_panic"];

fn is(path: &CStr, want: &[u8]) {
    let mut room = [0; 16];
    check_eq!(file::load(path, &mut room), Ok(want), "{path:?}");
}

fn set(path: &CStr, value: &[u8]) {
    check_eq!(file::store(path, value), Ok(value.len()), "{path:?}: {}", value.escape_ascii());
}

fn refused(path: &CStr, value: &[u8]) {
    check_eq!(file::store(path, value), Err(Errno(EINVAL)), "{path:?}: {}", value.escape_ascii());
}

fn run() {
    is(ANY, b"1\n");
    is(SOFT, b"1\n");
    is(THRESH, b"10\n");
    for path in [ANY, SOFT, PANICS[0], PANICS[1]] {
        refused(path, b"2");
        refused(path, b"-1");
        refused(path, b"x");
    }
    refused(THRESH, b"61");
    refused(THRESH, b"-1");
    set(THRESH, b"60");
    is(THRESH, b"60\n");
    set(THRESH, b"0");
    is(SOFT, b"1\n");
    set(THRESH, b"10");

    set(ANY, b"0");
    is(ANY, b"0\n");
    set(ANY, b"1");
    is(SOFT, b"1\n");
    // What does not run is not wanted any more, once somebody has looked.
    set(ANY, b"0");
    is(SOFT, b"0\n");
    set(ANY, b"1");
    is(SOFT, b"0\n");
    set(SOFT, b"1");
    is(SOFT, b"1\n");
    is(ANY, b"1\n");
    for path in PANICS {
        is(path, b"0\n");
        set(path, b"1");
        is(path, b"1\n");
        set(path, b"0");
    }
}
