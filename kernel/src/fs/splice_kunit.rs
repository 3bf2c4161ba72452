// SPDX-License-Identifier: GPL-2.0-only
//! In-kernel tests of splicing: what happens when there is no memory.

use super::anon_inodes::anon_inode_getfile;
use super::file_table::{Abilities, File, FileOps};
use super::pipe::Pipe;
use super::splice::splice_file_to_pipe;
use crate::errno::Result;
use crate::kernel::kunit::Kunit;
use crate::lib::iov_iter::IovIter;
use crate::mm::page_alloc::{PAGE_SIZE, Page, nr_free_pages};
use crate::{kunit_assert, kunit_assert_eq, kunit_suite};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

kunit_suite! { "splice": nothing_read_is_lost }

/// As a terminal: what was read of it cannot be read again.
#[derive(Default)]
struct Source {
    reads: AtomicUsize,
}

/// What one read gives.
const LINES: usize = 3 * PAGE_SIZE + 7;

impl FileOps for Source {
    fn abilities(&self) -> Abilities {
        Abilities { splice_read: true, ..Abilities::DEFAULT }
    }
    fn read(&self, _: &File, to: &mut IovIter<'_>, _: &mut u64) -> Result<usize> {
        self.reads.fetch_add(1, Relaxed);
        Ok((0..LINES).map(|_| to.copy_to(b"x")).sum())
    }
}

/// With a page more each time until there are enough.
fn nothing_read_is_lost(test: &mut Kunit) {
    let source = Arc::new(Source::default());
    let file = anon_inode_getfile("[source]", source.clone(), 0);
    let (pipe, _ends) = Pipe::for_test();
    let mut all: Vec<Page> = Vec::new();
    kunit_assert!(test, all.try_reserve_exact(nr_free_pages()).is_ok());
    while let Ok(p) = Page::alloc_user() {
        all.push(p);
    }
    let (mut refused, mut lost) = (0, 0);
    let done = loop {
        match splice_file_to_pipe(&file, &mut 0, &pipe, 16 * PAGE_SIZE, true) {
            Err(_) if all.pop().is_some() => {
                refused += 1;
                lost += source.reads.swap(0, Relaxed);
            }
            r => break r,
        }
    };
    all.clear();
    kunit_assert_eq!(test, (done, source.reads.load(Relaxed)), (Ok(LINES), 1));
    kunit_assert!(test, refused > 16);
    kunit_assert_eq!(test, lost, 0);
    let mut bytes = 0;
    while let Some((b, _)) = pipe.take_first() {
        bytes += b.bytes().len();
    }
    kunit_assert_eq!(test, bytes, LINES);
}
