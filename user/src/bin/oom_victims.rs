// SPDX-License-Identifier: GPL-2.0-only
//! Not one of the set: as the first process (`rdinit=/bin/oom_victims`) lets a machine run out of
//! memory, and tells who was ended for it: the one that offered itself though it is small, then
//! the one that takes all there is, and never the one that may not be ended.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::fmt::Write;
use user::prelude::*;
use user::process::{WNOHANG, wait4};
use user::runner::machine;
use user::signal::SIGKILL;
use user::text::Text;
use user::{file, memory, println, program, time};

program!(run);

const MIB: usize = 1 << 20;
/// What the one that offers itself has, and the one that must stay.
const SMALL: usize = 2 * MIB;
const LARGE: usize = 16 * MIB;

fn run() {
    if getpid() != 1 {
        return;
    }
    machine::set_up();
    scores();
    let kept = sleeper(-1000, LARGE);
    let offered = sleeper(900, SMALL);
    time::sleep_ms(200);
    let hog = child(|| {
        adjust(0);
        while memory_of(MIB) {}
        // Where memory is promised that is not there, taking it is what ends.
        time::sleep_ms(60_000);
        0
    });
    println!("oom: who takes all: {}", shown(wait(hog)));
    println!("oom: who offered itself: {}", shown(wait(offered)));
    let alive = matches!(wait4(kept, WNOHANG), Ok(None));
    println!("oom: who may not be ended is {}", if alive { "there" } else { "gone" });
    let _ = kill(kept, SIGKILL);
    println!("oom: killed by hand: {}", shown(wait(kept)));
    println!("oom: done");
    machine::power_off();
}

fn shown(status: user::Result<WaitStatus>) -> Text<32> {
    let mut text = Text::new();
    let _ = match status {
        Ok(status) => write!(text, "{status}"),
        Err(e) => write!(text, "{e}"),
    };
    text
}

/// How far a process wants to be ended before others.
fn adjust(by: i32) {
    let mut text = Text::<16>::new();
    let _ = writeln!(text, "{by}");
    if let Err(e) = file::store(c"/proc/self/oom_score_adj", text.as_str().as_bytes()) {
        println!("oom: oom_score_adj: {e}");
    }
}

/// Memory that was written to.
fn memory_of(len: usize) -> bool {
    let Ok(at) = memory::map(len, memory::PROT_READ | memory::PROT_WRITE) else { return false };
    for page in (at..at + len).step_by(memory::PAGE) {
        // SAFETY: just mapped.
        unsafe { (page as *mut u8).write_volatile(1) };
    }
    true
}

fn sleeper(by: i32, len: usize) -> i32 {
    child(|| {
        adjust(by);
        memory_of(len);
        time::sleep_ms(600_000);
        0
    })
}

/// What may be written to the file, and by whom.
fn scores() {
    let mut buf = [0; 32];
    adjust(7);
    let got = file::load(c"/proc/self/oom_score_adj", &mut buf);
    println!("oom: 7 is {}", core::str::from_utf8(got.unwrap_or(b"?")).unwrap_or("?").trim());
    for bad in [&b"1001"[..], b"-1001", b"x", b""] {
        let r = file::store(c"/proc/self/oom_score_adj", bad).map(drop);
        println!("oom: {:?}: {r:?}", core::str::from_utf8(bad).unwrap_or("?"));
    }
    let pid = child(|| {
        let fd = file::open(c"/proc/self/oom_score_adj", file::O_RDWR, 0).unwrap_or(-1);
        let _ = user::process::become_user(1000);
        // More is allowed, and less, but not less than root left it at.
        let [more, less, least] = [&b"9"[..], b"8", b"6"].map(|adj| file::pwrite(fd, adj, 0).map(drop));
        println!("oom: a user: {more:?} {less:?} {least:?}");
        0
    });
    let _ = wait(pid);
    adjust(0);
}
