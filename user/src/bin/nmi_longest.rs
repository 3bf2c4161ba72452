// SPDX-License-Identifier: GPL-2.0-only
//! How long a handler of NMIs may take until it is told of, in a file of debugfs that keeps any number of
//! 64 bits. Needs root; puts back what was there.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::ffi::CStr;
use user::file;
use user::prelude::*;

expect! { end: exit(0) }
program!(run);

const FILE: &CStr = c"/sys/kernel/debug/x86/nmi_longest_ns";

fn is(wanted: &[u8], what: &str) {
    let mut room = [0; 32];
    check_eq!(file::load(FILE, &mut room), Ok(wanted), "{what}");
}

fn run() {
    // It may be there already.
    let _ = file::mount(c"debugfs", c"/sys/kernel/debug");
    is(b"1000000\n", "a millisecond");
    check_eq!(file::stat(FILE).map(|s| s.st_mode), Ok(0o100_644), "its mode");
    for (text, value) in [
        (&b"2000000\n"[..], &b"2000000\n"[..]),
        (b"0", b"0\n"),
        (b"0x10", b"16\n"),
        (b"010\n", b"8\n"),
        (b"+5", b"5\n"),
        (b"18446744073709551615\n", b"18446744073709551615\n"),
    ] {
        check_eq!(file::store(FILE, text), Ok(text.len()), "writing {}", text.escape_ascii());
        is(value, "what was written");
    }
    for (text, e) in [
        (&b"-1"[..], EINVAL),
        (b"", EINVAL),
        (b"1 2", EINVAL),
        (b"x", EINVAL),
        (b"18446744073709551616", ERANGE),
    ] {
        check_eq!(file::store(FILE, text), Err(Errno(e)), "writing {}", text.escape_ascii());
    }
    is(b"18446744073709551615\n", "what was good");
    check_eq!(file::store(FILE, b"1000000"), Ok(7), "as it was");
}
