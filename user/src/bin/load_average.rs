// SPDX-License-Identifier: GPL-2.0-only
//! The load averages: who runs raises them within five seconds, and `sysinfo` and `/proc/loadavg` tell the
//! same of them.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::fmt::Write;
use user::prelude::*;
use user::text::Text;
use user::time::now;
use user::{file, syscall};

expect! { end: exit(0) }
program!(run);

const SECOND: i64 = 1_000_000_000;
/// `struct sysinfo`, as words.
const WORDS: usize = 14;

/// The three, with 16 bits below the point.
fn loads() -> [u64; 3] {
    let mut info = [0u64; WORDS];
    // SAFETY: the kernel writes one structure.
    let r = unsafe { syscall!(__NR_sysinfo, info.as_mut_ptr()) };
    check_eq!(r, Ok(0), "sysinfo");
    [info[1], info[2], info[3]]
}

/// The beginning of `/proc/loadavg` by these, which has eleven bits of them, rounded to hundredths.
fn expected(loads: [u64; 3]) -> Text<64> {
    let mut text = Text::new();
    for avg in loads {
        let avg = (avg >> 5) + 2048 / 200;
        let _ = write!(text, "{}.{:02} ", avg >> 11, ((avg & 2047) * 100) >> 11);
    }
    text
}

fn run() {
    let begin = now();
    while loads()[0] == 0 && now() - begin < 12 * SECOND {}
    check!(loads()[0] != 0, "nobody has run for twelve seconds");
    // They may change in between, but not every time.
    let agree = (0..3).any(|_| {
        let want = expected(loads());
        let mut buf = [0; 128];
        file::load(c"/proc/loadavg", &mut buf).is_ok_and(|text| text.starts_with(want.as_str().as_bytes()))
    });
    check!(agree, "sysinfo says {}", expected(loads()).as_str());
}
