// SPDX-License-Identifier: GPL-2.0-only
//! What `/proc/self/cmdline` says once a program writes over its arguments (`setproctitle`): all of them
//! while the zero behind the last one is there, else what begins at the first, up to a zero, even where
//! the environment was.
#![cfg_attr(target_os = "none", no_std, no_main)]

use user::memory::{peek, poke};
use user::prelude::*;
use user::process::execve;
use user::{file, start};

expect! { end: exit(0) }
program!(run);

/// What the file has now.
fn says(want: &[u8], when: &str) {
    let mut buf = [0; 256];
    let got = file::load(c"/proc/self/cmdline", &mut buf).unwrap_or(b"");
    check!(got == want, "{when}: {} instead of {}", got.escape_ascii(), want.escape_ascii());
}

fn write(at: usize, text: &[u8]) {
    for (i, &b) in text.iter().enumerate() {
        // SAFETY: the arguments and the environment are this program's, and nobody else looks at them.
        unsafe { poke(at + i, b) };
    }
}

/// With the arguments "one", "two" and the environment "LONG=enough".
fn titles() {
    let Some(first) = start::arg(0) else { return check!(false, "no arguments") };
    let at = first.as_ptr() as usize;
    says(b"one\0two\0", "as it begins");
    // SAFETY: the environment follows at once.
    check_eq!(unsafe { peek(at + 8) }, b'L', "what follows");
    write(at, b"ONE\0");
    says(b"ONE\0two\0", "the first changed");
    write(at, b"a title\0");
    says(b"a title\0", "as long as the arguments");
    write(at, b"a longer one\0");
    says(b"a longer one\0", "into the environment");
    write(at, b"short\0xxx");
    says(b"short\0", "a short one, without the last zero");
    write(at, b"none at all, up to the end!");
    says(b"none at all, up to t", "without any zero");
}

fn run() {
    if start::arg_str(0) == Some("one") {
        return titles();
    }
    let r = execve(
        c"/proc/self/exe",
        &[c"one".as_ptr(), c"two".as_ptr(), core::ptr::null()],
        &[c"LONG=enough".as_ptr(), core::ptr::null()],
    );
    check!(false, "execve: {r:?}");
}
