// SPDX-License-Identifier: GPL-2.0-only
//! fork: parent and child see the same memory until one of them writes.
#![cfg_attr(target_os = "none", no_std, no_main)]

use core::sync::atomic::{AtomicU64, Ordering::SeqCst};
use user::check;
use user::memory::{PROT_READ, PROT_WRITE, map, map_shared, peek, poke};
use user::prelude::*;

expect! { end: exit(0) }
program!(run);

static WORD: AtomicU64 = AtomicU64::new(1);

fn run() {
    let private = map(8192, PROT_READ | PROT_WRITE).unwrap_or(0);
    let shared = map_shared(4096).unwrap_or(0);
    // SAFETY: both mappings are fresh, and only this program uses them.
    unsafe {
        poke(private, 11);
        let pid = child(|| {
            check_eq!(WORD.load(SeqCst), 1, "child: static before its own write");
            check_eq!(peek(private), 11, "child: private page before its own write");
            check_eq!(peek(private + 4096), 0, "child: untouched page");
            WORD.store(2, SeqCst);
            poke(private, 22);
            poke(private + 4096, 33);
            poke(shared, 44);
            i32::from(peek(private) != 22 || WORD.load(SeqCst) != 2 || check::failures() != 0)
        });
        check_eq!(wait(pid), Ok(WaitStatus::exited(0)), "child's end");
        check_eq!(WORD.load(SeqCst), 1, "parent: static after the child's write");
        check_eq!(peek(private), 11, "parent: private page after the child's write");
        check_eq!(peek(private + 4096), 0, "parent: page that only the child touched");
        check_eq!(peek(shared), 44, "parent: shared page");
        grandchildren(private);
    }
}

/// Three generations on one page: each keeps its own.
fn grandchildren(page: usize) {
    // SAFETY: the page is this program's.
    unsafe {
        poke(page, 1);
        let pid = child(|| {
            poke(page, 2);
            let pid = child(|| {
                poke(page, 3);
                i32::from(peek(page))
            });
            poke(page, 4);
            check_eq!(wait(pid), Ok(WaitStatus::exited(3)), "grandchild's value");
            i32::from(peek(page))
        });
        check_eq!(wait(pid), Ok(WaitStatus::exited(4)), "child's value");
        check_eq!(peek(page), 1, "parent's value");
    }
}
