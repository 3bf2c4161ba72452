// SPDX-License-Identifier: GPL-2.0-only
//! What the programs share that make every system call with arguments that mean nothing: one row
//! for each call, which says what each kind of argument led to.
//!
//! | column | all six arguments are |
//! |---|---|
//! | `zero`, `ones` | 0, and all bits set |
//! | `low` | an address where nothing is |
//! | `hole` | one that no address may have, or where nothing is either |
//! | `kern` | one of the kernel's |
//! | `page` | the same page of memory, which begins with the name of a file |
//! | `file` | a descriptor, then that page |
//! | `bad` | a descriptor, then an address where nothing is |
//! | `huge` | a descriptor, that page, then sizes and flags beyond all bounds |
//!
//! Each call is made by a child of its own, whose descriptor 0 is a file and which has no other.

use crate::memory::{PAGE, PROT_READ, PROT_WRITE, map_fixed};
use crate::process::{child, exit_group, wait};
use crate::status::WaitStatus;
use crate::text::Text;
use crate::{Errno, file, println, time};
use core::fmt::Write;

/// A call that takes longer waits for something.
const LIMIT_MS: i64 = 1000;
/// What a child says whose call succeeded; error numbers are smaller.
const OK: i32 = 200;
const SIGALRM: i32 = 14;
/// Where the page is.
const PAGE_AT: usize = 0x2000_8000;
/// Nothing is mapped so low.
const LOW: usize = 0x1000;

/// A way to make calls, and the values that depend on how wide its arguments are.
#[derive(Clone, Copy)]
pub struct Way {
    /// Makes a call.
    pub call: fn(u32, [usize; 6]) -> isize,
    /// An address that none may have, if there is such a thing.
    pub hole: usize,
    /// One of the kernel's.
    pub kern: usize,
    /// The largest number.
    pub beyond: usize,
}

/// What the arguments are.
#[derive(Clone, Copy)]
enum Kind {
    /// All the same.
    All(usize),
    Page,
    File,
    Bad,
    Huge,
}

impl Way {
    fn kinds(self) -> [(&'static str, Kind); 9] {
        [
            ("zero", Kind::All(0)),
            ("ones", Kind::All(usize::MAX)),
            ("low", Kind::All(LOW)),
            ("hole", Kind::All(self.hole)),
            ("kern", Kind::All(self.kern)),
            ("page", Kind::Page),
            ("file", Kind::File),
            ("bad", Kind::Bad),
            ("huge", Kind::Huge),
        ]
    }

    fn arguments(self, kind: Kind, page: usize) -> [usize; 6] {
        match kind {
            Kind::All(value) => [value; 6],
            Kind::Page => [page; 6],
            Kind::File => [0, page, page, page, page, page],
            Kind::Bad => [0, LOW, LOW, LOW, LOW, LOW],
            Kind::Huge => [0, page, self.beyond, self.beyond, self.beyond, self.beyond],
        }
    }

    /// One call with arguments of each kind; the row begins with `name`.
    pub fn row(self, number: u32, name: &str) {
        let mut text = Text::<512>::new();
        for (kind_name, kind) in self.kinds() {
            let pid = child(|| self.attempt(number, kind));
            // How much is written cannot fail: the row is short.
            let _ = match wait(pid) {
                Ok(status) if status == WaitStatus::exited(OK) => write!(text, " {kind_name}=ok"),
                Ok(status) if status == WaitStatus::killed(SIGALRM) => write!(text, " {kind_name}=waits"),
                Ok(WaitStatus(s)) if s & 0x7f == 0 => write!(text, " {kind_name}={}", Errno((s >> 8) as u32)),
                Ok(WaitStatus(s)) => write!(text, " {kind_name}=signal:{}", s & 0x7f),
                Err(e) => write!(text, " {kind_name}=lost:{e}"),
            };
        }
        println!("{name}{}", text.as_str());
    }

    /// In a child: what the call returned, as an exit code.
    fn attempt(self, number: u32, kind: Kind) -> i32 {
        // Where it is must not depend on the kernel: it is taken for flags and sizes too.
        // SAFETY: nothing is there.
        let at = unsafe { map_fixed(PAGE_AT, PAGE, PROT_READ | PROT_WRITE) };
        let Ok(page) = at else { return OK + 1 };
        let name = b"/tmp/errnos\0";
        // SAFETY: within a page of our own.
        unsafe { core::ptr::copy_nonoverlapping(name.as_ptr(), page as *mut u8, name.len()) };
        let args = self.arguments(kind, page);
        for fd in 0..8 {
            let _ = file::close(fd);
        }
        if file::open(c"/tmp/errnos", file::O_RDWR | file::O_CREAT, 0o644) != Ok(0) {
            return OK + 2;
        }
        file::write_all(0, b"ten bytes\n");
        let _ = time::set_real_timer(LIMIT_MS, 0);
        let ret = (self.call)(number, args);
        exit_group(if (-4095..0).contains(&ret) { -ret as i32 } else { OK })
    }
}
