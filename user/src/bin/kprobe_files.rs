// SPDX-License-Identifier: GPL-2.0-only
//! What `kprobes/` in debugfs tells: nothing is probed, where nothing may be, and whether probes
//! are armed, which can be changed. Needs root; puts everything back.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::ffi::CStr;
use user::file;
use user::prelude::*;

expect! { end: exit(0) }
program!(run);

const ENABLED: &CStr = c"/sys/kernel/debug/kprobes/enabled";

/// A file's text, as much as there is room for.
fn text<'a>(path: &CStr, room: &'a mut [u8]) -> &'a [u8] {
    match file::load(path, room) {
        Ok(text) => text,
        Err(e) => {
            check!(false, "{path:?}: {e}");
            &[]
        }
    }
}

fn enabled() -> bool {
    let mut room = [0; 8];
    let text = text(ENABLED, &mut room);
    check!(matches!(text, b"0\n" | b"1\n"), "a digit: {text:?}");
    text == b"1\n"
}

/// `0xSTART-0xEND TAB NAME`.
fn is_range(line: &[u8]) -> bool {
    let number = |b: &[u8]| b.len() == 18 && b.starts_with(b"0x") && b[2..].iter().all(u8::is_ascii_hexdigit);
    line.len() > 38 && number(&line[..18]) && line[18] == b'-' && number(&line[19..37]) && line[37] == b'\t'
}

fn run() {
    // It may be there already.
    let _ = file::mount(c"debugfs", c"/sys/kernel/debug");
    let mut room = [0; 4096];
    check!(text(c"/sys/kernel/debug/kprobes/list", &mut room).is_empty(), "nothing is probed");
    let blacklist = text(c"/sys/kernel/debug/kprobes/blacklist", &mut room);
    let whole = blacklist.iter().rposition(|&b| b == b'\n').unwrap_or(0);
    check!(whole > 100, "a list of functions");
    for line in blacklist[..whole].split(|&b| b == b'\n') {
        check!(is_range(line), "a range and a name: {}", line.escape_ascii());
    }
    check!(enabled(), "enabled");
    check_eq!(file::store(ENABLED, b"0"), Ok(1), "disabling");
    check!(!enabled(), "disabled");
    check_eq!(file::store(ENABLED, b"1\n"), Ok(2), "enabling");
    check!(enabled(), "enabled again");
    check_eq!(file::store(ENABLED, b"x"), Err(Errno(EINVAL)), "nonsense");
}
